"""Batch normalisation as in a course: ``out, cache = batchnorm_forward(x, gamma, beta, bn_param)`` and its backward."""

import numpy as np


def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param["mode"]
    eps = bn_param.get("eps", 1e-5)
    momentum = bn_param.get("momentum", 0.9)
    N, D = x.shape
    running_mean = bn_param.get("running_mean", np.zeros(D, dtype=x.dtype))
    running_var = bn_param.get("running_var", np.zeros(D, dtype=x.dtype))

    cache = None
    if mode == "train":
        # step 1: centre
        mu = x.mean(axis=0)
        xmu = x - mu
        # step 2: scale
        var = np.mean(xmu**2, axis=0)
        sqrtvar = np.sqrt(var + eps)
        ivar = 1.0 / sqrtvar
        xhat = xmu * ivar
        # step 3: what is learnt
        out = gamma * xhat + beta
        cache = (xhat, gamma, xmu, ivar, sqrtvar, var, eps)
        running_mean = momentum * running_mean + (1 - momentum) * mu
        running_var = momentum * running_var + (1 - momentum) * var
    elif mode == "test":
        xhat = (x - running_mean) / np.sqrt(running_var + eps)
        out = gamma * xhat + beta
    else:
        raise ValueError(f"no such mode: {mode}")

    bn_param["running_mean"] = running_mean
    bn_param["running_var"] = running_var
    return out, cache


def batchnorm_backward(dout, cache):
    xhat, gamma, xmu, ivar, sqrtvar, var, eps = cache
    N, D = dout.shape

    dbeta = np.sum(dout, axis=0)
    dgamma = np.sum(dout * xhat, axis=0)
    dxhat = dout * gamma

    divar = np.sum(dxhat * xmu, axis=0)
    dxmu = dxhat * ivar
    dsqrtvar = -divar / sqrtvar**2
    dvar = 0.5 * dsqrtvar / np.sqrt(var + eps)
    dsq = np.ones((N, D)) * dvar / N
    dxmu += 2 * xmu * dsq

    dmu = -np.sum(dxmu, axis=0)
    dx = dxmu + dmu / N
    return dx, dgamma, dbeta


SHAPE = 2
OPTIONS = {}
BACKWARD = ("batchnorm_backward",)


def inputs(rng):
    return {
        "x": rng.standard_normal((6, 4)) * 2 + 1,
        "gamma": rng.standard_normal(4),
        "beta": rng.standard_normal(4),
        "bn_param": {"mode": "train"},
    }


def subject(rng):
    return (batchnorm_forward, batchnorm_backward)


def truth(subject, g, rng):
    forward, backward = subject
    out, cache = forward(**g)
    dout = rng.standard_normal(out.shape)
    return np.sum(out * dout), dict(zip(("x", "gamma", "beta"), backward(dout, cache)))


def parameters(subject, g):
    return {name: g[name] for name in ("x", "gamma", "beta")}
