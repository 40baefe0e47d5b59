"""A variational autoencoder's cost at the bottleneck: reconstruction, and the KL divergence to the standard normal.

U = F X + c,  S = G X + d (mean and log-variance),  T = U + E e^(S/2),
J = 1/(2m) (sum (T - Y)^2 + sum (e^S + U^2 - 1 - S));  F, G (k, n), c, d (k, 1), X (n, m), E, Y (k, m); E is the noise.

Kingma and Welling, 2014, appendix B. U and S are each used by the reconstruction and by the divergence.
"""

import numpy as np

from cases.fault import Fault

SHAPES = "F: k n; c: k 1; G: k n; d: k 1; X: n m; E: k m; Y: k m"


def inputs(seed: int = 0, n: int = 4, k: int = 3, m: int = 5) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return dict(
        F=rng.standard_normal((k, n)),
        c=rng.standard_normal((k, 1)),
        G=rng.standard_normal((k, n)),
        d=rng.standard_normal((k, 1)),
        X=rng.standard_normal((n, m)),
        E=rng.standard_normal((k, m)),
        Y=rng.standard_normal((k, m)),
    )


def forward(F, c, G, d, X, E, Y):
    U = F @ X + c
    S = G @ X + d
    T = U + E * np.exp(S / 2)
    divergence = np.sum(np.exp(S) + U**2 - 1 - S) / 2
    J = (np.sum((T - Y) ** 2) / 2 + divergence) / X.shape[1]
    return dict(U=U, S=S, T=T, J=J)


def backward(F, G, X, E, Y, U, S, T):
    m = X.shape[1]
    dT = (T - Y) / m
    dU = dT + U / m
    dS = dT * E * np.exp(S / 2) / 2 + (np.exp(S) - 1) / (2 * m)
    dF = dU @ X.T
    dc = dU.sum(axis=1, keepdims=True)
    dG = dS @ X.T
    dd = dS.sum(axis=1, keepdims=True)
    dX = F.T @ dU + G.T @ dS
    return dict(dT=dT, dU=dU, dS=dS, dF=dF, dc=dc, dG=dG, dd=dd, dX=dX)


FAULTS = (
    Fault("dT", "(T - Y) / m", "T - Y", {"factor"}),
    Fault("dU", "dT + U / m", "dT", {"dropped_term"}),
    Fault("dU", "dT + U / m", "U / m", {"overwritten", "dropped_term"}),
    Fault("dU", "dT + U / m", "dT + T / m", {"wrong_variable"}),
    Fault("dS", "dT * E * np.exp(S / 2) / 2 +", "dT * E / 2 +", {"missing_derivative"}),
    Fault("dS", "np.exp(S) - 1", "np.exp(S) + 1", {"wrong_sign_term"}),
    Fault("dS", "(np.exp(S) - 1)", "np.exp(S)", {"dropped_term"}),
    Fault("dS", "dT * E * np.exp(S / 2) / 2 +", "dT * E * np.exp(S / 2) +", {"doubled_term"}),
    Fault("dG", "dS @ X.T", "dU @ X.T", {"wrong_variable"}),
    Fault("dX", "F.T @ dU + G.T @ dS", "F.T @ dU", {"dropped_term"}),
    Fault("dd", "dS.sum(axis=1, keepdims=True)", "-dS.sum(axis=1, keepdims=True)", {"sign"}),
    Fault("dc", "dU.sum(axis=1, keepdims=True)", "dU.sum(axis=1)", {"shape"}),
)
