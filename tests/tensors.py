"""Gradients by hand in functions of tensors, of PyTorch's or JAX's (``xp``): right, and as people write them."""

import numpy as np


def programs(xp):
    """By name: what is given to a checker before the inputs, and the shapes of the inputs for m, n and k."""

    def squares(A, y):
        return xp.sum((A - y) ** 2) / 2

    def tanh_layer(x, W):
        return xp.tanh(x @ W)

    def tanh_backward(x, y, A):
        return {"W": x.T @ ((A - y) * (1 - A**2))}

    def sigmoid_layer(x, W, b):
        return 1 / (1 + xp.exp(-(x @ W + b)))

    def sigmoid_backward(x, A, y):
        dZ = (A - y) * A * (1 - A)
        return {"dW": x.T @ dZ, "db": dZ.sum(0)}

    def affine(x, W, b):
        return x @ W + b, (x, W)

    def affine_backward(dout, cache):
        x, W = cache
        return dout @ W.T, x.T @ dout, dout.sum(0)

    def layer_norm(x, gamma):
        mean = x.mean(1)[:, None]
        variance = ((x - mean) ** 2).mean(1)[:, None]
        x_hat = (x - mean) / xp.sqrt(variance + 1e-5)
        return gamma * x_hat, (x_hat, variance, gamma)

    def layer_norm_backward(dout, cache):
        x_hat, variance, gamma = cache
        d = dout * gamma
        dx = (d - d.mean(1)[:, None] - x_hat * (d * x_hat).mean(1)[:, None]) / xp.sqrt(variance + 1e-5)
        return dx, (dout * x_hat).sum(0)

    def logistic(W, b, X, y):
        A = 1 / (1 + xp.exp(-(X @ W + b)))
        J = -(y * xp.log(A) + (1 - y) * xp.log(1 - A)).mean()
        dZ = (A - y) / y.shape[0]
        return J, {"dW": X.T @ dZ, "db": dZ.sum(0)}

    return {
        "tanh": ((tanh_layer, squares, tanh_backward), {"x": "mn", "W": "nk", "y": "mk"}),
        "sigmoid": ((sigmoid_layer, squares, sigmoid_backward), {"x": "mn", "W": "nk", "b": "k", "y": "mk"}),
        "affine": ((affine, affine_backward), {"x": "mn", "W": "nk", "b": "k"}),
        "layer norm": ((layer_norm, layer_norm_backward), {"x": "mn", "gamma": "n"}),
        "logistic": ((logistic,), {"W": "n1", "b": "1", "X": "mn", "y": "m1"}),
    }


def inputs(xp, name, shapes, rng):
    """Drawn for a program, of any sizes and scales."""
    sizes = {"m": int(rng.integers(1, 7)), "n": int(rng.integers(2, 7)), "k": int(rng.integers(1, 5)), "1": 1}

    def made(key, letters):
        shape = [sizes[letter] for letter in letters]
        if name == "logistic" and key == "y":
            return rng.integers(0, 2, shape).astype(float)
        return rng.normal(size=shape) * 10 ** rng.uniform(-2, 1)

    return {key: xp.asarray(np.asarray(made(key, letters))) for key, letters in shapes.items()}
