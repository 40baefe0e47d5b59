"""Layers of helpers: ``out, cache = sandwich_forward(x, w, b, w2, b2)`` with caches in caches, on images made flat."""

import numpy as np


def affine_forward(x, w, b):
    N = x.shape[0]
    out = x.reshape(N, -1).dot(w) + b
    cache = (x, w, b)
    return out, cache


def affine_backward(dout, cache):
    x, w, b = cache
    dx = dout.dot(w.T).reshape(x.shape)
    dw = x.reshape(x.shape[0], -1).T.dot(dout)
    db = np.sum(dout, axis=0)
    return dx, dw, db


def relu_forward(x):
    out = np.maximum(0, x)
    cache = x
    return out, cache


def relu_backward(dout, cache):
    x = cache
    dx = dout.copy()
    dx[x < 0] = 0
    return dx


def sandwich_forward(x, w, b, w2, b2):
    a, fc_cache = affine_forward(x, w, b)
    r, relu_cache = relu_forward(a)
    out, fc2_cache = affine_forward(r, w2, b2)
    cache = ((fc_cache, relu_cache), fc2_cache)
    return out, cache


def sandwich_backward(dout, cache):
    (fc_cache, relu_cache), fc2_cache = cache
    dr, dw2, db2 = affine_backward(dout, fc2_cache)
    da = relu_backward(dr, relu_cache)
    dx, dw, db = affine_backward(da, fc_cache)
    return dx, dw, db, dw2, db2


SHAPE = 2
OPTIONS = {}
BACKWARD = ("affine_backward", "relu_backward", "sandwich_backward")
NAMES = ("x", "w", "b", "w2", "b2")


def inputs(rng):
    return {
        "x": rng.standard_normal((5, 2, 3)),
        "w": rng.standard_normal((6, 4)),
        "b": rng.standard_normal(4),
        "w2": rng.standard_normal((4, 3)),
        "b2": rng.standard_normal(3),
    }


def subject(rng):
    return (sandwich_forward, sandwich_backward)


def truth(subject, g, rng):
    forward, backward = subject
    out, cache = forward(**g)
    dout = rng.standard_normal(out.shape)
    return np.sum(out * dout), dict(zip(NAMES, backward(dout, cache)))


def parameters(subject, g):
    return {name: g[name] for name in NAMES}
