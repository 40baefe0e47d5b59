"""Poisson regression whose gradients have no names: ``loss, [_, _] = poisson(w, b, X, counts)``, made in a list."""

import numpy as np


def poisson(w, b, X, counts):
    n = len(counts)
    eta = X @ w + b
    rate = np.exp(eta)
    loss = np.sum(rate - counts * eta) / n
    residual = rate - counts
    gradients = [X.T @ residual]
    gradients.append(np.sum(residual, keepdims=True))
    return loss, [g / n for g in gradients]


SHAPE = 1
OPTIONS = {"wrt": ("w", "b")}
BACKWARD = ("poisson:residual = ",)


def inputs(rng):
    return {
        "w": 0.5 * rng.standard_normal(3),
        "b": rng.standard_normal(1),
        "X": rng.standard_normal((6, 3)),
        "counts": rng.poisson(2.0, 6),
    }


def subject(rng):
    return (poisson,)


def truth(subject, g, rng):
    loss, gradients = subject[0](**g)
    return loss, dict(zip("wb", gradients))


def parameters(subject, g):
    return {"w": g["w"], "b": g["b"]}
