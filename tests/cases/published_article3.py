"""Article 3 as published: the chain rule of one sigmoid neuron, step by step.

Z = W X + b,  A = 1 / (1 + e^-Z),  L = -(Y log A + (1 - Y) log(1 - A)),  J = 1/m sum L;
W (1, n), b (1, 1), X (n, m), Y (1, m).

Gupta, "Neural Networks and Deep Learning": dA = -Y/A + (1 - Y)/(1 - A), dZ = dA A (1 - A), dW = dZ X', db = sum dZ. The
article writes them for one example; here 1/m stands in dA. L has no adjoint in the article.
"""

import numpy as np

from cases.fault import Fault

SHAPES = "W: 1 n; b: 1 1; X: n m; Y: 1 m"


def inputs(seed: int = 0, n: int = 3, m: int = 5) -> dict[str, np.ndarray]:
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
    L = -(Y * np.log(A) + (1 - Y) * np.log(1 - A))
    J = np.sum(L) / X.shape[1]
    return dict(Z=Z, A=A, L=L, J=J)


def backward(X, Y, A):
    m = X.shape[1]
    dA = (-Y / A + (1 - Y) / (1 - A)) / m
    dZ = dA * A * (1 - A)
    dW = dZ @ X.T
    db = dZ.sum(axis=1, keepdims=True)
    return dict(dA=dA, dZ=dZ, dW=dW, db=db)


FAULTS = (
    Fault("dA", "-Y / A + (1 - Y) / (1 - A)", "Y / A + (1 - Y) / (1 - A)", {"wrong_sign_term"}),
    Fault("dA", "-Y / A + (1 - Y) / (1 - A)", "-Y / A", {"dropped_term"}),
    Fault("dA", "-Y / A + (1 - Y) / (1 - A)", "Y / A - (1 - Y) / (1 - A)", {"sign"}),
    Fault("dA", ") / m", ")", {"factor"}),
    Fault("dZ", "dA * A * (1 - A)", "dA", {"missing_derivative"}),
    Fault("dZ", "dA * A * (1 - A)", "A - Y", {"factor"}),
    Fault("dZ", "dA * A * (1 - A)", "dA * A * (1 + A)", {"wrong_sign_term"}),
    Fault("dW", "dZ @ X.T", "X @ dZ.T", {"transpose", "shape"}),
    Fault("dW", "dZ @ X.T", "dZ.astype(np.float32) @ X.T", {"low_precision"}),
    Fault("db", ".sum(axis=1, keepdims=True)", ".mean(axis=1, keepdims=True)", {"factor"}),
)
