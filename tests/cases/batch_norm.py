"""A layer with batch normalisation, the closed form of its derivative, squared error.

Z = W X,  N = (Z - mean_m Z) R,  R = (var_m Z + eps)^-1/2,  A = g N + b,  J = 1/(2hm) sum (A - Y)^2;
W (h, n), X (n, m), g, b (h, 1), Y (h, m).

Ioffe and Szegedy, 2015, section 3, collected into dZ = R (dN - mean dN - N mean(dN N)).
"""

import numpy as np

from cases.fault import Fault

SHAPES = "W: h n; X: n m; g: h 1; b: h 1; Y: h m"
EPS = 1e-3


def inputs(seed: int = 0, n: int = 4, h: int = 3, m: int = 6) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return dict(
        W=rng.standard_normal((h, n)),
        X=rng.standard_normal((n, m)),
        g=rng.standard_normal((h, 1)),
        b=rng.standard_normal((h, 1)),
        Y=rng.standard_normal((h, m)),
    )


def forward(W, X, g, b, Y):
    Z = W @ X
    R = 1 / np.sqrt(Z.var(axis=1, keepdims=True) + EPS)
    N = (Z - Z.mean(axis=1, keepdims=True)) * R
    A = g * N + b
    J = np.mean((A - Y) ** 2) / 2
    return dict(Z=Z, R=R, N=N, A=A, J=J)


def backward(W, X, g, Y, Z, R, N, A):
    dA = (A - Y) / Y.size
    dg = np.sum(dA * N, axis=1, keepdims=True)
    db = dA.sum(axis=1, keepdims=True)
    dN = g * dA
    dZ = R * (dN - dN.mean(axis=1, keepdims=True) - N * np.mean(dN * N, axis=1, keepdims=True))
    dW = dZ @ X.T
    dX = W.T @ dZ
    return dict(dA=dA, dg=dg, db=db, dN=dN, dZ=dZ, dW=dW, dX=dX)


FAULTS = (
    Fault("dA", "A - Y", "Y - A", {"sign"}),
    Fault("dA", "(A - Y) / Y.size", "(A - Y) / Y.shape[1]", {"factor"}),
    Fault("dg", "dA * N", "dA * Z", {"wrong_variable"}),
    Fault("db", "dA.sum(axis=1, keepdims=True)", "dA", {"unsummed_axis", "shape"}),
    Fault("dZ", " - dN.mean(axis=1, keepdims=True)", "", {"dropped_term"}),
    Fault("dZ", " - N * np.mean(dN * N, axis=1, keepdims=True)", "", {"dropped_term"}),
    Fault("dZ", "- N * np.mean", "+ N * np.mean", {"wrong_sign_term"}),
    Fault("dZ", "- dN.mean(axis=1, keepdims=True)", "- 2 * dN.mean(axis=1, keepdims=True)", {"doubled_term"}),
    Fault("dZ", "R * (dN - dN", "(dN - dN", {"missing_derivative"}),
    Fault("dZ", "R * (dN - dN", "R**2 * (dN - dN", {"doubled_derivative"}),
    Fault("dZ", "dN.mean(axis=1, keepdims=True)", "dN.mean(axis=0, keepdims=True)", {"summed_axis"}),
    Fault("dX", "W.T @ dZ", "W.T @ dN", {"wrong_variable", "missing_derivative"}),
    Fault("dW", "dZ @ X.T", "dZ @ X.T; dW[0, -1] *= -1", {"single_entry"}),
)
