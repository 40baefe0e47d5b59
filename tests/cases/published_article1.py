"""Article 1 as published: squared error of one sigmoid neuron, with its slip.

Z = W' X + b,  A = s(Z) = 1 / (1 + e^-Z),  J = 1/(2m) sum (A - Y)^2;  W (n, 1), b scalar, X (n, m), Y (1, m).

Malhotra, "Demystifying Gradient Descent and Backpropagation via Logistic Regression based Image Classification". The
notebook multiplies by s(A) (1 - s(A)), where A is s(Z) already: dZ is wrong. Here the adjoints are named for what they
are derivatives of, and 1/m, which the notebook applies last, stands in dA; dW and db are the notebook's.
"""

import numpy as np

SHAPES = "W: n 1; b:; X: n m; Y: 1 m"
SLIP = True
FAULTS = ()


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
    dZ = dA * sigmoid(A) * (1 - sigmoid(A))
    dW = X @ dZ.T
    db = np.sum(dZ)
    return dict(dA=dA, dZ=dZ, dW=dW, db=db)
