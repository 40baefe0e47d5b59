"""Results as JSON, which has no nan and no infinity: these are null."""

import json
import math
from pathlib import PurePath
from typing import Any


def jsonable(value: Any) -> Any:
    """The same with None for numbers that JSON does not have, lists for tuples, and texts for paths.

    >>> jsonable({"cost": float("nan"), "size": (2, 3)})
    {'cost': None, 'size': [2, 3]}
    """
    if isinstance(value, dict):
        return {key: jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if isinstance(value, PurePath):
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def dumps(value: Any, indent: int = 2) -> str:
    """The JSON of what is `jsonable`."""
    return json.dumps(jsonable(value), indent=indent, allow_nan=False)
