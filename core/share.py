"""Examples of which each of several processes has a share, as if all were here.

A full-batch gradient is a sum over examples: that over all of them is the sum of those over the shares, which the
processes add by one exchange of n + 2 numbers, loss, dW and db.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from handgrad import views
from handgrad.blocks import Parts
from handgrad.checks import examples
from handgrad.errors import DataError, UsageError
from handgrad.views import Views
from handgrad.weights import Weighted

if TYPE_CHECKING:
    from handgrad.neuron import Array
    from handgrad.processes import Processes


class Share(Parts):
    """X (n, k), this process' share of the examples; each process makes its own, at the same time.

    Costs and gradients of a share are those of all examples. Its labels are (1, k).

    Args:
        X: an array, or `handgrad.views` of one.
        processes: that have the other shares.

    Raises:
        DataError: a process has no example, or examples of another number of features; or X is not (n, k).
        UsageError: X is weighted: weights are relative to the largest, and each share would have its own of that.
    """

    def __init__(self, X: Array, processes: Processes) -> None:
        if isinstance(X, Weighted):
            raise UsageError("X is weighted; expected an array or views: weights do not go with several processes")
        shapes: list[tuple[int, int]] = processes.everyones(tuple(map(int, _stored(X).shape)))
        self.processes, self.counts = processes, [k for _, k in shapes]
        if not all(self.counts):
            raise DataError(
                f"X has {sum(self.counts)} examples for {processes.count} processes; expected one or more for each"
            )
        if len({n for n, _ in shapes}) > 1:
            raise DataError(f"X has {', '.join(str(n) for n, _ in shapes)} features; expected as many in each process")
        self.X, self.shape, self.m = examples(X), (X.shape[0], X.shape[1]), sum(self.counts)

    @property
    def total(self) -> float:
        """The examples in all shares, in all views."""
        views = len(self.X.views) if isinstance(self.X, Views) else 1
        return self.m * views

    def holding(self, X: Array, m: int | None = None) -> Share:
        """This share as it lies on the device; or its part of a batch, of m examples in all and perhaps none here."""
        share = object.__new__(Share)
        share.__dict__.update(self.__dict__, X=X, shape=(X.shape[0], X.shape[1]))
        if m is not None:
            share.m = m
        return share

    def here(self, which: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """Of these examples among all the ones that are in this share, counted from its first."""
        first = sum(self.counts[: self.processes.rank])
        return which[(which >= first) & (which < first + self.counts[self.processes.rank])] - first


def shared(X: Array, processes: Processes) -> Array:
    """The `Share` X; alone, X itself."""
    return X if processes.count == 1 else Share(X, processes)


def batch(X: Array, Y: Array, which: npt.NDArray[np.intp]) -> tuple[Array, Array]:
    """Of X and Y the examples of these numbers, which are those before any view; of a share, the ones that are here."""
    if not isinstance(X, Share):
        return views.batch(X, Y, which)
    x, y = views.batch(X.X, Y, X.here(which))
    return X.holding(x, len(which)), y


def before_views(X: Array) -> int:
    """The examples of X, in all shares, each counted once however many views there are of it."""
    return X.m if isinstance(X, Share) else int(_stored(X).shape[1])


def _stored(X: Array) -> Array:
    return X.X if isinstance(X, Views) else X
