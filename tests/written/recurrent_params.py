"""Recurrent layers made of their weights, which they keep in a list beside one of gradients of the same length."""

import numpy as np


class Cell:
    def __init__(self, Wx, Wh, b):
        self.params = [Wx, Wh, b]
        self.grads = [np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)]
        self.cache = None

    def forward(self, x, h_prev):
        Wx, Wh, b = self.params
        h = np.tanh(x @ Wx + h_prev @ Wh + b)
        self.cache = (x, h_prev, h)
        return h

    def backward(self, dh):
        Wx, Wh, b = self.params
        x, h_prev, h = self.cache
        dt = dh * (1 - h**2)
        self.grads[0][...] = x.T @ dt
        self.grads[1][...] = h_prev.T @ dt
        self.grads[2][...] = dt.sum(axis=0)
        return dt @ Wx.T, dt @ Wh.T


class Recurrent:
    def __init__(self, Wx, Wh, b):
        self.params = [Wx, Wh, b]
        self.grads = [np.zeros_like(p) for p in self.params]

    def forward(self, xs):
        n, steps, _ = xs.shape
        width = self.params[1].shape[0]
        self.cells = []
        h = np.zeros((n, width))
        hs = np.zeros((n, steps, width))
        for t in range(steps):
            cell = Cell(*self.params)
            h = cell.forward(xs[:, t], h)
            hs[:, t] = h
            self.cells.append(cell)
        return hs

    def backward(self, dhs):
        n, steps, _ = dhs.shape
        dxs = np.zeros((n, steps, self.params[0].shape[0]))
        total = [0, 0, 0]
        dh = 0
        for t in reversed(range(steps)):
            dx, dh = self.cells[t].backward(dhs[:, t] + dh)
            dxs[:, t] = dx
            for i, grad in enumerate(self.cells[t].grads):
                total[i] = total[i] + grad
        for i, grad in enumerate(total):
            self.grads[i][...] = grad
        return dxs


SHAPE = 3
OPTIONS = {}
BACKWARD = ("Cell.backward", "Recurrent.backward")


def inputs(rng):
    return {
        "Wx": rng.standard_normal((3, 4)),
        "Wh": 0.5 * rng.standard_normal((4, 4)),
        "b": rng.standard_normal(4),
        "xs": rng.standard_normal((2, 3, 3)),
    }


def subject(rng):
    return (Recurrent,)


def truth(subject, g, rng):
    layer = Recurrent(g["Wx"], g["Wh"], g["b"])
    hs = layer.forward(g["xs"])
    dhs = rng.standard_normal(hs.shape)
    dxs = layer.backward(dhs)
    return np.sum(hs * dhs), {"xs": dxs} | dict(zip(("Wx", "Wh", "b"), layer.grads))


def parameters(subject, g):
    return dict(g)
