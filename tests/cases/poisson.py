"""Poisson regression with the log link.

Z = W X + b,  R = e^Z,  J = mean(R - Y Z);  W (1, n), b (1, 1), X (n, m), Y (1, m) counts.

The negative log-likelihood without log Y! (McCullagh and Nelder, 1989). Z is used twice: in R and in the cost.
"""

import numpy as np

from cases.fault import Fault

SHAPES = "W: 1 n; b: 1 1; X: n m; Y: 1 m"


def inputs(seed: int = 0, n: int = 3, m: int = 6) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return dict(
        W=rng.standard_normal((1, n)),
        b=rng.standard_normal((1, 1)),
        X=rng.standard_normal((n, m)),
        Y=rng.poisson(2, (1, m)).astype(float),
    )


def forward(W, b, X, Y):
    Z = W @ X + b
    R = np.exp(Z)
    J = np.mean(R - Y * Z)
    return dict(Z=Z, R=R, J=J)


def backward(X, Y, Z, R):
    dR = np.ones_like(R) / R.size
    dZ = dR * R - Y / Y.size
    dW = dZ @ X.T
    db = dZ.sum(axis=1, keepdims=True)
    return dict(dR=dR, dZ=dZ, dW=dW, db=db)


FAULTS = (
    Fault("dR", "np.ones_like(R) / R.size", "np.ones_like(R)", {"factor"}),
    Fault("dZ", "dR * R - Y / Y.size", "dR * R", {"dropped_term"}),
    Fault("dZ", "dR * R - Y / Y.size", "-Y / Y.size", {"dropped_term", "overwritten"}),
    Fault("dZ", "- Y / Y.size", "+ Y / Y.size", {"wrong_sign_term"}),
    Fault("dZ", "dR * R -", "dR -", {"missing_derivative"}),
    Fault("dZ", "dR * R -", "dR * Z -", {"wrong_variable"}),
    Fault("dZ", "- Y / Y.size", "- 2 * Y / Y.size", {"doubled_term"}),
    Fault("dW", "dZ @ X.T", "dZ @ X.T; dW[0, -1] *= 1 + 1e-7", {"single_entry"}),
    Fault("dW", "dZ @ X.T", "-dZ @ X.T", {"sign"}),
    Fault("db", "dZ.sum(axis=1", "dZ.mean(axis=1", {"factor"}),
)
