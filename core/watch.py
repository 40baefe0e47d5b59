"""Who of several processes is there: how they meet, and how it is known by name when one dies.

Each process leaves a beat in torchrun's key-value store twice a second; so one that has died, or is stopped, is known,
whatever it was that the others waited for.
"""

import os
import secrets
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import Any

from handgrad.errors import HandgradError, reason_of

BEAT = 0.5
"""Seconds from one beat to the next."""

SILENCE = 10.0
"""Seconds without a beat after which a process is taken to have died."""

BROKEN = 3.0
"""The same, once an exchange with the others has failed."""

SOON = 0.02
"""Seconds from one look at the store to the next, where something is about to come."""


class LostError(HandgradError):
    """An exchange with the other processes failed."""

    exit_code = 1


def store() -> Any:
    """A connection to torchrun's key-value store."""
    from torch.distributed import TCPStore  # type: ignore[attr-defined]  # documented there

    return TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)


def meet(store: Any, rank: int, count: int) -> str:
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


class Watch(threading.Thread):
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
        self.store = PrefixStore(f"{start}/watch", store())  # its own: that of the process group may be taken
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
