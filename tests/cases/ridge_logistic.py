"""Logistic regression with an L2 penalty on the weights, none on the bias.

Z = W X + b,  A = 1 / (1 + e^-Z),  J = -mean(Y log A + (1 - Y) log(1 - A)) + lambda/2 sum W^2, lambda = 0.3;
W (1, n), b (1, 1), X (n, m), Y (1, m).

Hastie, Tibshirani and Friedman, "The Elements of Statistical Learning", 4.4 and 18.4.
"""

import numpy as np

from cases.fault import Fault

SHAPES = "W: 1 n; b: 1 1; X: n m; Y: 1 m"
LAMBDA = 0.3


def inputs(seed: int = 0, n: int = 4, m: int = 6) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return dict(
        W=rng.standard_normal((1, n)),
        b=rng.standard_normal((1, 1)),
        X=rng.standard_normal((n, m)),
        Y=rng.permutation(np.arange(m) % 2.0)[None],
    )


def forward(W, b, X, Y):
    Z = W @ X + b
    A = 1 / (1 + np.exp(-Z))
    J = -np.mean(Y * np.log(A) + (1 - Y) * np.log(1 - A)) + LAMBDA / 2 * np.sum(W**2)
    return dict(Z=Z, A=A, J=J)


def backward(W, b, X, Y, A):
    dZ = (A - Y) / X.shape[1]
    dW = dZ @ X.T + LAMBDA * W
    db = dZ.sum(axis=1, keepdims=True)
    return dict(dZ=dZ, dW=dW, db=db)


FAULTS = (
    Fault("dZ", "(A - Y) / X.shape[1]", "A - Y", {"factor"}),
    Fault("dZ", "A - Y", "Y - A", {"sign"}),
    Fault("dW", " + LAMBDA * W", "", {"dropped_term"}),
    Fault("dW", "+ LAMBDA * W", "- LAMBDA * W", {"wrong_sign_term"}),
    Fault("dW", "+ LAMBDA * W", "+ 2 * LAMBDA * W", {"doubled_term"}),
    Fault("dW", "dZ @ X.T + LAMBDA * W", "LAMBDA * W", {"overwritten", "dropped_term"}),
    Fault("dW", "dZ @ X.T +", "-dZ @ X.T +", {"wrong_sign_term"}),
    Fault("db", "dZ.sum(axis=1, keepdims=True)", "dZ.sum(axis=1, keepdims=True) + LAMBDA * b", {"penalty_on_bias"}),
    Fault("db", "dZ.sum(axis=1, keepdims=True)", "dZ.mean(axis=1, keepdims=True)", {"factor"}),
)
