"""Small changes to the source of a function: the slips that people make, and so also what undoes them."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from handgrad.proof.instrument import NoSourceError, build, parse, slice_of

OPPOSITE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.Gt, ast.Gt: ast.Lt, ast.LtE: ast.GtE, ast.GtE: ast.LtE, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
}  # fmt: skip
SWAPS = {"sum": "mean", "mean": "sum", "sign": "abs", "abs": "sign", "maximum": "minimum", "minimum": "maximum"}


@dataclass(frozen=True)
class Edit:
    """One change.

    Attributes:
        kind: the slip that it makes, or undoes, in the words of `Finding.kind`.
        line: where, in the file.
        before: the source that is exchanged.
        after: for this.
        path: the syntax tree of the whole function, of a part of it, and so on down to what is exchanged.
        new: what stands there after the change; None where nothing does.
    """

    kind: str
    line: int
    before: str
    after: str
    path: tuple[ast.AST, ...]
    new: ast.AST | None

    def function(self, like: Callable[..., Any]) -> Callable[..., Any]:
        """The changed function, with the globals and closure of `like`.

        Raises:
            NoSourceError: the change leaves no program.
        """
        tree = _exchanged(self.path, self.new)
        if tree is None:
            raise NoSourceError("the change leaves no program")
        made: Callable[..., Any] = build(tree, like)
        return made

    def __str__(self) -> str:
        return f"line {self.line}: {self.before}  ->  {self.after}"


def edits(function: Callable[..., Any], *, of: str | None = None, thorough: bool = False) -> Iterator[Edit]:
    """All small changes of a function, one at a time.

    Args:
        function: its source must be to be had.
        of: the returned name to whose computation changes are confined, other returned names taken as given.
        thorough: also changes that add something, as a factor or a term: what a repair may need.

    Raises:
        NoSourceError: no source.
    """
    definition = parse(function)
    variables = _variables(definition)
    wanted = None if of is None else {id(n) for s in slice_of(definition, of) for n in ast.walk(s)}
    parents = {id(child): node for node in ast.walk(definition) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(definition):
        if wanted is not None and id(node) not in wanted:
            continue
        above = parents.get(id(node))
        if isinstance(above, ast.Subscript | ast.Attribute) and isinstance(above.ctx, ast.Store):
            continue  # where something is stored is no part of a formula
        seen = set()
        before = ast.unparse(node) if isinstance(node, ast.expr | ast.stmt | ast.keyword | ast.Slice) else ""
        bound = [name for name, first in variables.items() if first < getattr(node, "lineno", 0)]
        for kind, new in changes_of(node, above, bound, thorough):
            after = "" if new is None else text_of(new)
            if after != before and after not in seen and not cancels(new):
                seen.add(after)
                yield Edit(kind, getattr(node, "lineno", 0), before, after, _path(node, parents), new)


def text_of(new: ast.AST) -> str:
    """The source of what stands there after a change."""
    return ast.unparse(ast.fix_missing_locations(new) if isinstance(new, ast.stmt) else new)


def cancels(new: ast.AST | None) -> bool:
    """Whether a change writes what is always 0 or 1, as ``x - x``: no repair."""
    return any(
        isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Sub | ast.Div)
        and ast.dump(node.left) == ast.dump(node.right)
        for node in (ast.walk(new) if new is not None else ())
    )


def _variables(definition: ast.FunctionDef) -> dict[str, int]:
    """The variables, and the line from whose end on each is bound."""
    arguments = [*definition.args.posonlyargs, *definition.args.args, *definition.args.kwonlyargs]
    first = {argument.arg: 0 for argument in arguments}
    for node in ast.walk(definition):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            first[node.id] = min(node.lineno, first.get(node.id, node.lineno))
    return first


def _path(node: ast.AST, parents: Mapping[int, ast.AST]) -> tuple[ast.AST, ...]:
    path = [node]
    while id(path[-1]) in parents:
        path.append(parents[id(path[-1])])
    return tuple(reversed(path))


def _exchanged(path: Sequence[ast.AST], new: ast.AST | None) -> Any:
    """The tree after the change, of which all that is not on the path is that of the one before; None: no program."""
    *above, old = path
    if new is not None:
        ast.fix_missing_locations(new if hasattr(new, "lineno") else ast.copy_location(new, old))
    for parent in reversed(above):
        changed = copy.copy(parent)
        for name, value in ast.iter_fields(parent):
            if value is old:
                if new is None:
                    return None
                setattr(changed, name, new)
            elif isinstance(value, list) and any(item is old for item in value):
                at = next(i for i, item in enumerate(value) if item is old)
                rest = [*value[:at], *([] if new is None else [new]), *value[at + 1 :]]
                if not rest:
                    return None
                setattr(changed, name, rest)
        old, new = parent, changed
    return new


def _name(name: str) -> ast.expr:
    if name.isidentifier():
        return ast.Name(name, ast.Load())
    return ast.parse(name, mode="eval").body


def _times(a: ast.expr, b: ast.expr) -> ast.expr:
    return ast.BinOp(a, ast.Mult(), b)


def changes_of(
    node: ast.AST, parent: ast.AST | None, variables: list[str], thorough: bool
) -> Iterator[tuple[str, ast.AST | None]]:
    match node:
        case ast.BinOp(left, ast.Add(), right):
            yield "wrong_sign_term", ast.BinOp(left, ast.Sub(), right)
            yield "dropped_term", left
            yield "dropped_term", right
        case ast.BinOp(left, ast.Sub(), right):
            yield "wrong_sign_term", ast.BinOp(left, ast.Add(), right)
            yield "dropped_term", left
            yield "dropped_term", ast.UnaryOp(ast.USub(), right)
        case ast.BinOp(left, ast.Mult(), right):
            yield "missing_derivative", left
            yield "missing_derivative", right
            yield "factor", ast.BinOp(left, ast.Div(), right)
        case ast.BinOp(left, ast.Div(), right):
            yield "factor", left
            yield "factor", _times(left, right)
        case ast.BinOp(left, ast.MatMult(), right):
            yield "transpose", ast.BinOp(right, ast.MatMult(), left)
            for a, b in ((_turned(left), right), (left, _turned(right)), (_turned(left), _turned(right))):
                yield "transpose", ast.BinOp(a, ast.MatMult(), b)
        case ast.BinOp(left, ast.Pow(), ast.Constant(int(power))):
            yield "doubled_derivative", left
            yield "factor", ast.BinOp(left, ast.Pow(), ast.Constant(power + 1))
            if power > 2:
                yield "wrong_variable", ast.BinOp(left, ast.Pow(), ast.Constant(power - 1))
        case ast.UnaryOp(ast.USub(), operand):
            yield "sign", operand
        case ast.Attribute(value, "T", ast.Load()):
            yield "transpose", value
        case ast.keyword("axis", ast.Constant(int(axis))):
            for number in {0, 1, 2} - {axis}:
                yield "summed_axis", ast.keyword("axis", ast.Constant(number))
            yield "summed_axis", ast.keyword("axis", ast.Constant(None))
        case ast.keyword("keepdims", ast.Constant(True)):
            yield "shape", ast.keyword("keepdims", ast.Constant(False))
        case ast.Compare(left, [op], [right]):
            yield "sign", ast.Compare(left, [OPPOSITE.get(type(op), ast.Gt)()], [right])
            if thorough:
                for name in variables:
                    for other in variables:
                        yield "wrong_variable", ast.Compare(_name(name), [ast.Eq()], [_name(other)])
                    yield "wrong_variable", ast.Compare(_name(name), [ast.Gt()], [ast.Constant(0)])
        case ast.Call(ast.Attribute(value, name), arguments, keywords) if name in SWAPS:
            kind = "factor" if name in ("sum", "mean") else "wrong_variable"
            yield kind, ast.Call(ast.Attribute(value, SWAPS[name], ast.Load()), arguments, keywords)
        case ast.Call(ast.Attribute(value, "astype"), _, _):
            yield "low_precision", value
        case ast.Constant(value=bool()):
            pass
        case ast.Constant(int(number)) if not isinstance(parent, ast.keyword) and not _is_power(parent):
            inside = isinstance(parent, ast.Subscript | ast.Slice | ast.Tuple | ast.UnaryOp)
            yield ("off_by_one" if inside else "factor"), ast.Constant(number + 1)
            yield ("off_by_one" if inside else "factor"), ast.Constant(number - 1)
        case ast.Assign([ast.Subscript() as place], value):
            yield "single_entry", None
            yield "overwritten", _scattered(place, value)
        case ast.AugAssign(target, op, value):
            opposite = {ast.Add: ast.Sub, ast.Sub: ast.Add}.get(type(op))
            if opposite is not None:
                yield "wrong_sign_term", ast.AugAssign(target, opposite(), value)
            stored = copy.deepcopy(target)
            if isinstance(op, ast.Add):
                yield "overwritten", ast.Assign([stored], value)
            if isinstance(op, ast.Add) and isinstance(target, ast.Subscript):
                yield "single_entry", None
                yield "overwritten", _scattered(target, value)
    if isinstance(node, ast.Slice) and thorough:
        for low, high in ((None, -1), (1, None), (None, None), (0, None)):
            yield "off_by_one", ast.Slice(_constant(low), _constant(high), node.step)
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in variables:
        for name in variables:
            if name != node.id:
                yield "wrong_variable", _name(name)
    if isinstance(node, ast.Name | ast.Attribute | ast.BinOp | ast.Subscript | ast.Call) and isinstance(
        parent, ast.Assign | ast.keyword | ast.BinOp | ast.Call
    ):
        if not isinstance(getattr(node, "ctx", ast.Load()), ast.Load) or _is_function(node, parent):
            return
        yield "sign", ast.UnaryOp(ast.USub(), node)
        if thorough:
            yield from _additions(node, variables)


def _additions(node: Any, variables: Sequence[str]) -> Iterator[tuple[str, ast.expr]]:
    yield "transpose", ast.Attribute(node, "T", ast.Load())
    yield "doubled_derivative", ast.BinOp(node, ast.Pow(), ast.Constant(2))
    for name in dict.fromkeys(variables):
        yield "missing_derivative", _times(node, _name(name))
        yield "missing_derivative", ast.BinOp(node, ast.Div(), _name(name))
        yield "dropped_term", ast.BinOp(node, ast.Sub(), _name(name))
        yield "dropped_term", ast.BinOp(node, ast.Add(), _name(name))
        yield "missing_derivative", _times(node, ast.BinOp(ast.Constant(1), ast.Sub(), _name(name)))
        yield "missing_derivative", _times(node, ast.Compare(_name(name), [ast.Gt()], [ast.Constant(0)]))


def _scattered(place: ast.Subscript, value: ast.expr) -> ast.stmt:
    """``np.add.at(V, i, value)`` for V[i]."""
    at = ast.Attribute(ast.Attribute(_name("np"), "add", ast.Load()), "at", ast.Load())
    where = copy.deepcopy(place.value)
    setattr(where, "ctx", ast.Load())  # noqa: B010
    return ast.Expr(ast.Call(at, [where, place.slice, value], []))


def _turned(node: ast.expr) -> ast.expr:
    if isinstance(node, ast.Attribute) and node.attr == "T":
        return node.value
    return ast.Attribute(node, "T", ast.Load())


def _constant(value: int | None) -> ast.expr | None:
    return None if value is None else ast.Constant(value)


def _is_power(parent: Any) -> bool:
    return isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Pow)


def _is_function(node: Any, parent: Any) -> bool:
    return isinstance(parent, ast.Call) and parent.func is node
