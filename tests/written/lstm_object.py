"""An LSTM as an object with a history: ``lstm.run(xs)``, then ``lstm.bptt(dhs)``, gradients in ``lstm.d``.

xs is a list of columns; its gradients are returned as a list too.
"""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class LSTM:
    def __init__(self, input_dim, hidden_dim, rng):
        n = input_dim + hidden_dim
        self.hidden_dim = hidden_dim
        self.weights = {}
        for gate in ("forget", "input", "output", "cell"):
            self.weights["W_" + gate] = rng.standard_normal((hidden_dim, n)) / np.sqrt(n)
            self.weights["b_" + gate] = rng.standard_normal((hidden_dim, 1)) / np.sqrt(n)
        self.d = {}

    def run(self, xs):
        w = self.weights
        h = np.zeros((self.hidden_dim, 1))
        c = np.zeros((self.hidden_dim, 1))
        self.history = []
        hs = []
        for x in xs:
            z = np.concatenate([h, x])
            f = sigmoid(w["W_forget"] @ z + w["b_forget"])
            i = sigmoid(w["W_input"] @ z + w["b_input"])
            o = sigmoid(w["W_output"] @ z + w["b_output"])
            g = np.tanh(w["W_cell"] @ z + w["b_cell"])
            c_old = c
            c = f * c_old + i * g
            h = o * np.tanh(c)
            hs.append(h)
            self.history.append(dict(z=z, f=f, i=i, o=o, g=g, c=c, c_old=c_old))
        return np.hstack(hs)

    def bptt(self, dhs):
        w = self.weights
        H = self.hidden_dim
        self.d = {name: np.zeros_like(value) for name, value in w.items()}
        dh_later = np.zeros((H, 1))
        dc_later = np.zeros((H, 1))
        dxs = []
        for t in range(len(self.history) - 1, -1, -1):
            s = self.history[t]
            dh = dhs[:, t : t + 1] + dh_later
            tanh_c = np.tanh(s["c"])
            dc = dc_later + dh * s["o"] * (1 - tanh_c**2)
            pre = {}
            pre["output"] = dh * tanh_c * s["o"] * (1 - s["o"])
            pre["forget"] = dc * s["c_old"] * s["f"] * (1 - s["f"])
            pre["input"] = dc * s["g"] * s["i"] * (1 - s["i"])
            pre["cell"] = dc * s["i"] * (1 - s["g"] ** 2)
            dz = np.zeros_like(s["z"])
            for gate, da in pre.items():
                self.d["W_" + gate] += da @ s["z"].T
                self.d["b_" + gate] += da
                dz += w["W_" + gate].T @ da
            dh_later = dz[:H]
            dxs.insert(0, dz[H:])
            dc_later = dc * s["f"]
        return dxs


SHAPE = 3
OPTIONS = {"methods": ("run", "bptt")}
BACKWARD = ("LSTM.bptt",)


def inputs(rng):
    return {"xs": [rng.standard_normal((4, 1)) for _ in range(3)]}


def subject(rng):
    return (LSTM(4, 3, rng),)


def truth(subject, g, rng):
    lstm = subject[0]
    hs = lstm.run(g["xs"])
    dhs = rng.standard_normal(hs.shape)
    found = {f"xs[{t}]": dx for t, dx in enumerate(lstm.bptt(dhs))}
    found.update({f"weights['{name}']": d for name, d in lstm.d.items()})
    return np.sum(hs * dhs), found


def parameters(subject, g):
    live = {f"xs[{t}]": x for t, x in enumerate(g["xs"])}
    return live | {f"weights['{name}']": value for name, value in subject[0].weights.items()}
