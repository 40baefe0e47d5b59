"""The feed-forward half of a transformer block: ``out, cache = mlp_block(x, params)``, then ``mlp_block_backward``.

params is nested, ``params["ln"]["g"]``, ``params["up"]["w"]``, and so are the gradients.
"""

import numpy as np


def linear(x, w, b):
    return x @ w + b


def layer_norm(x, g, b, eps=1e-5):
    mean = np.mean(x, axis=-1, keepdims=True)
    variance = np.var(x, axis=-1, keepdims=True)
    rstd = 1 / np.sqrt(variance + eps)
    norm = (x - mean) * rstd
    return g * norm + b, (norm, rstd)


def mlp_block(x, params):
    ln, up, down = params["ln"], params["up"], params["down"]
    n, ln_cache = layer_norm(x, ln["g"], ln["b"])
    u = linear(n, up["w"], up["b"])
    a = np.maximum(u, 0) ** 2
    out = x + linear(a, down["w"], down["b"])
    return out, (ln_cache, n, u, a, params)


def linear_backward(dout, x, w):
    dx = dout @ w.T
    dw = np.einsum("bti,bto->io", x, dout)
    db = np.einsum("bto->o", dout)
    return dx, {"w": dw, "b": db}


def layer_norm_backward(dout, cache, g):
    norm, rstd = cache
    dg = np.sum(dout * norm, axis=(0, 1))
    db = np.sum(dout, axis=(0, 1))
    dnorm = dout * g
    a = dnorm.mean(axis=-1, keepdims=True)
    c = np.mean(dnorm * norm, axis=-1, keepdims=True)
    dx = rstd * (dnorm - a - norm * c)
    return dx, {"g": dg, "b": db}


def mlp_block_backward(dout, cache):
    ln_cache, n, u, a, params = cache
    grads = {}
    da, grads["down"] = linear_backward(dout, a, params["down"]["w"])
    du = 2 * da * np.maximum(u, 0)
    dn, grads["up"] = linear_backward(du, n, params["up"]["w"])
    dx, grads["ln"] = layer_norm_backward(dn, ln_cache, params["ln"]["g"])
    dx += dout  # around the block
    return dx, grads


SHAPE = 2
OPTIONS = {}
BACKWARD = ("linear_backward", "layer_norm_backward", "mlp_block_backward")


def inputs(rng):
    params = {
        "ln": {"g": rng.standard_normal(4), "b": rng.standard_normal(4)},
        "up": {"w": rng.standard_normal((4, 6)), "b": rng.standard_normal(6)},
        "down": {"w": rng.standard_normal((6, 4)), "b": rng.standard_normal(4)},
    }
    return {"x": rng.standard_normal((2, 3, 4)), "params": params}


def subject(rng):
    return (mlp_block, mlp_block_backward)


def truth(subject, g, rng):
    forward, backward = subject
    out, cache = forward(**g)
    dout = rng.standard_normal(out.shape)
    dx, grads = backward(dout, cache)
    found = {f"params['{part}']['{name}']": d for part in grads for name, d in grads[part].items()}
    return np.sum(out * dout), {"x": dx} | found


def parameters(subject, g):
    params = g["params"]
    live = {f"params['{part}']['{name}']": v for part in params for name, v in params[part].items()}
    return {"x": g["x"]} | live
