"""A class that holds layers, which hold the parameters: ``net.forward(x)``, ``net.backward(dout)``, ``net.affine1.W``.

Each layer leaves its gradients in itself, as ``dW`` and ``db``.
"""

import numpy as np


class Affine:
    def __init__(self, n_in, n_out, rng):
        self.W = rng.normal(0, 1 / np.sqrt(n_in), (n_in, n_out))
        self.b = rng.normal(0, 0.1, n_out)

    def forward(self, x):
        self.x = x
        return np.dot(x, self.W) + self.b

    def backward(self, dout):
        self.dW = np.dot(self.x.T, dout)
        self.db = dout.sum(axis=0)
        return np.dot(dout, self.W.T)


class Tanh:
    def forward(self, x):
        self.y = np.tanh(x)
        return self.y

    def backward(self, dout):
        return dout * (1 - self.y**2)


class SkipNet:
    """Two affine layers, with what comes in added to what goes out."""

    def __init__(self, n, hidden, rng):
        self.affine1 = Affine(n, hidden, rng)
        self.tanh = Tanh()
        self.affine2 = Affine(hidden, n, rng)

    def forward(self, x):
        h = self.affine1.forward(x)
        h = self.tanh.forward(h)
        h = self.affine2.forward(h)
        return x + h

    def backward(self, dout):
        dh = self.affine2.backward(dout)
        dh = self.tanh.backward(dh)
        dx = self.affine1.backward(dh)
        dx = dx + dout
        return dx


SHAPE = 5
OPTIONS = {}
BACKWARD = ("Affine.backward", "Tanh.backward", "SkipNet.backward")


def inputs(rng):
    return {"x": rng.standard_normal((5, 3))}


def subject(rng):
    return (SkipNet(3, 4, rng),)


def truth(subject, g, rng):
    net = subject[0]
    out = net.forward(g["x"])
    dout = rng.standard_normal(out.shape)
    found = {"x": net.backward(dout)}
    for name in "affine1", "affine2":
        layer = getattr(net, name)
        found[name + ".W"] = layer.dW
        found[name + ".b"] = layer.db
    return np.sum(out * dout), found


def parameters(subject, g):
    net = subject[0]
    live = {f"{name}.{part}": getattr(getattr(net, name), part) for name in ("affine1", "affine2") for part in "Wb"}
    return {"x": g["x"]} | live
