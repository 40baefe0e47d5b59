"""Root-mean-square normalisation: ``rmsnorm(x, weight)`` returns ``(y, (x, inv, weight))``; its backward two arrays."""

import numpy as np


def rmsnorm(x, weight, eps=1e-6):
    ms = (x * x).mean(axis=-1, keepdims=True)
    inv = 1.0 / np.sqrt(ms + eps)
    y = x * inv * weight
    return y, (x, inv, weight)


def rmsnorm_backward(dy, saved):
    x, inv, weight = saved
    n = x.shape[-1]
    x_hat = x * inv
    dweight = np.sum(dy * x_hat, axis=0)
    dx_hat = dy * weight
    dinv = np.sum(dx_hat * x, axis=-1, keepdims=True)
    dx = dx_hat * inv
    dms = -0.5 * dinv * inv**3
    dx += 2 * x * dms / n
    return dx, dweight


SHAPE = 2
OPTIONS = {}
BACKWARD = ("rmsnorm_backward",)


def inputs(rng):
    return {"x": rng.standard_normal((4, 6)), "weight": rng.standard_normal(6)}


def subject(rng):
    return (rmsnorm, rmsnorm_backward)


def truth(subject, g, rng):
    forward, backward = subject
    y, saved = forward(**g)
    dy = rng.standard_normal(y.shape)
    return np.sum(y * dy), dict(zip(("x", "weight"), backward(dy, saved)))


def parameters(subject, g):
    return {"x": g["x"], "weight": g["weight"]}
