"""handgrad's NumPy backend."""

from __future__ import annotations

from typing import Any

from handgrad import backends
from handgrad.backend import Parameters
from handgrad.benchmarks import arms


class Arm(arms.Arm):
    """A backend's `sums`, made means."""

    backend = "numpy"

    def place(self, work: arms.Work) -> None:
        self.neuron = backends.load(self.backend)(
            loss=work.loss, input_scale=work.input_scale, dtype=work.dtype, device=work.device
        )
        self.parameters = Parameters(self.neuron.put(work.W), self.neuron.put(work.b))
        self.X, self.Y = self.neuron.put_inputs(work.X), self.neuron.put(work.Y)
        self.wait((self.X, self.Y, self.parameters.b))

    def step(self) -> tuple[Any, Any, Any]:
        loss, dW, db, m = self.neuron.sums(self.parameters, self.X, self.Y)
        return loss / m, dW / m, db / m

    def wait(self, result: tuple[Any, Any, Any]) -> None:
        """NumPy returns when it is done."""
