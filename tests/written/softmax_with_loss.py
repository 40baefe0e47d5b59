"""The last layer of a network: ``SoftmaxWithLoss().forward(x, t)`` is the loss, ``backward(dout=1)`` gives dx."""

import numpy as np


def softmax(x):
    x = x.T
    x = x - np.max(x, axis=0)
    y = np.exp(x) / np.sum(np.exp(x), axis=0)
    return y.T


def cross_entropy_error(y, t):
    if t.size == y.size:
        t = t.argmax(axis=1)
    batch_size = y.shape[0]
    return -np.sum(np.log(y[np.arange(batch_size), t])) / batch_size


class SoftmaxWithLoss:
    def __init__(self):
        self.loss = None
        self.y = None
        self.t = None

    def forward(self, x, t):
        self.t = t
        self.y = softmax(x)
        self.loss = cross_entropy_error(self.y, self.t)
        return self.loss

    def backward(self, dout=1):
        batch_size = self.t.shape[0]
        if self.t.size == self.y.size:
            dx = (self.y - self.t) / batch_size
        else:
            dx = self.y.copy()
            dx[np.arange(batch_size), self.t] -= 1
            dx = dx / batch_size
        dx = dx * dout
        return dx


SHAPE = 3
OPTIONS = {}
BACKWARD = ("SoftmaxWithLoss.backward",)


def inputs(rng):
    return {"x": rng.standard_normal((5, 4)), "t": rng.integers(0, 4, 5)}


def subject(rng):
    return (SoftmaxWithLoss(),)


def truth(subject, g, rng):
    layer = subject[0]
    loss = layer.forward(**g)
    return loss, {"x": layer.backward()}


def parameters(subject, g):
    return {"x": g["x"]}
