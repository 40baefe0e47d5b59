"""The shapes in which people write a gradient, each in a file of its own, and how each is called.

One function of value and gradients; a forward and a backward function with a cache between them; layers, one or
several that follow each other; networks with a loss and its gradient; forward, a cost of what it gives, and backward.
The first shape of all, two functions that pass dictionaries of named values, is `handgrad.proof.problem`.
"""

from handgrad.proof.forms.adapted import Adapted
from handgrad.proof.forms.pair import Pair
from handgrad.proof.forms.understanding import BACKWARD, BOTH, FORWARD, GRADIENT, LOSS, in_order, understand

__all__ = ["BACKWARD", "BOTH", "FORWARD", "GRADIENT", "LOSS", "Adapted", "Pair", "in_order", "understand"]
