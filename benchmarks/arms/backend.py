"""A backend of handgrad, whichever: what people call, `gradients` of examples that were placed."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from handgrad import backends
from handgrad.backend import Gradients, Parameters
from handgrad.benchmarks import arms
from handgrad.objective import means

CALLS = ("gradients", "cost", "step", "sums", "loss_sum")

RATE = 1e-6
"""Of a step: it must be some."""


class Arm(arms.Arm):
    """A call of a neuron; ``sums@numpy`` is the inner call of NumPy's, ``numpy`` is ``gradients@numpy``.

    Attributes:
        backend: its name, as `handgrad.backends.load` takes it.
        call: a method of the neuron: gradients, cost or step, which people call, or the inner sums or loss_sum.
    """

    backend = "numpy"
    call = "gradients"
    on_host = True
    warms = 2

    def place(self, work: arms.Work) -> None:
        self.neuron = backends.load(self.backend)(
            loss=work.loss, input_scale=work.input_scale, dtype=work.dtype, device=work.device
        )
        self.examples = self.neuron.place(work.X, work.Y, block=0)
        self.parameters = self.neuron.put_parameters(Parameters(work.W, work.b))
        assert self.examples.whole is not None
        self.X, self.Y = self.examples.whole
        self.J = np.asarray(np.nan, work.dtype)
        self.gradients = Gradients(*(np.zeros(np.shape(V), work.dtype) for V in (work.W, work.b)))

    def compile(self) -> None:
        # A backend compiles within its first calls; first calls on these arrays take that out.
        self.J = np.asarray(self.neuron.cost(self.parameters, self.examples), self.neuron.dtype)
        self.wait(self.step())
        if numba := sys.modules.get("numba"):
            names = vars(sys.modules[type(self.neuron).__module__]).values()
            kept = [of.stats for of in names if isinstance(of, numba.core.dispatcher.Dispatcher)]
            self.cached = not any(stats.cache_misses for stats in kept) if kept else None

    def step(self) -> tuple[Any, Any, Any]:
        neuron, P, examples = self.neuron, self.parameters, self.examples
        match self.call:
            case "gradients":
                return self.J, *neuron.gradients(P, examples)
            case "sums":
                J, gradients = means(0.0, P, neuron.sums(P, self.X, self.Y))
                return J, *gradients
            case "cost":
                return np.asarray(neuron.cost(P, examples)), *self.gradients
            case "loss_sum":
                return neuron.loss_sum(P, self.X, self.Y), *self.gradients
            case _:
                return self.J, *neuron.step(P, examples, learning_rate=RATE)

    def wait(self, result: tuple[Any, Any, Any]) -> None:
        for value in result:
            self.neuron.get(value)
