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

import math
from dataclasses import dataclass, replace

import numpy as np

from handgrad.backend import Array, Backend, Parameters
from handgrad.errors import UsageError
from handgrad.examples import Examples
from handgrad.objective import SHARPEST, Objective
from handgrad.placing import place
from handgrad.views import Seen

ITERATIONS = 100
CONVERGED = 1e-4
"""|M v - lambda v| over lambda, at which v is taken to be the eigenvector: a plateau on the way has more."""

FEW = 64
"""Examples that are looked at to see what X holds."""


@dataclass(frozen=True)
class Curvature:
    """How sharply the cost bends, at its sharpest direction, wherever the parameters are.

    Attributes:
        eigenvalue: lambda(M), as it was found, from below.
        residual: |M v - lambda v|, by how much that may be too low; 1 % of it after `ITERATIONS` is no surprise where
            many eigenvalues are alike.
        least: the largest eigenvalue of the Hessian is nowhere less.
        most: it is nowhere more, with the residual counted in; infinite for the relu, whose gradient jumps.
        iterations: that it took to find, of two reads of X each (one, on Numba).
    """

    eigenvalue: float
    residual: float
    least: float
    most: float
    iterations: int

    @property
    def bound(self) -> float:
        """The learning rate below which the cost falls in every epoch, 2 / most."""
        return 2 / self.most

    @property
    def proposed(self) -> float | None:
        """Half of the bound, which is right for the sharpest direction; None where no rate is sure."""
        return self.bound / 2 or None

    def verdict(self, learning_rate: float) -> str:
        """What becomes of gradient descent at that rate: "falls", "may not settle" or "must diverge".

        The last is certain but for a start that has no part in the sharpest direction.
        """
        if learning_rate <= self.bound:
            return "falls"
        return "must diverge" if self.least > 0 and learning_rate > 2 / self.least else "may not settle"


def curvature(neuron: Backend, X: Array | Seen | Examples, iterations: int = ITERATIONS) -> Curvature:
    """The curvature of a neuron's cost on some examples; of a few iterations over them.

    Args:
        neuron: its configuration; the backend computes.
        X: (n, m), as for `Neuron.fit`: an array, views of one, or what it placed.
        iterations: the most that are taken; what fewer of them miss is in `Curvature.residual`.

    Raises:
        DataError: as for `Neuron.cost`.
        UsageError: the moments of X overflow the neuron's dtype.
    """
    linear = replace(neuron, activation="identity", loss="squared_error", l2=0.0)
    examples = place(linear, X, None, None).unlabelled()
    rng = np.random.default_rng(0)
    start = Parameters(rng.standard_normal((1, examples.shape[0])), np.asarray(rng.standard_normal()))
    J = Objective(linear, examples)
    v = linear.put_parameters(_unit(start))
    taken, eigenvalue, residual = 0, 0.0, math.inf
    with linear.arithmetic():
        while taken < iterations and residual > CONVERGED * eigenvalue:
            loss, dW, db, m = J.sums(v)
            taken += 1
            eigenvalue = 2 * float(linear.get(loss)) / m
            Mv = Parameters(*(linear.get(V).astype(np.float64) / m for V in (dW, db)))
            residual = _length(Mv - eigenvalue * linear.get_parameters(v))
            if not math.isfinite(residual):
                raise UsageError(f"X has moments beyond {neuron.dtype}; scale it down")
            v = linear.put_parameters(_unit(Mv))
    flattest = 1.0 if (neuron.loss, neuron.activation) == ("squared_error", "identity") else 0.0
    sharpest = math.inf if neuron.activation == "relu" else SHARPEST[neuron.loss, neuron.activation]
    least = max(flattest * eigenvalue, neuron.l2)
    return Curvature(eigenvalue, residual, least, sharpest * (eigenvalue + residual) + neuron.l2, taken)


def too_high(learning_rate: float, neuron: Backend, examples: Examples, epochs: int) -> str:
    """What to say of a learning rate with which the cost rose; under the bound, too, as SGD's may be.

    The curvature takes no more iterations than the training has taken epochs: short trainings are not made long.
    """
    try:
        found = curvature(neuron, examples, min(epochs, ITERATIONS))
    except UsageError:  # moments that overflow
        found = Curvature(math.inf, math.inf, 0.0, math.inf, 0)
    if found.proposed is None or learning_rate <= found.bound:
        said = f"learning rate {learning_rate:g} is too high for these data; try a tenth of it"
    else:
        bound = f"above {found.bound:.4g}, up to which it must fall"
        said = f"learning rate {learning_rate:g} is {bound}; try {found.proposed:.4g}"
    if neuron.input_scale == 1 and _are_bytes(examples):
        said += "; X holds bytes and input_scale is 1: better try input_scale=1 / 255"
    return said


def _are_bytes(examples: Examples) -> bool:
    """Whether the first few look so: whole numbers up to 255, and some of them large."""
    parts = examples.batch(np.arange(min(FEW, examples.m))).parts
    values = [examples.backend.get(part.x) for part in parts]
    return any(x.size and x.min() >= 0 and 127 < x.max() <= 255 and (x == np.round(x)).all() for x in values)


def _length(v: Parameters) -> float:
    return math.sqrt(float(v @ v))


def _unit(v: Parameters) -> Parameters:
    length = _length(v) or 1.0
    return Parameters(v.W / length, v.b / length)
