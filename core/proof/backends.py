"""The project's own neuron, proved: the gradients of a backend against the oracles, over all losses and activations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from handgrad.backend import DTYPES, Parameters
from handgrad.errors import UsageError
from handgrad.exact import CONFIGURATIONS
from handgrad.jsonable import dumps
from handgrad.neuron import Neuron
from handgrad.proof.numerical import Numerical
from handgrad.proof.problem import Function, Problem, Run
from handgrad.proof.tape import UntapeableError
from handgrad.proof.taped import FromTape
from handgrad.proof.wide import WIDE, Array
from handgrad.rounding import bounds
from handgrad.table import table


@dataclass(frozen=True)
class Proved:
    """One configuration of the neuron.

    Attributes:
        loss, activation, dtype: which.
        oracles: who was asked; they agree among themselves.
        dW, db: the largest of |gradient - expected| / |what rounding explains|, the latter by `handgrad.rounding`;
            above 1 is a fault.
    """

    loss: str
    activation: str
    dtype: str
    oracles: tuple[str, ...]
    dW: float
    db: float

    @property
    def ok(self) -> bool:
        """Whether rounding explains all that differs."""
        return self.dW <= 1 and self.db <= 1


@dataclass(frozen=True)
class BackendReport:
    """A backend over all configurations.

    Attributes:
        backend: its name.
        proved: by configuration.
    """

    backend: str
    proved: tuple[Proved, ...]

    @property
    def ok(self) -> bool:
        """Whether every configuration is right."""
        return all(row.ok for row in self.proved)

    def to_json(self) -> str:
        """The report as JSON."""
        rows = [asdict(row) | {"ok": row.ok} for row in self.proved]
        return dumps({"ok": self.ok, "backend": self.backend, "proved": rows})

    def __str__(self) -> str:
        rows = [
            [
                f"{row.loss}, {row.activation}",
                row.dtype,
                f"{row.dW:.1e}",
                f"{row.db:.1e}",
                "right" if row.ok else "wrong",
            ]
            for row in self.proved
        ]
        oracles = ", ".join(dict.fromkeys(name for row in self.proved for name in row.oracles))
        return "\n".join([
            table(["neuron", "dtype", "dW", "db", "verdict"], *rows),
            "",
            f"Largest differences of the {self.backend} backend to what is expected, over what rounding explains.",
            f"Expected by: {oracles}.",
        ])  # fmt: skip


def prove_backend(backend: type[Neuron], name: str, *, n: int = 12, m: int = 7, seed: int = 0) -> BackendReport:
    """Prove the gradients of a backend.

    The cost is written down once more, in plain NumPy, as the mathematics has it. Its derivative is taken by JAX in
    long double, where that is installed, and by differences, which must agree with each other. The backend may differ
    by what rounding in its dtype explains.

    Args:
        backend: its class.
        name: for the report, as "numpy".
        n, m: features and examples.
        seed: of the inputs, which are signed, of size 1 and of size 8.

    Raises:
        UsageError: the oracles disagree among themselves.
    """
    proved = []
    for loss, activation in CONFIGURATIONS:
        for dtype in DTYPES:
            neuron = backend(loss=loss, activation=activation, dtype=dtype, l2=0.125, input_scale=0.25)
            proved.append(_prove(neuron, np.random.default_rng(seed), n, m))
    return BackendReport(name, tuple(proved))


def _prove(neuron: Neuron, rng: np.random.Generator, n: int, m: int) -> Proved:
    worst = {"dW": 0.0, "db": 0.0}
    names: tuple[str, ...] = ()
    for scale in 1.0, 8.0:
        X = (scale * rng.standard_normal((n, m))).astype(neuron.dtype)
        Y = rng.integers(0, 2, (1, m)).astype(neuron.dtype)
        W, b = rng.standard_normal((1, n)).astype(neuron.dtype), rng.standard_normal(()).astype(neuron.dtype)
        expected, names = _expected(_forward(neuron), dict(W=W, b=b, X=X, Y=Y))
        parameters = Parameters(W, b)
        got = neuron.gradients(parameters, X, Y)
        bound = bounds(neuron, parameters, X, Y)
        for name, gradient, most in (("dW", got.dW, bound.dW), ("db", got.db, bound.db)):
            gap = np.abs(np.asarray(gradient, WIDE) - expected[name])
            worst[name] = float(np.max([worst[name], *np.ravel(gap / most)]))  # where one is NaN, so is this: no pass
    return Proved(neuron.loss, neuron.activation, neuron.dtype, names, worst["dW"], worst["db"])


def _forward(neuron: Neuron) -> Callable[..., dict[str, Any]]:
    """The cost of this neuron as the mathematics has it, in the docstring of `handgrad.neuron`."""
    s, l2 = neuron.input_scale, neuron.l2
    loss, activation = neuron.loss, neuron.activation

    def forward(W: Any, b: Any, X: Any, Y: Any) -> dict[str, Any]:
        Z = W @ (s * X) + b
        if loss == "cross_entropy":
            L = np.logaddexp(0, Z) - Y * Z
        else:
            A = {
                "sigmoid": lambda: 1 / (1 + np.exp(-Z)),
                "tanh": lambda: np.tanh(Z),
                "relu": lambda: np.maximum(Z, 0),
                "identity": lambda: Z,
            }[activation]()
            L = (A - Y) ** 2 / 2
        J = np.mean(L) + l2 / 2 * np.sum(W * W)
        return dict(J=J)

    return forward


def _expected(forward: Function, inputs: dict[str, Array]) -> tuple[dict[str, Array], tuple[str, ...]]:
    problem = Problem(forward, lambda W, b: dict(dW=W, db=b))
    wide = {name: value.astype(WIDE) for name, value in inputs.items()}
    run = Run(wide, problem.run_forward(wide))
    wrt = ["W", "b"]
    numerical = Numerical(problem, wrt)
    by_differences = numerical.total(run)
    answers = [(numerical.name, by_differences.values)]
    try:
        traced = FromTape(problem, wrt)
        answers.insert(0, (traced.name, traced.total(run).values))
    except UntapeableError:
        pass
    for name in wrt:
        gap = np.abs(answers[0][1][name] - by_differences.values[name])
        if not np.all(gap <= 64 * by_differences.errors[name] + 1e-9 * np.abs(by_differences.values[name])):
            raise UsageError(f"the oracles disagree on d{name}: {answers[0][0]} and {numerical.name}; blame them first")
    return {f"d{name}": answers[0][1][name] for name in wrt}, tuple(name for name, _ in answers)
