"""Right programs whose hand-derived gradients rely on a structure of what they are given: one module per structure.

A module's ``PROGRAMS`` holds, by name, what a user would give to a checker before the inputs (``subject``), the
``inputs`` for a source of random numbers and two sizes, keywords (``options``), and ``faults``: a text that occurs once
in the module, and what makes the program wrong in its place.
"""

from importlib import import_module
from pathlib import Path

FOLDER = Path(__file__).parent
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")


def programs():
    """All programs, by structure and name."""
    modules = {name: import_module(f"{__name__}.{name}") for name in NAMES}
    return {f"{name}/{key}": program for name, module in modules.items() for key, program in module.PROGRAMS.items()}


def source(structure):
    """The text of a module."""
    return (FOLDER / f"{structure}.py").read_text(encoding="utf-8")
