"""A faulty line, and what would explain it: its numbers on all inputs beside those of a formula."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from handgrad.proof.context import Context, Sample
from handgrad.proof.oracle import Terms
from handgrad.proof.problem import is_array, leaves
from handgrad.proof.tape import UntapeableError
from handgrad.proof.wide import Array, wide

Formula = Callable[[Sample], Array]
"""From a sample (a set of inputs and what was judged on it) to what backward would return."""

CLOSE = 1e-9
"""A formula explains numbers that it gives to so much of their size; a different one is off by far more."""


@dataclass
class Line:
    """The faulty line on all sets of inputs on which it can be looked at."""

    context: Context
    name: str

    def __post_init__(self) -> None:
        self.samples = [s for s in self.context.samples if not s.judged[self.name].misshapen]
        self.samples.sort(key=lambda s: not np.any(s.judged[self.name].off))

    def hand(self, sample: Sample) -> Array:
        return np.asarray(sample.judged[self.name].hand)

    def local(self, sample: Sample) -> Array:
        return np.asarray(sample.judged[self.name].local)

    def values(self, sample: Sample) -> dict[str, Array]:
        """All numbers in sight that the line may have used."""
        return {name: wide(value) for name, value in sample.run.values.items() if is_array(value)}

    def explains(self, formula: Formula) -> bool:
        """Whether the formula gives what backward gives, on every set of inputs, and not only what is right."""
        told = False
        for sample in self.samples:
            try:
                guess = formula(sample)
            except (ValueError, IndexError, KeyError, ZeroDivisionError, UntapeableError):
                return False
            hand, local, judged = self.hand(sample), self.local(sample), sample.judged[self.name]
            if guess.shape != hand.shape:
                return False
            with np.errstate(all="ignore"):
                scale = np.max(np.abs(hand), initial=0) + np.max(np.abs(local), initial=0)
                allowed = CLOSE * np.fmin(scale, np.abs(hand) + np.abs(guess) + 1e-4 * scale) + judged.tolerance
                if not np.all((np.abs(guess - hand) <= allowed) | judged.kinks | judged.undefined):
                    return False
                told |= bool(np.any((np.abs(guess - local) > judged.tolerance) & ~judged.kinks))
        return told

    @cached_property
    def terms(self) -> Terms | None:
        """The uses of V, where the program was traced."""
        try:
            return self.context.oracle.terms(self.samples[0].run, self.name)
        except Exception:  # an equation that cannot be differentiated by itself: there are other ways to a name
            return None

    def with_cotangents(self, sample: Sample, changed: dict[str, Array]) -> Array:
        """The expected adjoint, had these later ones been supplied."""
        return self.context.oracle.local(sample.run, sample.cotangents | changed, only=self.name).values[self.name]

    def with_values(self, sample: Sample, changed: dict[str, Array]) -> Array:
        """The expected adjoint, had these values been read."""
        expected = self.context.oracle.local(sample.run, sample.cotangents, values=changed, only=self.name)
        return expected.values[self.name]

    @cached_property
    def reads(self) -> list[str]:
        """The named values that are read on the way from V to the next named ones, V first."""
        known = self.values(self.samples[0])
        read = set(known) if self.terms is None else self.terms.reads
        return [self.name, *(name for name in known if name in read and name != self.name)]

    @cached_property
    def ends(self) -> list[str]:
        """The named values that are computed from V directly, the cost among them."""
        sample = self.samples[0]
        values, cost = sample.run.values, list(dict(leaves(sample.run.named)))[-1]
        later = [name for name in dict.fromkeys([*sample.cotangents, cost]) if name != self.name]
        return [end for end in later if np.any(self.toward(sample, end, np.ones(np.shape(values[end]))))]

    def toward(self, sample: Sample, end: str, cotangent: Array) -> Array:
        """What flows back to V from one end with this adjoint."""
        cost = list(dict(leaves(sample.run.named)))[-1]
        none = {name: np.zeros_like(c) for name, c in sample.cotangents.items()}
        none[cost] = np.zeros(np.shape(sample.run.values[cost]))
        return self.with_cotangents(sample, none | {end: cotangent})

    def cotangent(self, sample: Sample, end: str) -> Array:
        """The adjoint of an end as supplied; 1 for the cost."""
        given = sample.cotangents
        return given[end] if end in given else np.ones(np.shape(sample.run.values[end]))
