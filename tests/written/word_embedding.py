"""Word vectors by lookup, with a position added: ``out, cache = embedding_forward(x, W, P)`` and its backward."""

import numpy as np


def embedding_forward(x, W, P):
    """x: integers (N, T); W: (V, D); P: (longest T, D)."""
    N, T = x.shape
    assert np.issubdtype(x.dtype, np.integer)
    words = W[x]
    positions = P[:T]
    out = words + positions
    cache = (x, W.shape, P.shape)
    return out, cache


def embedding_backward(dout, cache):
    x, W_shape, P_shape = cache
    N, T = x.shape
    dW = np.zeros(W_shape)
    np.add.at(dW, x, dout)
    dP = np.zeros(P_shape)
    dP[:T] = dout.sum(axis=0)
    return dW, dP


SHAPE = 2
OPTIONS = {}
BACKWARD = ("embedding_backward",)


def inputs(rng):
    return {
        "x": rng.integers(0, 5, (3, 4)),
        "W": rng.standard_normal((5, 3)),
        "P": rng.standard_normal((6, 3)),
    }


def subject(rng):
    return (embedding_forward, embedding_backward)


def truth(subject, g, rng):
    forward, backward = subject
    out, cache = forward(**g)
    dout = rng.standard_normal(out.shape)
    return np.sum(out * dout), dict(zip("WP", backward(dout, cache)))


def parameters(subject, g):
    return {"W": g["W"], "P": g["P"]}
