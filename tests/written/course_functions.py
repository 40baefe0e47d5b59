"""A network of one hidden layer in functions, as a course has them: forward, the cost of its output, and backward."""

import numpy as np


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def forward_propagation(X, parameters):
    W1 = parameters["W1"]
    b1 = parameters["b1"]
    W2 = parameters["W2"]
    b2 = parameters["b2"]

    Z1 = np.dot(W1, X) + b1
    A1 = np.tanh(Z1)
    Z2 = np.dot(W2, A1) + b2
    A2 = sigmoid(Z2)
    assert A2.shape == (1, X.shape[1])

    cache = {"Z1": Z1, "A1": A1, "Z2": Z2, "A2": A2}
    return A2, cache


def compute_cost(A2, Y):
    m = Y.shape[1]
    logprobs = np.multiply(np.log(A2), Y) + np.multiply(np.log(1 - A2), 1 - Y)
    cost = -np.sum(logprobs) / m
    return float(np.squeeze(cost))


def backward_propagation(parameters, cache, X, Y):
    m = X.shape[1]
    W2 = parameters["W2"]
    A1 = cache["A1"]
    A2 = cache["A2"]

    dZ2 = A2 - Y
    dW2 = np.dot(dZ2, A1.T) / m
    db2 = np.sum(dZ2, axis=1, keepdims=True) / m
    dZ1 = np.dot(W2.T, dZ2) * (1 - np.power(A1, 2))
    dW1 = np.dot(dZ1, X.T) / m
    db1 = np.sum(dZ1, axis=1, keepdims=True) / m

    return {"dW1": dW1, "db1": db1, "dW2": dW2, "db2": db2}


SHAPE = 4
OPTIONS = {}
BACKWARD = ("backward_propagation",)


def inputs(rng):
    return {
        "X": rng.standard_normal((3, 7)),
        "Y": rng.integers(0, 2, (1, 7)),
        "parameters": {
            "W1": rng.standard_normal((4, 3)),
            "b1": rng.standard_normal((4, 1)),
            "W2": rng.standard_normal((1, 4)),
            "b2": rng.standard_normal((1, 1)),
        },
    }


def subject(rng):
    return forward_propagation, compute_cost, backward_propagation


def truth(subject, g, rng):
    A2, cache = forward_propagation(g["X"], g["parameters"])
    grads = backward_propagation(g["parameters"], cache, g["X"], g["Y"])
    return compute_cost(A2, g["Y"]), {f"parameters['{name}']": grads[f"d{name}"] for name in g["parameters"]}


def parameters(subject, g):
    return {f"parameters['{name}']": value for name, value in g["parameters"].items()}
