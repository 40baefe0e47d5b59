"""Every argument of every public name, of a wrong kind: one line that names it; never a raw error, nor a warning."""

import functools
import importlib
import inspect
import re
import signal
import tempfile
import traceback
import types
import warnings
from contextlib import contextmanager
from functools import reduce
from pathlib import Path

import numpy as np
import pytest

import handgrad
from handgrad import Neuron, Parameters, backends, optimizers, testing, views
from handgrad.checks import count
from handgrad.errors import HandgradError

X, Y = np.arange(12.0).reshape(3, 4) / 12, np.array([[0, 1, 1, 0]])
WRONG = {
    "a word": lambda: "many",
    "no word": lambda: "",
    "bytes": lambda: b"many",
    "nothing": lambda: None,
    "an object": object,
    "a type": lambda: float,
    "a dictionary": lambda: {"a": 1},
    "a set": lambda: {1, 2},
    "a generator": lambda: (i for i in range(3)),
    "a list of words": lambda: ["a", "b"],
    "an empty list": list,
    "not a number": lambda: float("nan"),
    "infinite": lambda: float("inf"),
    "negative": lambda: -3,
    "zero": lambda: 0,
    "more than can be written": lambda: 10**5000,
    "a fraction": lambda: 0.2,
    "true": lambda: True,
    "a complex number": lambda: 1j,
    "an array": lambda: X,
    "an array of words": lambda: np.array([["a", "b"]]),
    "an array of objects": lambda: np.array([[None, {}]]),
    "complex": lambda: X * 1j,
    "ragged": lambda: [[1, 2], [3]],
    "empty": lambda: np.zeros((3, 0)),
    "of four axes": lambda: np.zeros((1, 2, 2, 1)),
    "masked": lambda: np.ma.masked_array(X, X > 0.5),
    "a dtype": lambda: np.dtype("float32"),
    "a function": lambda: len,
}
SECONDS = 20
"""That a call may take: none comes near, but the one that never ends."""

OTHER_NAMES = {
    "parameters": "parameters|W|b",
    "Neuron": "backend",
    "subject": "expected a function|methods|layers?|takes an argument",
    "inputs": "inputs?",
    "make": "make|methods",  # of what is no object
    "cost": "cost|backward raised|len raised",  # read as a pair with a cache, which it is not; a function may be one
    "pictures": "pictures|contributions|titles",
    "false": "false|true",
    "path": "path|expected a name|exists already",
    "y": "y|labels|class",
}
"""What an error may name beside the argument: that with which it does not agree, or what it consists of."""


class TooLongError(BaseException):
    """Not an `Exception`, so that nothing catches it."""


@contextmanager
def limited():
    def end(*_):
        raise TooLongError

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def parameters_of(call, given):
    """All that a call takes, by name: those of ``**options`` are the others that are given."""
    kinds = inspect.signature(call).parameters.values()
    named = [p.name for p in kinds if p.kind is not p.VAR_KEYWORD and p.name not in ("self", "cls")]
    return named + [name for name in given if name not in named and any(p.kind is p.VAR_KEYWORD for p in kinds)]


def tried(said, call, right, *, fine=None, skip=()):
    """A good call is fine; with any argument of a wrong kind it still is, or an error of ours names the argument."""
    several = [p.name for p in inspect.signature(call).parameters.values() if p.kind is p.VAR_POSITIONAL]

    def called(given):
        given = dict(given)
        with limited():
            return call(*(given.pop(several[0]) if several and several[0] in given else ()), **given)

    called(right)
    for name in parameters_of(call, right):
        for kind, make in WRONG.items():
            if (name, kind) in skip or (name == "watch" and callable(make())):
                continue
            value = (make(),) if name in several else make()
            try:
                called(right | {name: value})
            except TooLongError:
                pytest.fail(f"{said}({name}={kind}) has no end")
            except HandgradError as error:
                names = OTHER_NAMES.get(name, re.escape(name))
                if not re.search(rf"\b({names})\b", str(error)):
                    pytest.fail(f"{said}({name}={kind}) names no {name}: {error}")
            except Exception as error:
                if not (fine and fine(error)):
                    pytest.fail(f"{said}({name}={kind}): {type(error).__name__}: {error}")


