"""The cost and its gradients, as functions of the parameters: from sums over examples to means, and the penalty."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from handgrad.backend import Array, Backend, Gradients, Parameters, Sums
from handgrad.examples import Examples
from handgrad.sketch import Sketch, examples_for

SHARPEST = {
    ("cross_entropy", "sigmoid"): 1 / 4,
    ("squared_error", "sigmoid"): 0.078,
    ("squared_error", "tanh"): 1.24,
    ("squared_error", "relu"): 1.0,  # off the jump
    ("squared_error", "identity"): 1.0,
}
"""An upper bound of |d^2 L / dZ^2| = |f'^2 + (A - Y) f''|, and of A (1 - A), for Y in {0, 1}."""


@dataclass(frozen=True, eq=False)
class Objective:
    """J on some examples. What it gives lies on the device, and is computed within `Backend.arithmetic`.

    Attributes:
        backend: that computes, with its configuration.
        examples: the mean is over.
    """

    backend: Backend
    examples: Examples

    def cost(self, parameters: Parameters) -> Array:
        """J (): the mean loss, and the penalty."""
        return penalised(self.backend.l2, parameters, self.mean_loss(parameters))

    def mean_loss(self, parameters: Parameters) -> Array:
        """The mean loss alone (): what is said of examples that were not learned from."""
        return self.examples.loss_sum(self.backend, parameters) / self.examples.total

    def sums(self, parameters: Parameters) -> Sums:
        """Loss, dL/dW and dL/db, summed."""
        return self.examples.sums(self.backend, parameters)

    def value_and_gradients(self, parameters: Parameters) -> tuple[Array, Gradients]:
        """J (), dJ/dW (1, n) and dJ/db ()."""
        return means(self.backend.l2, parameters, self.sums(parameters))

    def sketch(self) -> Sketch:
        """The inverse of its Hessian, roughly, from some of the examples; on the host, and made once.

        All processes ask for it together. (Not a `functools.cached_property`, which up to Python 3.11 holds a lock.)
        """
        made: dict[str, Sketch] = vars(self)
        if "_sketch" not in made:
            examples, backend = self.examples, self.backend
            rows = examples.sample(examples_for(examples.shape[0]), backend.input_scale)
            every = len(rows) == examples.m * len(examples.views)
            sharpest = SHARPEST[backend.loss, backend.activation]
            made["_sketch"] = Sketch(rows, sharpest, backend.l2, backend.dtype, every=every)
        return made["_sketch"]

    def batch(self, numbers: npt.NDArray[np.intp]) -> Objective:
        """J on the examples of these numbers, from 0 to m - 1."""
        return replace(self, examples=self.examples.batch(numbers))


def means(l2: float, parameters: Parameters, sums: Sums) -> tuple[Array, Gradients]:
    """J and its gradients, of sums; by operators only, so that it runs on every backend's arrays.

    J = sum L / m + (l2 / 2) W W^T      dJ/dW = sum dL/dW / m + l2 W      dJ/db = sum dL/db / m
    """
    loss, dW, db, m = sums
    dW = dW / m
    return penalised(l2, parameters, loss / m), Gradients(dW if l2 == 0 else dW + l2 * parameters.W, db / m)


def penalised(l2: float, parameters: Parameters, loss: Array) -> Array:
    """J, of a mean loss."""
    return loss if l2 == 0 else loss + l2 / 2 * (parameters.W * parameters.W).sum()
