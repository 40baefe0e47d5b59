"""X of many bytes, worked on as numbers a few examples at a time.

A copy of X as numbers takes four or eight times its bytes, and a step then reads as much. Of a few examples at a time
the numbers stay in a cache, where they are made anew in each step: memory is read once, and only bytes.
"""

import functools
import operator
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

MANY = 2**24
"""Bytes of X from which on they are taken in pieces; fewer, as numbers, are little memory and soon read."""

PIECE = 2**23
"""Bytes of the numbers that are worked on together."""

Method: TypeAlias = Callable[..., Any]

added = functools.partial(functools.reduce, operator.add)
"""The sum of what is given of each piece."""


def of_bytes(X: Any) -> bool:
    """Whether X, any framework's array, is of bytes."""
    return str(X.dtype).rpartition(".")[2] == "uint8"


def many(X: Any, device: str) -> bool:
    """Whether X (n, m) is of bytes, and taken in pieces on such a device: on one CPU, where they are many."""
    return device.partition(":")[0] == "cpu" and X.shape[0] * X.shape[1] >= MANY and of_bytes(X)


def width(n: int, dtype: Any) -> int:
    """Examples in a piece, of n features, as numbers of dtype."""
    return int(max(1, PIECE // (n * np.dtype(dtype).itemsize)))


def in_pieces(
    join: Callable[[Iterable[Any]], Any], array: Callable[[npt.NDArray[Any]], Any] = np.asarray
) -> Callable[[Method], Method]:
    """A decorator of ``forward``, ``loss_sum`` or ``sums``: of X of `many` bytes, join(what it gives of each piece).

    Args:
        join: makes one result of those of the pieces, in their order.
        array: a framework's array, in the memory of a NumPy array.
    """

    def decorator(method: Method) -> Method:
        @functools.wraps(method)
        def over_pieces(neuron: Any, parameters: Any, X: Any, *Y: Any) -> Any:
            if not many(X, neuron.device):
                return method(neuron, parameters, X, *Y)
            labels = [neuron.put(y) for y in Y]
            pieces = _pieces(X, neuron.dtype, array)
            return join(method(neuron, parameters, x, *(y[:, which] for y in labels)) for x, which in pieces)

        return over_pieces

    return decorator


def _pieces(X: Any, dtype: str, array: Callable[[npt.NDArray[Any]], Any]) -> Iterator[tuple[Any, slice]]:
    """Each piece of X (n, m) as numbers (n, k), where the one before has been; and which examples it holds."""
    n, m = X.shape
    k = width(n, dtype)
    room = array(_room.of(n * k, dtype).reshape(k, n))
    for i in range(0, m, k):
        x = room[: min(k, m - i)]
        x[:] = X.T[i : i + k]
        yield x.T, slice(i, i + k)


class _Room(threading.local):
    """Memory of a thread, kept: new memory costs more than the numbers that are written to it."""

    memory: npt.NDArray[np.uint8] = np.empty(0, np.uint8)

    def of(self, count: int, dtype: str) -> npt.NDArray[Any]:
        size = count * np.dtype(dtype).itemsize
        if self.memory.size < size:
            self.memory = np.empty(size, np.uint8)
        return self.memory[:size].view(dtype)


_room = _Room()
