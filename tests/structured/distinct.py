"""Indices that are distinct: what is written to one place is not added up there."""

import numpy as np


def gather_forward(x, idx):
    return x[idx] ** 2, (x, idx)


def gather_backward(dout, cache):
    x, idx = cache
    dx = np.zeros_like(x)
    dx[idx] = 2 * x[idx] * dout
    return dx, None


def edges(W, i, j):
    """The weights of some pairs, each pair once."""
    w = W[i, j]
    cost = np.sum(np.sin(w))
    dW = np.zeros_like(W)
    dW[i, j] = np.cos(w)
    return cost, dW


def best(X, k_best):
    """Some entries of each row."""
    z = np.take_along_axis(X, k_best, axis=1)
    J = np.sum(np.exp(z))
    return dict(z=z, J=J)


def best_backward(X, k_best, z):
    dz = np.exp(z)
    dX = np.zeros_like(X)
    np.put_along_axis(dX, k_best, dz, axis=1)
    return dict(dz=dz, dX=dX)


def shuffled(x, order, t):
    y = x[order] * t
    cost = np.sum(y**3)
    dy = 3 * y**2
    return cost, {"dx": (dy * t)[np.argsort(order)], "dt": dy * x[order]}


def links(X, pairs):
    """Of rows of pairs, each of which comes once."""
    a = X[pairs[0], pairs[1]]
    dX = np.zeros_like(X)
    dX[pairs[0], pairs[1]] = 2 * a
    return np.sum(a**2), dX


def some(rng, n, m):
    return rng.permutation(n * m)[: rng.integers(1, n * m + 1)]


PROGRAMS = {
    "gather": dict(
        subject=(gather_forward, gather_backward),
        inputs=lambda rng, n, m: dict(x=rng.standard_normal((n, m)), idx=rng.permutation(n)[: rng.integers(1, n + 1)]),
        options=dict(wrt=["x"]),
        faults=[("dx[idx] = 2 * x[idx] * dout", "dx[idx] = 2 * dout")],
    ),
    "edges": dict(
        subject=(edges,),
        inputs=lambda rng, n, m: dict(W=rng.standard_normal((n, m)), i=(flat := some(rng, n, m)) // m, j=flat % m),
        options=dict(cost=0, wrt=["W"]),
        faults=[("dW[i, j] = np.cos(w)", "dW[i, j] = -np.cos(w)")],
    ),
    "best of rows": dict(
        subject=(best, best_backward),
        inputs=lambda rng, n, m: dict(
            X=rng.standard_normal((n, m)),
            k_best=np.argsort(rng.random((n, m)), axis=1)[:, : rng.integers(1, m + 1)],
        ),
        faults=[("put_along_axis(dX, k_best, dz, axis=1)", "put_along_axis(dX, k_best, z, axis=1)")],
    ),
    "shuffled": dict(
        subject=(shuffled,),
        inputs=lambda rng, n, m: dict(x=rng.standard_normal(n), order=rng.permutation(n), t=rng.standard_normal(n)),
        options=dict(cost=0),
        faults=[("[np.argsort(order)]", "[order]")],
    ),
    "links": dict(
        subject=(links,),
        inputs=lambda rng, n, m: dict(X=rng.standard_normal((n, m)), pairs=np.stack(np.divmod(some(rng, n, m), m))),
        options=dict(cost=0, wrt=["X"]),
        faults=[("dX[pairs[0], pairs[1]] = 2 * a", "dX[pairs[0], pairs[1]] = a")],
    ),
}
