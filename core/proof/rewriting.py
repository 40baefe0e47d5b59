"""One function with one place of its source changed, wherever it is called from, as long as it lasts."""

from __future__ import annotations

import ast
import contextlib
import copy
import gc
import re
import types
from collections.abc import Iterable, Iterator
from typing import Any

from handgrad.proof.edits import cancels, changes_of, text_of
from handgrad.proof.isolation import codes
from handgrad.proof.naming import is_gradient, last_name
from handgrad.proof.watching import statements, tree_of

Edit = tuple[str, str, str, tuple[Any, str, int | None, Any]]
"""A change: kind, source before and after, and the node, its field and place in it that get something new."""


HERE: dict[str, Any] = dict(lineno=1, col_offset=0, end_lineno=1, end_col_offset=0)


class Rewriter:
    """The source of a function, to be changed in one place at a time.

    Args:
        code: of the function.
        others: the codes of functions that run beside it; of one that is made anew in each of its calls, that in which
            it is made is changed.

    Attributes:
        definition: its syntax tree; None where the source is not to be had.
    """

    def __init__(self, code: types.CodeType, others: Iterable[types.CodeType] = ()) -> None:
        self.code = code
        self.functions = [f for f in gc.get_referrers(code) if isinstance(f, types.FunctionType) and f.__code__ is code]
        tree = tree_of(code.co_filename)
        self.definition: ast.FunctionDef | None = None
        for node in ast.walk(tree) if tree is not None else ():
            first = min((d.lineno for d in getattr(node, "decorator_list", [])), default=getattr(node, "lineno", 0))
            if isinstance(node, ast.FunctionDef) and node.name == code.co_name and first == code.co_firstlineno:
                self.definition = node
        around = next((other for other in others if other is not code and code in codes(other)), None)
        self.within = Rewriter(around, others) if around is not None else None

    def compiled(self) -> types.CodeType | None:
        """The code of the syntax tree as it is now; None if it is no program, or takes other cells."""
        assert self.definition is not None
        free = self.code.co_freevars
        arguments = ast.arguments([], [ast.arg(name, **HERE) for name in free], None, [], [], None, [])
        body: list[ast.stmt] = [self.definition]
        decorators, self.definition.decorator_list = self.definition.decorator_list, []
        outer = ast.FunctionDef("closure", arguments, body, [], **HERE)
        try:
            whole = compile(ast.Module([outer], []), self.code.co_filename, "exec", dont_inherit=True)
        except (SyntaxError, ValueError, TypeError, RecursionError):
            return None
        finally:
            self.definition.decorator_list = decorators
        closure = next(c for c in whole.co_consts if isinstance(c, types.CodeType))
        inner = next(c for c in closure.co_consts if isinstance(c, types.CodeType) and c.co_name == self.code.co_name)
        return inner if inner.co_freevars == free else None

    @contextlib.contextmanager
    def changed(self, parent: ast.AST, name: str, place: int | None, new: Any) -> Iterator[bool]:
        """The function with a node exchanged; gives whether that is a program."""
        old = getattr(parent, name)
        if new is not None:
            ast.fix_missing_locations(ast.copy_location(new, old if place is None else old[place]))
        if place is None:
            setattr(parent, name, new)
        else:
            setattr(parent, name, [*old[:place], *([] if new is None else [new]), *old[place + 1 :]])
        owner = self
        while owner.within is not None:
            owner = owner.within
        try:
            code = owner.compiled() if owner.definition is not None else None
        finally:
            setattr(parent, name, old)
        if code is None or not owner.functions:
            yield False
            return
        try:
            for function in owner.functions:
                function.__code__ = code
            yield True
        finally:
            for function in owner.functions:
                function.__code__ = owner.code

    def edits(self, line: int, names: list[str], seen: set[int] = frozenset()) -> list[tuple[float, Edit]]:  # type: ignore[assignment]
        """The changes of the statement on a line, and how far-fetched each is.

        Args:
            line: its number.
            names: of what could stand in it.
            seen: the ids of nodes into which none of these is put here.
        """
        statement = statements(self.code.co_filename).get(line)
        if statement is None or self.definition is None:
            return []
        found: list[tuple[float, Edit]] = []
        within = holder(self.definition, statement)
        nodes: list[tuple[ast.AST, ast.AST | None, str, int | None]] = []
        if within is not None:
            nodes.append((statement, *within))
        header = isinstance(statement, ast.For | ast.While | ast.If | ast.With)
        stack: list[ast.AST] = (
            [getattr(statement, n) for n in ("iter", "test") if hasattr(statement, n)] if header else [statement]
        )
        if header:
            name = "iter" if hasattr(statement, "iter") else "test"
            nodes += [(stack[0], statement, name, None)] if stack else []
        for above in stack:
            nodes += nodes_of(above)
        keys = [*dict.fromkeys(re.findall(r"\['(\w+)'\]", " ".join(names)))]
        for node, parent, name, place in nodes:
            stored = isinstance(parent, ast.Subscript | ast.Attribute) and isinstance(parent.ctx, ast.Store)
            if parent is None or (stored and not (isinstance(parent, ast.Subscript) and name == "slice")):
                continue
            if isinstance(getattr(node, "ctx", None), ast.Store):
                continue
            before = ast.unparse(node) if not isinstance(node, ast.keyword) else f"{node.arg}={ast.unparse(node.value)}"
            done: set[str] = set()
            others = [] if id(node) in seen or (seen and node is statement) else names
            for kind, new in [
                *changes_of(node, parent, others, True),
                *_more(node, parent, others),
                *_keys(node, parent, name, keys),
            ]:
                if new is None and place is None:
                    continue
                try:
                    after = "" if new is None else text_of(new)
                except Exception:
                    continue
                if after == before or after in done or ((" - " in after or " / " in after) and cancels(new)):
                    continue
                done.add(after)
                weight = _weight(kind, before, after)
                if isinstance(statement, ast.Return) and is_gradient(after):  # one gradient returned for another
                    weight = min(weight, 0.9)
                found.append((weight, (kind, before, after, (parent, name, place, new))))
        if within is not None and not header:
            for kind, before, after, new in _throughout(statement, list(filter(str.isidentifier, names))):
                found.append((1.6, (kind, before, after, (*within, new))))
        return sorted(found, key=lambda edit: edit[0])


