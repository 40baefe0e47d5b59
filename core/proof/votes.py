"""What the other oracles say: a second and a third opinion on the first one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from handgrad.errors import UsageError
from handgrad.proof.context import Context
from handgrad.proof.numerical import Numerical
from handgrad.proof.problem import leaves
from handgrad.proof.wide import WIDE, wide


@dataclass(frozen=True)
class Vote:
    """One oracle on the gradient of the cost along one random direction of the inputs.

    Attributes:
        oracle: who votes.
        agrees: with the first oracle; None is an abstention.
    """

    oracle: str
    agrees: bool | None


def votes(context: Context) -> list[Vote]:
    """Complex step and extrapolated differences, on what the tape says.

    They look at one number, the slope of the cost along a random direction through all differentiated inputs at once,
    which any wrong entry of the gradient changes.
    """
    sample = context.samples[0]
    names = [n for n in context.wrt if n in dict(leaves(sample.run.inputs))]
    if not names or not context.oracle.translates:
        return []
    rng = np.random.default_rng(context.seed)
    values = sample.run.values
    directions = {n: _along(values[n], rng.choice([-1, 1], np.shape(values[n])) * _size(values[n])) for n in names}
    total = context.oracle.total(sample.run, 1, rng)
    with np.errstate(all="ignore"):
        first = sum((total.values[n] * directions[n]).sum() for n in names)
        error = sum((total.errors[n] * np.abs(directions[n])).sum() for n in names)
    if not np.isfinite(first):
        return []
    numerical = Numerical(context.problem, context.wrt, context.widest)
    try:
        slopes = numerical.slopes(sample.run, {n: d.astype(numerical.dtype) for n, d in directions.items()})
    except (UsageError, ValueError, TypeError):
        return []
    found = []
    for name, (slope, off) in slopes.items():
        if np.isfinite(slope) and off <= 1e-3 * max(abs(slope), abs(first)):
            agrees = bool(abs(slope - first) <= 64 * (off + error) + 1e-9 * abs(first))
            found.append(Vote(name, agrees))
    return found


def outvoted(cast: list[Vote]) -> bool:
    """Whether somebody disagrees: then forward itself, run, is believed more than what was made of it."""
    return any(vote.agrees is False for vote in cast)


def said(cast: list[Vote]) -> list[str]:
    """For the report."""
    agreeing = [vote.oracle for vote in cast if vote.agrees]
    against = [vote.oracle for vote in cast if vote.agrees is False]
    return [
        *([f"confirmed by {' and '.join(agreeing)}"] if agreeing else []),
        *(f"{name} disagree" for name in against),
    ]


def _along(value: Any, direction: Any) -> Any:
    """A direction along which a symmetric matrix stays one."""
    array = np.asarray(value)
    symmetric = array.ndim == 2 and array.shape[0] == array.shape[1] and np.array_equal(array, array.T)
    return np.tril(direction) + np.tril(direction, -1).T if symmetric else direction


def _size(value: Any) -> Any:
    array = np.abs(wide(value))
    usual = np.sqrt(np.mean(np.square(array))) if array.size else WIDE(1)
    return np.where(array > 0, array, usual if usual > 0 else 1)
