"""A tagger whose layers are attributes: ``tagger.forward(words, tags)`` is the loss, ``tagger.backward()`` follows.

The layers keep ``params`` and ``grads`` as dictionaries, read as ``tagger.embed.params["E"]``.
"""

import numpy as np


class EmbeddingLayer:
    def __init__(self, vocab, dim, rng):
        self.params = {"E": rng.standard_normal((vocab, dim))}
        self.grads = {}

    def forward(self, words):
        self.words = words
        return self.params["E"][words]

    def backward(self, dout):
        dE = np.zeros_like(self.params["E"])
        for i, word in enumerate(self.words):
            dE[word] += dout[i]
        self.grads["E"] = dE


class RecurrentLayer:
    def __init__(self, dim, hidden, rng):
        self.params = {
            "Wx": rng.standard_normal((dim, hidden)),
            "Wh": rng.standard_normal((hidden, hidden)),
            "h0": rng.standard_normal(hidden),
        }
        self.grads = {}

    def forward(self, xs):
        self.xs = xs
        h = self.params["h0"]
        self.hs = [h]
        for x in xs:
            h = np.tanh(x @ self.params["Wx"] + h @ self.params["Wh"])
            self.hs.append(h)
        return np.array(self.hs[1:])

    def backward(self, dhs):
        dWx = np.zeros_like(self.params["Wx"])
        dWh = np.zeros_like(self.params["Wh"])
        dxs = np.zeros_like(self.xs)
        dh = np.zeros_like(self.params["h0"])
        for t in reversed(range(len(dhs))):
            dh = dh + dhs[t]
            da = dh * (1 - self.hs[t + 1] ** 2)
            dWx += np.outer(self.xs[t], da)
            dWh += np.outer(self.hs[t], da)
            dxs[t] = self.params["Wx"] @ da
            dh = self.params["Wh"] @ da
        self.grads = {"Wx": dWx, "Wh": dWh, "h0": dh}
        return dxs


class OutputLayer:
    def __init__(self, hidden, tags, rng):
        self.params = {"V": rng.standard_normal((hidden, tags)), "c": rng.standard_normal(tags)}
        self.grads = {}

    def forward(self, hs, tags):
        self.hs, self.tags = hs, tags
        scores = hs @ self.params["V"] + self.params["c"]
        exps = np.exp(scores - scores.max(axis=1, keepdims=True))
        self.probs = exps / exps.sum(axis=1, keepdims=True)
        return -np.mean(np.log(self.probs[np.arange(len(tags)), tags]))

    def backward(self):
        n = len(self.tags)
        dscores = self.probs.copy()
        dscores[np.arange(n), self.tags] -= 1
        dscores /= n
        self.grads["V"] = self.hs.T @ dscores
        self.grads["c"] = dscores.sum(axis=0)
        return dscores @ self.params["V"].T


class Tagger:
    def __init__(self, vocab, dim, hidden, tags, rng):
        self.embed = EmbeddingLayer(vocab, dim, rng)
        self.rnn = RecurrentLayer(dim, hidden, rng)
        self.out = OutputLayer(hidden, tags, rng)

    def forward(self, words, tags):
        xs = self.embed.forward(words)
        hs = self.rnn.forward(xs)
        return self.out.forward(hs, tags)

    def backward(self):
        dhs = self.out.backward()
        dxs = self.rnn.backward(dhs)
        self.embed.backward(dxs)


SHAPE = 5
OPTIONS = {}
BACKWARD = ("EmbeddingLayer.backward", "RecurrentLayer.backward", "OutputLayer.backward", "Tagger.backward")
HELD = {"embed": ("E",), "rnn": ("Wx", "Wh", "h0"), "out": ("V", "c")}


def inputs(rng):
    return {"words": rng.integers(0, 6, 5), "tags": rng.integers(0, 3, 5)}


def subject(rng):
    return (Tagger(6, 3, 4, 3, rng),)


def truth(subject, g, rng):
    tagger = subject[0]
    loss = tagger.forward(**g)
    tagger.backward()
    return loss, {f"{at}.params['{n}']": getattr(tagger, at).grads[n] for at, names in HELD.items() for n in names}


def parameters(subject, g):
    tagger = subject[0]
    return {f"{at}.params['{n}']": getattr(tagger, at).params[n] for at, names in HELD.items() for n in names}
