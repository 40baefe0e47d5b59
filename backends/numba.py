"""The neuron in Numba, derived by hand as in NumPy's, but in one read of X per step: bytes stay bytes.

A few examples at a time come from memory; while they are in the cache, they give Z, dZ = dL/dZ and their share of
dW = dZ s X^T. Every `BLOCK` examples have a dW of their own, and these are added in float64 in the order of the
examples: so the result does not depend on the number of threads, and its error grows with BLOCK, not with m.
"""

import functools
import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, final

import numpy as np
import numpy.typing as npt

from handgrad import neuron
from handgrad.backend import ACTIVATIONS, LOSSES, Parameters, Sums
from handgrad.bars import tell
from handgrad.errors import MissingExtraError
from handgrad.pieces import of_bytes

try:
    import numba
    from numba.core import event
except ModuleNotFoundError:
    raise MissingExtraError("Numba", "numba") from None

Array = npt.NDArray[Any]

LANES = 8
"""Examples that are read together, so that W and dW are read once for all of them."""

BLOCK = 512
"""Examples whose dW are added in the neuron's dtype."""

LEAST = 2**17
"""Elements of X that are read in about the time that Python takes to call for it, or another thread to begin."""


@final
class Neuron(neuron.Neuron):
    __doc__ = neuron.Neuron.__doc__

    reads = 1
    own_threads = True

    def put(self, array: Array) -> Array:
        return np.asarray(array, dtype=self.dtype)

    def reads_bytes(self, X: Array) -> bool:
        return of_bytes(X)

    def put_inputs(self, X: Array) -> Array:
        """X, or a copy where it holds neither bytes nor the neuron's dtype, or its examples are not contiguous."""
        X = np.asarray(X)
        rows = np.ascontiguousarray(X.T, X.dtype if of_bytes(X) else self.dtype)
        return rows.T

    def get(self, array: Array) -> Array:
        return np.asarray(array)

    def forward(self, parameters: Parameters, X: Array) -> Array:
        Y = np.zeros((1, X.shape[1]), self.dtype)
        return self._read(parameters, X, Y, backward=False)[0]

    def loss_sum(self, parameters: Parameters, X: Array, Y: Array) -> Array:
        return np.asarray(self._read(parameters, X, Y, backward=False)[1].loss)

    def sums(self, parameters: Parameters, X: Array, Y: Array) -> Sums:
        return self._read(parameters, X, Y, backward=True)[1]

    def descend(
        self,
        parameters: Parameters,
        train: tuple[Array, Array],
        validation: tuple[Array, Array] | None,
        learning_rate: float,
        epochs: range,
        validation_every: int,
    ) -> tuple[Parameters, Array, Array] | None:
        """By two calls a step, in room made once, where a step is so short that all else would take longer."""
        if any(X.size > LEAST for X, _ in (train, validation or train)):
            return None
        W, b, codes = parameters.W[0].copy(), parameters.b.copy(), self._codes()
        sW, costs = W.dtype.type(self.input_scale) * W, np.full((2, len(epochs)), np.nan, self.dtype)
        x, y, dW = train[0].T, train[1][0], np.empty(len(W))
        A, parts, totals = self._room(*x.shape)
        if validation:
            watched, labels = validation[0].T, validation[1][0]
            of_watched = self._room(*watched.shape, backward=False)
        for k, epoch in enumerate(epochs):
            if validation and epoch % validation_every == 0:
                sums = of_watched[2]
                _read(watched, labels, sW, b[()], self.input_scale, *codes, False, 0, len(sums), *of_watched)
                costs[1, k] = sums[:, 0].sum() / len(watched)
            _read(x, y, sW, b[()], self.input_scale, *codes, True, 0, len(totals), A, parts, totals)
            costs[0, k] = _step(W, sW, b, self.input_scale, self.l2, learning_rate, len(A), parts, totals, dW)
        return Parameters(W[np.newaxis], b), costs[0], costs[1]

    def _room(self, m: int, n: int, *, backward: bool = True) -> tuple[Array, Array, Array]:
        """Of what is read of rows (m, n): A, the dW of each block, or without `backward` none, and its L and db."""
        blocks = -(-m // BLOCK)
        parts = np.empty((blocks if backward else 1, n), self.dtype)
        return np.empty(m, self.dtype), parts, np.empty((blocks, 2))

    def _codes(self) -> tuple[int, int]:
        return ACTIVATIONS.index(self.activation), LOSSES.index(self.loss)

    @np.errstate(all="ignore")  # what overflows is found in the costs, and underflow is no fault
    def _read(self, parameters: Parameters, X: Array, Y: Array, *, backward: bool) -> tuple[Array, Sums]:
        """A (1, m) and the sums, by one read of X; without `backward`, dW and db are 0."""
        rows, y = self.put_inputs(X).T, self.put(Y)[0]
        A, parts, totals = self._room(*rows.shape, backward=backward)
        sW, b = self.input_scale * self.put(parameters.W)[0], self.put(parameters.b)[()]
        blocks = len(totals)

        def share(first: int, last: int) -> None:
            _read(rows, y, sW, b, self.input_scale, *self._codes(), backward, first, last, A, parts, totals)

        threads = min(_threads(), blocks, 1 + rows.size // LEAST)
        cuts = [blocks * i // threads for i in range(threads + 1)]
        others = [_pool(os.getpid()).submit(share, *cut) for cut in pairwise(cuts[1:])]
        share(*cuts[:2])
        for other in others:
            other.result()
        loss, db = totals.sum(axis=0).astype(self.dtype)
        dW = np.zeros((1, rows.shape[1]))
        if backward:
            _add(parts, dW[0])
        return A[np.newaxis], Sums(np.asarray(loss), dW.astype(self.dtype), np.asarray(db), len(rows))


@functools.cache
def _pool(process: int) -> ThreadPoolExecutor:
    """The threads beside the caller's; a forked process gets its own."""
    return ThreadPoolExecutor(max(1, _threads() - 1), f"handgrad-{process}")


def _threads() -> int:
    """As many as the environment's NUMBA_NUM_THREADS says, else one for each core that the process may use."""
    config: Any = numba.config
    return int(config.NUMBA_NUM_THREADS)


def _compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """`numba.njit` without the interpreter's lock, and on disk for the next process wherever that can be written."""

    def compile_(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(nogil=True, error_model="numpy", cache=True, **options)(function)
        except RuntimeError:  # "no locator available": neither beside this file nor in the user's folder
            return numba.njit(nogil=True, error_model="numpy", **options)(function)

    return compile_


class _Telling(event.Listener):
    """Tells, on a terminal, that a function of this file is compiled, and not loaded from disk: it takes seconds."""

    told = False

    def on_start(self, event: Any) -> None:
        if not self.told and event.data["dispatcher"].py_func.__module__ == __name__:
            self.told = True
            tell("Numba compiles the backend for this machine and these types, once: it takes some seconds")

    def on_end(self, event: Any) -> None:
        pass


event.register("numba:compile", _Telling())  # type: ignore[no-untyped-call]


@_compiled()
def _loss(Z: float, Y: float, activation: int, loss: int) -> tuple[float, float, float]:
    """A, L and dZ = dL/dZ of one example; in float64, which costs nothing beside the products that made Z."""
    E = math.exp(-abs(Z))
    right = 1 / (1 + E)  # the sigmoid of |Z|, and of -|Z|; neither cancels nor overflows
    left = E / (1 + E)
    if loss == 0:  # cross-entropy: L = log(1 + e^S), where S is Z for class 0 and -Z for class 1; dZ = A - Y
        A = right if Z >= 0 else left
        S = Z if Y == 0 else -Z
        L = max(S, 0.0) + math.log1p(E)
        dZ = (right if S >= 0 else left) * (1 if Y == 0 else -1)
        return A, L, dZ
    if activation == 0:
        A = right if Z >= 0 else left
        dA_dZ = right * left
    elif activation == 1:
        A = math.tanh(Z)
        E *= E
        dA_dZ = 4 * E / ((1 + E) * (1 + E))  # 1 - A^2
    elif activation == 2:
        A, dA_dZ = max(Z, 0.0), 1.0 if Z > 0 else 0.0
    else:
        A, dA_dZ = Z, 1.0
    return A, (A - Y) * (A - Y) / 2, (A - Y) * dA_dZ


@_compiled(fastmath={"reassoc", "contract", "nsz"})
def _read(
    X: Array,
    Y: Array,
    sW: Array,
    b: float,
    s: float,
    activation: int,
    loss: int,
    backward: bool,
    first: int,
    last: int,
    A: Array,
    parts: Array,
    totals: Array,
) -> None:
    """Blocks first to last of the rows of X (m, n): fills their A, their rows of parts (dW) and totals (L, db)."""
    m, n = X.shape
    number = sW.dtype.type
    Z, G = np.empty(LANES, sW.dtype), np.empty(LANES, sW.dtype)
    for block in range(first, last):
        dW = parts[block if backward else 0]
        totals[block] = 0
        if backward:
            dW[:] = 0
        end = min((block + 1) * BLOCK, m)
        for i in range(block * BLOCK, end, LANES):
            final = end - 1  # the last example stands in for those that are not there, and counts nothing for them
            x0, x1, x2, x3 = X[i], X[min(i + 1, final)], X[min(i + 2, final)], X[min(i + 3, final)]
            x4, x5, x6, x7 = X[min(i + 4, final)], X[min(i + 5, final)], X[min(i + 6, final)], X[min(i + 7, final)]
            z0 = z1 = z2 = z3 = z4 = z5 = z6 = z7 = number(0)
            for j in range(n):
                w = sW[j]
                z0 += w * number(x0[j])
                z1 += w * number(x1[j])
                z2 += w * number(x2[j])
                z3 += w * number(x3[j])
                z4 += w * number(x4[j])
                z5 += w * number(x5[j])
                z6 += w * number(x6[j])
                z7 += w * number(x7[j])
            Z[0], Z[1], Z[2], Z[3], Z[4], Z[5], Z[6], Z[7] = z0, z1, z2, z3, z4, z5, z6, z7
            for k in range(LANES):
                G[k] = 0
                if i + k < end:
                    A[i + k], L, dZ = _loss(Z[k] + b, Y[i + k], activation, loss)
                    totals[block, 0] += L
                    totals[block, 1] += dZ
                    G[k] = s * dZ
            if backward:
                g0, g1, g2, g3, g4, g5, g6, g7 = G[0], G[1], G[2], G[3], G[4], G[5], G[6], G[7]
                for j in range(n):
                    dW[j] += (
                        (g0 * number(x0[j]) + g1 * number(x1[j]))
                        + (g2 * number(x2[j]) + g3 * number(x3[j]))
                        + (g4 * number(x4[j]) + g5 * number(x5[j]))
                        + (g6 * number(x6[j]) + g7 * number(x7[j]))
                    )


@_compiled()
def _add(parts: Array, dW: Array) -> None:
    """Fills dW (n,), float64, with the sum over the blocks."""
    for block in range(len(parts)):
        part = parts[block]
        for j in range(len(dW)):
            dW[j] = part[j] + (dW[j] if block else 0.0)


@_compiled()
def _step(
    W: Array, sW: Array, b: Array, s: float, l2: float, rate: float, m: int, parts: Array, totals: Array, dW: Array
) -> float:
    """The cost, of what was read of all blocks; W (n,), sW and b () become the next ones, and dW (n,) is room."""
    number = W.dtype.type
    loss = db = penalty = 0.0
    for block in range(len(totals)):
        loss += totals[block, 0]
        db += totals[block, 1]
    _add(parts, dW)
    for j in range(len(W)):
        penalty += l2 / 2 * W[j] * W[j]
        W[j] -= number(rate) * (number(dW[j]) / number(m) + number(l2) * W[j])
        sW[j] = number(s) * W[j]
    b[()] -= number(rate * db / m)
    return loss / m + penalty
