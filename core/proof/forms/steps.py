"""What is given back after a step down, so that its gradient is (before - after) / learning rate."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from handgrad.errors import UsageError
from handgrad.proof.forms.kind import Called
from handgrad.proof.matching import Leaf, is_float
from handgrad.proof.naming import PARAMETER, last_name, parts

RATE = re.compile(r"^(?:lr|l_?rate|learn(?:ing)?_?rate|eta|alpha|step_?size)$")
"""What the factor of a step is called."""


def rate_of(names: Iterable[str]) -> str | None:
    """The first of these names that is one of a learning rate."""
    return next((name for name in names if RATE.match(last_name(name))), None)


def left_after_a_step(paths: Mapping[str, str], before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, str]:
    """Those of the arrays that are held, by name, which a step has changed; and those beside these in the same object
    that are called as parameters are, which it has left out.
    """
    there = {name: path for name, path in paths.items() if path in after}
    moved = {name: path for name, path in there.items() if not np.array_equal(before[path], after[path])}
    owners = [parts(path)[:-1] for path in moved.values()]
    return {n: p for n, p in there.items() if n in moved or (PARAMETER.match(parts(p)[-1]) and parts(p)[:-1] in owners)}


def called_alike(found: Mapping[str, Leaf], targets: Mapping[str, Any]) -> list[str]:
    """The inputs of which another array of the same name is returned: they are given back after a step."""
    return [
        name
        for name, leaf in found.items()
        if not leaf.held
        and leaf.label in (name, f"new_{name}", f"{name}_new", f"next_{name}", f"{name}_next", f"updated_{name}")
        and _same_shape(leaf.value, targets[name])
        and not np.array_equal(leaf.value, targets[name])
    ]


def returned(
    who: str, called: Called, found: Mapping[str, Leaf], targets: Mapping[str, Any], at: Callable[[float], Called]
) -> list[str]:
    """The inputs of which what is returned is no gradient, but themselves after a step: they are called so, or are as
    they were where the rate is 0.

    Args:
        who: for messages.
        called: what a call gave.
        found: by input, what was taken for its gradient.
        targets: the inputs.
        at: what a call gives with so many times the rate.

    Raises:
        UsageError: it is after several steps; or the cost or a gradient is that after the step.
    """
    mine = {name: leaf for name, leaf in found.items() if not leaf.held}
    values = {leaf.path: leaf.value for leaf in called.leaves if is_float(leaf.value)}
    try:
        still, half = at(0.0), at(0.5)
    except UsageError:
        return []
    there, between = ({leaf.path: leaf.value for leaf in of.leaves} for of in (still, half))
    before = {
        path: old
        for path, value in values.items()
        for old in targets.values()
        if path in there and _equal(there[path], old) and not _equal(value, old)
    }
    so_called = called_alike(found, targets)
    if not before:
        return so_called
    steps = [name for name, leaf in mine.items() if leaf.path in before or name in so_called]
    one = all(
        path in between and np.allclose(values[path] - old, 2 * (between[path] - old), rtol=1e-3, atol=0)
        for path, old in before.items()
    )
    fixed = all(_equal(leaf.value, there.get(leaf.path)) for name, leaf in mine.items() if name not in steps)
    if not one or not fixed or any(not _equal(v, still.outputs[label]) for label, v in called.outputs.items()):
        raise UsageError(
            f"{who} trains: what it gives back is that after a step or more, and not of the inputs as given; check the "
            "function that computes the cost and its gradients, or let it take one step, with cost= the function that "
            "computes the cost"
        )
    return steps


def _same_shape(one: Any, other: Any) -> bool:
    return bool(np.shape(one) == np.shape(other))


def _equal(one: Any, other: Any) -> bool:
    return _same_shape(one, other) and bool(np.array_equal(one, other))
