"""Arrays on the host, or in files, as they are stored: joined, taken in blocks, made fit for a framework."""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

VALUES = 2**26
"""Of X in a block, unless its width is given: 64 MB of bytes, 256 MB as float32."""


class Joined:
    """X (n, m) of bytes in several NumPy arrays, as they lie in several files; ``np.asarray`` copies them into one.

    Args:
        arrays: (n, m_p) uint8 each, one or more; their examples follow each other.
    """

    ndim = 2

    def __init__(self, arrays: Sequence[npt.NDArray[np.uint8]]) -> None:
        self.arrays = tuple(arrays)
        widths = [array.shape[1] for array in self.arrays]
        self.starts = np.cumsum([0, *widths[:-1]])
        self.shape = self.arrays[0].shape[0], sum(widths)
        self.size, self.dtype = math.prod(self.shape), np.dtype(np.uint8)

    def __getitem__(self, key: tuple[slice, Any]) -> Any:
        """Some of the examples, ``X[:, which]``: of a slice a view, `Joined` where it is one of several; else a copy.

        Raises:
            IndexError: there is no colon; or which is no slice, number from 0 to m - 1, or array of such numbers.
        """
        every, which = key
        n, m = self.shape
        if every != slice(None):
            raise IndexError(f"X[{every}, ...]: found no colon; expected X[:, which]")
        if isinstance(which, slice) and which.step in (None, 1):
            first, last, _ = which.indices(m)
            cut = [
                array[:, max(first - start, 0) : max(last - start, 0)]
                for start, array in zip(self.starts, self.arrays, strict=True)
            ]
            some = [array for array in cut if array.shape[1]] or cut[:1]
            return some[0] if len(some) == 1 else Joined(some)
        numbers = np.arange(m)[which] if isinstance(which, slice) else np.asarray(which)
        if numbers.size and not (numbers.dtype.kind in "iu" and numbers.min() >= 0 and numbers.max() < m):
            raise IndexError(f"X[:, {which}]: expected numbers of examples, from 0 to {m - 1}")
        of = np.searchsorted(self.starts, numbers, side="right") - 1
        rows = np.empty((*numbers.shape, n), self.dtype)
        for p in np.unique(of):
            rows[of == p] = self.arrays[p].T[numbers[of == p] - self.starts[p]]
        return rows.T

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        if copy is False:
            raise ValueError("X lies in several arrays; expected leave to copy them into one")
        return np.asarray(np.concatenate([array.T for array in self.arrays]).T, dtype)


class Blocks:
    """X (n, m) on the host, in blocks of consecutive examples.

    The sums over all examples are those over the blocks, added. Of memory-mapped examples, the block after the one that
    is worked on is asked for already, so that the disk works meanwhile.

    Args:
        X: (n, m), a NumPy array, or `Joined` ones, of which each block lies in one.
        width: examples in a block, the last one of an array perhaps fewer; by default, as many as have `VALUES` values.
    """

    def __init__(self, X: npt.NDArray[Any] | Joined, width: int | None = None) -> None:
        self.X = X
        self.width = width or max(1, VALUES // X.shape[0])

    def __iter__(self) -> Iterator[tuple[npt.NDArray[Any], slice]]:
        """Each block (n, width), a view, and which examples it holds."""
        arrays = getattr(self.X, "arrays", (self.X,))
        blocks = [array[:, i : i + self.width] for array in arrays for i in range(0, array.shape[1], self.width)]
        first = 0
        for block, ahead in pairwise([*blocks, None]):
            assert block is not None
            mapping = _mapping(ahead)
            if ahead is not None and mapping is not None:
                self._ask_for(ahead, mapping)
            yield block, slice(first, first + block.shape[1])
            first += block.shape[1]

    def _ask_for(self, block: npt.NDArray[Any], mapping: _Mapping) -> None:
        low, high = np.lib.array_utils.byte_bounds(block)
        start = (low - mapping.address) // mmap.PAGESIZE * mmap.PAGESIZE
        mapping.file.madvise(mmap.MADV_WILLNEED, start, high - mapping.address - start)


def on_host(X: Any) -> bool:
    """Whether X lies in memory or in files here, so that parts of it can be taken without a copy."""
    return isinstance(X, np.ndarray | Joined)


def columns(X: Any, which: npt.NDArray[np.intp]) -> Any:
    """X[:, which], some examples of an array; of NumPy's, each stays contiguous."""
    return X.T[which].T if isinstance(X, np.ndarray) else X[:, which]


def portable(array: Any, dtype: str) -> Any:
    """A NumPy array that frameworks take as it is: no copy, unless they would refuse or change its numbers.

    They know no foreign byte order, long double or negative strides; of JAX's own conversions, 64-bit integers come out
    with 32 bits and the float32 numbers below the smallest normal one as 0.
    """
    if not isinstance(array, np.ndarray):
        if hasattr(array, "__dlpack__") or not hasattr(array, "__array__"):
            return array
        array = np.asarray(array)  # of a library that has arrays within its own
    changed = array.dtype != dtype if array.dtype.kind == "f" else array.dtype.itemsize > 4
    if changed or not array.dtype.isnative or any(stride < 0 for stride in array.strides):
        return np.array(array, dtype, order="C")
    return array


class _Mapping(NamedTuple):
    file: mmap.mmap
    address: int


def _mapping(X: Any) -> _Mapping | None:
    while isinstance(X, np.ndarray):
        X = X.base
    if isinstance(X, mmap.mmap) and hasattr(X, "madvise"):
        return _Mapping(X, np.frombuffer(X, np.uint8).ctypes.data)
    return None
