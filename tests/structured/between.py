"""True or False, and numbers between 0 and 1."""

import numpy as np


def entropy_forward(p, y):
    """Probabilities are held off 0 and 1, where there is no logarithm."""
    q = np.clip(p, 1e-9, 1 - 1e-9)
    return -(y * np.log(q) + (1 - y) * np.log(1 - q)), (p, y)


def entropy_backward(dout, cache):
    p, y = cache
    return dout * (p - y) / (p * (1 - p)), None


def leaky(x, up, down):
    """up and down are the two halves of a table: what is not up is down."""
    y = np.where(up, 2 * x, 0) + np.where(down, 0.1 * x, 0)
    J = np.sum(y**3)
    return dict(y=y, J=J)


def leaky_backward(up, y):
    dy = 3 * y**2
    return dict(dy=dy, dx=dy * np.where(up, 2, 0.1))


def dropped(x, keep, rate):
    """rate is at most 1 anyway."""
    y = x * keep / np.minimum(rate, 1)
    cost = np.sum(np.tanh(y))
    return cost, {"x": (1 - np.tanh(y) ** 2) * keep / rate}


def attend_forward(Z, seen):
    """Rows of weights on what is seen, which is something in each row."""
    E = np.exp(Z) * seen
    total = E.sum(axis=1, keepdims=True)
    A = np.where(total > 0, E / np.where(total > 0, total, 1), 1.0)
    return A, A


def attend_backward(dA, A):
    return A * (dA - np.sum(A * dA, axis=1, keepdims=True)), None


def mean_log(p, q):
    """Of probabilities, with respect to all of them."""
    cost = np.sum(np.abs(p) * np.log(np.abs(p) / q)) + np.abs(1 - q).sum()
    return cost, (np.log(p / q) + 1, -p / q - 1)


def table(rng, shape):
    return rng.random(shape) < rng.choice([0.3, 0.5, 0.8])


def something(rng, n, m):
    seen = table(rng, (n, m))
    seen[np.arange(n), rng.integers(0, m, n)] = True
    return seen


PROGRAMS = {
    "entropy": dict(
        subject=(entropy_forward, entropy_backward),
        inputs=lambda rng, n, m: dict(p=rng.uniform(0.02, 0.98, n), y=rng.integers(0, 2, n)),
        options=dict(wrt=["p"]),
        faults=[("dout * (p - y)", "dout * (p + y)")],
    ),
    "leaky": dict(
        subject=(leaky, leaky_backward),
        inputs=lambda rng, n, m: dict(x=rng.standard_normal((n, m)), up=(up := table(rng, (n, m))), down=~up),
        faults=[("dx=dy * np.where(up, 2, 0.1)", "dx=dy * np.where(up, 2, 0)")],
    ),
    "dropped": dict(
        subject=(dropped,),
        inputs=lambda rng, n, m: dict(
            x=rng.standard_normal((n, m)), keep=something(rng, n, m), rate=float(rng.uniform(0.3, 0.95))
        ),
        options=dict(cost=0),
        faults=[("* keep / rate}", "* keep}")],
    ),
    "attention": dict(
        subject=(attend_forward, attend_backward),
        inputs=lambda rng, n, m: dict(Z=rng.standard_normal((n, m)), seen=something(rng, n, m)),
        options=dict(wrt=["Z"]),
        faults=[("A * (dA - np.sum(A * dA, axis=1, keepdims=True))", "A * (dA - np.sum(A * dA))")],
    ),
    "divergence": dict(
        subject=(mean_log,),
        inputs=lambda rng, n, m: dict(p=rng.uniform(0.05, 0.95, n), q=rng.uniform(0.05, 0.95, n)),
        options=dict(cost=0),
        faults=[("-p / q - 1)", "-p / q + 1)")],
    ),
}
