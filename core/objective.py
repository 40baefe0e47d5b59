"""The cost and its gradients, as functions of the parameters: the one formula that adds, means, and the penalty.

A full-batch gradient is a sum over examples, and sums over parts of them add. So whatever the examples are, whole or in
blocks of a file, with weights, seen in several views, shared among processes, the sums are one formula::

    sums(P) = sum over processes, views v and parts (x, y_v, w_v) of  w_v unfold_v(sums(fold_v(P), x, y_v))

with fold and unfold of `handgrad.affine`. A part is what one call of the backend sums: an array on the device, a block,
or the examples that count alike.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from handgrad.backend import Array, Backend, Gradients, Parameters, Sums
from handgrad.errors import UsageError
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
        loss = self._over_processes(sum(self._over_parts(self.backend.loss_sum, parameters)))[0]
        return loss / self.examples.total

    def sums(self, parameters: Parameters) -> Sums:
        """Loss, dL/dW and dL/db, summed; m is the sum of the weights."""
        here: tuple[Array, ...] = 0, np.zeros((1, self.examples.shape[0])), 0  # of a batch that has no example here
        if self.examples.parts:
            of_views = zip(self.examples.views, self._over_parts(self.backend.sums, parameters), strict=True)
            unfolded = (view.unfold(sums, self.backend.input_scale) for view, sums in of_views)
            here = functools.reduce(operator.add, unfolded)[:3]
        loss, dW, db = self._over_processes(*here)
        return Sums(loss, dW, db, self.examples.total)

    def value_and_gradients(self, parameters: Parameters) -> tuple[Array, Gradients]:
        """J (), dJ/dW (1, n) and dJ/db ()."""
        return means(self.backend.l2, parameters, self.sums(parameters))

    def activations(self, parameters: Parameters) -> npt.NDArray[Any]:
        """A (1, k m) of the examples here, view after view, on the host."""
        if self.examples.where is not None:
            raise UsageError("X is weighted; expected an array: weights belong to costs and gradients")
        A = self._on_parts(lambda P, x, _: self.backend.get(self.backend.forward(P, x)), parameters)
        return np.concatenate([a for of_view in zip(*A, strict=True) for a in of_view], axis=1)

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

    def _on_parts(self, call: Callable[..., Any], parameters: Parameters) -> Iterator[list[Any]]:
        """Of each part, put on the device once for all views, w call(P, x, y) in each view."""
        folded = [view.fold(parameters, self.backend.input_scale) for view in self.examples.views]
        for x, labels, weights in self.examples.put_parts():
            found = [call(P, x, y) for P, y in zip(folded, labels, strict=True)]
            yield [of if w == 1 else w * of for of, w in zip(found, weights, strict=True)]  # 1 costs nothing

    def _over_parts(self, sums: Callable[..., Any], parameters: Parameters) -> list[Any]:
        """Of each view, sums(P, x, y) added over the parts."""
        total: list[Any] = []
        for found in self._on_parts(sums, parameters):
            total = list(map(operator.add, total, found)) if total else found
            if self.examples.block:
                self.backend.get(getattr(total[0], "loss", total[0]))  # waits: blocks in a queue would fill the memory
        return total

    def _over_processes(self, *sums: Array) -> tuple[Array, ...]:
        """Added over the processes, all on one kind of device in each, also where a process has none of a batch."""
        processes, put = self.examples.processes, self.backend.put
        return tuple(map(put, processes.add(*map(put, sums)))) if processes.apart else sums


def means(l2: float, parameters: Parameters, sums: Sums) -> tuple[Array, Gradients]:
    """J and its gradients, of sums; by operators only, so that it runs on every backend's arrays.

    J = sum L / m + (l2 / 2) W W^T      dJ/dW = sum dL/dW / m + l2 W      dJ/db = sum dL/db / m
    """
    loss, dW, db, m = sums
    dW = dW / m
    return penalised(l2, parameters, loss / m), Gradients(dW if _is_none(l2) else dW + l2 * parameters.W, db / m)


def penalised(l2: float, parameters: Parameters, loss: Array) -> Array:
    """J, of a mean loss."""
    return loss if _is_none(l2) else loss + l2 / 2 * (parameters.W * parameters.W).sum()


def _is_none(l2: Any) -> bool:
    """Whether there is no penalty: known of a number, and never of what stands for one in a compiled function."""
    return isinstance(l2, float) and l2 == 0
