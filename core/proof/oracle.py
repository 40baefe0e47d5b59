"""What knows the expected adjoints: what it is asked, and what others must know of its kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from handgrad.proof.problem import Run
from handgrad.proof.wide import Array


@dataclass(frozen=True)
class Expected:
    """What an oracle says, by the name of what it is the adjoint to.

    Attributes:
        values: the expected adjoints, in long double.
        errors: how far rounding or truncation may have moved each entry.
        sizes: what each entry is a sum of, added up without signs, where that is known: it tells 0 from cancellation.
    """

    values: dict[str, Array]
    errors: dict[str, Array]
    sizes: dict[str, Array] = field(default_factory=dict)


Use = tuple[int, int]
"""An operation of forward, and which of its operands."""

ADDITIVE = {"add", "subtract", "negative", "positive", "conjugate"}
"""Operations whose derivative is 1 or -1."""


class Terms(Protocol):
    """The uses of V between it and the next named values: what each contributes, and each derivative on the way.

    Attributes:
        uses: all of them, in the order of the program.
        first: those of V itself.
        elementwise: those with a derivative of their own, by entry, other than 1 or -1.
        reads: the named values that are read on the way.
    """

    uses: list[Use]
    first: list[Use]
    elementwise: list[Use]
    reads: set[str]

    def operation(self, use: Use) -> str:
        """What the program does there, as "exp"."""

    def chains(self) -> Iterator[list[Use]]:
        """Runs of elementwise operations, each fed by the one before: the parts of one activation."""

    def adjoint(
        self,
        run: Run,
        cotangents: Mapping[str, Array],
        scale: Mapping[Use, float] | None = None,
        power: Mapping[Use, float] | None = None,
    ) -> Array:
        """The expected adjoint with some uses counted otherwise."""


class Oracle(Protocol):
    """An oracle; each kind answers for itself.

    Attributes:
        translates: whether it reads forward as another program, which may be a wrong one: others have a vote on it.
        partial: whether it may leave entries of a right program open, as NaN; it is then asked once for each run.
        analytic: whether a second way to the derivative agrees, as the complex step does; None where it was not tried.
        sees_kinks: whether its errors are large where the cost has a kink; else the judge looks for kinks.
    """

    translates: bool
    partial: bool
    sees_kinks: bool
    analytic: bool | None

    @property
    def name(self) -> str:
        """What the report calls this oracle."""

    @property
    def bits(self) -> int:
        """The bits of the numbers that it computes with."""

    def local(
        self,
        run: Run,
        cotangents: Mapping[str, Array],
        samples: int = 0,
        rng: np.random.Generator | None = None,
        values: Mapping[str, Array] | None = None,
        only: str | None = None,
    ) -> Expected:
        """What each adjoint should be, given the later ones.

        Args:
            run: inputs and named values; the copies of these are what later uses see.
            cotangents: the adjoints as supplied; that of the cost is 1 where it is not among them.
            samples: how many noisy evaluations to take the error from, where it is not taken otherwise.
            rng: for the noise.
            values: other values for some of the leaves.
            only: the one adjoint that is asked for; others may be left out.
        """

    def total(self, run: Run, samples: int = 0, rng: np.random.Generator | None = None) -> Expected:
        """The true gradient, in the program as a whole."""

    def rounded(
        self, run: Run, cotangents: Mapping[str, Array], name: str, expected: Array, rng: np.random.Generator
    ) -> Array:
        """How far rounding within forward moves each entry of an expected adjoint, beyond its error."""

    def computed(self, run: Run) -> dict[str, Array]:
        """What its translation of forward computes, by name; nothing where forward itself is run."""

    def approximations(self, run: Run, cotangents: Mapping[str, Array]) -> Iterator[tuple[str, Expected]]:
        """What would be expected if small numbers that forward adds against a division by zero were not there."""

    def terms(self, run: Run, name: str) -> Terms | None:
        """The expected adjoint of V taken apart; None where the operations of forward are not known."""
