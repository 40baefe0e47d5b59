"""Pooling by maximum or by mean, one loop per axis: ``out, cache = pool_forward(x, pool_param, mode)`` and back."""

import numpy as np


def create_mask(window):
    mask = window == np.max(window)
    return mask


def spread(dz, shape):
    n_h, n_w = shape
    average = dz / (n_h * n_w)
    return np.ones(shape) * average


def pool_forward(x, pool_param, mode="max"):
    N, C, H, W = x.shape
    ph, pw = pool_param["pool_height"], pool_param["pool_width"]
    stride = pool_param["stride"]
    H_out = 1 + (H - ph) // stride
    W_out = 1 + (W - pw) // stride
    out = np.zeros((N, C, H_out, W_out))
    for n in range(N):
        for c in range(C):
            for i in range(H_out):
                for j in range(W_out):
                    window = x[n, c, i * stride : i * stride + ph, j * stride : j * stride + pw]
                    if mode == "max":
                        out[n, c, i, j] = np.max(window)
                    else:
                        out[n, c, i, j] = np.mean(window)
    cache = (x, pool_param, mode)
    return out, cache


def pool_backward(dout, cache):
    x, pool_param, mode = cache
    N, C, H_out, W_out = dout.shape
    ph, pw = pool_param["pool_height"], pool_param["pool_width"]
    stride = pool_param["stride"]
    dx = np.zeros_like(x)
    for n in range(N):
        for c in range(C):
            for i in range(H_out):
                for j in range(W_out):
                    top = i * stride
                    left = j * stride
                    if mode == "max":
                        window = x[n, c, top : top + ph, left : left + pw]
                        mask = create_mask(window)
                        dx[n, c, top : top + ph, left : left + pw] += mask * dout[n, c, i, j]
                    else:
                        dx[n, c, top : top + ph, left : left + pw] += spread(dout[n, c, i, j], (ph, pw))
    return dx


SHAPE = 2
OPTIONS = {}
BACKWARD = ("spread", "create_mask", "pool_backward")


def inputs(rng):
    return {
        "x": rng.standard_normal((2, 3, 5, 7)),
        "pool_param": {"pool_height": 3, "pool_width": 2, "stride": 2},
        "mode": "max",
    }


def subject(rng):
    return (pool_forward, pool_backward)


def truth(subject, g, rng):
    forward, backward = subject
    out, cache = forward(**g)
    dout = rng.standard_normal(out.shape)
    return np.sum(out * dout), {"x": backward(dout, cache)}


def parameters(subject, g):
    return {"x": g["x"]}
