"""Two residual blocks: each value is used twice, by the block and by the way around it.

H = tanh(W X + b),  A = X + H,  T = tanh(V A + c),  B = A + T,  J = 1/(2nm) sum (B - Y)^2;
W, V (n, n), b, c (n, 1), X, Y (n, m); Z and S are the arguments of the two tanh.

He et al., 2016: the adjoint of a value used twice is the sum of both ways.
"""

import numpy as np

from cases.fault import Fault

SHAPES = "X: n m; W: n n; b: n 1; V: n n; c: n 1; Y: n m"


def inputs(seed: int = 0, n: int = 3, m: int = 4) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return dict(
        X=rng.standard_normal((n, m)),
        W=rng.standard_normal((n, n)),
        b=rng.standard_normal((n, 1)),
        V=rng.standard_normal((n, n)),
        c=rng.standard_normal((n, 1)),
        Y=rng.standard_normal((n, m)),
    )


def forward(X, W, b, V, c, Y):
    Z = W @ X + b
    H = np.tanh(Z)
    A = X + H
    S = V @ A + c
    T = np.tanh(S)
    B = A + T
    J = np.mean((B - Y) ** 2) / 2
    return dict(Z=Z, H=H, A=A, S=S, T=T, B=B, J=J)


def backward(X, W, V, Y, Z, H, A, T, B):
    dB = (B - Y) / Y.size
    dT = dB
    dS = dT * (1 - T**2)
    dV = dS @ A.T
    dc = dS.sum(axis=1, keepdims=True)
    dA = dB + V.T @ dS
    dH = dA
    dZ = dH * (1 - H**2)
    dW = dZ @ X.T
    db = dZ.sum(axis=1, keepdims=True)
    dX = dA + W.T @ dZ
    return dict(dB=dB, dT=dT, dS=dS, dV=dV, dc=dc, dA=dA, dH=dH, dZ=dZ, dW=dW, db=db, dX=dX)


FAULTS = (
    Fault("dB", "(B - Y) / Y.size", "(B - Y) / Y.shape[1]", {"factor"}),
    Fault("dS", "dT * (1 - T**2)", "dT", {"missing_derivative"}),
    Fault("dS", "1 - T**2", "1 - H**2", {"wrong_variable"}),
    Fault("dV", "dS @ A.T", "A @ dS.T", {"transpose"}),
    Fault("dA", "dB + V.T @ dS", "V.T @ dS", {"overwritten", "dropped_term"}),
    Fault("dA", "dB + V.T @ dS", "dB - V.T @ dS", {"wrong_sign_term"}),
    Fault("dA", "dB + V.T @ dS", "dB + V @ dS", {"transpose"}),
    Fault("dA", "dB + V.T @ dS", "2 * dB + V.T @ dS", {"doubled_term"}),
    Fault("dH", "dH = dA", "dH = dB", {"wrong_variable", "dropped_term"}),
    Fault("dZ", "1 - H**2", "1 - Z**2", {"wrong_variable"}),
    Fault("dW", "dZ @ X.T", "dZ @ A.T", {"wrong_variable"}),
    Fault("dX", "dA + W.T @ dZ", "dA", {"dropped_term"}),
)
