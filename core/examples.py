"""What is summed over: X as it is stored, of any kind, and examples where a neuron sums over them.

A kind of stored X is a class of its own, here or in anybody's program: a `Stored` that says what it has, and gives some
of it. `handgrad.views` sees stored examples otherwise than they are, `handgrad.placing` checks them and puts them where
they are summed, as `Examples`, and `handgrad.objective` adds.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeGuard

import numpy as np
import numpy.typing as npt

from handgrad.affine import View
from handgrad.backend import Array, Backend
from handgrad.errors import DataError
from handgrad.host import read_ahead
from handgrad.processes import Processes

VALUES = 2**26
"""Of X in a block, unless its width is given: 64 MB of bytes, 256 MB as float32."""


class Stored(ABC):
    """X (n, m) on the host that is more than one array: examples are taken of it, in blocks or all, as they are needed.

    A kind of its own sets `shape` and `dtype`, and writes `take`; every method of a neuron takes it for X, and so does
    every function of `handgrad.views`. ``X[:, which]`` and ``np.asarray(X)`` are made of that.

    Attributes:
        shape: (n, m).
        dtype: NumPy's, of its values: uint8, or floats.
    """

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    ndim = 2

    @abstractmethod
    def take(self, numbers: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
        """The examples of these numbers, each from 0 to m - 1, in this order: (n, k), the transpose of a C array."""

    def taken(self, numbers: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
        """As `take`; a DataError where that gives something else than it should."""
        found, expected = self.take(numbers), (self.shape[0], len(numbers))
        right = type(found) in (np.ndarray, np.memmap) and found.dtype.kind in "buif"
        if not right or found.shape != expected or found.dtype != self.dtype:
            given = f"{type(found).__name__} {getattr(found, 'shape', '')} {getattr(found, 'dtype', '')}".strip()
            raise DataError(
                f"{type(self).__name__}.take gave {given} of {len(numbers)} examples; "
                f"expected an array {expected} of {np.dtype(self.dtype)}, of bytes, integers or floats"
            )
        return found

    def cut(self, first: int, last: int) -> npt.NDArray[Any] | Stored:
        """The examples from one number up to another, without a copy where there is a way."""
        return self.taken(np.arange(first, last))

    def blocks(self, width: int) -> Iterator[npt.NDArray[Any]]:
        """All examples in their order, in arrays (n, k) of up to so many."""
        m = self.shape[1]
        return (np.asarray(self.cut(i, min(i + width, m))) for i in range(0, m, width))

    @property
    def size(self) -> int:
        """How many values: n m."""
        return math.prod(self.shape)

    def __getitem__(self, key: tuple[slice, Any]) -> Any:
        """Some of the examples, ``X[:, which]``: of a slice by `cut`; else by `take`.

        Raises:
            IndexError: there is no colon; or which is no slice, number from 0 to m - 1, or array of such numbers.
        """
        (every, which), (n, m) = key if isinstance(key, tuple) and len(key) == 2 else (key, None), self.shape
        if which is None or every != slice(None):
            raise IndexError(f"X[{every}, ...]: found no colon; expected X[:, which]")
        if isinstance(which, slice) and which.step in (None, 1):
            first, last, _ = which.indices(m)
            return self.cut(first, max(first, last))
        numbers = np.arange(m)[which] if isinstance(which, slice) else np.asarray(which)
        if numbers.size and not (numbers.dtype.kind in "iu" and numbers.min() >= 0 and numbers.max() < m):
            raise IndexError(f"X[:, {which}]: expected numbers of examples, from 0 to {m - 1}")
        return self.taken(numbers.ravel().astype(np.intp)).T.reshape(*numbers.shape, n).T

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        if copy is False:
            raise ValueError("X is no array; expected leave to copy it into one")
        rows = np.empty(self.shape[::-1], self.dtype)
        for block, which in in_blocks(self):
            rows[which] = block.T
        return np.asarray(rows.T, dtype)


class Joined(Stored):
    """X (n, m) in several NumPy arrays, as they lie in several files; ``np.asarray`` copies them into one.

    Args:
        arrays: (n, m_p) of one dtype, one or more; their examples follow each other.

    Raises:
        DataError: they are not that.
    """

    def __init__(self, arrays: Sequence[npt.NDArray[Any]]) -> None:
        self.arrays = tuple(arrays)
        kinds = {(array.shape[:-1], str(array.dtype)) for array in self.arrays}
        if len(kinds) != 1:
            found = ", ".join(f"{array.shape} {array.dtype}" for array in self.arrays)
            raise DataError(f"found {found or 'no arrays'}; expected arrays (n, m_p) with one n, and of one dtype")
        widths = [array.shape[1] for array in self.arrays]
        self.starts = np.cumsum([0, *widths[:-1]])
        self.shape, self.dtype = (self.arrays[0].shape[0], sum(widths)), self.arrays[0].dtype

    def take(self, numbers: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
        if len(self.arrays) == 1:
            return self.arrays[0].T[numbers].T
        of = np.searchsorted(self.starts, numbers, side="right") - 1
        rows = np.empty((len(numbers), self.shape[0]), self.dtype)
        for p in np.unique(of):
            rows[of == p] = self.arrays[p].T[numbers[of == p] - self.starts[p]]
        return rows.T

    def cut(self, first: int, last: int) -> npt.NDArray[Any] | Joined:
        """Views; `Joined` where they are of several arrays."""
        cut = [
            array[:, max(first - start, 0) : max(last - start, 0)]
            for start, array in zip(self.starts, self.arrays, strict=True)
        ]
        some = [array for array in cut if array.shape[1]] or cut[:1]
        return some[0] if len(some) == 1 else Joined(some)

    def blocks(self, width: int) -> Iterator[npt.NDArray[Any]]:
        """Views, of which each lies in one array; of files, read ahead."""
        return read_ahead([of[:, i : i + width] for of in self.arrays for i in range(0, of.shape[1], width)])


def stored(X: npt.NDArray[Any] | Stored) -> Stored:
    """X on the host, also of one array, as what examples are taken of."""
    return X if isinstance(X, Stored) else Joined([X])


def on_host(X: Any) -> bool:
    """Whether X lies in memory or in files here, so that parts of it can be taken."""
    return isinstance(X, np.ndarray | Stored)


def in_blocks(X: npt.NDArray[Any] | Stored, width: int = 0) -> Iterator[tuple[npt.NDArray[Any], slice]]:
    """X (n, m) on the host in blocks (n, k) of consecutive examples, and which these are.

    The sums over all examples are those over the blocks, added.

    Args:
        width: examples in a block, some perhaps fewer; 0 for as many as have `VALUES` values.
    """
    first = 0
    for block in stored(X).blocks(width or max(1, VALUES // X.shape[0])):
        yield block, slice(first, first := first + block.shape[1])


def columns(X: Any, which: npt.NDArray[np.intp]) -> Any:
    """X[:, which], some examples of any array (n, m); of those on the host, each stays contiguous."""
    return stored(X).taken(which) if on_host(X) else X[:, which]


def is_placed(X: Any) -> TypeGuard[Examples]:
    """Whether X is what a neuron has placed."""
    return isinstance(X, Examples)


class Part(NamedTuple):
    """Examples that are summed by one call: x (n, k); in each view their labels (1, k), and how much each counts."""

    x: Array
    labels: tuple[Array, ...]
    weights: tuple[float, ...]

    def some(self, which: Any, x: Array = None) -> Part:
        """Those of these columns, which are x, if they have been taken already."""
        labels = tuple(None if y is None else y[:, which] for y in self.labels)
        return Part(columns(self.x, which) if x is None else x, labels, self.weights)


@dataclass(frozen=True, eq=False, repr=False)
class Examples:
    """What `Neuron.place` gives, and every method of a neuron takes for X and Y.

    Attributes:
        backend: that placed them; any neuron of its kind, dtype and device takes them.
        parts: one that lies on the device whole; or one for each distinct weight; or, where `block` is not 0, one that
            stays on the host, of which so many examples at a time are put on the device.
        shape: (n, m) of the examples here, each counted once.
        views: of every example, one or more.
        processes: of which each has parts of its own.
        counts: examples in each process.
        m: examples in all processes; of a batch, fewer.
        mean: that of the weights.
        where: of each example here (2, m) in which part it is, and where in it; None where there is one part.
        block: examples in a block; 0 where they are whole.
    """

    backend: Backend
    parts: tuple[Part, ...]
    shape: tuple[int, int]
    views: tuple[View, ...]
    processes: Processes
    counts: tuple[int, ...]
    m: int
    mean: float = 1.0
    where: npt.NDArray[np.intp] | None = None
    block: int = 0

    @property
    def total(self) -> float:
        """By what sums are divided to be means: the sum of the weights, in all views and processes."""
        return self.m * len(self.views) * self.mean

    @property
    def labelled(self) -> bool:
        """Whether there are labels."""
        return all(part.labels[0] is not None for part in self.parts)

    @property
    def parted(self) -> str:
        """Why they are not all in one array on the device, as it is seen, in words; empty where they are."""
        if self.processes.apart:
            return "X is a share"
        if self.where is not None:
            return "X is weighted"
        return f"block is {self.block}" if self.block else "" if all(v.as_stored for v in self.views) else "X is a view"

    @property
    def whole(self) -> tuple[Array, Array] | None:
        """X and Y, where they are."""
        if self.parted:
            return None
        ((x, (y,), _),) = self.parts
        return x, y

    def labels(self) -> npt.NDArray[Any]:
        """Y (1, k m), view after view, on the host."""
        return np.concatenate([self.backend.get(y) for y in self.parts[0].labels], axis=1)

    def unlabelled(self) -> Examples:
        """The same with labels that are all 0, so that what is summed depends on X alone."""

        def of(part: Part) -> Part:
            y = self.backend.put(np.zeros((1, part.x.shape[1]), np.uint8))
            return part._replace(labels=(y,) * len(part.labels))

        return replace(self, parts=tuple(map(of, self.parts)))

    def batch(self, numbers: npt.NDArray[np.intp]) -> Examples:
        """Those of these numbers, which count from 0 to m - 1; of several processes, each has those that are its."""
        first = sum(self.counts[: self.processes.rank])
        here = numbers[(numbers >= first) & (numbers < first + self.shape[1])] - first
        of, at = (np.zeros_like(here), here) if self.where is None else self.where[:, here]
        parts = tuple(self.parts[part].some(at[of == part]) for part in np.unique(of))
        return replace(self, parts=parts, shape=(self.shape[0], len(here)), m=len(numbers), block=0)

    def sample(self, k: int, input_scale: float) -> npt.NDArray[np.float64]:
        """Of up to k examples, drawn by chance, in all views: sqrt(w) (s x, 1), in rows (r, n + 1), on the host.

        Those of one view, and then those of the next; the same in all processes.
        """
        n, views = self.shape[0], len(self.views)
        numbers = np.sort(np.random.default_rng(0).choice(self.m, min(max(1, k // views), self.m), replace=False))
        start = int(np.searchsorted(numbers, sum(self.counts[: self.processes.rank])))
        rows = np.zeros((views, len(numbers), n + 1))
        for x, _, weights in self.batch(numbers).parts:
            here = self.backend.get(x).astype(np.float64)
            which = slice(start, start := start + here.shape[1])
            for of_view, view, w in zip(rows, self.views, weights, strict=True):
                of_view[which, :-1] = np.sqrt(w) * input_scale * view.of(here, self.backend).T
                of_view[which, -1] = np.sqrt(w)
        if self.processes.apart:
            (rows,) = self.processes.add(rows)
        return rows.reshape(-1, n + 1)

    def put_parts(self) -> Iterable[Part]:
        """The parts as they are put on the device, one at a time."""
        if not self.block:
            return self.parts
        (part,) = self.parts
        return (part.some(which, self.backend.put_inputs(x)) for x, which in in_blocks(part.x, self.block))
