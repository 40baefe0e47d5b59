"""Pieces of one array, whose lengths add up to its own."""

import numpy as np


def means_forward(x, lengths):
    pieces = np.split(x, np.cumsum(lengths)[:-1])
    means = np.array([piece.mean() for piece in pieces])
    return np.tanh(means), (means, lengths)


def means_backward(dout, cache):
    means, lengths = cache
    dmeans = dout * (1 - np.tanh(means) ** 2)
    return np.repeat(dmeans / lengths, lengths), None


def sums(X, sizes):
    """Squares of sums of rows; the last piece takes what is left."""
    ends = np.cumsum(sizes)
    starts = ends - sizes
    totals = np.stack(
        [X[a : b if k + 1 < len(sizes) else None].sum(axis=0) for k, (a, b) in enumerate(zip(starts, ends))]
    )
    cost = np.sum(totals**2)
    return cost, {"X": 2 * np.repeat(totals, sizes, axis=0)}


def pooled(x, offsets):
    """offsets[k] to offsets[k + 1] is piece k, from 0 to the length of x."""
    z = np.array([x[a:b].sum() for a, b in zip(offsets[:-1], offsets[1:])])
    J = np.sum(np.cos(z)) + 0.0 * x[0]
    return dict(z=z, J=J)


def pooled_backward(offsets, z):
    dz = -np.sin(z)
    return dict(dz=dz, dx=np.repeat(dz, np.diff(offsets)))


def split(rng, n, least=1):
    """Lengths of pieces that add up to n."""
    pieces = int(rng.integers(1, n + 1))
    if least:
        cuts = np.sort(rng.permutation(np.arange(1, n))[: pieces - 1])
    else:
        cuts = np.sort(rng.integers(0, n + 1, pieces - 1))
    return np.diff(np.concatenate([[0], cuts, [n]])).astype(int)


PROGRAMS = {
    "means": dict(
        subject=(means_forward, means_backward),
        inputs=lambda rng, n, m: dict(x=rng.standard_normal(n), lengths=split(rng, n)),
        options=dict(wrt=["x"]),
        faults=[("np.repeat(dmeans / lengths, lengths)", "np.repeat(dmeans * 3, lengths)")],
    ),
    "sums": dict(
        subject=(sums,),
        inputs=lambda rng, n, m: dict(X=rng.standard_normal((n, m)), sizes=split(rng, n, least=0)),
        options=dict(cost=0),
        faults=[('"X": 2 * np.repeat', '"X": np.repeat')],
    ),
    "offsets": dict(
        subject=(pooled, pooled_backward),
        inputs=lambda rng, n, m: dict(
            x=rng.standard_normal(n), offsets=np.concatenate([[0], np.cumsum(split(rng, n, least=0))])
        ),
        faults=[("dz = -np.sin(z)", "dz = np.sin(z)")],
    ),
}
