"""One step of an LSTM, features by examples: ``lstm_cell_forward(xt, a_prev, c_prev, parameters)`` and its backward."""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_cell_forward(xt, a_prev, c_prev, parameters):
    Wf = parameters["Wf"]
    bf = parameters["bf"]
    Wi = parameters["Wi"]
    bi = parameters["bi"]
    Wc = parameters["Wc"]
    bc = parameters["bc"]
    Wo = parameters["Wo"]
    bo = parameters["bo"]
    n_a, m = a_prev.shape

    concat = np.concatenate((a_prev, xt), axis=0)
    ft = sigmoid(np.dot(Wf, concat) + bf)
    it = sigmoid(np.dot(Wi, concat) + bi)
    cct = np.tanh(np.dot(Wc, concat) + bc)
    c_next = ft * c_prev + it * cct
    ot = sigmoid(np.dot(Wo, concat) + bo)
    a_next = ot * np.tanh(c_next)
    assert a_next.shape == (n_a, m)

    cache = (a_next, c_next, a_prev, c_prev, ft, it, cct, ot, xt, parameters)
    return a_next, c_next, cache


def lstm_cell_backward(da_next, dc_next, cache):
    (a_next, c_next, a_prev, c_prev, ft, it, cct, ot, xt, parameters) = cache
    n_a, m = a_next.shape
    Wf, Wi, Wc, Wo = parameters["Wf"], parameters["Wi"], parameters["Wc"], parameters["Wo"]

    tanh_c = np.tanh(c_next)
    dc = dc_next + da_next * ot * (1 - tanh_c**2)
    dot = da_next * tanh_c * ot * (1 - ot)
    dcct = dc * it * (1 - cct**2)
    dit = dc * cct * it * (1 - it)
    dft = dc * c_prev * ft * (1 - ft)

    concat = np.concatenate((a_prev, xt), axis=0)
    dWf = np.dot(dft, concat.T)
    dWi = np.dot(dit, concat.T)
    dWc = np.dot(dcct, concat.T)
    dWo = np.dot(dot, concat.T)
    dbf = np.sum(dft, axis=1, keepdims=True)
    dbi = np.sum(dit, axis=1, keepdims=True)
    dbc = np.sum(dcct, axis=1, keepdims=True)
    dbo = np.sum(dot, axis=1, keepdims=True)

    dconcat = np.dot(Wf.T, dft) + np.dot(Wi.T, dit) + np.dot(Wc.T, dcct) + np.dot(Wo.T, dot)
    da_prev = dconcat[:n_a, :]
    dxt = dconcat[n_a:, :]
    dc_prev = dc * ft

    gradients = {"dxt": dxt, "da_prev": da_prev, "dc_prev": dc_prev, "dWf": dWf, "dbf": dbf, "dWi": dWi, "dbi": dbi}
    gradients.update({"dWc": dWc, "dbc": dbc, "dWo": dWo, "dbo": dbo})
    return gradients


SHAPE = 2
OPTIONS = {}
BACKWARD = ("lstm_cell_backward",)
NAMES = ("Wf", "bf", "Wi", "bi", "Wc", "bc", "Wo", "bo")


def inputs(rng):
    n_x, n_a, m = 3, 4, 5
    parameters = {}
    for gate in "fico":
        parameters["W" + gate] = rng.standard_normal((n_a, n_a + n_x))
        parameters["b" + gate] = rng.standard_normal((n_a, 1))
    return {
        "xt": rng.standard_normal((n_x, m)),
        "a_prev": rng.standard_normal((n_a, m)),
        "c_prev": rng.standard_normal((n_a, m)),
        "parameters": parameters,
    }


def subject(rng):
    return (lstm_cell_forward, lstm_cell_backward)


def truth(subject, g, rng):
    forward, backward = subject
    a_next, c_next, cache = forward(**g)
    da_next, dc_next = rng.standard_normal(a_next.shape), rng.standard_normal(c_next.shape)
    grads = backward(da_next, dc_next, cache)
    found = {name: grads["d" + name] for name in ("xt", "a_prev", "c_prev")}
    found.update({f"parameters['{name}']": grads["d" + name] for name in NAMES})
    return np.sum(a_next * da_next) + np.sum(c_next * dc_next), found


def parameters(subject, g):
    live = {name: g[name] for name in ("xt", "a_prev", "c_prev")}
    return live | {f"parameters['{name}']": g["parameters"][name] for name in NAMES}
