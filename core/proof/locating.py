"""The line inside: which line of the user's code makes a returned gradient wrong.

From the wrong entries of what is returned, the program is followed back to what is right: what lies between is suspect
(`handgrad.proof.suspects`). A line on which a small change makes every returned gradient right, on all inputs, is at
fault, and the change says how (`handgrad.proof.searching`). A local value is there to find a fault, never to raise one.
"""

from __future__ import annotations

import ast
import time
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from handgrad.errors import UsageError
from handgrad.proof.context import Context, Sample
from handgrad.proof.edits import Edit
from handgrad.proof.guessing import Known
from handgrad.proof.judge import ALMOST
from handgrad.proof.problem import Problem, cast, code_of
from handgrad.proof.repair import repair
from handgrad.proof.report import Place
from handgrad.proof.rewriting import holder
from handgrad.proof.searching import Example, Search, said, undone
from handgrad.proof.suspects import Suspects, Traced, place_of, traced
from handgrad.proof.tape import UntapeableError
from handgrad.proof.watching import statements, tree_of

FILLING = 1.5
"""Seconds to look for a statement that is missing."""
MISSING = 3.0
"""How suspect a ``pass`` is that stands among other statements."""
APART = 0.5
"""The part of the time in which gradients that no line spoils together are looked at one by one."""
HANDED = 1.5
"""How suspect what is returned is where backward has computed nothing of a gradient that it returns."""


def locate(context: Context, wrong: list[str], seconds: float) -> dict[str, Place]:
    """By wrong gradient the line at fault; without those of which it cannot be said.

    Gradients of inputs are judged together, since one line spoils them all; where none does, and no line that leads to
    several of them leads to nothing that is right, each by itself. Adjoints that are each judged by itself, given the
    later ones, have each a fault of its own.

    Args:
        context: what the checker found out.
        wrong: the names whose gradients are wrong.
        seconds: to look for.
    """
    until = time.perf_counter() + seconds
    if context.problem.alone:
        return {name: place for name in wrong if (place := _of_one(context, name)) is not None}
    try:
        looked = _looked_at(context, wrong)
    except (UntapeableError, UsageError, ValueError):
        return {}
    groups = looked.suspects.groups()
    several = len(groups) > 1
    place = _searched(context, looked, wrong, until - (APART * seconds if several else 0))
    if place is None and (not several or looked.missing):
        place = _most_suspect(looked)
    if place is not None:
        return dict.fromkeys(wrong, place)
    found: dict[str, Place] = {}
    for number, group in enumerate(groups if several else ()):
        now = time.perf_counter()
        place = _searched(context, looked.of(group), group, now + (until - now) / (len(groups) - number))
        found |= {} if place is None else dict.fromkeys(group, place)
    return found


@dataclass
class Looked:
    """A run on a tape, and the lines that may be at fault in it.

    Attributes:
        sample: of the inputs.
        run: forward and backward on them.
        suspects: found there.
        lines: that may be at fault, the likeliest first, with how suspect they are.
        codes: of the functions that lines are in.
    """

    sample: Sample
    run: Traced
    suspects: Suspects
    lines: list[tuple[tuple[str, int], float]] = field(default_factory=list)
    codes: dict[tuple[str, int], types.CodeType] = field(default_factory=dict)

    def __post_init__(self) -> None:
        inner_first = sorted(
            self.run.watch.codes, key=lambda code: (not code.co_name.startswith("<"), code.co_firstlineno)
        )
        self.codes = {(code.co_filename, line): code for code in inner_first for _, _, line in code.co_lines() if line}
        self.lines = [(place, score) for place, score in self.suspects.ranked() if place in self.codes]
        self.lines += _besides(self.lines, self.run, self.suspects.handed)
        self.lines.sort(key=lambda line: -line[1])
        if missing := [line for line in self.lines if line[1] == MISSING]:
            self.lines = missing

    @property
    def missing(self) -> bool:
        """Whether they stand where a statement is missing."""
        return bool(self.lines) and self.lines[0][1] == MISSING

    def of(self, names: list[str]) -> Looked:
        """The same for some of the wrong gradients."""
        return Looked(self.sample, self.run, self.suspects.of(names))


def _looked_at(context: Context, wrong: list[str]) -> Looked:
    problem = context.problem
    sample = next((s for s in context.samples if any(s.judged[n].wrong for n in wrong)), context.samples[0])
    here = [n for n in wrong if sample.judged[n].wrong]
    run = traced(problem, sample.run.inputs, context.widest)
    where = {n: None if sample.judged[n].misshapen else np.asarray(sample.judged[n].off, bool) for n in here}
    order = list(sample.run.hands)
    right = order[: order.index(wrong[0])] if problem.alone else order  # what comes after inherits the fault
    return Looked(sample, run, Suspects(run, where, [n for n in right if not sample.judged[n].wrong]))


