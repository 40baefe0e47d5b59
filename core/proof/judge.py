"""One line against the oracle, on one set of inputs: which entries differ by more than rounding explains.

The hand's adjoint and the expected one are both computed in long double. Both are computed again with every operation
off by a random unit in the last place of *float64* (`handgrad.proof.noise`), and how far an entry moves by that is
its own scale. A right formula is off by 2^-64 units, some 2000 times less than the scale; a wrong one is off by its
fault. `SLACK` scales are allowed, which leaves a factor of 1e5 on either side between a right formula and a fault of
relative size 1e-9.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from handgrad.proof.noise import Rounding
from handgrad.proof.oracle import Expected, Oracle
from handgrad.proof.problem import Problem, Run
from handgrad.proof.wide import WIDE, Array, wide

SLACK = 64
"""Scales of rounding that a gap may have. Tests with 20,000 right gradients stay below 1; see `tests/`."""
UNIT = 2.0**-53
SURE = 2.0**-38
"""What differences of functions of tensors are off by, at most, as a part of the largest entry; seen: 7e-13."""
ALMOST = 1e-3
"""Gaps of so much of the largest entry, at the inputs given, may come from a small number that forward adds."""


@dataclass
class Judged:
    """One line on one set of inputs.

    Attributes:
        name: of what it is the adjoint to.
        hand: the adjoint as supplied, long double.
        local: what it should be, given the later adjoints as supplied.
        total: the true gradient.
        tolerance: how far rounding may take `hand` from `local`, by entry.
        misshapen: whether the shape is not that of V; then nothing else is judged.
        off: entries that differ from `local` by more.
        off_total: entries that differ from `total` by more.
        kinks: entries where the expected adjoint jumps.
        sizes: what each entry is a sum of, added up without signs: it tells 0 from what cancels.
        but_for: small numbers that forward adds, and but for which the line is right.
    """

    name: str
    hand: Array
    local: Array
    total: Array
    tolerance: Array
    misshapen: bool = False
    off: Array = field(default_factory=lambda: np.zeros(()))
    off_total: Array = field(default_factory=lambda: np.zeros(()))
    kinks: Array = field(default_factory=lambda: np.zeros((), bool))
    sizes: Array = field(default_factory=lambda: np.zeros(()))
    but_for: str = ""

    @property
    def wrong(self) -> bool:
        """Whether the line is at fault here: neither what its later lines call for nor the true gradient."""
        return self.misshapen or (bool(np.any(self.off)) and bool(np.any(self.off_total)))

    @property
    def tolerated(self) -> bool:
        """Whether an entry that matters is off by a quarter of itself, and passes by its tolerance alone."""
        if self.misshapen or not self.local.size:
            return False
        with np.errstate(all="ignore"):
            gap, size = np.abs(self.hand - self.local), np.fmax(np.abs(self.hand), np.abs(self.local))
            usual = np.max(np.where(np.isfinite(size), size, 0), initial=0)
            if np.all(size <= self.tolerance):  # rounding leaves nothing of it here: it says neither
                return False
            seen = (gap > 0.25 * size) & (gap > 1e-3 * usual) & (gap <= self.tolerance) & ~self.kinks
            seen &= gap > 1e-6 * self.sizes
        return bool(np.any(seen))

    @property
    def undefined(self) -> Array:
        """Entries where the derivative itself is not a finite number."""
        return ~np.isfinite(self.local)

    @property
    def worst(self) -> tuple[int, ...]:
        """The entry to show: the one furthest off, as a multiple of its own tolerance."""
        if self.misshapen or not self.local.size:
            return ()
        with np.errstate(all="ignore"):
            gap = np.abs(self.hand - self.local)
            measure = np.where(np.isnan(gap), np.inf, gap) / (self.tolerance + np.finfo(WIDE).tiny)
        measure = np.where(self.undefined | self.kinks, -1, measure)
        if np.any(self.off):  # among those that are off, the largest gap says most to a reader
            size = np.where(np.isnan(gap), np.inf, gap)
            measure = np.where(self.off.astype(bool), size, -1)
        return tuple(int(i) for i in np.unravel_index(int(np.argmax(measure)), measure.shape))

    @property
    def detectable(self) -> Array:
        """By entry, the smallest relative error that would have been seen; infinite where nothing can be."""
        with np.errstate(all="ignore"):
            size = np.abs(self.local)
            share = self.tolerance / np.where(size < 1e-6 * self.sizes, self.sizes, size)
        return np.where(np.isfinite(share) & ~self.kinks, share, np.inf)


class Judge:
    """Judges all lines at once on one set of inputs.

    Args:
        problem: the two functions.
        oracle: what is expected.
        wrt: the leaves whose adjoints are returned.
        rng: for the noise.
        samples: noisy evaluations of either side.
        own: the code's own low precision counts as rounding, since the inputs have no more digits either.
    """

    def __init__(
        self, problem: Problem, oracle: Oracle, wrt: list[str], rng: np.random.Generator, samples: int, own: bool
    ) -> None:
        self.problem = problem
        self.oracle = oracle
        self.wrt = wrt
        self.rng = rng
        self.samples = samples
        self.own = own
        self.lowest = 0.0
        """The unit of the fewest digits that backward was seen to work in."""

    def judge(self, run: Run, *, always_look_for_kinks: bool = False) -> dict[str, Judged]:
        """All lines, by the name of what they are adjoint to."""
        values, hands = run.values, run.hands
        misshapen = {name for name, hand in hands.items() if hand.shape != np.shape(values[name])}
        cotangents = self._cotangents(run, hands, misshapen)
        local = self.oracle.local(run, cotangents, self.samples, self.rng)
        as_is = self._fed_as_is(run, cotangents, hands, misshapen)
        moved = self.moved(run, self.own)
        judged: dict[str, Judged] = {}
        for name in self.wrt:
            expected, hand = local.values[name], hands[name]
            if name in misshapen:
                judged[name] = Judged(name, hand, expected, expected, local.errors[name], True)
                continue
            sizes = local.sizes.get(name, np.abs(expected))
            scale = moved[name] + local.errors[name] + UNIT * np.abs(expected) + 2.0**-self.oracle.bits * sizes
            tolerance = np.asarray(SLACK * scale, WIDE)
            if self.problem.opaque:  # where all that is known are differences in float64, of which 12 digits are sure
                tolerance = np.fmax(tolerance, SURE * np.max(np.abs(expected), initial=0))
            line = Judged(name, hand, expected, expected, tolerance)
            line.off = _differs(hand, expected, tolerance)
            if np.any(line.off) and as_is is not None and not np.any(_differs(hand, as_is.values[name], tolerance)):
                line.off = np.zeros(expected.shape, bool)  # fed by an adjoint of a wrong shape, and right in itself
            line.kinks = np.zeros(expected.shape, bool)
            line.sizes = sizes
            judged[name] = line
        for name, line in judged.items():
            if not line.misshapen and np.any(line.off):  # what rounding in forward does to it is asked where it matters
                rounded = self.oracle.rounded(run, cotangents, name, line.local, self.rng)
                line.tolerance = line.tolerance + SLACK * rounded
                line.off = line.off.astype(bool) & _differs(line.hand, line.local, line.tolerance)
        off = [name for name, line in judged.items() if line.misshapen or np.any(line.off)]
        if off:
            total = self.oracle.total(run, self.samples, self.rng)
            for name, line in judged.items():
                line.total = total.values[name]
                if not line.misshapen:
                    tolerance = line.tolerance + SLACK * total.errors[name]
                    line.off_total = _differs(line.hand, line.total, tolerance)
        if off:
            self._approximate(run, cotangents, judged, ALMOST if always_look_for_kinks else np.inf)
        if off or always_look_for_kinks:
            for name, kinks in self.kinks(run, cotangents, local).items():
                line = judged[name]
                if not line.misshapen:
                    line.kinks = kinks
                    line.off = line.off.astype(bool) & ~kinks
        return judged

    def _approximate(self, run: Run, cotangents: Mapping[str, Array], judged: dict[str, Judged], almost: float) -> None:
        """Lines that are right but for a small number that forward adds, as an epsilon in a logarithm."""
        lines = {n: line for n, line in judged.items() if not line.misshapen and np.any(line.off)}
        with np.errstate(all="ignore"):
            near = {
                n: line
                for n, line in lines.items()
                if np.max(np.abs(line.hand - line.local), initial=0) <= almost * np.max(np.abs(line.local), initial=0)
            }
        if not near:
            return
        for small, expected in self.oracle.approximations(run, cotangents):
            for name, line in near.items():
                if not line.but_for and not np.any(_differs(line.hand, expected.values[name], line.tolerance)):
                    line.but_for = small
                    line.off = line.off_total = np.zeros(line.hand.shape, bool)

    def _cotangents(self, run: Run, hands: Mapping[str, Array], misshapen: set[str]) -> dict[str, Array]:
        """The adjoints as supplied, but for those that cannot be fed on: those are exchanged for the expected ones."""
        spoilt = {
            name: ~np.isfinite(hand)
            for name, hand in hands.items()
            if name in misshapen or not np.all(np.isfinite(hand))
        }
        good = {name: np.nan_to_num(h, nan=0, posinf=0, neginf=0) for name, h in hands.items() if name not in misshapen}
        for _ in spoilt:
            expected = self.oracle.local(run, good).values
            for name, where in spoilt.items():
                if name in misshapen:
                    good[name] = np.nan_to_num(expected[name])
                else:
                    good[name] = np.where(where, np.nan_to_num(expected[name]), hands[name])
        return good

    def _fed_as_is(
        self, run: Run, cotangents: Mapping[str, Array], hands: Mapping[str, Array], misshapen: set[str]
    ) -> Expected | None:
        """What is expected if adjoints of a wrong shape are fed on nevertheless, where NumPy broadcasts them."""
        fed = dict(cotangents)
        for name in misshapen:
            try:
                fed[name] = np.broadcast_to(np.nan_to_num(hands[name]), cotangents[name].shape)
            except ValueError:
                continue
        return self.oracle.local(run, fed) if misshapen else None

    def moved(self, run: Run, own: bool) -> dict[str, Array]:
        """How far rounding alone moves each entry of what backward returns."""
        hands = run.hands
        far = {name: np.zeros(hand.shape, WIDE) for name, hand in hands.items()}
        lowest = 0.0
        for _ in range(self.samples):
            rounding = Rounding(self.rng, UNIT, own)
            again = self.problem.again(run, self.wrt, rounding)
            self.lowest = max(self.lowest, rounding.lowest)
            lowest = max(lowest, rounding.lowest)
            for name, hand in Run(run.inputs, run.named, again).hands.items():
                if name in hands and hand.shape == hands[name].shape:
                    with np.errstate(all="ignore"):
                        far[name] = np.fmax(far[name], np.abs(hand - hands[name]))
        if own and lowest > UNIT * 4:  # few digits are hit by a small move or not at all: never less than one unit
            far = {name: np.fmax(moved, lowest * np.abs(hands[name])) for name, moved in far.items()}
        return far

    def kinks(self, run: Run, cotangents: Mapping[str, Array], here: Expected) -> dict[str, Array]:
        """Entries of the expected adjoints that jump at these inputs: there the cost has no derivative.

        Two points on either side, at two distances: a smooth function's difference shrinks with the distance.
        """
        if self.oracle.sees_kinks:
            return {}
        values = run.values
        moving = {name: wide(values[name]) for name in self.wrt if wide(values[name]).size}
        directions = {}
        for name, value in moving.items():
            usual = np.sqrt(np.mean(np.square(value))) or 1
            size = np.where(value == 0, usual, np.abs(value))
            directions[name] = size * self.rng.choice([-1, 1], value.shape) * self.rng.uniform(0.5, 1, value.shape)
        wide_enough = self.oracle.bits > 53
        far, near = (2.0**-30, 2.0**-40) if wide_enough else (2.0**-20, 2.0**-30)
        jumps = {}
        for distance in far, near:
            with np.errstate(all="ignore"):
                sides = [
                    self.oracle.local(
                        run, cotangents, values={n: v + s * distance * directions[n] for n, v in moving.items()}
                    )
                    for s in (1, -1)
                ]
                jumps[distance] = {
                    n: np.fmax(
                        np.abs(sides[0].values[n] - sides[1].values[n]),
                        np.fmax(*(np.abs(side.values[n] - here.values[n]) for side in sides)),
                    )
                    for n in self.wrt
                }
        found = {}
        for name in self.wrt:
            size, jump = np.abs(here.values[name]), jumps[near][name]
            least = SLACK * here.errors[name] + (2.0**-20 if wide_enough else 2.0**-12) * np.fmax(size, jump)
            least = np.fmax(least, 2.0**-40 * here.sizes.get(name, size))
            found[name] = (jump > jumps[far][name] / 8) & (jump > least)
        return found


def _differs(hand: Array, expected: Array, tolerance: Array) -> Array:
    with np.errstate(all="ignore"):
        close = np.abs(hand - expected) <= tolerance
    return np.asarray(~(close | (hand == expected)) & np.isfinite(expected))


def clipped(judged: Mapping[str, Judged]) -> float | None:
    """The round number to which all entries that are off are clipped, as those of recurrent networks are; else None."""
    found: set[float] = set()
    for line in judged.values():
        if line.misshapen or not np.any(line.off):
            continue
        hand, expected = (np.asarray(v)[line.off.astype(bool)] for v in (line.hand, line.local))
        most = float(f"{np.max(np.abs(line.hand)):.3g}")
        if not np.isfinite(most) or not np.all(np.isfinite(hand)):
            return None
        there = np.abs(np.abs(hand) - most) <= 1e-12 * most
        if not np.all(there & (hand * expected > 0) & (np.abs(expected) > most)):
            return None
        found.add(most)
    return found.pop() if len(found) == 1 else None
