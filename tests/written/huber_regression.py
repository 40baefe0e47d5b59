"""Linear regression under the Huber loss: ``loss, dw, db = huber_loss_and_grad(w, b, X, y, delta)``."""

import numpy as np


def huber_loss_and_grad(w, b, X, y, delta=1.0):
    m = X.shape[0]
    y_hat = X.dot(w) + b
    r = y_hat - y
    abs_r = np.abs(r)
    small = abs_r <= delta
    quadratic = 0.5 * r**2
    linear = delta * (abs_r - 0.5 * delta)
    losses = np.where(small, quadratic, linear)
    loss = losses.mean()

    dr = np.where(small, r, delta * np.sign(r))
    dr /= m
    dw = X.T.dot(dr)
    db = dr.sum(axis=0, keepdims=True)
    return loss, dw, db


SHAPE = 1
OPTIONS = {}
BACKWARD = ("huber_loss_and_grad:dr = ",)


def inputs(rng):
    return {
        "w": rng.standard_normal(3),
        "b": rng.standard_normal(1),
        "X": rng.standard_normal((9, 3)),
        "y": 2 * rng.standard_normal(9),
        "delta": 1.2,
    }


def subject(rng):
    return (huber_loss_and_grad,)


def truth(subject, g, rng):
    loss, dw, db = subject[0](**g)
    return loss, {"w": dw, "b": db}


def parameters(subject, g):
    return {"w": g["w"], "b": g["b"]}
