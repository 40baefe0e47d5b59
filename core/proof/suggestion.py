"""Inputs to begin with, for code whose arguments are known only by name: written as the line to add to the file."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from handgrad.errors import UsageError
from handgrad.proof.forms import BACKWARD, BOTH, FORWARD, GRADIENT, LOSS, understand

NORMAL = "rng.normal(size={})"
NUMBER = re.compile(
    r"^(?:lr|eps\w*|epsilon|alpha|l2|l1|reg\w*|lam\w*|lambda_?|decay|momentum|rate|delta|c|scale|p|beta[12])$"
)
COUNT = re.compile(r"^(?:n|m|k|n_\w+|num_\w+|\w*(?:size|dim|units|hidden|features|steps|epochs))$")
TARGET = re.compile(r"^(?:y|Y|t|T|target\w*|label\w*|y_true|\w*_labels|ys)$")
WEIGHT = re.compile(r"^(?:w|W|weights?|theta|kernel|W_?\w*|w_?\w*)$")
BIAS = re.compile(r"^(?:b|bias|b_?\w{1,2}|bias_?\w*)$")
GAIN = re.compile(r"^(?:gamma|gain|beta|shift)$")

COLUMNS = "rng.integers(0, 2, (1, 5))"
CONVENTIONS: tuple[dict[str, str], ...] = (
    {"x": NORMAL.format((5, 3)), "y": "rng.integers(0, 2, 5)", "w": NORMAL.format((3, 2)), "b": NORMAL.format(2)},
    {"x": NORMAL.format((3, 5)), "y": COLUMNS, "w": NORMAL.format((3, 1)), "b": "rng.normal()"},
    {"x": NORMAL.format((3, 5)), "y": COLUMNS, "w": NORMAL.format((1, 3)), "b": NORMAL.format((1, 1))},
    {"x": NORMAL.format((5, 3)), "y": NORMAL.format(5), "w": NORMAL.format(3), "b": "rng.normal()"},
    {"x": NORMAL.format((5, 3)), "y": NORMAL.format((5, 3)), "w": NORMAL.format((3, 3)), "b": NORMAL.format(3)},
    {"x": NORMAL.format(4), "y": NORMAL.format(4), "w": NORMAL.format(4), "b": NORMAL.format(4)},
)  # fmt: skip
"""Shapes that go together: examples in rows, in columns, one output, one example."""


def example(things: Sequence[Any], options: Mapping[str, Any]) -> str:
    """A definition of ``inputs`` in one line for a subject: with shapes on which it runs, where such are found."""
    names = list(dict.fromkeys(_wanted(things, options)))
    if not names:
        return "def inputs(rng): return {'x': rng.normal(size=(5, 3))}"
    guesses = [{name: _guess(name, convention) for name in names} for convention in CONVENTIONS]
    guess = next((guess for guess in guesses if _runs(things, guess, options)), guesses[0])
    inside = ", ".join(f"{name!r}: {value}" for name, value in guess.items())
    return f"def inputs(rng): return {{{inside}}}"


def _guess(name: str, convention: Mapping[str, str]) -> str:
    if NUMBER.match(name):
        return "0.1"
    if COUNT.match(name):
        return "3"
    for pattern, kind in ((TARGET, "y"), (BIAS, "b"), (WEIGHT, "w"), (GAIN, "b")):
        if pattern.match(name):
            return convention[kind]
    return convention["x"]


def _runs(things: Sequence[Any], guess: Mapping[str, str], options: Mapping[str, Any]) -> bool:
    rng = np.random.default_rng(0)
    inputs = {name: eval(value, {"rng": rng}) for name, value in guess.items()}
    try:
        understand(things, inputs, **options)
    except (UsageError, ValueError, TypeError, KeyError, IndexError):
        return False
    return True


def _wanted(things: Sequence[Any], options: Mapping[str, Any]) -> Iterator[str]:
    """The arguments that somebody must supply."""
    first = things[0]
    if isinstance(first, list | tuple):
        if not first:
            return
        first = first[0]
    make, methods = options.get("make"), options.get("methods")
    if make is not None or isinstance(first, type):
        yield from _required(make or first)
    if inspect.isroutine(first):
        yield from _required(first)
        return
    if methods is not None:
        named = list(methods[:1])
    else:
        named = [n for n in (*FORWARD[:-1], *BOTH, *LOSS) if callable(getattr(first, n, None))][:1]
        loss = [n for n in LOSS if callable(getattr(first, n, None))]
        if loss and any(callable(getattr(first, n, None)) for n in GRADIENT if n not in BACKWARD):
            named = loss[:1]
    for name in named:
        yield from [n for n in _required(getattr(first, name)) if n != "self"]


def _required(function: Any) -> list[str]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):
        return []
    return [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