def nodes_of(above: ast.AST) -> list[tuple[Any, Any, str, int | None]]:
    """What is inside a node: each expression, with what it is in, as what, and in which place."""
    found: list[tuple[Any, Any, str, int | None]] = []
    stack = [above]
    while stack:
        node = stack.pop()
        for name, value in ast.iter_fields(node):
            for i, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
                if isinstance(child, ast.expr | ast.keyword):
                    found.append((child, node, name, i))
                    stack.append(child)
    return found


def _throughout(statement: ast.stmt, names: list[str]) -> Iterator[tuple[str, str, str, ast.stmt]]:
    """A variable, or a call of one, exchanged wherever the statement reads it, as A for s(A) in ``s(A) (1 - s(A))``."""

    def is_read(node: ast.AST) -> bool:
        return isinstance(node, ast.Name | ast.Call) and isinstance(getattr(node, "ctx", ast.Load()), ast.Load)

    read = [ast.unparse(node) for node in ast.walk(statement) if is_read(node)]
    for text in sorted({text for text in read if read.count(text) > 1}):
        match ast.parse(text, mode="eval").body:
            case ast.Name() if text in names:
                others = names
            case ast.Call(function, [ast.Name()], []):
                others = [*names, *(f"{ast.unparse(function)}({name})" for name in names)]
            case _:
                continue
        for other in others:
            if other == text:
                continue

            class Exchanged(ast.NodeTransformer):
                def visit(self, node: ast.AST, text: str = text, other: str = other) -> Any:
                    if is_read(node) and ast.unparse(node) == text:
                        return ast.copy_location(ast.parse(other, mode="eval").body, node)
                    return self.generic_visit(node)

            new = Exchanged().visit(copy.deepcopy(statement))
            yield "wrong_variable", text, other, ast.fix_missing_locations(new)


def _weight(kind: str, before: str, after: str) -> float:
    """How far-fetched a change is: exchanging an operator is less than writing something anew."""
    longer = len(after) - len(before)
    if kind == "off_by_one":
        return 0.9
    if kind == "sign" and before.startswith("-") and longer < 0:
        return 0.5
    if kind == "sign" and after.startswith("-") and longer > 0:
        return 0.9
    exchanged = kind != "sign" or any(sign in before for sign in "<>=")
    if before and after and abs(longer) <= 1 and kind != "wrong_variable" and exchanged:
        return 0.5 + 0.005 * min(len(after), 40)
    if kind in ("wrong_variable", "exchanged", "order", "start"):
        return 1.5 + 0.02 * len(after)
    return (1.0 if longer < 0 else 2.0) + 0.05 * abs(longer) + 0.01 * len(after)


