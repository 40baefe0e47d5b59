"""Train every backend from the same start and say whether they agree."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from handgrad.backend import Array, Parameters
from handgrad.descent import DivergedError
from handgrad.examples import Examples
from handgrad.neuron import Neuron
from handgrad.objective import Objective
from handgrad.optimizers import GradientDescent, Place, Task
from handgrad.rounding import bounds, descent_bounds

EPOCHS_TOGETHER = 2
"""How many epochs of descent, in one call, are held against a bound: enough for one to build on another."""


@dataclass(frozen=True)
class Row:
    """One backend after training, beside the reference.

    Attributes:
        backend: its name.
        train_cost, validation_cost, train_accuracy, validation_accuracy: with the trained parameters; the validation's
            are NaN without a validation set.
        W_difference: the largest |W - W of the reference| after training.
        A_difference: the largest difference of an activation after training, over both sets.
        seconds_per_epoch: the median.
        ratios: for "cost", "dW", "db", "A", "W" and "b" the largest of |difference to the reference| / |what rounding
            explains|, both at the same parameters; above 1 is a disagreement.
    """

    backend: str
    train_cost: float
    validation_cost: float
    train_accuracy: float
    validation_accuracy: float
    W_difference: float
    A_difference: float
    seconds_per_epoch: float
    ratios: dict[str, float]

    @property
    def disagreements(self) -> list[str]:
        """The kinds of numbers that differ by more than rounding explains."""
        return [kind for kind, ratio in self.ratios.items() if not ratio <= 1]


@np.errstate(over="ignore", invalid="ignore")  # a cost may be near the end of the range; nan is a disagreement
def compare(
    neurons: Mapping[str, Neuron],
    train: tuple[Array, Array],
    validation: tuple[Array, Array] | None = None,
    *,
    epochs: int,
    learning_rate: float,
    initial: Parameters | None = None,
    progress: bool = False,
) -> list[Row]:
    """Train each neuron by the same descent and compare it with the first one.

    Whether two agree is judged at two points, the reference's parameters before and after training: cost, dW, db and A
    there, and W and b after two epochs of descent from there, may differ by twice the bound of `handgrad.rounding`. The
    differences after the whole training are reported beside, and not judged: there a descent whose rate is high, or
    whose cost is not convex, may have driven rounding errors apart without any backend being wrong.

    Args:
        neurons: by name, of equal configuration; the first one is the reference.
        train: X (n, m) and Y (1, m), on the host.
        validation: the same, or None.
        epochs: as for `Neuron.fit`, as are learning_rate, initial and progress.

    Returns:
        A row for each neuron; the differences of the reference are 0.

    Raises:
        DivergedError: of the neuron that its message names. Other errors are those of `Neuron.fit`.
    """
    sets = [(np.asarray(X), Y) for X, Y in ([train] if validation is None else [train, validation])]
    start = initial or Parameters.zeros(len(sets[0][0]))
    rows: list[Row] = []
    for backend, neuron in neurons.items():
        placed = [neuron.place(X, Y) for X, Y in sets]
        try:
            parameters, history = neuron.fit(
                placed[0], epochs=epochs, learning_rate=learning_rate, initial=start, progress=progress
            )
        except DivergedError as error:
            error.args = (f"{backend}: {error}",)
            raise
        activations = [neuron.predict_proba(parameters, examples) for examples in placed]
        if not rows:
            points = start, parameters
            reference, reference_activations = parameters, activations
            allowed = [_allowed(neuron, point, placed[0], sets[0], learning_rate) for point in points]
        at_points = [_at(neuron, point, placed[0], learning_rate) for point in points]
        if not rows:
            expected = at_points
        costs = [neuron.cost(parameters, examples) for examples in placed]
        accuracies = [neuron.accuracy(parameters, examples) for examples in placed]
        rows.append(
            Row(
                backend=backend,
                train_cost=costs[0],
                validation_cost=costs[1] if validation else math.nan,
                train_accuracy=accuracies[0],
                validation_accuracy=accuracies[1] if validation else math.nan,
                W_difference=_apart(parameters.W, reference.W),
                A_difference=max(_apart(a, b) for a, b in zip(activations, reference_activations, strict=True)),
                seconds_per_epoch=float(np.median(history.seconds)) if len(history) else math.nan,
                ratios={
                    kind: max(_apart(at_points[i][kind], expected[i][kind], allowed[i][kind]) for i in range(2))
                    for kind in allowed[0]
                },
            )
        )
        del placed  # before the next backend makes its own copy
    return rows


def _at(neuron: Neuron, point: Parameters, train: Examples, learning_rate: float) -> dict[str, Any]:
    """What is compared, computed from the same parameters."""
    dW, db = neuron.gradients(point, train)
    W, b = _descended(neuron, point, train, learning_rate, EPOCHS_TOGETHER)
    A = neuron.predict_proba(point, train)
    return {"cost": neuron.cost(point, train), "dW": dW, "db": db, "A": A, "W": W, "b": b}


def _allowed(
    neuron: Neuron, point: Parameters, placed: Examples, train: tuple[Array, Array], learning_rate: float
) -> dict[str, Any]:
    """How far two right backends may be apart in what `_at` gives: either may be off by the bound.

    W and b are after `EPOCHS_TOGETHER` epochs.
    """
    first = bounds(neuron, point, *train)
    path = [neuron.get_parameters(neuron.put_parameters(point))]
    for _ in range(EPOCHS_TOGETHER):
        path.append(neuron.get_parameters(neuron.step(path[-1], placed, learning_rate=learning_rate)))
    off = descent_bounds(neuron, path, *train, learning_rate)
    return {"cost": 2 * first.cost, "dW": 2 * first.dW, "db": 2 * first.db, "A": 2 * first.A, "W": off.W, "b": off.b}


def _descended(neuron: Neuron, point: Parameters, train: Examples, learning_rate: float, epochs: int) -> Parameters:
    """W and b after some epochs, which a backend may take in one call."""
    task, place = Task(Objective(neuron, train), None, epochs, 1), Place(0, neuron.put_parameters(point), {})
    with neuron.arithmetic():
        return neuron.get_parameters(GradientDescent(learning_rate).take(task, place, range(epochs)).parameters)


def _apart(a: Any, b: Any, allowed: Any = 1.0) -> float:
    """The largest |a - b|, in units of what is allowed."""
    return float(np.max(abs(np.asarray(a, np.float64) - b) / np.maximum(allowed, np.finfo(np.float64).tiny)))
