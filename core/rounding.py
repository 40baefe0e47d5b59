"""How far two right answers may lie apart: the one table of tolerances, derived and not tuned.

Every bound is the unit roundoff u times the magnitudes that are summed, times a count of roundings. In what follows s
is the input scale, x_ij stands for |X_ij|, gamma(k) bounds the relative error that k roundings leave in a sum (Higham,
"Accuracy and Stability of Numerical Algorithms", 2002, lemma 3.1 and section 3.1), and off_W, off_b are how far the
parameters themselves may be off (0 unless said otherwise)::

    Z_i    E_i  = gamma(n + 3) (s sum_j |W_j| x_ij + |b|) + s sum_j off_W_j x_ij + off_b
    A_i           max|f'| E_i + ELEMENTARY u |A_i|
    dZ_i   D_i  = max|L''| E_i + ELEMENTARY u (|A_i| + Y_i)                                  L'' = d^2 L / dZ^2
    dW_j          s / m sum_i (gamma(m + 4) (|dZ_i| + D_i) + D_i) x_ij + 4 u l2 |W_j| + l2 off_W_j
    db            dW_j with s x_ij = 1 and l2 = 0
    L_i           (|dZ_i| + D_i) E_i + ELEMENTARY u L_i, and ELEMENTARY u |A_i - Y_i| (|A_i| + Y_i) for a squared error
    J             1 / m sum_i (gamma(m + 4) L_i + its bound) + gamma(n + 6) l2 / 2 W W^T

For the relu, f'' is infinite at 0: where |Z_i| <= E_i the neuron may be seen as on or as off, and D_i grows by the
whole jump, |A_i| + Y_i. Numbers below the smallest normal one may be flushed to zero, as XLA does: each input, product
and result may so lose as much as that number, times what it is multiplied by, which is added throughout.
"""

import itertools
import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from handgrad.backend import Backend, Parameters
from handgrad.objective import SHARPEST

ELEMENTARY = 16
"""Roundings, in units of u, in an activation with its derivative: at most eight operations within a last place, 2 u."""

LAMBDA = 8
"""Of the probabilistic bound, which one sum of k terms exceeds with a probability of at most 2 k exp(-LAMBDA^2 / 2)."""

BLOCK_BYTES = 2**27
"""How much of X is looked at at a time, as float64."""

STEEPEST = {"sigmoid": 1 / 4, "tanh": 1.0, "relu": 1.0, "identity": 1.0}
"""max |f'|."""


class Bounds(NamedTuple):
    """Bounds on the error of one backend; two backends may differ by twice as much. All float64.

    cost (), dW (1, n), db (), A (1, m).
    """

    cost: float
    dW: npt.NDArray[np.float64]
    db: float
    A: npt.NDArray[np.float64]


def gamma(k: int, u: float) -> float:
    """The relative error of a sum of k rounded terms: the worst case, or the probabilistic bound where that is smaller.

    k u / (1 - k u) always holds while k u < 1; exp(LAMBDA sqrt(k) u + ...) - 1 holds for rounding errors of mean zero,
    with the probability that `LAMBDA` states (Higham and Mary, "A New Approach to Probabilistic Rounding Error
    Analysis", 2019).
    """
    worst = k * u / (1 - k * u) if k * u < 1 else math.inf
    return min(worst, math.expm1(LAMBDA * math.sqrt(k) * u + k * u**2 / (1 - u)))


