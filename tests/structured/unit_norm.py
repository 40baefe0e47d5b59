"""Directions: vectors of length 1, by whose length nobody divides."""

import numpy as np


def reject_forward(x, u):
    """What is left of x beside the direction u."""
    r = x - (x @ u) / (u @ u) * u
    return r, u


def reject_backward(dr, u):
    return dr - (dr @ u) * u, None


def similarity(q, E):
    """Of a query with embeddings that are normalised already."""
    norms = np.linalg.norm(E, axis=1)
    size = np.linalg.norm(q)
    s = E @ q / (norms * size)
    loss = np.sum(np.exp(s))
    ds = np.exp(s)
    dq = ds @ E / size - (ds @ s) * q / size**2
    return loss, {"dq": dq}


def mirror(v, x):
    H = np.eye(len(v)) - 2 * np.outer(v, v)
    y = np.linalg.solve(H, x)
    J = np.sum(y**3)
    return dict(y=y, J=J)


def mirror_backward(v, y):
    dy = 3 * y**2
    return dict(dy=dy, dx=dy - 2 * v * (v @ dy))


def tilt(w, u):
    """w as seen along u, with respect to both."""
    a = np.sum(w * u, axis=0) / np.sqrt(np.sum(u**2, axis=0))
    da = 2 * a
    return np.sum(a**2), (u * da, w * da - u * a * da)


def directions(rng, shape, axis):
    v = rng.standard_normal(shape)
    return v / np.linalg.norm(v, axis=axis, keepdims=True)


PROGRAMS = {
    "rejection": dict(
        subject=(reject_forward, reject_backward),
        inputs=lambda rng, n, m: dict(x=rng.standard_normal(n), u=directions(rng, n, 0)),
        options=dict(wrt=["x"]),
        faults=[("return dr - (dr @ u) * u, None", "return dr + (dr @ u) * u, None")],
    ),
    "similarity": dict(
        subject=(similarity,),
        inputs=lambda rng, n, m: dict(q=rng.standard_normal(n), E=directions(rng, (m, n), 1)),
        options=dict(cost=0),
        faults=[("- (ds @ s) * q / size**2", "- (ds @ s) * q / size")],
    ),
    "mirror": dict(
        subject=(mirror, mirror_backward),
        inputs=lambda rng, n, m: dict(v=directions(rng, n, 0), x=rng.standard_normal(n)),
        faults=[("dx=dy - 2 * v * (v @ dy)", "dx=dy - v * (v @ dy)")],
    ),
    "tilt": dict(
        subject=(tilt,),
        inputs=lambda rng, n, m: dict(w=rng.standard_normal((n, m)), u=directions(rng, (n, m), 0)),
        options=dict(cost=0),
        faults=[("(u * da, w * da - u * a * da)", "(u * da, w * da)")],
    ),
}
