"""Layers that return nothing: forward leaves ``output`` in the layer, backward ``dinputs`` and ``dweights``."""

import numpy as np


class DenseLayer:
    def __init__(self, weights, biases):
        self.weights = weights
        self.biases = biases

    def forward(self, inputs):
        self.inputs = inputs
        self.output = np.dot(inputs, self.weights) + self.biases

    def backward(self, dvalues):
        self.dweights = np.dot(self.inputs.T, dvalues)
        self.dbiases = np.sum(dvalues, axis=0, keepdims=True)
        self.dinputs = np.dot(dvalues, self.weights.T)


class ReluActivation:
    def forward(self, inputs):
        self.inputs = inputs
        self.output = np.maximum(0, inputs)

    def backward(self, dvalues):
        self.dinputs = dvalues.copy()
        self.dinputs[self.inputs <= 0] = 0


class SoftmaxActivation:
    def forward(self, inputs):
        values = np.exp(inputs - np.max(inputs, axis=1, keepdims=True))
        self.output = values / np.sum(values, axis=1, keepdims=True)

    def backward(self, dvalues):
        self.dinputs = np.empty_like(dvalues)
        for index, (output, upstream) in enumerate(zip(self.output, dvalues)):
            output = output.reshape(-1, 1)
            jacobian = np.diagflat(output) - np.dot(output, output.T)
            self.dinputs[index] = np.dot(jacobian, upstream)


SHAPE = 3
OPTIONS = {}
BACKWARD = ("DenseLayer.backward", "ReluActivation.backward", "SoftmaxActivation.backward")


def inputs(rng):
    return {"inputs": rng.standard_normal((5, 3))}


def subject(rng):
    first = DenseLayer(rng.standard_normal((3, 4)), rng.standard_normal((1, 4)))
    second = DenseLayer(rng.standard_normal((4, 3)), rng.standard_normal((1, 3)))
    return ([first, ReluActivation(), second, SoftmaxActivation()],)


def truth(subject, g, rng):
    layers = subject[0]
    value = g["inputs"]
    for layer in layers:
        layer.forward(value)
        value = layer.output
    gradient = rng.standard_normal(value.shape)
    cost = np.sum(value * gradient)
    for layer in reversed(layers):
        layer.backward(gradient)
        gradient = layer.dinputs
    return cost, {"inputs": gradient} | {
        f"[{i}].{name}": getattr(layers[i], f"d{name}") for i in (0, 2) for name in ("weights", "biases")
    }


def parameters(subject, g):
    held = {f"[{i}].{name}": getattr(subject[0][i], name) for i in (0, 2) for name in ("weights", "biases")}
    return {"inputs": g["inputs"], **held}
