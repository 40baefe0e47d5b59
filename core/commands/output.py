"""What commands say, and where they write it."""

import io
import os
import shlex
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain, count
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from handgrad.bars import hidden
from handgrad.errors import RisingCostWarning
from handgrad.jsonable import dumps
from handgrad.store import clear_left


def open_streams() -> None:
    """Give each standard stream that is missing a place, nowhere; and write what an encoding lacks with backslashes.

    In their order, so that each gets its own number: else the next file to be opened would have it, and get what a
    library writes there.
    """
    for name, mode in ("stdin", "r"), ("stdout", "w"), ("stderr", "w"):
        stream = getattr(sys, name)
        if stream is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(descriptor, True)
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8", errors="backslashreplace"))
        elif mode == "w" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(line: str) -> None:
    """On standard error; where that can't be written to, nobody is there to hear it, and the exit code still tells."""
    try:
        click.echo(line, err=True)
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stderr.fileno())  # or what is still to be written would fail at the end of the process
        os.close(nowhere)


@contextmanager
def saying_warnings() -> Iterator[None]:
    """That a cost rises, of which the library warns within it, is a line on standard error; once, of all backends."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", RisingCostWarning)
        usual, said = warnings.showwarning, False

        def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            nonlocal said
            if category is not RisingCostWarning:
                usual(message, category, *where, **more)
            elif not said:
                said = True
                say(f"warning: {message}")

        warnings.showwarning = show
        yield


@contextmanager
def _calling(call: Callable[[], object], every: float) -> Iterator[None]:
    """Call it every so many seconds."""
    ended = threading.Event()

    def tick() -> None:
        with suppress(OSError):  # where whoever reads what it says has gone
            while not ended.wait(every):
                call()

    clock = threading.Thread(target=tick, daemon=True)
    clock.start()
    try:
        yield
    finally:
        ended.set()
        clock.join()


@contextmanager
def working(what: str, steps: int) -> Iterator[Callable[[], object]]:
    """A bar of so many steps, on a terminal, whose clock runs on while one of them takes long; call it after each."""
    with (
        tqdm(desc=what, total=steps, unit=" steps", leave=False, disable=hidden()) as bar,
        _calling(bar.refresh, every=0.5),
    ):
        yield bar.update


@contextmanager
def ticking(every: float = 4) -> Iterator[None]:
    """Say every so many seconds, on standard output, that the work goes on."""
    begun = time.monotonic()
    with _calling(lambda: click.echo(f"... {time.monotonic() - begun:.0f} s"), every):
        yield


def say_left(path: Path, made: str) -> None:
    """Clear what killed processes left of a folder to make (see ``clear_left``), and say so."""
    for line in clear_left(path, made):
        say(f"warning: {line}")


def say_error(error: Exception) -> None:
    """In one line, on standard error."""
    say(f"error: {' '.join(str(error).splitlines())}")


def print_json(value: Any) -> None:
    """What is `jsonable`, on standard output."""
    click.echo(dumps(value))


def word(path: Path) -> str:
    """A path as a word of the shell, and no option."""
    return shlex.quote(str(path) if not str(path).startswith("-") else f"./{path}")


def not_there_yet(path: Path) -> Path:
    """The name itself, or the first of name-2, name-3 ... that does not exist."""
    numbered = (path.with_name(f"{path.stem}-{i}{path.suffix}") for i in count(2))
    return next(name for name in chain([path], numbered) if not name.exists())
