"""Linear classifier with the squared hinge loss.

Z = W X + b,  M = max(0, 1 - Y Z),  J = mean(M^2);  W (1, n), b (1, 1), X (n, m), Y (1, m) of -1 and 1.

The L2-loss support vector machine: Fan et al., LIBLINEAR, 2008.
"""

import numpy as np

from cases.fault import Fault

SHAPES = "W: 1 n; b: 1 1; X: n m; Y: 1 m"


def inputs(seed: int = 0, n: int = 3, m: int = 12) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return dict(
        W=rng.standard_normal((1, n)),
        b=0.3 * rng.standard_normal((1, 1)),
        X=2 * rng.standard_normal((n, m)),
        Y=2 * rng.permutation(np.arange(m) % 2.0)[None] - 1,
    )


def forward(W, b, X, Y):
    Z = W @ X + b
    M = np.maximum(0, 1 - Y * Z)
    J = np.mean(M**2)
    return dict(Z=Z, M=M, J=J)


def backward(X, Y, Z, M):
    dM = 2 * M / X.shape[1]
    dZ = -Y * dM * (M > 0)
    dW = dZ @ X.T
    db = dZ.sum(axis=1, keepdims=True)
    return dict(dM=dM, dZ=dZ, dW=dW, db=db)


FAULTS = (
    Fault("dM", "2 * M", "M", {"factor"}),
    Fault("dM", "2 * M / X.shape[1]", "2 * M", {"factor"}),
    Fault("dM", "2 * M", "2 * (1 - Y * Z)", {"wrong_variable", "missing_derivative"}),
    Fault("dZ", "-Y * dM", "Y * dM", {"sign"}),
    Fault("dZ", "-Y * dM", "-Z * dM", {"wrong_variable"}),
    Fault("dZ", "-Y * dM", "-dM", {"missing_derivative"}),
    Fault("dW", "dZ @ X.T", "dM @ X.T", {"missing_derivative", "wrong_variable"}),
    Fault("dW", "dZ @ X.T", "dZ @ X.T; dW[0, 0] *= 0.999", {"single_entry"}),
    Fault("db", "dZ.sum(axis=1, keepdims=True)", "dZ", {"unsummed_axis", "shape"}),
    Fault("db", "dZ.sum(axis=1, keepdims=True)", "dZ.mean(axis=1, keepdims=True)", {"factor"}),
)
