"""A language model of one recurrent layer: ``model.loss(words, nexts)`` and ``model.gradient(words, nexts)``.

The parameters of the layers are gathered in the list ``model.params``; the gradients come as a list beside it.
"""

import numpy as np


class TimeRNN:
    def __init__(self, Wx, Wh, b):
        self.params = [Wx, Wh, b]
        self.grads = [np.zeros_like(p) for p in self.params]

    def forward(self, xs):
        Wx, Wh, b = self.params
        N, T, _ = xs.shape
        self.xs = xs
        self.states = [np.zeros((N, Wh.shape[0]))]
        for t in range(T):
            self.states.append(np.tanh(xs[:, t] @ Wx + self.states[-1] @ Wh + b))
        return np.stack(self.states[1:], axis=1)

    def backward(self, dhs):
        Wx, Wh, b = self.params
        for grad in self.grads:
            grad.fill(0)
        dxs = np.zeros_like(self.xs)
        carried = np.zeros_like(self.states[0])
        for t in range(dhs.shape[1])[::-1]:
            da = (dhs[:, t] + carried) * (1 - self.states[t + 1] ** 2)
            self.grads[0] += self.xs[:, t].T @ da
            self.grads[1] += self.states[t].T @ da
            self.grads[2] += da.sum(axis=0)
            dxs[:, t] = da @ Wx.T
            carried = da @ Wh.T
        return dxs


class LanguageModel:
    def __init__(self, vocab_size, wordvec_size, hidden_size, rng):
        V, D, H = vocab_size, wordvec_size, hidden_size
        self.embed = rng.standard_normal((V, D))
        self.rnn = TimeRNN(rng.standard_normal((D, H)), rng.standard_normal((H, H)), rng.standard_normal(H))
        self.out_W = rng.standard_normal((H, V))
        self.out_b = rng.standard_normal(V)
        self.params = [self.embed, *self.rnn.params, self.out_W, self.out_b]

    def loss(self, words, nexts):
        N, T = words.shape
        hs = self.rnn.forward(self.embed[words])
        scores = hs @ self.out_W + self.out_b
        scores -= scores.max(axis=2, keepdims=True)
        log_probs = scores - np.log(np.exp(scores).sum(axis=2, keepdims=True))
        rows, columns = np.indices((N, T))
        self.saved = (words, nexts, hs, log_probs)
        return -log_probs[rows, columns, nexts].sum() / (N * T)

    def gradient(self, words, nexts):
        self.loss(words, nexts)
        words, nexts, hs, log_probs = self.saved
        N, T = words.shape
        dscores = np.exp(log_probs)
        rows, columns = np.indices((N, T))
        dscores[rows, columns, nexts] -= 1
        dscores /= N * T
        flat = dscores.reshape(N * T, -1)
        dout_W = hs.reshape(N * T, -1).T @ flat
        dout_b = flat.sum(axis=0)
        dhs = dscores @ self.out_W.T
        dwords = self.rnn.backward(dhs)
        dembed = np.zeros_like(self.embed)
        np.add.at(dembed, words, dwords)
        return [dembed, *self.rnn.grads, dout_W, dout_b]


SHAPE = 4
OPTIONS = {}
BACKWARD = ("TimeRNN.backward", "LanguageModel.gradient:dscores = ")


def inputs(rng):
    return {"words": rng.integers(0, 5, (2, 4)), "nexts": rng.integers(0, 5, (2, 4))}


def subject(rng):
    return (LanguageModel(5, 3, 4, rng),)


def truth(subject, g, rng):
    model = subject[0]
    grads = model.gradient(**g)
    return model.loss(**g), {f"params[{i}]": grad.copy() for i, grad in enumerate(grads)}


def parameters(subject, g):
    return {f"params[{i}]": value for i, value in enumerate(subject[0].params)}
