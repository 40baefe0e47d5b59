"""One step of a gated recurrent unit, squared error.

Z = s(P), P = Wz X + Uz H + bz;  R = s(Q), Q = Wr X + Ur H + br;  C = tanh S, S = Wc X + Uc G + bc, G = R H;
N = (1 - Z) H + Z C;  J = 1/(2hm) sum (N - Y)^2;  s the sigmoid;
X (n, m), H, Y (h, m), W. (h, n), U. (h, h), b. (h, 1).

Cho et al., 2014. H is used four times.
"""

import numpy as np

from cases.fault import Fault

SHAPES = "X: n m; H: h m; Y: h m; Wz: h n; Uz: h h; bz: h 1; Wr: h n; Ur: h h; br: h 1; Wc: h n; Uc: h h; bc: h 1"


def inputs(seed: int = 0, n: int = 2, h: int = 3, m: int = 4) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    gates = {
        name + gate: rng.standard_normal(shape)
        for gate in "zrc"
        for name, shape in (("W", (h, n)), ("U", (h, h)), ("b", (h, 1)))
    }
    return dict(X=rng.standard_normal((n, m)), H=rng.standard_normal((h, m)), Y=rng.standard_normal((h, m)), **gates)


def sigmoid(Z):
    return 1 / (1 + np.exp(-Z))


def forward(X, H, Y, Wz, Uz, bz, Wr, Ur, br, Wc, Uc, bc):
    P = Wz @ X + Uz @ H + bz
    Z = sigmoid(P)
    Q = Wr @ X + Ur @ H + br
    R = sigmoid(Q)
    G = R * H
    S = Wc @ X + Uc @ G + bc
    C = np.tanh(S)
    N = (1 - Z) * H + Z * C
    J = np.mean((N - Y) ** 2) / 2
    return dict(P=P, Z=Z, Q=Q, R=R, G=G, S=S, C=C, N=N, J=J)


def backward(X, H, Y, Wz, Uz, Wr, Ur, Wc, Uc, P, Z, R, G, C, N):
    dN = (N - Y) / Y.size
    dC = dN * Z
    dS = dC * (1 - C**2)
    dG = Uc.T @ dS
    dR = dG * H
    dQ = dR * R * (1 - R)
    dZ = dN * (C - H)
    dP = dZ * Z * (1 - Z)
    dWc = dS @ X.T
    dUc = dS @ G.T
    dbc = dS.sum(axis=1, keepdims=True)
    dWr = dQ @ X.T
    dUr = dQ @ H.T
    dbr = dQ.sum(axis=1, keepdims=True)
    dWz = dP @ X.T
    dUz = dP @ H.T
    dbz = dP.sum(axis=1, keepdims=True)
    dX = Wc.T @ dS + Wr.T @ dQ + Wz.T @ dP
    dH = dN * (1 - Z) + dG * R + Ur.T @ dQ + Uz.T @ dP
    return dict(
        dN=dN, dC=dC, dS=dS, dG=dG, dR=dR, dQ=dQ, dZ=dZ, dP=dP, dWc=dWc, dUc=dUc, dbc=dbc, dWr=dWr, dUr=dUr, dbr=dbr,
        dWz=dWz, dUz=dUz, dbz=dbz, dX=dX, dH=dH,
    )  # fmt: skip


FAULTS = (
    Fault("dC", "dN * Z", "dN", {"missing_derivative"}),
    Fault("dS", "1 - C**2", "1 - C", {"wrong_variable", "missing_derivative"}),
    Fault("dS", "(1 - C**2)", "(1 - C**2) ** 2", {"doubled_derivative"}),
    Fault("dG", "Uc.T @ dS", "Uc @ dS", {"transpose"}),
    Fault("dR", "dG * H", "dG * G", {"wrong_variable"}),
    Fault("dQ", "dR * R * (1 - R)", "dR", {"missing_derivative"}),
    Fault("dZ", "dN * (C - H)", "dN * (H - C)", {"sign"}),
    Fault("dZ", "dN * (C - H)", "dN * C", {"dropped_term"}),
    Fault("dP", "dZ * Z * (1 - Z)", "dZ * sigmoid(Z) * (1 - sigmoid(Z))", {"wrong_variable"}),
    Fault("dUc", "dS @ G.T", "dS @ H.T", {"wrong_variable"}),
    Fault("dUr", "dQ @ H.T", "H @ dQ.T", {"transpose"}),
    Fault("dWz", "dP @ X.T", "dP @ X.T.astype(np.float32)", {"low_precision"}),
    Fault("dbz", "dP.sum(axis=1, keepdims=True)", "dP.mean(axis=1, keepdims=True)", {"factor"}),
    Fault("dX", "Wc.T @ dS + Wr", "Wr", {"dropped_term", "overwritten"}),
    Fault("dH", "dN * (1 - Z) + dG * R", "dN * (1 - Z) + dG", {"missing_derivative"}),
    Fault("dH", "dN * (1 - Z) +", "dN * (1 + Z) +", {"wrong_sign_term"}),
    Fault("dH", " + Uz.T @ dP", "", {"dropped_term"}),
)
