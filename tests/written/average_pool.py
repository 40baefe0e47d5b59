"""Average pooling by a reshape, sizes being multiples: ``avg_pool(x, size)`` gives the output alone, no cache."""

import numpy as np


def avg_pool(x, size):
    n, c, h, w = x.shape
    sh, sw = size
    assert h % sh == 0
    assert w % sw == 0
    blocks = x.reshape(n, c, h // sh, sh, w // sw, sw)
    y = blocks.mean(axis=(3, 5))
    return y


def avg_pool_grad(dy, x, size):
    sh, sw = size
    each = dy / (sh * sw)
    tall = np.repeat(each, sh, axis=2)
    dx = np.repeat(tall, sw, axis=3)
    assert dx.shape == x.shape
    return dx


SHAPE = 2
OPTIONS = {}
BACKWARD = ("avg_pool_grad",)


def inputs(rng):
    return {"x": rng.standard_normal((2, 3, 4, 6)), "size": (2, 3)}


def subject(rng):
    return (avg_pool, avg_pool_grad)


def truth(subject, g, rng):
    forward, backward = subject
    y = forward(**g)
    dy = rng.standard_normal(y.shape)
    return np.sum(y * dy), {"x": backward(dy, **g)}


def parameters(subject, g):
    return {"x": g["x"]}
