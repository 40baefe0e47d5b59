"""A gated feed-forward block, silu(x W) times x V, then a projection: ``y, cache = glu_forward(x, W, V, W_out)``."""

import numpy as np


def sigmoid(x):
    return np.where(x >= 0, 1 / (1 + np.exp(-np.abs(x))), np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))))


def glu_forward(x, W, V, W_out):
    gate_in = x @ W
    gate_sig = sigmoid(gate_in)
    gate = gate_in * gate_sig
    value = x @ V
    hidden = gate * value
    y = hidden @ W_out
    cache = dict(x=x, W=W, V=V, W_out=W_out, gate_in=gate_in, gate_sig=gate_sig, gate=gate, value=value, hidden=hidden)
    return y, cache


def glu_backward(dy, cache):
    x = cache["x"]
    sig = cache["gate_sig"]
    rows = x.reshape(-1, x.shape[-1])
    hidden_rows = cache["hidden"].reshape(-1, cache["hidden"].shape[-1])
    dW_out = hidden_rows.T @ dy.reshape(-1, dy.shape[-1])
    dhidden = dy @ cache["W_out"].T
    dgate = dhidden * cache["value"]
    dvalue = dhidden * cache["gate"]
    dgate_in = dgate * (sig + cache["gate_in"] * sig * (1 - sig))
    dW = rows.T @ dgate_in.reshape(-1, dgate_in.shape[-1])
    dV = rows.T @ dvalue.reshape(-1, dvalue.shape[-1])
    dx = dgate_in @ cache["W"].T
    dx += dvalue @ cache["V"].T
    return {"x": dx, "W": dW, "V": dV, "W_out": dW_out}


SHAPE = 2
OPTIONS = {}
BACKWARD = ("glu_backward",)


def inputs(rng):
    return {
        "x": rng.standard_normal((2, 3, 4)),
        "W": rng.standard_normal((4, 5)),
        "V": rng.standard_normal((4, 5)),
        "W_out": rng.standard_normal((5, 4)),
    }


def subject(rng):
    return (glu_forward, glu_backward)


def truth(subject, g, rng):
    forward, backward = subject
    y, cache = forward(**g)
    dy = rng.standard_normal(y.shape)
    return np.sum(y * dy), backward(dy, cache)


def parameters(subject, g):
    return dict(g)
