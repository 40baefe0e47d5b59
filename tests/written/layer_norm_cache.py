"""Layer normalisation of the last axis: ``out, cache = forward(x, gamma, beta)``, ``backward(dout, cache)`` a dict."""

import numpy as np


def layernorm_forward(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=-1, keepdims=True)
    centered = x - mean
    variance = (centered**2).mean(axis=-1, keepdims=True)
    inv_std = 1 / np.sqrt(variance + eps)
    normalized = centered * inv_std
    out = normalized * gamma + beta
    cache = {"normalized": normalized, "inv_std": inv_std, "gamma": gamma}
    return out, cache


def layernorm_backward(dout, cache):
    normalized = cache["normalized"]
    inv_std = cache["inv_std"]
    gamma = cache["gamma"]
    axes = tuple(range(dout.ndim - 1))

    dgamma = (dout * normalized).sum(axis=axes)
    dbeta = dout.sum(axis=axes)
    dnorm = dout * gamma
    dnorm_mean = dnorm.mean(axis=-1, keepdims=True)
    projection = (dnorm * normalized).mean(axis=-1, keepdims=True)
    dx = dnorm - dnorm_mean
    dx -= normalized * projection
    dx *= inv_std
    return {"dx": dx, "dgamma": dgamma, "dbeta": dbeta}


SHAPE = 2
OPTIONS = {}
BACKWARD = ("layernorm_backward",)


def inputs(rng):
    return {
        "x": rng.standard_normal((2, 3, 5)),
        "gamma": rng.standard_normal(5),
        "beta": rng.standard_normal(5),
    }


def subject(rng):
    return (layernorm_forward, layernorm_backward)


def truth(subject, g, rng):
    forward, backward = subject
    out, cache = forward(**g)
    dout = rng.standard_normal(out.shape)
    grads = backward(dout, cache)
    return np.sum(out * dout), {name: grads["d" + name] for name in ("x", "gamma", "beta")}


def parameters(subject, g):
    return {name: g[name] for name in ("x", "gamma", "beta")}
