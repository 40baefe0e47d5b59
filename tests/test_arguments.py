"""Every argument of the neuron, of a wrong kind: one line that names it, on every backend; never a raw error."""

import inspect

import numpy as np
import pytest

from handgrad import Neuron, Parameters, backends
from handgrad.errors import HandgradError

X, Y = np.arange(12.0).reshape(3, 4) / 12, np.array([[0, 1, 1, 0]])
WRONG = {
    "a word": "many",
    "nothing": None,
    "an object": object(),
    "a type": float,
    "a dictionary": {"a": 1},
    "a list of words": ["a", "b"],
    "not a number": float("nan"),
    "infinite": float("inf"),
    "negative": -3,
    "a fraction": 0.2,
    "an array": X,
    "an array of words": np.array([["a", "b"]]),
    "complex": X * 1j,
    "ragged": [[1, 2], [3]],
    "empty": np.zeros((3, 0)),
    "masked": np.ma.masked_array(X, X > 0.5),
    "a dtype": np.dtype("float32"),
    "a function": len,
}
METHODS = {
    "cost": {"parameters": None, "X": X, "Y": Y},
    "gradients": {"parameters": Parameters.zeros(3), "X": X, "Y": Y},
    "step": {"parameters": Parameters.zeros(3), "X": X, "Y": Y, "learning_rate": 0.1},
    "fit": {"X": X, "Y": Y, "epochs": 2, "learning_rate": 0.1},
    "predict": {"parameters": Parameters.zeros(3), "X": X, "threshold": 0.5},
    "predict_proba": {"parameters": Parameters.zeros(3), "X": X},
    "accuracy": {"parameters": Parameters.zeros(3), "X": X, "Y": Y, "threshold": 0.5},
    "place": {"X": X, "Y": Y, "block": None},
}


def arguments(call):
    return [n for n, p in inspect.signature(call).parameters.items() if n != "self" and p.kind is not p.VAR_KEYWORD]


@pytest.mark.parametrize("backend", ["numpy", "numba", "torch", "jax"])
@pytest.mark.parametrize("method", METHODS)
def test_a_method_given_an_argument_of_a_wrong_kind(backend, method):
    pytest.importorskip(backend)
    neuron, right = backends.load(backend)(), METHODS[method]
    getattr(neuron, method)(**right)
    for name in arguments(getattr(Neuron, method)):
        for kind, value in WRONG.items():
            if name == "watch" and callable(value):
                continue  # right in kind: what it raises is its own
            tried(f"{method}({name}={kind})", name, lambda: getattr(neuron, method)(**right | {name: value}))  # noqa: B023


@pytest.mark.parametrize("backend", ["numpy", "numba", "torch", "jax"])
def test_a_neuron_made_with_an_argument_of_a_wrong_kind(backend):
    pytest.importorskip(backend)
    for name in arguments(backends.load(backend)):
        for kind, value in WRONG.items():
            tried(f"Neuron({name}={kind})", name, lambda: backends.load(backend)(**{name: value}))  # noqa: B023


def test_all_methods_are_tried():
    public = {n for n, f in inspect.getmembers(Neuron, inspect.isfunction) if not n.startswith("_")}
    written_by_backends = set(dir(Neuron.__mro__[1])) | {"put_parameters"}
    assert public - written_by_backends <= set(METHODS), public - written_by_backends - set(METHODS)


def tried(said, name, call):
    """It works, since what is given can be taken, or it is an error of ours that has a line."""
    try:
        call()
    except HandgradError:
        return
    except Exception as error:
        pytest.fail(f"{said}: {type(error).__name__}: {error}")
