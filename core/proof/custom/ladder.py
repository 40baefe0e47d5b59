"""Judges the gradients of a rule: in exact arithmetic whether they are right, and at each precision what they lose.

**Wrong** is what differs in exact arithmetic. The rule is run with every number in float64, whatever dtype it asks for
(so casts change nothing), and so is its reference; both again with every operation off by a random unit in the last
place of float64 (Monte Carlo arithmetic: Parker, UCLA CSD-970002, 1997). How far an entry moves by that is its own
scale, of which `SLACK` are allowed, as in `handgrad.proof.judge`. No tolerance depends on the precision: a rule for
bfloat16 is held to the same 1e-12.

**Imprecise** is what is right in exact arithmetic, and loses more at a precision than its reference does there. The
measuring stick is the reference in that very precision, as it is and with its rounding made visible; both are compared
with their own exact values, entry by entry, on inputs that have been rounded to that precision. The bits lost are
log2(rms(gap / scale)) over all entries, the median over inputs like the given ones; one bit is what the best practice
allows (twice the plain program's error), and `BITS` is more than any right rule of the tests loses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from handgrad.errors import UsageError
from handgrad.proof.custom.protocol import (
    LARGEST,
    PRECISIONS,
    SMALLEST,
    Framework,
    How,
    InexactError,
    Pulled,
    rounded,
    unit,
)
from handgrad.proof.judge import SLACK
from handgrad.proof.problem import leaves, replace
from handgrad.proof.wide import Array

BITS = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0}
"""So many bits more than its reference a rule may lose: of 24 some for the sake of memory, as attention does that keeps
only the logarithm of a sum, and of 8 or 11 hardly any."""
AGAIN = 4
"""Noisy runs that are added where something seems wrong."""
CLOSE = 2.0**20
"""Tolerances, up to which a gap may be one of rounding; most faults are larger."""
STICKS = 4
"""Noisy runs of the reference, to see how far it is off."""


@dataclass
class Judged:
    """The gradient by one input, on one set of inputs, in exact arithmetic.

    Attributes:
        hand: as given back; None where nothing was.
        expected: what it should be.
        tolerance: how far rounding in float64 may take one from the other.
        off: the entries that differ by more.
        precision: as which the rule saw its inputs.
        wrong_shape: of what was given back, if it is not that of the input.
    """

    hand: Array | None
    expected: Array
    tolerance: Array
    off: Array
    precision: str
    wrong_shape: tuple[int, ...] | None = None

    @property
    def wrong(self) -> bool:
        """Whether the gradient is at fault."""
        return self.wrong_shape is not None or bool(np.any(self.off))

    @property
    def close(self) -> bool:
        """Whether an entry is off by so few tolerances that visible rounding may happen not to have moved it."""
        if self.hand is None or not self.off.any():
            return False
        off = self.off & (self.tolerance > 0)
        return bool(np.any(np.abs(self.hand[off] - self.expected[off]) < CLOSE * self.tolerance[off]))

    @property
    def worst(self) -> tuple[int, ...]:
        """The entry that is furthest off, or nearest to its tolerance."""
        if self.hand is None or not self.expected.size or self.wrong_shape is not None:
            return ()
        with np.errstate(all="ignore"):
            gap = np.nan_to_num(np.abs(self.hand - self.expected), nan=np.inf)
            measure = np.where(self.off, gap, -1) if np.any(self.off) else gap / (self.tolerance + 5e-324)
        return tuple(int(i) for i in np.unravel_index(int(np.argmax(np.nan_to_num(measure, nan=-1))), measure.shape))

    @property
    def detectable(self) -> float:
        """The smallest relative error of one entry that would have been seen, in the worst entry that matters."""
        size = np.abs(self.expected)
        matters = (size > 1e-6 * np.max(size, initial=0)) & np.isfinite(self.tolerance)
        return float(np.max(self.tolerance[matters] / size[matters], initial=0)) if np.any(matters) else float("inf")


@dataclass
class Sample:
    """One set of inputs, its cotangents, and what was found there."""

    label: str
    inputs: dict[str, Any]
    cotangents: list[Array]
    expected: Pulled
    judged: dict[str, Judged] = field(default_factory=dict)
    lost: dict[tuple[str, str], float] = field(default_factory=dict)
    """By input and precision, the bits that its gradient loses more than the reference's."""
    gaps: dict[tuple[str, str], Array] = field(default_factory=dict)
    """By input and precision, how far each entry is off."""
    outputs_off: list[str] = field(default_factory=list)
    """How the outputs differ from the reference's."""


