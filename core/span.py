"""Few examples, many features: descent in the span of the examples, where it is the same and costs less.

Each step of full-batch descent changes W by a multiple of itself and a sum of examples. So W never leaves the span of
the examples and of its start W0. Let the columns of Q (n, r) be an orthonormal basis of that span. Then

    X' = Q^T X (r, m)        W' = W Q (1, r)        W' X' = W X        W' W'^T = W W^T        dW' = dW Q

so that descent on X' from W0 Q goes through the same costs as descent on X from W0, and ends at W = W' Q^T: exactly,
in exact arithmetic, for every loss, activation and penalty. An epoch then reads r m numbers in place of n m.

Q is not needed itself. With the Cholesky factor L of the Gram matrix B B^T, where the rows of B are the examples and
W0, Q^T is L^-1 B (Golub and Van Loan, "Matrix Computations", 2013, section 5.2). That squares the condition of B: where
it would cost digits of W that the neuron's dtype has, B^T = Q R is found by Householder's reflections.
"""

import time
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from handgrad import descent, memory
from handgrad.backend import Parameters
from handgrad.descent import DivergedError, History
from handgrad.objective import Objective
from handgrad.optimizers import Optimizer, Task

Array = npt.NDArray[Any]

CONDITION = {"float32": 1e6, "float64": 1e3}
"""Of L, by its diagonal, up to which Cholesky's way is taken: it leaves an error of 1e-16 times it in W."""


def pays(task: Task) -> bool:
    """Whether the span of X (n, m) is found and descended in with half of the work of descending as it is, or less.

    And whether there is room for it: three copies of the examples in float64, in half of the memory.
    """
    train, validation = task.objective.examples, None if task.watched is None else task.watched.examples
    if train.whole is None or (validation is not None and validation.whole is None):
        return False
    (n, m), epochs = train.shape, task.epochs
    r, watched = m + 1, 0 if validation is None else validation.shape[1]
    if 24 * n * (r + watched) > memory.total() / 2:
        return False
    find = n * r * (m + watched) + 3 * r**3
    return 2 * (find + epochs * r * (2 * m + watched)) < epochs * n * (2 * m + watched)


def train(task: Task, optimizer: Optimizer, parameters: Parameters, **options: Any) -> tuple[Parameters, History]:
    """`descent.train` in the span of the examples to learn from; arguments, result and errors are the same.

    The time to find the span is that of the first epoch that is taken.
    """
    backend, J, watched = task.backend, task.objective, task.watched
    start = time.perf_counter()
    with np.errstate(all="ignore"):
        W = backend.get(parameters.W)
        span = Span(_inputs(J), W, backend.dtype)
        inside = parameters._replace(W=backend.put(span.coordinates(W.T).T))
        J = _on(J, span.X)
        if watched is not None:
            watched = _on(watched, span.coordinates(_inputs(watched)))
    seen = [inside.W, _inputs(J), *([] if watched is None else [_inputs(watched)])]
    if not all(np.isfinite(backend.get(V)).all() for V in seen):  # squares that overflow
        return descent.train(task, optimizer, parameters, **options)
    found = time.perf_counter() - start

    def outside(inside: Parameters) -> Parameters:
        return inside._replace(W=span.restore(inside.W).astype(backend.dtype))

    try:
        inside, history = descent.train(replace(task, objective=J, watched=watched), optimizer, inside, **options)
    except DivergedError as error:
        error.parameters = outside(error.parameters)
        raise
    seconds = history.seconds.copy()
    first = 0 if options.get("resume") is None else len(options["resume"].history)
    seconds[first : first + 1] += found
    return outside(inside), replace(history, seconds=seconds)


def _inputs(objective: Objective) -> Array:
    """X, on the host."""
    return objective.backend.get(objective.examples.parts[0].x)


def _on(objective: Objective, X: Array) -> Objective:
    """The same on examples that are X."""
    part = objective.examples.parts[0]._replace(x=objective.backend.put_inputs(X))
    return replace(objective, examples=replace(objective.examples, parts=(part,), shape=X.shape))


class Span:
    """The span of the columns of X and of W^T, with an orthonormal basis Q (n, r).

    Args:
        X: (n, m) as the neuron sees it, before the input scale.
        W: (1, n).
        dtype: of the neuron, "float32" or "float64": how many digits are wanted.

    Attributes:
        X: X' = Q^T X (r, m), float64.
    """

    def __init__(self, X: Array, W: Array, dtype: str) -> None:
        B = X.T.astype(np.float64)
        if W.any():
            B = np.concatenate([B, W * (np.abs(B).max(initial=0) or 1) / np.abs(W).max()])
        self.B, self.L = B, _cholesky(B, CONDITION[dtype])
        if self.L is None:
            self.Q, R = np.linalg.qr(B.T)
        else:
            R = self.L.T
        self.X = R[:, : X.shape[1]]

    def coordinates(self, V: Array) -> Array:
        """Q^T V (r, k) of V (n, k), float64."""
        V = V.astype(np.float64)
        return self.Q.T @ V if self.L is None else np.linalg.solve(self.L, self.B @ V)

    def restore(self, W: Array) -> Array:
        """W' Q^T (1, n) of W' (1, r), float64."""
        W = W.astype(np.float64)
        return W @ self.Q.T if self.L is None else np.linalg.solve(self.L.T, W.T).T @ self.B


def _cholesky(B: Array, condition: float) -> Array | None:
    try:
        L = np.linalg.cholesky(B @ B.T)
    except np.linalg.LinAlgError:
        return None
    diagonal = L.diagonal()
    return L if diagonal.max() < condition * diagonal.min() else None
