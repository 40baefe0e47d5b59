"""The change of backward after which one adjoint is what the later ones call for.

Found by trying, and proved by the oracle's numbers. Where adjoints are named, each is judged by itself, and backward
alone is run to try a change: thousands in a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from handgrad.errors import UsageError
from handgrad.proof.context import Context, Sample
from handgrad.proof.edits import Edit, edits
from handgrad.proof.instrument import NoSourceError
from handgrad.proof.problem import Run, copied

SECONDS = 0.5


def repair(context: Context, name: str) -> Edit | None:
    """The first small change of backward after which dV is what the later adjoints call for, on all inputs.

    Other adjoints that dV is computed from must stay as they are. At most `SECONDS` are spent.

    Args:
        context: what the checker found out.
        name: V.
    """
    backward = context.problem.backward
    samples = sorted(context.samples, key=lambda s: not np.any(s.judged[name].off))
    order = list(context.samples[0].run.hands)
    later = order[: order.index(name)]
    until = time.perf_counter() + SECONDS
    try:
        tried = list(_ordered(edits(backward, of=f"d{name}", thorough=True)))
    except NoSourceError:
        return None
    for edit in tried:
        if time.perf_counter() > until:
            return None
        try:
            changed = edit.function(backward)
            if all(_right(context, changed, sample, name, later) for sample in samples):
                return edit
        except Exception:  # most changes of a program are no program
            continue
    return None


def _ordered(found: Iterable[Edit]) -> list[Edit]:
    """Small repairs first: what takes the least to write."""
    return sorted(found, key=lambda edit: abs(len(edit.after) - len(edit.before)) + 0.01 * len(edit.after))


def _right(context: Context, changed: Callable[..., Any], sample: Sample, name: str, later: list[str]) -> bool:
    judged = sample.judged[name]
    try:
        adjoints = context.problem.run_backward(copied(sample.run.inputs), copied(sample.run.named), changed)
    except UsageError:
        return False
    hands = Run(sample.run.inputs, sample.run.named, adjoints).hands
    if hands[name].shape != judged.local.shape:
        return False
    with np.errstate(all="ignore"):
        tolerance = judged.tolerance + 1e-9 * np.abs(judged.local)
        if not np.all((np.abs(hands[name] - judged.local) <= tolerance) | judged.kinks | judged.undefined):
            return False
    return all(np.array_equal(hands[n], sample.run.hands[n], equal_nan=True) for n in later if n in hands)
