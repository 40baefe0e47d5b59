"""Code as people write it that was once judged wrongly, or refused for no reason."""

import math
import subprocess
import sys

import numpy as np
import pytest

from handgrad import UsageError
from handgrad.proof import check, check_file
from handgrad.proof.backends import prove_backend


def pooled(factor):
    def forward(X):
        M = X.max(axis=1, keepdims=True)
        E = np.exp(M)
        J = E.sum()
        return dict(M=M, E=E, J=J)

    def backward(X, M, E):
        dE = np.ones_like(E)
        dM = dE * E
        return dict(dE=dE, dM=dM, dX=factor * dM * (X == M))

    return forward, backward


@pytest.mark.parametrize("factor", [1, 3, -1, 1.01])
def test_a_mask_that_compares_an_input_with_what_was_made_of_it(factor, rng):
    report = check(*pooled(factor), dict(X=rng.standard_normal((3, 4))))
    assert report.ok == (factor == 1), report
    assert report.first_wrong == (None if factor == 1 else "dX")


@pytest.mark.parametrize("factor", [1, 7])
def test_a_clip_by_comparison(factor, rng):
    def forward(A):
        C = np.clip(A, -0.5, 0.5)
        J = np.sum(C**2) / 2
        return dict(C=C, J=J)

    def backward(A, C):
        return dict(dC=C, dA=factor * C * (C == A))

    report = check(forward, backward, dict(A=rng.standard_normal((3, 4))))
    assert report.first_wrong == (None if factor == 1 else "dA"), report


def untraceable(W, X, Y):
    Z = W @ X
    A = 1 / (1 + np.exp(-Z))
    J = -np.mean(Y * np.log(A) + (1 - Y) * np.log(1 - A))
    float(J)
    return dict(Z=Z, A=A, J=J)


@pytest.mark.parametrize("seed", [3, 8, *range(20, 40)])
def test_rounding_within_a_forward_that_cannot_be_traced_is_no_fault(seed):
    def backward(X, Y, A):
        dZ = (A - Y) / Y.size
        return dict(dZ=dZ, dW=dZ @ X.T)

    rng = np.random.default_rng(seed)
    inputs = dict(W=rng.normal(size=(2, 4)), X=rng.normal(size=(4, 8)), Y=rng.integers(0, 2, (2, 8)))
    report = check(untraceable, backward, inputs)
    assert report.ok, report


def test_and_a_fault_in_it_is_found(rng):
    inputs = dict(W=rng.normal(size=(2, 4)), X=rng.normal(size=(4, 8)), Y=rng.integers(0, 2, (2, 8)))
    report = check(untraceable, lambda A, Y: dict(dZ=(A - Y) / Y.shape[1]), inputs)
    assert report.first_wrong == "dZ"


class Net:
    """Keeps what backward needs, as layers do."""

    def __init__(self, factor):
        self.factor = factor

    def forward(self, W, X, Y):
        self.X, self.A = X, np.tanh(W @ X)
        return dict(A=self.A, J=np.mean((self.A - Y) ** 2))

    def backward(self, W, Y):
        dA = 2 * (self.A - Y) / self.A.size
        return dict(dA=dA, dW=self.factor * (dA * (1 - self.A**2)) @ self.X.T)


@pytest.mark.parametrize("factor", [1, 2])
def test_a_layer_that_remembers(factor, rng):
    net = Net(factor)
    inputs = dict(W=rng.normal(size=(2, 3)), X=rng.normal(size=(3, 5)), Y=rng.normal(size=(2, 5)))
    report = check(net.forward, net.backward, inputs)
    assert report.first_wrong == (None if factor == 1 else "dW"), report


cache = {}


def test_a_module_that_remembers(rng):
    def forward(W, X):
        cache["Z"] = W @ X
        J = np.sum(np.sin(cache["Z"]))
        return dict(J=J)

    def backward(W, X):
        return dict(dW=np.cos(cache["Z"]) @ X.T)

    assert check(forward, backward, dict(W=rng.normal(size=(2, 3)), X=rng.normal(size=(3, 5)))).ok


@pytest.mark.parametrize("factor", [1, 2])
def test_scalars_and_the_math_module(factor):
    def forward(a, b):
        c = math.exp(a * b)
        J = math.log(1 + c)
        return dict(c=c, J=J)

    def backward(a, b, c):
        dc = 1 / (1 + c)
        return dict(dc=dc, da=factor * dc * c * b, db=dc * c * a)

    assert check(forward, backward, dict(a=0.3, b=-1.2)).first_wrong == (None if factor == 1 else "da")


def test_a_name_that_is_used_again_inside_a_comprehension():
    def forward(W, X):
        Z = W @ X
        A = np.tanh(Z)
        B = A * float(np.sum([Z * 1 for Z in (0.5, 0.5)]))
        J = np.sum(B * B) / 2
        float(J)
        return dict(Z=Z, A=A, B=B, J=J)

    def backward(X, A, B):
        dA = B * 1.0
        dZ = dA * (1 - A**2)
        return dict(dB=B, dA=dA, dZ=dZ, dW=dZ @ X.T)

    rng = np.random.default_rng(0)
    report = check(forward, backward, dict(W=rng.normal(size=(2, 3)), X=rng.normal(size=(3, 4))))
    assert report.ok, report


def test_branches_on_settings_are_traced(rng):
    def forward(W, X, alpha):
        Z = W @ X
        if alpha > 0.5:
            Z = Z * alpha
        return dict(Z=Z, J=np.sum(Z**2))

    def backward(X, Z, alpha):
        dZ = 2 * Z
        return dict(dZ=dZ, dW=(alpha if alpha > 0.5 else 1) * dZ @ X.T)

    report = check(forward, backward, dict(W=rng.normal(size=(2, 3)), X=rng.normal(size=(3, 4)), alpha=0.9))
    assert report.ok, report
    assert report.oracle.startswith("the derivative of each operation")


