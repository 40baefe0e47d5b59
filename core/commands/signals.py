"""How a command ends when the system asks it to, by SIGTERM or SIGHUP: as on Ctrl-C, with what it began taken back."""

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from handgrad.errors import HandgradError
from handgrad.torchrun import launched

ASKED = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))

ONCE = 0.25
"""Seconds within which several are one request: some who send one send it to the process and to its group."""


class EndedError(HandgradError):
    """The command was told to end, by a signal.

    Args:
        number: of the signal; the exit code is 128 + number.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}; nothing is left half made")
        self.exit_code = 128 + number


class _Ended(KeyboardInterrupt):
    """So that whatever cleans up after Ctrl-C, or lets it pass, does so here."""


@contextmanager
def ending_in_order() -> Iterator[None]:
    """What is asked to end within it cleans up, and an `EndedError` is raised.

    Not in one of several processes: torchrun ends them, even where they wait for each other.
    """
    came: list[tuple[float, int]] = []

    def end(number: int) -> None:
        now = time.monotonic()
        if not came or now - came[-1][0] >= ONCE:
            came.append((now, number))
            raise _Ended

    try:
        with handled(end, () if launched() else ASKED):
            yield
    except _Ended:
        raise EndedError(came[0][1]) from None


@contextmanager
def handled(handler: Callable[[int], None], numbers: Iterable[int]) -> Iterator[None]:
    """Call a function with the number of each signal that comes.

    A signal that is ignored stays so, as SIGHUP is under nohup; and so do all where this is not the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        numbers = ()
    before = {number: signal.getsignal(number) for number in numbers}
    taken = {number: was for number, was in before.items() if was not in (signal.SIG_IGN, None)}

    try:
        for number in taken:
            signal.signal(number, lambda number, _: handler(number))
        yield
    finally:
        for number, was in taken.items():
            signal.signal(number, was)
