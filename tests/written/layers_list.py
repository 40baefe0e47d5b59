"""A small library of layers in a list: ``[Affine, Relu, Affine, Sigmoid, Affine]``, each forward and backward.

Affine has ``dW`` and ``db`` after its backward.
"""

import numpy as np


class Affine:
    def __init__(self, W, b):
        self.W = W
        self.b = b
        self.x = None
        self.original_x_shape = None
        self.dW = None
        self.db = None

    def forward(self, x):
        self.original_x_shape = x.shape
        x = x.reshape(x.shape[0], -1)
        self.x = x
        out = np.dot(self.x, self.W) + self.b
        return out

    def backward(self, dout):
        dx = np.dot(dout, self.W.T)
        self.dW = np.dot(self.x.T, dout)
        self.db = np.sum(dout, axis=0)
        dx = dx.reshape(*self.original_x_shape)
        return dx


class Relu:
    def __init__(self):
        self.mask = None

    def forward(self, x):
        self.mask = x <= 0
        out = x.copy()
        out[self.mask] = 0
        return out

    def backward(self, dout):
        dx = dout.copy()
        dx[self.mask] = 0
        return dx


class Sigmoid:
    def __init__(self):
        self.out = None

    def forward(self, x):
        out = 1 / (1 + np.exp(-x))
        self.out = out
        return out

    def backward(self, dout):
        dx = dout * (1.0 - self.out) * self.out
        return dx


SHAPE = 3
OPTIONS = {}
BACKWARD = ("Affine.backward", "Relu.backward", "Sigmoid.backward")


def inputs(rng):
    return {"x": rng.standard_normal((4, 2, 3))}


def subject(rng):
    first = Affine(rng.standard_normal((6, 5)), rng.standard_normal(5))
    second = Affine(rng.standard_normal((5, 4)), rng.standard_normal(4))
    third = Affine(rng.standard_normal((4, 2)), rng.standard_normal(2))
    return ([first, Relu(), second, Sigmoid(), third],)


def truth(subject, g, rng):
    layers = subject[0]
    out = g["x"]
    for layer in layers:
        out = layer.forward(out)
    dout = rng.standard_normal(out.shape)
    cost = np.sum(out * dout)
    for layer in reversed(layers):
        dout = layer.backward(dout)
    found = {"x": dout}
    for i in 0, 2, 4:
        found[f"[{i}].W"] = layers[i].dW
        found[f"[{i}].b"] = layers[i].db
    return cost, found


def parameters(subject, g):
    layers = subject[0]
    return {"x": g["x"]} | {f"[{i}].{name}": getattr(layers[i], name) for i in (0, 2, 4) for name in "Wb"}