def bounds(
    neuron: Backend,
    parameters: Parameters,
    X: npt.NDArray[Any],
    Y: npt.NDArray[Any],
    within: Parameters | None = None,
) -> Bounds:
    """How far cost, gradients and activations may lie from exact arithmetic on the same numbers.

    Args:
        neuron: the configuration; its backend does not matter.
        parameters: W (1, n), b (), NumPy arrays.
        X: (n, m), Y: (1, m), NumPy arrays. X is read in blocks. All are taken as the neuron sees them, in its dtype.
        within: how far W and b may be off, elementwise.
    """
    n, m = X.shape
    u = float(np.finfo(neuron.dtype).eps) / 2
    tiny = float(np.finfo(neuron.dtype).tiny)
    s, l2 = neuron.input_scale, neuron.l2
    W, b = (np.asarray(V, neuron.dtype).astype(np.float64) for V in parameters)
    off_W, off_b = within or Parameters.zeros(n)
    sharpest = SHARPEST[neuron.loss, neuron.activation]
    in_Z, in_sum = gamma(n + 3, u), gamma(m + 4, u)

    cost, db = 0.0, 0.0
    dW = np.zeros((1, n))
    A_bounds = []
    width = max(1, BLOCK_BYTES // (8 * n))
    for i in range(0, m, width):
        x, y = (V[:, i : i + width].astype(neuron.dtype).astype(np.float64) for V in (X, Y))
        Z = s * (W @ x) + b
        A, slope = _activate(neuron.activation, Z)
        x = abs(x)
        E = in_Z * (s * (abs(W) @ x) + abs(b)) + s * (off_W @ x) + off_b
        E += tiny * (s * abs(W).sum() + (1 + s) * (x.sum(axis=0) + n) + 1)
        D = sharpest * E + ELEMENTARY * u * (abs(A) + y) + tiny
        if neuron.activation == "relu":
            D += np.where(abs(Z) <= E, abs(A) + y + E, 0)
        if neuron.loss == "cross_entropy":
            L, dZ = np.logaddexp(0, (1 - 2 * y) * Z), abs(A - y)
            off_L = ELEMENTARY * u * L
        else:
            L, dZ = (A - y) ** 2 / 2, abs(A - y) * slope
            off_L = ELEMENTARY * u * (L + abs(A - y) * (abs(A) + y))
        cost += float((in_sum * L + (dZ + D) * E + off_L + tiny).sum())
        summed = in_sum * (dZ + D) + D
        dW += s * (summed @ x.T) + tiny * (s * dZ.sum() + (1 + s) * (x.sum(axis=1) + x.shape[1]) + 1)
        db += float((summed + tiny).sum())
        A_bounds.append(STEEPEST[neuron.activation] * E + ELEMENTARY * u * abs(A) + tiny)
    penalty = l2 / 2 * float((W * W).sum())
    return Bounds(
        cost / m + gamma(n + 6, u) * penalty + l2 * float((off_W * (abs(W) + off_W)).sum()) + 2 * tiny,
        dW / m + 4 * u * l2 * abs(W) + l2 * off_W + 2 * tiny,
        db / m + 2 * tiny,
        np.concatenate(A_bounds, axis=1),
    )


def descent_bounds(
    neuron: Backend,
    path: Iterable[Parameters],
    X: npt.NDArray[Any],
    Y: npt.NDArray[Any],
    learning_rate: float,
) -> Parameters:
    """How far apart two right descents from the same start may be, on the same numbers, after the epochs of one.

    An epoch moves them apart by the errors of both gradients, of which one is taken where the parameters are off by
    what they were apart already, and by the roundings of both updates. From off = 0, with g the bound of `bounds`::

        off := off + alpha (g(W, within=off) + g(W)) + 2 u (2 |W' - W| + |W|)

    and likewise for b, where W' is W after the epoch.

    Args:
        neuron: the configuration of both; their backends do not matter.
        path: of one of them, the parameters before the first epoch and after each, as NumPy arrays.
        X: (n, m), Y: (1, m), learning_rate: alpha; as for `bounds` and for the descent.

    Returns:
        For W (1, n) and b (), float64.
    """
    u = float(np.finfo(neuron.dtype).eps) / 2
    off = Parameters.zeros(len(X))
    for before, after in itertools.pairwise(path):
        own = bounds(neuron, before, X, Y)
        other = bounds(neuron, before, X, Y, within=off) if off.b else own
        g, h = (Parameters(found.dW, found.db) for found in (own, other))
        P, P_after = (Parameters(*(V.astype(np.float64) for V in of)) for of in (before, after))
        off = off + learning_rate * (g + h) + 2 * u * (2 * abs(P_after - P) + abs(P))
    return off


def _activate(activation: str, Z: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The activation f and |f'|, to the few digits that a bound needs."""
    match activation:
        case "sigmoid":
            A = np.exp(-np.logaddexp(0, -Z))
            return A, A * (1 - A)
        case "tanh":
            return np.tanh(Z), 1 - np.tanh(Z) ** 2
        case "relu":
            return np.maximum(Z, 0), (Z > 0).astype(np.float64)
        case _:
            return Z, np.ones_like(Z)
