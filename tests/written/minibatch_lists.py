"""Lists of weights, a mini-batch in columns, cross-entropy: ``net.total_cost(X, Y, lmbda)``, ``net.backprop(...)``.

``backprop`` returns ``(nabla_b, nabla_w)``, the decay of the weights among them.
"""

import numpy as np


class CrossEntropyCost:
    @staticmethod
    def fn(a, y):
        return np.sum(np.nan_to_num(-y * np.log(a) - (1 - y) * np.log(1 - a)))

    @staticmethod
    def delta(z, a, y):
        return a - y


def squash(z):
    return 1.0 / (1.0 + np.exp(-z))


class Network2:
    def __init__(self, sizes, rng, cost=CrossEntropyCost):
        self.sizes = sizes
        self.cost = cost
        self.biases = [rng.standard_normal((n, 1)) for n in sizes[1:]]
        self.weights = [rng.standard_normal((n, k)) / np.sqrt(k) for k, n in zip(sizes, sizes[1:])]

    def feedforward(self, a):
        for b, w in zip(self.biases, self.weights):
            a = squash(w @ a + b)
        return a

    def total_cost(self, X, Y, lmbda):
        m = X.shape[1]
        cost = self.cost.fn(self.feedforward(X), Y) / m
        cost += 0.5 * (lmbda / m) * sum(np.linalg.norm(w) ** 2 for w in self.weights)
        return cost

    def backprop(self, X, Y, lmbda):
        m = X.shape[1]
        nabla_b = [None for _ in self.biases]
        nabla_w = [None for _ in self.weights]
        a = X
        activations = [X]
        zs = []
        for b, w in zip(self.biases, self.weights):
            z = w @ a + b
            zs.append(z)
            a = squash(z)
            activations.append(a)

        delta = self.cost.delta(zs[-1], activations[-1], Y) / m
        for k in range(len(self.weights) - 1, -1, -1):
            nabla_b[k] = delta.sum(axis=1, keepdims=True)
            nabla_w[k] = delta @ activations[k].T
            nabla_w[k] += lmbda / m * self.weights[k]
            if k > 0:
                below = activations[k]
                delta = (self.weights[k].T @ delta) * below * (1 - below)
        return nabla_b, nabla_w


SHAPE = 4
OPTIONS = {"methods": ("total_cost", "backprop"), "gradients": {"biases": 0, "weights": 1}}
BACKWARD = ("CrossEntropyCost.delta", "Network2.backprop:delta = ")


def inputs(rng):
    return {"X": rng.standard_normal((3, 5)), "Y": np.eye(2)[:, rng.integers(0, 2, 5)], "lmbda": 0.4}


def subject(rng):
    return (Network2([3, 4, 2], rng),)


def truth(subject, g, rng):
    net = subject[0]
    nabla_b, nabla_w = net.backprop(**g)
    found = {f"biases[{i}]": d for i, d in enumerate(nabla_b)}
    return net.total_cost(**g), found | {f"weights[{i}]": d for i, d in enumerate(nabla_w)}


def parameters(subject, g):
    net = subject[0]
    live = {f"biases[{i}]": b for i, b in enumerate(net.biases)}
    return live | {f"weights[{i}]": w for i, w in enumerate(net.weights)}
