"""Cosine similarity of rows: ``sim, cache = cosine_forward(a, b)``, ``da, db = cosine_backward(dsim, cache)``."""

import numpy as np


def cosine_forward(a, b, eps=1e-8):
    dot = np.sum(a * b, axis=1)
    norm_a = np.linalg.norm(a, axis=1)
    norm_b = np.linalg.norm(b, axis=1)
    denominator = norm_a * norm_b + eps
    similarity = dot / denominator
    return similarity, (a, b, dot, norm_a, norm_b, denominator)


def cosine_backward(dsim, cache):
    a, b, dot, norm_a, norm_b, denominator = cache
    ddot = dsim / denominator
    ddenominator = -dsim * dot / denominator**2
    dnorm_a = ddenominator * norm_b
    dnorm_b = ddenominator * norm_a
    da = ddot[:, None] * b
    da += (dnorm_a / norm_a)[:, None] * a
    db = ddot[:, None] * a
    db += (dnorm_b / norm_b)[:, None] * b
    return da, db


SHAPE = 2
OPTIONS = {}
BACKWARD = ("cosine_backward",)


def inputs(rng):
    return {"a": rng.standard_normal((4, 3)), "b": rng.standard_normal((4, 3))}


def subject(rng):
    return (cosine_forward, cosine_backward)


def truth(subject, g, rng):
    forward, backward = subject
    similarity, cache = forward(**g)
    dsim = rng.standard_normal(similarity.shape)
    return np.sum(similarity * dsim), dict(zip("ab", backward(dsim, cache)))


def parameters(subject, g):
    return {"a": g["a"], "b": g["b"]}
