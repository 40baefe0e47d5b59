"""A cosine and a sine: c**2 + s**2 is 1, and is not written down."""

import numpy as np


def back_forward(x, y, c, s):
    """Turned back: the inverse of a matrix of two rows and columns, by its determinant."""
    determinant = c * c + s * s
    u = (c * x + s * y) / determinant
    v = (c * y - s * x) / determinant
    return np.tanh(u) + v**2, (u, v, c, s)


def back_backward(dout, cache):
    u, v, c, s = cache
    du = dout * (1 - np.tanh(u) ** 2)
    dv = dout * 2 * v
    dx = c * du - s * dv
    dy = s * du + c * dv
    return dx, dy


def givens(x, y, c, s):
    """Numbers c and s; a rotation changes no length."""
    u, v = c * x - s * y, s * x + c * y
    cost = np.sum(np.sqrt(1 + u**2 + v**2))
    root = np.sqrt(1 + x**2 + y**2)
    return cost, {"x": x / root, "y": y / root}


def rotary(q, cos, sin):
    """Halves of q (m, 2 d) turned by angles (m, d), and the size of what comes out."""
    a, b = np.split(q, 2, axis=1)
    turned = np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=1)
    J = np.sum(np.sum(turned**2, axis=1) ** 2)
    return dict(turned=turned, J=J)


def rotary_backward(q):
    return dict(dq=4 * q * np.sum(q**2, axis=1, keepdims=True))


PROGRAMS = {
    "turned back": dict(
        subject=(back_forward, back_backward),
        inputs=lambda rng, n, m: dict(
            x=rng.standard_normal((m, n)),
            y=rng.standard_normal((m, n)),
            c=np.cos(a := rng.uniform(0, 6, n)),
            s=np.sin(a),
        ),
        options=dict(wrt=["x", "y"]),
        faults=[("dy = s * du + c * dv", "dy = s * du - c * dv")],
    ),
    "givens": dict(
        subject=(givens,),
        inputs=lambda rng, n, m: dict(
            x=rng.standard_normal(n),
            y=rng.standard_normal(n),
            c=float(np.cos(a := rng.uniform(0, 6))),
            s=float(np.sin(a)),
        ),
        options=dict(cost=0),
        faults=[('"y": y / root', '"y": x / root')],
    ),
    "rotary": dict(
        subject=(rotary, rotary_backward),
        inputs=lambda rng, n, m: dict(
            q=rng.standard_normal((m, 2 * n)), cos=np.cos(a := rng.uniform(0, 6, (m, n))), sin=np.sin(a)
        ),
        faults=[("dq=4 * q", "dq=2 * q")],
    ),
}
