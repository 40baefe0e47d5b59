"""A convolution as one product, by im2col, channels first: ``out, cache = conv_forward(x, w, b, conv_param)``."""

import numpy as np


def im2col(x, filter_h, filter_w, stride=1, pad=0):
    N, C, H, W = x.shape
    out_h = (H + 2 * pad - filter_h) // stride + 1
    out_w = (W + 2 * pad - filter_w) // stride + 1
    img = np.pad(x, [(0, 0), (0, 0), (pad, pad), (pad, pad)], "constant")
    col = np.zeros((N, C, filter_h, filter_w, out_h, out_w))
    for i in range(filter_h):
        i_max = i + stride * out_h
        for j in range(filter_w):
            j_max = j + stride * out_w
            col[:, :, i, j, :, :] = img[:, :, i:i_max:stride, j:j_max:stride]
    return col.transpose(0, 4, 5, 1, 2, 3).reshape(N * out_h * out_w, -1)


def col2im(col, x_shape, filter_h, filter_w, stride=1, pad=0):
    N, C, H, W = x_shape
    out_h = (H + 2 * pad - filter_h) // stride + 1
    out_w = (W + 2 * pad - filter_w) // stride + 1
    col = col.reshape(N, out_h, out_w, C, filter_h, filter_w).transpose(0, 3, 4, 5, 1, 2)
    img = np.zeros((N, C, H + 2 * pad + stride - 1, W + 2 * pad + stride - 1))
    for i in range(filter_h):
        i_max = i + stride * out_h
        for j in range(filter_w):
            j_max = j + stride * out_w
            img[:, :, i:i_max:stride, j:j_max:stride] += col[:, :, i, j, :, :]
    return img[:, :, pad : H + pad, pad : W + pad]


def conv_forward(x, w, b, conv_param):
    stride, pad = conv_param["stride"], conv_param["pad"]
    N, C, H, W = x.shape
    F, _, HH, WW = w.shape
    out_h = 1 + (H + 2 * pad - HH) // stride
    out_w = 1 + (W + 2 * pad - WW) // stride
    x_cols = im2col(x, HH, WW, stride, pad)
    w_row = w.reshape(F, -1)
    res = x_cols.dot(w_row.T) + b
    out = res.reshape(N, out_h, out_w, F).transpose(0, 3, 1, 2)
    cache = (x.shape, w, conv_param, x_cols)
    return out, cache


def conv_backward(dout, cache):
    x_shape, w, conv_param, x_cols = cache
    stride, pad = conv_param["stride"], conv_param["pad"]
    F, C, HH, WW = w.shape

    db = np.sum(dout, axis=(0, 2, 3))
    dout_rows = dout.transpose(0, 2, 3, 1).reshape(-1, F)
    dw = dout_rows.T.dot(x_cols)
    dw = dw.reshape(w.shape)
    dx_cols = dout_rows.dot(w.reshape(F, -1))
    dx = col2im(dx_cols, x_shape, HH, WW, stride, pad)
    return dx, dw, db


SHAPE = 2
OPTIONS = {}
BACKWARD = ("col2im", "conv_backward")


def inputs(rng):
    return {
        "x": rng.standard_normal((2, 3, 4, 5)),
        "w": rng.standard_normal((2, 3, 2, 3)),
        "b": rng.standard_normal(2),
        "conv_param": {"stride": 2, "pad": 1},
    }


def subject(rng):
    return (conv_forward, conv_backward)


def truth(subject, g, rng):
    forward, backward = subject
    out, cache = forward(**g)
    dout = rng.standard_normal(out.shape)
    return np.sum(out * dout), dict(zip("xwb", backward(dout, cache)))


def parameters(subject, g):
    return {name: g[name] for name in "xwb"}
