"""Arguments that have to be numbers, or arrays of them."""

import math
import operator
from typing import Any

import numpy as np

from handgrad.errors import DataError, HandgradError, UsageError


def number(name: str, value: float, *, zero: bool = False) -> float:
    """The value as a finite float above 0, or of at least 0; else a UsageError that names the argument."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not (math.isfinite(found) and (found > 0 or (zero and found == 0))):
        raise UsageError(f"{name} is {value}; expected a finite number {'of at least' if zero else 'above'} 0")
    return found


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
    if not (hasattr(V, "shape") and hasattr(V, "dtype")):
        try:
            V = np.asarray(V)
        except ValueError as reason:
            raise error(f"{name} is no array: {reason}") from None
    if isinstance(V, np.ndarray | np.generic) and V.dtype.kind not in "buif":
        raise error(f"{name} has dtype {V.dtype}; expected bytes, integers or floats")
    return V


def examples(X: Any) -> Any:
    """X as an array (n, m) of at least one feature and one example, or what stands for one; else a DataError."""
    if hasattr(X, "dtype") or not hasattr(X, "ndim"):
        X = array("X", X, DataError)
    if X.ndim != 2 or 0 in X.shape:
        raise DataError(f"X has shape {tuple(X.shape)}; expected (n, m): one column of n features per example")
    return X
