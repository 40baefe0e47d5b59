"""The neuron in extended precision, by the textbook's formulas: what backends are held against."""

from typing import Any

import numpy as np
import numpy.typing as npt

from handgrad.backend import Configuration, Gradients, Parameters

CONFIGURATIONS = (
    ("cross_entropy", "sigmoid"),
    ("squared_error", "sigmoid"),
    ("squared_error", "tanh"),
    ("squared_error", "relu"),
    ("squared_error", "identity"),
)
"""Every loss with every activation that goes with it."""

Array = npt.NDArray[Any]


def exact(neuron: Configuration, parameters: Parameters, X: Array, Y: Array) -> tuple[Any, Gradients, Array]:
    """Cost, gradients and activations in numpy.longdouble, of the numbers as they are given.

    All per example, then summed; the logistic function is used on the side where it does not cancel.

    Args:
        neuron: the configuration; its backend and dtype do not matter.
        parameters: W (1, n) and b (), X: (n, m), Y: (1, m), NumPy arrays.

    Returns:
        J (), its gradients dW (1, n) and db (), and A (1, m).
    """
    W, b, X, Y = (np.asarray(V).astype(np.longdouble) for V in (*parameters, X, Y))
    s, l2 = np.longdouble(neuron.input_scale), np.longdouble(neuron.l2)
    m = X.shape[1]
    Z = s * (W @ X) + b
    match neuron.activation:
        case "sigmoid":
            A, slope = logistic(Z), logistic(Z) * logistic(-Z)
        case "tanh":
            A, slope = np.tanh(Z), 4 * logistic(2 * Z) * logistic(-2 * Z)
        case "relu":
            A, slope = Z * (Z > 0), (Z > 0).astype(np.longdouble)
        case _:
            A, slope = Z, np.ones_like(Z)
    if neuron.loss == "cross_entropy":
        rest = np.log1p(np.exp(-abs(Z)))  # log A is min(Z, 0) less this, and log (1 - A) is -max(Z, 0) less this
        loss = Y * (rest - np.minimum(Z, 0)) + (1 - Y) * (rest + np.maximum(Z, 0))
        dZ = (1 - Y) * logistic(Z) - Y * logistic(-Z)
    else:
        loss, dZ = (A - Y) ** 2 / 2, (A - Y) * slope
    cost = loss.sum() / m + l2 / 2 * (W * W).sum()
    return cost, Gradients(s * (dZ @ X.T) / m + l2 * W, dZ.sum() / m), A


def logistic(V: Array) -> Array:
    """1 / (1 + e^-V); e is raised to negative powers only."""
    E = np.exp(-abs(V))
    A: Array = np.where(V >= 0, 1, E) / (1 + E)
    return A
