"""Whose rule something is, PyTorch's or JAX's: found out without importing either."""

from __future__ import annotations

import functools
import inspect
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from handgrad.proof.problem import leaves

FRAMEWORKS = {"torch": ("torch", "triton"), "jax": ("jax", "jaxlib", "flax")}
"""The names of modules by which a framework is known."""
RULES = {"Function", "CustomOpDef", "custom_vjp", "custom_jvp"}
"""The names of the types that a rule may be of."""
DEPTH = 3
"""So many calls deep the code of a plain function is looked at."""


def framework_of(subject: Any, inputs: Any, reference: Any = None) -> str | None:
    """Whose rule a subject is, "torch" or "jax"; None where it is neither's.

    Args:
        subject: anything that `handgrad.check` takes.
        inputs: by argument, or in order.
        reference: the same function written plainly, or None.
    """
    present = [name for name in FRAMEWORKS if name in sys.modules]
    if not present:
        return None
    values = [value for _, value in leaves(inputs if isinstance(inputs, Mapping) else {"": list(inputs)})]
    for thing in (subject, *values):
        found = _owner(thing, present)
        if found is not None:
            return found
    refers = _refers(subject, present, DEPTH) or _refers(reference, present, DEPTH)
    if refers is None or reference is not None or _calls_rule(subject):
        return refers
    return None if _gives_numpy(subject, inputs) else refers


def of_tensors(functions: Sequence[Any], inputs: Any) -> str | None:
    """Whose tensors several functions take, "torch" or "jax"; None where they take NumPy's arrays."""
    present = [name for name in FRAMEWORKS if name in sys.modules]
    if not present or not isinstance(inputs, Mapping) or not all(inspect.isroutine(_plain(f)) for f in functions):
        return None
    given = next((found for _, value in leaves(inputs) if (found := _owner(value, present))), None)
    refers = given or next((found for f in functions if (found := _refers(f, present, DEPTH))), None)
    if given is None and refers is not None and _gives_numpy(functions[0], _taken(functions[0], inputs)):
        return None
    return refers


def is_object(thing: Any) -> bool:
    """Whether a thing is a class, an object with methods, or a list of such, and none of a framework's."""
    if isinstance(thing, list | tuple):
        return all(map(is_object, thing))
    ours = _owner(thing, list(FRAMEWORKS)) is None and not is_rule(thing)
    return ours and (isinstance(thing, type) or not callable(thing))


def works_on_tensors(thing: Any) -> str:
    """What to do with a class or an object, or a list of such, whose own methods work on tensors, as a sentence; else
    nothing.
    """
    for one in thing if isinstance(thing, list | tuple) else [thing]:
        kind = one if isinstance(one, type) else type(one)
        methods = [v for v in vars(kind).values() if inspect.isfunction(v)]
        whose = next((w for m in methods if (w := _refers(m, [f for f in FRAMEWORKS if f in sys.modules], 0))), None)
        if whose is not None and _owner(one, [whose]) is None and not is_rule(one):
            name = "PyTorch" if whose == "torch" else "JAX"
            return (
                f"{kind.__name__} works on tensors of {name}'s, with which objects are not taken; expected functions "
                "of tensors, as check(forward, backward, inputs), a rule of its own, or NumPy's arrays"
            )
    return ""


def _plain(thing: Any) -> Any:
    """The function inside a wrapper, as that of ``jax.jit``."""
    return inspect.unwrap(thing) if callable(thing) else thing


def _taken(function: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: inputs[name] for name in inspect.signature(function).parameters if name in inputs}


def is_rule(thing: Any) -> bool:
    """Whether a thing is a rule by its type: a Function, a custom op, a function with custom_vjp or custom_jvp."""
    kind = thing if isinstance(thing, type) else type(thing)
    return any(parent.__name__ in RULES and _owner(parent, list(FRAMEWORKS)) for parent in kind.__mro__[:-1])


def _owner(thing: Any, present: Sequence[str]) -> str | None:
    """Whose thing it is by its type: a tensor, a Function, a module, a transformed function."""
    if isinstance(thing, types.MethodType):
        return _owner(thing.__self__, present)
    kind = thing if isinstance(thing, type) else type(thing)
    written_in_c = [thing] if isinstance(thing, types.BuiltinFunctionType) else []
    for parent in (*written_in_c, *kind.__mro__):
        top = str(parent.__module__).partition(".")[0]
        for name in present:
            if top in FRAMEWORKS[name]:
                return name
    return None


def _refers(thing: Any, present: Sequence[str], depth: int) -> str | None:
    """Whose modules and rules the code of a function refers to."""
    if isinstance(thing, functools.partial):
        thing = thing.func
    function = inspect.unwrap(thing) if callable(thing) else thing
    if isinstance(function, types.MethodType):
        function = function.__func__
    elif callable(function) and not isinstance(function, types.FunctionType | type):
        function = vars(type(function)).get("__call__")
    if not isinstance(function, types.FunctionType):
        return None
    for value in _referred(function):
        top = value.__name__.partition(".")[0] if isinstance(value, types.ModuleType) else ""
        for name in present:
            if top in FRAMEWORKS[name]:
                return name
        found = None if isinstance(value, types.ModuleType) else _owner(value, present)
        found = found or (_refers(value, present, depth - 1) if depth and callable(value) else None)
        if found is not None:
            return found
    return None


def _calls_rule(thing: Any) -> bool:
    """Whether a function refers to a rule by itself."""
    return isinstance(thing, types.FunctionType) and any(is_rule(value) for value in _referred(thing))


def _referred(function: types.FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        with_value = cell.cell_contents if _filled(cell) else None
        yield with_value
    codes = [function.__code__]
    while codes:
        code = codes.pop()
        codes += [c for c in code.co_consts if isinstance(c, types.CodeType)]
        for name in code.co_names:
            if name in function.__globals__:
                yield function.__globals__[name]
            elif name in sys.modules and "." not in name:
                yield sys.modules[name]  # imported inside


def _filled(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _gives_numpy(subject: Any, inputs: Any) -> bool:
    """Whether a function that refers to a framework takes NumPy's arrays and gives such, as other code does."""
    try:
        result = subject(**inputs) if isinstance(inputs, Mapping) else subject(*inputs)
    except Exception:
        return False
    found = [value for _, value in leaves({"": result})]
    return all(isinstance(value, np.ndarray | np.generic | float | int | None) for value in found)
