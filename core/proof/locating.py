"""The line inside: which line of the user's code makes a returned gradient wrong.

Forward and backward are run once on one tape (`handgrad.proof.tape`), so that every number that backward computes is
known by the line that it was computed on and by the numbers that it was computed from. What forward computes has its
true adjoints from a sweep; a value of backward that is one of them, or one of the terms that they are sums of, is
right. From the wrong entries of what is returned, the program is followed back to what is right: what lies between is
suspect. A line on which a small change makes every returned gradient right, on all inputs, is at fault, and the change
says how. A local value is there to find a fault, never to raise one.
"""

from __future__ import annotations

import ast
import contextlib
import linecache
import time
import types
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from handgrad.errors import UsageError
from handgrad.proof.context import Context, Sample
from handgrad.proof.forms import Adapted
from handgrad.proof.guessing import Guess, Known, Spot
from handgrad.proof.naming import folded, last_name, primals
from handgrad.proof.problem import cast
from handgrad.proof.repair import said
from handgrad.proof.report import Place
from handgrad.proof.rewriting import Rewriter, holder
from handgrad.proof.rules import ELEMENTWISE
from handgrad.proof.tape import Tape, Taped, UntapeableError, numbers_of
from handgrad.proof.watching import Moments, Store, Watch, statements, tree_of
from handgrad.proof.wide import WIDE, Array

MOST_LINES = 16
"""Changes are tried on so many lines."""
MOST_RIGHT = 400
"""So many changes by which a line gives true adjoints are tried."""
MOST_PAIRS = 6
"""On so many lines, two variables at once are tried."""
WEIGHT = 4.0
"""How much more a change may have to write on a line that is more suspect by 1."""

MISSING = 3.0
"""How suspect a ``pass`` is that stands among other statements."""
REST = 0.7
"""Seconds to see, once a change is found, whether one as small on another line does as well."""
LIBRARIES = ("np", "numpy", "math", "scipy")


@dataclass
class Traced:
    """One run of forward and backward on a tape.

    Attributes:
        tape, watch: what was written down.
        cost: the numbers of the cost.
        returned: by name of an input, the gradient by hand.
        numbers: of the entries of each input.
    """

    tape: Tape
    watch: Watch
    cost: Array
    returned: dict[str, Any]
    numbers: dict[str, Array]


def traced(problem: Adapted, inputs: dict[str, Any], dtype: Any) -> Traced:
    """Forward and backward, on a tape that knows the lines.

    Raises:
        UntapeableError: the tape has no rule for what they do.
    """
    tape = Tape(dtype, places=True)
    watch = Watch(tape, problem.kind.begins)
    try:
        with watch.watching():
            named, adjoints, numbers = problem.run_on(tape, inputs)
    except UsageError as error:
        raise UntapeableError(str(error)) from error
    cost = np.asarray(numbers_of(named[problem.cost], tape))
    return Traced(tape, watch, cost, {name[1:]: value for name, value in adjoints.items()}, numbers)


