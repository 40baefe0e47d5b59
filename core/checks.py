"""Arguments that have to be numbers, or arrays of them."""

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from handgrad.errors import DataError, HandgradError, UsageError


def number(name: str, value: float | None, *, zero: bool = False) -> float:
    """The value as a finite float above 0, or of at least 0; else a UsageError that names the argument."""
    try:
        found = float(value)  # type: ignore[arg-type]  # None is refused, too
    except (TypeError, ValueError):
        found = math.nan
    if not (math.isfinite(found) and (found > 0 or (zero and found == 0))):
        raise UsageError(f"{name} is {value}; expected a finite number {'of at least' if zero else 'above'} 0")
    return found


def finite(name: str, value: Any, hint: str = "") -> float:
    """The value as a finite float; else a UsageError that names the argument."""
    try:
        shape = np.shape(value)
        found = math.nan if shape or isinstance(value, str) else float(value)
    except (TypeError, ValueError):  # ragged lists have no shape
        shape, found = (), math.nan
    if not math.isfinite(found):
        raise UsageError(f"{name} is {f'of shape {shape}' if shape else repr(value)}; expected a finite number{hint}")
    return found


def flag(name: str, value: Any) -> bool:
    """The value as a bool; else a UsageError that names the argument."""
    if not isinstance(value, bool | np.bool_):
        raise UsageError(f"{name} is {value!r}; expected True or False")
    return bool(value)


def count(name: str, value: int, least: int) -> int:
    """The value as an int of at least `least`; else a UsageError that names the argument."""
    try:
        found = operator.index(value)
    except TypeError:
        found = least - 1
    if found < least:
        raise UsageError(f"{name} is {value}; expected a whole number of at least {least}")
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


def examples(X: Any) -> Any:
    """X as an array (n, m) of at least one feature and one example; else a DataError."""
    X = array("X", X, DataError)
    if X.ndim != 2 or 0 in X.shape:
        raise DataError(f"X has shape {tuple(X.shape)}; expected (n, m): one column of n features per example")
    return X


def check_values(name: str, V: npt.NDArray[Any], dtype: str, error: type[HandgradError]) -> None:
    """One read of V and no copy, unless something is wrong; none at all for integers, which are always finite."""
    if V.dtype.kind != "f":
        return
    with np.errstate(over="ignore", invalid="ignore"):
        total = V.sum()  # a value that is not finite makes the sum so; an overflow of the sum is looked into
    largest = np.finfo(dtype).max
    if abs(total) <= largest and V.dtype.itemsize <= np.dtype(dtype).itemsize:
        return
    if -largest <= V.min() and V.max() <= largest:
        return
    at = tuple(int(i) for i in np.argwhere(~(abs(V) <= largest))[0])
    where = f"{name}[{', '.join(map(str, at))}]" if at else name
    example = f" (example {at[1]})" if name == "X" else ""
    raise error(f"{where} is {V[at]}{example}; expected finite numbers within {dtype}")


def checked_labels(Y: Any, m: int, get: Callable[[Any], npt.NDArray[Any]]) -> Any:
    """Y as an array (1, m) of 0 and 1, which `get` fetches to be looked at; else a DataError."""
    Y = array("Y", Y, DataError)
    if tuple(Y.shape) != (1, m):
        raise DataError(
            f"Y has shape {tuple(Y.shape)}; expected (1, {m}), one label per column of X; try Y.reshape(1, -1)"
        )
    found = get(Y)
    wrong = np.argwhere(~((found == 0) | (found == 1)))
    if len(wrong):
        i = int(wrong[0, 1])
        raise DataError(f"Y[0, {i}] is {found[0, i]}; expected labels 0 and 1 ({len(wrong)} of {m} are not)")
    return Y
