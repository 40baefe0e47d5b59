"""NumPy's arrays on the host: read ahead where they lie in files, and made fit for a framework."""

import mmap
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


def read_ahead(blocks: Sequence[npt.NDArray[Any]]) -> Iterator[npt.NDArray[Any]]:
    """Each of them; of memory-mapped ones the next is asked for already, so that the disk works meanwhile."""
    for block, ahead in pairwise([*blocks, None]):
        mapping = _mapping(ahead)
        if ahead is not None and mapping is not None:
            _ask_for(ahead, mapping)
        assert block is not None
        yield block


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


def _ask_for(block: npt.NDArray[Any], mapping: _Mapping) -> None:
    low, high = np.lib.array_utils.byte_bounds(block)
    start = (low - mapping.address) // mmap.PAGESIZE * mmap.PAGESIZE
    mapping.file.madvise(mmap.MADV_WILLNEED, start, high - mapping.address - start)
