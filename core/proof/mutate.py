"""Can the check see anything: faulty variants of a backward pass, and which of them it finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from handgrad.errors import UsageError
from handgrad.proof.checker import Checker
from handgrad.proof.edits import Edit, edits
from handgrad.proof.instrument import NoSourceError
from handgrad.proof.problem import Problem

KILLED, SURVIVED, EQUIVALENT = "killed", "survived", "equivalent"


@dataclass(frozen=True)
class Mutant:
    """One variant.

    Attributes:
        edit: what was changed.
        backward: the variant.
        status: "killed": the check finds it; "survived": it does not; "equivalent": it returns the same numbers, up to
            rounding, on all inputs that were tried; "" where nothing was run.
        found: the name of the line that the check blames, or what the variant raises.
    """

    edit: Edit
    backward: Callable[..., Any]
    status: str = ""
    found: str = ""


@dataclass(frozen=True)
class Mutants:
    """All variants of a backward pass."""

    mutants: tuple[Mutant, ...]

    def __iter__(self) -> Any:
        return iter(self.mutants)

    def __len__(self) -> int:
        return len(self.mutants)

    def of(self, status: str) -> list[Mutant]:
        """Those of one status."""
        return [mutant for mutant in self.mutants if mutant.status == status]

    @property
    def ok(self) -> bool:
        """Whether none survived."""
        return not self.of(SURVIVED)

    def __str__(self) -> str:
        lines = [f"{mutant.status or 'variant':10}  {mutant.edit}  {mutant.found}".rstrip() for mutant in self.mutants]
        counts = ", ".join(f"{len(self.of(status))} {status}" for status in (KILLED, SURVIVED, EQUIVALENT))
        return "\n".join([*lines, f"{len(self)} variants: {counts}"])


def mutate(
    backward: Callable[..., Any],
    forward: Callable[..., Any] | None = None,
    inputs: Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
) -> Mutants:
    """Faulty variants of a backward function, one small change of its source each.

    Signs turned, terms and factors dropped, products transposed, axes exchanged, variables exchanged, indices shifted.

    Args:
        backward: its source must be to be had.
        forward: with `inputs`: each variant is checked against it.
        inputs: as for `check`.
        seed: as for `check`.

    Raises:
        UsageError: no source; only one of `forward` and `inputs`; or `backward` itself does not pass the check.
    """
    if (forward is None) != (inputs is None):
        raise UsageError("mutate takes forward and inputs together, or neither")
    try:
        variants = [(edit, _built(edit, backward)) for edit in edits(backward)]
    except NoSourceError as error:
        raise UsageError(f"backward: {error}") from error
    built = [(edit, variant) for edit, variant in variants if variant is not None]
    if forward is None or inputs is None:
        return Mutants(tuple(Mutant(edit, variant) for edit, variant in built))
    checker = Checker(Problem(forward, backward))
    if not (report := checker.check(inputs, seed=seed, explain=False)).ok:
        raise UsageError(f"backward itself does not pass the check; its variants would tell nothing:\n{report}")
    return Mutants(tuple(_judged(checker, edit, variant, inputs, seed) for edit, variant in built))


def _built(edit: Edit, backward: Callable[..., Any]) -> Callable[..., Any] | None:
    try:
        return edit.function(backward)
    except (NoSourceError, SyntaxError, ValueError, TypeError):
        return None


def _judged(checker: Checker, edit: Edit, variant: Callable[..., Any], inputs: Mapping[str, Any], seed: int) -> Mutant:
    try:
        report = checker.with_backward(variant).check(inputs, seed=seed, explain=False)
    except UsageError as error:
        return Mutant(edit, variant, KILLED, str(error))
    if not report.ok:
        return Mutant(edit, variant, KILLED, report.first_wrong or "")
    return Mutant(edit, variant, EQUIVALENT if _same(checker, variant, inputs) else SURVIVED)


def _same(checker: Checker, variant: Callable[..., Any], inputs: Mapping[str, Any]) -> bool:
    """Whether a variant returns what the original does, up to rounding."""
    run = checker.problem.run(inputs)
    other = checker.with_backward(variant).problem.run(inputs)
    return run.hands.keys() == other.hands.keys() and all(
        hand.shape == other.hands[name].shape and np.allclose(hand, other.hands[name], rtol=1e-6, atol=1e-12)
        for name, hand in run.hands.items()
    )
