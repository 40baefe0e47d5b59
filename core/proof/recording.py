"""A run of the user's code on a tape: the arrays that it makes on the way are numbered too."""

from __future__ import annotations

import contextlib
import functools
import math
import sys
import threading
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from handgrad.proof.composed import array_of, as_strided, columns, log_softmax, logsumexp, rows, softmax
from handgrad.proof.tape import COMPOSED, Tape, Taped, plain, tape_of, taped

CREATING = (
    "zeros", "ones", "empty", "full", "array", "asarray", "asanyarray", "ascontiguousarray", "asfortranarray", "eye",
    "identity", "linspace", "arange", "tri", "copy",
)  # fmt: skip
"""What makes an array out of anything: it is not asked for by the arrays that go in, since there may be none."""

OF_LISTS = ("sum", "nansum", "mean", "prod", "max", "min", "amax", "amin", "std", "var", "dot", "inner", "outer")
"""Functions to which people give lists of numbers, of which NumPy does not ask what is in them."""
MATH = (
    "exp", "expm1", "log", "log2", "log10", "log1p", "sqrt", "sin", "cos", "tan", "asin", "acos", "atan", "sinh",
    "cosh", "tanh", "fabs",
)  # fmt: skip
RENAMED = {"asin": "arcsin", "acos": "arccos", "atan": "arctan"}


class _Active(threading.local):
    """The tapes of this thread, the innermost last."""

    def __init__(self) -> None:
        self.tapes: list[Tape] = []


_active = _Active()


def entered(value: Any) -> Any:
    """A copy of an array that is there already when a run begins; on its tape, if there is one."""
    if not isinstance(value, np.ndarray):
        return value
    if not _active.tapes or isinstance(value, Taped) or value.dtype.kind != "f":
        return value.copy()
    tape = _active.tapes[-1]
    return tape.constant(value.astype(tape.dtype) if value.dtype == np.float64 else value.copy())


class _Library(types.ModuleType):
    """NumPy or `math` as the user's code sees it: some names are ours, the others the library's own."""

    def __init__(self, library: types.ModuleType, ours: dict[str, Any]) -> None:
        super().__init__(library.__name__)
        self.__dict__.update(ours)
        self.__dict__["_library"] = library

    def __getattr__(self, name: str) -> Any:
        return getattr(self._library, name)


@contextlib.contextmanager
def recording(tape: Tape, scopes: Iterable[dict[str, Any]]) -> Iterator[None]:
    """As long as it lasts, arrays that the user's code makes in this thread are on the tape, and may be written into.

    Args:
        tape: as said.
        scopes: the globals of the user's functions. NumPy itself is left alone: its own code makes arrays too.
    """
    exchanged = _exchanged(sys.modules.get("scipy.special") is not None)
    places = [(scope, name, value) for scope in scopes for name, value in scope.items() if id(value) in exchanged]
    _active.tapes.append(tape)
    try:
        for scope, name, value in places:
            scope[name] = exchanged[id(value)]
        yield
    finally:
        _active.tapes.pop()
        for scope, name, value in places:
            scope[name] = value


@functools.cache
def _exchanged(special: bool) -> dict[int, Any]:
    """By the id of a library or of a function of it, what the user's code sees instead.

    Args:
        special: whether SciPy's special functions are there.
    """
    ours: dict[str, Any] = {name: _creating(name) for name in CREATING}
    maths = {name: _math(name) for name in MATH}
    ours |= {name: _of_lists(getattr(np, name)) for name in OF_LISTS}
    ours |= {"c_": _Joined(np.c_, columns), "r_": _Joined(np.r_, rows)}
    strided = {"as_strided": _taken_by(np.lib.stride_tricks.as_strided, as_strided)}
    ours["lib"] = _Library(np.lib, {"stride_tricks": _Library(np.lib.stride_tricks, strided)})
    exchanged: dict[int, Any] = {id(np): _Library(np, ours), id(math): _Library(math, maths)}
    exchanged[id(np.lib.stride_tricks.as_strided)] = strided["as_strided"]
    if special:
        library = sys.modules["scipy.special"]
        made_of = {f.__name__: _taken_by(getattr(library, f.__name__), f) for f in (logsumexp, softmax, log_softmax)}
        exchanged |= {id(getattr(library, name)): made for name, made in made_of.items()}
        exchanged[id(library)] = _Library(library, made_of)
        exchanged[id(sys.modules["scipy"])] = _Library(sys.modules["scipy"], {"special": exchanged[id(library)]})
    exchanged |= {id(getattr(np, name)): made for name, made in ours.items()}
    return exchanged | {id(getattr(math, name)): made for name, made in maths.items()}


