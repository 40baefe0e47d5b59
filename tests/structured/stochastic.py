"""Rows that add up to 1: transitions, mixtures, soft labels."""

import numpy as np


def step_forward(s, P):
    q = s @ P
    total = q.sum()
    return q / total, (s, P, q / total)


def step_backward(dout, cache):
    """The total of s is not changed by P."""
    s, P, p = cache
    ds = (P @ dout - p @ dout) / s.sum()
    return ds, None


def soft_labels(Z, T):
    E = np.exp(Z - Z.max(axis=1, keepdims=True))
    A = E / E.sum(axis=1, keepdims=True)
    loss = -np.sum(T * np.log(A)) / len(Z)
    return loss, (A - T) / len(Z)


def shifted(P, x, shift):
    z = P @ (x - shift)
    J = np.sum(np.tanh(z))
    return dict(z=z, J=J)


def shifted_backward(P, z):
    dz = 1 - np.tanh(z) ** 2
    return dict(dz=dz, dx=P.T @ dz, dshift=-dz.sum())


class Mixture:
    """The log-likelihood of a mixture with given responsibilities R (m, k)."""

    def loss(self, mu, x, R):
        return 0.5 * np.sum(R * (x[:, None] - mu) ** 2)

    def gradient(self, mu, x, R):
        return {"mu": -np.sum(R * (x[:, None] - mu), axis=0), "x": x - R @ mu}


def rows(rng, n, m):
    P = rng.random((n, m)) + 0.01
    if m > 1 and rng.random() < 0.3:
        P[np.arange(n), rng.integers(0, m, n)] = 0  # what never happens
    return P / P.sum(axis=1, keepdims=True)


PROGRAMS = {
    "step of a chain": dict(
        subject=(step_forward, step_backward),
        inputs=lambda rng, n, m: dict(s=rng.random(n) + 0.1, P=rows(rng, n, n)),
        options=dict(wrt=["s"]),
        faults=[("ds = (P @ dout - p @ dout)", "ds = (P @ dout + p @ dout)")],
    ),
    "soft labels": dict(
        subject=(soft_labels,),
        inputs=lambda rng, n, m: dict(Z=rng.standard_normal((n, m)), T=rows(rng, n, m)),
        options=dict(cost=0, wrt=["Z"]),
        faults=[("return loss, (A - T) / len(Z)", "return loss, (A - T)")],
    ),
    "shifted": dict(
        subject=(shifted, shifted_backward),
        inputs=lambda rng, n, m: dict(
            P=rows(rng, n, m), x=rng.standard_normal(m), shift=np.array(rng.standard_normal())
        ),
        faults=[("dshift=-dz.sum()", "dshift=-dz.mean()")],
    ),
    "mixture": dict(
        subject=(Mixture(),),
        inputs=lambda rng, n, m: dict(mu=rng.standard_normal(m), x=rng.standard_normal(n), R=rows(rng, n, m)),
        faults=[('"x": x - R @ mu', '"x": x + R @ mu')],
    ),
}
