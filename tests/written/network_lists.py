"""A network whose weights are lists of matrices: ``net.cost(x, y)``, ``net.backprop(x, y)`` -> (nabla_b, nabla_w)."""

import numpy as np


def sigmoid(z):
    """The sigmoid function."""
    return 1.0 / (1.0 + np.exp(-z))


def sigmoid_prime(z):
    """Its derivative."""
    return sigmoid(z) * (1 - sigmoid(z))


class Network:
    def __init__(self, sizes):
        self.num_layers = len(sizes)
        self.sizes = sizes
        self.biases = [np.random.randn(y, 1) for y in sizes[1:]]
        self.weights = [np.random.randn(y, x) for x, y in zip(sizes[:-1], sizes[1:])]

    def feedforward(self, a):
        for b, w in zip(self.biases, self.weights):
            a = sigmoid(np.dot(w, a) + b)
        return a

    def cost(self, x, y):
        a = self.feedforward(x)
        return 0.5 * np.linalg.norm(a - y) ** 2

    def cost_derivative(self, output_activations, y):
        return output_activations - y

    def backprop(self, x, y):
        """One example, as columns; what is returned is by layer, like the biases and weights."""
        nabla_b = [np.zeros(b.shape) for b in self.biases]
        nabla_w = [np.zeros(w.shape) for w in self.weights]
        activation = x
        activations = [x]
        zs = []
        for b, w in zip(self.biases, self.weights):
            z = np.dot(w, activation) + b
            zs.append(z)
            activation = sigmoid(z)
            activations.append(activation)

        delta = self.cost_derivative(activations[-1], y) * sigmoid_prime(zs[-1])
        nabla_b[-1] = delta
        nabla_w[-1] = np.dot(delta, activations[-2].transpose())
        for layer in range(2, self.num_layers):
            z = zs[-layer]
            sp = sigmoid_prime(z)
            delta = np.dot(self.weights[-layer + 1].transpose(), delta) * sp
            nabla_b[-layer] = delta
            nabla_w[-layer] = np.dot(delta, activations[-layer - 1].transpose())
        return (nabla_b, nabla_w)


SHAPE = 4
OPTIONS = {"gradients": {"biases": 0, "weights": 1}}
BACKWARD = ("sigmoid_prime", "Network.cost_derivative", "Network.backprop:delta = self.cost_derivative")


def inputs(rng):
    return {"x": rng.standard_normal((4, 1)), "y": rng.random((2, 1))}


def subject(rng):
    np.random.seed(int(rng.integers(1000)))
    return (Network([4, 5, 3, 2]),)


def truth(subject, g, rng):
    net = subject[0]
    nabla_b, nabla_w = net.backprop(**g)
    found = {f"biases[{i}]": d for i, d in enumerate(nabla_b)}
    return net.cost(**g), found | {f"weights[{i}]": d for i, d in enumerate(nabla_w)}


def parameters(subject, g):
    net = subject[0]
    live = {f"biases[{i}]": b for i, b in enumerate(net.biases)}
    return live | {f"weights[{i}]": w for i, w in enumerate(net.weights)}
