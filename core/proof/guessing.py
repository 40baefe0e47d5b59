"""What a changed line would compute, seen on the spot: with what its function knew when it came to that line.

A change of a program costs a run of it to be tried. What the changed statement alone would compute costs next to
nothing, and tells much: that it raises, that it changes nothing, or that it now gives the true adjoint of something.
"""

from __future__ import annotations

import ast
import itertools
import operator
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np

from handgrad.proof.rewriting import Edit, nodes_of
from handgrad.proof.wide import Array

LARGEST = 200_000
"""Of larger results nothing is asked."""
MOST_NAMES = 60
"""So many names are tried in a line."""
MOST_ALIKE = 4
"""So many changes that give the same true adjoint, when the line is first come to, are tried."""
MOST_PAIRED = 30
"""Pairs of so many variables are tried in a line."""
INPLACE = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.MatMult: operator.matmul, ast.Pow: operator.pow,
}  # fmt: skip

ALONE: list[tuple[str, float, str, Callable[[Any], Any]]] = [
    ("sign", 0.9, "-_v", lambda v: -v),
    ("factor", 1.2, "2 * _v", lambda v: 2 * v),
    ("factor", 1.2, "_v / 2", lambda v: v / 2),
    ("factor", 1.5, "_v * len(_v)", lambda v: v * len(v)),
    ("factor", 1.5, "_v / len(_v)", lambda v: v / len(v)),
    ("transpose", 0.9, "_v.T", lambda v: v.T),
    ("doubled_derivative", 1.2, "_v ** 2", lambda v: v**2),
    ("dropped_term", 1.2, "1 - _v", lambda v: 1 - v),
    ("dropped_term", 1.4, "1 + _v", lambda v: 1 + v),
    ("dropped_term", 1.6, "1 - _v ** 2", lambda v: 1 - v**2),
    ("missing_derivative", 1.8, "_v * (1 - _v)", lambda v: v * (1 - v)),
    ("missing_derivative", 1.6, "np.sqrt(_v)", np.sqrt),
    ("missing_derivative", 1.6, "np.exp(_v)", np.exp),
    ("missing_derivative", 1.7, "np.log(_v)", np.log),
    ("missing_derivative", 1.6, "np.tanh(_v)", np.tanh),
    ("missing_derivative", 1.6, "np.sign(_v)", np.sign),
    ("missing_derivative", 1.7, "np.abs(_v)", np.abs),
    ("missing_derivative", 1.6, "(_v > 0)", lambda v: v > 0),
    ("missing_derivative", 1.6, "1 / _v", lambda v: 1 / v),
    ("summed_axis", 2.0, "_v.sum(axis=0)", lambda v: v.sum(axis=0)),
    ("summed_axis", 2.0, "_v.sum(axis=1)", lambda v: v.sum(axis=1)),
    ("summed_axis", 2.0, "_v.sum(axis=0, keepdims=True)", lambda v: v.sum(axis=0, keepdims=True)),
    ("summed_axis", 2.0, "_v.sum(axis=-1, keepdims=True)", lambda v: v.sum(axis=-1, keepdims=True)),
    ("summed_axis", 2.0, "_v.sum()", lambda v: v.sum()),
    ("order", 1.6, "_v[::-1]", lambda v: v[::-1]),
]
"""What may be made of a value: kind, how far-fetched, source, and the same as a function."""

