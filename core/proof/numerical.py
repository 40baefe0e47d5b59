"""The oracle that only runs forward: complex step where the code is analytic, else extrapolated differences.

For code that cannot be traced, and as a second opinion on what was. The lines are told apart as in
`handgrad.proof.taped`: forward is rewritten from its source so that each named value V, once complete, is exchanged
for an independent copy, and each copy in turn is moved.

Complex step: Squire and Trapp, "Using Complex Variables to Estimate Derivatives of Real Functions", SIAM Review 40,
1998. A kink is seen by slopes that differ from side to side; its error is infinite. Extrapolation: Richardson's, with
the error from the last two columns (Ridders, "Accurate computation of F'(x) and F'(x) F''(x)", 1982).
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from handgrad.errors import UsageError
from handgrad.proof.instrument import NoSourceError, instrument
from handgrad.proof.noise import Rounding
from handgrad.proof.oracle import Expected
from handgrad.proof.problem import Problem, Run, copied, leaves, replace
from handgrad.proof.wide import WIDE, Array

LEVELS = 5
ENTRIES = 400
"""Adjoints of up to so many entries are taken entry by entry; of larger ones, sums are, and wrong sums are halved."""
WRONG_ENTRIES = 40
"""So many wrong entries of a large adjoint are located before the rest of it is left open."""


@dataclass(frozen=True)
class Question:
    """What is to be differentiated, along whatever direction.

    Attributes:
        run: the point.
        cotangents: the adjoints as supplied.
        values: other values for some of the leaves.
        together: the program as a whole; else each line by itself.
    """

    run: Run
    cotangents: Mapping[str, Array]
    values: Mapping[str, Array] = field(default_factory=dict)
    together: bool = False


class Numerical:
    """The oracle.

    Args:
        problem: the two functions.
        wrt: the leaves whose adjoints backward returns.
        dtype: in which forward is run.
    """

    translates = False
    partial = sees_kinks = True

    def __init__(self, problem: Problem, wrt: list[str], dtype: Any = WIDE) -> None:
        self.problem = problem
        self.wrt = wrt
        self.dtype = np.dtype(dtype)
        self.bits = int(np.finfo(dtype).nmant) + 1
        self.analytic: bool | None = None
        self._copies: dict[str, Any] = {}
        self._computed: dict[str, Any] = {}
        self._together = False
        self._rounding: Rounding | None = None
        self.forward: Any = None
        self.cut = True
        if problem.forward_may_be_cut:
            try:
                self.forward = instrument(problem.forward, self._hook)
            except NoSourceError:
                self.cut = False

    @property
    def name(self) -> str:
        """What the report calls this oracle."""
        how = "complex step" if self.analytic else "extrapolated differences"
        where = "" if self.cut else "; its source cannot be followed, so only the gradient as a whole is judged"
        return f"{how} with {self.bits} bits{where}"

    def local(
        self,
        run: Run,
        cotangents: Mapping[str, Array],
        samples: int = 0,
        rng: np.random.Generator | None = None,
        values: Mapping[str, Array] | None = None,
        only: str | None = None,
    ) -> Expected:
        """What each adjoint should be given the later ones; the error is that of the extrapolation."""
        del samples
        return self._all(Question(run, cotangents, values or {}), cotangents, rng, only)

    def total(self, run: Run, samples: int = 0, rng: np.random.Generator | None = None) -> Expected:
        """The true gradient, in the program as a whole."""
        del samples
        return self._all(Question(run, {}, together=True), run.hands, rng)

    def computed(self, run: Run) -> dict[str, Array]:
        """Nothing: forward itself is run."""
        del run
        return {}

    def approximations(self, run: Run, cotangents: Mapping[str, Array]) -> Iterator[tuple[str, Expected]]:
        """None: forward is run as it is."""
        del run, cotangents
        return iter(())

    def terms(self, run: Run, name: str) -> None:
        """None: forward is run as a whole."""
        del run, name

    def rounded(
        self, run: Run, cotangents: Mapping[str, Array], name: str, expected: Array, rng: np.random.Generator
    ) -> Array:
        """How far rounding within forward moves each entry of an expected adjoint."""
        far = np.zeros(expected.shape, WIDE)
        for _ in range(2):
            self._rounding = Rounding(rng, 2.0**-53)
            try:
                again = self.local(run, cotangents, only=name).values[name]
            except UsageError:  # code that takes no subclass of ndarray
                break
            finally:
                self._rounding = None
            with np.errstate(all="ignore"):
                far = np.fmax(far, np.abs(again - expected))
        return far

    def slopes(self, run: Run, directions: Mapping[str, Array]) -> dict[str, tuple[Any, Any]]:
        """The derivative of the cost along a direction of the inputs, and its error, by each way to it."""
        question = Question(run, {}, together=True)
        with np.errstate(all="ignore"):
            found = {"differences": self._differences(question, directions)}
            exact = self._complex(question, directions)
        slope, off = found["differences"]
        if exact is not None and abs(slope - exact[0]) <= 64 * off + 1e-9 * abs(slope):
            found = {"complex step": exact, "extrapolated differences": found["differences"]}
        return found

    def _hook(self, name: str, value: Any) -> Any:
        self._computed.update((n, np.array(v)) for n, v in leaves({name: value}))

        def exchange(leaf: str, computed: Any) -> Any:
            if leaf not in self._copies:
                return computed
            return computed + self._copies[leaf] if self._together else copy.copy(self._copies[leaf])

        return replace({name: value}, exchange)[name]

    def _cuts(self, run: Run) -> list[str]:
        """The leaves that are computed on the way to the cost, and judged."""
        named, inputs, cost = dict(leaves(run.named)), dict(leaves(run.inputs)), self._cost(run)
        return [name for name in self.wrt if name in named and name not in inputs and name != cost]

    def _ends(self, run: Run, moved: Mapping[str, Array], together: bool) -> dict[str, Array]:
        """What forward computes for each name when inputs and copies are those of `moved` where it has them.

        Together, `moved` holds steps instead, which are added to what flows through the program.
        """
        values = run.values
        cuts = self._cuts(run)
        self._together = together
        self._copies = (
            {n: moved[n] for n in cuts if n in moved} if together else {n: moved.get(n, values[n]) for n in cuts}
        )
        self._computed = {}

        def change(name: str, value: Any) -> Any:
            if name not in moved:
                return value
            new = np.asarray(value) + moved[name] if together else moved[name]
            return new if isinstance(value, np.ndarray) else new[()]

        given = replace(copied(run.inputs), change)
        if self._rounding is not None:
            given, self._copies = self._rounding.wrap(given), self._rounding.wrap(self._copies)
        with np.errstate(all="ignore"):
            named = self.problem.run_forward(given, self.forward)
        result = {name: np.asarray(value) for name, value in leaves(named)}
        return result | self._computed

    def _all(
        self,
        question: Question,
        hands: Mapping[str, Array],
        rng: np.random.Generator | None,
        only: str | None = None,
    ) -> Expected:
        run = question.run
        known, errors = {}, {}
        rng = rng or np.random.default_rng(0)
        for name in self.wrt if only is None else [only]:
            shape = np.shape(run.values[name])
            if name == self._cost(run):
                known[name], errors[name] = np.ones(shape, WIDE), np.zeros(shape, WIDE)
                continue
            hand = hands.get(name)
            big = int(np.prod(shape, dtype=int)) > ENTRIES
            if big and hand is not None and hand.shape == shape:
                known[name], errors[name] = self._by_halving(question, name, hand, rng)
            else:
                known[name], errors[name] = self._by_entry(question, name)
        return Expected(known, errors)

    def _by_entry(self, question: Question, name: str) -> tuple[Array, Array]:
        size = self._size(question.run, name)
        expected, error = np.full(size.shape, np.nan, WIDE), np.zeros(size.shape, WIDE)
        for where in list(np.ndindex(size.shape))[:ENTRIES]:
            direction = np.zeros(size.shape, self.dtype)
            direction[where] = size[where]
            slope, off = self._along(question, {name: direction})
            own = np.abs(np.asarray(question.run.values[name])[where])
            if not np.isfinite(slope) and own > 0:  # past the end of a domain, as of a logarithm of a small number
                direction[where] = own
                slope, off = self._along(question, {name: direction})
            expected[where], error[where] = slope / direction[where], off / direction[where]
        return expected, error

    def _by_halving(self, question: Question, name: str, hand: Array, rng: np.random.Generator) -> tuple[Array, Array]:
        """The hand's own values where signed sums of them are right, the true ones where a wrong sum leads."""
        size = self._size(question.run, name)
        signs = rng.choice([-1, 1], size.shape).astype(self.dtype) * size
        expected, error = hand.copy(), np.zeros(size.shape, WIDE)
        stack = [np.arange(size.size)]
        found = 0
        while stack:
            part = stack.pop()
            if found > WRONG_ENTRIES:
                expected.ravel()[part] = np.nan
                continue
            direction = np.zeros(size.size, self.dtype)
            direction[part] = signs.ravel()[part]
            slope, off = self._along(question, {name: direction.reshape(size.shape)})
            by_hand = (hand.ravel()[part] * direction[part]).sum()
            if len(part) == 1:
                expected.ravel()[part] = slope / direction[part]
                error.ravel()[part] = off / abs(direction[part])
                found += 1
            elif abs(by_hand - slope) <= 64 * (off + 2.0**-53 * abs(hand.ravel()[part] * direction[part]).sum()):
                error.ravel()[part] = off / abs(direction[part])
            else:
                stack += [part[: len(part) // 2], part[len(part) // 2 :]]
        return expected, error

    def _size(self, run: Run, name: str) -> Array:
        """The length of a step in each entry, before it is shortened: its own size, or that of the others."""
        value = np.abs(np.asarray(run.values[name], WIDE))
        usual = np.sqrt(np.mean(np.square(value))) if value.size else WIDE(1)
        usual = usual if 0 < usual < np.inf else WIDE(1)
        return np.where((value > usual / 16) & np.isfinite(value), value, usual).astype(self.dtype)

    def _along(self, question: Question, directions: Mapping[str, Array]) -> tuple[Any, Any]:
        with np.errstate(all="ignore"):
            slope, off = self._differences(question, directions)
            if self.analytic is not False and np.isfinite(off):
                exact = self._complex(question, directions)
                self.analytic = exact is not None and bool(abs(slope - exact[0]) <= 64 * off + 1e-9 * abs(slope))
                if exact is not None and self.analytic:
                    return exact
            return slope, off

    def _moved_ends(self, question: Question, directions: Mapping[str, Array], step: Any) -> dict[str, Array]:
        """What forward computes a step along the directions further."""
        steps = {name: step * direction for name, direction in directions.items()}
        if question.together:
            return self._ends(question.run, steps, together=True)
        base = {**question.run.values, **question.values}
        moved = {**question.values, **{name: np.asarray(base[name]) + by for name, by in steps.items()}}
        return self._ends(question.run, moved, together=False)

    def _complex(self, question: Question, directions: Mapping[str, Array]) -> tuple[Any, Any] | None:
        kind = np.clongdouble if self.dtype == WIDE else np.complex128
        step = kind(1j) * self.dtype.type(2.0**-300)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                ends = self._moved_ends(question, directions, step)
        except Exception:
            return None
        unit, tiny = np.finfo(self.dtype).eps, WIDE(np.finfo(self.dtype).tiny)
        slope, size, lost = WIDE(0), WIDE(0), WIDE(0)
        for name, cotangent in self._seen(question).items():
            part = np.imag(ends[name]) / 2.0**-300 * cotangent
            slope, size = slope + part.sum(), size + np.abs(part).sum()
            lost += (tiny / WIDE(2.0**-300) * np.abs(cotangent)).sum()  # what is below it underflows with the step
        return (slope, 16 * unit * size + lost) if np.isfinite(slope) else None

    def _differences(self, question: Question, directions: Mapping[str, Array]) -> tuple[Any, Any]:
        best, error = self._extrapolated(question, directions, 2.0**-5)
        for first in (2.0**-11, 2.0**-18):  # a kink nearby spoils long steps only
            if error <= 1e-9 * abs(best):
                break
            again = self._extrapolated(question, directions, first)
            best, error = min((best, error), again, key=lambda pair: pair[1] if np.isfinite(pair[1]) else np.inf)
        return best, error

    def _extrapolated(self, question: Question, directions: Mapping[str, Array], first: float) -> tuple[Any, Any]:
        seen = self._seen(question)
        unit = np.finfo(self.dtype).eps
        rows: list[list[Any]] = []
        noise = WIDE(0)
        here = self._moved_ends(question, directions, self.dtype.type(0))
        bends: list[Any] = []
        for level in range(LEVELS):
            step = self.dtype.type(first * 2.0**-level)
            ahead = self._moved_ends(question, directions, step)
            behind = self._moved_ends(question, directions, -step)
            slope, bend = WIDE(0), WIDE(0)
            for name, cotangent in seen.items():
                bend += (
                    ((ahead[name].astype(WIDE) - here[name]) + (behind[name].astype(WIDE) - here[name])) * cotangent
                ).sum()
                change = (ahead[name].astype(WIDE) - behind[name]) * cotangent
                slope += change.sum()
                seen_part = change != 0 if np.any(change) else np.ones(change.shape, bool)
                touched = np.abs(ahead[name] * cotangent)[seen_part]
                noise = max(noise, unit * touched.sum() / step) if touched.size else noise
            bends.append(abs(bend) / step)
            row = [slope / (2 * step)]
            for order in range(level):
                factor = 4 ** (order + 1)
                row.append((factor * row[-1] - rows[-1][order]) / (factor - 1))
            rows.append(row)
        best = rows[-1][-1]
        if bends[-1] > bends[0] / 4 and bends[-1] > 1e-6 * abs(best) + 64 * noise:
            return best, WIDE(np.inf)  # the slopes of the two sides differ however short the step: a kink
        return best, abs(best - rows[-2][-1]) + noise

    def _seen(self, question: Question) -> dict[str, Array]:
        """The ends that count, with their cotangents: the cost alone in the program as a whole."""
        run, cotangents = question.run, question.cotangents
        cost, named = self._cost(run), dict(leaves(run.named))
        seen = {cost: np.ones(np.shape(named[cost]), WIDE) * cotangents.get(cost, 1)}
        if not question.together and self.cut:
            for name in self._cuts(run):
                if name in cotangents:
                    seen[name] = np.asarray(cotangents[name], WIDE).reshape(np.shape(named[name]))
        return seen

    @staticmethod
    def _cost(run: Run) -> str:
        return list(dict(leaves(run.named)))[-1]
