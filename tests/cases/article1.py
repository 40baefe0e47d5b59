"""Article 1, corrected: squared error of one sigmoid neuron.

Z = W' X + b,  A = s(Z) = 1 / (1 + e^-Z),  J = 1/(2m) sum (A - Y)^2;  W (n, 1), b scalar, X (n, m), Y (1, m).

dZ = dA A (1 - A). As published: published_article1.py; its slip is the first fault here.
"""

import numpy as np

from cases.fault import Fault

SHAPES = "W: n 1; b:; X: n m; Y: 1 m"


def inputs(seed: int = 0, n: int = 3, m: int = 5) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return dict(
        W=rng.standard_normal((n, 1)),
        b=np.array(rng.standard_normal()),
        X=rng.standard_normal((n, m)),
        Y=rng.permutation(np.arange(m) % 2.0)[None],
    )


def sigmoid(Z):
    return 1 / (1 + np.exp(-Z))


def forward(W, b, X, Y):
    Z = W.T @ X + b
    A = sigmoid(Z)
    J = np.sum((A - Y) ** 2) / (2 * X.shape[1])
    return dict(Z=Z, A=A, J=J)


def backward(X, Y, A):
    dA = (A - Y) / X.shape[1]
    dZ = dA * A * (1 - A)
    dW = X @ dZ.T
    db = np.sum(dZ)
    return dict(dA=dA, dZ=dZ, dW=dW, db=db)


FAULTS = (
    Fault("dZ", "dA * A * (1 - A)", "dA * sigmoid(A) * (1 - sigmoid(A))", {"wrong_variable"}),
    Fault("dZ", "dA * A * (1 - A)", "dA", {"missing_derivative"}),
    Fault("dZ", "dA * A * (1 - A)", "dA * (A * (1 - A)) ** 2", {"doubled_derivative"}),
    Fault("dA", "(A - Y) / X.shape[1]", "(Y - A) / X.shape[1]", {"sign"}),
    Fault("dA", "(A - Y) / X.shape[1]", "A - Y", {"factor"}),
    Fault("dA", "(A - Y)", "(A + Y)", {"wrong_sign_term"}),
    Fault("dW", "X @ dZ.T", "X @ dA.T", {"wrong_variable", "missing_derivative"}),
    Fault("dW", "X @ dZ.T", "X @ dZ.T / X.shape[1]", {"factor"}),
    Fault("db", "np.sum(dZ)", "np.mean(dZ)", {"factor"}),
    Fault("db", "np.sum(dZ)", "np.sum(dZ, axis=1)", {"shape", "unsummed_axis"}),
)
