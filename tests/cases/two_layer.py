"""Two-layer network: tanh, then sigmoid with cross-entropy.

Z1 = W1 X + b1,  H = tanh Z1,  Z2 = W2 H + b2,  A = 1 / (1 + e^-Z2),  J = -mean(Y log A + (1 - Y) log(1 - A));
W1 (h, n), b1 (h, 1), W2 (1, h), b2 (1, 1), X (n, m), Y (1, m).

Rumelhart, Hinton and Williams, 1986; tanh' = 1 - tanh^2. A has no adjoint of its own: dZ2 = (A - Y) / m.
"""

import numpy as np

from cases.fault import Fault

SHAPES = "W1: h n; b1: h 1; W2: 1 h; b2: 1 1; X: n m; Y: 1 m"


def inputs(seed: int = 0, n: int = 3, h: int = 4, m: int = 6) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return dict(
        W1=rng.standard_normal((h, n)),
        b1=rng.standard_normal((h, 1)),
        W2=rng.standard_normal((1, h)),
        b2=rng.standard_normal((1, 1)),
        X=rng.standard_normal((n, m)),
        Y=rng.permutation(np.arange(m) % 2.0)[None],
    )


def forward(W1, b1, W2, b2, X, Y):
    Z1 = W1 @ X + b1
    H = np.tanh(Z1)
    Z2 = W2 @ H + b2
    A = 1 / (1 + np.exp(-Z2))
    J = -np.mean(Y * np.log(A) + (1 - Y) * np.log(1 - A))
    return dict(Z1=Z1, H=H, Z2=Z2, A=A, J=J)


def backward(W2, X, Y, Z1, H, A):
    dZ2 = (A - Y) / Y.shape[1]
    dW2 = dZ2 @ H.T
    db2 = dZ2.sum(axis=1, keepdims=True)
    dH = W2.T @ dZ2
    dZ1 = dH * (1 - H**2)
    dW1 = dZ1 @ X.T
    db1 = dZ1.sum(axis=1, keepdims=True)
    return dict(dZ2=dZ2, dW2=dW2, db2=db2, dH=dH, dZ1=dZ1, dW1=dW1, db1=db1)


FAULTS = (
    Fault("dZ2", "(A - Y) / Y.shape[1]", "2 * (A - Y) / Y.shape[1]", {"factor"}),
    Fault("dW2", "dZ2 @ H.T", "dZ2 @ Z1.T", {"wrong_variable"}),
    Fault("dW2", "dZ2 @ H.T", "H @ dZ2.T", {"transpose", "shape"}),
    Fault("db2", "db2 = dZ2.sum", "db2 = dZ2.mean", {"factor"}),
    Fault("dH", "W2.T @ dZ2", "-W2.T @ dZ2", {"sign"}),
    Fault("dZ1", "1 - H**2", "1 - Z1**2", {"wrong_variable"}),
    Fault("dZ1", "1 - H**2", "1 - np.tanh(H) ** 2", {"wrong_variable"}),
    Fault("dZ1", "dH * (1 - H**2)", "dH", {"missing_derivative"}),
    Fault("dZ1", "(1 - H**2)", "(1 - H**2) ** 2", {"doubled_derivative"}),
    Fault("dZ1", "1 - H**2", "1 + H**2", {"wrong_sign_term"}),
    Fault("dW1", "dZ1 @ X.T", "dH @ X.T", {"missing_derivative", "wrong_variable"}),
    Fault("dW1", "dZ1 @ X.T", "dZ1 @ X.T; dW1[1, 2] = 0", {"single_entry"}),
    Fault("db1", "db1 = dZ1.sum(axis=1, keepdims=True)", "db1 = dZ1", {"unsummed_axis", "shape"}),
)
