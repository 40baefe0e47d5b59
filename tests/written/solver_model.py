"""A model of a course, which is given to a solver: ``loss, grads = net.loss(X, y)``, keyed like ``net.params``.

Affine, batch normalisation, relu, affine, softmax; the layers are functions with caches.
"""

import numpy as np


def affine(x, w, b):
    return x @ w + b, (x, w)


def affine_back(dout, cache):
    x, w = cache
    return dout @ w.T, x.T @ dout, dout.sum(axis=0)


def batchnorm(x, gamma, beta, eps=1e-5):
    mu = x.mean(axis=0)
    std = np.sqrt(x.var(axis=0) + eps)
    xhat = (x - mu) / std
    return gamma * xhat + beta, (xhat, std, gamma)


def batchnorm_back(dout, cache):
    xhat, std, gamma = cache
    N = dout.shape[0]
    dbeta = dout.sum(axis=0)
    dgamma = (dout * xhat).sum(axis=0)
    dxhat = dout * gamma
    dx = dxhat - dxhat.sum(axis=0) / N - xhat * (dxhat * xhat).sum(axis=0) / N
    dx /= std
    return dx, dgamma, dbeta


class ThreeStageNet:
    def __init__(self, input_dim=4, hidden_dim=5, num_classes=3, weight_scale=0.7, reg=0.0, seed=0):
        rng = np.random.default_rng(seed)
        self.reg = reg
        self.params = {
            "W1": weight_scale * rng.standard_normal((input_dim, hidden_dim)),
            "b1": np.zeros(hidden_dim),
            "gamma": np.ones(hidden_dim) + 0.1 * rng.standard_normal(hidden_dim),
            "beta": 0.1 * rng.standard_normal(hidden_dim),
            "W2": weight_scale * rng.standard_normal((hidden_dim, num_classes)),
            "b2": np.zeros(num_classes),
        }

    def loss(self, X, y=None):
        p = self.params
        h, cache1 = affine(X, p["W1"], p["b1"])
        n, cache_bn = batchnorm(h, p["gamma"], p["beta"])
        r = np.maximum(n, 0)
        scores, cache2 = affine(r, p["W2"], p["b2"])
        if y is None:
            return scores

        N = len(y)
        scores = scores - scores.max(axis=1, keepdims=True)
        log_probs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        loss = -log_probs[np.arange(N), y].mean()
        loss += 0.5 * self.reg * (np.sum(p["W1"] ** 2) + np.sum(p["W2"] ** 2))

        dscores = np.exp(log_probs)
        dscores[np.arange(N), y] -= 1
        dscores /= N
        grads = {}
        dr, grads["W2"], grads["b2"] = affine_back(dscores, cache2)
        dn = dr * (n > 0)
        dh, grads["gamma"], grads["beta"] = batchnorm_back(dn, cache_bn)
        dX, grads["W1"], grads["b1"] = affine_back(dh, cache1)
        for name in "W1", "W2":
            grads[name] += self.reg * p[name]
        return loss, grads


SHAPE = 5
OPTIONS = {}
BACKWARD = ("affine_back", "batchnorm_back", "ThreeStageNet.loss:dscores = ")


def inputs(rng):
    return {"X": rng.standard_normal((7, 4)), "y": rng.integers(0, 3, 7)}


def subject(rng):
    return (ThreeStageNet(reg=0.2, seed=int(rng.integers(1000))),)


def truth(subject, g, rng):
    net = subject[0]
    loss, grads = net.loss(**g)
    return loss, {f"params['{name}']": grads[name] for name in net.params}


def parameters(subject, g):
    return {f"params['{name}']": value for name, value in subject[0].params.items()}
