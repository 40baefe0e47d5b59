"""Scaled dot-product attention with an optional mask: ``out, cache = attention(Q, K, V, mask)`` and its backward."""

import numpy as np


def softmax(x, axis=-1):
    x = x - np.max(x, axis=axis, keepdims=True)
    e = np.exp(x)
    return e / np.sum(e, axis=axis, keepdims=True)


def attention(Q, K, V, mask=None):
    d_k = Q.shape[-1]
    scores = np.matmul(Q, K.transpose(0, 2, 1)) / np.sqrt(d_k)
    if mask is not None:
        scores = np.where(mask, scores, -1e9)
    weights = softmax(scores)
    out = np.matmul(weights, V)
    cache = (Q, K, V, weights)
    return out, cache


def attention_backward(dout, cache):
    Q, K, V, weights = cache
    d_k = Q.shape[-1]
    dV = np.matmul(weights.transpose(0, 2, 1), dout)
    dweights = np.matmul(dout, V.transpose(0, 2, 1))
    inner = np.sum(dweights * weights, axis=-1, keepdims=True)
    dscores = weights * (dweights - inner)
    dscores /= np.sqrt(d_k)
    dQ = np.matmul(dscores, K)
    dK = np.matmul(dscores.transpose(0, 2, 1), Q)
    return dQ, dK, dV


SHAPE = 2
OPTIONS = {}
BACKWARD = ("attention_backward",)


def inputs(rng):
    mask = np.ones((2, 3, 4), dtype=bool)
    mask[0, :, 3] = False
    mask[1, 0, 1:3] = False
    return {
        "Q": rng.standard_normal((2, 3, 5)),
        "K": rng.standard_normal((2, 4, 5)),
        "V": rng.standard_normal((2, 4, 6)),
        "mask": mask,
    }


def subject(rng):
    return (attention, attention_backward)


def truth(subject, g, rng):
    forward, backward = subject
    out, cache = forward(**g)
    dout = rng.standard_normal(out.shape)
    return np.sum(out * dout), dict(zip("QKV", backward(dout, cache)))


def parameters(subject, g):
    return {name: g[name] for name in "QKV"}
