"""Logistic regression in loops, cost and gradient apart; the derivative by b is returned before that by w."""

import numpy as np


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def compute_cost_logistic(X, y, w, b):
    m = X.shape[0]
    cost = 0.0
    for i in range(m):
        f_wb_i = sigmoid(np.dot(X[i], w) + b)
        cost += -y[i] * np.log(f_wb_i) - (1 - y[i]) * np.log(1 - f_wb_i)
    return cost / m


def compute_gradient_logistic(X, y, w, b):
    m, n = X.shape
    dj_dw = np.zeros((n,))
    dj_db = 0.0
    for i in range(m):
        f_wb_i = sigmoid(np.dot(X[i], w) + b)
        err_i = f_wb_i - y[i]
        for j in range(n):
            dj_dw[j] = dj_dw[j] + err_i * X[i, j]
        dj_db = dj_db + err_i
    dj_dw = dj_dw / m
    dj_db = dj_db / m
    return dj_db, dj_dw


SHAPE = 2
OPTIONS = {}
BACKWARD = ("compute_gradient_logistic",)


def inputs(rng):
    return {
        "X": rng.standard_normal((5, 3)),
        "y": rng.integers(0, 2, 5),
        "w": rng.standard_normal(3),
        "b": float(rng.standard_normal()),
    }


def subject(rng):
    return compute_cost_logistic, compute_gradient_logistic


def truth(subject, g, rng):
    dj_db, dj_dw = compute_gradient_logistic(**g)
    return compute_cost_logistic(**g), {"w": dj_dw, "b": dj_db}


def parameters(subject, g):
    return {"w": g["w"]}
