"""Examples that are seen otherwise than they are stored: mirrored, standardised; without a copy of them.

A view of an example x is an affine map of its features, x' = (x[order] - mean) / deviation. The neuron sees x' through
W (s x') + b, which is linear in x too::

    Z = W' (s x) + b'        W'[order] = W / deviation        b' = b - s W (mean / deviation)

so that parameters are folded, not pixels changed: the sums over the views of some examples are the sums over these
examples, at folded parameters, and their gradients come back by the chain rule::

    dW = (dW'[order] - s mean db') / deviation                db = db'

A trained neuron is folded once, and is from then on a neuron of raw examples: prediction stays one dot product.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from handgrad.blocks import VALUES, Blocks, Joined, Parts
from handgrad.checks import examples
from handgrad.errors import UsageError
from handgrad.processes import ALONE, Processes

if TYPE_CHECKING:
    from handgrad.neuron import Array, Neuron, Parameters, Sums


CONSTANT = 1e-12
"""A feature whose deviation is less of its mean is one that never changes: what is left of it is rounding."""


@dataclass(frozen=True, eq=False)
class View:
    """x' = (x[order] - mean) / deviation.

    Attributes:
        order: (n,) whole numbers, a permutation of the features; None leaves them where they are.
        mean, deviation: (1, n), deviation above 0; None for both is 0 and 1.
    """

    order: npt.NDArray[np.intp] | None = None
    mean: Array | None = None
    deviation: Array | None = None

    @functools.cached_property
    def _back(self) -> npt.NDArray[np.intp]:
        assert self.order is not None
        return np.argsort(self.order)

    def fold(self, parameters: Parameters, input_scale: float) -> Parameters:
        """W' (1, n) and b' (), which give for x what `parameters` give for x'."""
        W, b = parameters
        if self.deviation is not None:
            W = W / self.deviation
            b = b - input_scale * (W * self.mean).sum()
        if self.order is not None:
            W = W[:, self._back]
        return type(parameters)(W, b)

    def unfold(self, sums: Sums, input_scale: float) -> Sums:
        """The sums, whose dW and db are those of W' and b', with the dW and db of `parameters`."""
        dW = sums.dW
        if self.order is not None:
            dW = dW[:, self.order]
        if self.deviation is not None:
            dW = (dW - input_scale * sums.db * self.mean) / self.deviation
        return sums._replace(dW=dW)

    def mirrored(self, order: npt.NDArray[np.intp]) -> View:
        """The view of this view in which feature j is feature order[j]."""
        moved = [None if V is None else V[:, order] for V in (self.mean, self.deviation)]
        return View(order if self.order is None else self.order[order], *moved)

    def placed(self, neuron: Neuron) -> View:
        """With its numbers on the device."""
        if self.deviation is None:
            return self
        return replace(self, mean=neuron.put(self.mean), deviation=neuron.put(self.deviation))


class Views(Parts):
    """X (n, k m): some views of the m examples of an array, one view after the other, as if they had been copied.

    Args:
        X: (n, m), an array.
        views: k of them, at least one.

    Raises:
        UsageError: there is none.
    """

    def __init__(self, X: Array, views: Sequence[View]) -> None:
        if not views:
            raise UsageError("views is empty; expected one view or more")
        self.X = X
        self.views = tuple(views)
        n, m = X.shape
        self.shape = n, m * len(self.views)

    def __iter__(self) -> Iterator[tuple[View, slice]]:
        """Each view, and which columns it is."""
        m = self.X.shape[1]
        for k, view in enumerate(self.views):
            yield view, slice(k * m, (k + 1) * m)

    def of(self, X: Array) -> Views:
        """Other examples in the first of the views: those of a validation set, or to predict."""
        return Views(X, self.views[:1])

    def folded(self, parameters: Parameters, input_scale: float) -> Parameters:
        """Of trained parameters, those for examples as they are stored: NumPy arrays of the same dtype.

        Args:
            parameters: W (1, n) and b (), NumPy arrays.
            input_scale: of the neuron.
        """
        wide = type(parameters)(*(np.asarray(V, np.float64) for V in parameters))
        W, b = self.views[0].fold(wide, input_scale)
        return type(parameters)(W.astype(parameters.W.dtype), np.asarray(b, parameters.b.dtype))


