"""What a changed line would compute, seen on the spot: with what its function knew when it came to that line.

A change of a program costs a run of it to be tried. What the changed statement alone would compute costs next to
nothing, and tells much: that it raises, that it changes nothing, or that it now gives the true adjoint of something.
"""

from __future__ import annotations

import ast
import contextlib
import itertools
import operator
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np

from handgrad.proof.naming import is_gradient, last_name
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
NO_GRADIENTS = (
    "1 - _v",
    "1 + _v",
    "1 - _v ** 2",
    "np.sign(_v)",
    "np.abs(_v)",
    "np.sqrt(_v)",
    "np.log(_v)",
    "np.exp(_v)",
)
"""What is no gradient where the value is one."""
COUNTED = 1.45
"""How far-fetched it is that a division by a number that counts something, as m, is missing."""
INPLACE = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.MatMult: operator.matmul, ast.Pow: operator.pow,
}  # fmt: skip

Variable = tuple[str, list[Any]]
"""A name, and what it stands for, each time."""


@dataclass(frozen=True)
class Form:
    """What may be made of a value ``_v``, of a variable ``_o``, and of another, ``_p``.

    Attributes:
        kind: the slip that it mends.
        weight: how far-fetched it is.
        text: its source.
        function: the same, of values.
    """

    kind: str
    weight: float
    text: str
    function: Callable[..., Any]

    @property
    def elementwise(self) -> bool:
        """Whether the value and the variable are broadcast with each other."""
        return "_v" in self.text and "@" not in self.text and "[" not in self.text


@dataclass(frozen=True)
class Hole:
    """A part of what a statement computes, in whose place something else may stand.

    Attributes:
        node: the part.
        where: what it is in, as what, and in which place.
        whole: what the statement computes, of ``__hole__``.
        values: of the part, each time.
        all: whether it is all that the statement computes.
    """

    node: ast.expr
    where: tuple[Any, str, int | None]
    whole: Any
    values: list[Any]
    all: bool

    @property
    def gradient(self) -> bool:
        """Whether it is named as a gradient, or is what a function of such a name gives."""
        named = self.node.func if isinstance(self.node, ast.Call) else self.node
        return isinstance(named, ast.Name | ast.Attribute) and is_gradient(last_name(ast.unparse(named)))

    @property
    def index(self) -> bool:
        """Whether it is an index."""
        parent, name, _ = self.where
        return isinstance(parent, ast.Subscript | ast.Slice) and name in ("slice", "lower", "upper")

    @property
    def outer(self) -> bool:
        """Whether it is an array in a formula."""
        formula = self.all or isinstance(self.where[0], ast.BinOp)
        return formula and not self.index and isinstance(self.values[0], np.ndarray)

    def others(self, form: Form, variables: list[Variable]) -> Iterable[tuple[Variable, ...]]:
        """The variables of which a form may be made here; nothing where it makes no sense."""
        if isinstance(self.node, ast.Constant) and "_v" in form.text:
            return ()
        if form.text in NO_GRADIENTS and self.gradient:
            return ()
        if "_p" in form.text:
            same = np.shape(self.values[0])
            two = [v for v in variables if np.ndim(v[1][0]) == 2]
            alike = [v for v in variables if np.shape(v[1][0]) in ((), same) and np.size(v[1][0])]
            return itertools.permutations((two if "@" in form.text else alike)[:MOST_PAIRED], 2)
        if "_o" not in form.text:
            return () if self.index else ((),)
        if self.index:
            whole = [v for v in variables if isinstance(v[1][0], int | np.integer)]
            return ((v,) for v in whole if form.text in IN_INDEX)
        if form.elementwise:
            return ((v,) for v in variables if _together(np.shape(self.values[0]), np.shape(v[1][0])))
        return ((v,) for v in variables)


