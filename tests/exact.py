"""The neuron in extended precision, written apart from the package, to hold the backends against."""

import numpy as np

from handgrad import Gradients

CONFIGURATIONS = [
    ("cross_entropy", "sigmoid"),
    ("squared_error", "sigmoid"),
    ("squared_error", "tanh"),
    ("squared_error", "relu"),
    ("squared_error", "identity"),
]
"""Every loss with every activation that goes with it."""


def exact(neuron, parameters, X, Y):
    """Cost, gradients and activations of a neuron's configuration in numpy.longdouble, by the textbook's formulas.

    All per example, then summed; the logistic function is used on the side where it does not cancel.
    """
    W, b, X, Y = (np.asarray(V).astype(np.longdouble) for V in (*parameters, X, Y))
    s, l2 = np.longdouble(neuron.input_scale), np.longdouble(neuron.l2)
    m = X.shape[1]
    Z = s * (W @ X) + b

    def logistic(V):
        return np.where(V >= 0, 1 / (1 + np.exp(-abs(V))), np.exp(-abs(V)) / (1 + np.exp(-abs(V))))

    A, slope = {
        "sigmoid": lambda: (logistic(Z), logistic(Z) * logistic(-Z)),
        "tanh": lambda: (np.tanh(Z), 4 * logistic(2 * Z) * logistic(-2 * Z)),
        "relu": lambda: (Z * (Z > 0), (Z > 0).astype(np.longdouble)),
        "identity": lambda: (Z, np.ones_like(Z)),
    }[neuron.activation]()
    if neuron.loss == "cross_entropy":
        loss = -np.where(
            Y == 1, -np.log1p(np.exp(-abs(Z))) + np.minimum(Z, 0), -np.log1p(np.exp(-abs(Z))) - np.maximum(Z, 0)
        )
        dZ = np.where(Y == 1, -logistic(-Z), logistic(Z))
    else:
        loss, dZ = (A - Y) ** 2 / 2, (A - Y) * slope
    cost = loss.sum() / m + l2 / 2 * (W * W).sum()
    return cost, Gradients(s * (dZ @ X.T) / m + l2 * W, dZ.sum() / m), A
