"""The neuron in NumPy, derived by hand: `sums` is the forward pass and then, step by step, the backward pass."""

from typing import Any, final

import numpy as np
import numpy.typing as npt

from handgrad import neuron
from handgrad.backend import Parameters, Sums
from handgrad.pieces import added, in_pieces, many

Array = npt.NDArray[Any]


@final
class Neuron(neuron.Neuron):
    __doc__ = neuron.Neuron.__doc__

    def put(self, array: Array) -> Array:
        return np.asarray(array, dtype=self.dtype)

    def reads_bytes(self, X: Array) -> bool:
        return many(X, self.device)

    def put_inputs(self, X: Array) -> Array:
        """As `put`; or, where X (n, m) is of many bytes, as it is, with contiguous examples."""
        return np.ascontiguousarray(X.T).T if self.reads_bytes(X) else self.put(X)

    def get(self, array: Array) -> Array:
        return np.asarray(array)

    @np.errstate(all="ignore")  # what overflows is found in the costs, and underflow is no fault
    @in_pieces(lambda A: np.concatenate(list(A), axis=1))
    def forward(self, parameters: Parameters, X: Array) -> Array:
        return activate(self.activation, self._logits(parameters, self.put(X)))[0]

    @np.errstate(all="ignore")  # what overflows is found in the costs, and underflow is no fault
    @in_pieces(added)
    def loss_sum(self, parameters: Parameters, X: Array, Y: Array) -> Array:
        return np.asarray(self._losses(self._logits(parameters, self.put(X)), self.put(Y))[0].sum())

    @np.errstate(all="ignore")  # what overflows is found in the costs, and underflow is no fault
    @in_pieces(added)
    def sums(self, parameters: Parameters, X: Array, Y: Array) -> Sums:
        """Loss and gradients, summed over the m examples in the columns of X.

        Forward, Z = W (s X) + b, A = f(Z), L(A, Y); backward, for each example, dA, dZ, dW = dZ s x^T, db = dZ.

        Args:
            parameters: W (1, n) and b ().
            X: inputs (n, m); s is ``input_scale``.
            Y: labels (1, m), 0 or 1.

        Returns:
            The sums over the examples of L (), dW (1, n) and db (), and m.
        """
        X, Y = self.put(X), self.put(Y)
        Z = self._logits(parameters, X)
        loss, dZ = self._losses(Z, Y)
        dW = (self.input_scale * dZ) @ X.T  # dZ/dW = s X
        db = dZ.sum()  # dZ/db = 1
        return Sums(np.asarray(loss.sum()), dW, np.asarray(db), X.shape[1])

    def _logits(self, parameters: Parameters, X: Array) -> Array:
        W, b = self.put(parameters.W), self.put(parameters.b)
        Z: Array = (self.input_scale * W) @ X + b
        return Z

    def _losses(self, Z: Array, Y: Array) -> tuple[Array, Array]:
        """L of each example and its derivative dZ = dL/dZ = dA dA/dZ; both (1, m)."""
        if self.loss == "cross_entropy":
            # dA = (A - Y) / (A (1 - A)) and dA/dZ = A (1 - A), so that dZ = A - Y. Taken from S, which is Z for class 0
            # and -Z for class 1, as L = log(1 + e^S) and dZ = +-1 / (1 + e^-S), both are exact where A rounds to Y too.
            sign = 1 - 2 * Y
            S = sign * Z
            loss = softplus(S)
            dZ = sign * sigmoid(S)
        else:
            A, dA_dZ = activate(self.activation, Z)
            loss = (A - Y) ** 2 / 2
            dA = A - Y  # dL/dA
            dZ = dA * dA_dZ
        return loss, dZ


def activate(activation: str, Z: Array) -> tuple[Array, Array]:
    """A = f(Z) and dA/dZ = f'(Z), both of the shape and dtype of Z."""
    match activation:
        case "sigmoid":
            A = sigmoid(Z)
            return A, A * sigmoid(-Z)  # A (1 - A), without the cancellation where A is near 1
        case "tanh":
            return np.tanh(Z), 4 * sigmoid(2 * Z) * sigmoid(-2 * Z)  # 1 - A^2, likewise
        case "relu":
            return np.maximum(Z, 0), (Z > 0).astype(Z.dtype)
        case _:
            return Z, np.ones_like(Z)


def sigmoid(Z: Array) -> Array:
    """1 / (1 + e^-Z), of the shape and dtype of Z; e is raised to negative powers only, so nothing overflows."""
    E = np.exp(-abs(Z))
    A: Array = np.where(Z >= 0, 1, E) / (1 + E)
    return A


def softplus(Z: Array) -> Array:
    """log(1 + e^Z) as max(Z, 0) + log1p(e^-|Z|): no overflow, and exact to rounding for every Z.

    Compare M. Maechler, "Accurately Computing log(1 - exp(-|a|))", 2012, which treats the same cancellation.
    """
    S: Array = np.maximum(Z, 0) + np.log1p(np.exp(-abs(Z)))
    return S