def _of_one(context: Context, name: str) -> Place | None:
    """The line at fault for one adjoint, given the later ones."""
    if (edit := repair(context, name)) is not None:
        return _mended(context.problem, edit)
    try:
        looked = _looked_at(context, [name])
    except (UntapeableError, UsageError, ValueError):
        return None
    if len(looked.suspects.only) == 1:
        place = next(iter(looked.suspects.only))
        return place_of(place, looked.codes.get(place), "", "")
    return _most_suspect(looked)


def _searched(context: Context, looked: Looked, wrong: list[str], until: float) -> Place | None:
    """The line of which a small change makes these gradients right, and leaves right what was."""
    if looked.missing:
        until = min(until, time.perf_counter() + FILLING)
    examples = _examples(context, looked.sample, set(wrong))
    known = Known(looked.suspects.known)
    return Search(context.problem, context, looked.lines, looked.codes, examples, looked.run, known, until).place()


def _most_suspect(looked: Looked) -> Place | None:
    """The line that is far more suspect than others."""
    lines = looked.lines
    if not lines or lines[0][1] < 0.9 or any(score > lines[0][1] - 0.6 for _, score in lines[1:]):
        return None
    kind, sentence = ("dropped_term", "a statement is missing here") if looked.missing else ("", "")
    return place_of(lines[0][0], looked.codes.get(lines[0][0]), kind, sentence)


def _mended(problem: Problem, edit: Edit) -> Place:
    code = code_of(problem.backward)
    kind = undone(edit.kind, edit.before, edit.after)
    return place_of((code.co_filename, edit.line), code, kind, said(edit.before, edit.after))


def _besides(lines: list[Any], run: Traced, handed: bool) -> Iterator[tuple[tuple[str, int], float]]:
    """Lines on which nothing is computed that could be followed: of masks and counts, branches, what is returned."""
    known = {place for place, _ in lines}
    for code in sorted(run.watch.codes, key=lambda code: code.co_firstlineno):
        read: set[str] = set()
        own = sorted({line for _, _, line in code.co_lines() if line})
        for line in own:
            statement = statements(code.co_filename).get(line)
            if statement is not None and (not known or (code.co_filename, line) in known):
                read |= {n.id for n in ast.walk(statement) if isinstance(n, ast.Name)}
        for line in range(min(own, default=0), max(own, default=-1) + 1):
            statement = statements(code.co_filename).get(line)
            place = (code.co_filename, line)
            if statement is None or place in known or statement.lineno != line:
                continue
            if isinstance(statement, ast.Pass):
                if _beside_others(code.co_filename, statement):
                    yield place, MISSING
            elif line not in own:
                continue
            elif isinstance(statement, ast.Assign | ast.AugAssign | ast.For):
                names = {n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
                yield place, -1.5 if names & read else -2.0
            elif isinstance(statement, ast.Return) and handed:
                yield place, HANDED
            elif isinstance(statement, ast.Expr | ast.Return | ast.If):
                yield place, -1.6


def _beside_others(file: str, statement: ast.stmt) -> bool:
    """Whether a ``pass`` stands where others do something: a statement is missing."""
    tree = tree_of(file)
    place = None if tree is None else holder(tree, statement)
    if place is None or place[1] == "finalbody":
        return False
    return len(getattr(place[0], place[1])) > 1 or isinstance(place[0], ast.For | ast.While)


def _examples(context: Context, first: Sample, wrong: set[str]) -> list[Example]:
    """Inputs in float64, with what is expected there and how far it may be off: of what is to be mended, and of what is
    right.
    """
    other = {n for s in context.samples for n, line in s.judged.items() if line.wrong} - wrong
    found = []
    digits = max(1e-8, 64 * context.unit)
    for sample in [first, *(s for s in context.samples if s is not first and s.label in ("given", "fresh"))]:
        expected = {n: line.local for n, line in sample.judged.items() if n not in other}
        sizes = [np.max(np.abs(e[np.isfinite(e)]), initial=0) for e in expected.values()]
        noise = 1e-12 * max(sizes, default=0) + 1e-300  # what is 0 by cancellation
        without = [of.values for _, of in context.oracle.approximations(sample.run, sample.cotangents)]
        allowed = {}
        for n, e in expected.items():
            kinks = sample.judged[n].kinks
            open_ = kinks | ~np.isfinite(e) if kinks.shape == e.shape else ~np.isfinite(e)
            size = np.max(np.abs(e), initial=0, where=np.isfinite(e))
            gaps = [np.abs(of[n] - e) for of in without]  # by small numbers that forward adds
            near = [gap for gap in gaps if np.max(gap, initial=0) <= ALMOST * size]
            allowed[n] = digits * size + noise + 2 * sum(near, np.zeros(e.shape)) + np.where(open_, np.inf, 0)
        inputs = cast(sample.run.inputs, np.float64, set(context.wrt))
        found.append(Example(inputs, context.problem.run(inputs).cost, expected, allowed))
    return found