class Suspects:
    """The lines that may be at fault, the likeliest first.

    Args:
        run: forward and backward on a tape.
        wrong: by name of an input, the entries of its gradient that are wrong; all of it where the shape is.
        right: the inputs whose gradients are right.
    """

    def __init__(self, run: Traced, wrong: dict[str, Array | None], right: list[str]) -> None:
        self.run = run
        self.operations = run.tape.operations
        self.count = run.tape.count
        self.forward = self._ancestors(run.cost)
        flows: list[Array] = []
        with np.errstate(all="ignore"):
            self.adjoint = run.tape.sweep([(run.cost, 1)], terms=flows)
        close = 2.0 ** (10 - (np.finfo(run.tape.dtype).nmant + 1))
        self.close = max(close, 1e-15)
        self.known = _numbers([self.adjoint, *flows])
        values = _numbers([o.out for o in self.operations if o.rule == "input" or self.forward[o.span].any()])
        self.values = values[values != np.rint(values)]
        self.starts = [operation.start for operation in self.operations]
        self.backward = [
            i for i, o in enumerate(self.operations) if o.rule != "input" and not self.forward[o.span].any()
        ]
        self.right = {i: self._among(self.operations[i].out, self.known) for i in self.backward}
        self.given = {i: self._among(self.operations[i].out, self.values) for i in self.backward}
        self.all = np.zeros(self.count, WIDE)
        for operation in self.operations:
            self.all[operation.span] = operation.out.ravel()
        self.roles = self._roles()
        for name, where in wrong.items():
            for i in self._makers(name, where):
                self.right[i] = self.given[i] = False
        slices = {name: self._slice(name, where) for name, where in wrong.items()}
        self.good = set().union(*(self._slice(name, None) for name in right)) if right else set()
        common = set.intersection(*(self._lines(s) for s in slices.values())) if slices else set()
        self.every = set().union(*slices.values())
        self.common = common or self._lines(self.every)

    def unclear(self) -> float:
        """How many lines give what is no true adjoint, and how many names mislead."""
        places = self._lines(self.good)
        wrong = self._lines(i for i in self.good if i in self.right and not self.right[i] and not self.given[i])
        return len(wrong) + 2 * sum(self.roles.get(place) == "off" for place in places)

    def _ancestors(self, numbers: Array) -> Array:
        found = np.zeros(self.count, bool)
        found[numbers.ravel()] = True
        for operation in reversed(self.operations):
            if found[operation.span].any():
                for known in operation.numbers:
                    if known is not None:
                        found[known.ravel()] = True
        found[0] = False
        return found

    def _among(self, values: Array, known: Array) -> bool:
        """Whether all that is not 0 is one of some numbers: the true adjoint of something, or what forward computed."""
        flat = np.asarray(values, WIDE).ravel()
        flat = flat[(flat != 0) & np.isfinite(flat)]
        if not flat.size or len(known) < 2:
            return False
        at = np.clip(np.searchsorted(known, flat), 1, len(known) - 1)
        near = np.minimum(np.abs(known[at] - flat), np.abs(known[at - 1] - flat))
        return bool(np.all(near <= self.close * np.abs(flat)))

    def _makers(self, name: str, where: Array | None) -> set[int]:
        """The operations that gave wrong entries of a returned gradient."""
        array = self.run.returned.get(name)
        if not isinstance(array, Taped):
            return set()
        chosen = array.numbers if where is None or where.shape != array.shape else array.numbers[where]
        found: set[int] = set()
        open_ = [self._maker(int(n)) for n in np.unique(chosen) if n]
        while open_:
            index = open_.pop()
            operation = self.operations[index]
            if index in found or index not in self.right or self.roles.get(operation.place or ("", 0)) == "right":
                continue
            found.add(index)
            if operation.rule == "same" and operation.numbers[0] is not None:  # moved on as it is
                open_ += [self._maker(int(n)) for n in np.unique(operation.numbers[0]) if n]
        return found

    def _maker(self, number: int) -> int:
        return int(np.searchsorted(self.starts, number, "right")) - 1

    def _slice(self, name: str, where: Array | None) -> set[int]:
        """The operations of backward that lead to entries of a returned gradient."""
        array = self.run.returned.get(name)
        marked = np.zeros(self.count, bool)
        if not isinstance(array, Taped):
            return set()
        numbers = array.numbers
        chosen = numbers if where is None or where.shape != numbers.shape else numbers[where]
        marked[chosen.ravel()] = True
        found: set[int] = set()
        for index in range(len(self.operations) - 1, -1, -1):
            operation = self.operations[index]
            mark = marked[operation.span]
            if operation.rule == "input" or not mark.any() or self.forward[operation.span].any():
                continue
            found.add(index)
            mark = mark.reshape(operation.out.shape)
            for known in operation.numbers:
                if known is None:
                    continue
                if operation.rule in ELEMENTWISE or operation.rule == "same":
                    marked[np.broadcast_to(known, operation.out.shape)[mark]] = True
                else:
                    marked[known.ravel()] = True
        return found

    def _lines(self, operations: Iterable[int]) -> set[tuple[str, int]]:
        return {place for i in operations if (place := self.operations[i].place) is not None}

    def _roles(self) -> dict[tuple[str, int], str]:
        """By line, what its named values are: right, or off where they are named after something that they are not
        the adjoint of.
        """
        shapes: dict[str, list[Array]] = {}
        for name, numbers in self.run.numbers.items():
            last = last_name(name)
            shapes.setdefault(folded(last), []).append(numbers)
        for store in self.run.watch.stores:
            if store.numbers.any() and self.forward[store.numbers.ravel()].any():
                last = last_name(store.name)
                shapes.setdefault(folded(last), []).append(store.numbers)
        versions: dict[tuple[str, str], list[tuple[Store, str]]] = {}
        for store in self.run.watch.stores:
            if not store.numbers.any() or self.forward[store.numbers.ravel()].any():
                continue
            said = self._role(store, shapes)
            versions.setdefault((store.code.co_qualname, store.name), []).append((store, said))
        found: dict[tuple[str, int], str] = {}
        for several in versions.values():
            kinds = {said for _, said in several}
            for store, said in several:
                place = (store.file, store.line)
                if said == "right":
                    found[place] = "right" if found.get(place, "right") == "right" else found[place]
                elif said == "off" and "right" not in kinds:
                    found[place] = "off"
        return found

    def _role(self, store: Store, shapes: dict[str, list[Array]]) -> str:
        last = last_name(store.name)
        there = False
        for base in primals(last):
            for numbers in shapes.get(folded(base), []):
                there = True
                if numbers.shape != store.value.shape:
                    continue
                expected = self.adjoint[numbers]
                size = np.max(np.abs(expected), initial=0)
                if size == 0:
                    continue
                if np.all(np.abs(store.value - expected) <= self.close * 64 * size):
                    return "right"
                at = np.unravel_index(int(np.argmax(np.abs(expected))), expected.shape)
                by = store.value[at] / expected[at]
                near = np.all(np.abs(store.value - by * expected) <= self.close * 64 * abs(by) * size)
                if by and near and _is_count(by):
                    return "right"
            if there:
                return "off"
        same = shapes.get(folded(last), [])
        if same and not self._recomputed(store, same):
            return "off"
        return ""

    def _recomputed(self, store: Store, known: list[Array]) -> bool:
        """Whether a value that is called as one of forward is that one."""
        for numbers in known:
            if numbers.shape == store.value.shape:
                values = self.all[numbers]
                if np.all(np.abs(values - store.value) <= self.close * 64 * np.max(np.abs(values), initial=0)):
                    return True
        return False

    def ranked(self) -> list[tuple[tuple[str, int], float]]:
        """Lines with how suspect they are, the most first."""
        consumers: dict[tuple[str, int], float] = {}
        off_upstream, good = self._downstream_of_off(), self._lines(self.good)
        for index in sorted(self.every):
            operation = self.operations[index]
            place = operation.place
            if place is None:
                continue
            score = consumers.get(place, 0.0)
            feeding = {
                self._maker(int(n))
                for known in operation.numbers
                if known is not None
                for n in {int(known.ravel()[0]), int(known.ravel()[-1])} - {0}
            }
            inner = [i for i in feeding if i in self.right and self.operations[i].place != place]
            if not self.right[index] and not self.given[index]:
                made = all(known is None for known in operation.numbers)  # out of nothing, as zeros are
                whole = all(self.right[i] or self.given[i] or not self.operations[i].out.any() for i in inner)
                score = max(score, 1.0 if whole and not made else 0.5)
            consumers[place] = score
        final = []
        for place, score in consumers.items():
            if place not in self.common:
                score -= 2
            role = self.roles.get(place, "")
            score += {"off": 0.4, "right": -0.8}.get(role, 0)
            if place in good:
                score -= 0.6
            if place in off_upstream:
                score -= 0.7
            final.append((place, score))
        return sorted(final, key=lambda item: (-item[1], -item[0][1]))

    def _downstream_of_off(self) -> set[tuple[str, int]]:
        """Lines that come after a named value which is off already: their own fault would be a second one."""
        found: set[tuple[str, int]] = set()
        off = {place for place, said in self.roles.items() if said == "off"} - self._lines(self.good)
        tainted = np.zeros(self.count, bool)
        for index in self.backward:
            operation = self.operations[index]
            reached = any(known is not None and tainted[known.ravel()].any() for known in operation.numbers)
            if reached and operation.place is not None and operation.place not in off:
                found.add(operation.place)
            if reached or (operation.place in off and operation.rule == "same"):
                tainted[operation.span] = True
                if reached and operation.place in off and operation.place is not None:
                    found.add(operation.place)
        first = [place for place in off if place in found and not any(p in off and p != place for p in found - {place})]
        return found - set(first)


