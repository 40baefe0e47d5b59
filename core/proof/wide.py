"""The widest floating point there is."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

WIDE: type[np.floating[Any]] = np.longdouble
"""The widest floating point that NumPy has here: 80 bits on x86, 128 on 64-bit Arm, 64 where there is no other."""


def wide(value: Any) -> Array:
    """A plain array in long double; NaN where there is no number."""
    array = np.asarray(value)
    if array.dtype.kind == "c":
        array = array.real
    return np.asarray(array, WIDE) if array.dtype.kind in "fiub" else np.full(array.shape, np.nan, WIDE)
