"""The user's things are left as they are: every call runs on copies, and what it changes around it is put back.

Copied are the arguments, the objects whose methods are called with all that they hold, and what functions keep in
globals and closures; two names of one thing stay two names of one thing. The state of NumPy's and Python's global
random generators is the same before each call. What is printed is held back.
"""

from __future__ import annotations

import contextlib
import copy
import ctypes
import dis
import functools
import io
import random
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from numpy.random import mtrand

from handgrad.proof.tape import FOLLOWED, is_users

Change = Callable[[str, Any], Any]
"""From the path and the value of an array or a number to what stands in its place in the copy."""


STATE = 4 * 625
"""Bytes of the state of NumPy's global generator: 624 words, and where among them it is."""


@dataclass
class Outside:
    """A place that functions read or write: a global, or the cell of a closure."""

    path: str
    container: Any
    key: str | None

    def get(self) -> Any:
        """What is there; `Outside` itself where nothing is."""
        try:
            return self.container.cell_contents if self.key is None else self.container[self.key]
        except (ValueError, KeyError):
            return Outside

    def put(self, value: Any) -> None:
        """Put something there."""
        if self.key is None:
            if value is Outside:
                del self.container.cell_contents
            else:
                self.container.cell_contents = value
        elif value is Outside:
            self.container.pop(self.key, None)
        else:
            self.container[self.key] = value


class Copier:
    """Copies of a graph of things, each thing once.

    Args:
        change: for what is a number or an array of them.
        views: whether for a part of an array that is copied already, too, instead of the same part of the copy.
    """

    def __init__(self, change: Change, *, views: bool = False) -> None:
        self.change = change
        self.views = views
        self.memo: dict[int, Any] = {}
        self.aliases: dict[str, str] = {}
        """Other paths of an array, and the first of each."""
        self._first: dict[int, str] = {}
        self.kept: list[Any] = []

    def copy(self, value: Any, path: str = "") -> Any:
        """The copy of a thing; the thing itself where it can't be changed."""
        if isinstance(value, np.ndarray | np.generic | float):
            return self._array(value, path)
        if value is None or isinstance(value, int | str | bytes | complex | type | types.ModuleType | types.CodeType):
            return value
        if id(value) in self.memo:
            return self.memo[id(value)]
        if isinstance(value, types.MethodType):
            return self._kept(value, types.MethodType(value.__func__, self.copy(value.__self__, path)))
        if isinstance(value, functools.partial):
            given = self.copy(value.args, f"{path}.args"), self.copy(value.keywords, path)
            return self._kept(value, functools.partial(self.copy(value.func, path), *given[0], **given[1]))
        if isinstance(value, tuple):
            items = [self.copy(item, f"{path}[{i}]") for i, item in enumerate(value)]
            return self._kept(value, type(value)(*items) if hasattr(value, "_fields") else type(value)(items))
        if isinstance(value, list):
            made = self._kept(value, copy.copy(value))
            made[:] = [self.copy(item, f"{path}[{i}]") for i, item in enumerate(value)]
            return made
        if isinstance(value, dict):
            made = self._kept(value, copy.copy(value))
            for key, item in value.items():
                made[key] = self.copy(item, f"{path}[{key!r}]")
            return made if not hasattr(value, "__dict__") else self._attributes(value, made, path)
        if isinstance(value, set | bytearray | np.random.Generator | np.random.RandomState | random.Random):
            return self._kept(value, copy.deepcopy(value))
        return self._object(value, path)

    def _kept(self, value: Any, made: Any) -> Any:
        self.memo[id(value)] = made
        self.kept.append(value)  # or another thing might get its id
        return made

    def _array(self, value: Any, path: str) -> Any:
        if not isinstance(value, np.ndarray):
            return self.change(path, value)
        if id(value) in self.memo:
            self.aliases.setdefault(path, self._first.get(id(value), path))
            return self.memo[id(value)]
        self._first[id(value)] = path
        owner = value.base
        while isinstance(owner, np.ndarray) and isinstance(owner.base, np.ndarray):
            owner = owner.base
        if isinstance(owner, np.ndarray) and id(owner) in self.memo and value.dtype == owner.dtype and not self.views:
            return self._kept(value, _seen_as(value, owner, self.memo[id(owner)]))
        return self._kept(value, self.change(path, value))

    def _object(self, value: Any, path: str) -> Any:
        kind = type(value)
        plain = kind is types.SimpleNamespace or is_users(str(kind.__module__), "")
        if not plain or isinstance(value, types.FunctionType) or not _has_state(value):
            return value
        try:
            made = object.__new__(kind)
        except TypeError:
            try:
                made = copy.copy(value)
            except Exception:  # what can't be copied is shared
                return value
        return self._attributes(value, self._kept(value, made), path)

    def _attributes(self, value: Any, made: Any, path: str) -> Any:
        for name, item in attributes(value).items():
            with contextlib.suppress(AttributeError, TypeError):
                object.__setattr__(made, name, self.copy(item, f"{path}.{name}" if path else name))
        return made


