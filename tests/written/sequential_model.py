"""A model that holds a list of layers: ``model.forward(x)``, ``model.backward(grad)``; ``model.layers[0].weight``.

A layer with parameters leaves ``grad_weight`` and ``grad_bias`` in itself.
"""

import numpy as np


class Layer:
    def forward(self, x):
        raise NotImplementedError

    def backward(self, grad):
        raise NotImplementedError


class Linear(Layer):
    def __init__(self, n_in, n_out, rng):
        bound = np.sqrt(6 / (n_in + n_out))
        self.weight = rng.uniform(-bound, bound, size=(n_out, n_in))
        self.bias = rng.uniform(-bound, bound, size=n_out)
        self.grad_weight = np.zeros_like(self.weight)
        self.grad_bias = np.zeros_like(self.bias)

    def forward(self, x):
        self.input = x
        return x @ self.weight.T + self.bias

    def backward(self, grad):
        self.grad_weight = grad.T @ self.input
        self.grad_bias = grad.sum(axis=0)
        return grad @ self.weight


class GELU(Layer):
    def forward(self, x):
        self.input = x
        self.inner = np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)
        return 0.5 * x * (1 + np.tanh(self.inner))

    def backward(self, grad):
        x = self.input
        t = np.tanh(self.inner)
        dinner = np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * x**2)
        slope = 0.5 * (1 + t) + 0.5 * x * (1 - t**2) * dinner
        return grad * slope


class LogSoftmax(Layer):
    def forward(self, x):
        shifted = x - x.max(axis=1, keepdims=True)
        self.output = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        return self.output

    def backward(self, grad):
        total = grad.sum(axis=1, keepdims=True)
        return grad - np.exp(self.output) * total


class Sequential:
    def __init__(self, *layers):
        self.layers = list(layers)

    def forward(self, x):
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, grad):
        for layer in reversed(self.layers):
            grad = layer.backward(grad)
        return grad


SHAPE = 5
OPTIONS = {}
BACKWARD = ("Linear.backward", "GELU.backward", "LogSoftmax.backward", "Sequential.backward")


def inputs(rng):
    return {"x": rng.standard_normal((5, 4))}


def subject(rng):
    return (Sequential(Linear(4, 6, rng), GELU(), Linear(6, 3, rng), LogSoftmax()),)


def truth(subject, g, rng):
    model = subject[0]
    out = model.forward(g["x"])
    grad = rng.standard_normal(out.shape)
    found = {"x": model.backward(grad)}
    for i in 0, 2:
        found[f"layers[{i}].weight"] = model.layers[i].grad_weight
        found[f"layers[{i}].bias"] = model.layers[i].grad_bias
    return np.sum(out * grad), found


def parameters(subject, g):
    layers = subject[0].layers
    live = {f"layers[{i}].{name}": getattr(layers[i], name) for i in (0, 2) for name in ("weight", "bias")}
    return {"x": g["x"]} | live
