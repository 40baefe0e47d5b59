"""Cosine similarity of paired columns, against a target.

D = sum_n U V,  P = |U|,  Q = |V|,  C = D / (P Q),  J = 1/(2m) sum (C - Y)^2;  U, V (n, m), D, P, Q, C, Y (m,).

The quotient rule: dP = -dC D / (P^2 Q); |U|' = U / |U|. U and V are each used twice.
"""

import numpy as np

from cases.fault import Fault

SHAPES = "U: n m; V: n m; Y: m"


def inputs(seed: int = 0, n: int = 3, m: int = 5) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return dict(U=rng.standard_normal((n, m)), V=rng.standard_normal((n, m)), Y=rng.uniform(-1, 1, m))


def forward(U, V, Y):
    D = np.sum(U * V, axis=0)
    P = np.sqrt(np.sum(U**2, axis=0))
    Q = np.sqrt(np.sum(V**2, axis=0))
    C = D / (P * Q)
    J = np.mean((C - Y) ** 2) / 2
    return dict(D=D, P=P, Q=Q, C=C, J=J)


def backward(U, V, Y, D, P, Q, C):
    dC = (C - Y) / Y.size
    dD = dC / (P * Q)
    dP = -dC * D / (P**2 * Q)
    dQ = -dC * D / (P * Q**2)
    dU = dD * V + dP * U / P
    dV = dD * U + dQ * V / Q
    return dict(dC=dC, dD=dD, dP=dP, dQ=dQ, dU=dU, dV=dV)


FAULTS = (
    Fault("dC", "(C - Y) / Y.size", "C - Y", {"factor"}),
    Fault("dC", "C - Y", "C + Y", {"wrong_sign_term"}),
    Fault("dD", "dC / (P * Q)", "dC", {"missing_derivative"}),
    Fault("dP", "-dC * D / (P**2 * Q)", "dC * D / (P**2 * Q)", {"sign"}),
    Fault("dQ", "D / (P * Q**2)", "D / (P**2 * Q)", {"wrong_variable"}),
    Fault("dU", "dD * V +", "dD * U +", {"wrong_variable"}),
    Fault("dU", "dD * V + dP", "dP", {"overwritten", "dropped_term"}),
    Fault("dU", "dP * U / P", "dP * U", {"missing_derivative"}),
    Fault("dV", " + dQ * V / Q", "", {"dropped_term"}),
    Fault("dV", "+ dQ * V / Q", "+ 2 * dQ * V / Q", {"doubled_term"}),
    Fault("dV", "dD * U +", "dD * U -", {"wrong_sign_term"}),
)
