"""Inverted dropout whose configuration has the seed: ``out, cache = dropout_forward(x, dropout_param)`` and back."""

import numpy as np


def dropout_forward(x, dropout_param):
    p, mode = dropout_param["p"], dropout_param["mode"]
    if "seed" in dropout_param:
        np.random.seed(dropout_param["seed"])

    mask = None
    out = None
    if mode == "train":
        mask = (np.random.rand(*x.shape) < p) / p
        out = x * mask
    elif mode == "test":
        out = x

    cache = (dropout_param, mask)
    out = out.astype(x.dtype, copy=False)
    return out, cache


def dropout_backward(dout, cache):
    dropout_param, mask = cache
    mode = dropout_param["mode"]
    dx = None
    if mode == "train":
        dx = dout * mask
    elif mode == "test":
        dx = dout
    return dx


SHAPE = 2
OPTIONS = {}
BACKWARD = ("dropout_backward",)


def inputs(rng):
    return {"x": rng.standard_normal((4, 6)), "dropout_param": {"p": 0.6, "mode": "train", "seed": 231}}


def subject(rng):
    return (dropout_forward, dropout_backward)


def truth(subject, g, rng):
    forward, backward = subject
    out, cache = forward(**g)
    dout = rng.standard_normal(out.shape)
    return np.sum(out * dout), {"x": backward(dout, cache)}


def parameters(subject, g):
    return {"x": g["x"]}
