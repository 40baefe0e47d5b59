"""A network of any depth, a list of dictionaries: ``cost, grads = cost_and_gradients(layers, x, t)``, nested alike."""

import numpy as np


def softplus(z):
    return np.logaddexp(0, z)


def cost_and_gradients(layers, x, t):
    activations = [x]
    sums = []
    a = x
    for k, layer in enumerate(layers):
        z = a @ layer["W"] + layer["b"]
        sums.append(z)
        a = z if k == len(layers) - 1 else softplus(z)
        activations.append(a)

    n = x.shape[0]
    error = a - t
    cost = 0.5 * np.sum(error**2) / n

    grads = [None] * len(layers)
    delta = error / n
    for k in reversed(range(len(layers))):
        dW = activations[k].T @ delta
        db = np.sum(delta, axis=0)
        grads[k] = {"W": dW, "b": db}
        if k > 0:
            dprev = delta @ layers[k]["W"].T
            slope = 1 / (1 + np.exp(-sums[k - 1]))
            delta = dprev * slope
    return cost, grads


SHAPE = 1
OPTIONS = {}
BACKWARD = ("cost_and_gradients:delta = error / n",)


def inputs(rng):
    sizes = [3, 5, 4, 2]
    layers = []
    for n_in, n_out in zip(sizes[:-1], sizes[1:]):
        layers.append({"W": rng.standard_normal((n_in, n_out)), "b": rng.standard_normal(n_out)})
    return {"layers": layers, "x": rng.standard_normal((6, 3)), "t": rng.standard_normal((6, 2))}


def subject(rng):
    return (cost_and_gradients,)


def truth(subject, g, rng):
    cost, grads = subject[0](**g)
    return cost, {f"layers[{k}]['{name}']": grads[k][name] for k in range(len(grads)) for name in "Wb"}


def parameters(subject, g):
    return {f"layers[{k}]['{name}']": layer[name] for k, layer in enumerate(g["layers"]) for name in "Wb"}
