"""Numbers in order: knots, times, and the ids of segments that follow each other."""

import numpy as np


def integral(t, y):
    """By trapezoids."""
    widths = np.abs(np.diff(t))
    means = (y[1:] + y[:-1]) / 2
    J = np.sum(widths * means**2)
    dmeans = 2 * np.diff(t) * means
    dy = np.zeros_like(y)
    dy[1:] += dmeans / 2
    dy[:-1] += dmeans / 2
    return J, dy


def spread_forward(x):
    return np.max(x) ** 2 - np.min(x) * np.max(x), x


def spread_backward(dout, x):
    low, high = x[0], x[-1]
    dx = np.zeros_like(x)
    dx[-1] += dout * (2 * high - low)
    dx[0] += -dout * high
    return dx


def segments_forward(x, ids, k):
    totals = np.zeros((k, x.shape[1]), x.dtype)
    np.add.at(totals, ids, x)
    J = np.sum(totals**3)
    return dict(totals=totals, J=J)


def segments_backward(ids, k, totals):
    dtotals = 3 * totals**2
    sizes = np.bincount(ids, minlength=k)
    return dict(dtotals=dtotals, dx=np.repeat(dtotals, sizes, axis=0))


def survival(risk, times, event):
    """Cox's partial likelihood, the longest times first: who is at risk stands before."""
    at_risk = times[None, :] >= times[:, None]
    total = np.sum(np.where(at_risk, np.exp(risk)[None, :], 0), axis=1)
    loss = np.sum(event * (np.log(total) - risk))
    share = np.cumsum((event / np.cumsum(np.exp(risk)))[::-1])[::-1]
    return loss, {"risk": np.exp(risk) * share - event}


def knots(rng, n):
    t = np.sort(rng.standard_normal(n))
    return t if rng.random() < 0.7 else np.sort(rng.permutation(20)[:n]).astype(float)


PROGRAMS = {
    "trapezoids": dict(
        subject=(integral,),
        inputs=lambda rng, n, m: dict(t=knots(rng, n + 1), y=rng.standard_normal(n + 1)),
        options=dict(cost=0, wrt=["y"]),
        faults=[("dy[:-1] += dmeans / 2", "dy[:-1] -= dmeans / 2")],
    ),
    "spread": dict(
        subject=(spread_forward, spread_backward),
        inputs=lambda rng, n, m: dict(x=knots(rng, n)),
        faults=[("dx[0] += -dout * high", "dx[0] += -dout * low")],
    ),
    "segments": dict(
        subject=(segments_forward, segments_backward),
        inputs=lambda rng, n, m: dict(x=rng.standard_normal((n, m)), ids=np.sort(rng.integers(0, 3, n)), k=3),
        faults=[("dtotals = 3 * totals**2", "dtotals = 2 * totals**2")],
    ),
    "survival": dict(
        subject=(survival,),
        inputs=lambda rng, n, m: dict(
            risk=rng.standard_normal(n), times=-np.sort(-rng.random(n) * 5), event=rng.integers(0, 2, n)
        ),
        options=dict(cost=0),
        faults=[("np.exp(risk) * share - event", "np.exp(risk) * share + event")],
    ),
}
