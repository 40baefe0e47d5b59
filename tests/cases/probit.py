"""Probit regression, the normal distribution function from SciPy.

Z = W X + b,  P = Phi((2Y - 1) Z),  J = -mean(log P);  W (1, n), b (1, 1), X (n, m), Y (1, m) of 0 and 1.

McCullagh and Nelder, 1989: Phi' = e^(-z^2/2) / sqrt(2 pi). SciPy does not run on jax.numpy,
and its Phi has no long double; sqrt(2 pi) is a double.
"""

import numpy as np
from scipy.special import ndtr

from cases.fault import Fault

SHAPES = "W: 1 n; b: 1 1; X: n m; Y: 1 m"
TRACEABLE = False


def inputs(seed: int = 0, n: int = 3, m: int = 5) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return dict(
        W=rng.standard_normal((1, n)),
        b=rng.standard_normal((1, 1)),
        X=rng.standard_normal((n, m)),
        Y=rng.permutation(np.arange(m) % 2.0)[None],
    )


def density(Z):
    return np.exp(-(Z**2) / 2) * (2 * np.pi) ** -0.5


def forward(W, b, X, Y):
    Z = W @ X + b
    P = ndtr((2 * Y - 1) * Z)
    J = -np.mean(np.log(P))
    return dict(Z=Z, P=P, J=J)


def backward(X, Y, Z, P):
    dP = -1 / P / X.shape[1]
    dZ = dP * density(Z) * (2 * Y - 1)
    dW = dZ @ X.T
    db = dZ.sum(axis=1, keepdims=True)
    return dict(dP=dP, dZ=dZ, dW=dW, db=db)


FAULTS = (
    Fault("dP", "-1 / P", "1 / P", {"sign"}),
    Fault("dP", "-1 / P / X.shape[1]", "-1 / P", {"factor"}),
    Fault("dZ", "density(Z)", "density(P)", {"wrong_variable"}),
    Fault("dZ", "dP * density(Z) *", "dP *", {"missing_derivative"}),
    Fault("dZ", "density(Z)", "density(Z) ** 2", {"doubled_derivative"}),
    Fault("dZ", " * (2 * Y - 1)", "", {"missing_derivative", "sign"}),
    Fault("dW", "dZ @ X.T", "dZ @ X.T / X.shape[1]", {"factor"}),
    Fault("dW", "dZ @ X.T", "dZ @ X.T; dW[0, 0] = 0", {"single_entry"}),
    Fault("db", "dZ.sum(axis=1, keepdims=True)", "dZ", {"unsummed_axis", "shape"}),
)