BOTH: list[tuple[str, float, str, Callable[[Any, Any], Any]]] = [
    ("wrong_variable", 1.3, "_o", lambda v, o: o),
    ("missing_derivative", 1.8, "_v * _o", lambda v, o: v * o),
    ("missing_derivative", 1.8, "_v / _o", lambda v, o: v / o),
    ("factor", 2.1, "2 * _o * _v", lambda v, o: 2 * o * v),
    ("dropped_term", 1.8, "_v + _o", lambda v, o: v + o),
    ("dropped_term", 1.8, "_v - _o", lambda v, o: v - o),
    ("dropped_term", 2.0, "_o - _v", lambda v, o: o - v),
    ("missing_derivative", 1.9, "_v @ _o", lambda v, o: v @ o),
    ("missing_derivative", 1.9, "_o @ _v", lambda v, o: o @ v),
    ("missing_derivative", 2.0, "_v @ _o.T", lambda v, o: v @ o.T),
    ("missing_derivative", 2.0, "_o.T @ _v", lambda v, o: o.T @ v),
    ("missing_derivative", 2.2, "_v * (1 - _o)", lambda v, o: v * (1 - o)),
    ("missing_derivative", 2.3, "_v * (1 - _o ** 2)", lambda v, o: v * (1 - o**2)),
    ("missing_derivative", 2.4, "_v * _o * (1 - _o)", lambda v, o: v * o * (1 - o)),
    ("missing_derivative", 2.3, "_v * (_o > 0)", lambda v, o: v * (o > 0)),
    ("missing_derivative", 2.3, "_v / np.sqrt(_o)", lambda v, o: v / np.sqrt(o)),
    ("missing_derivative", 2.3, "_v * np.sqrt(_o)", lambda v, o: v * np.sqrt(o)),
    ("missing_derivative", 2.3, "_v * np.exp(_o)", lambda v, o: v * np.exp(o)),
    ("missing_derivative", 2.3, "_v * np.sign(_o)", lambda v, o: v * np.sign(o)),
    ("missing_derivative", 2.3, "_v / _o ** 2", lambda v, o: v / o**2),
    ("missing_derivative", 2.3, "_v * _o ** 2", lambda v, o: v * o**2),
    ("missing_derivative", 2.3, "_v - _o ** 2", lambda v, o: v - o**2),
    ("missing_derivative", 2.2, "_o[:, None] * _v", lambda v, o: o[:, None] * v),
    ("missing_derivative", 2.4, "_v @ _o.reshape(-1, _o.shape[-1])", lambda v, o: v @ o.reshape(-1, o.shape[-1])),
    ("missing_derivative", 2.4, "_o.reshape(-1, _o.shape[-1]).T @ _v", lambda v, o: o.reshape(-1, o.shape[-1]).T @ v),
    ("wrong_variable", 1.8, "_o.T", lambda v, o: o.T),
    ("wrong_variable", 1.9, "(1 - _o)", lambda v, o: 1 - o),
    ("wrong_variable", 2.1, "(1 - _o ** 2)", lambda v, o: 1 - o**2),
    ("wrong_variable", 2.1, "(_o > 0)", lambda v, o: o > 0),
]
"""The same of a value and a variable."""

PAIRS: list[tuple[str, float, str, Callable[[Any, Any, Any], Any]]] = [
    ("missing_derivative", 3.2, "_v * _o * _p", lambda v, o, p: v * o * p),
    ("missing_derivative", 3.2, "_v * _o / _p", lambda v, o, p: v * o / p),
    ("missing_derivative", 3.2, "_v / (_o * _p)", lambda v, o, p: v / (o * p)),
    ("dropped_term", 2.8, "_v + _o * _p", lambda v, o, p: v + o * p),
    ("dropped_term", 3.0, "_v - _o * _p", lambda v, o, p: v - o * p),
    ("dropped_term", 3.2, "_v + _o / _p", lambda v, o, p: v + o / p),
    ("dropped_term", 2.8, "_v + _o @ _p", lambda v, o, p: v + o @ p),
    ("dropped_term", 3.0, "_v + _o @ _p.T", lambda v, o, p: v + o @ p.T),
    ("dropped_term", 3.0, "_v + _o.T @ _p", lambda v, o, p: v + o.T @ p),
    ("missing_derivative", 3.3, "_v * (1 - _o) * _p", lambda v, o, p: v * (1 - o) * p),
    ("missing_derivative", 3.3, "_v * (_o - _p)", lambda v, o, p: v * (o - p)),
]
"""The same of a value and two variables."""


