"""Arguments that have to be numbers, words, or arrays: each is found good, or an error names it."""

import difflib
import math
import operator
import os
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from handgrad.errors import DataError, HandgradError, UsageError

Kind = TypeVar("Kind")

LONG = 80
"""Characters of a value that a message shows."""


def closest(name: str, names: Iterable[str]) -> str:
    """What may be meant, for the end of a message; nothing where no name is like it."""
    close = difflib.get_close_matches(name, list(names), 1)
    return f"; did you mean {close[0]!r}?" if close else ""


def shown(value: Any) -> str:
    """What was found, in one line: an array by its shape and dtype, anything else as Python writes it, cut short."""
    if isinstance(value, np.ndarray) and value.ndim:
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    value = value.item() if isinstance(value, np.generic) else value
    try:
        words = " ".join(repr(value).split())
    except Exception:  # as of an int of more digits than Python writes
        return f"of type {type(value).__name__}"
    return cut(words)


def cut(words: str) -> str:
    """Words that are not too long for a message, or their beginning: up to a space, not the half of a number."""
    if len(words) <= LONG:
        return words
    return f"{words[:LONG].rpartition(' ')[0] or words[:LONG]} ..."


def instance(name: str, value: Any, kind: type[Kind]) -> Kind:
    """The value, which is of a type; else a UsageError that names the argument."""
    if not isinstance(value, kind):
        of = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
        raise UsageError(f"{name} is {shown(value)}; expected {of}{kind.__qualname__}")
    return value


def one_of(name: str, value: Any, choices: Collection[str]) -> str:
    """The value, which is one of some words, or a dtype of that name; else a UsageError that names the argument."""
    if not isinstance(value, str | np.dtype) or value not in choices:
        raise UsageError(f"{name} is {shown(value)}; expected one of {', '.join(choices)}")
    return str(value)


def words(name: str, value: Any, many: int) -> list[str]:
    """The value as a list of so many words; else a UsageError that names the argument."""
    found = list(value) if isinstance(value, list | tuple | np.ndarray) else None
    if found is None or len(found) != many or not all(isinstance(word, str) for word in found):
        raise UsageError(f"{name} is {shown(value)}; expected a list of {many} words")
    return found


def path(name: str, value: Any) -> Path:
    """The value as a path; else a UsageError that names the argument."""
    if not isinstance(value, str | os.PathLike):
        raise UsageError(f"{name} is {shown(value)}; expected a path")
    return Path(value)


def number(name: str, value: float | None, *, zero: bool = False) -> float:
    """The value as a finite float above 0, or of at least 0; else a UsageError that names the argument."""
    try:
        found = float(value)  # type: ignore[arg-type]  # None is refused, too
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not (math.isfinite(found) and (found > 0 or (zero and found == 0))):
        raise UsageError(f"{name} is {shown(value)}; expected a finite number {'of at least' if zero else 'above'} 0")
    return found


def finite(name: str, value: Any, hint: str = "") -> float:
    """The value as a finite float; else a UsageError that names the argument."""
    try:
        shape = np.shape(value)
        found = math.nan if shape or isinstance(value, str) else float(value)
    except (TypeError, ValueError, OverflowError):  # ragged lists have no shape
        shape, found = (), math.nan
    if not math.isfinite(found):
        raise UsageError(f"{name} is {f'of shape {shape}' if shape else shown(value)}; expected a finite number{hint}")
    return found


def flag(name: str, value: Any) -> bool:
    """The value as a bool; else a UsageError that names the argument."""
    if not isinstance(value, bool | np.bool_):
        raise UsageError(f"{name} is {shown(value)}; expected True or False")
    return bool(value)


def count(name: str, value: int, least: int, most: int | None = None) -> int:
    """The value as an int of at least `least`, and at most `most`; else a UsageError that names the argument."""
    try:
        found = operator.index(value)
    except TypeError:
        found = least - 1
    if found < least or (most is not None and found > most):
        range_ = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise UsageError(f"{name} is {shown(value)}; expected a whole number {range_}")
    return found


def array(name: str, V: Any, error: type[HandgradError]) -> Any:
    """The value, or an array of it; else an error that names the argument: it is none, or not of numbers."""
    if hasattr(V, "toarray"):
        raise error(f"{name} is {type(V).__name__}, which is sparse; expected a dense array; try {name}.toarray()")
    if not (hasattr(V, "shape") and hasattr(V, "dtype")):
        try:
            V = np.asarray(V)
        except ValueError as reason:
            raise error(f"{name} is no array: {reason}") from None
    if isinstance(V, np.ma.MaskedArray):
        masked = int(np.ma.getmaskarray(V).sum())
        if masked:
            raise error(
                f"{name} is a masked array, with {masked} of {V.size} values masked; expected all of them; leave these "
                f"examples out, or put numbers there: {name}.filled(0)"
            )
        V = V.data
    if isinstance(V, np.ndarray | np.generic):
        if V.dtype.kind not in "buif":
            raise error(f"{name} has dtype {V.dtype}; expected bytes, integers or floats")
        return V
    return _tensor(name, V, error)