def holder(definition: ast.AST, statement: ast.stmt) -> tuple[ast.AST, str, int] | None:
    """The block that a statement stands in: whose, its name, and the place in it."""
    for node in ast.walk(definition):
        for name in ("body", "orelse", "finalbody"):
            items = getattr(node, name, None)
            if isinstance(items, list) and any(item is statement for item in items):
                return node, name, next(i for i, item in enumerate(items) if item is statement)
    return None


def _more(node: ast.AST, parent: ast.AST | None, names: list[str]) -> Iterator[tuple[str, Any]]:
    """Changes of whole statements, of orders and of arguments."""
    match node:
        case ast.Pass():
            for one in [name for name in names if is_gradient(last_name(name))]:
                for other in names:
                    if one == other:
                        continue
                    for text in (f"{one} *= {other}", f"{one} += {other}", f"{one} /= {other}", f"{one}[{other}] = 0"):
                        yield "missing_statement", ast.parse(text).body[0]
        case ast.BinOp(left, ast.Sub() as operation, right):
            yield "wrong_sign_term", ast.BinOp(right, operation, left)
        case ast.BinOp(left, ast.Div() as operation, right):
            yield "factor", ast.BinOp(right, operation, left)
        case ast.AugAssign(target, ast.Mult(), value):
            yield "factor", ast.AugAssign(target, ast.Div(), value)
        case ast.AugAssign(target, ast.Div(), value):
            yield "factor", ast.AugAssign(target, ast.Mult(), value)
        case ast.Assign([target], value) if isinstance(target, ast.Name | ast.Subscript | ast.Attribute):
            yield "overwritten", ast.AugAssign(target, ast.Add(), value)
            yield "overwritten", ast.AugAssign(target, ast.Sub(), value)
        case ast.Tuple(items, ast.Load()) | ast.List(items, ast.Load()) if 1 < len(items) <= 8:
            for i in range(len(items)):
                for j in range(i + 1, len(items)):
                    swapped = list(items)
                    swapped[i], swapped[j] = swapped[j], swapped[i]
                    yield "exchanged", ast.Tuple(swapped, ast.Load())
        case ast.Call(ast.Attribute(ast.Name("np"), "zeros_like"), arguments, keywords):
            yield "start", ast.Call(_np("ones_like"), arguments, keywords)
        case ast.Call(ast.Attribute(ast.Name("np"), "ones_like"), arguments, keywords):
            yield "start", ast.Call(_np("zeros_like"), arguments, keywords)
        case ast.Compare(left, [op], [right]):
            for relation in (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq):
                if not isinstance(op, relation):
                    yield "sign", ast.Compare(left, [relation()], [right])
        case ast.Constant(float(number)):
            for changed in (1 / number if number else 1.0, -number, 2 * number, number / 2, 1.0, 0.0):
                yield "factor", ast.Constant(changed)
        case ast.Constant(int(number)) if isinstance(parent, ast.BinOp) and not isinstance(parent.op, ast.Pow):
            for changed in (number / 2, 2 * number):
                yield "factor", ast.Constant(changed)
        case ast.Slice(ast.expr() as low, None, step):
            yield "off_by_one", ast.Slice(None, low, step)
        case ast.Slice(None, ast.expr() as high, step):
            yield "off_by_one", ast.Slice(high, None, step)
        case ast.IfExp(_, body, orelse):
            yield "wrong_variable", body
            yield "wrong_variable", orelse
        case ast.Slice(ast.expr() as low, ast.expr() as high, step):
            for by in (1, -1):
                moved = [ast.BinOp(end, ast.Add(), ast.Constant(by)) for end in (low, high)]
                yield "off_by_one", ast.Slice(moved[0], moved[1], step)
        case ast.Call(ast.Name("range") | ast.Attribute(ast.Name("np"), "arange"), arguments, _):
            yield "off_by_one", ast.Call(ast.Name("reversed", ast.Load()), [node], [])
            for i, argument in enumerate(arguments):
                for by in (1, -1):
                    given = list(arguments)
                    given[i] = ast.BinOp(argument, ast.Add(), ast.Constant(by))
                    yield "off_by_one", ast.Call(node.func, given, [])
        case ast.Call(ast.Name("reversed"), [inner], _):
            yield "order", inner
        case ast.Call(ast.Attribute(_, "sum" | "mean"), arguments, []):
            for axis in (0, 1, -1):
                along = ast.keyword("axis", ast.Constant(axis))
                yield "summed_axis", ast.Call(node.func, arguments, [along])
                yield "summed_axis", ast.Call(node.func, arguments, [along, _kept()])
        case ast.Call(ast.Attribute(_, "sum" | "mean" | "max"), arguments, [ast.keyword("axis")]):
            yield "summed_axis", ast.Call(node.func, arguments, [*node.keywords, _kept()])
        case ast.keyword("axis", ast.Constant(None)):
            for axis in (0, 1, 2):
                yield "summed_axis", ast.keyword("axis", ast.Constant(axis))
        case ast.keyword("axis", ast.Tuple() | ast.UnaryOp()):
            for axis in (0, 1, 2, -1, -2):
                yield "summed_axis", ast.keyword("axis", ast.Constant(axis))
        case ast.Attribute(_, _, ast.Load()) if not isinstance(parent, ast.Call) or parent.func is not node:
            text = ast.unparse(node)
            if text in names:
                for name in names:
                    yield "wrong_variable", ast.parse(name, mode="eval").body
        case ast.Subscript(value, index, ast.Load()):
            text = ast.unparse(node)
            if text in names:
                for name in names:
                    yield "wrong_variable", ast.parse(name, mode="eval").body
            if isinstance(index, ast.Name | ast.Constant | ast.BinOp):
                for by in (1, -1):
                    moved_by = ast.BinOp(index, ast.Add(), ast.Constant(by))
                    yield "off_by_one", ast.Subscript(value, moved_by, ast.Load())
        case ast.UnaryOp(ast.USub(), operand):
            yield "dropped_term", ast.BinOp(ast.Constant(1), ast.Sub(), operand)
        case ast.UnaryOp(ast.Not(), operand):
            yield "sign", operand
        case ast.UnaryOp(ast.Invert(), operand):
            yield "sign", operand
    if (
        isinstance(node, ast.expr)
        and isinstance(parent, ast.Assign | ast.AugAssign | ast.Return | ast.BinOp | ast.Tuple)
        and isinstance(getattr(node, "ctx", ast.Load()), ast.Load)
    ):
        yield from _added(node, isinstance(parent, ast.BinOp), names)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div | ast.Mult) and isinstance(node.right, ast.expr):
        yield "missing_derivative", ast.BinOp(node.left, node.op, ast.Call(_np("sqrt"), [node.right], []))
        yield "doubled_derivative", ast.BinOp(node.left, node.op, ast.BinOp(node.right, ast.Pow(), ast.Constant(2)))


