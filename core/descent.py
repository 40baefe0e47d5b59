"""Full-batch gradient descent: the one training loop, for every backend, and the history that it leaves."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from handgrad.errors import HandgradError, UsageError

if TYPE_CHECKING:
    from handgrad.neuron import Array, Neuron, Parameters

BLOCK_EPOCHS = 1024
"""The most epochs in one call of `Neuron.descend`; a backend may size its buffers by it."""

BLOCK_SECONDS = 0.1
"""About how long the device is left alone between two looks at the costs."""


@dataclass(frozen=True)
class History:
    """What happened in each epoch; all of shape (epochs,) and float64.

    Attributes:
        train_cost: the cost *before* the epoch's update, so that the first one at zero weights is log 2.
        validation_cost: the same on the validation set; NaN in epochs in which it was not taken.
        seconds: how long the epoch took. The first one includes a backend's compilation.
    """

    train_cost: npt.NDArray[np.float64]
    validation_cost: npt.NDArray[np.float64]
    seconds: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.train_cost)


class State(NamedTuple):
    """Where a training stands. Arrays are NumPy's.

    Attributes:
        parameters: after the last epoch of the history, in the coordinates of the descent.
        history: so far.
        first, before: an earlier epoch and the parameters at its start, to go back to should the next cost not be
            finite.
        span: whether the coordinates are those of the span of the examples (`handgrad.span`).
        block: examples in a block of X; 0 where X is whole.
    """

    parameters: Parameters
    history: History
    first: int
    before: Parameters
    span: bool = False
    block: int = 0


class DivergedError(HandgradError):
    """The cost or the parameters stopped being finite.

    Attributes:
        epoch: the first epoch that began with parameters, or a cost, that are not finite.
        parameters: those of the epoch before, the last ones with a finite cost, as NumPy arrays.
        history: the epochs before `epoch`.
    """

    exit_code = 4

    def __init__(self, message: str, epoch: int, parameters: Parameters, history: History) -> None:
        super().__init__(message)
        self.epoch = epoch
        self.parameters = parameters
        self.history = history

    def __reduce__(self) -> tuple[type[DivergedError], tuple[object, ...]]:
        return type(self), (str(self), self.epoch, self.parameters, self.history)


def train(
    neuron: Neuron,
    parameters: Parameters,
    train: tuple[Array, Array],
    validation: tuple[Array, Array] | None,
    *,
    epochs: int,
    learning_rate: float,
    validation_every: int,
    progress: bool,
    resume: State | None = None,
    watch: Callable[[Callable[[], State]], bool] | None = None,
) -> tuple[Parameters, History]:
    """The loop behind `Neuron.fit`, on arrays that were checked and put on the device.

    Epochs run in blocks (`Neuron.descend`), between which the costs are fetched, checked and shown. The first block is
    a single epoch, so that compilation is charged to it; the others are sized to take about a tenth of a second.
    """
    costs: list[float] = []
    validation_costs: list[float] = []
    seconds: list[float] = []
    previous = 0, parameters  # where the block before began
    if resume is not None:
        if resume.parameters.W.shape != tuple(parameters.W.shape):
            raise UsageError(
                f"resume has W of shape {resume.parameters.W.shape}; expected {tuple(parameters.W.shape)}, "
                "the state of a training on these data with these settings"
            )
        costs, validation_costs, seconds = (column.tolist() for column in vars(resume.history).values())
        parameters, before = (
            type(parameters)(*(neuron.put(V) for V in given)) for given in (resume.parameters, resume.before)
        )
        previous = resume.first, before

    def state() -> State:
        return State(
            neuron._host(parameters), _history(costs, validation_costs, seconds), previous[0], neuron._host(previous[1])
        )

    with tqdm(total=epochs, initial=len(costs), unit="epoch", disable=None if progress else True) as bar:
        while len(costs) < epochs:
            first = len(costs)
            block = range(first, min(first + _block_epochs(seconds), epochs))
            start = time.perf_counter()
            after, block_costs, block_validation = neuron.descend(
                parameters, train, validation, learning_rate, block, validation_every
            )
            costs += [float(neuron.get(cost)) for cost in block_costs]
            validation_costs += [float(neuron.get(cost)) for cost in block_validation]
            seconds += [(time.perf_counter() - start) / len(block)] * len(block)
            bad = _first_bad(costs, block, neuron._host(after))
            if bad is not None:
                # Descent is deterministic: go back and stop at the last parameters whose cost is finite.
                origin, good = (first, parameters) if bad > first else previous
                good, _, _ = neuron.descend(good, train, None, learning_rate, range(origin, bad - 1), 1)
                history = _history(costs[:bad], validation_costs[:bad], seconds[:bad])
                raise DivergedError(_advice(bad, learning_rate), bad, neuron._host(good), history)
            previous, parameters = (first, parameters), after
            bar.set_postfix_str(_shown(costs, validation_costs), refresh=False)
            bar.update(len(block))
            if watch is not None and watch(state):
                break
    return neuron._host(parameters), _history(costs, validation_costs, seconds)


def _block_epochs(seconds: list[float]) -> int:
    return min(max(int(BLOCK_SECONDS / max(seconds[-1], 1e-9)), 1), BLOCK_EPOCHS) if seconds else 1


def _first_bad(costs: list[float], block: range, after: Parameters) -> int | None:
    for epoch in block:
        if not math.isfinite(costs[epoch]):
            return epoch
    return None if all(np.isfinite(V).all() for V in after) else block.stop


def _advice(epoch: int, learning_rate: float) -> str:
    if epoch == 0:
        return "the cost of the initial parameters is not finite (epoch 0); start from smaller ones or scale X down"
    return (
        f"training diverged: not finite from epoch {epoch} on; the learning rate {learning_rate:g} is too high "
        f"for these data, try {learning_rate / 10:g}"
    )


def _history(costs: list[float], validation_costs: list[float], seconds: list[float]) -> History:
    return History(*(np.array(column, dtype=np.float64) for column in (costs, validation_costs, seconds)))


def _shown(costs: list[float], validation_costs: list[float]) -> str:
    taken = next((cost for cost in reversed(validation_costs) if not math.isnan(cost)), None)
    return f"cost {costs[-1]:.6f}" + ("" if taken is None else f", validation {taken:.6f}")