def _is_count(by: Any) -> bool:
    """Whether a factor is a whole number, or one over it: a mean that is taken elsewhere."""
    size = abs(float(by))
    return by > 0 and (abs(size - round(size)) < 1e-9 * size or abs(1 / size - round(1 / size)) < 1e-9 / size)


def _numbers(arrays: Iterable[Array]) -> Array:
    flat = np.concatenate([np.asarray(a, WIDE).ravel() for a in arrays])
    return np.unique(flat[np.isfinite(flat) & (flat != 0)])


def locate(context: Context, wrong: list[str], seconds: float) -> tuple[Place, ...]:
    """The lines at fault; none where it cannot be said which.

    Args:
        context: what the checker found out.
        wrong: the inputs whose gradients are wrong.
        seconds: to look for.
    """
    problem = context.problem
    if not isinstance(problem, Adapted):
        return ()
    until = time.perf_counter() + seconds
    sample = next((s for s in context.samples if any(s.judged[n].wrong for n in wrong)), context.samples[0])
    here = [n for n in wrong if sample.judged[n].wrong]
    try:
        run = traced(problem, sample.run.inputs, context.widest)
        where = {n: None if sample.judged[n].misshapen else np.asarray(sample.judged[n].off, bool) for n in here}
        suspects = Suspects(run, where, [n for n in context.wrt if n not in wrong])
        ranked = suspects.ranked()
    except (UntapeableError, UsageError, ValueError):
        return ()
    codes = {(code.co_filename, line): code for code in run.watch.codes for _, _, line in code.co_lines() if line}
    lines = [(place, score) for place, score in ranked if place in codes]
    lines += _besides(lines, run)
    lines.sort(key=lambda line: -line[1])
    samples = _small(context, sample)
    fixed = _repaired(problem, context, lines, codes, samples, run, Known(suspects.known), until)
    if fixed is not None:
        return (fixed,)
    if lines and lines[0][1] >= 0.9 and all(score <= lines[0][1] - 0.6 for _, score in lines[1:]):
        missing = "a statement is missing here" if lines[0][1] == MISSING else ""
        return (_place(lines[0][0], codes, "dropped_term" if missing else "", missing),)
    return ()


