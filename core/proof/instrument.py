"""A function with a hook where each named value is complete, rewritten from its source."""

from __future__ import annotations

import ast
import copy
import inspect
import textwrap
import types
from collections.abc import Callable, Iterator
from typing import Any
from weakref import WeakKeyDictionary

HOOK = "__handgrad_hook__"


class NoSourceError(Exception):
    """The source of a function is not to be had, or its names cannot be followed in it."""


def parse(function: Callable[..., Any]) -> ast.FunctionDef:
    """The syntax tree of a function, with the line numbers of its file and without decorators."""
    try:
        lines, first = inspect.getsourcelines(function)
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, TypeError, SyntaxError) as error:
        raise NoSourceError(f"the source of {getattr(function, '__name__', function)} is not to be had") from error
    definition = tree.body[0] if tree.body else None
    if not isinstance(definition, ast.FunctionDef):
        raise NoSourceError("the function is not written as def")
    definition.decorator_list = []
    ast.increment_lineno(definition, first - 1)
    return definition


def build(definition: ast.FunctionDef, like: Callable[..., Any], scope: dict[str, Any] | None = None) -> Any:
    """The function of a syntax tree, with the globals, defaults and closure of `like`, and the names of `scope`."""
    if isinstance(like, types.MethodType):
        return types.MethodType(build(definition, like.__func__, scope), like.__self__)
    if not isinstance(like, types.FunctionType):
        raise NoSourceError("not a function")
    return _made(_compiled(definition, like), like, scope)


def _compiled(definition: ast.FunctionDef, like: types.FunctionType) -> types.CodeType:
    free = like.__code__.co_freevars
    definition = copy.copy(definition)
    definition.args = copy.copy(definition.args)
    definition.args.defaults = [_nothing(default) for default in definition.args.defaults]
    definition.args.kw_defaults = [d if d is None else _nothing(d) for d in definition.args.kw_defaults]
    arguments = ast.arguments([], [ast.arg(name) for name in free], None, [], [], None, [])
    outer = ast.FunctionDef("closure", arguments, [ast.Return(ast.Name(definition.name, ast.Load()))], [])
    module = ast.fix_missing_locations(ast.Module([outer], []))
    outer.body.insert(0, definition)  # which has its locations: to look for missing ones took longer than to compile
    code = compile(module, like.__code__.co_filename, "exec", dont_inherit=True)
    made: dict[str, Any] = {}
    exec(code, made)
    return next(
        constant
        for constant in made["closure"].__code__.co_consts
        if isinstance(constant, types.CodeType) and constant.co_name == definition.name
    )


def _nothing(default: ast.expr) -> ast.expr:
    """None in the place of a default, which is that of the function as it was."""
    return ast.copy_location(ast.Constant(None), default)


def _made(code: types.CodeType, like: types.FunctionType, scope: dict[str, Any] | None) -> types.FunctionType:
    cells = dict(zip(like.__code__.co_freevars, like.__closure__ or (), strict=True))
    function = types.FunctionType(
        code,
        {**like.__globals__, **(scope or {})},
        like.__name__,
        like.__defaults__,
        tuple(cells[name] for name in code.co_freevars),
    )
    function.__kwdefaults__ = like.__kwdefaults__
    return function


def instrument(function: Callable[..., Any], hook: Callable[[str, Any], Any]) -> Any:
    """`function`, in which each value V that it returns under a name passes through ``hook(name, V)``.

    The hook stands right after the last statement that assigns to the variable, so that all later uses see what the
    hook returns. A name whose value is an expression of the ``return`` has no later use, and no hook.

    Raises:
        NoSourceError: no source, or no ``return`` of a dictionary with names that can be read off.
    """
    if isinstance(function, types.MethodType):
        return types.MethodType(instrument(function.__func__, hook), function.__self__)
    if not isinstance(function, types.FunctionType):
        raise NoSourceError("not a function")
    if function not in _HOOKED:
        try:
            _HOOKED[function] = _compiled(_hooked(parse(function)), function)
        except NoSourceError as error:
            _HOOKED[function] = str(error)
    code = _HOOKED[function]
    if isinstance(code, str):
        raise NoSourceError(code)
    return _made(code, function, {HOOK: hook})