# The neuron, on every backend.

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
HUGE = "more than can be written"
SKIPPED = {
    "fit": {("epochs", HUGE)},  # which it begins with
    "check_backend": {("seed", kind) for kind in ("zero", "true", HUGE)},  # which are right, and take long
}
"""What is right in kind and takes long."""


@pytest.mark.parametrize("backend", ["numpy", "numba", "torch", "jax"])
@pytest.mark.parametrize("method", METHODS)
def test_a_method_given_an_argument_of_a_wrong_kind(backend, method):
    pytest.importorskip(backend)
    tried(method, getattr(backends.load(backend)(), method), METHODS[method], skip=SKIPPED.get(method, ()))


@pytest.mark.parametrize("backend", ["numpy", "numba", "torch", "jax"])
def test_a_neuron_made_with_an_argument_of_a_wrong_kind(backend):
    pytest.importorskip(backend)
    tried("Neuron", backends.load(backend), {})


def test_all_methods_are_tried():
    assert methods_of(Neuron) == set(METHODS)


# All other public names: of each, the call that is good, and those of its methods.


def product(W, X):
    return dict(J=np.sum(W * X))


def of_product(X):
    return dict(dW=X)


INPUTS = {"W": np.ones(2), "X": np.ones(2)}
EPOCHS = dict.fromkeys(["train_cost", "validation_cost", "seconds", "evaluations"], np.ones(2))
ASKED = {
    "subject": (product, of_product), "inputs": INPUTS, "wrt": ["W"], "cost": None, "gradients": None, "methods": None,
    "make": None, "shapes": None, "reference": None, "order": 1, "mode": "vjp", "seed": 0, "trials": 0, "seconds": 1.0,
}  # fmt: skip


def of_handgrad():
    zeros = Parameters.zeros(3)
    how = {"inputs": INPUTS, "seed": 0, "cost": None, "wrt": ["W"], "gradients": None}
    return {
        "check": (handgrad.check, ASKED),
        "mutate": (handgrad.mutate, {"backward": of_product, "forward": product, **how}),
        "Parameters": (Parameters, zeros._asdict()),
        "Parameters.zeros": (Parameters.zeros, {"n": 3}),
        "Parameters.random": (Parameters.random, {"n": 3, "seed": 0}),
        "Gradients": (handgrad.Gradients, {"dW": zeros.W, "db": zeros.b}),
        "Sums": (handgrad.Sums, {"loss": zeros.b, "dW": zeros.W, "db": zeros.b, "m": 4}),
        "History": (then(handgrad.History, lambda history: history.best_epoch), EPOCHS),
    }


def of_testing():
    return {
        "assert_gradients": (testing.assert_gradients, ASKED),
        "backend_checks": (testing.backend_checks, {}),
        "check_backend": (testing.check_backend, {"Neuron": "numpy", "seed": 0}),
    }


def of_views():
    pixels, placed = np.ones((12, 4)), views.seen(X)
    return {
        "Seen": (then(views.Seen, lambda made: made.shape), vars(placed)),
        "Seen.of": (placed.of, {"X": X}),
        "Seen.folded": (placed.folded, {"parameters": Parameters.zeros(3), "input_scale": 1.0}),
        "seen": (views.seen, {"X": X}),
        "mirrored": (views.mirrored, {"X": pixels, "size": (2, 2, 3)}),
        "standardised": (views.standardised, {"X": X}),
        "weighted": (views.weighted, {"X": X, "weights": [1, 2, 3, 4]}),
        "shared": (views.shared, {"X": X, "processes": placed.processes}),
    }