PLAIN = [
    Form("wrong_variable", 1.3, "_o", lambda v, o: o),
    Form("sign", 0.9, "-_v", lambda v: -v),
    Form("factor", 1.2, "2 * _v", lambda v: 2 * v),
    Form("factor", 1.2, "_v / 2", lambda v: v / 2),
    Form("factor", 1.5, "_v * len(_v)", lambda v: v * len(v)),
    Form("factor", 1.5, "_v / len(_v)", lambda v: v / len(v)),
    Form("factor", 1.6, "_v * _v.size", lambda v: v * v.size),
    Form("factor", 1.6, "_v / _v.size", lambda v: v / v.size),
    Form("transpose", 0.9, "_v.T", lambda v: v.T),
    Form("doubled_derivative", 1.2, "_v ** 2", lambda v: v**2),
    Form("dropped_term", 1.2, "1 - _v", lambda v: 1 - v),
    Form("dropped_term", 1.4, "1 + _v", lambda v: 1 + v),
    Form("dropped_term", 1.6, "1 - _v ** 2", lambda v: 1 - v**2),
    Form("missing_derivative", 1.8, "_v * (1 - _v)", lambda v: v * (1 - v)),
    Form("missing_derivative", 1.6, "np.sqrt(_v)", np.sqrt),
    Form("missing_derivative", 1.6, "np.exp(_v)", np.exp),
    Form("missing_derivative", 1.7, "np.log(_v)", np.log),
    Form("missing_derivative", 1.6, "np.tanh(_v)", np.tanh),
    Form("missing_derivative", 1.6, "np.sign(_v)", np.sign),
    Form("missing_derivative", 1.7, "np.abs(_v)", np.abs),
    Form("missing_derivative", 1.6, "(_v > 0)", lambda v: v > 0),
    Form("missing_derivative", 1.6, "1 / _v", lambda v: 1 / v),
    Form("summed_axis", 2.0, "_v.sum(axis=0)", lambda v: v.sum(axis=0)),
    Form("summed_axis", 2.0, "_v.sum(axis=1)", lambda v: v.sum(axis=1)),
    Form("summed_axis", 2.0, "_v.sum(axis=0, keepdims=True)", lambda v: v.sum(axis=0, keepdims=True)),
    Form("summed_axis", 2.0, "_v.sum(axis=-1, keepdims=True)", lambda v: v.sum(axis=-1, keepdims=True)),
    Form("summed_axis", 2.0, "_v.sum()", lambda v: v.sum()),
    Form("order", 1.6, "_v[::-1]", lambda v: v[::-1]),
]
"""What is tried first: another variable, and what may be made of a value."""

BOTH = [
    Form("missing_derivative", 1.8, "_v * _o", lambda v, o: v * o),
    Form("missing_derivative", 1.8, "_v / _o", lambda v, o: v / o),
    Form("factor", 2.1, "2 * _o * _v", lambda v, o: 2 * o * v),
    Form("dropped_term", 1.8, "_v + _o", lambda v, o: v + o),
    Form("dropped_term", 1.8, "_v - _o", lambda v, o: v - o),
    Form("dropped_term", 2.0, "_o - _v", lambda v, o: o - v),
    Form("missing_derivative", 1.9, "_v @ _o", lambda v, o: v @ o),
    Form("missing_derivative", 1.9, "_o @ _v", lambda v, o: o @ v),
    Form("missing_derivative", 2.0, "_v @ _o.T", lambda v, o: v @ o.T),
    Form("missing_derivative", 2.0, "_o.T @ _v", lambda v, o: o.T @ v),
    Form("missing_derivative", 2.2, "_v * (1 - _o)", lambda v, o: v * (1 - o)),
    Form("missing_derivative", 2.3, "_v * (1 - _o ** 2)", lambda v, o: v * (1 - o**2)),
    Form("missing_derivative", 2.4, "_v * _o * (1 - _o)", lambda v, o: v * o * (1 - o)),
    Form("missing_derivative", 2.3, "_v * (_o > 0)", lambda v, o: v * (o > 0)),
    Form("missing_derivative", 2.3, "_v / np.sqrt(_o)", lambda v, o: v / np.sqrt(o)),
    Form("missing_derivative", 2.3, "_v * np.sqrt(_o)", lambda v, o: v * np.sqrt(o)),
    Form("missing_derivative", 2.3, "_v * np.exp(_o)", lambda v, o: v * np.exp(o)),
    Form("missing_derivative", 2.3, "_v * np.sign(_o)", lambda v, o: v * np.sign(o)),
    Form("missing_derivative", 2.3, "_v / _o ** 2", lambda v, o: v / o**2),
    Form("missing_derivative", 2.3, "_v * _o ** 2", lambda v, o: v * o**2),
    Form("missing_derivative", 2.3, "_v - _o ** 2", lambda v, o: v - o**2),
    Form("missing_derivative", 2.2, "_o[:, None] * _v", lambda v, o: o[:, None] * v),
    Form("missing_derivative", 2.4, "_v @ _o.reshape(-1, _o.shape[-1])", lambda v, o: v @ o.reshape(-1, o.shape[-1])),
    Form(
        "missing_derivative", 2.4, "_o.reshape(-1, _o.shape[-1]).T @ _v", lambda v, o: o.reshape(-1, o.shape[-1]).T @ v
    ),
    Form("wrong_variable", 1.8, "_o.T", lambda v, o: o.T),
    Form("wrong_variable", 1.9, "(1 - _o)", lambda v, o: 1 - o),
    Form("wrong_variable", 2.1, "(1 - _o ** 2)", lambda v, o: 1 - o**2),
    Form("wrong_variable", 2.1, "(_o > 0)", lambda v, o: o > 0),
]
"""The same of a value and a variable."""

