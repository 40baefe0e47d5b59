"""Several processes, on one machine or on many, that train one neuron: how they add, agree, and end together.

Each process has a share of the examples (`handgrad.share`). After an exchange all have the same numbers, to the bit,
and go on as if each were alone: same parameters, same decisions. What is decided by a clock or a signal is agreed upon.

PyTorch's ``torchrun`` starts the processes, tells each which one it is, and starts them again where one died. They talk
through ``torch.distributed``: gloo between CPUs, NCCL between GPUs. Each process leaves a beat in torchrun's key-value
store twice a second; so one that has died, or is stopped, is known by name, whatever it was that the others waited for.
"""

from __future__ import annotations

import itertools
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from handgrad.errors import HandgradError, MissingExtraError, reason_of

if TYPE_CHECKING:
    from handgrad.neuron import Array

BEAT = 0.5
"""Seconds from one beat to the next."""

SILENCE = 10.0
"""Seconds without a beat after which a process is taken to have died."""

BROKEN = 3.0
"""The same, once an exchange with the others has failed."""

AWAKE = 0.01
"""Seconds that a process waits for the others without sleep, on cores of its own."""

SOON = 0.02
"""Seconds from one look at the store to the next, where something is about to come."""


class LostError(HandgradError):
    """An exchange with the other processes failed."""

    exit_code = 1


class DisagreementError(HandgradError):
    """What has to be the same in all processes is not."""

    exit_code = 1


class FailedElsewhereError(HandgradError):
    """Another process failed, and said why.

    Args:
        exit_code: of its error.
    """

    def __init__(self, exit_code: int) -> None:
        super().__init__("another process failed, and said why")
        self.exit_code = exit_code


class Processes:
    """One process, alone: what several do together, it does by itself.

    Attributes:
        rank: the number of this process, from 0.
        count: how many there are.
        rank_here, count_here: the same among those on this machine.
        address: of the machine of rank 0.
        ends: what is to be called when all have done their work, and last by rank 0.
    """

    rank = rank_here = 0
    count = count_here = 1
    address = "localhost"

    def __init__(self) -> None:
        self.ends: list[Callable[[], None]] = []

    def share(self, m: int) -> slice:
        """Which of m examples are this process': consecutive ones, and as many in each as can be alike."""
        return slice(m * self.rank // self.count, m * (self.rank + 1) // self.count)

    def add(self, *arrays: Array) -> list[Array]:
        """Each array, or number, summed over the processes by one exchange.

        Of several processes the sums are float64, NumPy's arrays; on a GPU, if one of the arrays is a tensor there.
        """
        return list(arrays)

    def largest(self, values: list[float]) -> list[float]:
        """Of each number the largest that any process has; each waits here for all."""
        return values

    def first(self, value: Any) -> Any:
        """What rank 0 has; anything that can be pickled."""
        return value

    def everyones(self, value: Any) -> list[Any]:
        """What each process has, by rank; anything that can be pickled."""
        return [value]


ALONE = Processes()


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
    def __init__(self) -> None:
        super().__init__()
        try:
            import torch
        except ModuleNotFoundError as error:  # pragma: no cover  # torchrun is a part of it
            raise MissingExtraError("PyTorch", "torch") from error
        self.torch = torch
        numbers = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"))
        self.rank, self.count, self.rank_here, self.count_here = numbers
        self.address = os.environ["MASTER_ADDR"]
        self.cores: set[int] = set()
        self.store = _store()
        self.start = _meet(self.store, self.rank, self.count)
        self.watch = _Watch(self.start, self.rank, self.count)
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

    def add(self, *arrays: Array) -> list[Array]:
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


def _store() -> Any:
    """A connection to torchrun's key-value store."""
    from torch.distributed import TCPStore  # type: ignore[attr-defined]  # documented there

    return TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)


