"""Which sizes of the inputs vary together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from handgrad.errors import UsageError
from handgrad.proof.problem import leaves


def axes(shapes: str | None, inputs: Mapping[str, Any]) -> dict[str, list[str]]:
    """The symbol of each axis of each leaf: from "W: 1 n; X: n m", or one for each size above 1."""
    stated: dict[str, list[str]] = {}
    for part in (shapes or "").split(";"):
        if part.strip():
            name, colon, symbols = part.partition(":")
            if not colon or name.strip() not in dict(leaves(inputs)):
                raise UsageError(
                    f"shapes has {part.strip()!r}; expected parts as 'X: n m', each with the name of an input"
                )
            stated[name.strip()] = symbols.split()
    axes = {}
    for name, value in leaves(inputs):
        if not isinstance(value, np.ndarray):
            continue
        axes[name] = stated.get(name, [f"s{size}" if size > 1 else "1" for size in value.shape])
        if len(axes[name]) != value.ndim:
            raise UsageError(f"shapes: {name} has {len(axes[name])} axes there; the input has {value.ndim}")
    return axes
