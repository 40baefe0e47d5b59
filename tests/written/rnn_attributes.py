"""A recurrent net with ``U``, ``V``, ``W`` on itself: ``calculate_loss(x, y)``, ``bptt(x, y)`` in that order."""

import numpy as np


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


class RNNNumpy:
    def __init__(self, word_dim, hidden_dim):
        self.word_dim = word_dim
        self.hidden_dim = hidden_dim
        self.U = np.random.uniform(-1, 1, (hidden_dim, word_dim))
        self.V = np.random.uniform(-1, 1, (word_dim, hidden_dim))
        self.W = np.random.uniform(-1, 1, (hidden_dim, hidden_dim))

    def forward_propagation(self, x):
        T = len(x)
        s = np.zeros((T + 1, self.hidden_dim))
        o = np.zeros((T, self.word_dim))
        for t in np.arange(T):
            s[t] = np.tanh(self.U[:, x[t]] + self.W.dot(s[t - 1]))  # s[-1] is zero
            o[t] = softmax(self.V.dot(s[t]))
        return [o, s]

    def calculate_loss(self, x, y):
        o, s = self.forward_propagation(x)
        correct_word_predictions = o[np.arange(len(y)), y]
        return -np.sum(np.log(correct_word_predictions))

    def bptt(self, x, y):
        T = len(y)
        o, s = self.forward_propagation(x)
        dLdU = np.zeros(self.U.shape)
        dLdV = np.zeros(self.V.shape)
        dLdW = np.zeros(self.W.shape)
        delta_o = o
        delta_o[np.arange(len(y)), y] -= 1.0
        for t in np.arange(T)[::-1]:
            dLdV += np.outer(delta_o[t], s[t].T)
            delta_t = self.V.T.dot(delta_o[t]) * (1 - (s[t] ** 2))
            for step in np.arange(0, t + 1)[::-1]:
                dLdW += np.outer(delta_t, s[step - 1])
                dLdU[:, x[step]] += delta_t
                delta_t = self.W.T.dot(delta_t) * (1 - s[step - 1] ** 2)
        return [dLdU, dLdV, dLdW]


SHAPE = 4
OPTIONS = {"methods": ("calculate_loss", "bptt"), "gradients": {"U": 0, "V": 1, "W": 2}}
BACKWARD = ("RNNNumpy.bptt:delta_o[np.arange",)


def inputs(rng):
    return {"x": [int(i) for i in rng.integers(0, 5, 4)], "y": [int(i) for i in rng.integers(0, 5, 4)]}


def subject(rng):
    np.random.seed(int(rng.integers(1000)))
    return (RNNNumpy(5, 3),)


def truth(subject, g, rng):
    model = subject[0]
    return model.calculate_loss(**g), dict(zip("UVW", model.bptt(**g)))


def parameters(subject, g):
    return {name: getattr(subject[0], name) for name in "UVW"}
