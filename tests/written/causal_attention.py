"""Causal attention of several heads: ``layer = CausalSelfAttention(...)``, ``forward(x)``, ``backward(dout)``.

The gradients are in ``layer.grads``, keyed like ``layer.params``.
"""

import numpy as np


class CausalSelfAttention:
    def __init__(self, d_model, n_heads, rng):
        assert d_model % n_heads == 0
        self.n_heads = n_heads
        self.d_head = d_model // n_heads
        scale = 1 / np.sqrt(d_model)
        self.params = {
            "W_qkv": rng.standard_normal((d_model, 3 * d_model)) * scale,
            "b_qkv": rng.standard_normal(3 * d_model) * scale,
            "W_o": rng.standard_normal((d_model, d_model)) * scale,
        }
        self.grads = {}

    def split(self, t):
        B, T, C = t.shape
        return t.reshape(B, T, self.n_heads, self.d_head).transpose(0, 2, 1, 3)

    def merge(self, t):
        B, h, T, d = t.shape
        return t.transpose(0, 2, 1, 3).reshape(B, T, h * d)

    def forward(self, x):
        B, T, C = x.shape
        qkv = x @ self.params["W_qkv"] + self.params["b_qkv"]
        q, k, v = np.split(qkv, 3, axis=2)
        q = self.split(q)
        k = self.split(k)
        v = self.split(v)
        att = q @ k.swapaxes(-1, -2) / np.sqrt(self.d_head)
        future = np.triu(np.ones((T, T), dtype=bool), k=1)
        att[:, :, future] = -np.inf
        att = att - att.max(axis=-1, keepdims=True)
        p = np.exp(att)
        p /= p.sum(axis=-1, keepdims=True)
        y = self.merge(p @ v)
        out = y @ self.params["W_o"]
        self.cache = (x, q, k, v, p, y)
        return out

    def backward(self, dout):
        x, q, k, v, p, y = self.cache
        B, T, C = x.shape
        self.grads["W_o"] = y.reshape(-1, C).T @ dout.reshape(-1, C)
        dy = self.split(dout @ self.params["W_o"].T)
        dv = p.swapaxes(-1, -2) @ dy
        dp = dy @ v.swapaxes(-1, -2)
        datt = p * (dp - np.sum(dp * p, axis=-1, keepdims=True))
        datt /= np.sqrt(self.d_head)
        dq = datt @ k
        dk = datt.swapaxes(-1, -2) @ q
        dqkv = np.concatenate([self.merge(dq), self.merge(dk), self.merge(dv)], axis=2)
        self.grads["W_qkv"] = x.reshape(-1, C).T @ dqkv.reshape(-1, 3 * C)
        self.grads["b_qkv"] = dqkv.sum(axis=(0, 1))
        dx = dqkv @ self.params["W_qkv"].T
        return dx


SHAPE = 3
OPTIONS = {}
BACKWARD = ("CausalSelfAttention.backward",)


def inputs(rng):
    return {"x": rng.standard_normal((2, 3, 4))}


def subject(rng):
    return (CausalSelfAttention(4, 2, rng),)


def truth(subject, g, rng):
    layer = subject[0]
    out = layer.forward(g["x"])
    dout = rng.standard_normal(out.shape)
    dx = layer.backward(dout)
    return np.sum(out * dout), {"x": dx} | {f"params['{name}']": layer.grads[name] for name in layer.params}


def parameters(subject, g):
    return {"x": g["x"]} | {f"params['{name}']": value for name, value in subject[0].params.items()}
