"""A function over many items on all cores: results in order, few of them waiting, whatever the number of items."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def ordered_map(function: Callable[[T], R], items: Iterable[T]) -> Generator[tuple[T, R]]:
    """Yields (item, function(item)) in the order of items, from one thread per core.

    Threads suffice where function releases the interpreter lock, as Pillow's decoding and resizing do. At most
    four results per core are held. Closing the generator cancels what has not begun and waits for what has.
    """
    cores = os.cpu_count() or 1
    pool = ThreadPoolExecutor(cores)
    waiting: deque[tuple[T, Future[R]]] = deque()
    try:
        for item in items:
            waiting.append((item, pool.submit(function, item)))
            if len(waiting) == 4 * cores:
                done, result = waiting.popleft()
                yield done, result.result()
        for done, result in waiting:
            yield done, result.result()
    finally:
        pool.shutdown(cancel_futures=True)