def _besides(lines: list[Any], run: Traced) -> Iterator[tuple[tuple[str, int], float]]:
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
            elif isinstance(statement, ast.Expr | ast.Return | ast.If):
                yield place, -1.6


def _beside_others(file: str, statement: ast.stmt) -> bool:
    """Whether a ``pass`` stands where others do something: a statement is missing."""
    tree = tree_of(file)
    place = None if tree is None else holder(tree, statement)
    if place is None or place[1] == "finalbody":
        return False
    return len(getattr(place[0], place[1])) > 1 or isinstance(place[0], ast.For | ast.While)


def _small(context: Context, first: Sample) -> list[tuple[dict[str, Any], dict[str, Array], dict[str, Array]]]:
    """Inputs in float64, with what is expected there and how far it may be off."""
    found = []
    for sample in [first, *(s for s in context.samples if s is not first and s.label in ("given", "fresh"))]:
        expected = {n: line.local for n, line in sample.judged.items()}
        allowed = {}
        for n, e in expected.items():
            kinks = sample.judged[n].kinks
            open_ = kinks | ~np.isfinite(e) if kinks.shape == e.shape else np.zeros(e.shape, bool)
            allowed[n] = 1e-8 * np.max(np.abs(e), initial=0) + 1e-300 + np.where(open_, np.inf, 0)
        found.append((cast(sample.run.inputs, np.float64, set(context.wrt)), expected, allowed))
    return found