def _has_state(value: Any) -> bool:
    return hasattr(value, "__dict__") or any("__slots__" in vars(kind) for kind in type(value).__mro__)


def attributes(value: Any) -> dict[str, Any]:
    """What an object holds, by attribute."""
    found = dict(getattr(value, "__dict__", {}))
    for kind in type(value).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(value, name) and name not in ("__dict__", "__weakref__"):
                found[name] = getattr(value, name)
    return found


def _seen_as(value: Any, owner: Any, new: Any) -> Any:
    """The view of the new owner that `value` is of the old one."""
    flat = np.arange(owner.size).reshape(owner.shape) if owner.flags.c_contiguous else None
    offset = (value.__array_interface__["data"][0] - owner.__array_interface__["data"][0]) // owner.itemsize
    strides = [s // owner.itemsize for s in value.strides]
    if flat is None or not new.flags.c_contiguous:
        return np.array(value)
    if value.flags.c_contiguous:
        return np.reshape(np.reshape(new, -1)[offset : offset + value.size], value.shape)
    index = offset + sum(
        np.arange(n).reshape([-1 if i == j else 1 for j in range(value.ndim)]) * s
        for i, (n, s) in enumerate(zip(value.shape, strides, strict=True))
    )
    if type(new) is np.ndarray:
        return np.lib.stride_tricks.as_strided(
            np.reshape(new, -1)[offset:], value.shape, [s * new.itemsize for s in strides]
        )
    return np.reshape(new, -1)[index]


@dataclass
class Surroundings:
    """What functions reach besides their arguments.

    Attributes:
        places: globals and cells.
        scopes: the globals of all functions.
        foreign: the packages, other than NumPy, whose functions they call.
    """

    places: list[Outside] = field(default_factory=list)
    scopes: list[dict[str, Any]] = field(default_factory=list)
    foreign: set[str] = field(default_factory=set)
    _seen: set[int] = field(default_factory=set, repr=False)
    _kept: list[Any] = field(default_factory=list, repr=False)

    def visit(self, value: Any) -> None:
        """Find what a thing reaches: a function, a class, an object, or a collection of them."""
        if id(value) in self._seen or isinstance(value, np.ndarray | np.generic | str | int | float | None):
            return
        self._seen.add(id(value))
        self._kept.append(value)
        if isinstance(value, types.MethodType):
            self.visit(value.__self__)
            self.visit(value.__func__)
        elif isinstance(value, functools.partial):
            for part in (value.func, *value.args, *value.keywords.values()):
                self.visit(part)
        elif isinstance(value, types.FunctionType):
            if is_users(value.__module__ or "", value.__code__.co_filename):
                self._function(value)
        elif isinstance(value, type):
            if is_users(value.__module__, ""):
                for kind in value.__mro__:
                    for item in vars(kind).values() if is_users(kind.__module__, "") else ():
                        item = getattr(item, "__func__", getattr(item, "fget", item))
                        if isinstance(item, types.FunctionType):
                            self.visit(item)
        elif isinstance(value, Mapping):
            for item in value.values():
                self.visit(item)
        elif isinstance(value, list | tuple | set):
            for item in value:
                self.visit(item)
        elif is_users(str(type(value).__module__), ""):
            self.visit(type(value))
            for item in attributes(value).values():
                self.visit(item)

    def _function(self, function: types.FunctionType) -> None:
        scope = function.__globals__
        if not any(scope is known for known in self.scopes):
            self.scopes.append(scope)
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            if name != "__class__":
                self._place(Outside(name, cell, None))
        for code in codes(function.__code__):
            stored = {i.argval for i in dis.get_instructions(code) if i.opname == "STORE_GLOBAL"}
            for name in {*code.co_names, *stored}:
                if name in stored or (name in scope and not name.startswith("__")):
                    self._place(Outside(name, scope, name), always=name in stored)
                module = scope.get(name)
                if isinstance(module, types.ModuleType | types.FunctionType):
                    self._note_foreign(getattr(module, "__module__", None) or module.__name__)
                if isinstance(module, types.ModuleType) and is_users(module.__name__, ""):
                    for inner in set(code.co_names) & vars(module).keys():
                        self._place(Outside(f"{name}.{inner}", vars(module), inner))
        for default in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            self.visit(default)

    def _note_foreign(self, module: str) -> None:
        package = module.split(".")[0]
        if not is_users(module, "") and package not in {"numpy", "handgrad", *sys.stdlib_module_names}:
            self.foreign.add(package)

    def _place(self, place: Outside, always: bool = False) -> None:
        value = place.get()
        if any(p.container is place.container and p.key == place.key for p in self.places):
            return
        if always or (value is not Outside and is_data(value)):
            self.places.append(place)
        if value is not Outside:
            self.visit(value)


def is_data(value: Any) -> bool:
    """Whether a thing can be changed in place, or holds numbers."""
    if isinstance(value, np.ndarray | list | dict | set | np.random.Generator | np.random.RandomState | random.Random):
        return True
    if isinstance(value, type | types.FunctionType | types.ModuleType | types.BuiltinFunctionType | types.MethodType):
        return False
    if isinstance(value, tuple):
        return any(is_data(item) for item in value)
    return is_users(str(type(value).__module__), "") and _has_state(value)


def codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """A code object and those within."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from codes(constant)


class Chance:
    """The state of Python's and NumPy's global random generators, as it is now.

    To read NumPy's whole state and to set it takes longer than most calls of what is checked. Who draws or seeds
    changes the memory in which it lies, and that is soon compared; but for a second gaussian number, kept for the next
    draw, which is forgotten where the generator is set anew.
    """

    def __init__(self) -> None:
        self.python = random.getstate()
        self.numpy = cast(Any, np.random.get_state())  # noqa: NPY002 - that is what people's code draws from
        self.generator = mtrand.get_bit_generator()
        self.memory: Any = None
        if type(self.generator) is np.random.MT19937 and not self.numpy[3]:  # no number is kept for the next call
            self.memory = (ctypes.c_char * STATE).from_address(self.generator.ctypes.state_address)
            self.before = self.memory.raw

    @contextlib.contextmanager
    def as_it_was(self) -> Iterator[None]:
        """As long as it lasts, the state begins as that; after it, it is what it was before."""
        python, numpy = random.getstate(), self.numpy
        random.setstate(self.python)
        if not self._is_that():
            numpy = np.random.get_state()  # noqa: NPY002
            np.random.set_state(self.numpy)  # noqa: NPY002
        try:
            yield
        finally:
            random.setstate(python)
            mtrand.set_bit_generator(self.generator)
            if numpy is not self.numpy or not self._is_that():
                np.random.set_state(numpy)  # noqa: NPY002

    def _is_that(self) -> bool:
        known = self.memory is not None and mtrand.get_bit_generator() is self.generator
        return known and self.memory.raw == self.before


class World:
    """A subject, with all that it reaches, to be copied for every call.

    Args:
        roots: functions and objects, each with the path under which it is known; "" for the only one.

    Attributes:
        printed: how many lines calls have printed.
    """

    def __init__(self, roots: list[tuple[str, Any]]) -> None:
        self.roots = roots
        for _, thing in roots:
            kind = thing if isinstance(thing, type) or hasattr(thing, "__qualname__") else type(thing)
            FOLLOWED.add(str(getattr(kind, "__module__", "")).split(".")[0])
        self.around = Surroundings()
        self.around.visit([thing for _, thing in roots])
        self.printed = 0
        self.chance = Chance()

    @contextlib.contextmanager
    def apart(self, inputs: Any, change: Change) -> Iterator[tuple[list[Any], Any, Copier]]:
        """Copies of the roots and of inputs, with the surroundings exchanged for copies as long as it lasts.

        The path of an input starts with "<", to be told from what the roots hold.
        """
        copier = Copier(change)
        before = [(place, place.get()) for place in self.around.places]
        out, err = io.StringIO(), io.StringIO()
        try:
            given = {name: copier.copy(value, f"<{name}") for name, value in dict.items(inputs)}
            subject = [copier.copy(thing, path) for path, thing in self.roots]
            for place, value in before:
                if value is not Outside:
                    place.put(copier.copy(value, place.path))
            with self.chance.as_it_was(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                yield subject, given, copier
        finally:
            for place, value in before:
                place.put(value)
            self.printed += out.getvalue().count("\n") + err.getvalue().count("\n")

    def held(self, roots: list[Any], live: Iterable[tuple[str, Any]] = ()) -> tuple[dict[str, Any], dict[str, str]]:
        """The numbers and arrays of floating point that copies of the roots, and their surroundings, hold, by path.

        Args:
            roots: the copies.
            live: other objects, with their paths.

        Returns:
            these; and other paths of an array, with the first of each.
        """
        found: dict[str, Any] = {}

        def note(path: str, value: Any) -> Any:
            if path and np.asarray(value).dtype.kind in "fc":
                found.setdefault(path, value)
            return value

        copier = Copier(note, views=True)
        for (path, _), thing in zip(self.roots, roots, strict=True):
            copier.copy(thing, path)
        for path, thing in live:
            copier.copy(thing, path)
        for place in self.around.places:
            value = place.get()
            if value is not Outside:
                copier.copy(value, place.path)
        return found, copier.aliases
