"""The one training loop, for every backend and every optimizer, and the history that it leaves."""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from handgrad.backend import Backend, Parameters
from handgrad.bars import hidden
from handgrad.checks import array
from handgrad.errors import HandgradError, UsageError
from handgrad.optimizers import GradientDescent, Optimizer, Place, Task
from handgrad.processes import DisagreementError

BLOCK_EPOCHS = 1024
"""The most epochs in one call of `Backend.descend`; a backend may size its buffers by it."""

BLOCK_SECONDS = 0.1
"""About how long the device is left alone between two looks at the costs."""

LASTING = 10
"""Epochs that began with a higher cost than the first, after which it is said to rise."""

RISE = 1e-3
"""Of the first cost: a smaller rise may be rounding."""


@dataclass(frozen=True)
class History:
    """What happened in each epoch; all of shape (epochs,) and float64; a UsageError says which is not.

    Attributes:
        train_cost: the cost *before* the epoch's update, so that the first one at zero weights is log 2.
        validation_cost: the mean loss on the validation set, before the update too, and without the penalty, which is
            there to help in training and says nothing of new examples; NaN in epochs in which it was not taken.
        seconds: how long the epoch took. The first one includes a backend's compilation.
        evaluations: gradients over all examples that the epoch took: one, or as many as L-BFGS searched a line for.
    """

    train_cost: npt.NDArray[np.float64]
    validation_cost: npt.NDArray[np.float64]
    seconds: npt.NDArray[np.float64]
    evaluations: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        for name, V in vars(self).copy().items():
            V = np.asarray(array(name, V, UsageError), np.float64)
            if V.ndim != 1:
                raise UsageError(f"{name} has shape {V.shape}; expected (epochs,), one number for each epoch")
            object.__setattr__(self, name, V)
            if len(V) != len(self):
                raise UsageError(
                    f"columns of the history differ in length: {name} has {len(V)} epochs, and train_cost {len(self)}"
                )

    def __len__(self) -> int:
        return len(self.train_cost)

    @property
    def rose(self) -> bool:
        """Whether the last epoch began with a higher cost than the first: the learning rate is too high, then."""
        return bool(len(self) and self.train_cost[-1] > self.train_cost[0])

    @property
    def best_epoch(self) -> int | None:
        """The first epoch that began with the lowest validation cost; None where none was taken."""
        return _best(self.validation_cost)


class State(NamedTuple):
    """What a training can be gone on from. Arrays are NumPy's, in the coordinates of the descent.

    Attributes:
        history: so far.
        here: after the last epoch of the history.
        before: an earlier place, to go back to should the next cost not be finite.
        best: a place at or before the epoch with the best validation cost; None where that is not asked for.
        span: whether the coordinates are those of the span of the examples (`handgrad.span`).
        optimizer: that took it there, and its configuration, in words.
        block: examples in a block of X; 0 where X is whole.
    """

    history: History
    here: Place
    before: Place
    best: Place | None = None
    optimizer: str = ""
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
    task: Task,
    optimizer: Optimizer,
    parameters: Parameters,
    *,
    patience: int | None = None,
    progress: bool = False,
    resume: State | None = None,
    watch: Callable[[Callable[[], State]], bool] | None = None,
    rising: Callable[[list[float]], None] = lambda _: None,
) -> tuple[Parameters, History]:
    """The loop behind `Neuron.fit`, on arrays that were checked and put on the device.

    Epochs run in blocks, between which the costs are fetched, checked and shown. The first block is a single epoch, so
    that compilation is charged to it; the others are sized to take about a tenth of a second. Where an epoch within a
    block is wanted, the last good or the best, the optimizer takes the epochs up to it once more. Where the cost rises,
    `rising` is told the costs so far, once.
    """
    backend = task.backend
    columns: list[list[float]] = [[], [], [], []]
    costs, validation_costs, seconds, evaluations = columns
    here = before = Place(0, parameters, {})
    best = None if patience is None else here
    if resume is not None:
        found = resume.here.parameters.W.shape
        if found != tuple(parameters.W.shape):
            raise UsageError(
                f"resume has W of shape {found}; expected {tuple(parameters.W.shape)}, "
                "the state of a training on these data with these settings"
            )
        if resume.optimizer != str(optimizer):
            raise UsageError(f"resume is a state of {resume.optimizer}; expected one of {optimizer}")
        for column, values in zip(columns, vars(resume.history).values(), strict=True):
            column += values.tolist()
        here, before = _placed(backend, resume.here), _placed(backend, resume.before)
        best = resume.best and _placed(backend, resume.best)

    def state() -> State:
        places = _on_host(backend, here), _on_host(backend, before)
        return State(_history(columns), *places, best and _on_host(backend, best), str(optimizer))

    def at(epoch: int, place: Place) -> Place:
        """The place of a later epoch."""
        taken = optimizer.take(replace(task, watched=None), place, range(place.epoch, epoch))
        return Place(epoch, taken.parameters, taken.memory)

    with (
        backend.arithmetic(),
        tqdm(total=task.epochs, initial=here.epoch, unit="epoch", disable=hidden(progress)) as bar,
    ):
        over = said = False
        while here.epoch < task.epochs and not over:
            start = time.perf_counter()
            taken = optimizer.take(task, here, range(here.epoch, min(here.epoch + _block_epochs(seconds), task.epochs)))
            costs += [float(backend.get(cost)) for cost in taken.costs]
            validation_costs += [float(backend.get(cost)) for cost in taken.validation_costs]
            evaluations += taken.evaluations
            block = range(here.epoch, len(costs))
            after = backend.get_parameters(taken.parameters)
            seconds += [_agreed(task, after, time.perf_counter() - start, len(costs)) / len(block)] * len(block)
            bad = _first_bad(costs, block, after)
            stop = None if patience is None else _lost(validation_costs, patience)
            if bad is not None and (stop is None or bad <= stop):
                # The bits are the same again: go back and stop at the last parameters whose cost is finite.
                good = at(max(bad - 1, 0), here if bad > here.epoch else before)
                last = backend.get_parameters(good.parameters)
                raise DivergedError(_advice(bad, optimizer), bad, last, _history(columns, bad))
            if stop is not None:
                over = True
                for column in columns:
                    del column[stop + 1 :]
            if best is not None and _best(validation_costs) in block:
                best = here
            before, here = here, Place(block.stop, taken.parameters, taken.memory)
            over |= taken.done
            if not said and _rises(costs, optimizer, ended=over or here.epoch == task.epochs):
                said = True
                rising(costs)
            bar.set_postfix_str(_shown(costs, validation_costs), refresh=False)
            bar.update(len(block))
            if watch is not None and not over and watch(state):
                break
        if best is not None and (epoch := _best(validation_costs)) is not None:
            here = at(epoch, best)
    return backend.get_parameters(here.parameters), _history(columns)


