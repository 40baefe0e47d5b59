"""Several processes, pretended by threads of this one: they wait for each other, add and agree as processes do."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from handgrad.processes import Processes


class Pretended(Processes):
    apart = True

    def __init__(self, rank, count, told=None, all_here=None):
        super().__init__()
        self.rank, self.count, self.told, self.all_here = rank, count, told, all_here

    def everyones(self, value):
        self.told[self.rank] = value
        self.all_here.wait()
        values = list(self.told)
        self.all_here.wait()
        return values

    def add(self, *arrays):
        found = self.everyones([np.asarray(V, np.float64) for V in arrays])
        return [sum(of_each) for of_each in zip(*found, strict=True)]

    def largest(self, values):
        return [max(of_each) for of_each in zip(*self.everyones(values), strict=True)]

    def first(self, value):
        return self.everyones(value)[0]


def together(count, work):
    """What work(processes) gives in each of several processes, by rank; or the first error that was raised in one."""
    told, all_here = [None] * count, threading.Barrier(count, timeout=60)

    def one(rank):
        try:
            return work(Pretended(rank, count, told, all_here))
        except BaseException:
            all_here.abort()
            raise

    with ThreadPoolExecutor(count) as threads:
        started = [threads.submit(one, rank) for rank in range(count)]
    errors = [error for error in (of.exception() for of in started) if error is not None]
    if errors:
        raise next((error for error in errors if not isinstance(error, threading.BrokenBarrierError)), errors[0])
    return [of.result() for of in started]
