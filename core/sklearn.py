"""The neuron as a scikit-learn estimator, to clone, to search, and to put at the end of a pipeline.

scikit-learn's X (m, n) has one row per example: the transpose of the neuron's, a view of the same memory.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from handgrad import backends
from handgrad.backend import Parameters
from handgrad.checks import array, count, number, shown
from handgrad.errors import DataError, HandgradError, MissingExtraError, UsageError
from handgrad.examples import Examples
from handgrad.neuron import Neuron
from handgrad.optimizers import LBFGS, SGD, GradientDescent, Optimizer
from handgrad.views import seen, weighted

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.utils import Tags, check_random_state
    from sklearn.utils.multiclass import check_classification_targets, type_of_target
    from sklearn.utils.validation import check_is_fitted, validate_data
except ModuleNotFoundError:
    raise MissingExtraError("scikit-learn", "sklearn") from None

STUCK = 1e-3
"""Of the gradient at the start: where more of it is left as L-BFGS finds no way down, it is not at a minimum."""

OPTIMIZERS = ("lbfgs", "gd", "sgd")


class NeuronClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Logistic regression: two classes told apart by one neuron, on any backend.

    ::

        Z = s X W^T + b      P(classes_[1]) = 1 / (1 + e^-Z)
        J = sum_i w_i L_i / sum_i w_i + (l2 / 2) W W^T      L the cross-entropy, w the sample weights, 1 by default

    This is the optimum of `sklearn.linear_model.LogisticRegression` with C = 1 / (l2 sum_i w_i). Training starts from
    zeros. X of bytes stays bytes wherever the backend reads them: give ``input_scale`` 1 / 255 for pixels.

    Args:
        backend: "numpy", "numba", "torch" or "jax".
        l2: weight of the penalty, >= 0. Without it, J of two classes that a plane can part has no minimum.
        optimizer: "lbfgs", which stops where the cost has its minimum; "gd" or "sgd", which take all of ``max_iter``
            epochs at a constant learning rate; or one of `handgrad.optimizers`, which has settings of its own in place
            of ``learning_rate``, ``tol`` and ``random_state``.
        learning_rate: of "gd" and "sgd", above 0.
        max_iter: epochs at most, at least 1.
        tol: "lbfgs" stops where no entry of the gradient of J is larger, >= 0.
        random_state: a seed or `numpy.random.RandomState`, for the order in which "sgd" takes the examples.
        input_scale: s, which multiplies the inputs.
        dtype: "float64" or "float32", in which everything is computed.
        device: "cpu", or what the backend calls its accelerator: "cuda", "cuda:1".

    Attributes:
        classes_: (2,), sorted, of whatever type the labels have.
        coef_, intercept_: (1, n), s W, and (1,), b: Z is X coef_^T + intercept_.
        neuron_, parameters_: the `handgrad.Neuron` that was trained, and its own W (1, n) and b ().
        n_iter_: epochs taken.
        loss_curve_: (n_iter_,), J before each epoch's update.
        n_features_in_, feature_names_in_: of X; names where it has some.
    """

    def __init__(
        self,
        backend: str = "numpy",
        *,
        l2: float = 1e-4,
        optimizer: str | Optimizer = "lbfgs",
        learning_rate: float = 0.1,
        max_iter: int = 1000,
        tol: float = 1e-6,
        random_state: int | np.random.RandomState | None = None,
        input_scale: float = 1.0,
        dtype: str = "float64",
        device: str = "cpu",
    ) -> None:
        self.backend = backend
        self.l2 = l2
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state
        self.input_scale = input_scale
        self.dtype = dtype
        self.device = device

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> NeuronClassifier:
        """Train from zeros.

        Args:
            X: (m, n), dense, of bytes, integers or floats.
            y: (m,), labels of two classes, of any type that can be sorted.
            sample_weight: (m,), at least 0. Each distinct weight is summed by a call of its own (`handgrad.views`),
                which is slow where there are many.

        Raises:
            ValueError: X, y, a weight or an argument is not as above; DataError and UsageError are kinds of it.
            TypeError: X is sparse.
            MissingExtraError: the backend is not installed.
            DivergedError: the learning rate is too high.

        Warns:
            ConvergenceWarning: "lbfgs" needs more than ``max_iter`` epochs, or finds no way down far from a minimum.
        """
        neuron = backends.load(self.backend)(
            l2=self.l2, input_scale=self.input_scale, dtype=self.dtype, device=self.device
        )
        max_iter, optimizer = count("max_iter", self.max_iter, 1), self._optimizer()
        X, y = validate_data(self, _whole("X", X), _whole("y", y))
        check_classification_targets(y)
        kind = type_of_target(y, input_name="y", raise_unknown=True)
        if kind != "binary":
            raise DataError(f"Only binary classification is supported. The type of the target is {kind}.")
        self.classes_, codes = np.unique(y, return_inverse=True)
        X, Y = X.T, codes.astype(np.uint8)[np.newaxis]
        if sample_weight is not None:
            try:
                X = weighted(X, sample_weight)
            except HandgradError as error:
                raise type(error)(f"sample_weight: {error}") from None
        counted = codes if sample_weight is None else codes[X.weights > 0]
        if counted.size and counted.min() == counted.max():
            raise DataError(
                f"y has one class, {self.classes_.tolist()[counted[0]]!r}, in the examples that count; expected two"
            )
        examples = neuron.place(X, Y)
        P, history = neuron.fit(examples, epochs=max_iter, optimizer=optimizer)
        if isinstance(optimizer, LBFGS):
            steepest = max(abs(V).max() for V in neuron.gradients(P, examples))
            early = len(history) < max_iter  # where rounding hid the way down, near a minimum, or far from it
            if steepest > optimizer.tolerance and (not early or _stuck(neuron, P, examples, X)):
                warnings.warn(
                    f"not converged: after {len(history)} epochs the gradient has an entry of {steepest:.1g}, "
                    f"above tol {optimizer.tolerance:g}; "
                    + ("scale X, or choose dtype='float64'" if early else "raise max_iter, or scale X"),
                    ConvergenceWarning,
                    stacklevel=2,
                )
        self.neuron_, self.parameters_ = neuron, P
        self.coef_, self.intercept_ = neuron.input_scale * P.W, P.b[np.newaxis]
        self.n_iter_, self.loss_curve_ = len(history), history.train_cost
        return self

    def decision_function(self, X: Any) -> npt.NDArray[Any]:
        """Z (m,), the logit of classes_[1], for X (m, n)."""
        return self._activations(X, "identity", "squared_error")

    def predict_proba(self, X: Any) -> npt.NDArray[Any]:
        """The probabilities (m, 2) of both classes, for X (m, n)."""
        A = self._activations(X, "sigmoid", "cross_entropy")
        return np.stack([1 - A, A], axis=1)

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """The labels (m,), for X (m, n): classes_[1] where Z > 0."""
        Z = self.decision_function(X)
        return self.classes_[(Z > 0).astype(np.intp)]

    def _activations(self, X: Any, activation: str, loss: str) -> npt.NDArray[Any]:
        check_is_fitted(self)
        X = validate_data(self, _whole("X", X), reset=False)
        neuron = replace(self.neuron_, activation=activation, loss=loss)
        A: npt.NDArray[Any] = neuron.predict_proba(self.parameters_, X.T)[0]
        return A

    def _optimizer(self) -> Optimizer:
        if isinstance(self.optimizer, Optimizer):
            return self.optimizer
        match self.optimizer if isinstance(self.optimizer, str) else None:
            case "lbfgs":
                return LBFGS(tolerance=number("tol", self.tol, zero=True))
            case "gd":
                return GradientDescent(self.learning_rate)
            case "sgd":
                seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
                return SGD(self.learning_rate, seed=seed)
        raise UsageError(
            f"optimizer is {shown(self.optimizer)}; expected one of {', '.join(OPTIMIZERS)}, or an Optimizer"
        )

    def __getstate__(self) -> dict[str, Any]:
        """Without the backend's class, which may lie in a file that another process has not run: it is loaded there."""
        state: dict[str, Any] = super().__getstate__()
        return state | ({"neuron_": vars(state["neuron_"])} if "neuron_" in state else {})

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "neuron_" in state:
            state = state | {"neuron_": backends.load(state["backend"])(**state["neuron_"])}
        super().__setstate__(state)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags


def _whole(name: str, V: Any) -> Any:
    """An array of which no value is masked, which scikit-learn would take for one that is not."""
    return array(name, V, DataError) if isinstance(V, np.ma.MaskedArray) else V


def _stuck(neuron: Neuron, P: Parameters, examples: Examples, X: Any) -> bool:
    """Whether training ended far from a minimum, for features of size 1: large ones hide what is left in others."""
    inputs = seen(X).X
    sizes = np.maximum(inputs.max(axis=1).astype(np.float64), -inputs.min(axis=1).astype(np.float64))
    sizes = np.append(np.where(sizes > 0, sizes, 1), 1)
    first, left = (
        max(np.abs(np.append(neuron.get(g.dW), neuron.get(g.db))) / sizes)
        for g in (neuron.gradients(at, examples) for at in (Parameters.zeros(len(P.W[0])), P))
    )
    return bool(left > STUCK * first)