PAIRS = [
    Form("missing_derivative", 3.2, "_v * _o * _p", lambda v, o, p: v * o * p),
    Form("missing_derivative", 3.2, "_v * _o / _p", lambda v, o, p: v * o / p),
    Form("missing_derivative", 3.2, "_v / (_o * _p)", lambda v, o, p: v / (o * p)),
    Form("dropped_term", 2.8, "_v + _o * _p", lambda v, o, p: v + o * p),
    Form("dropped_term", 3.0, "_v - _o * _p", lambda v, o, p: v - o * p),
    Form("dropped_term", 3.2, "_v + _o / _p", lambda v, o, p: v + o / p),
    Form("dropped_term", 2.8, "_v + _o @ _p", lambda v, o, p: v + o @ p),
    Form("dropped_term", 3.0, "_v + _o @ _p.T", lambda v, o, p: v + o @ p.T),
    Form("dropped_term", 3.0, "_v + _o.T @ _p", lambda v, o, p: v + o.T @ p),
    Form("missing_derivative", 3.3, "_v * (1 - _o) * _p", lambda v, o, p: v * (1 - o) * p),
    Form("missing_derivative", 3.3, "_v * (_o - _p)", lambda v, o, p: v * (o - p)),
]
"""The same of a value and two variables."""


@cache
def _transposes(axes: int) -> list[Form]:
    """The axes of an array in another order."""
    orders = list(itertools.permutations(range(axes))) if 2 < axes < 7 else []
    if axes > 4:  # two of them exchanged
        orders = [order for order in orders if sum(i != axis for i, axis in enumerate(order)) == 2]
    return [Form("transpose", 1.4, f"_v.transpose{order}", partial(np.transpose, axes=order)) for order in orders]


