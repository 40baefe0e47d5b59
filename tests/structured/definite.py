"""Positive definite matrices: covariances and kernels, of which one takes roots, logarithms and no transposes."""

import numpy as np


def likelihood(m, K, Y):
    """Of a Gaussian."""
    L = np.linalg.cholesky(K)
    R = Y - m[:, None]
    white = np.linalg.solve(L, R)
    loss = 0.5 * np.sum(white**2) + Y.shape[1] * np.sum(np.log(np.diag(L)))
    dm = -np.linalg.solve(K, R).sum(axis=1)
    return loss, dm


def entropy_forward(S, C):
    J = np.linalg.slogdet(S)[1] - np.trace(S @ C)
    return dict(J=J)


def entropy_backward(S, C):
    return dict(dS=np.linalg.inv(S) - C)


class Distance:
    """sqrt(r' P r) of rows."""

    def forward(self, x, center, P):
        self.r = x - center
        self.P = P
        self.out = np.sqrt(np.sum((self.r @ P) * self.r, axis=1) + 1)
        return self.out

    def backward(self, dout):
        dx = (dout / self.out)[:, None] * (self.r @ self.P)
        return dx, -dx.sum(axis=0), None


def whiten_forward(S, x):
    """S^(-1/2) x, by the eigenvalues."""
    values, vectors = np.linalg.eigh(S)
    root = vectors @ np.diag(1 / np.sqrt(values)) @ vectors.T
    return root @ x, root


def whiten_backward(dout, root):
    return None, root @ dout


def definite(rng, n):
    if rng.random() < 0.2:
        A = rng.integers(-1, 2, (n, n))
        return (A @ A.T + np.eye(n)).astype(float)
    A = rng.standard_normal((n, n + 1))
    S = A @ A.T / n + 0.1 * np.eye(n)
    S = (S + S.T) / 2
    if rng.random() < 0.3:  # correlations
        S = S / np.sqrt(np.outer(np.diag(S), np.diag(S)))
        np.fill_diagonal(S, 1)
        S = (S + S.T) / 2
    return S


PROGRAMS = {
    "likelihood": dict(
        subject=(likelihood,),
        inputs=lambda rng, n, m: dict(m=rng.standard_normal(n), K=definite(rng, n), Y=rng.standard_normal((n, m))),
        options=dict(cost=0, wrt=["m"]),
        faults=[("dm = -np.linalg.solve(K, R)", "dm = -np.linalg.solve(L, R)")],
    ),
    "entropy": dict(
        subject=(entropy_forward, entropy_backward),
        inputs=lambda rng, n, m: dict(S=definite(rng, n), C=definite(rng, n)),
        faults=[("np.linalg.inv(S) - C", "np.linalg.inv(S) + C")],
    ),
    "distance": dict(
        subject=(Distance(),),
        inputs=lambda rng, n, m: dict(x=rng.standard_normal((m, n)), center=rng.standard_normal(n), P=definite(rng, n)),
        options=dict(wrt=["x", "center"]),
        faults=[("return dx, -dx.sum(axis=0), None", "return dx, dx.sum(axis=0), None")],
    ),
    "whitening": dict(
        subject=(whiten_forward, whiten_backward),
        inputs=lambda rng, n, m: dict(S=definite(rng, n), x=rng.standard_normal(n)),
        options=dict(wrt=["x"]),
        faults=[("return None, root @ dout", "return None, root @ root @ dout")],
    ),
}
