"""Layers that take their own step: ``backward(output_gradient, learning_rate)`` changes weights and bias in place."""

import copy

import numpy as np


class Dense:
    def __init__(self, weights, bias):
        self.weights = weights
        self.bias = bias

    def forward(self, input):
        self.input = input
        return np.dot(self.weights, self.input) + self.bias

    def backward(self, output_gradient, learning_rate):
        weights_gradient = np.dot(output_gradient, self.input.T)
        input_gradient = np.dot(self.weights.T, output_gradient)
        self.weights -= learning_rate * weights_gradient
        self.bias -= learning_rate * output_gradient
        return input_gradient


class Tanh:
    def forward(self, input):
        self.input = input
        return np.tanh(self.input)

    def backward(self, output_gradient, learning_rate):
        return output_gradient * (1 - np.tanh(self.input) ** 2)


SHAPE = 3
OPTIONS = {}
BACKWARD = ("Dense.backward", "Tanh.backward")


def inputs(rng):
    return {"input": rng.standard_normal((3, 1)), "learning_rate": 0.1}


def subject(rng):
    first = Dense(rng.standard_normal((4, 3)), rng.standard_normal((4, 1)))
    second = Dense(rng.standard_normal((2, 4)), rng.standard_normal((2, 1)))
    return ([first, Tanh(), second],)


def truth(subject, g, rng):
    layers = copy.deepcopy(subject[0])  # which the steps change
    value = g["input"]
    for layer in layers:
        value = layer.forward(value)
    gradient = rng.standard_normal(value.shape)
    cost = np.sum(value * gradient)
    before = {f"[{i}].{name}": getattr(layers[i], name).copy() for i in (0, 2) for name in ("weights", "bias")}
    for layer in reversed(layers):
        gradient = layer.backward(gradient, g["learning_rate"])
    after = {f"[{i}].{name}": getattr(layers[i], name) for i in (0, 2) for name in ("weights", "bias")}
    return cost, {"input": gradient} | {n: (before[n] - after[n]) / g["learning_rate"] for n in before}


def parameters(subject, g):
    return {"input": g["input"]} | {
        f"[{i}].{name}": getattr(subject[0][i], name) for i in (0, 2) for name in ("weights", "bias")
    }