def of_optimizers():
    return {
        "GradientDescent": (optimizers.GradientDescent, {"learning_rate": 0.1}),
        "SGD": (optimizers.SGD, {"learning_rate": 0.1}),
        "LBFGS": (optimizers.LBFGS, {}),
        "best": (optimizers.best, {}),
    }


def of_sklearn():
    from handgrad.sklearn import NeuronClassifier

    rows, y = np.vstack([X.T, X.T]), np.array([0, 1, 1, 0] * 2)
    fitted = NeuronClassifier().fit(rows, y)
    return {
        "NeuronClassifier": (then(NeuronClassifier, lambda classifier: classifier.fit(rows, y)), {}),
        "NeuronClassifier.fit": (NeuronClassifier().fit, {"X": rows, "y": y}),
        "NeuronClassifier.decision_function": (fitted.decision_function, {"X": rows}),
        "NeuronClassifier.predict_proba": (fitted.predict_proba, {"X": rows}),
        "NeuronClassifier.predict": (fitted.predict, {"X": rows}),
    }


def of_look():
    from matplotlib.figure import Figure

    from handgrad import look
    from handgrad.data import Features
    from handgrad.run import Model, save_run
    from handgrad.scores import reliability
    from handgrad.validation import Measured, Row

    A, classes, pixels = np.array([[0.1, 0.2, 0.3, 0.9]]), ("a", "b"), np.ones((12, 4), np.uint8)
    pictures, titles = pixels.T.reshape(4, 2, 2, 3), list("abcd")
    predictions, row = {"A": A, "Y": Y}, Row(0.1, Measured((0.5, 0.6)), Measured((0.5, 0.6)), 1, 2)
    model = Model(
        parameters=Parameters(np.ones((1, 12)), np.zeros(())),
        classes=classes, size=(2, 2, 3), features=Features("pixels", (2, 2)), data="", versions={},
    )  # fmt: skip
    history, folder = handgrad.History(**EPOCHS), Path(tempfile.mkdtemp())
    save_run(folder, model, history, {})
    of = {
        "HistoryDisplay": {"history": history},
        "HistoryDisplay.from_history": {"history": history},
        "HistoryDisplay.from_run": {"run": folder},
        "SigmoidDisplay": {"Z": A, "Y": Y, "classes": classes},
        "SigmoidDisplay.from_model": {"model": model, "X": pixels, "Y": Y},
        "WeightsDisplay": {"W": np.ones((2, 2, 3)), "classes": classes},
        "WeightsDisplay.from_model": {"model": model},
        "ContributionsDisplay": {"pictures": pictures, "contributions": np.ones((4, 2, 2)), "titles": titles},
        "ContributionsDisplay.from_model": {"model": model, "X": pixels, "titles": titles},
        "MistakesDisplay": {"pictures": pictures, "titles": titles},
        "ProbabilitiesDisplay": {**predictions, "classes": classes},
        "ProbabilitiesDisplay.from_predictions": {**predictions, "classes": classes},
        "RocDisplay": {"false": A[0], "true": A[0], "area": 0.5},
        "RocDisplay.from_predictions": predictions,
        "ReliabilityDisplay": {"bins": reliability(A, Y)},
        "ReliabilityDisplay.from_predictions": predictions,
        "FoldsDisplay": {"rows": [row], "chosen": row},
    }
    drawn = {name: (then(reduce(getattr, name.split("."), look), look.figure_of), right) for name, right in of.items()}
    display = look.WeightsDisplay(np.ones((2, 2, 3)))
    return drawn | {
        "Display.plot": (display.plot, {"ax": Figure().subplots()}),
        "drawn": (look.drawn, {"figure": Figure(), "kind": "svg", "dpi": 50}),
        "figure_of": (look.figure_of, {"display": display}),
        "folds": (look.folds, {"rows": [row], "chosen": row}),
        "must_be_drawable": (look.must_be_drawable, {"path": folder / "a.svg"}),
        "save": (
            then(look.save, lambda _: (folder / "b.svg").unlink()),
            {"figure": Figure(), "path": folder / "b.svg"},
        ),
        "scores": (look.scores, {"sets": {"a": (A, Y)}, "probabilities": True}),
    }