def _repaired(
    problem: Adapted,
    context: Context,
    lines: list[Any],
    codes: Any,
    samples: Any,
    run: Traced,
    known: Known,
    until: float,
) -> Place | None:
    """The line on which a change makes everything right.

    Changes by which a line gives true adjoints are tried first, then the others, the plainest on the most suspect
    lines before those that are more far-fetched.
    """
    scores = dict(lines)
    spots: list[tuple[tuple[str, int], Rewriter, Spot]] = []
    wanted = {}
    for place, _ in lines[:MOST_LINES]:
        code, statement = codes.get(place), statements(place[0]).get(place[1])
        if code is not None and statement is not None:
            wanted[place] = (place[0], statement.lineno)
    moments = Moments(set(wanted.values()))
    with moments.watching(), contextlib.suppress(Exception):
        problem.run(samples[0][0])
    tried: list[tuple[bool, float, float, int, tuple[str, int], Rewriter, Guess]] = []
    found: dict[tuple[str, int], tuple[float, float, Place]] = {}

    def attempt(one: Any) -> bool:
        _, weight, _, _, place, rewriter, guess = one
        if place in found:
            return False
        kind, before, after, change = guess.make()
        with rewriter.changed(*change) as made:
            if made and all(_fits(problem, sample) for sample in samples):
                left = _left(problem, context, samples[0][0])
                found[place] = left, weight - 0.5 * scores[place], _place(place, codes, kind, said(before, after))
                return True
        return False

    def enter(place: tuple[str, int], rewriter: Rewriter, guesses: Iterable[Guess]) -> None:
        for guess in guesses:
            key = guess.weight - WEIGHT * scores[place]
            tried.append((not guess.right, guess.weight, key, len(tried), place, rewriter, guess))

    def attempt_right(after: int) -> None:
        for one in sorted((one for one in tried[after:] if not one[0]), key=lambda one: (one[2], one[3]))[:MOST_RIGHT]:
            if time.perf_counter() > until:
                break
            attempt(one)

    def enough() -> bool:
        return time.perf_counter() > until

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for place, _ in lines[:MOST_LINES]:
            code, statement = codes.get(place), statements(place[0]).get(place[1])
            rewriter = None if code is None else Rewriter(code)
            if rewriter is None or code is None or rewriter.definition is None or statement is None:
                continue
            names = _names(code, place[1], run.watch.stores, rewriter.definition)
            spot = Spot(statement, moments.found.get(wanted[place], []), known, names)
            spots.append((place, rewriter, spot))
            enter(place, rewriter, spot.of_edits(rewriter.edits(place[1], names, spot.nodes if spot.base else set())))
            enter(place, rewriter, spot.of_names(False, enough))
        attempt_right(0)
        if not found:
            before = len(tried)
            for place, rewriter, spot in spots[:MOST_PAIRS]:
                enter(place, rewriter, spot.of_names(True, enough))
            attempt_right(before)
    others = sorted((one for one in tried if one[0]), key=lambda one: (int(one[1]), one[2], one[3]))
    end = until
    if found:
        clean = min(left for left, _, _ in found.values()) == 0
        end = min(until, time.perf_counter() + (0 if clean else REST))
    for one in others:
        if time.perf_counter() > end:
            break
        if attempt(one):
            end = min(end, time.perf_counter() + REST)
    if not found:
        return None
    order = _order(run)
    return min(found.items(), key=lambda item: (item[1][0], round(item[1][1]), order.get(item[0], len(order))))[1][2]


def _left(problem: Adapted, context: Context, inputs: dict[str, Any]) -> float:
    """How many lines still give what is no true adjoint, once what is returned is right."""
    try:
        run = traced(problem, inputs, context.widest)
        return Suspects(run, {}, list(context.wrt)).unclear()
    except (UntapeableError, UsageError, ValueError):
        return np.inf


def _order(run: Traced) -> dict[tuple[str, int], int]:
    """By line, when it was first come to."""
    found: dict[tuple[str, int], int] = {}
    for operation in run.tape.operations:
        if operation.place is not None:
            found.setdefault(operation.place, len(found))
    return found


def _fits(problem: Adapted, sample: Any) -> bool:
    inputs, expected, allowed = sample
    try:
        hands = problem.run(inputs).hands
    except Exception:
        return False
    with np.errstate(all="ignore"):
        return all(
            hands[n].shape == e.shape and bool(np.all(~(np.abs(hands[n] - e) > allowed[n]) & np.isfinite(hands[n])))
            for n, e in expected.items()
        )


def _names(code: types.CodeType, line: int, stores: list[Store], definition: ast.FunctionDef) -> list[str]:
    """What could stand in a line: arguments, variables that are set before it, and attributes that are read."""
    found: dict[str, None] = {}
    first: dict[str, int] = {}
    for node in ast.walk(definition):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            first[node.id] = min(node.lineno, first.get(node.id, node.lineno))
    for name in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]:
        if name != "self":
            found[name] = None
    for name, at in first.items():
        if at < line:
            found[name] = None
    called = {id(node.func) for node in ast.walk(definition) if isinstance(node, ast.Call)}
    for node in ast.walk(definition):
        plain = isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Load)
        if (
            plain
            and id(node) not in called
            and len(text := ast.unparse(node)) < 30
            and "(" not in text
            and ":" not in text
        ):
            base = _base(node)
            there = (base in found or base == "self" or base not in first) and base not in LIBRARIES
            if there and not text.endswith((".T", ".shape", ".dtype", ".size")):
                found[text] = None
    for store in stores:  # what else the same things hold
        base = store.name.split("[")[0].split(".")[0]
        if store.name != base and (base == "self" or base in found):
            found.setdefault(store.name, None)
    return list(found)


def _base(node: Any) -> str:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _place(place: tuple[str, int], codes: dict[Any, types.CodeType], kind: str, sentence: str) -> Place:
    code = codes.get(place)
    text = linecache.getline(*place).strip()
    return Place(place[0], place[1], text, code.co_qualname if code is not None else "", kind, sentence)
