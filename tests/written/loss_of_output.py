"""Softmax and cross-entropy in one object: backward is called with the output that it has kept, and the labels."""

import numpy as np


class Softmax:
    def forward(self, inputs):
        exp = np.exp(inputs - np.max(inputs, axis=1, keepdims=True))
        self.output = exp / np.sum(exp, axis=1, keepdims=True)


class SoftmaxLoss:
    def __init__(self):
        self.activation = Softmax()

    def forward(self, inputs, y_true):
        self.activation.forward(inputs)
        self.output = self.activation.output
        picked = self.output[np.arange(len(inputs)), y_true]
        return np.mean(-np.log(picked))

    def backward(self, dvalues, y_true):
        samples = len(dvalues)
        self.dinputs = dvalues.copy()
        self.dinputs[np.arange(samples), y_true] -= 1
        self.dinputs = self.dinputs / samples


SHAPE = 3
OPTIONS = {}
BACKWARD = ("SoftmaxLoss.backward",)


def inputs(rng):
    return {"inputs": rng.standard_normal((5, 3)), "y_true": rng.permutation([0, 1, 2, 1, 0])}


def subject(rng):
    return (SoftmaxLoss(),)


def truth(subject, g, rng):
    layer = subject[0]
    cost = layer.forward(g["inputs"], g["y_true"])
    layer.backward(layer.output, g["y_true"])
    return cost, {"inputs": layer.dinputs}


def parameters(subject, g):
    return {"inputs": g["inputs"]}
