"""Softmax regression that writes into its probabilities: ``loss, dW = softmax_loss(W, X, y, reg)``."""

import numpy as np


def softmax_loss(W, X, y, reg):
    num_train = X.shape[0]
    f = X.dot(W)
    f -= f.max(axis=1, keepdims=True)
    p = np.exp(f)
    p /= p.sum(axis=1, keepdims=True)
    loss = -np.log(p[range(num_train), y]).mean()
    loss += reg * (W * W).sum()

    # the probabilities become the gradient of the scores
    p[range(num_train), y] -= 1
    p /= num_train
    dW = X.T.dot(p)
    dW += 2 * reg * W
    return loss, dW


SHAPE = 1
OPTIONS = {}
BACKWARD = ("softmax_loss:-= 1",)


def inputs(rng):
    return {
        "W": rng.standard_normal((4, 3)),
        "X": rng.standard_normal((5, 4)),
        "y": rng.integers(0, 3, 5),
        "reg": 0.2,
    }


def subject(rng):
    return (softmax_loss,)


def truth(subject, g, rng):
    loss, dW = subject[0](**g)
    return loss, {"W": dW}


def parameters(subject, g):
    return {"W": g["W"]}
