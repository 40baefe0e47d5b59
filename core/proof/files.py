"""A module that defines forward, backward and inputs(), checked."""

from __future__ import annotations

import importlib.util
import sys
from os import PathLike
from pathlib import Path

from handgrad.errors import UsageError, reason_of
from handgrad.proof.checker import check
from handgrad.proof.report import Report


def check_file(path: str | PathLike[str], *, seed: int = 0, trials: int = 3) -> Report:
    """Check the module at `path`: its ``forward``, ``backward`` and ``inputs()``, and ``SHAPES`` where it has that.

    Raises:
        UsageError: no such file, a file that does not run, or a name that it does not define; and as for `check`.
    """
    path = Path(path)
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no such file"
        raise UsageError(f"{path}: {found}; expected a Python module with forward, backward and inputs()")
    spec = importlib.util.spec_from_file_location(f"_checked_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path}: not a Python module; expected a file that ends in .py")
    module = importlib.util.module_from_spec(spec)
    folder = str(path.resolve().parent)
    sys.modules[spec.name] = module  # where dataclasses and pickle look
    sys.path.insert(0, folder)  # as Python does for a script, for the imports of its neighbours
    try:
        spec.loader.exec_module(module)
        missing = [name for name in ("forward", "backward", "inputs") if not callable(getattr(module, name, None))]
        if missing:
            raise UsageError(f"{path}: does not define {', '.join(missing)}; expected forward, backward and inputs()")
        given = module.inputs()
        shapes = getattr(module, "SHAPES", None)
        return check(module.forward, module.backward, given, shapes=shapes, seed=seed, trials=trials)
    except UsageError:
        raise
    except (Exception, SystemExit) as error:
        raise UsageError(f"{path}: raised {type(error).__name__}: {reason_of(error)}") from error
    finally:
        sys.path.remove(folder)
