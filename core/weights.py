"""Examples that count more or less than one, by the sums that every backend gives.

The cost of examples with weights w_i >= 0 is their weighted mean loss, and the penalty::

    J = sum_i w_i L(A_i, Y_i) / sum_i w_i + (l2 / 2) W W^T

so that an example of weight 0 is one that is not there, and one of weight 2 is there twice; only ratios of weights
matter. A backend sums over examples that count alike, and that is enough, for every sum: with G_w the examples of
weight w,

    sum_i w_i L_i = sum_w w (sum of L_i over i in G_w)

Each evaluation calls the backend once for each distinct weight, and is as exact as the sums that it adds. That is fast
for a few weights, of classes, say, or counts; where every example has its own, it is right but slow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from handgrad.blocks import Parts
from handgrad.checks import examples
from handgrad.errors import DataError, UsageError
from handgrad.views import Views, columns

if TYPE_CHECKING:
    from handgrad.neuron import Array


class Group(NamedTuple):
    """Examples that count alike.

    Attributes:
        weight: of each of them, above 0.
        X: (n, k), an array.
        which: (k,) ascending whole numbers: the columns that they are among all examples.
    """

    weight: float
    X: Array
    which: npt.NDArray[np.intp]


class Weighted(Parts):
    """X (n, m), of which each example has a weight; made by `weighted`.

    Args:
        groups: one or more, in which each of the m examples is once.
        mean: weight; by default, of these examples. A batch is given that of all, so that its gradients are in the mean
            those of all.
    """

    def __init__(self, groups: Sequence[Group], mean: float | None = None) -> None:
        self.groups = tuple(groups)
        m = sum(len(group.which) for group in self.groups)
        self.shape = int(self.groups[0].X.shape[0]), m
        self.mean = sum(group.weight * len(group.which) for group in self.groups) / m if mean is None else mean
        self.group, self.place = np.empty((2, m), np.intp)  # of each example
        for number, group in enumerate(self.groups):
            self.group[group.which] = number
            self.place[group.which] = np.arange(len(group.which))

    @property
    def total(self) -> float:
        """The sum of the weights; of a batch, were they on average those of all."""
        return self.shape[1] * self.mean

    def __iter__(self) -> Iterator[Group]:
        return iter(self.groups)

    def __getitem__(self, key: tuple[slice, npt.NDArray[np.intp]]) -> Weighted:
        """The examples of these numbers, ``X[:, which]``."""
        of, place = self.group[key[1]], self.place[key[1]]
        groups = []
        for number in np.unique(of):
            weight, X, _ = self.groups[number]
            which = np.flatnonzero(of == number)
            groups.append(Group(weight, columns(X, place[which]), which))
        return Weighted(groups, self.mean)


def weighted(X: Array, Y: Array, weights: npt.ArrayLike) -> tuple[Weighted, Array]:
    """X and Y, to train on or to take a cost of, in which each example has a weight; those of weight 0 are left out.

    Args:
        X: (n, m), an array; its examples are copied, group by group.
        Y: (1, m).
        weights: (m,), finite and at least 0, and not all 0.

    Raises:
        DataError: the weights are not that, or not as many as the columns of X and of Y; or X is not (n, m).
        UsageError: X is `Views`.
    """
    if isinstance(X, Views):
        raise UsageError("X is Views; expected an array: weigh the examples of a copy")
    X, w = examples(X), np.asarray(weights, np.float64)
    m = X.shape[1]
    if w.shape != (m,) or np.shape(Y) != (1, m):
        raise DataError(
            f"weights and Y have shapes {w.shape} and {np.shape(Y)}; expected ({m},) and (1, {m}), for {m} columns of X"
        )
    wrong = np.flatnonzero(~(np.isfinite(w) & (w >= 0)))
    if len(wrong):
        raise DataError(f"weight {w[wrong[0]]} of example {wrong[0]}; expected a finite number of at least 0")
    counted = np.flatnonzero(w)
    if not len(counted):
        raise DataError("the weights are all zero; expected some that are above 0")
    distinct, of, sizes = np.unique(w[counted], return_inverse=True, return_counts=True)
    groups = np.split(np.argsort(of, kind="stable"), np.cumsum(sizes)[:-1])
    shares = distinct / distinct[-1]  # of the largest, so that no sum overflows
    return (
        Weighted([Group(float(w), columns(X, counted[g]), g) for w, g in zip(shares, groups, strict=True)]),
        Y[:, counted],
    )
