"""Softmax regression with cross-entropy, one-hot labels, the softmax differentiated as it stands.

Z = W X + b,  P = e^Z / sum_k e^Z,  J = -1/m sum Y log P;  W (k, n), b (k, 1), X (n, m), Y (k, m) one-hot.

Bishop, "Pattern Recognition and Machine Learning", 4.3.4: dP_i/dZ_j = P_i (delta_ij - P_j), so
dZ = P (dP - sum_k P dP).
"""

import numpy as np

from cases.fault import Fault

SHAPES = "W: k n; b: k 1; X: n m; Y: k m"


def inputs(seed: int = 0, n: int = 3, k: int = 4, m: int = 6) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return dict(
        W=rng.standard_normal((k, n)),
        b=rng.standard_normal((k, 1)),
        X=rng.standard_normal((n, m)),
        Y=np.eye(k)[:, rng.integers(0, k, m)],
    )


def softmax(Z):
    E = np.exp(Z - Z.max(axis=0))
    return E / E.sum(axis=0)


def forward(W, b, X, Y):
    Z = W @ X + b
    P = softmax(Z)
    J = -np.sum(Y * np.log(P)) / X.shape[1]
    return dict(Z=Z, P=P, J=J)


def backward(X, Y, Z, P):
    dP = -Y / P / X.shape[1]
    dZ = P * (dP - np.sum(P * dP, axis=0))
    dW = dZ @ X.T
    db = dZ.sum(axis=1, keepdims=True)
    return dict(dP=dP, dZ=dZ, dW=dW, db=db)


FAULTS = (
    Fault("dP", "-Y / P", "Y / P", {"sign"}),
    Fault("dP", "-Y / P / X.shape[1]", "-Y / P", {"factor"}),
    Fault("dP", "-Y / P / X.shape[1]", "(P - Y) / X.shape[1]", {"wrong_variable", "dropped_term"}),
    Fault("dZ", "P * (dP - np.sum(P * dP, axis=0))", "P * dP", {"dropped_term"}),
    Fault("dZ", "P * (dP - np.sum(P * dP, axis=0))", "P * (1 - P) * dP", {"dropped_term", "unsummed_axis"}),
    Fault("dZ", "dP - np.sum", "dP + np.sum", {"wrong_sign_term"}),
    Fault("dZ", "np.sum(P * dP, axis=0)", "np.sum(P * dP, axis=1, keepdims=True)", {"summed_axis"}),
    Fault("dZ", "np.sum(P * dP, axis=0)", "np.sum(P * dP)", {"summed_axis"}),
    Fault("dZ", "P * (dP -", "Z * (dP -", {"wrong_variable"}),
    Fault("dW", "dZ @ X.T", "dP @ X.T", {"wrong_variable", "missing_derivative"}),
    Fault("dW", "dZ @ X.T", "X @ dZ.T", {"transpose", "shape"}),
    Fault("db", "dZ.sum(axis=1, keepdims=True)", "dZ.sum(axis=0, keepdims=True)", {"summed_axis", "shape"}),
)
