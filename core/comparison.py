"""Train every backend from the same start and say whether they agree."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from handgrad.neuron import Array, Neuron, Parameters
from handgrad.rounding import bounds

Examples = tuple[npt.NDArray[Any], npt.NDArray[Any]]
Numbers = dict[str, list[npt.NDArray[Any]]]


@dataclass(frozen=True)
class Row:
    """One backend after training, beside the reference.

    Attributes:
        backend: its name.
        train_cost, validation_cost, train_accuracy, validation_accuracy: with the trained parameters; the validation's
            are NaN without a validation set.
        W_difference: the largest |W - W of the reference|.
        A_difference: the largest difference of an activation, over both sets.
        seconds_per_epoch: the median.
        ratios: for "cost", "dW", "db", "W", "b" and "A" the largest of |difference to the reference| / |what rounding
            explains|; above 1 is a disagreement.
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


def compare(
    neurons: Mapping[str, Neuron],
    train: Examples,
    validation: Examples | None = None,
    *,
    epochs: int,
    learning_rate: float,
    initial: Parameters | None = None,
    progress: bool = False,
) -> list[Row]:
    """Train each neuron by the same descent and compare it with the first one.

    Two things are compared. Cost, dW and db *at the same parameters*, those of the reference before and after training,
    may differ by twice the bound of `handgrad.rounding`. W, b and A *after training* may differ by what such errors add
    up to, each times alpha, over the epochs; that holds where a step does not drive two starts apart: for a convex cost
    and a learning rate below 2 / the largest curvature.

    Args:
        neurons: by name, of equal configuration; the first one is the reference.
        train: X (n, m) and Y (1, m).
        validation: the same, or None.
        epochs, learning_rate, initial, progress: as for `Neuron.fit`.

    Returns:
        A row for each neuron; the differences of the reference are 0.
    """
    sets = [train] if validation is None else [train, validation]
    start = initial or Parameters.zeros(len(train[0]))
    rows: list[Row] = []
    same_points: list[Parameters] = []
    for backend, neuron in neurons.items():
        placed = [(neuron.put(X), neuron.put(Y)) for X, Y in sets]
        parameters, history = neuron.fit(
            *placed[0], epochs=epochs, learning_rate=learning_rate, initial=start, progress=progress
        )
        if not rows:
            same_points = [start, parameters]
            tolerances = _tolerances(neuron, same_points, sets, epochs, learning_rate)
        numbers = _numbers(neuron, parameters, same_points, placed)
        if not rows:
            reference = numbers
        unset = [math.nan]
        costs = [neuron.cost(parameters, X, Y) for X, Y in placed] + unset
        accuracies = [neuron.accuracy(parameters, X, Y) for X, Y in placed] + unset
        difference = {
            kind: [abs(a.astype(np.float64) - b) for a, b in zip(arrays, reference[kind], strict=True)]
            for kind, arrays in numbers.items()
        }
        rows.append(
            Row(
                backend=backend,
                train_cost=costs[0],
                validation_cost=costs[1],
                train_accuracy=accuracies[0],
                validation_accuracy=accuracies[1],
                W_difference=_largest(difference["W"]),
                A_difference=_largest(difference["A"]),
                seconds_per_epoch=float(np.median(history.seconds)) if len(history) else math.nan,
                ratios={
                    kind: _largest([d / t for d, t in zip(difference[kind], tolerances[kind], strict=True)])
                    for kind in numbers
                },
            )
        )
    return rows


def _numbers(
    neuron: Neuron, parameters: Parameters, same_points: list[Parameters], placed: list[tuple[Array, Array]]
) -> Numbers:
    """What is compared, by kind."""
    X, Y = placed[0]
    gradients = [neuron.gradients(point, X, Y) for point in same_points]
    return {
        "cost": [np.asarray(neuron.cost(point, X, Y)) for point in same_points],
        "dW": [dW for dW, _ in gradients],
        "db": [db for _, db in gradients],
        "W": [parameters.W],
        "b": [parameters.b],
        "A": [neuron.predict_proba(parameters, X) for X, _ in placed],
    }


def _tolerances(
    neuron: Neuron, same_points: list[Parameters], sets: list[Examples], epochs: int, learning_rate: float
) -> Numbers:
    """How far each of `_numbers` may lie from the reference's: both may be off, hence twice each bound."""
    at = [bounds(neuron, point, *sets[0]) for point in same_points]
    u = np.finfo(neuron.dtype).eps / 2
    _, end = same_points
    off = Parameters(
        epochs * (learning_rate * np.maximum(at[0].dW, at[1].dW) + u * abs(end.W)) + np.finfo(neuron.dtype).tiny,
        epochs * (learning_rate * max(at[0].db, at[1].db) + u * abs(end.b)) + np.finfo(neuron.dtype).tiny,
    )
    return {
        "cost": [np.asarray(2 * bound.cost) for bound in at],
        "dW": [2 * bound.dW for bound in at],
        "db": [np.asarray(2 * bound.db) for bound in at],
        "W": [2 * off.W],
        "b": [2 * off.b],
        "A": [2 * bounds(neuron, end, X, Y, within=off).A for X, Y in sets],
    }


def _largest(arrays: list[npt.NDArray[Any]]) -> float:
    return max(float(np.max(array)) for array in arrays)
