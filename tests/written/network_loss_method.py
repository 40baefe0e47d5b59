"""A network whose loss is a method of predictions: ``forward(X)``, ``mse_loss(y, y_hat)``, ``backward(X, y)``."""

import numpy as np


class NeuralNetwork:
    def __init__(self, W1, b1, W2, b2):
        self.W1, self.b1 = W1, b1
        self.W2, self.b2 = W2, b2

    def sigmoid(self, z):
        return 1 / (1 + np.exp(-z))

    def forward(self, X):
        self.z1 = X @ self.W1 + self.b1
        self.a1 = self.sigmoid(self.z1)
        self.z2 = self.a1 @ self.W2 + self.b2
        self.output = self.sigmoid(self.z2)
        return self.output

    def mse_loss(self, y, y_hat):
        return np.mean((y - y_hat) ** 2)

    def backward(self, X, y):
        d_out = 2 * (self.output - y) / y.size
        delta2 = d_out * self.output * (1 - self.output)
        self.dW2 = self.a1.T @ delta2
        self.db2 = delta2.sum(axis=0)
        delta1 = (delta2 @ self.W2.T) * self.a1 * (1 - self.a1)
        self.dW1 = X.T @ delta1
        self.db1 = delta1.sum(axis=0)


SHAPE = 5
OPTIONS = {}
BACKWARD = ("NeuralNetwork.backward",)


def inputs(rng):
    return {"X": rng.standard_normal((6, 3)), "y": rng.integers(0, 2, (6, 1))}


def subject(rng):
    shapes = (3, 4), (4,), (4, 1), (1,)
    return (NeuralNetwork(*(rng.standard_normal(shape) for shape in shapes)),)


def truth(subject, g, rng):
    net = subject[0]
    output = net.forward(g["X"])
    net.backward(**g)
    return net.mse_loss(g["y"], output), {name: getattr(net, f"d{name}") for name in ("W1", "b1", "W2", "b2")}


def parameters(subject, g):
    return {name: getattr(subject[0], name) for name in ("W1", "b1", "W2", "b2")}
