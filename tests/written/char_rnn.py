"""A recurrent network over characters: ``lossFun(inputs, targets, hprev, Wxh, Whh, Why, bh, by)``.

It returns the loss, a gradient for each of the parameters, and the last hidden state, with which the next piece begins.
"""

import numpy as np


def lossFun(inputs, targets, hprev, Wxh, Whh, Why, bh, by):
    """inputs and targets are lists of integers, hprev is a column."""
    vocab_size = Wxh.shape[1]
    xs, hs, ys, ps = {}, {}, {}, {}
    hs[-1] = np.copy(hprev)
    loss = 0
    for t in range(len(inputs)):
        xs[t] = np.zeros((vocab_size, 1))
        xs[t][inputs[t]] = 1  # one of k
        hs[t] = np.tanh(np.dot(Wxh, xs[t]) + np.dot(Whh, hs[t - 1]) + bh)
        ys[t] = np.dot(Why, hs[t]) + by
        e = np.exp(ys[t])
        ps[t] = e / np.sum(e)
        loss += -np.log(ps[t][targets[t], 0])

    # through time, from the end
    dWxh, dWhh, dWhy = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(Why)
    dbh, dby = np.zeros_like(bh), np.zeros_like(by)
    dhnext = np.zeros_like(hs[0])
    for t in reversed(range(len(inputs))):
        dy = np.copy(ps[t])
        dy[targets[t]] -= 1
        dWhy += np.dot(dy, hs[t].T)
        dby += dy
        dh = np.dot(Why.T, dy) + dhnext
        dhraw = (1 - hs[t] * hs[t]) * dh
        dbh += dhraw
        dWxh += np.dot(dhraw, xs[t].T)
        dWhh += np.dot(dhraw, hs[t - 1].T)
        dhnext = np.dot(Whh.T, dhraw)
    return loss, dWxh, dWhh, dWhy, dbh, dby, hs[len(inputs) - 1]


SHAPE = 1
OPTIONS = {"gradients": {"Wxh": 1, "Whh": 2, "Why": 3, "bh": 4, "by": 5}}
BACKWARD = ("lossFun:dhnext = np.zeros_like",)
NAMES = ("Wxh", "Whh", "Why", "bh", "by")


def inputs(rng):
    return {
        "inputs": [0, 2, 3, 2],
        "targets": [2, 3, 2, 1],
        "hprev": rng.standard_normal((5, 1)),
        "Wxh": rng.standard_normal((5, 4)),
        "Whh": rng.standard_normal((5, 5)),
        "Why": rng.standard_normal((4, 5)),
        "bh": rng.standard_normal((5, 1)),
        "by": rng.standard_normal((4, 1)),
    }


def subject(rng):
    return (lossFun,)


def truth(subject, g, rng):
    loss, *gradients, _ = subject[0](**g)
    return loss, dict(zip(NAMES, gradients))


def parameters(subject, g):
    return {name: g[name] for name in NAMES}