@cache
def _transposes(axes: int) -> list[tuple[str, float, str, Callable[[Any], Any]]]:
    """The axes of an array in another order."""
    orders = list(itertools.permutations(range(axes))) if 2 < axes < 7 else []
    if axes > 4:  # two of them exchanged
        orders = [order for order in orders if sum(i != axis for i, axis in enumerate(order)) == 2]
    return [("transpose", 1.4, f"_v.transpose{order}", partial(np.transpose, axes=order)) for order in orders]


IN_INDEX = {"_o", "_v + _o", "_v - _o", "_o - _v"}


@dataclass(frozen=True)
class Guess:
    """A change with what is known of it.

    Attributes:
        weight: how far-fetched it is.
        make: gives the change.
        right: whether what the statement computes is then the true adjoint of something; None if it is not known.
    """

    weight: float
    make: Callable[[], Edit]
    right: bool | None


class Spot:
    """A statement, and what its function knew when it came to it.

    Args:
        statement: of which parts are changed.
        scopes: the variables, each time.
        right: whether numbers are true adjoints; None where there are none to tell by.
        names: of what could stand in it.
    """

    def __init__(
        self,
        statement: ast.stmt,
        scopes: list[dict[str, Any]],
        right: Callable[[Array], bool | None],
        names: list[str],
    ) -> None:
        self.right = right
        self.scopes = scopes
        self.names = names
        self.statement = statement
        self.expression, self.at = _value_of(statement)
        self.nodes = {id(n) for n in ast.walk(self.expression)} if self.expression is not None else set()
        self.base: list[list[Array]] = []
        self.target: list[Any] = []
        self.operator = INPLACE.get(type(statement.op)) if isinstance(statement, ast.AugAssign) else None
        self.seen: Counter[int] = Counter()
        self._values: dict[str, list[Any]] = {}
        if self.expression is not None and scopes:
            code = _compiled(self.expression)
            try:
                self.base = [_flat(eval(code, scope)) for scope in scopes]
                if self.operator is not None:
                    loaded = ast.parse(ast.unparse(statement.target), mode="eval").body  # type: ignore[attr-defined]
                    target = _compiled(loaded)
                    self.target = [np.array(eval(target, scope)) for scope in scopes]
            except Exception:
                self.base = []

    @property
    def seen_through(self) -> bool:
        """Whether what it computes is known."""
        return bool(self.base)

    def values(self, name: str) -> list[Any]:
        """What a name stood for, each time; nothing where that is no number."""
        if name not in self._values:
            try:
                code = compile(name, "", "eval")
                found = [eval(code, scope) for scope in self.scopes]
                good = all(
                    isinstance(x, np.ndarray | np.number | int | float) and not isinstance(x, bool) for x in found
                )
                self._values[name] = found if good and all(np.size(x) <= LARGEST for x in found) else []
            except Exception:
                self._values[name] = []
        return self._values[name]

    def judged(self, results: Callable[[int], list[Array]]) -> tuple[bool, bool | None]:
        """Whether a change is worth a trial, and whether it gives true adjoints where it first matters."""
        key: Any = None
        right: bool | None = None
        for moment, base in enumerate(self.base):
            try:
                new = results(moment)
            except Exception:
                return False, None
            if len(new) == len(base) and all(_same(a, b) for a, b in zip(new, base, strict=True)):
                continue
            if key is None:
                key = (moment, *((a.shape, a.tobytes()) for a in new))
                right = self._right(new, base, moment)
            if right is not None:
                break
        if key is None:
            return False, None
        mark = hash(key)
        self.seen[mark] += 1
        if self.seen[mark] > (MOST_ALIKE if right else 1):  # x, v + x, where v is still 0, are not the same in the end
            return False, None
        return True, right

    def _right(self, new: list[Array], base: list[Array], moment: int) -> bool | None:
        changed = [a for i, a in enumerate(new) if i >= len(base) or not _same(a, base[i])]
        said = [self.right(a) for a in changed]
        if self.operator is not None and len(new) == 1 and said[0] is not True:
            try:
                said = [self.right(np.asarray(self.operator(self.target[moment], new[0])))]
            except Exception:
                return False
        if any(s is False for s in said):
            return False
        return True if any(said) else None

    def of_edits(self, edits: list[tuple[float, Edit]]) -> Iterator[Guess]:
        """Changes that are given."""
        for weight, edit in edits:
            parent, name, place, new = edit[3]
            old = getattr(parent, name) if place is None else getattr(parent, name)[place]
            whole = new if old is self.statement else None
            if not self.seen_through or (id(old) not in self.nodes and whole is None) or new is None:
                yield Guess(weight, partial(it, edit), None)
                continue
            if whole is not None:
                expression, at = _value_of(whole)
                code = None if expression is None or at != self.at else _compiled(expression)
                if code is None or isinstance(whole, ast.AugAssign) or self.operator is not None:
                    yield Guess(weight, partial(it, edit), None)
                    continue
            elif old is self.expression:
                code = _compiled(new)
            else:
                code = self._with(parent, name, place, new)
            if code is None:
                continue
            try_, right = self.judged(lambda i, code=code: _flat(eval(code, self.scopes[i])))  # type: ignore[misc]
            if try_:
                yield Guess(weight, partial(it, edit), right)

    def _with(self, parent: Any, name: str, place: int | None, new: Any) -> Any:
        old = getattr(parent, name)
        setattr(parent, name, new if place is None else [*old[:place], new, *old[place + 1 :]])
        try:
            return _compiled(self.expression)
        finally:
            setattr(parent, name, old)

    def of_names(self, pairs: bool, enough: Callable[[], bool]) -> Iterator[Guess]:
        """Changes by which a variable comes in, or a function."""
        if not self.seen_through:
            return
        assert self.expression is not None
        arrays = [(name, found) for name in self.names if (found := self.values(name))][:MOST_NAMES]
        holders = [(self.expression, self.statement, *self.at)]
        for node, parent, name, place in [*holders, *nodes_of(self.expression)]:
            if not isinstance(node, ast.expr) or isinstance(node, ast.Slice | ast.Starred | ast.Lambda):
                continue
            if isinstance(parent, ast.Call) and name == "func":
                continue
            named = isinstance(parent, ast.Attribute) and isinstance(node, ast.Name)
            if named and not self.values(ast.unparse(node)):
                continue
            if enough():
                return
            if node is self.expression:
                whole = _compiled(ast.Name("__hole__", ast.Load()))
            else:
                whole = self._with(parent, name, place, ast.Name("__hole__", ast.Load()))
            if whole is None:
                continue
            try:
                code = _compiled(node)
                values = [eval(code, scope) for scope in self.scopes]
            except Exception:
                continue
            if not all(isinstance(x, np.ndarray | np.number | int | float | bool) for x in values):
                continue
            index = isinstance(parent, ast.Subscript | ast.Slice) and name in ("slice", "lower", "upper")
            before = ast.unparse(node)
            key = (parent, name, place)

            def guess(
                kind: str,
                weight: float,
                form: str,
                others: Any,
                function: Any,
                node: Any = node,
                whole: Any = whole,
                before: Any = before,
                key: Any = key,
                values: Any = values,
            ) -> Any:
                def results(i: int) -> list[Array]:
                    scope = self.scopes[i]
                    scope["__hole__"] = function(values[i], *(o[1][i] for o in others))
                    return _flat(eval(whole, scope))

                worth, right = self.judged(results)
                if not worth:
                    return None
                length = len(form) + sum(len(o[0]) for o in others)

                def make() -> Edit:
                    new = _filled(form, node, [o[0] for o in others])
                    return kind, before, ast.unparse(new), (*key, new)

                return Guess(weight + 0.01 * length, make, right)

            constant = isinstance(node, ast.Constant)
            if not pairs:
                if not index:
                    for kind, weight, form, function in [*ALONE, *_transposes(np.ndim(values[0]))]:
                        if constant:
                            continue
                        if (found := guess(kind, weight, form, [], function)) is not None:
                            yield found
                for kind, weight, form, function2 in BOTH:
                    if (index and form not in IN_INDEX) or (constant and "_v" in form):
                        continue
                    for other in arrays:
                        if other[0] == before or (index and not isinstance(other[1][0], int | np.integer)):
                            continue
                        if (found := guess(kind, weight, form, [other], function2)) is not None:
                            yield found
            outer = node is self.expression or isinstance(parent, ast.BinOp)
            if pairs and outer and not index and not constant and isinstance(values[0], np.ndarray):
                alike = [a for a in arrays if np.shape(a[1][0]) in ((), np.shape(values[0])) and np.size(a[1][0])]
                factors = [a for a in arrays if np.ndim(a[1][0]) == 2]
                for kind, weight, form, function3 in PAIRS:
                    if enough():
                        return
                    for a, b in itertools.permutations((factors if "@" in form else alike)[:MOST_PAIRED], 2):
                        found = guess(kind, weight, form, [a, b], function3)
                        if found is not None and found.right:
                            yield found


