"""A bag of embeddings: rows of a table gathered and summed, then one sigmoid neuron with cross-entropy.

B = sum_l E[K_l],  Z = B W + b,  A = 1 / (1 + e^-Z),  J = -mean(Y log A + (1 - Y) log(1 - A));
E (v, d), K (m, 4) integers 0 .. v-1, W (d, 1), b (1,), B (m, d), Y (m, 1).

A row gathered several times receives the sum of its adjoints: dE is a scatter that adds.
"""

import numpy as np

from cases.fault import Fault

SHAPES = "E: v d; K: m 4; W: d 1; b: 1; Y: m 1"


def inputs(seed: int = 0, v: int = 6, d: int = 3, m: int = 5) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return dict(
        E=rng.standard_normal((v, d)),
        K=rng.integers(0, v, (m, 4)),
        W=rng.standard_normal((d, 1)),
        b=rng.standard_normal(1),
        Y=rng.permutation(np.arange(m) % 2.0)[:, None],
    )


def forward(E, K, W, b, Y):
    B = E[K].sum(axis=1)
    Z = B @ W + b
    A = 1 / (1 + np.exp(-Z))
    J = -np.mean(Y * np.log(A) + (1 - Y) * np.log(1 - A))
    return dict(B=B, Z=Z, A=A, J=J)


def backward(E, K, W, Y, B, A):
    dZ = (A - Y) / len(Y)
    dW = B.T @ dZ
    db = dZ.sum(axis=0)
    dB = dZ @ W.T
    dE = np.zeros_like(E)
    np.add.at(dE, K, dB[:, None])
    return dict(dZ=dZ, dW=dW, db=db, dB=dB, dE=dE)


FAULTS = (
    Fault("dZ", "(A - Y) / len(Y)", "A - Y", {"factor"}),
    Fault("dZ", "(A - Y) / len(Y)", "(A - Y) * A * (1 - A) / len(Y)", {"doubled_derivative"}),
    Fault("dW", "B.T @ dZ", "dZ.T @ B", {"transpose", "shape"}),
    Fault("db", "dZ.sum(axis=0)", "dZ.mean(axis=0)", {"factor"}),
    Fault("dB", "dZ @ W.T", "-dZ @ W.T", {"sign"}),
    Fault("dE", "np.add.at(dE, K, dB[:, None])", "dE[K] = dB[:, None]", {"overwritten", "dropped_term"}),
    Fault("dE", "np.add.at(dE, K, dB[:, None])", "dE[K] += dB[:, None]", {"overwritten", "dropped_term"}),
    Fault("dE", "np.add.at(dE, K,", "np.add.at(dE, K - 1,", {"off_by_one"}),
    Fault(
        "dE", "np.add.at(dE, K, dB[:, None])", "np.add.at(dE, K[:, 1:], dB[:, None])", {"dropped_term", "off_by_one"}
    ),
    Fault("dE", "dB[:, None])", "dB[:, None] / K.shape[1])", {"factor"}),
)
