"""Root-mean-square normalisation of each column, squared error.

R = (mean_n X^2 + eps)^-1/2,  N = X R,  A = g N,  J = 1/(2nm) sum (A - Y)^2;  X, Y (n, m), g (n, 1), R (1, m).

Zhang and Sennrich, 2019. X is used twice: dX = dN R - dR X R^3 / n.
"""

import numpy as np

from cases.fault import Fault

SHAPES = "X: n m; g: n 1; Y: n m"
EPS = 1e-3


def inputs(seed: int = 0, n: int = 4, m: int = 5) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return dict(X=rng.standard_normal((n, m)), g=rng.standard_normal((n, 1)), Y=rng.standard_normal((n, m)))


def forward(X, g, Y):
    R = 1 / np.sqrt(np.mean(X**2, axis=0, keepdims=True) + EPS)
    N = X * R
    A = g * N
    J = np.mean((A - Y) ** 2) / 2
    return dict(R=R, N=N, A=A, J=J)


def backward(X, g, Y, R, N, A):
    dA = (A - Y) / Y.size
    dg = np.sum(dA * N, axis=1, keepdims=True)
    dN = g * dA
    dR = np.sum(dN * X, axis=0, keepdims=True)
    dX = dN * R - dR * X * R**3 / len(X)
    return dict(dA=dA, dg=dg, dN=dN, dR=dR, dX=dX)


FAULTS = (
    Fault("dA", "(A - Y) / Y.size", "(A - Y) / 2", {"factor"}),
    Fault("dg", "dA * N", "dA * X", {"wrong_variable"}),
    Fault("dg", "np.sum(dA * N, axis=1, keepdims=True)", "dA * N", {"unsummed_axis", "shape"}),
    Fault("dN", "g * dA", "dA", {"missing_derivative"}),
    Fault("dR", "np.sum(dN * X", "np.mean(dN * X", {"factor"}),
    Fault("dR", "dN * X", "dA * X", {"wrong_variable", "missing_derivative"}),
    Fault("dX", "dN * R - dR", "dN * R + dR", {"wrong_sign_term"}),
    Fault("dX", " - dR * X * R**3 / len(X)", "", {"dropped_term"}),
    Fault("dX", "dN * R - dR", "dN - dR", {"missing_derivative"}),
    Fault("dX", "- dR * X", "- 2 * dR * X", {"doubled_term"}),
    Fault("dX", "/ len(X)", "/ len(X); dX[0, 0] = -dX[0, 0]", {"single_entry"}),
)
