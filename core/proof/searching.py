"""A small change of one line that makes every returned gradient right, on all inputs: the line is at fault.

Changes are of two kinds: those that are listed (`handgrad.proof.rewriting`), and those by which a variable comes in
(`handgrad.proof.guessing`). What a changed line would compute is seen on the spot; changes by which it gives the true
adjoint of something are tried first, with the plain ones, then the others, the plainest on the most suspect lines
before those that are more far-fetched.
"""

from __future__ import annotations

import ast
import contextlib
import re
import time
import types
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from handgrad.errors import UsageError
from handgrad.proof.context import Context
from handgrad.proof.guessing import Guess, Known, Spot, it
from handgrad.proof.naming import folded, last_name
from handgrad.proof.problem import Problem
from handgrad.proof.recording import entered
from handgrad.proof.report import Place
from handgrad.proof.rewriting import Rewriter
from handgrad.proof.suspects import Suspects, Traced, place_of, traced
from handgrad.proof.tape import UntapeableError
from handgrad.proof.watching import Moments, Store, statements
from handgrad.proof.wide import Array

MOST_LINES = 16
"""Changes are tried on so many lines; of later ones, on headers of blocks and on what is returned."""
MOST_RIGHT = 800
"""So many changes by which a line gives true adjoints are tried."""
MOST_PAIRS = 10
"""On so many lines, two variables at once are tried."""
PLAIN = 1.0
"""Changes less far-fetched than this are tried wherever they are."""
WEIGHT = 4.0
"""How much more a change may have to write on a line that is more suspect by 1."""
GUESSING = 0.4
"""The part of the time in which guesses are made, before they are tried."""
REST = 0.3
"""Seconds to see, once a change is found, whether one as small on another line does as well."""
UNCLEAR = 0.5
"""How much more far-fetched a change may be that leaves one line less unclear."""
ALIKE = 0.02
"""Changes that are as far-fetched as each other, but for so much, are told apart by which comes first."""
LIBRARIES = ("np", "numpy", "math", "scipy")

Line = tuple[str, int]
"""File and number."""


class Example(NamedTuple):
    """Inputs, the cost and the gradients that are expected there, and how far each entry may be off."""

    inputs: dict[str, Any]
    cost: float
    expected: dict[str, Array]
    allowed: dict[str, Array]


class Try(NamedTuple):
    """A change that may be tried."""

    guess: Guess
    key: float
    number: int
    place: Line
    rewriter: Rewriter

    @property
    def likely(self) -> bool:
        """Whether it gives true adjoints, or is plain."""
        return bool(self.guess.right) or self.guess.weight < PLAIN


class Found(NamedTuple):
    """A change that makes everything right.

    Attributes:
        left: lines that still give what is no true adjoint.
        weight: how far-fetched it is there.
        line: where, in the file.
        kind, before, after: the change.
    """

    left: float
    weight: float
    line: int
    kind: str
    before: str
    after: str


