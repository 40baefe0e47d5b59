"""What a program assigns, line by line, while it runs on a tape: which name, where, and which numbers."""

from __future__ import annotations

import ast
import contextlib
import linecache
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from handgrad.proof.tape import Tape, Taped, is_users
from handgrad.proof.wide import Array

BUDGET = 3_000_000
"""So many numbers are given anew; in longer programs later assignments keep those that they have."""


@dataclass(frozen=True)
class Store:
    """One assignment.

    Attributes:
        code: of the function.
        line: of the statement.
        name: as it is written: ``dW``, ``self.dW``, ``grads['dW']``.
        numbers: of the entries, from then on.
        value: what was assigned, or what was changed in place.
        at: how many operations were on the tape.
    """

    code: types.CodeType
    line: int
    name: str
    numbers: Array
    value: Array
    at: int

    @property
    def file(self) -> str:
        """The file that it is in."""
        return self.code.co_filename


@lru_cache(maxsize=64)
def tree_of(file: str) -> ast.Module | None:
    """The syntax tree of a file, or of what was entered under that name; None where the source is not to be had."""
    lines = linecache.getlines(file)
    try:
        return ast.parse("".join(lines)) if lines else None
    except SyntaxError:
        return None


@lru_cache(maxsize=64)
def statements(file: str) -> dict[int, ast.stmt]:
    """The innermost statement of each line."""
    tree = tree_of(file)
    found: dict[int, ast.stmt] = {}
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.stmt) and not isinstance(node, ast.FunctionDef | ast.ClassDef):
            whole = not isinstance(node, ast.For | ast.While | ast.If | ast.With | ast.Try)
            last = (node.end_lineno or node.lineno) if whole else node.body[0].lineno - 1  # type: ignore[attr-defined]
            for line in range(node.lineno, max(last, node.lineno) + 1):
                if whole or line not in found:
                    found[line] = node
    return found


def targets(statement: ast.stmt) -> Iterator[ast.expr]:
    """What a statement assigns to, or changes in place."""
    match statement:
        case ast.Assign(targets=found):
            for target in found:
                yield from _each(target)
        case ast.AugAssign(target=target) | ast.AnnAssign(target=target) | ast.For(target=target):
            yield from _each(target)
        case ast.Expr(ast.Call(function, arguments, keywords)):
            if isinstance(function, ast.Attribute):
                if arguments and function.attr in (
                    "at",
                    "copyto",
                    "put_along_axis",
                    "place",
                    "fill_diagonal",
                    "putmask",
                ):
                    yield from _each(arguments[0])
                if function.attr in ("append", "insert", "fill", "sort", "extend", "update", "setdefault"):
                    yield from _each(function.value)
            for keyword in keywords:
                if keyword.arg == "out":
                    yield from _each(keyword.value)


def _each(target: ast.expr) -> Iterator[ast.expr]:
    match target:
        case ast.Tuple(items) | ast.List(items):
            for item in items:
                yield from _each(item)
        case ast.Starred(value):
            yield from _each(value)
        case _:
            yield target


def resolved(node: ast.expr, frame: types.FrameType) -> tuple[str, Any]:
    """The name and the object that an assignment changed: V of ``V[i, j]``, an entry of a dictionary by its key."""
    match node:
        case ast.Name(identifier):
            if identifier in frame.f_locals:
                return identifier, frame.f_locals[identifier]
            return identifier, frame.f_globals[identifier]
        case ast.Attribute(value, attribute):
            name, owner = resolved(value, frame)
            return f"{name}.{attribute}", getattr(owner, attribute)
        case ast.Subscript(value, index):
            name, owner = resolved(value, frame)
            if isinstance(owner, dict | list):
                key = _key(index, frame)
                return f"{name}[{key!r}]", owner[key]
            return name, owner
        case ast.Call(ast.Attribute(value, "reshape" | "ravel" | "view" | "T"), _):
            return resolved(value, frame)
    raise KeyError(ast.dump(node))


def _key(node: ast.expr, frame: types.FrameType) -> Any:
    match node:
        case ast.Constant(value):
            return value
        case ast.Name() | ast.Attribute() | ast.Subscript():
            return resolved(node, frame)[1]
        case ast.BinOp(left, ast.Add(), right):
            return _key(left, frame) + _key(right, frame)
        case ast.BinOp(left, ast.Sub(), right):
            return _key(left, frame) - _key(right, frame)
        case ast.UnaryOp(ast.USub(), operand):
            return -_key(operand, frame)
        case ast.JoinedStr(values):
            return "".join(
                str(v.value if isinstance(v, ast.Constant) else _key(v.value, frame))  # type: ignore[attr-defined]
                for v in values
            )
        case ast.Call(ast.Name("str"), [inner]):
            return str(_key(inner, frame))
    raise KeyError(ast.dump(node))


@contextlib.contextmanager
def _traced(called: Callable[..., Any]) -> Iterator[None]:
    """As long as it lasts, Python tells this function of every call."""
    before = sys.gettrace()
    sys.settrace(called)
    try:
        yield
    finally:
        sys.settrace(before)


