"""Softmax regression through log-sum-exp, integer labels.

Z = W X + b,  S = log sum_k e^Z,  T = Z[Y],  J = mean(S - T);  W (k, n), b (k, 1), X (n, m), Y (m,) of 0 .. k-1.

dS/dZ = e^(Z - S) is the softmax; Z is used twice. Shifted by the maximum: Blanchard, Higham and Higham, 2021.
"""

import numpy as np

from cases.fault import Fault

SHAPES = "W: k n; b: k 1; X: n m; Y: m"


def inputs(seed: int = 0, n: int = 3, k: int = 4, m: int = 6) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return dict(
        W=rng.standard_normal((k, n)),
        b=rng.standard_normal((k, 1)),
        X=rng.standard_normal((n, m)),
        Y=rng.integers(0, k, m),
    )


def forward(W, b, X, Y):
    Z = W @ X + b
    largest = Z.max(axis=0)
    S = largest + np.log(np.sum(np.exp(Z - largest), axis=0))
    T = Z[Y, np.arange(len(Y))]
    J = np.mean(S - T)
    return dict(Z=Z, S=S, T=T, J=J)


def backward(X, Y, Z, S, T):
    dS = np.ones_like(S) / len(Y)
    dT = -np.ones_like(T) / len(Y)
    dZ = np.exp(Z - S) * dS + (np.arange(len(Z))[:, None] == Y) * dT
    dW = dZ @ X.T
    db = dZ.sum(axis=1, keepdims=True)
    return dict(dS=dS, dT=dT, dZ=dZ, dW=dW, db=db)


FAULTS = (
    Fault("dS", "dS = np.ones_like(S) / len(Y)", "dS = np.ones_like(S)", {"factor"}),
    Fault("dT", "-np.ones_like(T)", "np.ones_like(T)", {"sign"}),
    Fault("dZ", " + (np.arange(len(Z))[:, None] == Y) * dT", "", {"dropped_term"}),
    Fault("dZ", "np.exp(Z - S) * dS +", "", {"dropped_term", "overwritten"}),
    Fault("dZ", "+ (np.arange", "- (np.arange", {"wrong_sign_term"}),
    Fault("dZ", "+ (np.arange", "+ 2 * (np.arange", {"doubled_term"}),
    Fault("dZ", "np.arange(len(Z))", "np.arange(1, len(Z) + 1)", {"off_by_one", "wrong_variable"}),
    Fault("dZ", "np.exp(Z - S)", "(Z - S)", {"missing_derivative", "wrong_variable"}),
    Fault("dW", "dZ @ X.T", "-dZ @ X.T", {"sign"}),
    Fault("dW", "dZ @ X.T", "dZ @ X.T; dW[2, 1] *= 1.001", {"single_entry"}),
    Fault("dW", "dZ @ X.T", "(dZ.astype(np.float32) @ X.T.astype(np.float32)).astype(dZ.dtype)", {"low_precision"}),
    Fault("db", "dZ.sum(axis=1", "dZ.mean(axis=1", {"factor"}),
    Fault("db", "dZ.sum(axis=1, keepdims=True)", "dZ.sum(axis=1)", {"shape"}),
)
