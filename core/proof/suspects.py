"""Which lines may be at fault: what lies between the wrong entries of what is returned and what is right.

Forward and backward are run once on one tape (`handgrad.proof.tape`), so that every number that backward computes is
known by the line that it was computed on and by the numbers that it was computed from. What forward computes has its
true adjoints from a sweep; a value of backward that is one of them, or one of the terms that they are sums of, is
right.
"""

from __future__ import annotations

import linecache
import types
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from handgrad.errors import UsageError
from handgrad.proof.naming import folded, last_name, primals
from handgrad.proof.problem import Problem
from handgrad.proof.report import Place
from handgrad.proof.rules import ELEMENTWISE
from handgrad.proof.tape import Tape, Taped, UntapeableError, numbers_of
from handgrad.proof.watching import Store, Watch
from handgrad.proof.wide import WIDE, Array


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


def traced(problem: Problem, inputs: dict[str, Any], dtype: Any) -> Traced:
    """Forward and backward, on a tape that knows the lines.

    Raises:
        UntapeableError: the tape has no rule for what they do.
    """
    tape = Tape(dtype, places=True)
    watch = Watch(tape, problem.begins)
    try:
        with watch.watching():
            named, adjoints, numbers = problem.run_on(tape, inputs)
    except UsageError as error:
        raise UntapeableError(str(error)) from error
    cost = np.asarray(numbers_of(list(named.values())[-1], tape))
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
        self.close = max(2.0**9 * run.tape.lowest, 1e-15)
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
        self.scaled: set[tuple[str, int]] = set()
        arrays = [*run.numbers.values(), *(o.out for o in self.operations if self.forward[o.span].any())]
        self.counts = {n for V in arrays for n in (V.size, *V.shape) if n > 2}  # 2 is also what a square leaves
        self.roles = self._roles()
        for name, where in wrong.items():
            for i in self._makers(name, where):
                self.right[i] = self.given[i] = False
        self.wrong, self.kept = wrong, right
        slices = {name: self._slice(name, where) for name, where in wrong.items()}
        self.handed = not all(slices.values())
        self.slices = {name: self._lines(found) for name, found in slices.items()}
        self.good = set().union(*(self._slice(name, None) for name in right)) if right else set()
        common = set.intersection(*(self._lines(s) for s in slices.values())) if slices else set()
        self.every = set().union(*slices.values())
        self.common = common or self._lines(self.every)

    def of(self, names: list[str]) -> Suspects:
        """The same for some of the wrong gradients."""
        return Suspects(self.run, {name: self.wrong[name] for name in names}, self.kept)

    def groups(self) -> list[list[str]]:
        """The wrong gradients, those together to which the same lines lead, which lead to nothing right; those of a
        wrong shape apart from those of wrong values.
        """
        good = self._lines(self.good)
        found: list[tuple[list[str], set[tuple[str, int]]]] = []
        for name, lines in self.slices.items():
            mine, own = [name], lines - good
            shapeless = self.wrong[name] is None
            for group in [g for g in found if g[1] & own and (self.wrong[g[0][0]] is None) == shapeless]:
                found.remove(group)
                mine, own = [*group[0], *mine], own | group[1]
            found.append((mine, own))
        return [names for names, _ in found]

    @property
    def only(self) -> set[tuple[str, int]]:
        """The lines that lead to what is wrong, and to nothing that is right."""
        return self._lines(self.every) - self._lines(self.good)

    def unclear(self) -> float:
        """How many lines give what is no true adjoint, and how many names mislead: a little, where by a factor only."""
        places = self._lines(self.good)
        wrong = self._lines(i for i in self.good if i in self.right and not self.right[i] and not self.given[i])
        off = sum(self.roles.get(place) == "off" for place in places)
        return len(wrong) + 4 * off + 0.5 * len(self.scaled & places)

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
                if near and self._is_count(by):
                    self.scaled.add((store.file, store.line))
                    return "right"
            if there:
                return "off"
        same = shapes.get(folded(last), [])
        if same and not self._recomputed(store, same):
            return "off"
        return ""

    def _is_count(self, by: float) -> bool:
        """Whether a factor is how many numbers there are of something, or one over it: of a mean taken elsewhere."""
        return by > 0 and any(abs(by * count - 1) < 1e-9 or abs(by / count - 1) < 1e-9 for count in self.counts)

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


def _numbers(arrays: Iterable[Array]) -> Array:
    flat = np.concatenate([np.asarray(a, WIDE).ravel() for a in arrays])
    return np.unique(flat[np.isfinite(flat) & (flat != 0)])


def place_of(place: tuple[str, int], code: types.CodeType | None, kind: str, sentence: str) -> Place:
    """A line as it is reported."""
    text = linecache.getline(*place).strip()
    return Place(place[0], place[1], text, code.co_qualname if code is not None else "", kind, sentence)