def _creating(name: str) -> Callable[..., Any]:
    original = getattr(np, name)

    @functools.wraps(original)
    def create(*args: Any, **keywords: Any) -> Any:
        if not _active.tapes:
            return original(*args, **keywords)
        tape = _active.tapes[-1]
        if args and tape_of(args[0]) is not None and name not in ("full", "zeros", "ones", "empty"):
            return _converted(args[0], name, *args[1:2], **keywords)
        made = original(*plain(args), **plain(keywords))
        if made.dtype.kind != "f":
            return made
        if name == "full" and tape_of(args) is not None:
            made = tape.constant(made.astype(tape.dtype))
            made[...] = args[1]
            return made
        return tape.constant(made.astype(tape.dtype) if made.dtype == np.float64 else made)

    return create


def _converted(value: Any, name: str, dtype: Any = None, **keywords: Any) -> Any:
    """An array out of one, or of lists of them, that are on a tape."""
    dtype = keywords.get("dtype", dtype)
    made = array_of(value)
    copied = name in ("array", "copy") and keywords.get("copy", True) is not False
    if isinstance(value, Taped) and copied:
        made = made.copy()
    if not isinstance(value, Taped):
        made = taped(np.array(plain(made)), np.array(made.numbers), made.tape)
    if keywords.get("ndmin", 0) > made.ndim:
        made = np.reshape(made, (1,) * (keywords["ndmin"] - made.ndim) + made.shape)
    return made if dtype is None or (isinstance(dtype, str) and name == "copy") else made.astype(dtype, copy=False)


class _Joined:
    """``np.c_`` or ``np.r_``, of arrays on a tape too."""

    def __init__(self, original: Any, made_of: Callable[..., Any]) -> None:
        self.original, self.made_of = original, made_of

    def __getitem__(self, items: Any) -> Any:
        items = items if isinstance(items, tuple) else (items,)
        if tape_of(items) is None or any(isinstance(item, slice | str) for item in items):
            return self.original[items]
        return self.made_of(items)


def _of_lists(original: Any) -> Callable[..., Any]:
    @functools.wraps(original)
    def function(*args: Any, **keywords: Any) -> Any:
        listed = any(isinstance(of, list | tuple) and tape_of(of) is not None for of in args)
        if not listed or not _active.tapes:
            return original(*args, **keywords)
        return COMPOSED[original](*args, **keywords)

    return function


def _taken_by(original: Callable[..., Any], made_of: Callable[..., Any]) -> Callable[..., Any]:
    """A function that takes no subclass of an array, as it is or as what it is made of."""

    @functools.wraps(original)
    def function(*args: Any, **keywords: Any) -> Any:
        return (original if tape_of((args, keywords)) is None else made_of)(*args, **keywords)

    return function


def _math(name: str) -> Callable[..., Any]:
    original, ours = getattr(math, name), getattr(np, RENAMED.get(name, name))

    @functools.wraps(original)
    def function(*args: Any) -> Any:
        if _active.tapes and len(args) == 1 and isinstance(args[0], Taped):
            return ours(args[0])
        return original(*args)

    return function
