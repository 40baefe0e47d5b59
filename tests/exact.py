"""The neuron in extended precision, which the package's own contract needs too."""

from handgrad.exact import CONFIGURATIONS, exact

__all__ = ["CONFIGURATIONS", "exact"]