class Search:
    """The search for such a change.

    Args:
        problem: how the program is run.
        context: what the checker found out.
        lines: that may be at fault, with how suspect they are, the most first.
        codes: of the functions that they are in.
        examples: on which everything must be right.
        run: of forward and backward, on a tape.
        known: the true adjoints.
        until: when it ends.
    """

    def __init__(
        self,
        problem: Problem,
        context: Context,
        lines: list[tuple[Line, float]],
        codes: Mapping[Line, types.CodeType],
        examples: list[Example],
        run: Traced,
        known: Known,
        until: float,
    ) -> None:
        self.problem, self.context, self.run, self.known, self.until = problem, context, run, known, until
        self.lines, self.codes, self.examples = lines, codes, examples
        self.scores = dict(lines)
        self.tries: list[Try] = []
        self.found: dict[Line, Found] = {}
        self.reached: list[Line] = []

    def place(self) -> Place | None:
        """The line at fault; None where no change was found."""
        apart = self.problem.world.apart({}, lambda _, value: entered(value))  # parts of lines are run by themselves
        with apart, warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            start = time.perf_counter()
            spots = self._of_lines(start + GUESSING * (self.until - start))
            self._likely(self.tries)
            if not self.found:
                before, half = len(self.tries), (time.perf_counter() + self.until) / 2
                for place, rewriter, spot in spots[:MOST_PAIRS]:
                    self._enter(place, rewriter, spot.of_names(True, _past(half)))
                self._likely(self.tries[before:])
            self._others()
        return self._best() if self.found else None

    def _of_lines(self, guessing: float) -> list[tuple[Line, Rewriter, Spot]]:
        """Enters the changes of each line; gives the lines into which variables may come."""
        wanted = {}
        for place, _ in self.lines[:MOST_LINES]:
            statement = statements(place[0]).get(place[1])
            if statement is not None:
                wanted[place] = (place[0], statement.lineno)
        moments = Moments(set(wanted.values()))
        with moments.watching(), contextlib.suppress(Exception):
            self.problem.run(self.examples[0].inputs)
        self.reached = list(moments.found)
        spots = []
        every = set(self.codes.values())
        rewriters = {code: Rewriter(code, every) for code in every}
        for number, (place, _) in enumerate(self.lines):
            code, statement = self.codes.get(place), statements(place[0]).get(place[1])
            if code is None or statement is None or (rewriter := rewriters[code]).definition is None:
                continue
            names = _names(code, place[1], self.run.watch.stores, rewriter.definition)
            if number >= MOST_LINES:
                if isinstance(statement, ast.For | ast.If | ast.While | ast.Return):
                    edits = rewriter.edits(place[1], names if isinstance(statement, ast.Return) else [])
                    self._enter(place, rewriter, (Guess(weight, partial(it, edit), None) for weight, edit in edits))
                continue
            scopes = moments.found.get(wanted[place], [])
            if scopes:
                names = list(dict.fromkeys([*names, *_held(scopes[0], names, rewriter.definition)]))
            spot = Spot(statement, scopes, self.known, names)
            spots.append((place, rewriter, spot))
            inside = spot.nodes if spot.seen_through else set()
            self._enter(place, rewriter, spot.of_edits(rewriter.edits(place[1], names, inside)))
            now = time.perf_counter()
            share = max(guessing - now, 0) / max(min(len(self.lines), MOST_LINES) - number, 1)
            self._enter(place, rewriter, spot.of_names(False, _past(now + share)))
        return spots

    def _enter(self, place: Line, rewriter: Rewriter, guesses: Iterable[Guess]) -> None:
        for guess in guesses:
            key = guess.weight + guess.reshaped - WEIGHT * self.scores[place]
            self.tries.append(Try(guess, key, len(self.tries), place, rewriter))

    def _likely(self, tries: list[Try]) -> None:
        """Tries those that give true adjoints, and the plain ones."""
        right = sorted((t for t in tries if t.guess.right), key=lambda t: (t.key, t.number))[:MOST_RIGHT]
        plain = [t for t in tries if t.likely and not t.guess.right]
        for one in sorted([*right, *plain], key=lambda t: (t.key, t.number)):
            if time.perf_counter() > self.until:
                break
            self._attempt(one)

    def _others(self) -> None:
        """Tries the others, where nothing clear was found."""
        end = self.until
        if self.found:
            clear = min(found.left for found in self.found.values()) == 0
            end = min(end, time.perf_counter() + (0 if clear else REST))
        others = [t for t in self.tries if not t.likely]
        for one in sorted(others, key=lambda t: (int(t.guess.weight), t.key, t.number)):
            if time.perf_counter() > end:
                break
            if self._attempt(one):
                end = min(end, time.perf_counter() + REST)

    def _attempt(self, one: Try) -> bool:
        """Whether a change makes everything right."""
        if one.place in self.found:
            return False
        kind, before, after, change = one.guess.make()
        with one.rewriter.changed(*change) as made:
            if not made or not all(self._fits(example) for example in self.examples):
                return False
            line = _line_of(change, one.place[1])
            self.found[one.place] = Found(self._left(), one.guess.weight, line, kind, before, after)
            return True

    def _fits(self, example: Example) -> bool:
        try:
            run = self.problem.run(example.inputs)
            cost, hands = run.cost, run.hands
        except Exception:
            return False
        same = cost == example.cost or abs(cost - example.cost) <= 1e-9 * abs(example.cost)  # it is not to be mended
        return same and all(
            hands[n].shape == e.shape
            and bool(np.all(~(np.abs(hands[n] - e) > example.allowed[n]) & np.isfinite(hands[n])))
            for n, e in example.expected.items()
        )

    def _left(self) -> float:
        """How many lines still give what is no true adjoint, once what is returned is right."""
        try:
            run = traced(self.problem, self.examples[0].inputs, self.context.widest)
            return Suspects(run, {}, list(self.context.wrt)).unclear()
        except (UntapeableError, UsageError, ValueError):
            return np.inf

    def _best(self) -> Place:
        """Of the lines that can be changed, the one that leaves the least unclear by the plainest change; the first."""
        order = {place: number for number, place in enumerate(self.reached)}
        costs = {place: found.weight + UNCLEAR * found.left for place, found in self.found.items()}
        likely = [place for place, cost in costs.items() if cost < min(costs.values()) + ALIKE]
        best = min(likely, key=lambda place: (order.get(place, len(order)), place))
        called = re.match(r"[\w.]*?(\w+)\(.*\)$", self.found[best].before)
        inside = [place for place in likely if called and self.codes[place].co_name == called[1]]
        best = inside[0] if inside else best  # what a function gives is mended where it is made
        found = self.found[best]
        sentence = said(found.before, found.after)
        kind = undone(found.kind, found.before, found.after)
        return self._set_wrongly(best) or place_of((best[0], found.line), self.codes[best], kind, sentence)

    def _set_wrongly(self, place: Line) -> Place | None:
        """The line on which a variable was set, where what is right is another thing of the same name."""
        found = self.found[place]
        before, after = (text.removesuffix(".T") for text in (found.before, found.after))
        held = re.fullmatch(r"[\w.]+[.\[][\w.\[\]']+", after)
        if not before.isidentifier() or not held or folded(last_name(after)) != folded(before):
            return None
        code = self.codes[place]
        where = [
            line
            for line in {line for _, _, line in code.co_lines() if line and line < place[1]}
            if isinstance(statement := statements(place[0]).get(line), ast.Assign)
            and any(isinstance(n, ast.Name) and n.id == before for t in statement.targets for n in ast.walk(t))
        ]
        if not where:
            return None
        return place_of((place[0], max(where)), code, found.kind, f"`{before}` should be `{after}`")


