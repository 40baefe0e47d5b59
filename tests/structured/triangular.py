"""Triangles: systems that are solved by substitution, and who may see whom."""

import numpy as np


def solve_forward(L, b):
    x = np.linalg.solve(L, b)
    return x, (L, x)


def solve_backward(dx, cache):
    """By substitution from the end; what is above the diagonal is not read."""
    L, x = cache
    db = np.zeros_like(x)
    for i in reversed(range(len(x))):
        db[i] = (dx[i] - L[i + 1 :, i] @ db[i + 1 :]) / L[i, i]
    return None, db


def least_squares(R, y, t):
    """R is upper triangular, as of a QR decomposition."""
    w = np.linalg.solve(R, y)
    J = 0.5 * np.sum((w - t) ** 2)
    dw, dy = w - t, np.zeros_like(y)
    for i in range(len(y)):
        dy[i] = (dw[i] - R[:i, i] @ dy[:i]) / R[i, i]
    return J, {"y": dy}


def running(T, x):
    """Sums of what came before; T has ones below the diagonal and on it."""
    s = T @ x
    J = np.sum(np.sin(s))
    return dict(s=s, J=J)


def running_backward(s):
    ds = np.cos(s)
    return dict(ds=ds, dx=np.cumsum(ds[::-1])[::-1])


def causal(scores, v, seen):
    """Attention of each to those before; the value of the last is seen by nobody else."""
    e = np.where(seen, np.exp(scores), 0)
    p = e / e.sum(axis=1, keepdims=True)
    out = p @ v
    loss = 0.5 * np.sum(out**2)
    dv = np.zeros_like(v)
    dscores = np.zeros_like(scores)
    for i in range(len(v)):
        dv[: i + 1] += np.outer(p[i, : i + 1], out[i])
        dp = v[: i + 1] @ out[i]
        dscores[i, : i + 1] = p[i, : i + 1] * (dp - p[i, : i + 1] @ dp)
    return loss, {"scores": dscores, "v": dv}


def triangle(rng, n):
    if rng.random() < 0.3:
        L = np.tril(rng.integers(-2, 3, (n, n))).astype(float)
        np.fill_diagonal(L, rng.choice([1.0, 2.0]))
        return L
    L = np.tril(rng.standard_normal((n, n)))
    np.fill_diagonal(L, rng.uniform(0.5, 2, n) * rng.choice([-1, 1]))
    return L


PROGRAMS = {
    "substitution": dict(
        subject=(solve_forward, solve_backward),
        inputs=lambda rng, n, m: dict(L=triangle(rng, n), b=rng.standard_normal(n)),
        options=dict(wrt=["b"]),
        faults=[("(dx[i] - L[i + 1 :, i] @", "(dx[i] + L[i + 1 :, i] @")],
    ),
    "least squares": dict(
        subject=(least_squares,),
        inputs=lambda rng, n, m: dict(R=triangle(rng, n).T, y=rng.standard_normal(n), t=rng.standard_normal(n)),
        options=dict(cost=0),
        faults=[("@ dy[:i]) / R[i, i]", "@ dy[:i]) * R[i, i]")],
    ),
    "running sums": dict(
        subject=(running, running_backward),
        inputs=lambda rng, n, m: dict(
            T=np.tril(np.ones((n, n))).astype(rng.choice([float, int, bool])), x=rng.standard_normal(n)
        ),
        faults=[("np.cumsum(ds[::-1])[::-1]", "np.cumsum(ds)")],
    ),
    "causal attention": dict(
        subject=(causal,),
        inputs=lambda rng, n, m: dict(
            scores=rng.standard_normal((n, n)),
            v=rng.standard_normal((n, m)),
            seen=np.tril(np.ones((n, n), rng.choice([float, bool]))),
        ),
        options=dict(cost=0),
        faults=[("* (dp - p[i, : i + 1] @ dp)", "* dp")],
    ),
}