def test_defaults_and_functions_of_submodules_are_traced(rng):
    from numpy.linalg import norm

    def forward(W, X, f=np.tanh):
        A = f(W @ X)
        return dict(A=A, J=norm(A))

    def backward(X, A, J):
        dA = A / J
        return dict(dA=dA, dW=(dA * (1 - A**2)) @ X.T)

    report = check(forward, backward, dict(W=rng.normal(size=(2, 3)), X=rng.normal(size=(3, 4))))
    assert report.ok, report
    assert report.oracle.startswith("the derivative of each operation")


def forward(W, X):
    Z = W @ X
    return dict(Z=Z, J=np.sum(Z**2) / 2)


def backward(X, Z):
    return dict(dZ=Z, dW=Z @ X.T)


def given(**changes):
    rng = np.random.default_rng(0)
    return dict(W=rng.normal(size=(1, 3)), X=rng.normal(size=(3, 2))) | changes


@pytest.mark.parametrize(
    ("of", "inputs", "options", "said"),
    [
        (backward, given(W=np.ones((1, 3), int), X=np.ones((3, 2), int)), {}, "np.array\\(..., float\\)"),
        (lambda Z: dict(dZ=Z + 1j), given(), {}, "expected real numbers"),
        (lambda: sys.exit(3), given(), {}, "SystemExit"),
        (int, given(), {}, "signature|Python"),
        (backward, given(), dict(trials=9), "trials"),
        (backward, given(), dict(trials=-1), "trials"),
        (backward, given(), dict(seed=-1), "seed"),
        (backward, given(), dict(shapes="W 1 n"), "expected parts as"),
        (backward, given(), dict(shapes="Q: 1 n"), "expected parts as"),
    ],
)
def test_misuse_says_what_to_do(of, inputs, options, said):
    with pytest.raises(UsageError, match=said):
        check(forward, of, inputs, **options)


@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_a_matrix_is_refused():
    with pytest.raises(UsageError, match=r"np.asarray\(W\)"):
        check(forward, backward, given(W=np.matrix([[1.0, 2, 3]])))


def test_numbers_beyond_all_integers_are_no_trouble():
    def with_large(W, X):
        Z = W @ X
        return dict(Z=Z, J=np.sum(Z))

    large = np.array([[1e20, 2e20], [1e20, 1e20]])
    report = check(
        with_large,
        lambda X, Z: dict(dZ=np.ones_like(Z), dW=np.ones_like(Z) @ X.T),
        dict(W=np.ones((1, 2)) / 3, X=large),
    )
    assert report.ok, report


def test_symmetric_matrices_stay_symmetric():
    def of_S(S):
        L = np.linalg.cholesky(S)
        J = np.log(np.diag(L)).sum()
        return dict(J=J)

    report = check(of_S, lambda S: dict(dS=np.linalg.inv(S) / 2), dict(S=2 * np.eye(3) + 0.1))
    assert report.ok, report


def test_a_backend_that_returns_nan_is_no_pass(monkeypatch):
    from handgrad.backend import Gradients
    from handgrad.backends.numpy import Neuron

    def spoilt(self, parameters, X, Y):
        return Gradients(np.full((1, len(X)), np.nan), np.asarray(np.nan))

    monkeypatch.setattr(Neuron, "gradients", spoilt)
    assert not prove_backend(Neuron, "numpy").ok


def test_a_wrong_gradient_fails_under_python_o_too():
    program = (
        "import numpy as np\nfrom handgrad.testing import assert_gradients\n"
        "try:\n    assert_gradients(lambda W: dict(J=np.sum(W**2)), lambda W: dict(dW=W), dict(W=np.ones(3)))\n"
        "except AssertionError:\n    raise SystemExit(7)\n"
    )
    assert subprocess.run([sys.executable, "-O", "-c", program], check=False).returncode == 7


def test_a_file_may_hold_dataclasses_and_import_its_neighbours_late(tmp_path):
    (tmp_path / "a_neighbour.py").write_text("def twice(Z):\n    return 2 * Z\n")
    (tmp_path / "model.py").write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\nimport numpy as np\n\n\n"
        "@dataclass\nclass Settings:\n    a: int = 1\n\n\n"
        "def forward(W):\n    from a_neighbour import twice\n    Z = twice(W)\n    return dict(Z=Z, J=np.sum(Z))\n\n\n"
        "def backward(Z):\n    return dict(dZ=np.ones_like(Z), dW=2 * np.ones_like(Z))\n\n\n"
        "def inputs():\n    return dict(W=np.array([1.5, 2.5]))\n"
    )
    assert check_file(tmp_path / "model.py").ok


@pytest.mark.parametrize("kind", ["lambda", "method", "decorated"])
def test_a_counterexample_that_would_not_run_alone_is_refused(kind, rng):
    import functools

    def decorated(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            return function(*args, **kwargs)

        return wrapper

    @decorated
    def threefold(Z):
        return dict(dZ=3 * Z)

    class Layer:
        def threefold(self, Z):
            return dict(dZ=3 * Z)

    of = {"lambda": lambda Z: dict(dZ=3 * Z), "method": Layer().threefold, "decorated": threefold}[kind]
    report = check(forward, of, given())
    assert report.first_wrong == "dZ"
    with pytest.raises(UsageError, match="no counterexample"):
        report.counterexample()
