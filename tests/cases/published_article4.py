"""Article 4 as published: cross-entropy of one sigmoid neuron, weights in a row.

Z = W X + b,  A = 1 / (1 + e^-Z),  J = -1/m sum (Y log A + (1 - Y) log(1 - A));  W (1, n), b scalar, X (n, m), Y (1, m).

"Logistic regression as a single-neuron network" (celebrity photographs): dW = (A - Y) X' / m, db = mean(A - Y).
"""

import numpy as np

from cases.fault import Fault

SHAPES = "W: 1 n; b:; X: n m; Y: 1 m"


def inputs(seed: int = 0, n: int = 5, m: int = 4) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return dict(
        W=rng.standard_normal((1, n)),
        b=np.array(rng.standard_normal()),
        X=rng.standard_normal((n, m)),
        Y=rng.permutation(np.arange(m) % 2.0)[None],
    )


def forward(W, b, X, Y):
    m = X.shape[1]
    Z = np.dot(W, X) + b
    A = 1 / (1 + np.exp(-Z))
    J = (-1 / m) * np.sum(Y * np.log(A) + (1 - Y) * np.log(1 - A))
    return dict(Z=Z, A=A, J=J)


def backward(X, Y, A):
    m = X.shape[1]
    dZ = (A - Y) / m
    dW = np.dot(dZ, X.T)
    db = np.sum(dZ)
    return dict(dZ=dZ, dW=dW, db=db)


FAULTS = (
    Fault("dZ", "(A - Y) / m", "(Y - A) / m", {"sign"}),
    Fault("dZ", "(A - Y) / m", "A - Y", {"factor"}),
    Fault("dZ", "(A - Y) / m", "(A - Y) * A * (1 - A) / m", {"doubled_derivative"}),
    Fault("dZ", "(A - Y) / m", "A / m", {"dropped_term"}),
    Fault("dW", "np.dot(dZ, X.T)", "np.dot(dZ, X.T) / m", {"factor"}),
    Fault("dW", "np.dot(dZ, X.T)", "np.dot(A - Y, X.T)", {"factor"}),
    Fault("dW", "np.dot(dZ, X.T)", "np.dot(A, X.T) / m", {"dropped_term", "wrong_variable"}),
    Fault("dW", "np.dot(dZ, X.T)", "np.dot(X, dZ.T)", {"transpose", "shape"}),
    Fault("db", "np.sum(dZ)", "-np.sum(dZ)", {"sign"}),
    Fault("db", "np.sum(dZ)", "np.sum(dZ) / X.shape[0]", {"factor"}),
)
