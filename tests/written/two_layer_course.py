"""A two-layer classifier: ``loss, grads = two_layer_loss(params, X, y, reg)``, grads keyed like params."""

import numpy as np


def init_params(rng, input_size, hidden_size, output_size, std=0.5):
    params = {}
    params["W1"] = std * rng.standard_normal((input_size, hidden_size))
    params["b1"] = std * rng.standard_normal(hidden_size)
    params["W2"] = std * rng.standard_normal((hidden_size, output_size))
    params["b2"] = std * rng.standard_normal(output_size)
    return params


def two_layer_loss(params, X, y=None, reg=0.0):
    W1, b1 = params["W1"], params["b1"]
    W2, b2 = params["W2"], params["b2"]
    N, D = X.shape

    hidden = X.dot(W1) + b1
    relu = np.maximum(0, hidden)
    scores = relu.dot(W2) + b2
    if y is None:
        return scores

    # softmax, shifted so that nothing overflows
    shifted = scores - np.max(scores, axis=1, keepdims=True)
    exp_scores = np.exp(shifted)
    probs = exp_scores / np.sum(exp_scores, axis=1, keepdims=True)
    correct_logprobs = -np.log(probs[np.arange(N), y])
    data_loss = np.sum(correct_logprobs) / N
    reg_loss = 0.5 * reg * np.sum(W1 * W1) + 0.5 * reg * np.sum(W2 * W2)
    loss = data_loss + reg_loss

    grads = {}
    dscores = probs.copy()
    dscores[np.arange(N), y] -= 1
    dscores /= N
    grads["W2"] = relu.T.dot(dscores)
    grads["b2"] = np.sum(dscores, axis=0)
    dhidden = dscores.dot(W2.T)
    dhidden[hidden <= 0] = 0
    grads["W1"] = np.dot(X.T, dhidden)
    grads["b1"] = np.sum(dhidden, axis=0)
    grads["W2"] += reg * W2
    grads["W1"] += reg * W1

    return loss, grads


SHAPE = 1
OPTIONS = {}
BACKWARD = ("two_layer_loss:dscores = probs.copy()",)


def inputs(rng):
    return {
        "params": init_params(rng, 4, 5, 3),
        "X": rng.standard_normal((6, 4)),
        "y": rng.integers(0, 3, 6),
        "reg": 0.3,
    }


def subject(rng):
    return (two_layer_loss,)


def truth(subject, g, rng):
    loss, grads = subject[0](**g)
    return loss, {f"params['{name}']": grads[name] for name in g["params"]}


def parameters(subject, g):
    return {f"params['{name}']": value for name, value in g["params"].items()}
