"""What `check` and `mutate` are asked, looked at before any code is run: a wrong argument is named."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

import numpy as np

from handgrad.checks import count, instance, number, one_of, shown
from handgrad.errors import UsageError
from handgrad.proof.inputs import MANNERS

P = ParamSpec("P")
R = TypeVar("R")
Kind = Callable[[str, Any], Any]
"""Takes an argument's name and value, and gives the value as it is to be used."""

NO_SUBJECT = (bool, int, float, complex, str, bytes, np.ndarray, np.generic, np.dtype, dict, set)
"""What is no code."""

MOST = 10_000
"""Values that a function returns, at most."""

AGES = 1e6
"""So many seconds are as good as any more: a clock takes them."""


def checked(of: Callable[P, R], **own: Kind) -> Callable[P, R]:
    """The same function, of whose arguments those that `KINDS` has are looked at first, and its own ones.

    Raises:
        UsageError: one is not what it has to be; the message names it.
    """
    signature, kinds = inspect.signature(of), {**KINDS, **own}

    @functools.wraps(of)
    def asked(*args: P.args, **kwargs: P.kwargs) -> R:
        __tracebackhide__ = True
        bound = signature.bind(*args, **kwargs)
        if bound.arguments.get("subject") and bound.arguments.get("inputs") is None:
            *things, inputs = bound.arguments["subject"]
            bound.arguments |= {"subject": tuple(things), "inputs": inputs}
        more = next((name for name, p in signature.parameters.items() if p.kind is p.VAR_KEYWORD), "")
        for given in bound.arguments, bound.arguments.get(more, {}):
            given.update({name: kinds[name](name, value) for name, value in given.items() if name in kinds})
        return of(*bound.args, **bound.kwargs)

    return asked


def function(name: str, value: Any) -> Any:
    """The value, which can be called."""
    if not callable(value):
        raise UsageError(f"{name} is {shown(value)}; expected a function")
    return value


def by_argument(name: str, value: Any) -> Any:
    """The value, a dictionary of something, by name."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise UsageError(f"{name} is {shown(value)}; expected a dictionary by the names of arguments")
    return value


def optional(kind: Kind) -> Kind:
    """The same, or None."""
    return lambda name, value: value if value is None else kind(name, value)


def _subject(_: str, things: tuple[Any, ...]) -> Any:
    for thing in things:
        if thing is None or isinstance(thing, NO_SUBJECT):
            kind = type(thing).__name__
            raise UsageError(
                f"{shown(thing)} is {kind}; expected a function, an object with methods, a class, or layers"
            )
    return things


def _inputs(name: str, value: Any) -> Any:
    if callable(value):
        raise UsageError(
            f"{name} are missing; expected check(subject, inputs), with a dictionary of arrays by argument"
        )
    if not isinstance(value, Mapping | list | tuple) or (not value and not isinstance(value, Mapping)):
        raise UsageError(f"{name} is {shown(value)}; expected a dictionary of arrays by argument")
    return value


def _names(name: str, value: Any) -> Any:
    if not isinstance(value, list | tuple) or not all(isinstance(word, str) for word in value):
        raise UsageError(f"{name} is {shown(value)}; expected a list of names")
    return value


def _cost(name: str, value: Any) -> Any:
    return value if isinstance(value, str) or callable(value) else count(name, value, -MOST, MOST)


KINDS: Mapping[str, Kind] = {
    "subject": _subject,
    "inputs": optional(_inputs),
    "wrt": optional(_names),
    "gradients": optional(by_argument),
    "methods": optional(_names),
    "cost": optional(_cost),
    "make": optional(function),
    "reference": optional(function),
    "shapes": optional(lambda name, value: instance(name, value, str)),
    "order": lambda name, value: count(name, value, 1, 2),
    "mode": lambda name, value: one_of(name, value, ("vjp", "jvp")),
    "seed": lambda name, value: count(name, value, 0),
    "trials": lambda name, value: count(name, value, 0, len(MANNERS)),
    "seconds": lambda name, value: min(number(name, value, zero=True), AGES),
}
"""What each has to be."""