def it(edit: Edit) -> Edit:
    """A change that is there already."""
    return edit


def _value_of(statement: Any) -> tuple[ast.expr | None, tuple[str, int | None]]:
    """What a statement computes, and where in it that stands."""
    match statement:
        case ast.Assign(_, value) | ast.AugAssign(_, _, value) | ast.Return(ast.expr() as value):
            return value, ("value", None)
    return None, ("", None)


def _compiled(expression: Any) -> Any:
    try:
        return compile(ast.fix_missing_locations(ast.Expression(expression)), "<changed>", "eval")
    except (SyntaxError, ValueError, TypeError, RecursionError):
        return None


def _filled(form: str, node: Any, others: list[str]) -> ast.expr:
    tree = ast.parse(form, mode="eval")
    names = {"_o": others[0] if others else "", "_p": others[1] if len(others) > 1 else ""}

    class Fill(ast.NodeTransformer):
        def visit_Name(self, name: ast.Name) -> Any:
            if name.id == "_v":
                return node
            if name.id in names:
                return ast.parse(names[name.id], mode="eval").body
            return name

    made: ast.expr = Fill().visit(tree).body
    return made


def _flat(value: Any) -> list[Array]:
    if isinstance(value, np.ndarray | np.number | int | float | bool | np.bool_):
        if np.size(value) > LARGEST or np.asarray(value).dtype.kind not in "biuf":
            raise ValueError("too large")
        return [np.array(value)]
    if isinstance(value, tuple | list):
        return [x for item in value for x in _flat(item)]
    if isinstance(value, dict):
        return [x for item in value.values() for x in _flat(item)]
    raise TypeError("no numbers")