_HOOKED: WeakKeyDictionary[types.FunctionType, types.CodeType | str] = WeakKeyDictionary()
"""Functions that were compiled with a hook, or why not: a check asks for the same one many times."""


def _hooked(definition: ast.FunctionDef) -> ast.FunctionDef:
    returned = _returned(definition)
    places: dict[int, list[ast.stmt]] = {}
    for name, variable in returned.items():
        places.setdefault(_last_store(definition, variable), []).append(_hook_statement(name, variable))
    body: list[ast.stmt] = [*places.get(-1, [])]
    for position, statement in enumerate(definition.body):
        body += [statement, *places.get(position, [])]
    definition.body = body
    ast.fix_missing_locations(definition)
    return definition


def _returned(definition: ast.FunctionDef) -> dict[str, str]:
    """The variable of each name of the returned dictionary, where it is a variable."""
    last = definition.body[-1]
    if not isinstance(last, ast.Return):
        raise NoSourceError("the function does not end with return")
    match last.value:
        case ast.Call(func=ast.Name("dict"), args=[], keywords=keywords):
            pairs = [(keyword.arg, keyword.value) for keyword in keywords]
        case ast.Dict(keys=keys, values=values):
            pairs = [(getattr(key, "value", None), value) for key, value in zip(keys, values, strict=True)]
        case _:
            raise NoSourceError("the return is not written as a dictionary")
    return {str(name): value.id for name, value in pairs if name is not None and isinstance(value, ast.Name)}


def slice_of(definition: ast.FunctionDef, name: str) -> list[ast.stmt]:
    """The statements that a returned value is computed by, without those of other returned values.

    The return alone where the name is not returned by a variable that can be followed.
    """
    returned = _returned(definition)
    last = definition.body[-1]
    if name not in returned:
        return [last]
    others = set(returned.values()) - {returned[name]}
    wanted, found = {returned[name]}, []
    for statement in reversed(definition.body[:-1]):
        stored = set(_stored(statement))
        if stored & wanted:
            found.append(statement)
            wanted |= {n.id for n in ast.walk(statement) if isinstance(n, ast.Name)} - others
    return found[::-1]


def _last_store(definition: ast.FunctionDef, variable: str) -> int:
    """The position in the body of the last statement that changes the variable; -1 where it is an argument."""
    positions = [i for i, statement in enumerate(definition.body) if variable in _stored(statement)]
    return positions[-1] if positions else -1


def _stored(statement: ast.stmt) -> Iterator[str]:
    for node in _walk(statement):
        if isinstance(node, ast.Name | ast.Subscript) and isinstance(node.ctx, ast.Store):
            yield from _base(node)
        elif isinstance(node, ast.Call):  # np.add.at(V, ...) and out=V change V too
            inside = [keyword.value for keyword in node.keywords if keyword.arg == "out"]
            if isinstance(node.func, ast.Attribute) and node.func.attr in ("at", "copyto", "put_along_axis", "place"):
                inside += node.args[:1]
            for argument in inside:
                for part in argument.elts if isinstance(argument, ast.Tuple) else [argument]:
                    yield from _base(part)


def _base(node: ast.AST) -> Iterator[str]:
    """V of V, V[...] and V.T[...]."""
    while isinstance(node, ast.Subscript | ast.Attribute):
        node = node.value
    if isinstance(node, ast.Name):
        yield node.id


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """As `ast.walk`, but not into what has a scope of its own."""
    yield node
    inner = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp | ast.Lambda | ast.FunctionDef | ast.ClassDef
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, inner):
            yield from _walk(child)


def _hook_statement(name: str, variable: str) -> ast.stmt:
    call = ast.Call(ast.Name(HOOK, ast.Load()), [ast.Constant(name), ast.Name(variable, ast.Load())], [])
    return ast.Assign([ast.Name(variable, ast.Store())], call)
