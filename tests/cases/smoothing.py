"""Exponential smoothing of a sequence, filled in place, squared error.

H_0 = X_0,  H_t = a H_t-1 + (1 - a) X_t,  J = 1/(2tm) sum (H - Y)^2;  a scalar in (0, 1), X, H, Y (t, m).

Holt, 1957. The adjoint P of the whole path runs the other way, P_t = (H_t - Y_t) / (tm) + a P_t+1. H is filled
row by row, so forward does not run on jax.numpy.
"""

import numpy as np

from cases.fault import Fault

SHAPES = "a:; X: t m; Y: t m"
TRACEABLE = False


def inputs(seed: int = 0, t: int = 5, m: int = 3) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return dict(a=np.array(rng.uniform(0.2, 0.8)), X=rng.standard_normal((t, m)), Y=rng.standard_normal((t, m)))


def forward(a, X, Y):
    H = np.zeros_like(X)
    H[0] = X[0]
    for t in range(1, len(X)):
        H[t] = a * H[t - 1] + (1 - a) * X[t]
    J = np.mean((H - Y) ** 2) / 2
    return dict(H=H, J=J)


def backward(a, X, Y, H):
    dH = (H - Y) / Y.size
    P = dH.copy()
    for t in reversed(range(len(X) - 1)):
        P[t] += a * P[t + 1]
    da = np.sum(P[1:] * (H[:-1] - X[1:]))
    dX = (1 - a) * P
    dX[0] = P[0]
    return dict(dH=dH, da=da, dX=dX)


FAULTS = (
    Fault("dH", "(H - Y) / Y.size", "(H - Y) / len(Y)", {"factor"}),
    Fault("dH", "H - Y", "Y - H", {"sign"}),
    Fault("da", "H[:-1] - X[1:]", "H[1:] - X[1:]", {"off_by_one", "wrong_variable"}),
    Fault("da", "H[:-1] - X[1:]", "H[:-1]", {"dropped_term"}),
    Fault("da", "H[:-1] - X[1:]", "H[:-1] + X[1:]", {"wrong_sign_term"}),
    Fault("da", "P[1:] * (", "dH[1:] * (", {"wrong_variable", "dropped_term"}),
    Fault("dX", "(1 - a) * P", "P.copy()", {"missing_derivative"}),
    Fault("dX", "dX[0] = P[0]", "dX[0] = (1 - a) * P[0]", {"single_entry", "off_by_one", "doubled_derivative"}),
    Fault("dX", "(1 - a) * P", "(1 + a) * P", {"wrong_sign_term"}),
    Fault("da", "np.sum(P[1:]", "np.mean(P[1:]", {"factor"}),
)