def _same(a: Array, b: Array) -> bool:
    if a.shape != b.shape:
        return False
    if a is b or a.size == 0:
        return True
    if a.dtype.kind in "biu":
        return bool(np.array_equal(a, b))
    first = abs(a.flat[-1] - b.flat[-1])
    if first > 1e-12 * abs(b.flat[-1]):
        return False
    return bool(np.all(np.abs(a - b) <= 1e-12 * np.abs(b)))


class Known:
    """Numbers that are true adjoints, or terms of them, to be compared with.

    Args:
        known: the numbers.
    """

    def __init__(self, known: Array) -> None:
        self.known = np.unique(np.asarray(known, np.float64))
        self.known = self.known[self.known != np.rint(self.known)]

    def __call__(self, values: Array) -> bool | None:
        """Whether all are; None where there is nothing to tell by."""
        if values.dtype.kind != "f":
            return None
        flat = values.ravel()
        flat = flat[flat != 0]
        if not flat.size or len(self.known) < 2:
            return None
        if not self._among(flat[:1], flat[:1]):
            return False
        return bool(self._among(flat, np.max(np.abs(flat))))

    def _among(self, flat: Array, size: Any) -> bool:
        if not np.all(np.isfinite(flat)):
            return False
        at = np.clip(np.searchsorted(self.known, flat), 1, len(self.known) - 1)
        near = np.minimum(np.abs(self.known[at] - flat), np.abs(self.known[at - 1] - flat))
        return bool(np.all(near <= 1e-9 * np.abs(flat) + 1e-13 * size))
