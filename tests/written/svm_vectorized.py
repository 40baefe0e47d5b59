"""The hinge loss without loops, on scores: ``loss, dx = svm_loss(x, y)`` beside a linear classifier that uses it."""

import numpy as np


def svm_loss(x, y):
    """x: scores (N, C); y: the right class of each."""
    N = x.shape[0]
    correct_class_scores = x[np.arange(N), y]
    margins = np.maximum(0, x - correct_class_scores[:, np.newaxis] + 1.0)
    margins[np.arange(N), y] = 0
    loss = np.sum(margins) / N
    num_pos = np.sum(margins > 0, axis=1)
    dx = np.zeros_like(x)
    dx[margins > 0] = 1
    dx[np.arange(N), y] -= num_pos
    dx /= N
    return loss, dx


def linear_svm(W, b, X, y, reg=1e-2):
    scores = X @ W + b
    loss, dscores = svm_loss(scores, y)
    loss += reg * np.sum(W**2)
    dW = X.T @ dscores
    dW += 2 * reg * W
    db = dscores.sum(axis=0)
    return loss, {"dW": dW, "db": db}


SHAPE = 1
OPTIONS = {}
BACKWARD = ("svm_loss:num_pos", "linear_svm:dW = X.T")


def inputs(rng):
    return {
        "W": rng.standard_normal((4, 3)),
        "b": rng.standard_normal(3),
        "X": rng.standard_normal((7, 4)),
        "y": rng.integers(0, 3, 7),
        "reg": 0.05,
    }


def subject(rng):
    return (linear_svm,)


def truth(subject, g, rng):
    loss, grads = subject[0](**g)
    return loss, {"W": grads["dW"], "b": grads["db"]}


def parameters(subject, g):
    return {"W": g["W"], "b": g["b"]}
