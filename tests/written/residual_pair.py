"""A residual block with a projected shortcut: ``out, cache = forward(x, params)``, ``backward(dout, cache)``."""

import numpy as np


def leaky_relu(z, slope=0.1):
    return np.where(z > 0, z, slope * z)


def forward(x, params):
    z1 = x @ params["W1"] + params["b1"]
    h1 = leaky_relu(z1)
    z2 = h1 @ params["W2"] + params["b2"]
    shortcut = x @ params["Ws"]
    s = z2 + shortcut
    out = leaky_relu(s)
    cache = {"x": x, "z1": z1, "h1": h1, "s": s, "params": params}
    return out, cache


def backward(dout, cache):
    params = cache["params"]
    x, h1 = cache["x"], cache["h1"]
    grads = {}

    ds = dout.copy()
    ds[cache["s"] <= 0] *= 0.1
    dx = ds @ params["Ws"].T
    grads["Ws"] = x.T @ ds
    grads["W2"] = h1.T @ ds
    grads["b2"] = ds.sum(axis=0)
    dh1 = ds @ params["W2"].T
    dz1 = np.where(cache["z1"] > 0, dh1, 0.1 * dh1)
    grads["W1"] = x.T @ dz1
    grads["b1"] = dz1.sum(axis=0)
    dx += dz1 @ params["W1"].T
    return dx, grads


SHAPE = 2
OPTIONS = {}
BACKWARD = ("backward",)


def inputs(rng):
    params = {
        "W1": rng.standard_normal((4, 5)),
        "b1": rng.standard_normal(5),
        "W2": rng.standard_normal((5, 3)),
        "b2": rng.standard_normal(3),
        "Ws": rng.standard_normal((4, 3)),
    }
    return {"x": rng.standard_normal((6, 4)), "params": params}


def subject(rng):
    return (forward, backward)


def truth(subject, g, rng):
    forward, backward = subject
    out, cache = forward(**g)
    dout = rng.standard_normal(out.shape)
    dx, grads = backward(dout, cache)
    return np.sum(out * dout), {"x": dx} | {f"params['{name}']": grads[name] for name in g["params"]}


def parameters(subject, g):
    return {"x": g["x"]} | {f"params['{name}']": value for name, value in g["params"].items()}
