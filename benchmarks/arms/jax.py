"""handgrad's JAX backend."""

from __future__ import annotations

from typing import Any

from handgrad.benchmarks.arms import numpy


class Arm(numpy.Arm):
    backend = "jax"
    devices = ("cpu", "cuda")

    def wait(self, result: tuple[Any, Any, Any]) -> None:
        for value in result:
            value.block_until_ready()

    def compile(self) -> None:
        # The backend compiles within its first call; a first call on other arrays of the same shapes takes that out.
        self.wait(self.step())