def _tensor(name: str, V: Any, error: type[HandgradError]) -> Any:
    """Another library's array, as NumPy can read it: apart from its graph, and of a dtype that NumPy has."""
    if getattr(getattr(V, "device", None), "type", "") == "meta":
        raise error(f"{name} is on the device meta, where there are no numbers; expected an array with its values")
    V = V.detach() if hasattr(V, "detach") else V
    return V.float() if str(V.dtype) == "torch.bfloat16" else V


def shaped(name: str, V: Any, *axes: str | int, least: int = 1) -> npt.NDArray[Any]:
    """The value as a NumPy array of finite numbers; else a DataError that names the argument.

    Args:
        name: of the argument.
        V: anything that is an array, or a list of numbers.
        axes: of each, its size, or a word for what is free.
        least: the smallest size of a free one.
    """
    A: npt.NDArray[Any] = np.asarray(array(name, V, DataError))
    fits = (size >= least if isinstance(axis, str) else size == axis for size, axis in zip(A.shape, axes, strict=False))
    if A.ndim != len(axes) or not all(fits):
        raise DataError(f"{name} has shape {A.shape}; expected ({', '.join(map(str, axes))}{',' * (len(axes) == 1)})")
    check_values(name, A, "float64", DataError)
    return A


def examples(X: Any) -> Any:
    """X as an array (n, m) of at least one feature and one example; else a DataError."""
    X = array("X", X, DataError)
    if X.ndim != 2 or 0 in X.shape:
        hint = {1: "; try np.reshape(X, (-1, 1)), one example", 4: "; try np.reshape(X, (len(X), -1)).T, photographs"}
        found = f"X has shape {tuple(X.shape)}; expected (n, m): one column of n features per example"
        raise DataError(found + hint.get(X.ndim, "") * (0 not in X.shape))
    return X


def check_values(name: str, V: npt.NDArray[Any], dtype: str, error: type[HandgradError], first: int = 0) -> None:
    """One read of V and no copy, unless something is wrong; none at all for integers, which are always finite.

    Its columns are told by their numbers, counted from the `first`.
    """
    if V.dtype.kind != "f":
        return
    with np.errstate(over="ignore", invalid="ignore"):
        total = V.sum()  # a value that is not finite makes the sum so; an overflow of the sum is looked into
    largest = np.finfo(dtype).max
    if abs(total) <= largest and V.dtype.itemsize <= np.dtype(dtype).itemsize:
        return
    if -largest <= V.min() and V.max() <= largest:
        return
    found = tuple(int(i) for i in np.argwhere(~(abs(V) <= largest))[0])
    at = (*found[:-1], found[-1] + first) if found else found
    where = f"{name}[{', '.join(map(str, at))}]" if at else name
    example = f" (example {at[1]})" if name == "X" else ""
    raise error(f"{where} is {V[found]}{example}; expected finite numbers within {dtype}")


def checked_labels(Y: Any, shape: tuple[int, int], get: Callable[[Any], npt.NDArray[Any]]) -> Any:
    """Y as an array (1, m) of 0 and 1, one for each column of X (n, m), fetched by `get`; else a DataError."""
    Y, (n, m) = array("Y", Y, DataError), shape
    if tuple(Y.shape) != (1, m):
        given, labels = f"Y has shape {tuple(Y.shape)}", math.prod(Y.shape)
        row = "" if Y.ndim == 2 and Y.shape[0] == 1 else "np.reshape(Y, (1, -1))"
        if labels == n and n not in (1, m):
            raise DataError(f"{_turned(f'X has shape {shape} and {given}')}{row and f', and {row}'}")
        hint = f"; try {row}" if labels == m else ""
        raise DataError(f"{given}; expected (1, {m}), one label per column of X {shape}{hint}")
    found = get(Y)
    wrong = np.argwhere(~((found == 0) | (found == 1)))
    if len(wrong):
        i = int(wrong[0, 1])
        raise DataError(f"Y[0, {i}] is {found[0, i]}; expected labels 0 and 1 ({len(wrong)} of {m} are not)")
    return Y


def checked_parameters(parameters: Any, shape: tuple[int, int], of: str = "") -> tuple[Any, Any]:
    """W (1, n) and b () as arrays, which fit X of a shape (n, m); else a UsageError, that begins with `of`."""
    if not (isinstance(parameters, tuple) and len(parameters) == 2):
        raise UsageError(f"{of}parameters are {type(parameters).__name__}; expected Parameters(W, b)")
    W, b = (array(f"{of}{name}", V, UsageError) for name, V in zip(("W", "b"), parameters, strict=True))
    if tuple(W.shape) != (1, shape[0]) or tuple(b.shape) != ():
        found = f"{of}W and b have shapes {tuple(W.shape)} and {tuple(b.shape)}"
        if tuple(W.shape) == (1, shape[1]):
            raise UsageError(_turned(f"{found}, and X {shape}"))
        raise UsageError(f"{found}; expected (1, {shape[0]}) and () for X {shape}")
    return W, b


def _turned(found: str) -> str:
    """What to say where X has an example in each row."""
    return f"{found}; expected X (n, m): features by examples, one column per example; try X.T"
