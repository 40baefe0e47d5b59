"""A convolution, a pooling by maximum and a flattening, in a list; ``backward`` returns what goes on.

The convolution accumulates into ``grads["W"]`` and ``grads["b"]``, which ``zero_grad`` clears.
"""

import numpy as np


class Conv2D:
    def __init__(self, W, b, stride=1, padding=0):
        self.params = {"W": W, "b": b}
        self.grads = {}
        self.stride = stride
        self.padding = padding
        self.zero_grad()

    def zero_grad(self):
        for name, value in self.params.items():
            self.grads[name] = np.zeros_like(value)

    def forward(self, x):
        W, b = self.params["W"], self.params["b"]
        F, C, kh, kw = W.shape
        s, p = self.stride, self.padding
        padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
        oh = (padded.shape[2] - kh) // s + 1
        ow = (padded.shape[3] - kw) // s + 1
        out = np.zeros((x.shape[0], F, oh, ow))
        for i in range(oh):
            for j in range(ow):
                patch = padded[:, :, i * s : i * s + kh, j * s : j * s + kw]
                out[:, :, i, j] = np.tensordot(patch, W, axes=([1, 2, 3], [1, 2, 3])) + b
        self.padded = padded
        return out

    def backward(self, dout):
        W = self.params["W"]
        F, C, kh, kw = W.shape
        s, p = self.stride, self.padding
        dpadded = np.zeros_like(self.padded)
        for i in range(dout.shape[2]):
            for j in range(dout.shape[3]):
                d = dout[:, :, i, j]
                patch = self.padded[:, :, i * s : i * s + kh, j * s : j * s + kw]
                self.grads["W"] += np.tensordot(d, patch, axes=([0], [0]))
                dpadded[:, :, i * s : i * s + kh, j * s : j * s + kw] += np.tensordot(d, W, axes=([1], [0]))
        self.grads["b"] += dout.sum(axis=(0, 2, 3))
        if p > 0:
            return dpadded[:, :, p:-p, p:-p]
        return dpadded


class MaxPool2x2:
    def forward(self, x):
        n, c, h, w = x.shape
        self.x_shape = x.shape
        blocks = x.reshape(n, c, h // 2, 2, w // 2, 2).transpose(0, 1, 2, 4, 3, 5).reshape(n, c, h // 2, w // 2, 4)
        self.arg_max = np.argmax(blocks, axis=-1)
        return np.max(blocks, axis=-1)

    def backward(self, dout):
        n, c, h, w = self.x_shape
        dblocks = np.zeros((dout.size, 4))
        dblocks[np.arange(self.arg_max.size), self.arg_max.flatten()] = dout.flatten()
        dblocks = dblocks.reshape(n, c, h // 2, w // 2, 2, 2)
        dx = dblocks.transpose(0, 1, 2, 4, 3, 5).reshape(n, c, h, w)
        return dx


class Flatten:
    def forward(self, x):
        self.shape = x.shape
        return x.reshape(x.shape[0], -1)

    def backward(self, dout):
        return dout.reshape(self.shape)


SHAPE = 3
OPTIONS = {}
BACKWARD = ("Conv2D.backward", "MaxPool2x2.backward", "Flatten.backward")


def inputs(rng):
    return {"x": rng.standard_normal((2, 2, 4, 6))}


def subject(rng):
    conv = Conv2D(rng.standard_normal((3, 2, 3, 3)), rng.standard_normal(3), stride=1, padding=1)
    return ([conv, MaxPool2x2(), Flatten()],)


def truth(subject, g, rng):
    layers = subject[0]
    layers[0].zero_grad()
    out = g["x"]
    for layer in layers:
        out = layer.forward(out)
    dout = rng.standard_normal(out.shape)
    cost = np.sum(out * dout)
    for layer in reversed(layers):
        dout = layer.backward(dout)
    return cost, {"x": dout} | {f"params['{name}']": value.copy() for name, value in layers[0].grads.items()}


def parameters(subject, g):
    return {"x": g["x"]} | {f"params['{name}']": value for name, value in subject[0][0].params.items()}
