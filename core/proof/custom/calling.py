"""How a rule is called: its inputs by name, in the order of its arguments."""

from __future__ import annotations

import inspect
import traceback
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from handgrad.errors import UsageError
from handgrad.proof.custom.protocol import InexactError
from handgrad.proof.wide import Array

T = TypeVar("T")


OURS = str(Path(__file__).parents[2])
"""The folder of this package, whose lines are not the user's."""


class CodeError(UsageError):
    """The user's code raised."""


def quietly(role: str, call: Callable[[], T]) -> T:
    """A call of the user's code.

    Raises:
        CodeError: it raised anything; says what, and in which line.
    """
    try:
        return call()
    except (InexactError, UsageError):
        raise
    except Exception as error:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if is_users(f.filename)]
        place = f" (line {frames[-1].lineno}: {frames[-1].line})" if frames and frames[-1].line else ""
        said = str(error).splitlines()[0] if str(error) else ""
        raise CodeError(f"{role} raised {type(error).__name__}: {said}{place}") from error


def is_users(file: str) -> bool:
    """Whether a file is neither ours nor an installed package's."""
    return not file.startswith(OURS) and "site-packages" not in file and "dist-packages" not in file


def named(inputs: Any, parameters: Mapping[str, inspect.Parameter], who: str) -> dict[str, Any]:
    """The inputs by argument.

    Raises:
        UsageError: too many, or one that is no argument.
    """
    names = [n for n, p in parameters.items() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    free = not parameters or any(p.kind is p.VAR_POSITIONAL for p in parameters.values())  # one in C says nothing
    if not isinstance(inputs, Mapping):
        inputs = list(inputs)
        if len(inputs) > len(names) and not free:
            raise UsageError(f"{who} takes {len(names)} arguments; inputs has {len(inputs)}")
        names += [f"input{i}" for i in range(len(names), len(inputs))]
        return dict(zip(names, inputs, strict=False))
    if not free and not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        for name in inputs:
            if name not in parameters:
                raise UsageError(f"inputs has {name!r}, which {who} does not take; it takes: {', '.join(parameters)}")
    missing = [
        n for n, p in parameters.items()
        if n not in inputs and p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]  # fmt: skip
    if missing and not free:
        raise UsageError(f"{who} takes {missing[0]!r}, which inputs lacks; it has: {', '.join(inputs)}")
    return dict(inputs)


def passed(parameters: Mapping[str, inspect.Parameter], given: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Positional arguments in order, as far as they go without a gap, and the others by keyword."""
    if any(p.kind is p.VAR_POSITIONAL for p in parameters.values()) or not parameters:
        return list(given.values()), {}
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    gap = False
    for name, parameter in parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            kwargs |= {n: v for n, v in given.items() if n not in parameters}
        elif name not in given:
            if not gap and parameter.kind is not parameter.KEYWORD_ONLY and parameter.default is not parameter.empty:
                args.append(parameter.default)
            else:
                gap = True
        elif gap or parameter.kind is parameter.KEYWORD_ONLY:
            kwargs[name] = given[name]
        else:
            args.append(given[name])
    return args, kwargs


def directions(cotangents: Sequence[Array]) -> np.random.Generator:
    """Where directions of inputs are drawn from: the same for the same cotangents, at whatever precision."""
    signs = np.concatenate([np.signbit(np.ravel(c)) for c in cotangents]) if cotangents else np.zeros(0, bool)
    return np.random.default_rng(zlib.crc32(np.packbits(signs).tobytes()))


def narrowed(value: Any) -> Array:
    """A copy of an array, of 64 bits a number where it has more: what a framework takes."""
    wide = {np.dtype(np.longdouble): np.float64, np.dtype(np.clongdouble): np.complex128}
    return np.array(value, wide.get(value.dtype, value.dtype))