class Watch:
    """All assignments of a run of the user's code.

    Args:
        tape: on which the run is.
        begins: the code with which going back begins; from the start, if none.
    """

    def __init__(self, tape: Tape, begins: set[Any]) -> None:
        self.tape = tape
        self.begins = begins
        self.back = not begins
        self.stores: list[Store] = []
        self.codes: set[types.CodeType] = set()
        """Of what ran on the way back."""
        self._before: dict[int, int] = {}
        self._left = BUDGET

    def watching(self) -> contextlib.AbstractContextManager[None]:
        """As long as it lasts."""
        return _traced(self._called)

    def _called(self, frame: types.FrameType, event: str, argument: Any) -> Callable[..., Any] | None:
        del argument
        if event != "call" or not is_users(frame.f_globals.get("__name__", ""), frame.f_code.co_filename):
            return None
        self.back = self.back or frame.f_code in self.begins
        if self.back:
            self.codes.add(frame.f_code)
        self._before[id(frame)] = 0
        return self._line

    def _line(self, frame: types.FrameType, event: str, argument: Any) -> Callable[..., Any]:
        del argument
        before = self._before.get(id(frame), 0)
        if before and event in ("line", "return"):
            statement = statements(frame.f_code.co_filename).get(before)
            inside = statement is not None and statement.lineno < frame.f_lineno <= (statement.end_lineno or 0)
            if statement is not None and (event == "return" or not inside or isinstance(statement, ast.For)):
                self._assigned(frame, statement)
        if event == "line":
            self._before[id(frame)] = frame.f_lineno
        else:
            self._before.pop(id(frame), None)
        return self._line

    def _assigned(self, frame: types.FrameType, statement: ast.stmt) -> None:
        for target in targets(statement):
            try:
                name, value = resolved(target, frame)
            except Exception:  # what is written otherwise is not followed
                continue
            for part, array in _arrays(name, value):
                if self._left > 0:
                    self._left -= array.size
                    self.tape.renew(array, (frame.f_code.co_filename, statement.lineno))
                self.stores.append(
                    Store(
                        frame.f_code,
                        statement.lineno,
                        part,
                        array.numbers.copy(),
                        np.array(array.view(np.ndarray)),
                        len(self.tape.operations),
                    )
                )


def _arrays(name: str, value: Any, depth: int = 2) -> Iterator[tuple[str, Taped]]:
    if isinstance(value, Taped):
        yield name, value
    elif isinstance(value, list | tuple) and depth and len(value) <= 64:
        for i, item in enumerate(value):
            yield from _arrays(f"{name}[{i}]", item, depth - 1)
    elif isinstance(value, dict) and depth and len(value) <= 64:
        for key, item in value.items():
            yield from _arrays(f"{name}[{key!r}]", item, depth - 1)


class Moments:
    """What functions knew when they came to lines: their variables, copied, the first few times.

    Args:
        places: file and line of the statements.
    """

    TIMES = (1, 2, 4)
    MOST = 4_000_000

    def __init__(self, places: set[tuple[str, int]]) -> None:
        self.places = places
        self.found: dict[tuple[str, int], list[dict[str, Any]]] = {}
        self._files = {file for file, _ in places}
        self._times: dict[tuple[str, int], int] = {}
        self._left = self.MOST

    def watching(self) -> contextlib.AbstractContextManager[None]:
        """As long as it lasts."""
        return _traced(self._called)

    def _called(self, frame: types.FrameType, event: str, argument: Any) -> Callable[..., Any] | None:
        del argument
        if event != "call" or frame.f_code.co_filename not in self._files or frame.f_code.co_name.startswith("<"):
            return None
        return self._line

    def _line(self, frame: types.FrameType, event: str, argument: Any) -> Callable[..., Any]:
        del argument
        place = (frame.f_code.co_filename, frame.f_lineno)
        if event == "line" and place in self.places:
            times = self._times[place] = self._times.get(place, 0) + 1
            if times in self.TIMES and self._left > 0:
                memo: dict[int, Any] = {}
                scope = dict(frame.f_globals)
                for name in frame.f_code.co_names:
                    if name in scope:
                        scope[name] = self._copied(scope[name], memo, 4)
                for name, value in frame.f_locals.items():
                    scope[name] = self._copied(value, memo, 4)
                self.found.setdefault(place, []).append(scope)
        return self._line

    def _copied(self, value: Any, memo: dict[int, Any], depth: int) -> Any:
        if isinstance(value, int | float | str | bool | types.FunctionType | types.ModuleType | type | None):
            return value
        if id(value) in memo:
            return memo[id(value)][0]
        made = value
        if isinstance(value, np.ndarray):
            self._left -= value.size
            made = value.copy() if self._left > 0 else value
        elif depth and type(value) in (list, tuple) and len(value) <= 64:
            made = type(value)(self._copied(item, memo, depth - 1) for item in value)
        elif depth and type(value) is dict and len(value) <= 64:
            made = {key: self._copied(item, memo, depth - 1) for key, item in value.items()}
        elif depth and is_users(type(value).__module__, "") and type(getattr(value, "__dict__", None)) is dict:
            try:
                made = object.__new__(type(value))
                memo[id(value)] = (made, value)
                made.__dict__.update({k: self._copied(v, memo, depth - 1) for k, v in value.__dict__.items()})
            except TypeError:
                made = value
        elif isinstance(value, types.MethodType):
            made = types.MethodType(value.__func__, self._copied(value.__self__, memo, depth))
        memo[id(value)] = (made, value)
        return made
