"""A notebook with one global dictionary: ``forward(X)`` and ``backward(dout, cache)`` use the module's ``params``."""

import numpy as np

np.random.seed(1)
n_x, n_h, n_y = 4, 5, 2
params = {
    "W1": np.random.randn(n_h, n_x) * 0.5,
    "b1": np.random.randn(n_h, 1) * 0.5,
    "W2": np.random.randn(n_y, n_h) * 0.5,
    "b2": np.random.randn(n_y, 1) * 0.5,
}


def forward(X):
    Z1 = np.dot(params["W1"], X) + params["b1"]
    A1 = np.tanh(Z1)
    Z2 = np.dot(params["W2"], A1) + params["b2"]
    A2 = 1 / (1 + np.exp(-Z2))
    cache = {"X": X, "Z1": Z1, "A1": A1, "Z2": Z2, "A2": A2}
    return A2, cache


def backward(dout, cache):
    W1, W2 = params["W1"], params["W2"]
    A1, A2 = cache["A1"], cache["A2"]
    dZ2 = dout * A2 * (1 - A2)
    dW2 = np.dot(dZ2, A1.T)
    db2 = np.sum(dZ2, axis=1, keepdims=True)
    dA1 = np.dot(W2.T, dZ2)
    dZ1 = dA1 * (1 - np.power(A1, 2))
    dW1 = np.dot(dZ1, cache["X"].T)
    db1 = np.sum(dZ1, axis=1, keepdims=True)
    dX = np.dot(W1.T, dZ1)
    grads = {"X": dX, "W1": dW1, "b1": db1, "W2": dW2, "b2": db2}
    return grads


SHAPE = 5
OPTIONS = {}
BACKWARD = ("backward",)


def inputs(rng):
    return {"X": rng.standard_normal((4, 6))}


def subject(rng):
    return (forward, backward)


def truth(subject, g, rng):
    forward, backward = subject
    out, cache = forward(**g)
    dout = rng.standard_normal(out.shape)
    grads = backward(dout, cache)
    return np.sum(out * dout), {"X": grads["X"]} | {f"params['{name}']": grads[name] for name in params}


def parameters(subject, g):
    return {"X": g["X"]} | {f"params['{name}']": value for name, value in params.items()}
