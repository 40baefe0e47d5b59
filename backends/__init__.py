"""One module a backend, each with the same `Neuron`; the module's name is the backend's.

Nothing is imported here: `from handgrad.backends.jax import Neuron` imports JAX and no other framework.

A backend of one's own is named wherever one is asked for, too: by ``FILE.py:Neuron``, by ``package.module:Neuron``, or
by a word that an installed package offers in the entry-point group ``handgrad.backends``::

    [project.entry-points."handgrad.backends"]
    mine = "my_package.my_module:Neuron"
"""

import hashlib
import importlib
import importlib.util
import inspect
import pkgutil
import re
import sys
import traceback
from importlib import metadata
from pathlib import Path
from types import ModuleType

from handgrad.checks import closest, shown
from handgrad.errors import HandgradError, UsageError, reason_of
from handgrad.neuron import Neuron

GROUP = "handgrad.backends"
"""Of entry points: each a class `Neuron`, under the backend's name."""

FORMS = "FILE.py:Neuron, or package.module:Neuron"
FILE = re.compile(r"(.*\.py)(:[^:]*)?")


def names() -> list[str]:
    """The names of all backends, here and of other packages, installed or not, in alphabetical order."""
    return sorted({*_own(), *(point.name for point in metadata.entry_points(group=GROUP))})


def load(backend: str | type[Neuron]) -> type[Neuron]:
    """The `Neuron` of a backend.

    Args:
        backend: a word, one of `names`; or ``FILE.py:Neuron``, a class in a file, which is run once (``FILE.py`` for
            one that is called Neuron); or ``package.module:Neuron``, of what can be imported; or the class itself.

    Raises:
        UsageError: there is no such backend, or it raised on import, or it lacks a method.
        MissingExtraError: its framework is not installed.
    """
    if isinstance(backend, str):
        found = _named(backend)
    else:
        found, backend = backend, getattr(backend, "__qualname__", shown(backend))
    if not (inspect.isclass(found) and issubclass(found, Neuron)):
        raise UsageError(f"backend {backend}: found {shown(found)}; expected a subclass of handgrad.Neuron")
    missing = sorted(found.__abstractmethods__)
    if missing:
        raise UsageError(f"backend {backend}: lacks {', '.join(missing)}; expected put, get, forward and sums")
    return found


def lasting(backend: str) -> str:
    """The same name, to be found from any folder."""
    file = FILE.fullmatch(backend)
    return f"{Path(file[1]).absolute()}{file[2]}" if file else backend


def versions(backend: str) -> dict[str, str]:
    """Of the package, or the framework, that a backend is of; of a file, the hash of its bytes."""
    file = _file(backend)
    if file is not None:
        return {file.name: f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()[:16]}"}
    if backend in _own():
        return {backend: metadata.version(backend)}
    package = load(backend).__module__.partition(".")[0]
    return {name: metadata.version(name) for name in metadata.packages_distributions().get(package, ())}


def module_of(file: Path) -> ModuleType:
    """The module in a file of Python; run once in this process, until it is edited, so that its classes stay the same.

    Raises:
        UsageError: there is no such file, or it raised an error.
    """
    if not file.is_file():
        found = "is a folder" if file.is_dir() else "no such file"
        raise UsageError(f"{file}: {found}; expected a file of Python with a class in it")
    path = file.resolve()
    name = f"{path.stem}_{hashlib.sha256(bytes(path) + path.read_bytes()).hexdigest()[:8]}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(sys.modules[name])
        except BaseException as error:
            del sys.modules[name]
            if isinstance(error, HandgradError | KeyboardInterrupt):
                raise
            raise UsageError(
                f"{file}: {type(error).__name__}: {reason_of(error)}; expected a file that runs"
            ) from error
    return sys.modules[name]


def blamed(error: BaseException) -> str | None:
    """Of an exception in other people's backend, where in it; or whose it is, where what it gave cannot be used."""
    whose = None
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        for neuron in frame.f_locals.values():
            if isinstance(neuron, Neuron) and not type(neuron).__module__.startswith("handgrad."):
                whose = whose or f"backend {type(neuron).__module__}.{type(neuron).__qualname__}"
                if frame.f_code.co_filename == getattr(sys.modules.get(type(neuron).__module__), "__file__", None):
                    return f"{Path(frame.f_code.co_filename).name}, line {line}, in {frame.f_code.co_name}"
    return whose


def _own() -> list[str]:
    return [module.name for module in pkgutil.iter_modules(__path__) if not module.ispkg]


def _file(backend: str) -> Path | None:
    found = FILE.fullmatch(backend)
    return Path(found[1]) if found else None


def _named(backend: str) -> object:
    if backend in _own():
        return importlib.import_module(f"{__name__}.{backend}").Neuron
    points = metadata.entry_points(group=GROUP, name=backend)
    file, (module, _, name) = _file(backend), backend.rpartition(":")
    try:
        if points:
            return next(iter(points)).load()
        if file is not None:
            return getattr(module_of(file), name if module else "Neuron")
        if module:
            return getattr(importlib.import_module(module), name)
    except HandgradError:
        raise
    except Exception as error:  # whatever the code of others raises
        raise UsageError(
            f"backend {backend}: {type(error).__name__}: {reason_of(error)}; expected a class Neuron"
        ) from error
    meant = closest(backend.lower(), names())
    raise UsageError(f"unknown backend {backend!r}; expected one of {', '.join(names())}, or {FORMS}{meant}")
