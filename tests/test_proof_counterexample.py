"""The smallest counterexample: its size, and that its printed test fails until the line is right."""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest

from cases import CASES
from handgrad import UsageError
from handgrad.proof import check


def run(source, folder, name):
    """Pytest on a file that holds nothing else; its exit code."""
    path = folder / f"test_{name}.py"
    path.write_text(source)
    bare = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # which take four times as long to load as it runs
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", path], cwd=folder, env=bare
    ).returncode


def test_article_1_shrinks_to_one_example_of_one_feature_and_its_test_fails_until_corrected(tmp_path):
    case = CASES["published_article1"]
    found = check(case.forward, case.backward, case.inputs(), shapes=case.SHAPES).counterexample()
    assert found.name == "dZ"
    assert found.sizes == dict(n=1, m=1)
    assert run(str(found), tmp_path, "as_published") == 1
    corrected = str(found).replace("dA * sigmoid(A) * (1 - sigmoid(A))", "dA * A * (1 - A)")
    assert run(corrected, tmp_path, "corrected") == 0


@pytest.mark.parametrize("name", ["softmax_cross_entropy", "embedding", "layer_norm", "two_layer"])
def test_a_counterexample_of_a_planted_fault_is_small_and_wrong(name, tmp_path):
    case = CASES[name]
    fault = case.FAULTS[0]
    found = check(case.forward, fault.plant(case), case.inputs(), shapes=case.SHAPES).counterexample()
    given = case.inputs()
    assert sum(map(np.size, found.inputs.values())) < sum(map(np.size, given.values()))
    assert run(str(found), tmp_path, name) == 1


def test_sizes_that_are_equal_vary_together_where_nothing_is_said():
    case = CASES["published_article1"]
    found = check(case.forward, case.backward, case.inputs()).counterexample()
    assert set(found.sizes.values()) == {1}


def test_there_is_no_counterexample_to_a_right_line():
    case = CASES["article1"]
    with pytest.raises(UsageError, match="no counterexample"):
        check(case.forward, case.backward, case.inputs()).counterexample()


def test_shapes_that_do_not_fit_are_a_usage_error():
    case = CASES["published_article1"]
    with pytest.raises(UsageError, match="m is"):
        check(case.forward, case.backward, case.inputs(), shapes="W: n 1; b:; X: m m; Y: 1 m").counterexample()


def test_a_backward_that_takes_whatever_there_is_is_given_all(tmp_path):
    def forward(W, X):
        Z = W @ X
        J = np.sum(Z**2) / 2
        return dict(Z=Z, J=J)

    def backward(W, X, **values):
        dZ = values["Z"] * 3
        return dict(dZ=dZ, dW=dZ @ X.T)

    found = check(forward, backward, dict(W=np.ones((1, 3)), X=np.ones((3, 2)))).counterexample()
    assert "KeyError" not in str(found)
    assert run(str(found), tmp_path, "greedy") == 1
    assert run(str(found).replace('values["Z"] * 3', 'values["Z"]'), tmp_path, "greedy_corrected") == 0


def test_shrinking_is_not_disturbed_by_the_noise_of_the_checker(tmp_path):
    def forward(E, index, Q):
        H = E[index]
        S = np.einsum("bd,dk->bk", H, Q)
        J = np.sum(np.sin(S))
        return dict(H=H, S=S, J=J)

    def backward(E, index, Q, H, S):
        dS = np.cos(S)
        dH = np.einsum("bk,dk->bd", dS, Q)
        dE = np.zeros_like(E)
        dE[index] += dH  # an index that comes twice counts once
        return dict(dS=dS, dH=dH, dE=dE)

    rng = np.random.default_rng(0)
    inputs = dict(E=rng.normal(size=(5, 3)), index=np.array([0, 2, 2, 4]), Q=rng.normal(size=(3, 2)))
    found = check(forward, backward, inputs).counterexample()
    assert run(str(found), tmp_path, "twice") == 1


PROGRAM = """
import numpy as np

def quadratic(w, x):
    z = x @ w
    cost = np.sum(z**2)
    return cost, dict(dw=3 * x.T @ z)

def affine_forward(x, w):
    return x @ w, (x, w)

def affine_backward(dout, cache):
    x, w = cache
    return dout @ w.T, 3 * x.T @ dout / 2

class Dense:
    def __init__(self, W):
        self.W = W

    def forward(self, x):
        self.x = x
        return x @ self.W

    def backward(self, dout):
        self.dW = 3 * self.x.T @ dout / 2
        return dout @ self.W.T

def ready():
    return Dense(np.ones((3, 2)))

layer = Dense(np.arange(6.0).reshape(3, 2))
net = [Dense(np.ones((3, 2))), layer.__class__(np.ones((2, 2)))]
"""
X, W = np.arange(15.0).reshape(5, 3) / 7, np.arange(6.0).reshape(3, 2) - 2


@pytest.fixture
def program(tmp_path):
    """The program as a module of a file; its path."""
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    spec = importlib.util.spec_from_file_location("program_of_a_test", path)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.parametrize(
    ("things", "inputs", "options", "size"),
    [
        (["quadratic"], dict(w=W[:, 0], x=X), {}, 2),
        (["affine_forward", "affine_backward"], dict(x=X, w=W), {}, 2),
        (["Dense"], dict(W=W, x=X), {}, 2),
        (["Dense"], dict(W=W, x=X), dict(methods=("forward", "backward")), 2),
        (["layer"], dict(x=X), {}, 3),
        (["net"], dict(x=X), {}, 3),
    ],
)
def test_every_shape_has_a_test_that_fails_until_the_file_is_right(program, things, inputs, options, size, tmp_path):
    found = check(*(getattr(program, name) for name in things), inputs, **options).counterexample()
    assert set(found.inputs) == set(inputs)
    assert sum(map(np.size, found.inputs.values())) == size
    assert run(str(found), tmp_path, "wrong") == 1
    (tmp_path / "program.py").write_text(PROGRAM.replace("3 *", "2 *"))
    assert run(str(found), tmp_path, "right") == 0


def test_functions_that_no_file_holds_are_written_out(tmp_path):
    scale = 3

    def quadratic(w, x):
        z = x @ w
        cost = np.sum(z**2)
        return cost, {"dw": scale * x.T @ z}

    found = check(quadratic, dict(w=W[:, 0], x=X)).counterexample()
    assert "def quadratic" in str(found)
    assert run(str(found), tmp_path, "wrong") == 1
    assert run(str(found).replace("scale = 3", "scale = 2"), tmp_path, "right") == 0


def test_lists_and_dictionaries_of_arrays_shrink_too(tmp_path):
    def loss(params, x, y):
        h = x @ params["W"]
        d = h - y
        return np.sum(d**2) / 2, {"W": 2 * x.T @ d, "b": 0 * params["b"]}

    inputs = dict(params=dict(W=W, b=np.zeros(2)), x=X, y=np.ones((5, 2)))
    found = check(loss, inputs).counterexample()
    assert np.size(found.inputs["params"]["W"]) == 1
    assert run(str(found), tmp_path, "wrong") == 1


def test_an_object_that_no_file_holds_cannot_be_written_down(program):
    report = check(program.Dense(W.copy()), dict(x=X))
    with pytest.raises(UsageError, match="an object, Dense, cannot be written down"):
        report.counterexample()
