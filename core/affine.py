"""Examples that are seen otherwise than they are stored: mirrored, standardised; without a copy of them.

A view of an example x is an affine map of its features, x' = (x[order] - mean) / deviation. The neuron sees x' through
W (s x') + b, which is linear in x too::

    Z = W' (s x) + b'        W'[order] = W / deviation        b' = b - s W (mean / deviation)

so that parameters are folded, not pixels changed: the sums over the views of some examples are the sums over these
examples, at folded parameters, and their gradients come back by the chain rule::

    dW = (dW'[order] - s mean db') / deviation                db = db'

A trained neuron is folded once, and is from then on a neuron of raw examples: prediction stays one dot product.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from handgrad.backend import Array, Backend, Parameters, Sums


@dataclass(frozen=True, eq=False)
class View:
    """x' = (x[order] - mean) / deviation.

    Attributes:
        order: (n,) whole numbers, a permutation of the features; None leaves them where they are.
        mean, deviation: (1, n), deviation above 0; None for both is 0 and 1.
    """

    order: npt.NDArray[np.intp] | None = None
    mean: Array | None = None
    deviation: Array | None = None

    @property
    def as_stored(self) -> bool:
        """Whether nothing is changed."""
        return self.order is None and self.deviation is None

    @functools.cached_property
    def _back(self) -> npt.NDArray[np.intp]:
        assert self.order is not None
        return np.argsort(self.order)

    def of(self, x: npt.NDArray[np.float64], backend: Backend) -> npt.NDArray[np.float64]:
        """Of x (n, k) what is seen, x' (n, k), on the host: for a few examples."""
        x = x if self.order is None else x[self.order]
        if self.deviation is None:
            return x
        mean, deviation = (backend.get(V).astype(np.float64).T for V in (self.mean, self.deviation))
        return (x - mean) / deviation

    def fold(self, parameters: Parameters, input_scale: float) -> Parameters:
        """W' (1, n) and b' (), which give for x what `parameters` give for x'."""
        W, b = parameters
        if self.deviation is not None:
            W = W / self.deviation
            b = b - input_scale * (W * self.mean).sum()
        if self.order is not None:
            W = W[:, self._back]
        return Parameters(W, b)

    def unfold(self, sums: Sums, input_scale: float) -> Sums:
        """The sums, whose dW and db are those of W' and b', with the dW and db of `parameters`."""
        dW = sums.dW
        if self.order is not None:
            dW = dW[:, self.order]
        if self.deviation is not None:
            dW = (dW - input_scale * sums.db * self.mean) / self.deviation
        return sums._replace(dW=dW)

    def mirrored(self, order: npt.NDArray[np.intp]) -> View:
        """The view of this view in which feature j is feature order[j]."""
        moved = [None if V is None else V[:, order] for V in (self.mean, self.deviation)]
        return View(order if self.order is None else self.order[order], *moved)

    def placed(self, backend: Backend) -> View:
        """With its mean and its deviation on the device."""
        if self.deviation is None:
            return self
        return replace(self, mean=backend.put(self.mean), deviation=backend.put(self.deviation))
