"""An end to code that may never end: changed programs are run, and some of them loop for ever."""

from __future__ import annotations

import contextlib
import ctypes
import threading
from collections.abc import Iterator


class OutOfTimeError(BaseException):
    """The time is up. Not an `Exception`, so that no code that is run catches it."""


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Ends what runs inside after so many seconds, without a word.

    The exception is raised in this thread from outside, between two steps of Python; a call that stays within one C
    function is not ended.
    """
    thread = ctypes.c_ulong(threading.get_ident())
    lock, done = threading.Lock(), False

    def end() -> None:
        with lock:
            if not done:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(OutOfTimeError))

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        with contextlib.suppress(OutOfTimeError):
            yield
    finally:
        with lock:
            done = True
        timer.cancel()
