"""handgrad: one neuron, written by hand and differentiated by machine, so that each proves the other.

Change one word to change the implementation::

    from handgrad.backends.numpy import Neuron  # numpy | numba | torch | jax
"""

import importlib
from typing import TYPE_CHECKING, Any

from handgrad.backend import Gradients, Parameters, Sums
from handgrad.descent import DivergedError, History
from handgrad.errors import DataError, HandgradError, MissingExtraError, RisingCostWarning, UsageError
from handgrad.neuron import Neuron
from handgrad.version import __version__

__all__ = [
    "DataError",
    "DivergedError",
    "Gradients",
    "HandgradError",
    "History",
    "MissingExtraError",
    "Neuron",
    "Parameters",
    "RisingCostWarning",
    "Sums",
    "UsageError",
    "__version__",
    "check",
    "mutate",
]


if TYPE_CHECKING:  # to which a name that there is not is a mistake
    from handgrad.proof import check, mutate
else:

    def __getattr__(name: str) -> Any:
        """What is of `handgrad.proof`, once it is asked for: most of the code, of which a training needs none."""
        if name not in ("check", "mutate", "proof"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        proof = importlib.import_module("handgrad.proof")
        return proof if name == "proof" else getattr(proof, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
