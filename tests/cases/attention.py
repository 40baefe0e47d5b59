"""One attention head, squared error.

Q = X Wq,  K = X Wk,  V = X Wv,  S = Q K' / sqrt(h),  P = softmax of each row of S,  O = P V,
J = 1/(2th) sum (O - Y)^2;  X (t, d), Wq, Wk, Wv (d, h), Y (t, h).

Vaswani et al., 2017, equation 1. X is used three times.
"""

import numpy as np

from cases.fault import Fault

SHAPES = "X: t d; Wq: d h; Wk: d h; Wv: d h; Y: t h"


def inputs(seed: int = 0, t: int = 4, d: int = 5, h: int = 3) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return dict(
        X=rng.standard_normal((t, d)),
        Wq=rng.standard_normal((d, h)),
        Wk=rng.standard_normal((d, h)),
        Wv=rng.standard_normal((d, h)),
        Y=rng.standard_normal((t, h)),
    )


def forward(X, Wq, Wk, Wv, Y):
    Q = X @ Wq
    K = X @ Wk
    V = X @ Wv
    S = Q @ K.T * Q.shape[1] ** -0.5
    E = np.exp(S - S.max(axis=1, keepdims=True))
    P = E / E.sum(axis=1, keepdims=True)
    O = P @ V  # noqa: E741
    J = np.mean((O - Y) ** 2) / 2
    return dict(Q=Q, K=K, V=V, S=S, P=P, O=O, J=J)


def backward(X, Wq, Wk, Wv, Y, Q, K, V, P, O):  # noqa: E741
    scale = Q.shape[1] ** -0.5
    dO = (O - Y) / Y.size
    dV = P.T @ dO
    dP = dO @ V.T
    dS = P * (dP - np.sum(P * dP, axis=1, keepdims=True))
    dQ = scale * (dS @ K)
    dK = scale * (dS.T @ Q)
    dWq = X.T @ dQ
    dWk = X.T @ dK
    dWv = X.T @ dV
    dX = dQ @ Wq.T + dK @ Wk.T + dV @ Wv.T
    return dict(dO=dO, dV=dV, dP=dP, dS=dS, dQ=dQ, dK=dK, dWq=dWq, dWk=dWk, dWv=dWv, dX=dX)


FAULTS = (
    Fault("dO", "(O - Y) / Y.size", "2 * (O - Y) / Y.size", {"factor"}),
    Fault("dV", "P.T @ dO", "P @ dO", {"transpose"}),
    Fault("dP", "dO @ V.T", "dO @ K.T", {"wrong_variable"}),
    Fault("dS", "P * (dP - np.sum(P * dP, axis=1, keepdims=True))", "P * dP", {"dropped_term"}),
    Fault("dS", "axis=1", "axis=0", {"summed_axis"}),
    Fault("dS", "dP - np.sum", "dP + np.sum", {"wrong_sign_term"}),
    Fault("dQ", "scale * (dS @ K)", "dS @ K", {"factor"}),
    Fault("dQ", "dS @ K", "dS @ Q", {"wrong_variable"}),
    Fault("dK", "dS.T @ Q", "dS @ Q", {"transpose"}),
    Fault("dK", "scale * (dS.T @ Q)", "-scale * (dS.T @ Q)", {"sign"}),
    Fault("dWk", "X.T @ dK", "X.T @ dQ", {"wrong_variable"}),
    Fault("dWv", "X.T @ dV", "X.T @ dV.astype(np.float32)", {"low_precision"}),
    Fault("dX", " + dK @ Wk.T", "", {"dropped_term"}),
    Fault("dX", "dQ @ Wq.T + dK @ Wk.T + dV @ Wv.T", "dV @ Wv.T", {"overwritten", "dropped_term"}),
    Fault("dX", "dK @ Wk.T +", "2 * dK @ Wk.T +", {"doubled_term"}),
)
