"""Rules as libraries have them, for PyTorch and JAX, and the faults that are planted in them.

Each module has ``RULE``, what is checked; ``inputs(rng)``, by argument, in float64; where wanted ``OPTIONS``, keywords
for `handgrad.check`; and ``FAULTS``, as `Fault` has them.
"""

import linecache
import types
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
NAMES = sorted(path.stem for path in HERE.glob("*.py") if path.stem.startswith(("torch_", "jax_")))


class Fault(NamedTuple):
    """A fault: a piece of the module's own source, which stands there once, and what it is exchanged for."""

    old: str
    new: str
    names: list[str]  # the inputs whose gradients it spoils
    verdict: str  # "wrong", or "imprecise" where the fault is one of precision only
    kinds: list[str]  # of diagnosis that are right


def load(name, fault=None):
    """The module of a rule, with a fault planted in it."""
    source = (HERE / f"{name}.py").read_text()
    if fault is not None:
        code, mark, rest = source.partition("FAULTS = [")
        assert code.count(fault.old) == 1, f"{name}: {fault.old!r} stands there {code.count(fault.old)} times"
        source = code.replace(fault.old, fault.new) + mark + rest
    file = f"<{name}: {fault.new if fault else 'right'}>"
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    module = types.ModuleType(name)
    exec(compile(source, file, "exec"), module.__dict__)
    return module


def faults(name):
    """Those of a rule."""
    return [Fault(*fault) for fault in load(name).FAULTS]
