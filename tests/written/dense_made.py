"""A layer that draws its weights, later set by hand: ``Dense(units, activation)``, ``forward``, ``backward``."""

import numpy as np


class Dense:
    def __init__(self, units, activation="tanh"):
        self.units = units
        self.activation = activation
        self.W = None
        self.b = None

    def build(self, n_in):
        self.W = np.random.randn(n_in, self.units) * 0.01
        self.b = np.zeros((1, self.units))

    def forward(self, inputs):
        if self.W is None:
            self.build(inputs.shape[1])
        self.inputs = inputs
        self.z = inputs @ self.W + self.b
        if self.activation == "tanh":
            self.a = np.tanh(self.z)
        elif self.activation == "sigmoid":
            self.a = 1 / (1 + np.exp(-self.z))
        else:
            self.a = self.z
        return self.a

    def backward(self, da):
        if self.activation == "tanh":
            dz = da * (1 - self.a**2)
        elif self.activation == "sigmoid":
            dz = da * self.a * (1 - self.a)
        else:
            dz = da
        dW = self.inputs.T @ dz
        db = np.sum(dz, axis=0, keepdims=True)
        dinputs = dz @ self.W.T
        return dinputs, dW, db


def with_weights(W, b):
    layer = Dense(W.shape[1], "sigmoid")
    layer.W = W
    layer.b = b
    return layer


SHAPE = 3
OPTIONS = {"make": with_weights, "gradients": {"inputs": 0, "W": 1, "b": 2}}
BACKWARD = ("Dense.backward",)


def inputs(rng):
    return {
        "W": rng.standard_normal((4, 3)),
        "b": rng.standard_normal((1, 3)),
        "inputs": rng.standard_normal((5, 4)),
    }


def subject(rng):
    return (Dense,)


def truth(subject, g, rng):
    layer = with_weights(g["W"], g["b"])
    out = layer.forward(g["inputs"])
    da = rng.standard_normal(out.shape)
    dinputs, dW, db = layer.backward(da)
    return np.sum(out * da), {"inputs": dinputs, "W": dW, "b": db}


def parameters(subject, g):
    return dict(g)