def _added(node: ast.expr, part: bool, names: list[str]) -> Iterator[tuple[str, Any]]:
    """A sign, a factor or a term more, on a whole value or on a part of a formula."""
    if not part:
        yield "sign", ast.UnaryOp(ast.USub(), node)
        yield "factor", ast.BinOp(ast.Constant(2), ast.Mult(), node)
        yield "factor", ast.BinOp(ast.Constant(0.5), ast.Mult(), node)
        yield "transpose", ast.Attribute(node, "T", ast.Load())
    for name in names:
        other = ast.parse(name, mode="eval").body
        yield "missing_derivative", ast.BinOp(node, ast.Mult(), other)
        yield "missing_derivative", ast.BinOp(node, ast.Div(), other)
        yield "dropped_term", ast.BinOp(node, ast.Add(), other)
        yield "dropped_term", ast.BinOp(node, ast.Sub(), other)
        if part:
            square = ast.BinOp(other, ast.Pow(), ast.Constant(2))
            yield "missing_derivative", ast.BinOp(ast.Constant(1), ast.Sub(), square)
            yield "dropped_term", ast.BinOp(node, ast.Sub(), square)
        else:
            turned = ast.Attribute(other, "T", ast.Load())
            for right in (other, turned):
                yield "missing_derivative", ast.BinOp(node, ast.MatMult(), right)
                yield "missing_derivative", ast.BinOp(right, ast.MatMult(), node)
        yield "missing_derivative", ast.BinOp(node, ast.Div(), ast.Call(_np("sqrt"), [other], []))
        for function in ("exp", "sign"):
            yield "missing_derivative", ast.BinOp(node, ast.Mult(), ast.Call(_np(function), [other], []))


def _keys(node: Any, parent: Any, name: str, keys: list[str]) -> Iterator[tuple[str, Any]]:
    if (
        isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and isinstance(parent, ast.Subscript)
        and name == "slice"
    ):
        for key in keys:
            if key != node.value:
                yield "wrong_variable", ast.Constant(key)


def _kept() -> ast.keyword:
    return ast.keyword("keepdims", ast.Constant(True))


def _np(name: str) -> ast.expr:
    return ast.Attribute(ast.Name("np", ast.Load()), name, ast.Load())
