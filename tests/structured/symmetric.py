"""Symmetric matrices: adjacencies, counts, kernels. Their transposes are forgotten, and nobody notices."""

import numpy as np


def convolve(A, X, W):
    H = A @ X @ W
    J = np.sum(np.tanh(H))
    return dict(H=H, J=J)


def convolve_back(A, X, W, H):
    dH = 1 - np.tanh(H) ** 2
    return dict(dH=dH, dX=A @ dH @ W.T, dW=(A @ X).T @ dH)


def quadratic(x, S, b):
    cost = 0.5 * x @ S @ x - b @ x
    return cost, S @ x - b


def neighbours(f, near):
    """Differences between neighbours; near is a table of who is whose, of True and False."""
    steps = f[:, None] - f[None, :]
    cost = 0.25 * np.sum(np.where(near, steps**2, 0))
    df = near.sum(axis=1) * f - near @ f
    return cost, {"f": df}


def kernel_forward(K, a):
    f = K @ a
    return np.tanh(f), (K, f)


def kernel_backward(dout, cache):
    K, f = cache
    df = dout * (1 - np.tanh(f) ** 2)
    return None, K @ df


def wedge(x, y, S):
    """S is the cross product with a vector: its transpose is itself with another sign."""
    z = S @ x
    return 0.5 * np.sum((z - y) ** 2), -S @ (z - y)


def mirrored(rng, n, draw):
    A = draw(rng, (n, n))
    return np.triu(A) + np.triu(A, 1).T


def counts(rng, shape):
    return rng.integers(0, rng.integers(2, 5), shape)


def adjacency(rng, n):
    A = mirrored(rng, n, lambda rng, shape: rng.integers(0, 2, shape))
    np.fill_diagonal(A, 0)
    return A


def whole_or_not(rng, n):
    kind = rng.integers(4)
    if kind == 0:
        return mirrored(rng, n, lambda rng, shape: rng.standard_normal(shape))
    if kind == 1:
        A = adjacency(rng, n)
        return np.diag(A.sum(0)) - A
    return mirrored(rng, n, counts).astype(float if kind == 2 else int)


def kernel(rng, n):
    x = rng.standard_normal((n, 2))
    return np.exp(-np.sum((x[:, None] - x[None]) ** 2, axis=-1)) * rng.choice([1, 0.9])


PROGRAMS = {
    "graph convolution": dict(
        subject=(convolve, convolve_back),
        inputs=lambda rng, n, m: dict(
            A=adjacency(rng, n) if rng.random() < 0.5 else mirrored(rng, n, counts),
            X=rng.standard_normal((n, m)),
            W=rng.standard_normal((m, 2)),
        ),
        faults=[("dH = 1 - np.tanh(H) ** 2", "dH = 1 + np.tanh(H) ** 2"), ("dX=A @ dH", "dX=dH")],
    ),
    "quadratic form": dict(
        subject=(quadratic,),
        inputs=lambda rng, n, m: dict(x=rng.standard_normal(n), S=whole_or_not(rng, n), b=rng.standard_normal(n)),
        options=dict(cost=0, wrt=["x"]),
        faults=[("return cost, S @ x - b", "return cost, S @ x + b")],
    ),
    "neighbours": dict(
        subject=(neighbours,),
        inputs=lambda rng, n, m: dict(f=rng.standard_normal(n), near=adjacency(rng, n).astype(bool)),
        options=dict(cost=0),
        faults=[("near.sum(axis=1) * f - near @ f", "near.sum(axis=1) * f + near @ f")],
    ),
    "kernel": dict(
        subject=(kernel_forward, kernel_backward),
        inputs=lambda rng, n, m: dict(K=kernel(rng, n), a=rng.standard_normal(n)),
        options=dict(wrt=["a"]),
        faults=[("return None, K @ df", "return None, K @ dout")],
    ),
    "cross product": dict(
        subject=(wedge,),
        inputs=lambda rng, n, m: dict(
            x=rng.standard_normal(3),
            y=rng.standard_normal(3),
            S=np.cross(np.eye(3), rng.standard_normal(3)),
        ),
        options=dict(cost=0, wrt=["x"]),
        faults=[("-S @ (z - y)", "S @ (z - y)")],
    ),
}
