"""One module a backend, each with the same `Neuron`; the module's name is the backend's.

Nothing is imported here: `from handgrad.backends.jax import Neuron` imports JAX and no other framework.
"""

import importlib
import pkgutil
from typing import cast

from handgrad.errors import UsageError
from handgrad.neuron import Neuron


def names() -> list[str]:
    """The names of all backends, installed or not, in alphabetical order."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.ispkg)


def load(name: str) -> type[Neuron]:
    """The `Neuron` of a backend, by its name as a word.

    Raises:
        UsageError: there is no backend of that name.
        MissingExtraError: its framework is not installed.
    """
    if name not in names():
        raise UsageError(f"unknown backend {name!r}; expected one of {', '.join(names())}")
    return cast("type[Neuron]", importlib.import_module(f"{__name__}.{name}").Neuron)