def _line_of(change: tuple[Any, str, int | None, Any], line: int) -> int:
    """The line of what is exchanged, in a statement that takes several."""
    parent, name, place, _ = change
    old = getattr(parent, name) if place is None else getattr(parent, name)[place]
    return int(getattr(old, "lineno", line))


def undone(kind: str, before: str, after: str) -> str:
    """The slip that a change undoes: what it takes away was too much, what it adds was missing."""
    too_much = {"dropped_term": "doubled_term", "missing_derivative": "doubled_derivative"}
    return too_much.get(kind, kind) if len(after) < len(before) else kind


def said(before: str, after: str) -> str:
    """A change, as a sentence."""
    return f"it is right without `{before}`" if not after else f"it is right with `{after}` for `{before}`"


def _past(end: float) -> Callable[[], bool]:
    return lambda: time.perf_counter() > end


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


def _held(scope: dict[str, Any], names: list[str], definition: ast.FunctionDef) -> Iterator[str]:
    """The attributes of self, entries at the counters of loops, and lengths that have no name yet."""
    sizes = {value for name in names if isinstance(value := scope.get(name), int)}
    for name in filter(str.isidentifier, names):
        value = scope.get(name)
        for axis, size in enumerate(np.shape(value) if isinstance(value, np.ndarray) else ()):
            if size > 1 and size not in sizes:
                sizes.add(size)
                yield f"{name}.shape[{axis}]"
    for name, value in getattr(scope.get("self"), "__dict__", {}).items():
        if isinstance(value, np.ndarray | np.number | int | float):
            yield f"self.{name}"
    loops = [n for n in ast.walk(definition) if isinstance(n, ast.For)]
    counters = {n.id for loop in loops for n in ast.walk(loop.target) if isinstance(n, ast.Name)}
    for counter in sorted(counters):
        if isinstance(scope.get(counter), int | np.integer):
            for name in filter(str.isidentifier, names):
                value = scope.get(name)
                if isinstance(value, list) or (isinstance(value, np.ndarray) and value.ndim):
                    yield f"{name}[{counter}]"
                if isinstance(value, np.ndarray) and value.ndim > 1 and value.dtype.kind == "f":
                    yield f"{name}[:, {counter}]"
                    yield f"{name}[:, {counter}:{counter} + 1]"


def _base(node: Any) -> str:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""
