"""Which learning rates are stable: from the largest eigenvalue of the second moments of the inputs.

With x~ = (s x, 1), the Hessian of the cost is::

    H = (1 / m) sum_i L''(Z_i) x~_i x~_i^T + l2 diag(1, ..., 1, 0)        M = (1 / m) sum_i x~_i x~_i^T

so that its largest eigenvalue lies between least = min L'' lambda(M) or l2, and most = max L'' lambda(M) + l2, wherever
W and b are; lambda(M) is the largest eigenvalue of M. Gradient descent lowers a cost whose curvature is at most `most`
in every epoch while alpha < 2 / most, and moves away from any minimum where alpha > 2 / least (Nesterov, "Introductory
Lectures on Convex Optimization", 2004, section 1.2.3).

lambda(M) is found by power iteration. The products M v come from the neuron's own `sums`: at W, b = v the identity
neuron with squared error and labels 0 has dW, db = m M v and loss m v^T M v / 2. That is two reads of X, or one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from handgrad.errors import UsageError
from handgrad.neuron import Array, Neuron, Parameters
from handgrad.rounding import SHARPEST

ITERATIONS = 100
CONVERGED = 1e-4
"""Relative change of the eigenvalue from one iteration to the next, at which it is taken to be found."""


@dataclass(frozen=True)
class Curvature:
    """How sharply the cost bends, at its sharpest direction, wherever the parameters are.

    Attributes:
        eigenvalue: lambda(M), found from below to about `CONVERGED`.
        least: the largest eigenvalue of the Hessian is nowhere less.
        most: it is nowhere more; infinite for the relu, whose gradient jumps.
        iterations: that it took to find, of two reads of X each (one, on Numba).
    """

    eigenvalue: float
    least: float
    most: float
    iterations: int

    @property
    def bound(self) -> float:
        """The learning rate below which the cost falls in every epoch, 2 / most."""
        return 2 / self.most

    @property
    def proposed(self) -> float:
        """Half of the bound, which is right for the sharpest direction: stable, were the eigenvalue twice as large."""
        return self.bound / 2

    def verdict(self, learning_rate: float) -> str:
        """What becomes of gradient descent at that rate: "falls", "may not settle" or "must diverge".

        The last is certain but for a start that has no part in the sharpest direction.
        """
        if learning_rate <= self.bound:
            return "falls"
        return "must diverge" if self.least > 0 and learning_rate > 2 / self.least else "may not settle"


def curvature(neuron: Neuron, X: Array) -> Curvature:
    """The curvature of a neuron's cost on some examples; of a few iterations over them.

    Args:
        neuron: its configuration; the backend computes.
        X: (n, m), as for `Neuron.fit`: an array, or views of one.

    Raises:
        DataError: as for `Neuron.cost`.
        UsageError: the moments of X overflow the neuron's dtype.
    """
    linear = replace(neuron, activation="identity", loss="squared_error", l2=0.0)
    n, m = X.shape
    rng = np.random.default_rng(0)
    start = Parameters(rng.standard_normal((1, n)), np.asarray(rng.standard_normal()))
    v, X, Y = linear._checked(_unit(start), X, np.zeros((1, m), np.uint8))
    eigenvalue, iterations = 0.0, 0
    with linear._arithmetic(), np.errstate(over="ignore", invalid="ignore"):
        while iterations < ITERATIONS:
            loss, dW, db, _ = linear._sums_of(v, X, Y)
            iterations += 1
            found = 2 * float(linear.get(loss)) / m
            moved = _unit(Parameters(*(linear.get(V).astype(np.float64) for V in (dW, db))))
            if not all(np.isfinite(V).all() for V in moved):
                raise UsageError(f"X has moments beyond {neuron.dtype}; scale it down")
            v = linear._parameters(*moved)
            settled = abs(found - eigenvalue) <= CONVERGED * found
            eigenvalue = found
            if settled:
                break
    flattest = 1.0 if (neuron.loss, neuron.activation) == ("squared_error", "identity") else 0.0
    sharpest = math.inf if neuron.activation == "relu" else SHARPEST[neuron.loss, neuron.activation]
    least = max(flattest * eigenvalue, neuron.l2)
    return Curvature(eigenvalue, least, sharpest * eigenvalue + neuron.l2, iterations)


def _unit(v: Parameters) -> Parameters:
    length: Any = math.sqrt(float((v.W**2).sum() + v.b**2)) or 1.0
    return Parameters(v.W / length, v.b / length)
