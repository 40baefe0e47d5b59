"""Article 2 as published: cross-entropy of one sigmoid neuron, weights in a column.

Z = W' X + b,  A = 1 / (1 + e^-Z),  J = -1/m sum (Y log A + (1 - Y) log(1 - A));
W (n, 1), b scalar, X (n, m), Y (1, m).

ScratchML, "Understanding Deep Neural Networks from First Principles: Logistic Regression": dW = X (A - Y)' / m,
db = mean(A - Y). Nothing between the cost and the parameters is returned.
"""

import numpy as np

from cases.fault import Fault

SHAPES = "W: n 1; b:; X: n m; Y: 1 m"


def inputs(seed: int = 0, n: int = 4, m: int = 6) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return dict(
        W=rng.standard_normal((n, 1)),
        b=np.array(rng.standard_normal()),
        X=rng.standard_normal((n, m)),
        Y=rng.permutation(np.arange(m) % 2.0)[None],
    )


def forward(W, b, X, Y):
    Z = np.dot(W.T, X) + b
    A = 1 / (1 + np.exp(-Z))
    J = -np.mean(Y * np.log(A) + (1 - Y) * np.log(1 - A))
    return dict(Z=Z, A=A, J=J)


def backward(X, Y, A):
    m = X.shape[1]
    dW = np.dot(X, (A - Y).T) / m
    db = np.sum(A - Y) / m
    return dict(dW=dW, db=db)


FAULTS = (
    Fault("dW", "np.dot(X, (A - Y).T)", "np.dot(X, (Y - A).T)", {"sign"}),
    Fault("dW", ".T) / m", ".T)", {"factor"}),
    Fault("dW", "(A - Y).T", "((A - Y) * A * (1 - A)).T", {"doubled_derivative"}),
    Fault("dW", "(A - Y).T", "A.T", {"dropped_term"}),
    Fault("dW", "(A - Y).T", "(A + Y).T", {"wrong_sign_term"}),
    Fault("dW", ".T) / m", ".T) / m; dW[1, 0] *= 1 + 1e-6", {"single_entry"}),
    Fault("db", "np.sum(A - Y) / m", "np.sum(A - Y)", {"factor"}),
    Fault("db", "np.sum(A - Y) / m", "np.sum(A - Y) / X.shape[0]", {"factor"}),
    Fault("db", "np.sum(A - Y) / m", "(A - Y) / m", {"unsummed_axis", "shape"}),
)
