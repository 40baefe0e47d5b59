"""What stands for X where examples are not just what is stored: mirrored, standardised, weighted, shared.

Each of these takes an array X (n, m), or what another one made of it, and copies nothing. The cost of examples with
weights w_i >= 0 is their weighted mean loss, and the penalty::

    J = sum_i w_i L(A_i, Y_i) / sum_i w_i + (l2 / 2) W W^T

so that an example of weight 0 is one that is not there, and one of weight 2 is there twice; only ratios of weights
matter. What is shared among processes has the cost and gradients of all examples, whichever process asks for them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from handgrad.affine import View
from handgrad.backend import Array, Parameters
from handgrad.checks import array, checked_parameters, count, examples, instance, number, shaped, shown
from handgrad.errors import DataError, UsageError
from handgrad.examples import VALUES, in_blocks, is_placed, on_host
from handgrad.processes import ALONE, Processes

CONSTANT = 1e-12
"""A feature whose deviation is less of its mean is one that never changes: what is left of it is rounding."""


@dataclass(frozen=True, eq=False)
class Seen:
    """X (n, k m): k views of the m examples of an array, one view after the other, as if they had been copied.

    Attributes:
        X: (n, m), the array, as it is stored.
        views: k of them; labels are (1, k m).
        weights: (k m,), float64, finite and at least 0; None where all examples count alike.
        processes: of which each has examples of its own, and the labels of these; all take part in every sum.

    Raises:
        DataError: X is no array (n, m), or the weights are not as many as its columns.
        UsageError: the views or the processes are none.
    """

    X: Array
    views: tuple[View, ...] = (View(),)
    weights: npt.NDArray[np.float64] | None = None
    processes: Processes = ALONE

    def __post_init__(self) -> None:
        object.__setattr__(self, "X", examples(self.X))
        if not (isinstance(self.views, tuple) and self.views and all(isinstance(view, View) for view in self.views)):
            raise UsageError(f"views is {shown(self.views)}; expected a tuple of handgrad.affine.View")
        if self.weights is not None:
            object.__setattr__(self, "weights", shaped("weights", self.weights, self.shape[1]))
        instance("processes", self.processes, Processes)

    @property
    def shape(self) -> tuple[int, int]:
        """(n, k m)."""
        n, m = self.X.shape
        return n, m * len(self.views)

    def of(self, X: Array) -> Seen:
        """Other examples in the first of the views: those of a validation set, or to predict."""
        return Seen(X, self.views[:1], processes=self.processes)

    def folded(self, parameters: Parameters, input_scale: float) -> Parameters:
        """Of trained parameters, those for examples as they are stored: NumPy arrays of the same dtype.

        Args:
            parameters: W (1, n) and b (), NumPy arrays.
            input_scale: of the neuron.

        Raises:
            UsageError: the parameters do not fit X, or the scale is none.
        """
        given = checked_parameters(parameters, self.shape)
        wide = Parameters(*(np.asarray(V, np.float64) for V in given))
        W, b = self.views[0].fold(wide, number("input_scale", input_scale))
        return Parameters(*(np.asarray(V, was.dtype) for V, was in zip((W, b), given, strict=True)))


def seen(X: Array | Seen) -> Seen:
    """X itself, or an array (n, m) as it is stored.

    Raises:
        DataError: it is no array (n, m).
        UsageError: it is what a neuron has placed.
    """
    if is_placed(X):
        raise UsageError("X is placed; expected an array: make views of it, and place these")
    return X if isinstance(X, Seen) else Seen(examples(X))


def mirrored(X: Array | Seen, size: tuple[int, int, int]) -> Seen:
    """The examples of X, and after them the mirror image of each: X (n, 2 m), of which half takes no memory.

    Labels are to be given for both: ``np.tile(Y, 2)``. Both of an example have its weight, if it has one.

    Args:
        X: (n, m), pixels, or what another function here made of them.
        size: (h, w, c) of an example, n = h w c; what is left becomes right.

    Raises:
        DataError: X is no array (n, m).
        UsageError: the size is not that of an example.
    """
    X = seen(X)
    n = X.shape[0]
    sides = [count("size", side, 1) for side in size] if isinstance(size, tuple | list | np.ndarray) else []
    if len(sides) != 3 or math.prod(sides) != n:
        raise UsageError(f"size is {shown(size)}; expected (h, w, c) of examples X with {n} features")
    order = np.arange(n).reshape(sides)[:, ::-1].ravel()
    weights = None if X.weights is None else np.tile(X.weights, 2)
    return replace(X, views=(*X.views, *(view.mirrored(order) for view in X.views)), weights=weights)


@np.errstate(over="ignore", invalid="ignore")  # what is not finite is found, and named, in training
def standardised(X: Array | Seen) -> Seen:
    """The examples of X with mean 0 and deviation 1 in every feature; a feature that never changes becomes 0.

    Args:
        X: (n, m), a NumPy array or another `Stored` one, read in blocks, or what `mirrored` or `shared` made of such;
            mirror images are counted, and so are the examples of the other processes.

    Raises:
        DataError: X is empty, or not (n, m).
        UsageError: X is none of these.
    """
    X = seen(X)
    if not on_host(X.X) or any(view.deviation is not None for view in X.views):
        raise UsageError(f"X is {type(X.X).__name__}; expected a NumPy array, or views that only mirror one")
    if X.weights is not None:
        raise UsageError("X is weighted; its moments would count each example once; standardise first, and then weigh")
    orders = [slice(None) if view.order is None else view.order for view in X.views]
    of_one, spread = _moments(X.X, X.processes)
    mean = np.mean([of_one[order] for order in orders], axis=0)
    variance = np.mean([spread[order] + (of_one[order] - mean) ** 2 for order in orders], axis=0)
    changes = variance > (CONSTANT * mean) ** 2
    deviation = np.sqrt(np.where(changes, variance, 1))
    views = [replace(view, mean=mean[np.newaxis], deviation=deviation[np.newaxis]) for view in X.views]
    return replace(X, views=tuple(views))


def _moments(X: Any, processes: Processes) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The mean and the variance of each feature, (n,), by two reads."""
    n, m = X.shape
    width = max(1, VALUES // (16 * n))
    total, m = processes.add(sum(block.sum(axis=1, dtype=np.float64) for block, _ in in_blocks(X, width)), m)
    mean = total / m
    variance = np.zeros(n)
    for block, _ in in_blocks(X, width):
        off = block - mean[:, np.newaxis]
        variance += np.einsum("ij,ij->i", off, off)
    return mean, processes.add(variance)[0] / m


def weighted(X: Array | Seen, weights: npt.ArrayLike) -> Seen:
    """The examples of X, of which each counts as much as its weight says; those of weight 0 are left out.

    Examples that count alike are summed by one call of the backend, and are copied together for it: fast for a few
    weights, of classes, say, or counts; where every example has its own, right but slow.

    Args:
        X: (n, m), or what another function here made of it.
        weights: (m,), one for each column of X, finite and at least 0, and not all 0, here and in all processes.

    Raises:
        DataError: the weights are not that, or not as many as the columns of X; or X is not (n, m).
        UsageError: X is weighted already, or the weights are no numbers.
    """
    X, w = seen(X), np.asarray(array("weights", weights, UsageError), np.float64)
    if X.weights is not None:
        raise UsageError("X is weighted already; expected it without, and the products of both as weights")
    if w.shape != X.shape[1:]:
        raise DataError(f"weights have shape {w.shape}; expected {X.shape[1:]}, one for each column of X")
    wrong = np.flatnonzero(~(np.isfinite(w) & (w >= 0)))
    if len(wrong):
        raise DataError(f"weight {w[wrong[0]]} of example {wrong[0]}; expected a finite number of at least 0")
    return replace(X, weights=w)


def shared(X: Array | Seen, processes: Processes) -> Seen:
    """The examples of X as this process' share of all; each process makes its own, at the same time.

    Args:
        X: (n, k), or what another function here made of it: one example or more, each of n features in all processes.
        processes: that have the other shares.

    Raises:
        DataError: a process has no example, or examples of another number of features; or X is not (n, k).
        UsageError: X is standardised: by the moments of this share alone.
    """
    processes = instance("processes", processes, Processes)
    X = X if hasattr(X, "shape") else array("X", X, DataError)
    shape = tuple(map(int, X.shape))
    if len(shape) != 2:
        examples(X)  # which says so
    shapes: list[tuple[int, int]] = processes.everyones(shape)
    if not all(k for _, k in shapes):
        found = sum(k for _, k in shapes)
        raise DataError(f"X has {found} examples for {processes.count} processes; expected one or more for each")
    if len({n for n, _ in shapes}) > 1:
        raise DataError(f"X has {', '.join(str(n) for n, _ in shapes)} features; expected as many in each process")
    X = seen(X)
    if X.processes is not processes and processes.apart and any(view.deviation is not None for view in X.views):
        raise UsageError("X is standardised, by the moments of this share alone; share first, then standardise")
    return replace(X, processes=processes)
