"""A maxout layer, squared error.

Z_k = W_k X + b_k,  A = max_k Z_k,  J = 1/(2hm) sum (A - Y)^2;
W (k, h, n), b (k, h, 1), X (n, m), Z (k, h, m), Y (h, m).

Goodfellow et al., 2013: the adjoint goes to the piece that won. Not differentiable at a tie.
"""

import numpy as np

from cases.fault import Fault

SHAPES = "W: k h n; b: k h 1; X: n m; Y: h m"


def inputs(seed: int = 0, k: int = 3, h: int = 2, n: int = 4, m: int = 8) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return dict(
        W=rng.standard_normal((k, h, n)),
        b=rng.standard_normal((k, h, 1)),
        X=rng.standard_normal((n, m)),
        Y=rng.standard_normal((h, m)),
    )


def forward(W, b, X, Y):
    Z = W @ X + b
    A = Z.max(axis=0)
    J = np.mean((A - Y) ** 2) / 2
    return dict(Z=Z, A=A, J=J)


def backward(W, X, Y, Z, A):
    dA = (A - Y) / Y.size
    dZ = dA * (Z == A)
    dW = dZ @ X.T
    db = dZ.sum(axis=2, keepdims=True)
    dX = np.einsum("khn,khm->nm", W, dZ)
    return dict(dA=dA, dZ=dZ, dW=dW, db=db, dX=dX)


FAULTS = (
    Fault("dA", "A - Y", "Y - A", {"sign"}),
    Fault("dA", "/ Y.size", "/ Y.shape[0]", {"factor"}),
    Fault("dZ", "Z == A", "Z > 0", {"wrong_variable"}),
    Fault("dZ", "(Z == A)", "np.ones_like(Z)", {"missing_derivative"}),
    Fault("dZ", "(Z == A)", "(Z == A) / len(Z)", {"factor"}),
    Fault("dZ", "Z == A", "np.roll(Z, 1, axis=0) == A", {"off_by_one"}),
    Fault("dW", "dZ @ X.T", "dA @ X.T", {"missing_derivative", "wrong_variable", "summed_axis", "shape"}),
    Fault("db", "axis=2, keepdims=True", "axis=2", {"shape"}),
    Fault("db", "dZ.sum(axis=2", "dZ.mean(axis=2", {"factor"}),
    Fault("dX", '"khn,khm->nm", W, dZ', '"hn,hm->nm", W[0], dZ[0]', {"dropped_term", "overwritten"}),
)
