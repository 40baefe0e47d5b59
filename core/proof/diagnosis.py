"""The fault gets a name: which of the usual slips gives exactly the numbers that backward gives."""

from __future__ import annotations

import itertools
import time

import numpy as np

from handgrad.proof.context import Context, Sample
from handgrad.proof.line import CLOSE, Line
from handgrad.proof.slips import slips
from handgrad.proof.wide import Array

FEW = 0.5
"""So many where the line inside is looked for, and tells more."""
SECONDS = 5.0
"""After so long no further slip is tried: without JAX, each takes many runs of forward."""


def diagnose(context: Context, name: str, sample: Sample) -> tuple[str, str]:
    """The kind of the fault in the adjoint of `name`, and a sentence.

    Args:
        context: what the checker found out.
        name: of what the faulty line is the adjoint to.
        sample: the inputs on which it was seen.
    """
    kind, sentence = _named(context, name, sample)
    return kind, sentence or "the fault is none of the usual slips"


def _named(context: Context, name: str, sample: Sample) -> tuple[str, str]:
    line = Line(context, name)
    if sample.judged[name].misshapen:
        return _shape(line, sample)
    if not np.all(np.isfinite(sample.judged[name].hand)):
        return "unknown", f"d{name} is not a finite number where it should be"
    if (found := _single(line)) is not None:
        return found
    if (found := _digits(line)) is not None:
        return found
    until = min(time.perf_counter() + (SECONDS if context.problem.forward_may_be_cut else FEW), context.until)
    for kind, sentence, formula in slips(line):
        if time.perf_counter() > until:
            break
        if line.explains(formula):
            return kind, sentence
    return "unknown", ""


def loses_digits(context: Context, name: str) -> bool:
    """Whether an adjoint is wrong by no more than the digits of a type on the way, which is the fault of no formula."""
    line = Line(context, name)
    return bool(line.samples) and not any(s.judged[name].misshapen for s in context.samples) and bool(_digits(line))


def _single(line: Line) -> tuple[str, str] | None:
    """One entry alone, the same on all inputs."""
    seen = [np.argwhere(s.judged[line.name].off) for s in line.samples if np.any(s.judged[line.name].off)]
    if line.hand(line.samples[0]).size > 2 and seen and all(len(w) == 1 and np.array_equal(w, seen[0]) for w in seen):
        return "single_entry", f"the single entry {[int(i) for i in seen[0][0]]} is wrong, and all others are right"
    return None


def _digits(line: Line) -> tuple[str, str] | None:
    """Right to the digits of float32 or float16, where more are due."""
    lost = 0.0
    for sample in line.samples:
        gap, local = np.abs(line.hand(sample) - line.local(sample)), line.local(sample)
        with np.errstate(all="ignore"):
            share = np.max(gap) / np.max(np.abs(local), initial=0)
        lost = max(lost, float(share)) if np.isfinite(share) else lost
    for dtype in ("float32", "float16"):
        eps = float(np.finfo(dtype).eps)
        if 2.0**-40 < lost < 64 * eps and line.context.unit >= eps:
            return "low_precision", f"right to {lost:.0e} only: {dtype} on the way loses the digits of the inputs"
    return None


def _shape(line: Line, sample: Sample) -> tuple[str, str]:
    judged = sample.judged[line.name]
    hand, local = judged.hand, judged.local
    found = f"the shape is {hand.shape}; {line.name} has shape {local.shape}"
    scale = CLOSE * np.max(np.abs(local), initial=0) + 1e-300

    def same(a: Array, b: Array) -> bool:
        return a.shape == b.shape and bool(np.all(np.abs(a - b) <= scale))

    if hand.ndim == local.ndim == 2 and hand.T.shape == local.shape:
        return "transpose", f"{found}: it is to be transposed"
    axes = [axes for n in range(1, hand.ndim + 1) for axes in itertools.combinations(range(hand.ndim), n)]
    for some in axes:
        if same(hand.sum(axis=some, keepdims=True).reshape(-1), local.reshape(-1)) and hand.size > local.size:
            which = ", ".join(map(str, some))
            return (
                "unsummed_axis",
                f"{found}: the sum along axis {which} is missing, along which {line.name} was broadcast",
            )
    for some in (a for n in range(1, local.ndim + 1) for a in itertools.combinations(range(local.ndim), n)):
        if hand.size < local.size and same(hand.reshape(-1), local.sum(axis=some).reshape(-1)):
            too_much = "all axes" if not hand.ndim and local.size > 1 else f"axis {', '.join(map(str, some))}"
            return "summed_axis", f"{found}: it is summed along {too_much}, which is not to be"
    if hand.size == local.size and same(hand.reshape(local.shape), local):
        return "shape", f"{found}: the numbers are right, so reshape it, or sum with keepdims=True"
    try:
        bigger = np.broadcast_shapes(hand.shape, local.shape)
    except ValueError:
        return "shape", found
    if bigger == hand.shape and hand.size > local.size:
        return "unsummed_axis", f"{found}: a sum over the axis along which {line.name} was broadcast is missing"
    if bigger == local.shape and hand.size < local.size:
        return "summed_axis", f"{found}: it is summed along an axis that is not to be summed"
    return "shape", found
