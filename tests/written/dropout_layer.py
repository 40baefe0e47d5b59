"""A hidden layer with dropout: ``layer.forward(x, train_flg)`` draws from np.random, ``layer.backward(dout)``.

The weights and their gradients are lists: ``layer.params = [W, b]``, ``layer.grads = [dW, db]``.
"""

import numpy as np


class DropoutDense:
    def __init__(self, W, b, dropout_ratio=0.4):
        self.params = [W, b]
        self.grads = [np.zeros_like(W), np.zeros_like(b)]
        self.dropout_ratio = dropout_ratio
        self.mask = None
        self.x = None

    def forward(self, x, train_flg=True):
        W, b = self.params
        self.x = x
        h = np.tanh(np.dot(x, W) + b)
        self.h = h
        if train_flg:
            self.mask = np.random.rand(*h.shape) > self.dropout_ratio
            return h * self.mask
        return h * (1.0 - self.dropout_ratio)

    def backward(self, dout):
        W, b = self.params
        dh = dout * self.mask
        dz = dh * (1 - self.h**2)
        dx = np.dot(dz, W.T)
        dW = np.dot(self.x.T, dz)
        db = np.sum(dz, axis=0)
        self.grads[0][...] = dW
        self.grads[1][...] = db
        return dx


SHAPE = 3
OPTIONS = {}
BACKWARD = ("DropoutDense.backward",)


def inputs(rng):
    return {"x": rng.standard_normal((5, 4)), "train_flg": True}


def subject(rng):
    return (DropoutDense(rng.standard_normal((4, 6)), rng.standard_normal(6)),)


def truth(subject, g, rng):
    layer = subject[0]
    np.random.seed(7)
    out = layer.forward(**g)
    dout = rng.standard_normal(out.shape)
    dx = layer.backward(dout)
    return np.sum(out * dout), {"x": dx, "params[0]": layer.grads[0].copy(), "params[1]": layer.grads[1].copy()}


def parameters(subject, g):
    return {"x": g["x"], "params[0]": subject[0].params[0], "params[1]": subject[0].params[1]}