def mirrored(X: Array, size: tuple[int, int, int]) -> Views:
    """The examples of X, and after them the mirror image of each: X (n, 2 m), of which half takes no memory.

    Labels are to be given for both: ``np.tile(Y, 2)``.

    Args:
        X: (n, m), pixels, or `Views` of them.
        size: (h, w, c) of an example, n = h w c; what is left becomes right.

    Raises:
        DataError: X is no array (n, m).
        UsageError: the size is not that of an example.
    """
    X = examples(X)
    n = X.shape[0]
    if np.shape(size) != (3,) or min(size) < 1 or math.prod(size) != n:
        raise UsageError(f"size is {size}; expected (h, w, c) of examples with {n} features")
    order = np.arange(n).reshape(size)[:, ::-1].ravel()
    if not isinstance(X, Views):
        return Views(X, [View(), View(order)])
    return Views(X.X, [*X.views, *(view.mirrored(order) for view in X.views)])


@np.errstate(over="ignore", invalid="ignore")  # what is not finite is found, and named, in training
def standardised(X: Array, processes: Processes = ALONE) -> Views:
    """The examples of X with mean 0 and deviation 1 in every feature; a feature that never changes becomes 0.

    Args:
        X: (n, m), a NumPy array or `Joined` ones, read in blocks, or `Views` of such, all of which are counted.
        processes: that have the other examples, if X is but a share of them.

    Raises:
        DataError: X is empty, or not (n, m).
        UsageError: X is neither.
    """
    X = examples(X)
    views = X.views if isinstance(X, Views) else (View(),)
    array = X.X if isinstance(X, Views) else X
    if not isinstance(array, np.ndarray | Joined) or any(view.deviation is not None for view in views):
        raise UsageError(f"X is {type(array).__name__}; expected a NumPy array, or views that only mirror one")
    orders = [slice(None) if view.order is None else view.order for view in views]
    of_one, spread = _moments(array, processes)
    mean = np.mean([of_one[order] for order in orders], axis=0)
    variance = np.mean([spread[order] + (of_one[order] - mean) ** 2 for order in orders], axis=0)
    changes = variance > (CONSTANT * mean) ** 2
    deviation = np.sqrt(np.where(changes, variance, 1))
    return Views(array, [replace(view, mean=mean[np.newaxis], deviation=deviation[np.newaxis]) for view in views])


def _moments(
    X: npt.NDArray[Any] | Joined, processes: Processes
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The mean and the variance of each feature, (n,), by two reads."""
    n, m = X.shape
    blocks = Blocks(X, max(1, VALUES // (16 * n)))
    total, m = processes.add(sum(block.sum(axis=1, dtype=np.float64) for block, _ in blocks), m)
    mean = total / m
    variance = np.zeros(n)
    for block, _ in blocks:
        off = block - mean[:, np.newaxis]
        variance += np.einsum("ij,ij->i", off, off)
    return mean, processes.add(variance)[0] / m


def batch(X: Array, Y: Array, which: npt.NDArray[np.intp]) -> tuple[Array, Array]:
    """Of X and Y the examples of these numbers, which of `Views` are those of the array: each in all of its views."""
    if isinstance(X, Views):
        m, k = X.X.shape[1], len(X.views)
        in_all = (np.arange(k)[:, np.newaxis] * m + which).ravel()
        return Views(batch(X.X, Y[:, :m], which)[0], X.views), Y[:, in_all]
    return columns(X.X if isinstance(X, Blocks) else X, which), Y[:, which]


def columns(X: Array, which: npt.NDArray[np.intp]) -> Array:
    """X[:, which], some examples of an array; of NumPy's, each stays contiguous."""
    return X.T[which].T if isinstance(X, np.ndarray) else X[:, which]
