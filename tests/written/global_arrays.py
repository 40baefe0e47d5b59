"""A notebook whose weights are global arrays: ``error, dW1, db1, dW2 = step(x, y)`` reads ``W1``, ``b1`` and ``W2``."""

import numpy as np

np.random.seed(42)
W1 = np.random.uniform(-1, 1, (3, 5))
b1 = np.random.uniform(-1, 1, (1, 5))
W2 = np.random.uniform(-1, 1, (5, 2))


def relu(x):
    return (x > 0) * x


def relu_to_deriv(x):
    return x > 0


def step(x, y):
    layer_1_in = np.dot(x, W1) + b1
    layer_1 = relu(layer_1_in)
    layer_2 = np.dot(layer_1, W2)
    error = np.sum((layer_2 - y) ** 2)

    layer_2_delta = 2 * (layer_2 - y)
    layer_1_delta = layer_2_delta.dot(W2.T) * relu_to_deriv(layer_1_in)
    dW2 = layer_1.T.dot(layer_2_delta)
    dW1 = x.T.dot(layer_1_delta)
    db1 = layer_1_delta.sum(axis=0, keepdims=True)
    return error, dW1, db1, dW2


SHAPE = 5
OPTIONS = {"gradients": {"W1": 1, "b1": 2, "W2": 3}}
BACKWARD = ("relu_to_deriv", "step:layer_2_delta = ")


def inputs(rng):
    return {"x": rng.standard_normal((4, 3)), "y": rng.standard_normal((4, 2))}


def subject(rng):
    return (step,)


def truth(subject, g, rng):
    error, *gradients = subject[0](**g)
    return error, dict(zip(("W1", "b1", "W2"), gradients))


def parameters(subject, g):
    return {"W1": W1, "b1": b1, "W2": W2}
