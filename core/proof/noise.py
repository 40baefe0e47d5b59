"""Rounding, made visible: arrays whose every operation is off by a random unit in the last place.

Run a function on them a few times and each entry of its result shows how far rounding alone moves it: Monte Carlo
arithmetic (Parker, "Monte Carlo Arithmetic", UCLA CSD-970002, 1997), or a running error bound by sampling. Cancellation
inside the function is seen, which a perturbation of its arguments would not show.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

EXACT = {
    np.negative, np.positive, np.absolute, np.fabs, np.maximum, np.minimum, np.fmax, np.fmin, np.sign, np.copysign,
    np.floor, np.ceil, np.rint, np.trunc, np.conjugate, np.isfinite, np.isnan, np.isinf,
}  # fmt: skip
ARITHMETIC = {
    np.sum, np.mean, np.prod, np.var, np.std, np.average, np.dot, np.vdot, np.inner, np.outer, np.einsum, np.tensordot,
    np.kron, np.trace, np.cumsum, np.cumprod, np.convolve, np.correlate, np.interp, np.cross, np.diff, np.gradient,
    np.nansum, np.nanmean, np.linalg.norm, np.linalg.solve, np.linalg.inv, np.linalg.det, np.linalg.slogdet,
    np.linalg.cholesky, np.linalg.pinv, np.linalg.matrix_power, np.linalg.multi_dot,
}  # fmt: skip


class Rounding:
    """Where the random units come from, and what was seen.

    Args:
        rng: the source of the random numbers.
        unit: the relative size of a unit, as 2^-53; an operation whose result has a dtype of fewer digits than this
            gets the unit of that dtype.
        own: let also a dtype of fewer digits than float64 have its own unit; else its digits count as lost.
    """

    def __init__(self, rng: np.random.Generator, unit: float, own: bool = False) -> None:
        self.rng = rng
        self.unit = unit
        self.own = own
        self.key = float(rng.random())
        self.lowest = 0.0
        """The largest unit of a dtype that the function gave to a result."""

    def wrap(self, values: Any) -> Any:
        """The same numbers as noisy arrays; what is not of floating point is left as it is."""
        if isinstance(values, np.ndarray | np.inexact) and values.dtype.kind in "fc":
            noisy = np.asarray(values).view(Noisy)
            noisy.rounding = self
            return noisy
        if isinstance(values, tuple) and hasattr(values, "_fields"):
            return type(values)(*map(self.wrap, values))
        if isinstance(values, tuple | list):
            return type(values)(map(self.wrap, values))
        if isinstance(values, dict):
            return {key: self.wrap(value) for key, value in values.items()}
        return values

    def nudge(self, values: Any) -> Any:
        """The values, each as if it had been rounded at random: what a result of earlier arithmetic may as well have
        been.

        Equal values move together, so that a maximum stays equal to one of the entries.
        """
        if not isinstance(values, np.ndarray | np.floating) or values.dtype.kind != "f" or values.dtype.itemsize < 8:
            return values
        with np.errstate(all="ignore"):
            mantissa = np.frexp(np.abs(values).astype(np.float64))[0]
            spread = (mantissa * 2718281.828459045 + self.key) % 1.0 - 0.5
            unit = max(self.unit, float(np.finfo(values.dtype).eps)) * 2
            return values + values * (spread * unit).astype(values.dtype)

    def jitter(self, values: Any) -> Any:
        """The values, each moved by a random part of its unit; only what is of floating point, or complex."""
        if not isinstance(values, np.ndarray | np.inexact) or values.dtype.kind not in "fc":
            return values
        eps = float(np.finfo(values.dtype).eps)
        self.lowest = max(self.lowest, eps)
        unit = max(self.unit, eps) if self.own or eps < 1e-12 else self.unit
        spread = self.rng.random(values.shape, dtype=np.float32).astype(values.dtype)
        spread -= values.dtype.type(0.5)
        spread *= values.dtype.type(2 * unit)
        spread *= values
        spread += values
        finite = np.isfinite(values)
        return spread if finite.all() else np.where(finite, spread, values)  # an infinity is not off by a part of it


class Noisy(np.ndarray):
    """An array whose every arithmetic result is off by a random unit in the last place."""

    rounding: Rounding | None = None

    def __array_finalize__(self, other: Any) -> None:
        self.rounding = getattr(other, "rounding", None)

    def astype(self, *args: Any, **kwargs: Any) -> Any:
        """As for any array; the digits that are lost by it are seen."""
        result = super().astype(*args, **kwargs)
        if self.rounding is not None and result.dtype.kind == "f":
            self.rounding.lowest = max(self.rounding.lowest, float(np.finfo(result.dtype).eps))
            if self.rounding.own:
                result = self.rounding.wrap(self.rounding.jitter(result.view(np.ndarray)))
        return result

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **kwargs: Any) -> Any:
        rounding = rounding_of((inputs, out))
        plain: list[Any] = [_plain(argument) for argument in inputs]
        sums = ufunc is np.matmul or (method in ("reduce", "accumulate", "reduceat") and ufunc not in EXACT)
        if rounding is not None and sums:
            plain = [rounding.jitter(argument) for argument in plain]
        with np.errstate(all="ignore"):
            if method == "at":
                return ufunc.at(*plain)
            if out is None:
                result = getattr(ufunc, method)(*plain, **kwargs)
            else:
                result = getattr(ufunc, method)(*plain, out=_plain(out), **kwargs)
            if rounding is None or ufunc in EXACT:
                pass
            elif out is None:
                result = tuple(map(rounding.jitter, result)) if isinstance(result, tuple) else rounding.jitter(result)
            else:
                for array in out if isinstance(out, tuple) else (out,):
                    if isinstance(array, np.ndarray) and array.dtype.kind == "f":
                        _plain(array)[...] = rounding.jitter(_plain(array))
        if out is not None:
            return out[0] if isinstance(out, tuple) and len(out) == 1 else out
        return result if rounding is None else rounding.wrap(result)

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        rounding = rounding_of((args, kwargs))
        args, kwargs = _plain(args), _plain(kwargs)
        arithmetic = rounding is not None and function in ARITHMETIC
        if rounding is not None and arithmetic:
            args = _each(rounding.jitter, args)
        with np.errstate(all="ignore"):
            result = function(*args, **kwargs)
            if rounding is None:
                return result
            return rounding.wrap(_each(rounding.jitter, result) if arithmetic else result)


def _each(change: Callable[[Any], Any], values: Any) -> Any:
    if isinstance(values, tuple) and hasattr(values, "_fields"):
        return type(values)(*(_each(change, value) for value in values))
    if isinstance(values, tuple | list):
        return type(values)(_each(change, value) for value in values)
    if isinstance(values, dict):
        return {key: _each(change, value) for key, value in values.items()}
    return change(values)


def _plain(values: Any) -> Any:
    return _each(lambda value: value.view(np.ndarray) if isinstance(value, Noisy) else value, values)


def rounding_of(values: Any) -> Rounding | None:
    found: list[Rounding] = []

    def look(value: Any) -> None:
        if isinstance(value, Noisy) and value.rounding is not None:
            found.append(value.rounding)

    _each(look, values)
    return found[0] if found else None
