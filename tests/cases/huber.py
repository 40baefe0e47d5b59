"""Linear regression with the Huber loss, delta = 1.

Z = W X + b,  E = Z - Y,  L = E^2 / 2 where |E| <= 1, else |E| - 1/2,  J = mean L;
W (1, n), b (1, 1), X (n, m), Y (1, m).

Huber, 1964: dL/dE is E, clipped to [-1, 1]. The derivative is continuous at |E| = 1, the second one is not.
"""

import numpy as np

from cases.fault import Fault

SHAPES = "W: 1 n; b: 1 1; X: n m; Y: 1 m"


def inputs(seed: int = 0, n: int = 3, m: int = 20) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return dict(
        W=rng.standard_normal((1, n)),
        b=rng.standard_normal((1, 1)),
        X=rng.standard_normal((n, m)),
        Y=2 * rng.standard_normal((1, m)),
    )


def forward(W, b, X, Y):
    Z = W @ X + b
    E = Z - Y
    L = np.where(np.abs(E) <= 1, E**2 / 2, np.abs(E) - 0.5)
    J = np.mean(L)
    return dict(Z=Z, E=E, L=L, J=J)


def backward(X, Y, Z, E, L):
    dL = np.ones_like(L) / L.size
    dE = dL * np.where(np.abs(E) <= 1, E, np.sign(E))
    dZ = dE
    dY = -dE
    dW = dZ @ X.T
    db = dZ.sum(axis=1, keepdims=True)
    return dict(dL=dL, dE=dE, dZ=dZ, dY=dY, dW=dW, db=db)


FAULTS = (
    Fault("dL", "np.ones_like(L) / L.size", "np.ones_like(L)", {"factor"}),
    Fault("dE", "dL * np.where(np.abs(E) <= 1, E, np.sign(E))", "dL", {"missing_derivative"}),
    Fault("dE", "np.sign(E))", "1)", {"missing_derivative", "sign"}),
    Fault("dE", "np.where(np.abs(E) <= 1, E, np.sign(E))", "E", {"wrong_variable", "missing_derivative"}),
    Fault("dE", "<= 1, E,", "<= 1, Z,", {"wrong_variable"}),
    Fault("dZ", "dZ = dE", "dZ = -dE", {"sign"}),
    Fault("dY", "dY = -dE", "dY = dE", {"sign"}),
    Fault("dW", "dZ @ X.T", "dZ @ X.T / X.shape[1]", {"factor"}),
    Fault("dW", "dZ @ X.T", "dZ.astype(np.float32) @ X.T", {"low_precision"}),
    Fault(
        "db",
        "dZ.sum(axis=1, keepdims=True)",
        "dZ.sum(axis=0, keepdims=True)",
        {"summed_axis", "unsummed_axis", "shape"},
    ),
)