@cache
def _together(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    """Whether two shapes are broadcast with each other."""
    return all(m == n or 1 in (m, n) for m, n in zip(reversed(a), reversed(b), strict=False))


IN_INDEX = {"_o", "_v + _o", "_v - _o", "_o - _v"}


@dataclass(frozen=True)
class Guess:
    """A change with what is known of it.

    Attributes:
        weight: how far-fetched it is.
        make: gives the change.
        right: whether what the statement computes is then the true adjoint of something; None if it is not known.
        reshaped: whether it then has another shape.
    """

    weight: float
    make: Callable[[], Edit]
    right: bool | None
    reshaped: bool = False


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
        self._found: list[Hole] | None = None
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

    def _distinct(self) -> list[tuple[str, list[Any]]]:
        """The names that stand for numbers, with these; of those that always stand for the same, the first."""
        found: dict[Any, tuple[str, list[Any]]] = {}
        for name in self.names:
            if values := self.values(name):
                key = tuple((np.shape(x), np.asarray(x).dtype, np.asarray(x).tobytes()) for x in values)
                found.setdefault(key, (name, values))
        return list(found.values())

    def judged(self, results: Callable[[int], list[Array]]) -> tuple[bool | None, bool] | None:
        """Whether a change gives true adjoints where it first matters, and another shape; None: it is worth no try."""
        key: Any = None
        right: bool | None = None
        reshaped = False
        for moment, base in enumerate(self.base):
            try:
                new = results(moment)
            except Exception:
                return None
            if len(new) == len(base) and all(_same(a, b) for a, b in zip(new, base, strict=True)):
                continue
            if key is None:
                key = (moment, *((a.shape, a.tobytes()) for a in new))
                right = self._right(new, base, moment)
                reshaped = [np.shape(a) for a in new] != [np.shape(a) for a in base]
            if right is not None:
                break
        if key is None:
            return None
        mark = hash(key)
        self.seen[mark] += 1
        if self.seen[mark] > (MOST_ALIKE if right else 1):  # x, v + x, where v is still 0, are not the same in the end
            return None
        return right, reshaped

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
            judged = self.judged(lambda i, code=code: _flat(eval(code, self.scopes[i])))  # type: ignore[misc]
            if judged is not None:
                yield Guess(weight, partial(it, edit), *judged)

    def _with(self, parent: Any, name: str, place: int | None, new: Any) -> Any:
        old = getattr(parent, name)
        setattr(parent, name, new if place is None else [*old[:place], new, *old[place + 1 :]])
        try:
            return _compiled(self.expression)
        finally:
            setattr(parent, name, old)

    def of_names(self, pairs: bool, enough: Callable[[], bool]) -> Iterator[Guess]:
        """Changes by which a variable comes in, or a function; or two variables."""
        if not self.seen_through:
            return
        arrays = self._distinct()[:MOST_NAMES]
        for forms in (PAIRS,) if pairs else (PLAIN, BOTH):
            for hole in self._holes():
                if enough():
                    return
                for form in [*forms, *(_transposes(np.ndim(hole.values[0])) if forms is PLAIN else ())]:
                    if pairs and (enough() or not hole.outer):
                        break
                    for others in hole.others(form, arrays):
                        guess = self._guess(hole, form, others)
                        if guess is not None and (guess.right or not pairs):
                            yield guess

    def _holes(self) -> list[Hole]:
        """The parts of what is computed that are numbers."""
        if self._found is None:
            assert self.expression is not None
            self._found = []
            above = (self.expression, self.statement, *self.at)
            for node, parent, name, place in [above, *nodes_of(self.expression)]:
                if not isinstance(node, ast.expr) or isinstance(node, ast.Slice | ast.Starred | ast.Lambda):
                    continue
                called = isinstance(parent, ast.Call) and name == "func"
                owner = isinstance(parent, ast.Attribute) and isinstance(node, ast.Name)
                if called or (owner and not self.values(ast.unparse(node))):
                    continue
                hole = ast.Name("__hole__", ast.Load())
                whole = _compiled(hole) if node is self.expression else self._with(parent, name, place, hole)
                code = _compiled(node)
                with contextlib.suppress(Exception):
                    values = [eval(code, scope) for scope in self.scopes]
                    if whole and all(isinstance(x, np.ndarray | np.number | int | float | bool) for x in values):
                        self._found.append(Hole(node, (parent, name, place), whole, values, node is self.expression))
        return self._found

    def _guess(self, hole: Hole, form: Form, others: tuple[Variable, ...]) -> Guess | None:
        def results(moment: int) -> list[Array]:
            scope = self.scopes[moment]
            scope["__hole__"] = form.function(hole.values[moment], *(values[moment] for _, values in others))
            return _flat(eval(hole.whole, scope))

        judged = self.judged(results)
        if judged is None:
            return None
        names = [name for name, _ in others]
        counted = form.text == "_v / _o" and isinstance(others[0][1][0], int | np.integer)
        kind, weight = ("factor", COUNTED) if counted else (form.kind, form.weight)

        def make() -> Edit:
            new = _filled(form.text, hole.node, names)
            return kind, ast.unparse(hole.node), ast.unparse(new), (*hole.where, new)

        return Guess(weight + 0.01 * (len(form.text) + sum(map(len, names))), make, *judged)


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
    return bool((np.abs(a - b) <= 1e-12 * np.abs(b)).all())


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
        if not np.isfinite(flat).all():
            return False
        at = self.known.searchsorted(flat).clip(1, len(self.known) - 1)
        near = np.minimum(np.abs(self.known[at] - flat), np.abs(self.known[at - 1] - flat))
        return bool((near <= 1e-9 * np.abs(flat) + 1e-13 * size).all())
