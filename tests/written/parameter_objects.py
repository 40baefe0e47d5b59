"""Modules whose weights are objects with ``data`` and ``grad``, into which backward adds."""

import numpy as np


class Parameter:
    def __init__(self, data):
        self.data = data
        self.grad = np.zeros_like(data)


class Linear:
    def __init__(self, weight, bias):
        self.weight = Parameter(weight)
        self.bias = Parameter(bias)

    def forward(self, x):
        self.x = x
        return x @ self.weight.data + self.bias.data

    def backward(self, grad):
        self.weight.grad += self.x.T @ grad
        self.bias.grad += grad.sum(axis=0)
        return grad @ self.weight.data.T


class LeakyReLU:
    def __init__(self, slope):
        self.slope = slope

    def forward(self, x):
        self.x = x
        return np.where(x > 0, x, self.slope * x)

    def backward(self, grad):
        return np.where(self.x > 0, grad, self.slope * grad)


class Sequential:
    def __init__(self, *modules):
        self.modules = modules

    def forward(self, x):
        for module in self.modules:
            x = module.forward(x)
        return x

    def backward(self, grad):
        for module in reversed(self.modules):
            grad = module.backward(grad)
        return grad


SHAPE = 3
OPTIONS = {}
BACKWARD = ("Linear.backward", "LeakyReLU.backward", "Sequential.backward")


def inputs(rng):
    return {"x": rng.standard_normal((5, 3))}


def subject(rng):
    first = Linear(rng.standard_normal((3, 4)), rng.standard_normal(4))
    second = Linear(rng.standard_normal((4, 2)), rng.standard_normal(2))
    return (Sequential(first, LeakyReLU(0.1), second),)


def truth(subject, g, rng):
    out = subject[0].forward(g["x"])
    grad = rng.standard_normal(out.shape)
    held = _held(subject)
    for parameter in held.values():
        parameter.grad[...] = 0
    dx = subject[0].backward(grad)
    return np.sum(out * grad), {"x": dx} | {name: parameter.grad for name, parameter in held.items()}


def parameters(subject, g):
    return {"x": g["x"]} | {name: parameter.data for name, parameter in _held(subject).items()}


def _held(subject):
    modules = subject[0].modules
    return {f"modules[{i}].{name}.data": getattr(modules[i], name) for i in (0, 2) for name in ("weight", "bias")}