def _agreed(task: Task, after: Parameters, seconds: float, epochs: int) -> float:
    """The time that the slowest of the processes took, if there are several, which all have to be at the same bits."""
    bits = float(zlib.crc32(after.W.tobytes() + after.b.tobytes()) % 2**24)  # which float32 holds, too
    seconds, most, least = task.objective.examples.processes.largest([seconds, bits, -bits])
    if most != -least:
        raise DisagreementError(
            f"the processes disagree on W and b after {epochs} epochs: their machines or libraries round differently; "
            "expected machines of a kind, with the same versions"
        )
    return seconds


def _block_epochs(seconds: list[float]) -> int:
    return min(max(int(BLOCK_SECONDS / max(seconds[-1], 1e-9)), 1), BLOCK_EPOCHS) if seconds else 1


def _first_bad(costs: list[float], block: range, after: Parameters) -> int | None:
    for epoch in block:
        if not math.isfinite(costs[epoch]):
            return epoch
    return None if all(np.isfinite(V).all() for V in after) else block.stop


def _rises(costs: list[float], optimizer: Optimizer, *, ended: bool) -> bool:
    """Whether an optimizer with a learning rate is making the cost worse: for some epochs, or when all is over.

    Of gradient descent it takes only the last epoch then; where there is chance in it, all of the last few.
    """
    if not hasattr(optimizer, "learning_rate") or len(costs) < 2:
        return False
    last = costs[-1:] if ended and isinstance(optimizer, GradientDescent) else costs[1:][-LASTING:]
    return (ended or len(last) == LASTING) and min(last) > (1 + RISE) * costs[0]


def _lost(validation_costs: list[float], patience: int) -> int | None:
    """The first epoch whose validation cost comes so many epochs after the best one before it."""
    lowest, best = math.inf, 0
    for epoch, cost in enumerate(validation_costs):
        if cost < lowest:
            lowest, best = cost, epoch
        elif epoch - best >= patience and not math.isnan(cost):
            return epoch
    return None


def _best(validation_costs: npt.ArrayLike) -> int | None:
    costs = np.asarray(validation_costs)
    return None if np.isnan(costs).all() else int(np.nanargmin(costs))


def _placed(backend: Backend, place: Place) -> Place:
    return place._replace(parameters=backend.put_parameters(place.parameters))


def _on_host(backend: Backend, place: Place) -> Place:
    memory = {name: np.array(backend.get(V)) for name, V in place.memory.items()}
    return Place(place.epoch, backend.get_parameters(place.parameters), memory)


def _advice(epoch: int, optimizer: Optimizer) -> str:
    if epoch == 0:
        return "the cost of the initial parameters is not finite (epoch 0); start from smaller ones or scale X down"
    rate = getattr(optimizer, "learning_rate", None)
    why = (
        f"the learning rate {rate:g} is too high for these data; handgrad rate proposes one" if rate else "scale X down"
    )
    return f"training diverged: not finite from epoch {epoch} on; {why}"


def _history(columns: list[list[float]], epochs: int | None = None) -> History:
    return History(*(np.array(column[:epochs], dtype=np.float64) for column in columns))


def _shown(costs: list[float], validation_costs: list[float]) -> str:
    taken = next((cost for cost in reversed(validation_costs) if not math.isnan(cost)), None)
    return f"cost {costs[-1]:.6f}" + ("" if taken is None else f", validation {taken:.6f}")
