"""A function as it stands, with NumPy exchanged for another library: the way in for every oracle."""

from __future__ import annotations

import builtins
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

NOT_OURS = {"numpy", "scipy", "jax", "jaxlib", "torch", *sys.stdlib_module_names} - {"__main__"}
NO_ARITHMETIC = ("errstate", "seterr", "geterr", "set_printoptions", "printoptions", "testing", "exceptions")


class Namespace:
    """A library that stands in for NumPy (or for `numpy.linalg`): its own attributes under NumPy's names.

    Args:
        library: where attributes are looked up.
        renamed: what the library calls otherwise or lacks, by NumPy's name.
    """

    def __init__(self, library: Any, renamed: dict[str, Any] | None = None) -> None:
        self._library = library
        self._renamed = renamed or {}

    def __getattr__(self, name: str) -> Any:
        if name in self._renamed:
            return self._renamed[name]
        if name in NO_ARITHMETIC:
            return getattr(np, name)
        if name == "random":
            raise AttributeError("numpy.random: random numbers are drawn inside the function")
        value = getattr(self._library, name)
        return Namespace(value) if isinstance(value, types.ModuleType) else value


def rebind(function: Callable[..., Any], namespace: Namespace) -> Callable[..., Any]:
    """A copy of `function` in which NumPy is `namespace`; the function itself is left as it is.

    NumPy under any name, functions imported from it, helpers and their helpers, closures, defaults, modules of one's
    own and ``import numpy`` inside a function are all followed.
    """
    copy: Callable[..., Any] = _Rebinding(namespace).function(function)
    return copy


class _Rebinding:
    def __init__(self, namespace: Namespace) -> None:
        self.namespace = namespace
        self.done: dict[int, Any] = {}

    def function(self, function: Callable[..., Any]) -> Any:
        if isinstance(function, types.MethodType):
            return types.MethodType(self.function(function.__func__), function.__self__)
        if not isinstance(function, types.FunctionType):
            return function
        if id(function) in self.done:
            return self.done[id(function)]
        scope = dict(function.__globals__)
        closure = None
        if function.__closure__ is not None:
            closure = tuple(types.CellType() for _ in function.__closure__)
        defaults = function.__defaults__ and tuple(map(self.value, function.__defaults__))
        copy = types.FunctionType(function.__code__, scope, function.__name__, defaults, closure)
        copy.__kwdefaults__ = function.__kwdefaults__ and {k: self.value(v) for k, v in function.__kwdefaults__.items()}
        self.done[id(function)] = copy  # before what it refers to, since functions may refer to each other
        for name in set(_names(function.__code__)) & scope.keys():
            scope[name] = self.value(scope[name])
        scope["__builtins__"] = {**vars(builtins), "__import__": self.importing}
        for cell, original in zip(closure or (), function.__closure__ or (), strict=True):
            try:
                cell.cell_contents = self.value(original.cell_contents)
            except ValueError:  # an empty cell: a name that is not bound yet
                continue
        return copy

    def value(self, value: Any) -> Any:
        if value is np:
            return self.namespace
        if isinstance(value, types.ModuleType):
            if value.__name__.startswith("numpy."):
                return _follow(self.namespace, value.__name__.split(".")[1:])
            return value if _package(value.__name__) in NOT_OURS else _Module(value, self)
        if isinstance(value, np.ufunc) or str(getattr(value, "__module__", "")).split(".")[0] == "numpy":
            name = getattr(value, "__name__", "")
            if getattr(np, name, None) is value:
                return getattr(self.namespace, name)
            if getattr(np.linalg, name, None) is value:
                return getattr(self.namespace.linalg, name)
            return value
        if isinstance(value, types.FunctionType | types.MethodType):
            return value if _package(value.__module__ or "") in NOT_OURS else self.function(value)
        return value

    def importing(self, name: str, scope: Any = None, local: Any = None, wanted: Any = (), level: int = 0) -> Any:
        """What ``import`` does inside the copied function."""
        module = builtins.__import__(name, scope, local, wanted, level)
        return self.value(module)


class _Module:
    """A module of the user's, whose functions are rebound when they are asked for."""

    def __init__(self, module: types.ModuleType, rebinding: _Rebinding) -> None:
        self._module = module
        self._rebinding = rebinding

    def __getattr__(self, name: str) -> Any:
        return self._rebinding.value(getattr(self._module, name))


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _package(module: str) -> str:
    return module.split(".")[0]


def _follow(namespace: Any, path: list[str]) -> Any:
    for name in path:
        namespace = getattr(namespace, name)
    return namespace
