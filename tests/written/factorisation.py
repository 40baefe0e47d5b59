"""Matrix factorisation with biases, ratings missing: ``cost, (dU, dV, dbu, dbv) = cost_and_gradient(...)``."""

import numpy as np


def cost_and_gradient(U, V, bu, bv, R, mask, lam):
    """R (users, items) is read only where mask is 1."""
    n_ratings = mask.sum()
    predictions = U @ V.T + bu[:, None] + bv[None, :]
    errors = (predictions - R) * mask
    fit = 0.5 * np.sum(errors**2) / n_ratings
    penalty = 0.5 * lam * (np.sum(U**2) + np.sum(V**2))
    cost = fit + penalty

    dpred = errors / n_ratings
    dU = dpred @ V
    dV = dpred.T @ U
    dU += lam * U
    dV += lam * V
    dbu = dpred.sum(axis=1)
    dbv = dpred.sum(axis=0)
    return cost, (dU, dV, dbu, dbv)


SHAPE = 1
OPTIONS = {}
BACKWARD = ("cost_and_gradient:dpred = ",)


def inputs(rng):
    return {
        "U": rng.standard_normal((5, 3)),
        "V": rng.standard_normal((4, 3)),
        "bu": rng.standard_normal(5),
        "bv": rng.standard_normal(4),
        "R": rng.integers(1, 6, (5, 4)).astype(float),
        "mask": (rng.random((5, 4)) < 0.7).astype(float),
        "lam": 0.1,
    }


def subject(rng):
    return (cost_and_gradient,)


def truth(subject, g, rng):
    cost, gradients = subject[0](**g)
    return cost, dict(zip(("U", "V", "bu", "bv"), gradients))


def parameters(subject, g):
    return {name: g[name] for name in ("U", "V", "bu", "bv")}
