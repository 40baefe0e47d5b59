"""A backward that is right for one entry of what flows back at a time, and for several not.

That is what one writes who knows the loss: its gradient has one entry that is not 0, that of the label, and the loop
over entries ends at the first such.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from handgrad.errors import UsageError
from handgrad.proof.problem import Problem
from handgrad.proof.report import Report

MOST = 16
"""Entries that are tried one by one."""


def of_single_entries(problem: Problem, inputs: Mapping[str, Any], check: Callable[..., Report]) -> Report | None:
    """The report on one entry at a time, where backward is linear in each entry of what flows back, and not in several.

    Args:
        problem, inputs: what is checked, with the cotangents that were drawn.
        check: on other inputs; as `Checker.check`.
    """
    if len(problem.upstream) != 1:
        return None
    (name,) = problem.upstream
    drawn = np.asarray(inputs[name])
    if drawn.ndim != 1 or not 2 <= drawn.size <= MOST:
        return None
    units = [{**inputs, name: unit} for unit in np.eye(drawn.size)]
    try:
        whole = problem.run(dict(inputs)).hands
        scaled = [problem.run({**inputs, name: unit}).hands for unit in np.diag(drawn)]
        if _close(whole, {n: sum(of[n] for of in scaled) for n in scaled[0]}):
            return None
        parts = [problem.run(unit).hands for unit in units]
    except (UsageError, ValueError):  # what it gives at one entry may be of another shape
        return None
    by_parts = [{n: g * v for n, v in of.items()} for g, of in zip(drawn, parts, strict=True)]
    if not all(_close(one, other) for one, other in zip(scaled, by_parts, strict=True)):
        return None
    verdicts = [check(unit, explain=False).ok for unit in units]
    report = check(units[verdicts.index(False) if False in verdicts else 0])
    said = (
        f"judged where a single entry of {name} is not 0, as in the gradient of a loss of one label; else it is wrong"
    )
    return dataclasses.replace(report, notes=(said, *report.notes))


def _close(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one.keys() == other.keys() and all(
        np.shape(v) == np.shape(other[n]) and np.allclose(v, other[n], equal_nan=True) for n, v in one.items()
    )
