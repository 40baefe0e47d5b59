"""Activations with and without a parameter, in a list: ``[Scale, PReLU, ELU, Softplus]``; gradients as ``grad_...``."""

import numpy as np


class Scale:
    def __init__(self, weight):
        self.weight = weight
        self.grad_weight = None

    def forward(self, x):
        self.x = x
        return x * self.weight

    def backward(self, grad):
        self.grad_weight = np.sum(grad * self.x, axis=0)
        return grad * self.weight


class PReLU:
    def __init__(self, alpha):
        self.alpha = alpha
        self.grad_alpha = None

    def forward(self, x):
        self.x = x
        return np.where(x > 0, x, self.alpha * x)

    def backward(self, grad):
        negative = self.x <= 0
        self.grad_alpha = np.sum(grad * self.x * negative, axis=0)
        grad_x = grad.copy()
        grad_x[negative] = (grad * self.alpha)[negative]
        return grad_x


class ELU:
    def __init__(self, a=1.0):
        self.a = a

    def forward(self, x):
        self.x = x
        self.y = np.where(x > 0, x, self.a * (np.exp(x) - 1))
        return self.y

    def backward(self, grad):
        slope = np.ones_like(grad)
        below = self.x < 0
        slope[below] = self.y[below] + self.a
        return grad * slope


class Softplus:
    def forward(self, x):
        self.x = x
        return np.log1p(np.exp(x))

    def backward(self, grad):
        sig = 1 / (1 + np.exp(-self.x))
        return grad * sig


SHAPE = 3
OPTIONS = {}
BACKWARD = ("Scale.backward", "PReLU.backward", "ELU.backward", "Softplus.backward")


def inputs(rng):
    return {"x": rng.standard_normal((6, 4))}


def subject(rng):
    return ([Scale(rng.standard_normal(4)), PReLU(rng.uniform(0.1, 0.5, 4)), ELU(0.7), Softplus()],)


def truth(subject, g, rng):
    layers = subject[0]
    out = g["x"]
    for layer in layers:
        out = layer.forward(out)
    grad = rng.standard_normal(out.shape)
    cost = np.sum(out * grad)
    for layer in layers[::-1]:
        grad = layer.backward(grad)
    return cost, {"x": grad, "weight": layers[0].grad_weight, "alpha": layers[1].grad_alpha}


def parameters(subject, g):
    layers = subject[0]
    return {"x": g["x"], "weight": layers[0].weight, "alpha": layers[1].alpha}
