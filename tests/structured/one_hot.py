"""Labels as columns or rows with a single 1."""

import numpy as np


def softmax(Z):
    E = np.exp(Z - np.max(Z, axis=0))
    return E / E.sum(axis=0)


def entropy_forward(W, X, Y):
    Z = W @ X
    A = softmax(Z)
    J = -np.sum(Y * np.log(A)) / Y.shape[1]
    return dict(Z=Z, A=A, J=J)


def entropy_backward(W, X, Y, A):
    dZ = (A - Y) / Y.shape[1]
    return dict(dZ=dZ, dW=dZ @ X.T)


def chosen_forward(X, Y):
    z = np.sum(X * Y, axis=1)
    return z**2, (X, Y, z)


def chosen_backward(dout, cache):
    X, Y, z = cache
    dX = np.zeros_like(X)
    dX[np.arange(len(X)), np.argmax(Y, axis=1)] = 2 * z * dout
    return dX, None


class Embedding:
    def __init__(self, W):
        self.W = W

    def forward(self, x):
        self.ids = x.argmax(axis=1)
        return x @ self.W

    def backward(self, dout):
        self.dW = np.zeros_like(self.W)
        np.add.at(self.dW, self.ids, dout)
        return None


def hinge(S, Y):
    """Of scores (m, k)."""
    right = np.sum(S * Y, axis=1, keepdims=True)
    margins = np.maximum(0, S - right + 1) * (1 - Y)
    loss = np.sum(margins**2)
    dS = 2 * margins
    dS[Y == 1] = -2 * margins.sum(axis=1)
    return loss, {"S": dS}


def hot(rng, n, k):
    return np.eye(k, dtype=rng.choice([float, int, bool] if k > 1 else [float, int]))[rng.integers(0, k, n)]


PROGRAMS = {
    "cross-entropy": dict(
        subject=(entropy_forward, entropy_backward),
        inputs=lambda rng, n, m: dict(
            W=rng.standard_normal((m, 2)), X=rng.standard_normal((2, n)), Y=hot(rng, n, m).T.astype(float)
        ),
        faults=[("dZ = (A - Y) / Y.shape[1]", "dZ = (A + Y) / Y.shape[1]")],
    ),
    "chosen": dict(
        subject=(chosen_forward, chosen_backward),
        inputs=lambda rng, n, m: dict(X=rng.standard_normal((n, m)), Y=hot(rng, n, m)),
        options=dict(wrt=["X"]),
        faults=[("= 2 * z * dout", "= z * dout")],
    ),
    "embedding": dict(
        subject=(Embedding,),
        inputs=lambda rng, n, m: dict(W=rng.standard_normal((m, 3)), x=hot(rng, n, m)),
        options=dict(wrt=["W"]),
        faults=[("np.add.at(self.dW, self.ids, dout)", "np.add.at(self.dW, self.ids, -dout)")],
    ),
    "squared hinge": dict(
        subject=(hinge,),
        inputs=lambda rng, n, m: dict(S=rng.standard_normal((n, m)), Y=hot(rng, n, m).astype(float)),
        options=dict(cost=0),
        faults=[("= -2 * margins.sum(axis=1)", "= -margins.sum(axis=1)")],
    ),
}
