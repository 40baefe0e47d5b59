"""Two layers that share one matrix, each with the gradient of its own use of it: who takes the step adds them."""

import numpy as np


class MatMul:
    def __init__(self, W):
        self.params = [W]
        self.grads = [np.zeros_like(W)]

    def forward(self, x):
        self.x = x
        return x @ self.params[0]

    def backward(self, dout):
        self.grads[0][...] = self.x.T @ dout
        return dout @ self.params[0].T


class Pairing:
    """How far the images of two points, by the same matrix, are from a third."""

    def __init__(self, W, V):
        self.left = MatMul(W)
        self.right = MatMul(W)
        self.out = MatMul(V)

    def forward(self, a, b, target):
        h = np.tanh(self.left.forward(a) * 0.5 + self.right.forward(b) * 0.5)
        self.h = h
        self.difference = self.out.forward(h) - target
        return 0.5 * np.mean(np.sum(self.difference**2, axis=1))

    def backward(self, dout=1):
        d = dout * self.difference / len(self.difference)
        dh = self.out.backward(d)
        dz = dh * (1 - self.h**2) * 0.5
        self.left.backward(dz)
        self.right.backward(dz)


SHAPE = 4
OPTIONS = {}
BACKWARD = ("MatMul.backward", "Pairing.backward")


def inputs(rng):
    return {
        "a": rng.standard_normal((5, 3)),
        "b": rng.standard_normal((5, 3)),
        "target": rng.standard_normal((5, 2)),
    }


def subject(rng):
    return (Pairing(rng.standard_normal((3, 4)), rng.standard_normal((4, 2))),)


def truth(subject, g, rng):
    network = subject[0]
    cost = network.forward(**g)
    network.backward()
    both = network.left.grads[0] + network.right.grads[0]
    return cost, {"left.params[0]": both, "out.params[0]": network.out.grads[0]}


def parameters(subject, g):
    network = subject[0]
    return {"left.params[0]": network.left.params[0], "out.params[0]": network.out.params[0]}
