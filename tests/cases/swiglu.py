"""A gated layer (SwiGLU), squared error.

G = W X,  S = 1 / (1 + e^-G),  U = V X,  H = G S U,  O = P H,  J = 1/(2km) sum (O - Y)^2;
W, V (h, n), P (k, h), X (n, m), Y (k, m).

Shazeer, 2020; d(G S)/dG = S + G S (1 - S). S has no adjoint of its own: G is used directly and through S.
"""

import numpy as np

from cases.fault import Fault

SHAPES = "W: h n; V: h n; P: k h; X: n m; Y: k m"


def inputs(seed: int = 0, n: int = 3, h: int = 4, k: int = 2, m: int = 5) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return dict(
        W=rng.standard_normal((h, n)),
        V=rng.standard_normal((h, n)),
        P=rng.standard_normal((k, h)),
        X=rng.standard_normal((n, m)),
        Y=rng.standard_normal((k, m)),
    )


def forward(W, V, P, X, Y):
    G = W @ X
    S = 1 / (1 + np.exp(-G))
    U = V @ X
    H = G * S * U
    O = P @ H  # noqa: E741
    J = np.mean((O - Y) ** 2) / 2
    return dict(G=G, S=S, U=U, H=H, O=O, J=J)


def backward(W, V, P, X, Y, G, S, U, H, O):  # noqa: E741
    dO = (O - Y) / Y.size
    dP = dO @ H.T
    dH = P.T @ dO
    dU = dH * G * S
    dG = dH * U * (S + G * S * (1 - S))
    dV = dU @ X.T
    dW = dG @ X.T
    dX = W.T @ dG + V.T @ dU
    return dict(dO=dO, dP=dP, dH=dH, dU=dU, dG=dG, dV=dV, dW=dW, dX=dX)


FAULTS = (
    Fault("dO", "(O - Y) / Y.size", "2 * (O - Y) / Y.size", {"factor"}),
    Fault("dP", "dO @ H.T", "dO @ G.T", {"wrong_variable"}),
    Fault("dH", "P.T @ dO", "-P.T @ dO", {"sign"}),
    Fault("dU", "dH * G * S", "dH * G", {"missing_derivative"}),
    Fault("dU", "dH * G * S", "dH * G * S**2", {"doubled_derivative"}),
    Fault("dG", "(S + G * S * (1 - S))", "S", {"dropped_term"}),
    Fault("dG", "(S + G * S * (1 - S))", "G * S * (1 - S)", {"dropped_term", "overwritten"}),
    Fault("dG", "S + G * S * (1 - S)", "S - G * S * (1 - S)", {"wrong_sign_term"}),
    Fault("dG", "dH * U * (", "dH * (", {"missing_derivative"}),
    Fault("dV", "dU @ X.T", "dG @ X.T", {"wrong_variable"}),
    Fault("dW", "dG @ X.T", "dG @ X.T; dW[-1, 0] += 1e-5", {"single_entry"}),
    Fault("dX", "W.T @ dG + V.T @ dU", "V.T @ dU", {"overwritten", "dropped_term"}),
)
