"""JAX as a user would write it: `jax.jit` of `jax.value_and_grad`."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from handgrad.benchmarks import arms


class Arm(arms.Arm):
    devices = ("cpu", "cuda")

    def place(self, work: arms.Work) -> None:
        if work.dtype == "float64":
            config: Any = jax.config
            config.update("jax_enable_x64", True)
        device = jax.devices(work.device)[0]
        self.X, self.Y, self.W, self.b = (
            jax.device_put(V, device).astype(work.dtype) for V in (work.X, work.Y, work.W, work.b)
        )
        self.X = self.X * work.input_scale

        def cost(W: jax.Array, b: jax.Array, X: jax.Array, Y: jax.Array) -> jax.Array:
            Z = jnp.matmul(W, X, precision="highest") + b
            if work.loss == "squared_error":
                return jnp.mean((jax.nn.sigmoid(Z) - Y) ** 2) / 2
            return jnp.mean(jax.nn.softplus(Z) - Y * Z)

        self.program: Any = jax.jit(jax.value_and_grad(cost, (0, 1)))
        self.wait((self.X, self.Y, self.b))

    def compile(self) -> None:
        self.program = self.program.lower(self.W, self.b, self.X, self.Y).compile()

    def step(self) -> tuple[Any, Any, Any]:
        J, (dW, db) = self.program(self.W, self.b, self.X, self.Y)
        return J, dW, db

    def wait(self, result: tuple[Any, Any, Any]) -> None:
        for value in result:
            value.block_until_ready()