def then(make, use):
    """What is made is used, too: it may look good, and not be."""

    @functools.wraps(make)
    def call(*args, **kwargs):
        return use(make(*args, **kwargs))

    return call


CALLS = {
    "handgrad": of_handgrad,
    "handgrad.testing": of_testing,
    "handgrad.views": of_views,
    "handgrad.optimizers": of_optimizers,
    "handgrad.sklearn": of_sklearn,
    "handgrad.look": of_look,
}
BETWEEN = {"Place", "Task", "Task.validation_cost", "Taken"} | {
    f"{kind}.take" for kind in ("Optimizer", "GradientDescent", "LBFGS", "SGD")
}
"""What passes between the loop of a training and its optimizer: not checked in every step, as a backend's is not."""


@pytest.mark.parametrize("module", CALLS)
def test_a_public_name_given_an_argument_of_a_wrong_kind(module):
    for package in {"handgrad.sklearn": ["sklearn"], "handgrad.look": ["matplotlib"]}.get(module, []):
        pytest.importorskip(package)
    calls = CALLS[module]()
    elsewhere = BETWEEN | {"Neuron", *(f"Neuron.{method}" for method in METHODS)}
    left = set(public(importlib.import_module(module))) - calls.keys() - elsewhere
    assert not left, f"nothing tries {', '.join(sorted(left))} of {module}"
    for name, (call, right) in calls.items():
        tried(name, call, right, fine=FINE.get(module), skip=SKIPPED.get(name, ()))


def public(module):
    """All names that can be called, and the methods of classes; not exceptions, which are for us to raise."""
    of_its_own = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
    for name in getattr(module, "__all__", [name for name in of_its_own if not name.startswith("_")]):
        value = getattr(module, name)
        if not callable(value) or (inspect.isclass(value) and issubclass(value, Exception)):
            continue
        if not inspect.isabstract(value):
            yield name
        if inspect.isclass(value):
            yield from (f"{name}.{method}" for method in methods_of(value))


def methods_of(kind):
    """The names of those that are written in its own body, once for all that inherit them."""
    of_class = (classmethod, staticmethod, types.FunctionType)
    return {name for name, method in vars(kind).items() if not name.startswith("_") and isinstance(method, of_class)}


def broken_law(error):
    return isinstance(error, AssertionError)


def of_sklearns(error):
    """What scikit-learn's own check of its arguments says, and that `tol` was not reached, which was asked for."""
    ours, theirs = Path(handgrad.__file__).parent, Path(importlib.import_module("sklearn").__file__).parent
    files = [Path(frame.filename) for frame in traceback.extract_tb(error.__traceback__)]
    below = files[max(i for i, file in enumerate(files) if file.is_relative_to(ours)) + 1 :]
    by_them = any(file.is_relative_to(theirs) for file in below) and isinstance(error, ValueError | TypeError)
    return by_them or type(error).__name__ == "ConvergenceWarning"


FINE = {"handgrad.testing": broken_law, "handgrad.sklearn": of_sklearns}
"""What may be raised besides: what a test fails by, and what others' contract says."""


@pytest.mark.parametrize("wrong", ["n + 1", "Parameters.zeros(n).more", "[][n]", "warnings.warn('n is wrong')"])
def test_an_error_that_is_not_ours_is_found(wrong):
    names = {"Parameters": Parameters, "warnings": warnings}
    with pytest.raises(pytest.fail.Exception, match=r"^wrong\(n="):
        tried("wrong", lambda n: n == 1 or eval(wrong, names | {"n": n}), {"n": 1})


def test_an_error_that_names_something_else_is_found():
    def call(n):
        count("m", n, 1)

    with pytest.raises(pytest.fail.Exception, match="names no n: m is 'many'"):
        tried("wrong", call, {"n": 1})
