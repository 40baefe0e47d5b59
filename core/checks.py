"""Arguments that have to be numbers."""

import math
import operator

from handgrad.errors import UsageError


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
