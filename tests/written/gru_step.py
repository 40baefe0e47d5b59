"""One step of a gated recurrent unit: ``h, cache = gru_forward(x, h_prev, W, U, b)``, ``gru_backward(dh, cache)``.

W, U and b are dictionaries of the gates ``z``, ``r`` and the candidate ``c``; so are their gradients.
"""

import numpy as np


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def gru_forward(x, h_prev, W, U, b):
    z = sigmoid(x @ W["z"] + h_prev @ U["z"] + b["z"])
    r = sigmoid(x @ W["r"] + h_prev @ U["r"] + b["r"])
    reset = r * h_prev
    c = np.tanh(x @ W["c"] + reset @ U["c"] + b["c"])
    h = (1 - z) * h_prev + z * c
    return h, ((x, h_prev), (z, r, reset, c), (W, U))


def gru_backward(dh, cache):
    (x, h_prev), (z, r, reset, c), (W, U) = cache
    dz = dh * (c - h_prev)
    dc = dh * z
    dh_prev = dh * (1 - z)

    dc_in = dc * (1 - c**2)
    dreset = dc_in @ U["c"].T
    dr = dreset * h_prev
    dh_prev += dreset * r
    dz_in = dz * z * (1 - z)
    dr_in = dr * r * (1 - r)
    dh_prev += dz_in @ U["z"].T
    dh_prev += dr_in @ U["r"].T

    dx = dc_in @ W["c"].T + dz_in @ W["z"].T + dr_in @ W["r"].T
    dW = {"z": x.T @ dz_in, "r": x.T @ dr_in, "c": x.T @ dc_in}
    dU = {}
    dU["z"] = h_prev.T @ dz_in
    dU["r"] = h_prev.T @ dr_in
    dU["c"] = reset.T @ dc_in
    db = {gate: d.sum(axis=0) for gate, d in (("z", dz_in), ("r", dr_in), ("c", dc_in))}
    return dx, dh_prev, dW, dU, db


SHAPE = 2
OPTIONS = {}
BACKWARD = ("gru_backward",)


def inputs(rng):
    n, d, k = 4, 5, 3
    return {
        "x": rng.standard_normal((n, d)),
        "h_prev": rng.standard_normal((n, k)),
        "W": {gate: rng.standard_normal((d, k)) for gate in "zrc"},
        "U": {gate: rng.standard_normal((k, k)) for gate in "zrc"},
        "b": {gate: rng.standard_normal(k) for gate in "zrc"},
    }


def subject(rng):
    return (gru_forward, gru_backward)


def truth(subject, g, rng):
    forward, backward = subject
    h, cache = forward(**g)
    dh = rng.standard_normal(h.shape)
    dx, dh_prev, *others = backward(dh, cache)
    found = {"x": dx, "h_prev": dh_prev}
    for name, d in zip("WUb", others):
        found.update({f"{name}['{gate}']": d[gate] for gate in "zrc"})
    return np.sum(h * dh), found


def parameters(subject, g):
    live = {"x": g["x"], "h_prev": g["h_prev"]}
    for name in "WUb":
        live.update({f"{name}['{gate}']": g[name][gate] for gate in "zrc"})
    return live
