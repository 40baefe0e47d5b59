"""Layer normalisation as a class of a small framework: ``layer(x)`` is its forward, ``layer.backward(grad_out)``."""

import numpy as np


class LayerNorm:
    """Normalises the last axis; weight and bias are learnt."""

    def __init__(self, weight, bias, eps=1e-5):
        self.weight = weight
        self.bias = bias
        self.eps = eps
        self.cache = {}
        self.weight_grad = None
        self.bias_grad = None

    def __call__(self, x):
        return self.forward(x)

    def forward(self, x):
        mu = np.mean(x, axis=-1, keepdims=True)
        sigma = np.sqrt(np.var(x, axis=-1, keepdims=True) + self.eps)
        x_hat = (x - mu) / sigma
        self.cache["x_hat"] = x_hat
        self.cache["sigma"] = sigma
        return self.weight * x_hat + self.bias

    def backward(self, grad_out):
        x_hat = self.cache["x_hat"]
        sigma = self.cache["sigma"]
        n = grad_out.shape[-1]
        self.bias_grad = grad_out.sum(axis=0)
        self.weight_grad = (grad_out * x_hat).sum(axis=0)
        g = grad_out * self.weight
        g_sum = g.sum(axis=-1, keepdims=True)
        gx_sum = (g * x_hat).sum(axis=-1, keepdims=True)
        grad_in = (n * g - g_sum - x_hat * gx_sum) / (n * sigma)
        return grad_in


SHAPE = 3
OPTIONS = {}
BACKWARD = ("LayerNorm.backward",)


def inputs(rng):
    return {"x": rng.standard_normal((4, 6))}


def subject(rng):
    return (LayerNorm(rng.standard_normal(6), rng.standard_normal(6)),)


def truth(subject, g, rng):
    layer = subject[0]
    out = layer.forward(g["x"])
    grad_out = rng.standard_normal(out.shape)
    grad_in = layer.backward(grad_out)
    return np.sum(out * grad_out), {"x": grad_in, "weight": layer.weight_grad, "bias": layer.bias_grad}


def parameters(subject, g):
    return {"x": g["x"], "weight": subject[0].weight, "bias": subject[0].bias}