def _meet(store: Any, rank: int, count: int) -> str:
    """A name for this start of the processes, the same in each, and different from any earlier one.

    The store may hold what an earlier start left. So rank 0 offers a new name, and answers who comes to that name with
    a number of its own; who gets that number back has met a rank 0 that lives.
    """
    number = secrets.token_hex(8)
    if rank == 0:
        store.set("handgrad", number)
        missing = set(range(1, count))
        while missing:
            for other in [other for other in missing if store.check([f"{number}/{other}"])]:
                store.set(f"{number}/{other}/met", store.get(f"{number}/{other}"))
                missing.remove(other)
            time.sleep(SOON)
        return number
    while True:
        start = store.get("handgrad").decode()
        store.set(f"{start}/{rank}", number)
        answer = f"{start}/{rank}/met"
        if store.check([answer]) and store.get(answer).decode() == number:
            return str(start)
        time.sleep(SOON)


class _Watch(threading.Thread):
    """Leaves this process' beats, and ends it when another has failed, died or was stopped.

    Rank 0 listens to all, the others to rank 0. The first to know of a failure leaves its rank and exit code, and says
    it; the others follow without a word. The beat is that of a thread: work that takes long does not stop it.

    Args:
        start: its name.
        rank: of this process.
        count: how many there are.

    Attributes:
        hosts: on which they run, by rank, once that is known.
    """

    def __init__(self, start: str, rank: int, count: int) -> None:
        super().__init__(name="handgrad-watch", daemon=True)
        from torch.distributed import PrefixStore  # type: ignore[attr-defined]  # documented there

        self.rank, self.count = rank, count
        self.hosts: list[str] = []
        self.store = PrefixStore(f"{start}/watch", _store())  # its own: that of the process group may be taken
        self.over = threading.Event()
        self.beats = 0
        self._beat()

    def named(self, rank: int) -> str:
        """A rank, as people look for it."""
        return f"rank {rank} of {self.count}" + (f", on {self.hosts[rank]}" if self.hosts else "")

    def first_to_fail(self, exit_code: int) -> bool:
        """Whether no other process has failed before; from now on, this one has."""
        mine = f"{self.rank} {exit_code}"
        try:
            return bool(self.store.compare_set("failed", "", mine).decode() == mine)
        except RuntimeError:  # there is nobody left to ask
            return True

    def wait_for_the_lost(self) -> None:
        """Let all know that something is wrong, and give the watches the time to see who is missing and end this."""
        before = None
        with suppress(ValueError):  # not the main thread
            before = signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun's, who may have noticed
        with suppress(RuntimeError):  # the store is gone, too
            self.store.set("alarm", "")
        time.sleep(BROKEN + 4 * BEAT)
        if before is not None:
            signal.signal(signal.SIGTERM, before)

    def run(self) -> None:
        """Until the end of the process, or `over`."""
        listened = [rank for rank in (range(self.count) if self.rank == 0 else [0]) if rank != self.rank]
        heard = dict.fromkeys(listened, (b"", time.monotonic()))
        while not self.over.wait(BEAT):
            try:
                self._beat()
                if self.store.check(["failed"]):
                    self._end(int(self.store.get("failed").split()[1]))
                    return
                alarmed = self.store.check(["alarm"])
                began = [rank for rank in listened if heard[rank][0] or self.store.check([f"beat {rank}"])]
                beats = self.store.multi_get([f"beat {rank}" for rank in began])
            except RuntimeError as error:
                gone = f"torchrun is gone: {reason_of(error)}; the same command goes on from the last checkpoint"
                self._end(LostError.exit_code, gone if os.environ["LOCAL_RANK"] == "0" else None)
                return
            now = time.monotonic()
            for rank, beat in zip(began, beats, strict=True):
                if heard[rank][0] != beat:
                    heard[rank] = beat, now
            silence = BROKEN if alarmed else SILENCE
            lost = [rank for rank, (_, last) in heard.items() if now - last > silence]
            if lost and self.first_to_fail(LostError.exit_code):
                names = "; ".join(map(self.named, lost))
                what_next = "the same command goes on from the last checkpoint"
                self._end(LostError.exit_code, f"{names}: died or was stopped; {what_next}")

    def _beat(self) -> None:
        self.beats += 1
        self.store.set(f"beat {self.rank}", str(self.beats))

    def _end(self, exit_code: int, message: str | None = None) -> None:
        """At once, for it may wait in an exchange for ever; unless it is over, perhaps by an error of its own."""
        if self.over.is_set():
            return
        if message is not None:
            print(f"error: {message}", file=sys.stderr, flush=True)  # noqa: T201  # there is nobody to raise it to
        os._exit(exit_code)
