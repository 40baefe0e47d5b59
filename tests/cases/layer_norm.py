"""Layer normalisation of each column, every step named, squared error.

U = mean_n X,  C = X - U,  V = mean_n C^2,  R = (V + eps)^-1/2,  N = C R,  A = g N + b,  J = 1/(2nm) sum (A - Y)^2;
X, Y (n, m), g, b (n, 1), U, V, R (1, m).

Ba, Kiros and Hinton, 2016. C is used twice (N and V), so dC has two terms; so has dX (C and U).
"""

import numpy as np

from cases.fault import Fault

SHAPES = "X: n m; g: n 1; b: n 1; Y: n m"
EPS = 1e-3


def inputs(seed: int = 0, n: int = 5, m: int = 4) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return dict(
        X=rng.standard_normal((n, m)),
        g=rng.standard_normal((n, 1)),
        b=rng.standard_normal((n, 1)),
        Y=rng.standard_normal((n, m)),
    )


def forward(X, g, b, Y):
    U = X.mean(axis=0, keepdims=True)
    C = X - U
    V = np.mean(C**2, axis=0, keepdims=True)
    R = 1 / np.sqrt(V + EPS)
    N = C * R
    A = g * N + b
    J = np.mean((A - Y) ** 2) / 2
    return dict(U=U, C=C, V=V, R=R, N=N, A=A, J=J)


def backward(X, g, Y, C, R, N, A):
    n = len(X)
    dA = (A - Y) / Y.size
    dg = np.sum(dA * N, axis=1, keepdims=True)
    db = dA.sum(axis=1, keepdims=True)
    dN = g * dA
    dR = np.sum(dN * C, axis=0, keepdims=True)
    dV = -dR * R**3 / 2
    dC = dN * R + 2 * C * dV / n
    dU = -dC.sum(axis=0, keepdims=True)
    dX = dC + dU / n
    return dict(dA=dA, dg=dg, db=db, dN=dN, dR=dR, dV=dV, dC=dC, dU=dU, dX=dX)


FAULTS = (
    Fault("dA", "(A - Y) / Y.size", "(A - Y) / n", {"factor"}),
    Fault("dg", "np.sum(dA * N, axis=1, keepdims=True)", "dA * N", {"unsummed_axis", "shape"}),
    Fault("dg", "dA * N", "dA * C", {"wrong_variable"}),
    Fault("dg", "np.sum(dA * N,", "np.sum(dA * N.astype(np.float32),", {"low_precision"}),
    Fault("db", "dA.sum(axis=1", "dA.mean(axis=1", {"factor"}),
    Fault("dN", "g * dA", "dA", {"missing_derivative"}),
    Fault("dR", "np.sum(dN * C, axis=0, keepdims=True)", "np.sum(dN * C, keepdims=True)", {"summed_axis", "shape"}),
    Fault("dV", "-dR * R**3 / 2", "dR * R**3 / 2", {"sign"}),
    Fault("dV", "-dR * R**3 / 2", "-dR * R**3", {"factor"}),
    Fault("dC", " + 2 * C * dV / n", "", {"dropped_term"}),
    Fault("dC", "dN * R + 2 * C * dV / n", "2 * C * dV / n", {"overwritten", "dropped_term"}),
    Fault("dC", "+ 2 * C", "+ 4 * C", {"doubled_term"}),
    Fault("dU", "-dC.sum", "dC.sum", {"sign"}),
    Fault("dX", "dC + dU / n", "dC", {"dropped_term"}),
    Fault("dX", "dC + dU / n", "dC - dU / n", {"wrong_sign_term"}),
)
