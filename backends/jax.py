"""The neuron in JAX: the forward pass is written, the gradients are `jax.value_and_grad`'s, compiled by XLA."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, final

import numpy as np
import numpy.typing as npt

from handgrad import neuron
from handgrad.backends import fused
from handgrad.blocks import Parts
from handgrad.descent import BLOCK_EPOCHS
from handgrad.errors import MissingExtraError, UsageError
from handgrad.neuron import Parameters, Sums, portable

try:
    import jax
    import jax.numpy as jnp
except ModuleNotFoundError as error:
    raise MissingExtraError("JAX", "jax") from error

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "identity": lambda Z: Z,
}


@partial(jax.tree_util.register_dataclass, data_fields=["rows"], meta_fields=[])
@dataclass(frozen=True)
class Inputs:
    """X (n, m), held as its contiguous rows (m, n), since JAX keeps no transposed views: what the fused step reads."""

    rows: jax.Array

    ndim = 2

    @property
    def shape(self) -> tuple[int, int]:
        """(n, m)."""
        m, n = self.rows.shape
        return n, m

    @property
    def dtype(self) -> Any:
        return self.rows.dtype

    def __getitem__(self, columns: tuple[slice, Any]) -> Inputs:
        """X[:, which]: some of the examples."""
        return Inputs(self.rows[columns[1]])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.asarray(self.rows.T, dtype)


@final
class Neuron(neuron.Neuron):
    __doc__ = neuron.Neuron.__doc__

    def put(self, array: Any) -> jax.Array:
        if isinstance(array, Inputs):
            array = array.rows.T
        with self._arithmetic():
            placed: jax.Array = jax.device_put(portable(array, self.dtype), self._device()).astype(self.dtype)
        return placed

    def put_inputs(self, X: Any) -> Any:
        """As `put`; or, where the fused step reads X (n, m), as `Inputs`, with bytes as they are."""
        if isinstance(X, Inputs):
            return X
        if not self._fuses(X.shape[0]) or math.prod(X.shape) >= 2**31:  # the kernel's offsets have 32 bits
            return self.put(X)
        rows = portable(X, self.dtype).T if isinstance(X, np.ndarray) else X.T
        return Inputs(jax.device_put(rows if rows.dtype == np.uint8 else rows.astype(self.dtype), self._device()))

    def get(self, array: Any) -> npt.NDArray[Any]:
        return np.asarray(array)

    def forward(self, parameters: Parameters, X: Any) -> jax.Array:
        with self._arithmetic():
            A: jax.Array = self._forward(self._parameters(*parameters), self.put(X))
        return A

    def loss_sum(self, parameters: Parameters, X: Any, Y: Any) -> jax.Array:
        with self._arithmetic():
            loss: jax.Array = self._loss_sum(self._parameters(*parameters), self.put_inputs(X), self.put(Y))
        return loss

    def sums(self, parameters: Parameters, X: Any, Y: Any) -> Sums:
        X = self.put_inputs(X)
        with self._arithmetic():
            loss, (dW, db) = self._loss_and_gradients(self._parameters(*parameters), X, self.put(Y))
        return Sums(loss, dW, db, X.shape[1])

    def descend(
        self,
        parameters: Parameters,
        train: tuple[Any, Any],
        validation: tuple[Any, Any] | None,
        learning_rate: float,
        epochs: range,
        validation_every: int,
    ) -> tuple[Parameters, Any, Any]:
        """All of the epochs in one dispatch; BLOCK_EPOCHS of them at the most."""
        with self._arithmetic():
            if any(isinstance(X, Parts) for X, _ in (train, validation or train)):
                return super().descend(parameters, train, validation, learning_rate, epochs, validation_every)
            parameters, costs = self._descend(
                parameters, train, validation, learning_rate, epochs.start, epochs.stop, validation_every
            )
        train_costs, validation_costs = self.get(costs)[:, : len(epochs)]
        taken = [validation is not None and epoch % validation_every == 0 for epoch in epochs]
        return parameters, train_costs, np.where(taken, validation_costs, np.nan)

    @partial(jax.jit, static_argnums=0)
    def _descend(
        self,
        parameters: Parameters,
        train: tuple[Any, jax.Array],
        validation: tuple[Any, jax.Array] | None,
        learning_rate: float,
        start: int,
        stop: int,
        validation_every: int,
    ) -> tuple[Parameters, jax.Array]:
        X, Y = train
        m = X.shape[1]

        def epoch(i: int, state: tuple[Parameters, jax.Array]) -> tuple[Parameters, jax.Array]:
            parameters, costs = state
            loss, (dW, db) = self._loss_and_gradients(parameters, X, Y)
            costs = costs.at[0, i - start].set(self._cost(parameters, loss, m))
            if validation is not None:
                costs = jax.lax.cond(
                    i % validation_every == 0,
                    lambda: costs.at[1, i - start].set(
                        self._loss_sum(parameters, *validation) / validation[0].shape[1]
                    ),
                    lambda: costs,
                )
            dW, db = self._gradients(parameters, Sums(loss, dW, db, m))
            return Parameters(parameters.W - learning_rate * dW, parameters.b - learning_rate * db), costs

        costs = jnp.zeros((2, BLOCK_EPOCHS), self.dtype)
        state: tuple[Parameters, jax.Array] = jax.lax.fori_loop(start, stop, epoch, (parameters, costs))
        return state

    @partial(jax.jit, static_argnums=0)
    def _forward(self, parameters: Parameters, X: jax.Array) -> jax.Array:
        return ACTIVATIONS[self.activation](self._logits(parameters, X))

    @partial(jax.jit, static_argnums=0)
    def _loss_sum(self, parameters: Parameters, X: Any, Y: jax.Array) -> jax.Array:
        """L summed over the examples: by the fused step where X is held for it, else as it is written here."""
        if isinstance(X, Inputs):
            from handgrad.backends.fused.pallas import loss_sum

            fused_sum: jax.Array = loss_sum(*parameters, X.rows, Y, self.input_scale, self.activation, self.loss)
            return fused_sum
        Z = self._logits(parameters, X)
        if self.loss == "cross_entropy":
            return pairwise_sum(jax.nn.softplus((1 - 2 * Y) * Z))  # -log(A) for class 1 and -log(1 - A) for class 0
        return pairwise_sum((ACTIVATIONS[self.activation](Z) - Y) ** 2 / 2)

    @partial(jax.jit, static_argnums=0)
    def _loss_and_gradients(
        self, parameters: Parameters, X: Any, Y: jax.Array
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        return jax.value_and_grad(self._loss_sum)(parameters, X, Y)

    def _logits(self, parameters: Parameters, X: jax.Array) -> jax.Array:
        # The highest precision is the full float32, also where the device has a shorter, faster product (TF32).
        sW = self.input_scale * parameters.W
        Z: jax.Array = jnp.matmul(sW, X, precision=jax.lax.Precision.HIGHEST) + parameters.b
        return Z

    def _fuses(self, n: int) -> bool:
        """Whether n features are read by the fused step: on a CUDA device, in float32."""
        return self.device.startswith(("cuda", "gpu")) and self.dtype == "float32" and fused.fits(n)

    def _arithmetic(self) -> AbstractContextManager[Any]:
        """Allow float64 for the length of a call, and only for a neuron that asked for it."""
        return jax.enable_x64(True) if self.dtype == "float64" else nullcontext()

    def _device(self) -> jax.Device:
        platform, _, index = self.device.partition(":")
        return jax.devices(platform)[int(index or 0)]

    def _check_device(self) -> None:
        try:
            self._device()
        except (RuntimeError, IndexError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise UsageError(f"device is {self.device!r}, which JAX cannot use: {reason}") from None


def pairwise_sum(V: jax.Array) -> jax.Array:
    """The sum of V (1, m), by halves: its error grows with log m, where that of XLA's own sum on a CPU grows with m.

    Higham, "The Accuracy of Floating Point Summation", 1993, section 4.
    """
    while V.shape[1] > 1:
        half = V.shape[1] // 2
        V = jnp.concatenate([V[:, :half] + V[:, half : 2 * half], V[:, 2 * half :]], axis=1)
    return V[0, 0]
