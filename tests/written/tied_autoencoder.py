"""An autoencoder whose decoder is the encoder transposed: ``cost, [dW, db, dc] = cost_and_grads(W, b, c, x)``."""

import numpy as np


def sigmoid(a):
    return 1.0 / (1.0 + np.exp(-a))


def cost_and_grads(W, b, c, x):
    n = x.shape[0]
    # encode
    y = sigmoid(x @ W + b)
    # decode with the same weights
    z = sigmoid(y @ W.T + c)
    cost = -np.sum(x * np.log(z) + (1 - x) * np.log(1 - z)) / n

    delta_out = (z - x) / n
    dc = np.sum(delta_out, axis=0)
    delta_hidden = delta_out @ W
    delta_hidden = delta_hidden * y * (1 - y)
    db = np.sum(delta_hidden, axis=0)
    dW = x.T @ delta_hidden
    dW += delta_out.T @ y  # W is used twice
    return cost, [dW, db, dc]


SHAPE = 1
OPTIONS = {}
BACKWARD = ("cost_and_grads:delta_out = ",)


def inputs(rng):
    return {
        "W": rng.standard_normal((5, 3)),
        "b": rng.standard_normal(3),
        "c": rng.standard_normal(5),
        "x": rng.random((4, 5)),
    }


def subject(rng):
    return (cost_and_grads,)


def truth(subject, g, rng):
    cost, gradients = subject[0](**g)
    return cost, dict(zip("Wbc", gradients))


def parameters(subject, g):
    return {name: g[name] for name in "Wbc"}
