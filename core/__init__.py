"""handgrad: one neuron, written by hand and differentiated by machine, so that each proves the other.

Change one word to change the implementation::

    from handgrad.backends.numpy import Neuron  # numpy | numba | torch | jax
"""

from handgrad.backend import Gradients, Parameters, Sums
from handgrad.descent import DivergedError, History
from handgrad.errors import DataError, HandgradError, MissingExtraError, RisingCostWarning, UsageError
from handgrad.neuron import Neuron
from handgrad.proof import check, mutate
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
