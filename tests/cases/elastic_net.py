"""Linear regression with the elastic net: L1 and L2 penalties on the weights, none on the bias.

Z = W X + b,  J = 1/(2m) sum (Z - Y)^2 + lambda_1 sum |W| + lambda_2/2 sum W^2, lambda_1 = 0.2, lambda_2 = 0.5;
W (1, n), b (1, 1), X (n, m), Y (1, m).

Zou and Hastie, 2005. Not differentiable where a weight is 0.
"""

import numpy as np

from cases.fault import Fault

SHAPES = "W: 1 n; b: 1 1; X: n m; Y: 1 m"
L1 = 0.2
L2 = 0.5


def inputs(seed: int = 0, n: int = 8, m: int = 4) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return dict(
        W=rng.standard_normal((1, n)),
        b=rng.standard_normal((1, 1)),
        X=rng.standard_normal((n, m)),
        Y=rng.standard_normal((1, m)),
    )


def forward(W, b, X, Y):
    Z = W @ X + b
    J = np.mean((Z - Y) ** 2) / 2 + L1 * np.sum(np.abs(W)) + L2 / 2 * np.sum(W**2)
    return dict(Z=Z, J=J)


def backward(W, b, X, Y, Z):
    dZ = (Z - Y) / X.shape[1]
    dW = dZ @ X.T + L1 * np.sign(W) + L2 * W
    db = dZ.sum(axis=1, keepdims=True)
    return dict(dZ=dZ, dW=dW, db=db)


FAULTS = (
    Fault("dZ", "(Z - Y) / X.shape[1]", "2 * (Z - Y) / X.shape[1]", {"factor"}),
    Fault("dW", " + L1 * np.sign(W)", "", {"dropped_term"}),
    Fault("dW", " + L2 * W", "", {"dropped_term"}),
    Fault("dW", "L1 * np.sign(W)", "L1", {"missing_derivative", "sign"}),
    Fault("dW", "L1 * np.sign(W)", "L1 * np.abs(W)", {"wrong_variable", "missing_derivative"}),
    Fault("dW", "+ L2 * W", "- L2 * W", {"wrong_sign_term"}),
    Fault("dW", "+ L2 * W", "+ 2 * L2 * W", {"doubled_term"}),
    Fault("db", "dZ.sum(axis=1, keepdims=True)", "dZ.sum(axis=1, keepdims=True) + L2 * b", {"penalty_on_bias"}),
    Fault("db", "dZ.sum(axis=1, keepdims=True)", "-dZ.sum(axis=1, keepdims=True)", {"sign"}),
)
