"""A leaky ReLU layer written in place, squared error.

Z = W X + b,  A = Z where Z > 0, else 0.1 Z,  J = 1/(2hm) sum (A - Y)^2;  W (h, n), b (h, 1), X (n, m), Y (h, m).

Maas, Hannun and Ng, 2013. A is overwritten where Z is negative, so forward does not run on jax.numpy.
"""

import numpy as np

from cases.fault import Fault

SHAPES = "W: h n; b: h 1; X: n m; Y: h m"
TRACEABLE = False
SLOPE = 0.1


def inputs(seed: int = 0, n: int = 3, h: int = 2, m: int = 12) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return dict(
        W=rng.standard_normal((h, n)),
        b=0.3 * rng.standard_normal((h, 1)),
        X=rng.standard_normal((n, m)),
        Y=rng.standard_normal((h, m)),
    )


def forward(W, b, X, Y):
    Z = W @ X + b
    A = Z.copy()
    A[Z < 0] *= SLOPE
    J = np.mean((A - Y) ** 2) / 2
    return dict(Z=Z, A=A, J=J)


def backward(W, X, Y, Z, A):
    dA = (A - Y) / Y.size
    dZ = np.where(Z > 0, dA, SLOPE * dA)
    dW = dZ @ X.T
    db = dZ.sum(axis=1, keepdims=True)
    dX = W.T @ dZ
    return dict(dA=dA, dZ=dZ, dW=dW, db=db, dX=dX)


FAULTS = (
    Fault("dA", "(A - Y) / Y.size", "A - Y", {"factor"}),
    Fault("dZ", "np.where(Z > 0, dA, SLOPE * dA)", "dA", {"missing_derivative"}),
    Fault("dZ", "Z > 0, dA, SLOPE * dA", "Z > 0, dA, SLOPE**2 * dA", {"doubled_derivative"}),
    Fault("dZ", "Z > 0", "dA > 0", {"wrong_variable"}),
    Fault("dZ", "SLOPE * dA", "0", {"dropped_term", "missing_derivative"}),
    Fault("dZ", "SLOPE * dA", "-SLOPE * dA", {"wrong_sign_term", "sign"}),
    Fault("dW", "dZ @ X.T", "dA @ X.T", {"missing_derivative", "wrong_variable"}),
    Fault("db", "dZ.sum(axis=1, keepdims=True)", "dZ.mean(axis=1, keepdims=True)", {"factor"}),
    Fault("dX", "W.T @ dZ", "-W.T @ dZ", {"sign"}),
)
