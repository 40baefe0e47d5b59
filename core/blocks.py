"""Examples that stay where they are, on the host or in a file, and are looked at a block at a time."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

VALUES = 2**26
"""Of X in a block, unless its width is given: 64 MB of bytes, 256 MB as float32."""


class Parts:
    """X (n, m) that is not one array: `Neuron` gives its parts to a backend, one at a time, and adds."""

    shape: tuple[int, int]
    ndim = 2

    @property
    def total(self) -> float:
        """By what sums over the examples are divided to be means: m, unless examples have weights."""
        return self.shape[1]


class Blocks(Parts):
    """X (n, m) on the host, in blocks of consecutive examples.

    The sums over all examples are those over the blocks, added. Of a memory-mapped X, the block after the one that is
    worked on is asked for already, so that the disk works meanwhile.

    Args:
        X: (n, m), a NumPy array.
        width: examples in a block, the last one perhaps fewer; by default, as many as have `VALUES` values.
    """

    def __init__(self, X: npt.NDArray[Any], width: int | None = None) -> None:
        self.X, self.shape = X, (X.shape[0], X.shape[1])
        self.width = width or max(1, VALUES // X.shape[0])
        self.mapping = _mapping(X)

    def __iter__(self) -> Iterator[tuple[npt.NDArray[Any], slice]]:
        """Each block (n, width), a view, and which examples it holds."""
        m = self.shape[1]
        starts = range(0, m, self.width)
        for start in starts:
            here, ahead = (slice(i, min(i + self.width, m)) for i in (start, start + self.width))
            if self.mapping is not None and ahead.start < m:
                self._ask_for(self.X[:, ahead])
            yield self.X[:, here], here

    def _ask_for(self, block: npt.NDArray[Any]) -> None:
        assert self.mapping is not None
        low, high = np.lib.array_utils.byte_bounds(block)
        start = (low - self.mapping.address) // mmap.PAGESIZE * mmap.PAGESIZE
        self.mapping.file.madvise(mmap.MADV_WILLNEED, start, high - self.mapping.address - start)


class _Mapping(NamedTuple):
    file: mmap.mmap
    address: int


def in_a_file(X: npt.NDArray[Any]) -> bool:
    """Whether X is a view of a memory-mapped file."""
    return _mapping(X) is not None


def _mapping(X: Any) -> _Mapping | None:
    while isinstance(X, np.ndarray):
        X = X.base
    if isinstance(X, mmap.mmap) and hasattr(X, "madvise"):
        return _Mapping(X, np.frombuffer(X, np.uint8).ctypes.data)
    return None
