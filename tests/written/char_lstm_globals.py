"""A character LSTM in a script with global parameters: ``loss_and_grads(inputs, targets)`` is the loss and a dict."""

import numpy as np

rng_ = np.random.RandomState(3)
vocab = list("helo ")
hidden_size = 3
z_size = hidden_size + len(vocab)

params = dict(
    W_gates=rng_.randn(3 * hidden_size, z_size) * 0.4,
    b_gates=rng_.randn(3 * hidden_size, 1) * 0.4,
    W_c=rng_.randn(hidden_size, z_size) * 0.4,
    b_c=rng_.randn(hidden_size, 1) * 0.4,
    W_y=rng_.randn(len(vocab), hidden_size) * 0.4,
    b_y=rng_.randn(len(vocab), 1) * 0.4,
)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def one_hot(ix):
    v = np.zeros((len(vocab), 1))
    v[ix] = 1
    return v


def loss_and_grads(inputs, targets):
    H = hidden_size
    h = np.zeros((H, 1))
    c = np.zeros((H, 1))
    steps = []
    loss = 0.0
    for ix, target in zip(inputs, targets):
        c_prev = c
        z = np.vstack((h, one_hot(ix)))
        gates = sigmoid(params["W_gates"] @ z + params["b_gates"])
        f, i, o = gates[:H], gates[H : 2 * H], gates[2 * H :]
        c_bar = np.tanh(params["W_c"] @ z + params["b_c"])
        c = f * c_prev + i * c_bar
        h = o * np.tanh(c)
        y = params["W_y"] @ h + params["b_y"]
        p = np.exp(y - y.max())
        p /= p.sum()
        loss -= np.log(p[target, 0])
        steps.append((z, f, i, o, c_bar, c_prev, c, h, p))

    grads = {name: np.zeros_like(value) for name, value in params.items()}
    dh_next = np.zeros((H, 1))
    dc_next = np.zeros((H, 1))
    for step, target in zip(steps[::-1], targets[::-1]):
        z, f, i, o, c_bar, c_prev, c, h, p = step
        dy = p.copy()
        dy[target] -= 1
        grads["W_y"] += dy @ h.T
        grads["b_y"] += dy
        dh = params["W_y"].T @ dy
        dh += dh_next
        do = dh * np.tanh(c)
        dc = dc_next + dh * o * (1 - np.tanh(c) ** 2)
        dc_bar = dc * i * (1 - c_bar**2)
        di = dc * c_bar
        df = dc * c_prev
        dgates = np.vstack((df * f * (1 - f), di * i * (1 - i), do * o * (1 - o)))
        grads["W_gates"] += dgates @ z.T
        grads["b_gates"] += dgates
        grads["W_c"] += dc_bar @ z.T
        grads["b_c"] += dc_bar
        dz = params["W_gates"].T @ dgates + params["W_c"].T @ dc_bar
        dh_next = dz[:H]
        dc_next = f * dc
    return loss, grads


SHAPE = 5
OPTIONS = {}
BACKWARD = ("loss_and_grads:dh_next = np.zeros",)


def inputs(rng):
    return {"inputs": [int(i) for i in rng.integers(0, 5, 4)], "targets": [int(i) for i in rng.integers(0, 5, 4)]}


def subject(rng):
    return (loss_and_grads,)


def truth(subject, g, rng):
    loss, grads = subject[0](**g)
    return loss, {f"params['{name}']": grads[name] for name in params}


def parameters(subject, g):
    return {f"params['{name}']": value for name, value in params.items()}
