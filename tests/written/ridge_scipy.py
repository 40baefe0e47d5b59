"""Ridge regression for scipy.optimize: ``value, gradient = ridge(theta, X, y, lam)``, the last of theta the bias."""

import numpy as np


def ridge(theta, X, y, lam):
    m, n = X.shape
    w = theta[:n]
    b = theta[n]
    residual = X @ w + b - y
    J = residual @ residual / (2 * m) + lam / (2 * m) * np.sum(w**2)
    grad = np.empty_like(theta)
    grad[:n] = X.T @ residual / m
    grad[:n] += lam / m * w
    grad[n] = residual.mean()
    return J, grad


SHAPE = 1
OPTIONS = {}
BACKWARD = ("ridge:grad = np.empty_like",)


def inputs(rng):
    return {
        "theta": rng.standard_normal(5),
        "X": rng.standard_normal((7, 4)),
        "y": rng.standard_normal(7),
        "lam": 0.7,
    }


def subject(rng):
    return (ridge,)


def truth(subject, g, rng):
    J, grad = subject[0](**g)
    return J, {"theta": grad}


def parameters(subject, g):
    return {"theta": g["theta"]}
