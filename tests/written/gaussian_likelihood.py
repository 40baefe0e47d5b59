"""Regression of mean and spread: ``nll, grads = negative_log_likelihood(X, y, params)``, both linear in X."""

import numpy as np

LOG_2PI = np.log(2 * np.pi)


def negative_log_likelihood(X, y, params):
    n = len(y)
    mu = X @ params["w_mean"] + params["b_mean"]
    log_sigma = X @ params["w_scale"] + params["b_scale"]
    sigma = np.exp(log_sigma)
    z = (y - mu) / sigma
    terms = 0.5 * z**2 + log_sigma + 0.5 * LOG_2PI
    nll = terms.sum() / n

    dz = z / n
    dmu = -dz / sigma
    dlog_sigma = np.full(n, 1.0 / n)
    dlog_sigma -= dz * z
    grads = {}
    grads["w_mean"] = X.T @ dmu
    grads["b_mean"] = np.array([dmu.sum()])
    grads["w_scale"] = X.T @ dlog_sigma
    grads["b_scale"] = np.array([dlog_sigma.sum()])
    return nll, grads


SHAPE = 1
OPTIONS = {}
BACKWARD = ("negative_log_likelihood:dz = z / n",)


def inputs(rng):
    params = {
        "w_mean": rng.standard_normal(3),
        "b_mean": rng.standard_normal(1),
        "w_scale": 0.3 * rng.standard_normal(3),
        "b_scale": rng.standard_normal(1),
    }
    return {"X": rng.standard_normal((8, 3)), "y": rng.standard_normal(8), "params": params}


def subject(rng):
    return (negative_log_likelihood,)


def truth(subject, g, rng):
    nll, grads = subject[0](**g)
    return nll, {f"params['{name}']": grads[name] for name in g["params"]}


def parameters(subject, g):
    return {f"params['{name}']": value for name, value in g["params"].items()}
