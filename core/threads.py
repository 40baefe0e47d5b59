"""How many threads work: of NumPy's OpenBLAS, which all of a process share, and of ours, where it is held to one.

OpenBLAS's threads wait for each other by spinning, and so for as long as another program has the core of one of them.
"""

import contextvars
import functools
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

MOST = 16
"""Threads of ours: each has memory of its own, and so many read as fast as memory delivers."""

_S = TypeVar("_S")
_T = TypeVar("_T")


class Held:
    """A setting of the whole process that is another one for a while: for as long as one thread of several asks for it.

    Args:
        change: makes it the other one, and gives what makes it again what it was.
    """

    def __init__(self, change: Callable[[], Callable[[], object]]) -> None:
        self._change = change
        self._lock = threading.Lock()
        self._users = 0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if not self._users:
                self._restore = self._change()
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._restore()


def _openblas() -> Any:
    """What sets its threads, in NumPy and in SciPy; None without it, or without threadpoolctl."""
    return _found("scipy.linalg" in sys.modules)


@functools.cache
def _found(_scipys_too: bool) -> Any:
    try:
        from threadpoolctl import ThreadpoolController
    except ModuleNotFoundError:
        return None
    found = ThreadpoolController().select(internal_api="openblas")
    return found if found.info() else None


def _to_one_thread() -> Callable[[], object]:
    blas = _openblas()
    restore: Callable[[], object] = (lambda: None) if blas is None else blas.limit(limits=1).restore_original_limits
    return restore


one_blas_thread = Held(_to_one_thread)
"""A context in which OpenBLAS works with one thread."""


def shares(function: Callable[[Sequence[_S]], _T], work: Sequence[_S]) -> list[_T]:
    """function(some) of consecutive shares of the work, at the same time, in as many threads as OpenBLAS may use.

    At most `MOST`. Each thread has an OpenBLAS of one thread. Where that cannot be set, one share is all of the work.
    """
    blas = _openblas()
    threads = 1 if blas is None else min(MOST, max(pool["num_threads"] for pool in blas.info()))
    share = -(-len(work) // threads)
    if share == len(work):
        return [function(work)]
    with one_blas_thread():
        # NumPy's errstate is of the context
        jobs = [
            _pool(threads).submit(contextvars.copy_context().run, function, work[i : i + share])
            for i in range(0, len(work), share)
        ]
        return [job.result() for job in jobs]


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "handgrad")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # threads are not in a child
