"""Orthogonal matrices: the inverse is the transpose, and lengths stay what they are."""

import numpy as np


def turned_forward(Q, x):
    y = np.linalg.solve(Q, x)
    return y**2, (Q, y)


def turned_backward(dout, cache):
    Q, y = cache
    dy = 2 * y * dout
    return {"dx": Q @ dy}


def residual(U, x):
    """What a basis leaves of x."""
    r = x - U @ (U.T @ x)
    return 0.5 * np.sum(r * r), r


def lengths(Q, X, t):
    Z = Q @ X
    J = np.sum(np.exp(-np.sum(Z**2, axis=0) * t))
    return dict(Z=Z, J=J)


def lengths_backward(X, t):
    return dict(dX=-2 * t * X * np.exp(-np.sum(X**2, axis=0) * t))


def coordinates_forward(Q, x):
    """Coordinates in an orthonormal frame, by least squares, and the volume."""
    c = np.linalg.inv(Q.T @ Q) @ (Q.T @ x)
    return np.sin(c), (Q, c)


def coordinates_backward(dout, cache):
    Q, c = cache
    dc = np.cos(c) * dout
    return None, Q @ dc


def frame(rng, n, m):
    if rng.random() < 0.2:
        return np.eye(n)[rng.permutation(n)][:, :m]
    return np.linalg.qr(rng.standard_normal((n, m)))[0]


PROGRAMS = {
    "turned back": dict(
        subject=(turned_forward, turned_backward),
        inputs=lambda rng, n, m: dict(Q=frame(rng, n, n), x=rng.standard_normal((n, m))),
        faults=[('return {"dx": Q @ dy}', 'return {"dx": Q.T @ dy}')],
    ),
    "residual": dict(
        subject=(residual,),
        inputs=lambda rng, n, m: dict(U=frame(rng, n + 1, min(n, m)), x=rng.standard_normal(n + 1)),
        options=dict(cost=0, wrt=["x"]),
        faults=[("return 0.5 * np.sum(r * r), r", "return 0.5 * np.sum(r * r), 2 * r")],
    ),
    "lengths": dict(
        subject=(lengths, lengths_backward),
        inputs=lambda rng, n, m: dict(Q=frame(rng, n, n), X=rng.standard_normal((n, m)), t=0.3),
        faults=[("dict(dX=-2 * t * X", "dict(dX=-t * X")],
    ),
    "coordinates": dict(
        subject=(coordinates_forward, coordinates_backward),
        inputs=lambda rng, n, m: dict(Q=frame(rng, n, min(n, m)), x=rng.standard_normal(n)),
        options=dict(wrt=["x"]),
        faults=[("dc = np.cos(c) * dout", "dc = np.sin(c) * dout")],
    ),
}
