"""A network over one flat theta, for an optimiser: ``J, grad = nn_cost(theta, layer_sizes, X, y, lambda_)``.

The matrices of the two layers have the bias in their first column, and the labels are class numbers.
"""

import numpy as np


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


def sigmoid_gradient(z):
    g = sigmoid(z)
    return g * (1 - g)


def nn_cost(theta, layer_sizes, X, y, lambda_):
    input_size, hidden_size, num_labels = layer_sizes
    split = hidden_size * (input_size + 1)
    Theta1 = np.reshape(theta[:split], (hidden_size, input_size + 1))
    Theta2 = np.reshape(theta[split:], (num_labels, hidden_size + 1))
    m = y.size

    a1 = np.concatenate([np.ones((m, 1)), X], axis=1)
    z2 = a1.dot(Theta1.T)
    a2 = np.concatenate([np.ones((m, 1)), sigmoid(z2)], axis=1)
    z3 = a2.dot(Theta2.T)
    a3 = sigmoid(z3)
    Y = np.eye(num_labels)[y]

    J = -np.sum(Y * np.log(a3) + (1 - Y) * np.log(1 - a3)) / m
    penalty = np.sum(np.square(Theta1[:, 1:])) + np.sum(np.square(Theta2[:, 1:]))
    J = J + lambda_ / (2 * m) * penalty

    delta3 = a3 - Y
    delta2 = delta3.dot(Theta2)[:, 1:] * sigmoid_gradient(z2)
    Delta1 = delta2.T.dot(a1)
    Delta2 = delta3.T.dot(a2)
    Theta1_grad = Delta1 / m
    Theta2_grad = Delta2 / m
    Theta1_grad[:, 1:] += lambda_ / m * Theta1[:, 1:]
    Theta2_grad[:, 1:] += lambda_ / m * Theta2[:, 1:]
    grad = np.concatenate([Theta1_grad.ravel(), Theta2_grad.ravel()])
    return J, grad


SHAPE = 1
OPTIONS = {}
BACKWARD = ("sigmoid_gradient", "nn_cost:delta3 = ")


def inputs(rng):
    return {
        "theta": rng.standard_normal(4 * 4 + 3 * 5),
        "layer_sizes": (3, 4, 3),
        "X": rng.standard_normal((6, 3)),
        "y": rng.integers(0, 3, 6),
        "lambda_": 0.8,
    }


def subject(rng):
    return (nn_cost,)


def truth(subject, g, rng):
    J, grad = subject[0](**g)
    return J, {"theta": grad}


def parameters(subject, g):
    return {"theta": g["theta"]}
