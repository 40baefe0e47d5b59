"""Logistic regression that reports: ``loss, accuracy, grads = evaluate(params, X, y)``."""

import numpy as np


def evaluate(params, X, y, l2=0.0):
    n = X.shape[0]
    logits = X @ params["w"] + params["b"]
    p = 1.0 / (1.0 + np.exp(-logits))
    log_likelihood = y * np.log(p) + (1 - y) * np.log(1 - p)
    loss = -log_likelihood.mean() + 0.5 * l2 * np.dot(params["w"], params["w"])
    accuracy = np.mean((p > 0.5) == y)

    error = p - y
    grads = {
        "w": error @ X / n + l2 * params["w"],
        "b": np.array([error.mean()]),
    }
    return loss, accuracy, grads


SHAPE = 1
OPTIONS = {"cost": "loss"}
BACKWARD = ("evaluate:error = p - y",)


def inputs(rng):
    params = {"w": rng.standard_normal(4), "b": rng.standard_normal(1)}
    return {"params": params, "X": rng.standard_normal((7, 4)), "y": rng.integers(0, 2, 7), "l2": 0.3}


def subject(rng):
    return (evaluate,)


def truth(subject, g, rng):
    loss, _, grads = subject[0](**g)
    return loss, {f"params['{name}']": grads[name] for name in "wb"}


def parameters(subject, g):
    return {f"params['{name}']": g["params"][name] for name in "wb"}
