"""A network whose backward takes the prediction and what it should have been; its loss is a method of its own."""

import numpy as np


class Regressor:
    def __init__(self, W1, b1, W2):
        self.W1, self.b1, self.W2 = W1, b1, W2

    def forward(self, X):
        self.X = X
        self.H = np.tanh(X @ self.W1 + self.b1)
        return self.H @ self.W2

    def loss(self, y_hat, y):
        return 0.5 * np.mean(np.sum((y_hat - y) ** 2, axis=1))

    def backward(self, y_hat, y):
        d = (y_hat - y) / len(y)
        dW2 = self.H.T @ d
        dH = d @ self.W2.T
        dZ = dH * (1 - self.H**2)
        dW1 = self.X.T @ dZ
        db1 = dZ.sum(axis=0)
        return dW1, db1, dW2


SHAPE = 4
OPTIONS = {}
BACKWARD = ("Regressor.backward",)


def inputs(rng):
    return {"X": rng.standard_normal((6, 3)), "y": rng.standard_normal((6, 2))}


def subject(rng):
    return (Regressor(rng.standard_normal((3, 4)), rng.standard_normal(4), rng.standard_normal((4, 2))),)


def truth(subject, g, rng):
    network = subject[0]
    y_hat = network.forward(g["X"])
    dW1, db1, dW2 = network.backward(y_hat, g["y"])
    return network.loss(y_hat, g["y"]), {"W1": dW1, "b1": db1, "W2": dW2}


def parameters(subject, g):
    return {name: getattr(subject[0], name) for name in ("W1", "b1", "W2")}
