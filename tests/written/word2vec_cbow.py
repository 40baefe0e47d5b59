"""CBOW with negative samples on an object: ``model.loss(contexts, target, negatives)`` and ``model.gradient(...)``.

The two matrices are attributes, ``W_in`` and ``W_out``; the gradients come as a dictionary of these names.
"""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class CBOW:
    def __init__(self, W_in, W_out):
        self.W_in = W_in
        self.W_out = W_out

    def loss(self, contexts, target, negatives):
        """contexts (N, 2), target (N,), negatives (N, K): numbers of words."""
        N = len(target)
        h = self.W_in[contexts].mean(axis=1)
        right = np.sum(h * self.W_out[target], axis=1)
        wrong = np.einsum("nd,nkd->nk", h, self.W_out[negatives])
        total = np.sum(np.log(sigmoid(right))) + np.sum(np.log(sigmoid(-wrong)))
        return -total / N

    def gradient(self, contexts, target, negatives):
        N, window = contexts.shape
        h = self.W_in[contexts].mean(axis=1)
        right = np.sum(h * self.W_out[target], axis=1)
        wrong = np.einsum("nd,nkd->nk", h, self.W_out[negatives])

        dright = (sigmoid(right) - 1) / N
        dwrong = sigmoid(wrong) / N
        dh = dright[:, None] * self.W_out[target]
        dh += np.einsum("nk,nkd->nd", dwrong, self.W_out[negatives])
        dW_out = np.zeros_like(self.W_out)
        np.add.at(dW_out, target, dright[:, None] * h)
        np.add.at(dW_out, negatives, dwrong[:, :, None] * h[:, None, :])
        dW_in = np.zeros_like(self.W_in)
        for i in range(window):
            np.add.at(dW_in, contexts[:, i], dh / window)
        return {"W_in": dW_in, "W_out": dW_out}


SHAPE = 4
OPTIONS = {}
BACKWARD = ("CBOW.gradient:dright = ",)


def inputs(rng):
    return {
        "contexts": rng.integers(0, 6, (3, 2)),
        "target": rng.integers(0, 6, 3),
        "negatives": rng.integers(0, 6, (3, 4)),
    }


def subject(rng):
    return (CBOW(rng.standard_normal((6, 5)), rng.standard_normal((6, 5))),)


def truth(subject, g, rng):
    model = subject[0]
    return model.loss(**g), model.gradient(**g)


def parameters(subject, g):
    return {"W_in": subject[0].W_in, "W_out": subject[0].W_out}
