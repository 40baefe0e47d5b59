"""Hand-derived backward passes with planted faults, one module per case.

A case module states ``SHAPES`` (sizes that vary together; "b:" alone is a scalar), ``inputs(seed, **sizes)``,
``forward``, ``backward`` and ``FAULTS``. Two marks, where they differ from the usual:

    TRACEABLE = False   forward assigns in place or calls SciPy, so it does not run with np bound to jax.numpy
    SLIP = True         backward is wrong as published
"""

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

CASES: dict[str, ModuleType] = {
    module.name: import_module(f"{__name__}.{module.name}")
    for module in iter_modules(__path__)
    if module.name != "fault"
}
RIGHT: dict[str, ModuleType] = {name: case for name, case in CASES.items() if not getattr(case, "SLIP", False)}
