"""The processes that PyTorch's ``torchrun`` started: how they meet, add, and end together.

torchrun tells each which one it is, and starts them again where one died. They talk through ``torch.distributed``: gloo
between CPUs, NCCL between GPUs. One that dies is known by name (`handgrad.watch`).
"""

import itertools
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from handgrad import watch
from handgrad.errors import HandgradError, MissingExtraError, reason_of
from handgrad.processes import ALONE, Processes
from handgrad.watch import LostError, Watch

AWAKE = 0.01
"""Seconds that a process waits for the others without sleep, on cores of its own."""


class FailedElsewhereError(HandgradError):
    """Another process failed, and said why.

    Args:
        exit_code: of its error.
    """

    def __init__(self, exit_code: int) -> None:
        super().__init__("another process failed, and said why")
        self.exit_code = exit_code


def launched() -> bool:
    """Whether this is one of several processes that torchrun started."""
    return "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ["WORLD_SIZE"]) > 1


@contextmanager
def joined() -> Iterator[Processes]:
    """The processes that torchrun started, this one among them; or this one alone, where it did not.

    An error within it, in any of them, ends all: it is raised where it came first, and says which rank that was; the
    others raise a `FailedElsewhereError` or, where they hang in an exchange, exit.

    Raises:
        MissingExtraError: PyTorch is not installed.
    """
    if not launched():
        yield ALONE
        return
    together = _Together()
    try:
        together.join()
        yield together
        together.leave()
    except BaseException as error:
        if isinstance(error, SystemExit) and not error.code:
            together.leave()
            raise
        if isinstance(error, RuntimeError | LostError):  # as torch and JAX raise where another process is gone
            together.watch.wait_for_the_lost()
        together.watch.over.set()
        together.break_off()
        code = getattr(error, "exit_code", 1)
        if not together.watch.first_to_fail(code):
            raise FailedElsewhereError(code) from error
        if isinstance(error, HandgradError):
            error.args = (f"{error} ({together})",)
        else:
            error.add_note(str(together))
        raise


class _Together(Processes):
    apart = True

    def __init__(self) -> None:
        super().__init__()
        try:
            import torch
        except ModuleNotFoundError:  # pragma: no cover  # torchrun is a part of it
            raise MissingExtraError("PyTorch", "torch") from None
        self.torch = torch
        numbers = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"))
        self.rank, self.count, self.rank_here, self.count_here = numbers
        self.address = os.environ["MASTER_ADDR"]
        self.cores: set[int] = set()
        self.store = watch.store()
        self.start = watch.meet(self.store, self.rank, self.count)
        self.watch = Watch(self.start, self.rank, self.count)
        self.watch.start()

    def join(self) -> None:
        """Connect to the others."""
        from torch.distributed import PrefixStore  # type: ignore[attr-defined]  # documented there

        try:
            self.torch.distributed.init_process_group(
                "cpu:gloo,cuda:nccl" if self.torch.cuda.is_available() else "gloo",
                store=PrefixStore(self.start, self.store),
                rank=self.rank,
                world_size=self.count,
            )
        except RuntimeError as error:
            raise LostError(f"the processes do not find each other: {reason_of(error)}") from error
        self.watch.hosts = self.everyones(socket.gethostname())
        self._divide_cores(self.watch.hosts)

    def _divide_cores(self, hosts: list[str]) -> None:
        """Stay on some of the cores that the processes of this machine were all given, if there are enough.

        On the same cores they would hold each other up, by as much as a turn of the scheduler in each exchange.
        """
        if not hasattr(os, "sched_setaffinity"):  # only on Linux
            return
        given = self.everyones(os.sched_getaffinity(0))
        here = [rank for rank, host in enumerate(hosts) if host == hosts[self.rank]]
        cores = sorted(given[self.rank])
        if len(cores) >= len(here) and all(given[rank] == given[self.rank] for rank in here):
            self.cores = given[self.rank]
            k = here.index(self.rank)
            _stay_on(cores[len(cores) * k // len(here) : len(cores) * (k + 1) // len(here)])

    def __str__(self) -> str:
        return self.watch.named(self.rank)

    def add(self, *arrays: Any) -> list[Any]:
        sizes = [int(np.prod(np.shape(V))) for V in arrays]
        gpu = next((V.device for V in arrays if getattr(V, "is_cuda", False)), None)
        packed: Any
        if gpu is not None:
            tensors = [self.torch.as_tensor(V, dtype=self.torch.float64, device=gpu).reshape(-1) for V in arrays]
            packed = self.torch.cat(tensors)
            self._exchange(self.torch.distributed.all_reduce, packed)
        else:
            packed = np.concatenate([np.ravel(V) for V in arrays], dtype=np.float64)
            self._exchange(self._all_reduce, self.torch.from_numpy(packed))
        ends = itertools.accumulate(sizes)
        return [packed[end - size : end].reshape(np.shape(V)) for V, size, end in zip(arrays, sizes, ends, strict=True)]

    def _all_reduce(self, packed: Any) -> None:
        """Awake, for a while, on cores of its own: a core that falls asleep is late to wake."""
        work = self.torch.distributed.all_reduce(packed, async_op=True)
        until = time.perf_counter() + AWAKE
        while self.cores and not work.is_completed() and time.perf_counter() < until:
            os.sched_yield()
        work.wait()

    def largest(self, values: list[float]) -> list[float]:
        packed = self.torch.tensor(values, dtype=self.torch.float64)
        self._exchange(self.torch.distributed.all_reduce, packed, self.torch.distributed.ReduceOp.MAX)
        return packed.tolist()

    def first(self, value: Any) -> Any:
        values = [value]
        self._exchange(self.torch.distributed.broadcast_object_list, values)
        return values[0]

    def everyones(self, value: Any) -> list[Any]:
        values = [None] * self.count
        self._exchange(self.torch.distributed.all_gather_object, values, value)
        return values

    def _exchange(self, collective: Callable[..., Any], *arguments: Any) -> None:
        try:
            collective(*arguments)
        except RuntimeError as error:
            raise LostError(f"the exchange with the other processes failed: {reason_of(error)}") from error

    def break_off(self) -> None:
        """Close the connections, unless that may wait for the others, as those of GPUs."""
        if self.torch.distributed.is_initialized() and not self.torch.cuda.is_available():
            self.torch.distributed.destroy_process_group()

    def leave(self) -> None:
        """Go, without being missed; rank 0, which others may depend on, at last."""
        for first in False, True:
            if (self.rank == 0) == first:
                for end in self.ends:
                    end()
            self.largest([0.0])
        self.watch.over.set()
        self.watch.join()
        self.torch.distributed.destroy_process_group()
        if self.cores:
            _stay_on(self.cores)


def _stay_on(cores: Iterable[int]) -> None:
    """All threads of this process."""
    for thread in Path("/proc/self/task").iterdir():
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread.name), cores)
