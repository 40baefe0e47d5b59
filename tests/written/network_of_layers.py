"""A network that runs its layers in order: ``net.loss(x, t)`` and ``net.gradient(x, t)``, which calls the former."""

from collections import OrderedDict

import numpy as np


class Affine:
    def __init__(self, W, b):
        self.W, self.b = W, b

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout):
        self.dW = self.x.T @ dout
        self.db = dout.sum(axis=0)
        return dout @ self.W.T


class Swish:
    def forward(self, x):
        self.sig = 1 / (1 + np.exp(-x))
        self.x = x
        return x * self.sig

    def backward(self, dout):
        slope = self.sig + self.x * self.sig * (1 - self.sig)
        return dout * slope


class MeanSquaredError:
    def forward(self, y, t):
        self.difference = y - t
        return np.mean(self.difference**2)

    def backward(self, dout=1):
        return dout * 2 * self.difference / self.difference.size


class MultiLayerNet:
    def __init__(self, input_size, hidden_sizes, output_size, weight_decay_lambda=0.0, rng=None):
        self.weight_decay_lambda = weight_decay_lambda
        self.hidden_layer_num = len(hidden_sizes)
        self.params = {}
        sizes = [input_size, *hidden_sizes, output_size]
        for idx in range(1, len(sizes)):
            scale = np.sqrt(1.0 / sizes[idx - 1])
            self.params["W" + str(idx)] = scale * rng.standard_normal((sizes[idx - 1], sizes[idx]))
            self.params["b" + str(idx)] = scale * rng.standard_normal(sizes[idx])

        self.layers = OrderedDict()
        for idx in range(1, self.hidden_layer_num + 1):
            self.layers["Affine" + str(idx)] = Affine(self.params["W" + str(idx)], self.params["b" + str(idx)])
            self.layers["Activation" + str(idx)] = Swish()
        idx = self.hidden_layer_num + 1
        self.layers["Affine" + str(idx)] = Affine(self.params["W" + str(idx)], self.params["b" + str(idx)])
        self.last_layer = MeanSquaredError()

    def predict(self, x):
        for layer in self.layers.values():
            x = layer.forward(x)
        return x

    def loss(self, x, t):
        y = self.predict(x)
        weight_decay = 0
        for idx in range(1, self.hidden_layer_num + 2):
            W = self.params["W" + str(idx)]
            weight_decay += 0.5 * self.weight_decay_lambda * np.sum(W**2)
        return self.last_layer.forward(y, t) + weight_decay

    def gradient(self, x, t):
        self.loss(x, t)

        dout = self.last_layer.backward(1)
        layers = list(self.layers.values())
        layers.reverse()
        for layer in layers:
            dout = layer.backward(dout)

        grads = {}
        for idx in range(1, self.hidden_layer_num + 2):
            affine = self.layers["Affine" + str(idx)]
            grads["W" + str(idx)] = affine.dW + self.weight_decay_lambda * affine.W
            grads["b" + str(idx)] = affine.db
        return grads


SHAPE = 4
OPTIONS = {}
BACKWARD = ("Affine.backward", "Swish.backward", "MeanSquaredError.backward", "MultiLayerNet.gradient")


def inputs(rng):
    return {"x": rng.standard_normal((6, 3)), "t": rng.standard_normal((6, 2))}


def subject(rng):
    return (MultiLayerNet(3, [5, 4], 2, weight_decay_lambda=0.1, rng=rng),)


def truth(subject, g, rng):
    net = subject[0]
    loss = net.loss(**g)
    grads = net.gradient(**g)
    return loss, {f"params['{name}']": grads[name] for name in net.params}


def parameters(subject, g):
    return {f"params['{name}']": value for name, value in subject[0].params.items()}
