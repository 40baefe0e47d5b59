"""What commands say, and where they write it."""

import shlex
from itertools import chain, count
from pathlib import Path
from typing import Any

import click

from handgrad.jsonable import dumps


def say_error(error: Exception) -> None:
    """In one line, on standard error."""
    click.echo(f"error: {' '.join(str(error).splitlines())}", err=True)


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
