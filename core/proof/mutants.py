"""Can the check see anything: faulty variants of a backward pass, and which of them it finds."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from handgrad.bars import hidden
from handgrad.errors import UsageError
from handgrad.jsonable import dumps
from handgrad.proof.checker import Checker, in_numpy
from handgrad.proof.edits import Edit, edits
from handgrad.proof.forms import Adapted, understand
from handgrad.proof.instrument import NoSourceError
from handgrad.proof.problem import Problem
from handgrad.proof.report import Report
from handgrad.proof.tape import is_users

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

    def listed(self, *, every: bool = False) -> str:
        """The survivors, one a line; the killed counted by kind, or with `every` all variants one by one."""
        shown = [*self.of(SURVIVED), *(m for m in self.mutants if m.status != SURVIVED and (every or not m.status))]
        lines = [f"{mutant.status or 'variant':10}  {mutant.edit}  {mutant.found}".rstrip() for mutant in shown]
        killed = Counter(mutant.edit.kind for mutant in self.of(KILLED))
        if killed and not every:
            kinds = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in killed.most_common())
            lines.append(f"{KILLED:10}  {kinds}")
        counts = ", ".join(f"{len(self.of(status))} {status}" for status in (SURVIVED, KILLED, EQUIVALENT))
        return "\n".join([*lines, f"{len(self)} variants: {counts}"])

    def to_json(self) -> str:
        """All variants as JSON."""
        variants = [
            {"status": m.status, "kind": e.kind, "line": e.line, "before": e.before, "after": e.after, "found": m.found}
            for m in self.mutants
            for e in [m.edit]
        ]
        return dumps({"ok": self.ok, "variants": variants})

    def __str__(self) -> str:
        return self.listed()


def mutate(
    backward: Callable[..., Any],
    forward: Callable[..., Any] | None = None,
    inputs: Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
    **options: Any,
) -> Mutants:
    """Faulty variants of a backward function, one small change of its source each.

    Signs turned, terms and factors dropped, products transposed, axes exchanged, variables exchanged, indices shifted.
    A progress bar is shown on standard error where that is a terminal.

    Args:
        backward: its source must be to be had.
        forward: with `inputs`: each variant is checked against it.
        inputs: as for `check`.
        seed: as for `check`.
        options: which of `check`'s keywords tell how the two are read: ``cost``, ``gradients`` and ``wrt``.

    Raises:
        UsageError: no source, or one that is a library's; only one of `forward` and `inputs`; or `backward` itself does
            not pass the check.
    """
    if (forward is None) != (inputs is None):
        raise UsageError("mutate takes forward and inputs together, or neither")
    code = getattr(backward, "__code__", None)
    if not is_users(str(getattr(backward, "__module__", "")), getattr(code, "co_filename", "")):
        raise UsageError(f"backward is {backward!r}, of a library; expected a function of your own")
    try:
        variants = [(edit, _built(edit, backward)) for edit in edits(backward) if not _renames_result(edit)]
    except NoSourceError as error:
        raise UsageError(f"backward: {error}") from error
    built = [(edit, variant) for edit, variant in variants if variant is not None]
    if forward is None or inputs is None:
        return Mutants(tuple(Mutant(edit, variant) for edit, variant in built))
    of = _Judge(forward, backward, inputs, seed, options)
    if not (report := of.report(backward)).ok:
        raise UsageError(f"backward itself does not pass the check; its variants would tell nothing:\n{report}")
    with tqdm(built, unit=" variants", leave=False, disable=hidden()) as bar:
        return Mutants(tuple(of.judged(edit, variant) for edit, variant in bar))


def _renames_result(edit: Edit) -> bool:
    """Whether a change only puts another variable under a name of what is returned: no slip of a formula."""
    if edit.kind != "wrong_variable" or not isinstance(edit.new, ast.Name):
        return False
    function, node = edit.path[0], edit.path[-1]
    returned = [n.value for n in ast.walk(function) if isinstance(n, ast.Return) and n.value is not None]
    names = {value.id for value in returned if isinstance(value, ast.Name)}
    returned += [
        n.value
        for n in ast.walk(function)
        if isinstance(n, ast.Assign) and any(isinstance(t, ast.Name) and t.id in names for t in n.targets)
    ]
    return any(node is item for value in returned for item in _items(value))


def _items(value: ast.expr) -> list[ast.expr]:
    """What a dictionary or a tuple is written to hold, within others too; of anything else, itself."""
    match value:
        case ast.Call(func=ast.Name("dict"), keywords=keywords):
            inside = [keyword.value for keyword in keywords]
        case ast.Dict(values=values):
            inside = list(values)
        case ast.Tuple(elements) | ast.List(elements):
            inside = list(elements)
        case _:
            return [value]
    return [item for part in inside for item in _items(part)]


def _built(edit: Edit, backward: Callable[..., Any]) -> Callable[..., Any] | None:
    try:
        return edit.function(backward)
    except (NoSourceError, SyntaxError, ValueError, TypeError):
        return None


class _Judge:
    """What finds the variants: `check`, with the same forward and inputs."""

    def __init__(
        self,
        forward: Callable[..., Any],
        backward: Callable[..., Any],
        inputs: Mapping[str, Any],
        seed: int,
        options: Mapping[str, Any],
    ) -> None:
        self.forward, self.original, self.seed = forward, backward, seed
        _, self.inputs, *_ = in_numpy((forward, backward), inputs, None)
        self.how = {key: options.get(key) for key in ("cost", "gradients", "wrt")}
        original = self.problem(backward)
        if isinstance(original, Adapted):
            self.how["wrt"] = list(original.sources)  # a variant must give back no fewer

    def problem(self, backward: Callable[..., Any]) -> Problem:
        """The two as they are called."""
        pair, inputs, cost, _ = in_numpy((self.forward, backward), self.inputs, self.how["cost"])
        return understand(pair, inputs, seed=self.seed, **self.how | {"cost": cost})

    def report(self, backward: Callable[..., Any]) -> Report:
        """The verdicts alone."""
        problem = self.problem(backward)
        return Checker(problem).check(problem.completed(self.inputs), seed=self.seed, explain=False)

    def judged(self, edit: Edit, variant: Callable[..., Any]) -> Mutant:
        """A variant with its status."""
        try:
            report = self.report(variant)
        except UsageError as error:
            return Mutant(edit, variant, KILLED, str(error))
        if not report.ok:
            return Mutant(edit, variant, KILLED, report.first_wrong or "")
        return Mutant(edit, variant, EQUIVALENT if self.same(variant) else SURVIVED)

    def same(self, variant: Callable[..., Any]) -> bool:
        """Whether a variant returns what the original does, up to rounding."""
        run, other = (
            problem.run(problem.completed(self.inputs)) for problem in map(self.problem, (self.original, variant))
        )
        return run.hands.keys() == other.hands.keys() and all(
            hand.shape == other.hands[name].shape and np.allclose(hand, other.hands[name], rtol=1e-6, atol=1e-12)
            for name, hand in run.hands.items()
        )
