"""Logistic regression of the articles: ``grads, cost = propagate(w, b, X, Y)``, with examples in columns."""

import numpy as np


def sigmoid(z):
    s = 1 / (1 + np.exp(-z))
    return s


def propagate(w, b, X, Y):
    """Cost of the prediction and how it changes with w and b."""
    m = X.shape[1]

    # from X to the cost
    Z = np.dot(w.T, X) + b
    A = sigmoid(Z)
    logprobs = Y * np.log(A) + (1 - Y) * np.log(1 - A)
    cost = -np.sum(logprobs) / m

    # and back again
    dZ = A - Y
    dw = np.dot(X, dZ.T) / m
    db = np.sum(dZ) / m

    assert dw.shape == w.shape
    assert db.dtype == float
    cost = np.squeeze(cost)
    assert cost.shape == ()

    grads = {"dw": dw, "db": db}
    return grads, cost


def optimize(w, b, X, Y, num_iterations=100, learning_rate=0.01, print_cost=False):
    costs = []
    for i in range(num_iterations):
        grads, cost = propagate(w, b, X, Y)
        w = w - learning_rate * grads["dw"]
        b = b - learning_rate * grads["db"]
        if i % 100 == 0:
            costs.append(cost)
            if print_cost:
                print(f"Cost after iteration {i}: {cost}")
    return {"w": w, "b": b}, costs


SHAPE = 1
OPTIONS = {}
BACKWARD = ("propagate:dZ = A - Y",)


def inputs(rng):
    return {
        "w": rng.standard_normal((4, 1)),
        "b": rng.standard_normal(),
        "X": rng.standard_normal((4, 7)),
        "Y": rng.integers(0, 2, (1, 7)),
    }


def subject(rng):
    return (propagate,)


def truth(subject, g, rng):
    grads, cost = subject[0](**g)
    return cost, {"w": grads["dw"], "b": grads["db"]}


def parameters(subject, g):
    return {"w": g["w"]}
