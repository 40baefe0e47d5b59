"""The line inside: which line of the user's code makes a returned gradient wrong.

From the wrong entries of what is returned, the program is followed back to what is right: what lies between is suspect
(`handgrad.proof.suspects`). A line on which a small change makes every returned gradient right, on all inputs, is at
fault, and the change says how (`handgrad.proof.searching`). A local value is there to find a fault, never to raise one.
"""

from __future__ import annotations

import ast
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from handgrad.errors import UsageError
from handgrad.proof.context import Context, Sample
from handgrad.proof.edits import Edit
from handgrad.proof.guessing import Known
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
HANDED = 1.5
"""How suspect what is returned is where backward has computed nothing of a gradient that it returns."""


def locate(context: Context, wrong: list[str], seconds: float) -> dict[str, Place]:
    """By wrong gradient the line at fault; without those of which it cannot be said.

    Gradients of inputs are judged together: one line spoils them all. Adjoints that are each judged by itself, given
    the later ones, have each a fault of its own.

    Args:
        context: what the checker found out.
        wrong: the names whose gradients are wrong.
        seconds: to look for.
    """
    until = time.perf_counter() + seconds
    groups = [[name] for name in wrong] if context.problem.alone else [wrong]
    found: dict[str, Place] = {}
    for number, group in enumerate(groups):
        now = time.perf_counter()
        place = _located(context, group, now + (until - now) / (len(groups) - number))
        if place is not None:
            found |= dict.fromkeys(group, place)
    return found


def _located(context: Context, wrong: list[str], until: float) -> Place | None:
    problem = context.problem
    if problem.alone and (edit := repair(context, wrong[0])) is not None:
        return _mended(problem, edit)
    sample = next((s for s in context.samples if any(s.judged[n].wrong for n in wrong)), context.samples[0])
    here = [n for n in wrong if sample.judged[n].wrong]
    try:
        run = traced(problem, sample.run.inputs, context.widest)
        where = {n: None if sample.judged[n].misshapen else np.asarray(sample.judged[n].off, bool) for n in here}
        order = list(sample.run.hands)
        right = order[: order.index(wrong[0])] if problem.alone else order  # what comes after inherits the fault
        suspects = Suspects(run, where, [n for n in right if not sample.judged[n].wrong])
        ranked = suspects.ranked()
    except (UntapeableError, UsageError, ValueError):
        return None
    inner_first = sorted(run.watch.codes, key=lambda code: (not code.co_name.startswith("<"), code.co_firstlineno))
    codes = {(code.co_filename, line): code for code in inner_first for _, _, line in code.co_lines() if line}
    lines = [(place, score) for place, score in ranked if place in codes]
    lines += _besides(lines, run, suspects.handed)
    lines.sort(key=lambda line: -line[1])
    if missing := [line for line in lines if line[1] == MISSING]:
        lines, until = missing, min(until, time.perf_counter() + FILLING)
    if not problem.alone:
        examples = _examples(context, sample)
        fixed = Search(problem, context, lines, codes, examples, run, Known(suspects.known), until).place()
        if fixed is not None:
            return fixed
    only = suspects.only if problem.alone else set()
    if len(only) == 1:
        place = only.pop()
        return place_of(place, codes.get(place), "", "")
    if lines and lines[0][1] >= 0.9 and all(score <= lines[0][1] - 0.6 for _, score in lines[1:]):
        sentence = "a statement is missing here" if missing else ""
        return place_of(lines[0][0], codes.get(lines[0][0]), "dropped_term" if missing else "", sentence)
    return None


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


def _examples(context: Context, first: Sample) -> list[Example]:
    """Inputs in float64, with what is expected there and how far it may be off."""
    found = []
    for sample in [first, *(s for s in context.samples if s is not first and s.label in ("given", "fresh"))]:
        expected = {n: line.local for n, line in sample.judged.items()}
        sizes = [np.max(np.abs(e[np.isfinite(e)]), initial=0) for e in expected.values()]
        noise = 1e-12 * max(sizes, default=0) + 1e-300  # what is 0 by cancellation
        allowed = {}
        for n, e in expected.items():
            kinks = sample.judged[n].kinks
            open_ = kinks | ~np.isfinite(e) if kinks.shape == e.shape else ~np.isfinite(e)
            allowed[n] = 1e-8 * np.max(np.abs(e), initial=0, where=np.isfinite(e)) + noise + np.where(open_, np.inf, 0)
        inputs = cast(sample.run.inputs, np.float64, set(context.wrt))
        found.append(Example(inputs, context.problem.run(inputs).cost, expected, allowed))
    return found
