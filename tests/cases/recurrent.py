"""A recurrent network over three steps, back-propagation through time, squared error at the end.

H_t = tanh(W X_t + U H_t-1 + b), H_0 = 0,  J = 1/(2hm) sum (H_3 - Y)^2;
X (3, n, m), W (h, n), U (h, h), b (h, 1), Y (h, m).

Werbos, 1990. W, U and b are used at every step: their adjoints are accumulated.
"""

import numpy as np

from cases.fault import Fault

SHAPES = "X: 3 n m; W: h n; U: h h; b: h 1; Y: h m"


def inputs(seed: int = 0, n: int = 2, h: int = 3, m: int = 4) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return dict(
        X=rng.standard_normal((3, n, m)),
        W=rng.standard_normal((h, n)),
        U=rng.standard_normal((h, h)),
        b=rng.standard_normal((h, 1)),
        Y=rng.standard_normal((h, m)),
    )


def forward(X, W, U, b, Y):
    H1 = np.tanh(W @ X[0] + b)
    H2 = np.tanh(W @ X[1] + U @ H1 + b)
    H3 = np.tanh(W @ X[2] + U @ H2 + b)
    J = np.mean((H3 - Y) ** 2) / 2
    return dict(H1=H1, H2=H2, H3=H3, J=J)


def backward(X, W, U, Y, H1, H2, H3):
    dH3 = (H3 - Y) / Y.size
    dH2 = U.T @ (dH3 * (1 - H3**2))
    dH1 = U.T @ (dH2 * (1 - H2**2))
    Z1, Z2, Z3 = dH1 * (1 - H1**2), dH2 * (1 - H2**2), dH3 * (1 - H3**2)
    dW = Z1 @ X[0].T + Z2 @ X[1].T + Z3 @ X[2].T
    dU = Z2 @ H1.T + Z3 @ H2.T
    db = (Z1 + Z2 + Z3).sum(axis=1, keepdims=True)
    dX = np.stack([W.T @ Z1, W.T @ Z2, W.T @ Z3])
    return dict(dH3=dH3, dH2=dH2, dH1=dH1, dW=dW, dU=dU, db=db, dX=dX)


FAULTS = (
    Fault("dH3", "(H3 - Y) / Y.size", "(H3 - Y) / len(Y)", {"factor"}),
    Fault("dH2", "U.T @ (dH3 * (1 - H3**2))", "U.T @ dH3", {"missing_derivative"}),
    Fault("dH2", "U.T @ (dH3", "U @ (dH3", {"transpose"}),
    Fault("dH1", "U.T @ (dH2 * (1 - H2**2))", "U.T @ (dH2 * (1 - H1**2))", {"wrong_variable", "off_by_one"}),
    Fault("dH1", "U.T @ (dH2 * (1 - H2**2))", "U.T @ (dH2 * (1 - H2**2) ** 2)", {"doubled_derivative"}),
    Fault("dW", "Z1 @ X[0].T + Z2 @ X[1].T + Z3 @ X[2].T", "Z3 @ X[2].T", {"overwritten", "dropped_term"}),
    Fault("dW", "Z2 @ X[1].T", "Z2 @ X[0].T", {"off_by_one", "wrong_variable"}),
    Fault("dW", "Z2 @ X[1].T", "2 * Z2 @ X[1].T", {"doubled_term"}),
    Fault("dU", "Z2 @ H1.T + Z3 @ H2.T", "Z2 @ H2.T + Z3 @ H3.T", {"off_by_one", "wrong_variable"}),
    Fault("dU", "Z2 @ H1.T + Z3 @ H2.T", "H1 @ Z2.T + H2 @ Z3.T", {"transpose"}),
    Fault("db", "Z1 + Z2 + Z3", "Z1 + Z2 - Z3", {"wrong_sign_term"}),
    Fault("db", "(Z1 + Z2 + Z3)", "Z3", {"overwritten", "dropped_term"}),
    Fault("dX", "W.T @ Z1, W.T @ Z2, W.T @ Z3", "W.T @ Z2, W.T @ Z3, W.T @ Z1", {"off_by_one"}),
)
