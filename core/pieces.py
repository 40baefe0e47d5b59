"""X of many bytes, worked on as numbers a few examples at a time.

A copy of X as numbers takes four or eight times its bytes, and a step then reads as much. Of a few examples at a time
the numbers stay in a cache, where they are made anew in each step: memory is read once, and only bytes.
"""

import functools
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from handgrad.threads import shares

MANY = 2**24
"""Bytes of X from which on they are taken in pieces; fewer, as numbers, are little memory and soon read."""

PIECE = 2**23
"""Bytes of the numbers that are worked on together."""

Method: TypeAlias = Callable[..., Any]


def of_bytes(X: Any) -> bool:
    """Whether X, any framework's array, is of bytes."""
    return str(X.dtype).rpartition(".")[2] == "uint8"


def many(X: Any, device: str) -> bool:
    """Whether X (n, m) is of bytes, and taken in pieces on such a device: on CPUs, where they are many."""
    return device.partition(":")[0] == "cpu" and X.shape[0] * X.shape[1] >= MANY and of_bytes(X)


def width(n: int, dtype: Any) -> int:
    """Examples in a piece, of n features, as numbers of dtype."""
    return int(max(1, PIECE // (n * np.dtype(dtype).itemsize)))


def added(sums: Iterable[Any]) -> Any:
    """The sum of what is given of each piece, by halves: its error grows with the logarithm of how many there are.

    Higham, "The Accuracy of Floating Point Summation", 1993, section 4.
    """
    halves: list[Any] = []  # each of twice as many pieces as the next one, or more
    for i, some in enumerate(sums, 1):
        while i % 2 == 0:
            some, i = halves.pop() + some, i // 2
        halves.append(some)
    return functools.reduce(lambda so_far, half: half + so_far, reversed(halves))


def in_pieces(
    join: Callable[[Iterable[Any]], Any], array: Callable[[npt.NDArray[Any]], Any] = np.asarray
) -> Callable[[Method], Method]:
    """A decorator of ``forward``, ``loss_sum`` or ``sums``: of X of `many` bytes, join(what it gives of each piece).

    A backend without threads of its own works on several pieces at the same time (`handgrad.threads`).

    Args:
        join: makes one result of those of consecutive pieces.
        array: a framework's array, in the memory of a NumPy array.
    """

    def decorator(method: Method) -> Method:
        @functools.wraps(method)
        def over_pieces(neuron: Any, parameters: Any, X: Any, *Y: Any) -> Any:
            if not many(X, neuron.device):
                return method(neuron, parameters, X, *Y)
            X, labels = neuron.put_inputs(X), [neuron.put(y) for y in Y]
            n, m = X.shape
            k = width(n, neuron.dtype)

            def of(starts: Sequence[int]) -> Any:
                workspace = array(_workspace.of(n * k, neuron.dtype).reshape(k, n))
                return join(piece(i, workspace) for i in starts)

            def piece(i: int, workspace: Any) -> Any:
                """Of X as numbers (n, k), where those of the piece before have been."""
                x = workspace[: min(k, m - i)]
                x[:] = X.T[i : i + k]
                return method(neuron, parameters, x.T, *(y[:, i : i + k] for y in labels))

            starts = range(0, m, k)
            return of(starts) if neuron.own_threads else join(shares(of, starts))

        return over_pieces

    return decorator


class _Workspace(threading.local):
    """Memory of a thread, kept: new memory costs more than the numbers that are written to it."""

    memory: npt.NDArray[np.uint8] = np.empty(0, np.uint8)

    def of(self, count: int, dtype: str) -> npt.NDArray[Any]:
        size = count * np.dtype(dtype).itemsize
        if self.memory.size < size:
            self.memory = np.empty(size, np.uint8)
        return self.memory[:size].view(dtype)


_workspace = _Workspace()
