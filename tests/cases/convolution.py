"""Convolution as a matrix product (im2col by an index gather), ReLU, squared error.

C = the 3 x 3 patches of X,  Z = C F' + b,  A = max(Z, 0),  J = 1/(2 m p f) sum (A - Y)^2, p = (6 - 2)(5 - 2) positions;
X (m, 6, 5), F (f, 3, 3), b (f,), C (m, p, 9), Y (m, p, f).

Chellapilla, Puri and Simard, 2006. Patches overlap, so dX is a scatter that adds.
"""

import numpy as np

from cases.fault import Fault

SHAPES = "X: m 6 5; F: f 3 3; b: f; Y: m 12 f"


def inputs(seed: int = 0, m: int = 2, f: int = 2) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return dict(
        X=rng.standard_normal((m, 6, 5)),
        F=rng.standard_normal((f, 3, 3)),
        b=rng.standard_normal(f),
        Y=rng.standard_normal((m, 12, f)),
    )


def patches(height, width):
    """Flat indices (p, 9) of every 3 x 3 patch of an image."""
    i, j = np.indices((height - 2, width - 2)).reshape(2, -1, 1)
    k, l = np.indices((3, 3)).reshape(2, 1, -1)  # noqa: E741
    return (i + k) * width + j + l


def forward(X, F, b, Y):
    C = X.reshape(len(X), -1)[:, patches(6, 5)]
    Z = C @ F.reshape(len(F), 9).T + b
    A = np.maximum(Z, 0)
    J = np.mean((A - Y) ** 2) / 2
    return dict(C=C, Z=Z, A=A, J=J)


def backward(X, F, Y, C, Z, A):
    dA = (A - Y) / Y.size
    dZ = dA * (Z > 0)
    dF = np.einsum("mpf,mpk->fk", dZ, C).reshape(F.shape)
    db = dZ.sum(axis=(0, 1))
    dC = dZ @ F.reshape(len(F), 9)
    dX = np.zeros_like(X)
    np.add.at(dX.reshape(len(X), -1), (slice(None), patches(6, 5)), dC)
    return dict(dA=dA, dZ=dZ, dF=dF, db=db, dC=dC, dX=dX)


FAULTS = (
    Fault("dA", "(A - Y) / Y.size", "(A - Y) / len(Y)", {"factor"}),
    Fault("dZ", "dA * (Z > 0)", "dA", {"missing_derivative"}),
    Fault("dZ", "Z > 0", "dA > 0", {"wrong_variable"}),
    Fault("dF", "dZ, C).reshape(F.shape)", "dZ, C).reshape(F.shape).transpose(0, 2, 1)", {"transpose"}),
    Fault("dF", "dZ, C)", "dA, C)", {"wrong_variable", "missing_derivative"}),
    Fault("dF", "dZ, C)", "dZ[1:], C[1:])", {"off_by_one", "dropped_term"}),
    Fault("db", "dZ.sum(axis=(0, 1))", "dZ.mean(axis=(0, 1))", {"factor"}),
    Fault("db", "dZ.sum(axis=(0, 1))", "dZ.sum(axis=1)", {"unsummed_axis", "shape"}),
    Fault("dC", "dZ @ F", "-dZ @ F", {"sign"}),
    Fault(
        "dX",
        "np.add.at(dX.reshape(len(X), -1), (slice(None), patches(6, 5)), dC)",
        "dX.reshape(len(X), -1)[:, patches(6, 5)] = dC",
        {"overwritten", "dropped_term"},
    ),
    Fault("dX", "patches(6, 5)), dC", "(patches(6, 5) + 1) % 30), dC", {"off_by_one"}),
)
