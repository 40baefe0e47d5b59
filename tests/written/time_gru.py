"""A GRU over time: ``GRULayer(Wx, Wh, b)``, ``forward(xs)``, ``backward(dhs)``; gradients ``Wx_grad`` etc."""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class GRULayer:
    def __init__(self, Wx, Wh, b):
        self.Wx, self.Wh, self.b = Wx, Wh, b
        self.Wx_grad = np.zeros_like(Wx)
        self.Wh_grad = np.zeros_like(Wh)
        self.b_grad = np.zeros_like(b)

    def forward(self, xs):
        N, T, D = xs.shape
        H = self.Wh.shape[0]
        self.xs = xs
        self.cache = []
        hs = np.empty((N, T, H))
        h = np.zeros((N, H))
        for t in range(T):
            x = xs[:, t]
            zr = sigmoid(x @ self.Wx[:, : 2 * H] + h @ self.Wh[:, : 2 * H] + self.b[: 2 * H])
            z, r = zr[:, :H], zr[:, H:]
            h_hat = np.tanh(x @ self.Wx[:, 2 * H :] + (r * h) @ self.Wh[:, 2 * H :] + self.b[2 * H :])
            self.cache.append((h, z, r, h_hat))
            h = z * h + (1 - z) * h_hat
            hs[:, t] = h
        return hs

    def backward(self, dhs):
        N, T, H = dhs.shape
        Wxh = self.Wx[:, 2 * H :]
        Whh = self.Wh[:, 2 * H :]
        self.Wx_grad[...] = 0
        self.Wh_grad[...] = 0
        self.b_grad[...] = 0
        dxs = np.empty_like(self.xs)
        dh = np.zeros((N, H))
        for t in reversed(range(T)):
            x = self.xs[:, t]
            h_prev, z, r, h_hat = self.cache[t]
            dh = dh + dhs[:, t]

            dh_hat = dh * (1 - z)
            dtanh = dh_hat * (1 - h_hat**2)
            drh = dtanh @ Whh.T
            dz = dh * (h_prev - h_hat)
            dr = drh * h_prev
            dzr = np.hstack((dz * z * (1 - z), dr * r * (1 - r)))

            self.Wx_grad[:, 2 * H :] += x.T @ dtanh
            self.Wh_grad[:, 2 * H :] += (r * h_prev).T @ dtanh
            self.b_grad[2 * H :] += dtanh.sum(axis=0)
            self.Wx_grad[:, : 2 * H] += x.T @ dzr
            self.Wh_grad[:, : 2 * H] += h_prev.T @ dzr
            self.b_grad[: 2 * H] += dzr.sum(axis=0)

            dxs[:, t] = dtanh @ Wxh.T + dzr @ self.Wx[:, : 2 * H].T
            dh = dh * z + drh * r + dzr @ self.Wh[:, : 2 * H].T
        return dxs


SHAPE = 3
OPTIONS = {}
BACKWARD = ("GRULayer.backward",)


def inputs(rng):
    D, H = 4, 3
    return {
        "Wx": rng.standard_normal((D, 3 * H)),
        "Wh": rng.standard_normal((H, 3 * H)),
        "b": rng.standard_normal(3 * H),
        "xs": rng.standard_normal((2, 4, D)),
    }


def subject(rng):
    return (GRULayer,)


def truth(subject, g, rng):
    layer = subject[0](g["Wx"], g["Wh"], g["b"])
    hs = layer.forward(g["xs"])
    dhs = rng.standard_normal(hs.shape)
    dxs = layer.backward(dhs)
    found = {"xs": dxs, "Wx": layer.Wx_grad, "Wh": layer.Wh_grad, "b": layer.b_grad}
    return np.sum(hs * dhs), found


def parameters(subject, g):
    return dict(g)
