"""A model that is a dataclass of weights, and gradients that are another one with the same fields."""

from dataclasses import dataclass

import numpy as np


@dataclass
class Model:
    W1: np.ndarray
    b1: np.ndarray
    W2: np.ndarray
    b2: np.ndarray


@dataclass
class Gradients:
    W1: np.ndarray
    b1: np.ndarray
    W2: np.ndarray
    b2: np.ndarray


def loss_and_gradients(model, X, y, reg):
    Z1 = X @ model.W1 + model.b1
    H = np.maximum(Z1, 0)
    scores = H @ model.W2 + model.b2
    scores = scores - scores.max(axis=1, keepdims=True)
    log_p = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    m = len(y)
    loss = -log_p[np.arange(m), y].mean() + 0.5 * reg * (np.sum(model.W1**2) + np.sum(model.W2**2))
    dscores = np.exp(log_p)
    dscores[np.arange(m), y] -= 1
    dscores /= m
    dH = dscores @ model.W2.T
    dZ1 = dH * (Z1 > 0)
    return loss, Gradients(
        W1=X.T @ dZ1 + reg * model.W1,
        b1=dZ1.sum(axis=0),
        W2=H.T @ dscores + reg * model.W2,
        b2=dscores.sum(axis=0),
    )


SHAPE = 1
OPTIONS = {}
BACKWARD = ("loss_and_gradients: dscores = np.exp",)


def inputs(rng):
    return {
        "model": Model(
            rng.standard_normal((3, 5)),
            rng.standard_normal(5),
            rng.standard_normal((5, 3)),
            rng.standard_normal(3),
        ),
        "X": rng.standard_normal((6, 3)),
        "y": rng.permutation([0, 1, 2, 2, 1, 0]),
        "reg": 0.1,
    }


def subject(rng):
    return (loss_and_gradients,)


def truth(subject, g, rng):
    cost, found = loss_and_gradients(**g)
    return cost, {f"model.{name}": value for name, value in vars(found).items()}


def parameters(subject, g):
    return {f"model.{name}": value for name, value in vars(g["model"]).items()}
