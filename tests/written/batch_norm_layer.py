"""A batch-normalisation layer: ``BatchNormalization(gamma, beta)``, ``forward(x, train_flg)``, ``backward(dout)``.

It keeps running means, and its gradients as attributes ``dgamma`` and ``dbeta``.
"""

import numpy as np


class BatchNormalization:
    def __init__(self, gamma, beta, momentum=0.9, running_mean=None, running_var=None):
        self.gamma = gamma
        self.beta = beta
        self.momentum = momentum
        self.input_shape = None  # 4 dimensions of a convolution, 2 of a full connection

        self.running_mean = running_mean
        self.running_var = running_var

        self.batch_size = None
        self.xc = None
        self.std = None
        self.xn = None
        self.dgamma = None
        self.dbeta = None

    def forward(self, x, train_flg=True):
        self.input_shape = x.shape
        if x.ndim != 2:
            x = x.reshape(x.shape[0], -1)
        out = self._forward(x, train_flg)
        return out.reshape(*self.input_shape)

    def _forward(self, x, train_flg):
        if self.running_mean is None:
            D = x.shape[1]
            self.running_mean = np.zeros(D)
            self.running_var = np.zeros(D)

        if train_flg:
            mu = x.mean(axis=0)
            xc = x - mu
            var = np.mean(xc**2, axis=0)
            std = np.sqrt(var + 10e-7)
            xn = xc / std
            self.batch_size = x.shape[0]
            self.xc = xc
            self.xn = xn
            self.std = std
            self.running_mean = self.momentum * self.running_mean + (1 - self.momentum) * mu
            self.running_var = self.momentum * self.running_var + (1 - self.momentum) * var
        else:
            xc = x - self.running_mean
            xn = xc / np.sqrt(self.running_var + 10e-7)

        out = self.gamma * xn + self.beta
        return out

    def backward(self, dout):
        if dout.ndim != 2:
            dout = dout.reshape(dout.shape[0], -1)
        dx = self._backward(dout)
        dx = dx.reshape(*self.input_shape)
        return dx

    def _backward(self, dout):
        dbeta = dout.sum(axis=0)
        dgamma = np.sum(self.xn * dout, axis=0)
        dxn = self.gamma * dout
        dxc = dxn / self.std
        dstd = -np.sum((dxn * self.xc) / (self.std * self.std), axis=0)
        dvar = 0.5 * dstd / self.std
        dxc += (2.0 / self.batch_size) * self.xc * dvar
        dmu = np.sum(dxc, axis=0)
        dx = dxc - dmu / self.batch_size

        self.dgamma = dgamma
        self.dbeta = dbeta
        return dx


SHAPE = 3
OPTIONS = {}
BACKWARD = ("BatchNormalization.backward", "BatchNormalization._backward")


def inputs(rng):
    return {
        "gamma": rng.standard_normal(6),
        "beta": rng.standard_normal(6),
        "x": rng.standard_normal((5, 2, 3)) + 2,
    }


def subject(rng):
    return (BatchNormalization,)


def truth(subject, g, rng):
    layer = subject[0](g["gamma"], g["beta"])
    out = layer.forward(g["x"])
    dout = rng.standard_normal(out.shape)
    dx = layer.backward(dout)
    return np.sum(out * dout), {"x": dx, "gamma": layer.dgamma, "beta": layer.dbeta}


def parameters(subject, g):
    return dict(g)
