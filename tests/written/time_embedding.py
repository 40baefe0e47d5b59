"""Layers for sequences of words: ``[Embedding, RNN]`` with ``params`` and ``grads`` as lists beside each other."""

import numpy as np


class Embedding:
    def __init__(self, W):
        self.params = [W]
        self.grads = [np.zeros_like(W)]
        self.idx = None

    def forward(self, idx):
        (W,) = self.params
        self.idx = idx
        out = W[idx]
        return out

    def backward(self, dout):
        (dW,) = self.grads
        dW[...] = 0
        np.add.at(dW, self.idx, dout)
        return None


class RNN:
    def __init__(self, Wx, Wh, b):
        self.params = [Wx, Wh, b]
        self.grads = [np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)]
        self.hs = None

    def forward(self, xs):
        Wx, Wh, b = self.params
        N, T, D = xs.shape
        H = Wh.shape[0]
        self.xs = xs
        self.hs = np.zeros((N, T + 1, H))
        for t in range(T):
            a = np.dot(self.hs[:, t], Wh) + np.dot(xs[:, t], Wx) + b
            self.hs[:, t + 1] = np.tanh(a)
        return self.hs[:, 1:]

    def backward(self, dhs):
        Wx, Wh, b = self.params
        N, T, H = dhs.shape
        dxs = np.zeros_like(self.xs)
        dWx, dWh, db = 0, 0, 0
        dh = 0
        for t in range(T - 1, -1, -1):
            dh = dhs[:, t] + dh
            da = dh * (1 - self.hs[:, t + 1] ** 2)
            db += np.sum(da, axis=0)
            dWh += np.dot(self.hs[:, t].T, da)
            dWx += np.dot(self.xs[:, t].T, da)
            dxs[:, t] = np.dot(da, Wx.T)
            dh = np.dot(da, Wh.T)
        for i, grad in enumerate((dWx, dWh, db)):
            self.grads[i][...] = grad
        return dxs


SHAPE = 3
OPTIONS = {}
BACKWARD = ("Embedding.backward", "RNN.backward")


def inputs(rng):
    return {"idx": rng.integers(0, 6, (3, 4))}


def subject(rng):
    V, D, H = 6, 3, 5
    rnn = RNN(rng.standard_normal((D, H)), rng.standard_normal((H, H)), rng.standard_normal(H))
    return ([Embedding(rng.standard_normal((V, D))), rnn],)


def truth(subject, g, rng):
    embedding, rnn = subject[0]
    hs = rnn.forward(embedding.forward(g["idx"]))
    dhs = rng.standard_normal(hs.shape)
    embedding.backward(rnn.backward(dhs))
    found = {"[0].params[0]": embedding.grads[0].copy()}
    found.update({f"[1].params[{i}]": grad.copy() for i, grad in enumerate(rnn.grads)})
    return np.sum(hs * dhs), found


def parameters(subject, g):
    embedding, rnn = subject[0]
    return {"[0].params[0]": embedding.params[0]} | {f"[1].params[{i}]": p for i, p in enumerate(rnn.params)}