class Ladder:
    """The judge.

    Args:
        rule: and its plain program.
        large: whether each run takes long, so that few are made.
    """

    def __init__(self, rule: Framework, large: bool) -> None:
        self.rule = rule
        self.large = large
        self.runs: list[str] = []
        self.exact = True
        """Whether the rule can be run in exact arithmetic; else the finest precision in which it runs stands for it."""
        self.inexact = ""
        """Why not."""
        self.plain_exact = True
        self.failures: dict[str, str] = {}

    def precisions(self, inputs: Mapping[str, Any], cotangents: Callable[[Pulled], list[Array]]) -> list[str]:
        """Those in which the rule runs, and its reference too; of large inputs, the finest two and their own.

        Raises:
            UsageError: none.
        """
        outputs: Pulled | None = None
        seen = ("float64", "float32", self.rule.lowest) if self.large else PRECISIONS
        for precision in (p for p in PRECISIONS if p in seen):
            try:
                given = self._at(inputs, precision)
                if outputs is None:  # whose shapes are the same at every precision
                    outputs = self.rule.pull(given, None, How(precision))
                self.rule.pull(given, cotangents(outputs), How(precision))
                self.runs.append(precision)
            except UsageError as error:
                self.failures[precision] = str(error)
        return self.runs

    def expect(self, inputs: Mapping[str, Any], cotangents: Sequence[Array] | None, noise: int | None = None) -> Pulled:
        """The plain program in exact arithmetic, or where that is not possible in float64."""
        if self.plain_exact:
            try:
                return self.rule.pull(inputs, cotangents, How("float64", plain=True, exact=True, noise=noise))
            except InexactError:
                self.plain_exact = False
        return self.rule.pull(inputs, cotangents, How("float64", plain=True, noise=noise))

    def by_hand(
        self, inputs: Mapping[str, Any], cotangents: Sequence[Array], precision: str, noise: int | None = None
    ) -> Pulled:
        """The rule in exact arithmetic, as it goes for inputs of a precision; else in the finest in which it runs."""
        if self.exact:
            try:
                return self.rule.pull(inputs, cotangents, How(precision, exact=True, noise=noise))
            except InexactError as error:
                self.exact, self.inexact = False, str(error).splitlines()[0] if str(error) else ""
        return self.rule.pull(inputs, cotangents, How(self.runs[0], noise=noise))

    def judge(self, sample: Sample, seed: int) -> None:
        """Whether each gradient is right, in exact arithmetic, as the rule goes for each precision."""
        inputs, cotangents = sample.inputs, sample.cotangents
        if not self.exact and self.runs[0] != "float64":
            inputs = self._at(inputs, self.runs[0])
            cotangents = [rounded(c, self.runs[0]) for c in cotangents]
            sample.expected = self.expect(inputs, cotangents)
        expected = sample.expected
        seeds = [seed] if self.large else [seed, seed + 1, seed + 2]
        scale = {n: np.zeros(np.shape(g)) for n, g in expected.gradients.items() if g is not None}
        hand = self.by_hand(inputs, cotangents, self.runs[0])
        if not self.exact and self.runs[0] != "float64" and inputs is sample.inputs:
            return self.judge(sample, seed)  # it turned out that it can't be run exactly
        self._widen(scale, expected, hand, inputs, cotangents, seeds)
        least = unit("float64") if self.exact or self.runs[0] == "float64" else unit(self.runs[0])
        if not self.exact and self.runs[0] == "float64" and "float32" in self.runs:
            least = self._own(hand, expected, scale, inputs, cotangents, seed)

        def one(found: Pulled, name: str) -> Judged:
            right, far = expected.gradients.get(name), scale.get(name)
            return self._one(found.gradients.get(name), right, far, least, inputs, name)

        first = {name: one(hand, name) for name in self.rule.wrt}
        if any(judged.close for judged in first.values()):  # a few draws happen not to move one of many entries
            self._widen(scale, expected, hand, inputs, cotangents, range(seed + 3, seed + 3 + AGAIN))
            first = {name: one(hand, name) for name in self.rule.wrt}
        others = [p for p in self.runs[1:] if self.exact and (not self.large or p == self.rule.lowest)]
        for precision in [self.runs[0], *others]:
            found = hand if precision == self.runs[0] else self.by_hand(inputs, cotangents, precision)
            coarse: dict[str, Array] = {}
            for name in self.rule.wrt:
                judged = first[name] if found is hand else one(found, name)
                judged.precision = precision
                if judged.wrong and precision != self.runs[0] and not coarse:
                    coarse = self._coarse(found, inputs, cotangents, precision, seeds)
                if name in coarse and judged.wrong_shape is None:
                    far = np.fmax(scale[name], coarse[name])
                    judged = self._one(judged.hand, judged.expected, far, least, inputs, name)
                    judged.precision = precision
                if name not in sample.judged or (judged.wrong and not sample.judged[name].wrong):
                    sample.judged[name] = judged
            if precision == self.runs[0]:
                kernel = not self.exact and "float32" in self.runs  # and computes in float32, whatever it is given
                self._outputs(sample, found, expected, max(least, unit("float32")) if kernel else least)
        if not self.exact:
            self._digits(sample, seed)
        return None

    def _widen(
        self,
        scale: Mapping[str, Array],
        expected: Pulled,
        hand: Pulled,
        inputs: Mapping[str, Any],
        cotangents: Sequence[Array],
        seeds: Sequence[int],
    ) -> None:
        """How far visible rounding moves each entry of the expected and of the hand's gradients, into `scale`."""
        for s in seeds:
            for here in expected, hand:
                again = (
                    self.expect(inputs, cotangents, noise=s)
                    if here is expected
                    else self.by_hand(inputs, cotangents, self.runs[0], noise=s)
                )
                for name, far in scale.items():
                    a, b = again.gradients.get(name), here.gradients.get(name)
                    if a is not None and b is not None and a.shape == b.shape == far.shape:
                        with np.errstate(all="ignore"):
                            np.fmax(far, np.abs(a - b), out=far)

    def _digits(self, sample: Sample, seed: int) -> None:
        """Of a rule that can't be run exactly: what is right for inputs of few digits only loses digits."""
        off = [name for name, judged in sample.judged.items() if judged.wrong_shape is None and np.any(judged.off)]
        if not off or "float32" not in self.runs:
            return
        inputs = self._at(sample.inputs, "bfloat16")
        cotangents = [rounded(c, "bfloat16") for c in sample.cotangents]
        right = self.expect(inputs, cotangents)
        hand = self.by_hand(inputs, cotangents, self.runs[0])
        stick = self._stick(inputs, cotangents, "float32", right, seed)
        for name in off:
            by_hand, best = hand.gradients.get(name), right.gradients.get(name)
            if not self._one(by_hand, best, stick.get(name), unit("float32"), inputs, name).wrong:
                sample.judged[name].off = np.zeros_like(sample.judged[name].off)

    def _coarse(
        self, found: Pulled, inputs: Any, cotangents: Sequence[Array], precision: str, seeds: Sequence[int]
    ) -> dict[str, Array]:
        """How far rounding takes a rule for inputs of few digits: its constants may have no more than these."""
        far: dict[str, Array] = {}
        for s in seeds:
            again = self.by_hand(inputs, cotangents, precision, noise=s).gradients
            for name, here in found.gradients.items():
                there = again.get(name)
                if here is not None and there is not None and here.shape == there.shape:
                    with np.errstate(all="ignore"):
                        far[name] = np.fmax(far.get(name, 0), np.abs(there - here))
        return far

    def _own(
        self,
        hand: Pulled,
        expected: Pulled,
        scale: dict[str, Array],
        inputs: Any,
        cotangents: Sequence[Array],
        seed: int,
    ) -> float:
        """The unit of a rule that can't be run exactly, and may work in float32 within whatever it is given."""
        names = [n for n in self.rule.wrt if n in scale]

        def off(scale: Mapping[str, Array], least: float) -> list[bool]:
            return [
                self._one(hand.gradients.get(n), expected.gradients[n], scale[n], least, inputs, n).wrong for n in names
            ]

        before = off(scale, unit("float64"))
        if any(before):
            rounded_cotangents = [rounded(c, "float32") for c in cotangents]
            stick = self._stick(self._at(inputs, "float32"), rounded_cotangents, "float32", expected, seed)
            wider = {n: np.fmax(scale[n], stick.get(n, scale[n])) for n in names}
            if any(was and not now for was, now in zip(before, off(wider, unit("float32")), strict=True)):
                scale.update(wider)
                return unit("float32")
        return unit("float64")

    def _one(
        self, hand: Array | None, right: Array | None, scale: Array | None, least: float, inputs: Any, name: str
    ) -> Judged:
        shape = np.shape(dict(leaves(inputs))[name]) if right is None else right.shape
        expected = np.zeros(shape) if right is None else right
        far = np.zeros(shape) if scale is None else scale
        with np.errstate(all="ignore"):
            tolerance = SLACK * (far + least * np.abs(expected) + least**2 * np.max(np.abs(expected), initial=0))
            if least > unit("float64"):  # run in its own precision: a number below its smallest is none
                tolerance += SLACK * SMALLEST[self.runs[0]]
            given = np.zeros(shape) if hand is None else hand
            if given.shape != shape:
                return Judged(given, expected, tolerance, np.zeros(shape, bool), "", given.shape)
            close = (np.abs(given - expected) <= tolerance) | (given == expected)
        return Judged(hand, expected, tolerance, ~close & np.isfinite(expected), "")

    def _outputs(self, sample: Sample, found: Pulled, expected: Pulled, least: float) -> None:
        for i, (hand, right) in enumerate(zip(found.outputs, expected.outputs, strict=False)):
            if hand.shape != right.shape:
                sample.outputs_off.append(f"output {i} has the shape {hand.shape}, the reference's {right.shape}")
                continue
            with np.errstate(all="ignore"):
                size = np.max(np.abs(right), initial=0, where=np.isfinite(right))
                far = ~(np.abs(hand - right) <= np.sqrt(least) * (np.abs(right) + size))
            far &= np.isfinite(right)
            if np.any(far):
                where = tuple(int(k) for k in np.argwhere(far)[0])
                sample.outputs_off.append(
                    f"output {i} is {hand[where]:.6g} at {list(where)} where the reference gives {right[where]:.6g}"
                )
        if len(found.outputs) != len(expected.outputs):
            sample.outputs_off.append(f"{len(found.outputs)} outputs, and the reference gives {len(expected.outputs)}")

    def weigh(self, sample: Sample, seed: int) -> None:
        """How many bits each gradient loses at each precision below float64, beyond what its reference loses there.

        At each, the inputs are rounded to it first; the exact values are those of the rounded inputs.
        """
        wrong = any(judged.wrong for judged in sample.judged.values())
        for precision in self.runs:
            if precision == "float64" and self.exact:
                continue
            if self.large and (wrong or precision not in ("float32", self.rule.lowest)):
                continue
            inputs = self._at(sample.inputs, precision)
            cotangents = [rounded(c, precision) for c in sample.cotangents]
            try:
                right = self.expect(inputs, cotangents)
            except UsageError:
                return
            exact = self.by_hand(inputs, cotangents, precision) if self.exact else right
            hand = self.rule.pull(inputs, cotangents, How(precision))
            stick = self._stick(inputs, cotangents, precision, right, seed) if precision != "float64" else {}
            for name in self.rule.wrt:
                by_hand, own, best = hand.gradients.get(name), exact.gradients.get(name), right.gradients.get(name)
                if by_hand is None or own is None or best is None or by_hand.shape != best.shape:
                    continue
                with np.errstate(all="ignore"):
                    sample.gaps[name, precision] = np.abs(by_hand - best)
                    if name in stick:
                        sample.lost[name, precision] = _bits(np.abs(by_hand - own), stick[name], own, precision)

    def _stick(
        self, inputs: Mapping[str, Any], cotangents: Sequence[Array], precision: str, right: Pulled, seed: int
    ) -> dict[str, Array]:
        """How far each entry of the reference's gradients is off at a precision: the root mean square of some runs."""
        squares: dict[str, Array] = {}
        runs = [None, *range(seed, seed + (1 if self.large else STICKS))]
        for noise in runs:
            try:
                found = self.rule.pull(inputs, cotangents, How(precision, plain=True, noise=noise))
            except UsageError:
                return {}
            for name, best in right.gradients.items():
                here = found.gradients.get(name)
                if best is None or here is None or here.shape != best.shape:
                    continue
                with np.errstate(all="ignore"):
                    square = np.square(here - best) / len(runs)
                square = np.where(np.isfinite(square), square, np.inf)  # what is lost to the reference too is not asked
                squares[name] = squares[name] + square if name in squares else square
        return {name: np.sqrt(square) for name, square in squares.items()}

    def _at(self, inputs: Mapping[str, Any], precision: str) -> dict[str, Any]:
        def change(_: str, value: Any) -> Any:
            return rounded(value, precision) if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value

        return replace(inputs, change) if precision != "float64" else dict(inputs)


def _bits(gap: Array, stick: Array, value: Array, precision: str) -> float:
    """log2 of the root mean square of gap / scale."""
    u = unit(precision) / 2
    with np.errstate(all="ignore"):
        typical = np.sqrt(np.mean(np.square(stick[np.isfinite(stick)]))) if np.any(np.isfinite(stick)) else 0.0
        scale = np.fmax(stick, u * np.abs(value)) + typical / 16 + SMALLEST[precision]
        scale += u * u * np.max(np.abs(value), initial=0, where=np.isfinite(value))
        counts = np.isfinite(value) & np.isfinite(scale) & (np.abs(value) < LARGEST[precision])
        ratio = (gap / scale)[counts]
    if not ratio.size:
        return 0.0
    if not np.all(np.isfinite(ratio)):
        return float("inf")
    return float(np.log2(np.sqrt(np.mean(np.square(ratio))) + 1e-300))
