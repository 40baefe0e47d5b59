"""The neuron as a scikit-learn estimator, on every backend, and the sample weights that it brings."""

import functools
import pickle
import sys
import warnings
from unittest import mock

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from handgrad import DataError, DivergedError, MissingExtraError, Parameters, UsageError, backends
from handgrad.backends.numpy import Neuron as ByHand
from handgrad.examples import Examples
from handgrad.optimizers import LBFGS, SGD, GradientDescent
from handgrad.sklearn import NeuronClassifier
from handgrad.views import weighted

CHECKS = 60
"""Of scikit-learn 1.7 to 1.9, those that need neither pandas nor SCIPY_ARRAY_API."""

SKIPPED = {
    "check_sample_weights_pandas_series": "pandas is not installed",
    "check_classifier_data_not_an_array": "pandas is not installed",
    "check_array_api_input": "SCIPY_ARRAY_API is not set",
}

OPTIMIZERS = {"gd": GradientDescent(0.2), "sgd": SGD(0.05, batch=30), "lbfgs": LBFGS()}
EVERY = pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)


@pytest.fixture(params=backends.names())
def classifier(request):
    """`NeuronClassifier`, with each installed backend."""
    try:
        backends.load(request.param)
    except MissingExtraError as error:
        pytest.skip(str(error))
    return functools.partial(NeuronClassifier, request.param)


@pytest.fixture
def pixels(rng):
    """X (m, n) of bytes and y (m,), whose classes overlap."""
    X = rng.integers(0, 256, (120, 12), np.uint8)
    return X, (rng.random(120) < 0.15 + 0.6 * (X[:, 0] > 128)).astype(int)


@pytest.fixture
def examples(pixels):
    """The same, as the neuron has them."""
    return pixels[0].T, pixels[1][np.newaxis]


def close(found, expected, rel):
    return np.linalg.norm(found - expected) <= rel * np.linalg.norm(expected)


# As scikit-learn wants it.


def test_it_passes_the_checks_of_scikit_learn(classifier):
    results = check_estimator(classifier(), on_skip=None)
    passed = [result["check_name"] for result in results if result["status"] == "passed"]
    assert len(passed) >= CHECKS
    others = {result["check_name"]: str(result["exception"]) for result in results if result["status"] != "passed"}
    assert all(why.startswith(SKIPPED.get(name, "no reason")) for name, why in others.items()), others


def test_the_checks_of_scikit_learn_can_fail():
    class Forgetful(NeuronClassifier):
        def fit(self, X, y, sample_weight=None):
            return super().fit(X, y)

    results = check_estimator(Forgetful(), on_skip=None, on_fail=None)
    failed = {result["check_name"] for result in results if result["status"] == "failed"}
    assert "check_sample_weight_equivalence_on_dense_data" in failed


@pytest.mark.filterwarnings("ignore::handgrad.RisingCostWarning")
@pytest.mark.parametrize("optimizer", ["gd", "sgd"])
def test_the_other_optimizers_pass_them_too(optimizer):
    # The order of SGD is that of the rows, and weighted ones are not in the places of repeated ones.
    expected = {"check_sample_weight_equivalence_on_dense_data": "batches differ"} if optimizer == "sgd" else {}
    estimator = NeuronClassifier(optimizer=optimizer, max_iter=100, learning_rate=0.01)
    results = check_estimator(estimator, on_skip=None, expected_failed_checks=expected)
    assert sum(result["status"] == "passed" for result in results) >= CHECKS - len(expected)


def test_a_grid_search_of_a_pipeline(classifier, pixels):
    def searched(estimator, name, values):
        pipeline = make_pipeline(StandardScaler(), estimator)
        return GridSearchCV(pipeline, {name: values}, cv=3, scoring="neg_log_loss").fit(X, y)

    X, y = pixels
    search = searched(classifier(tol=1e-9), "neuronclassifier__l2", [1e-3, 1e-1, 1e1])
    other = searched(LogisticRegression(tol=1e-9), "logisticregression__C", [1 / (80 * l2) for l2 in (1e-3, 1e-1, 1e1)])
    assert search.best_index_ == other.best_index_
    np.testing.assert_allclose(
        search.cv_results_["mean_test_score"], other.cv_results_["mean_test_score"], rtol=1e-5, atol=0
    )
    assert search.predict(X).shape == y.shape


def test_a_clone_has_the_arguments_and_nothing_that_was_learned(pixels):
    model = NeuronClassifier(l2=0.5, optimizer=SGD(0.1, momentum=0.5), input_scale=1 / 255).fit(*pixels)
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    with pytest.raises(NotFittedError):
        copy.predict(pixels[0])


# What it learns.


def test_it_finds_the_optimum_of_logistic_regression(classifier, pixels):
    X, y = pixels
    l2 = 0.02
    model = classifier(l2=l2, tol=1e-10, input_scale=1 / 255).fit(X, y)
    other = LogisticRegression(C=1 / (len(y) * l2), solver="newton-cholesky", tol=1e-12).fit(X / 255, y)
    assert (model.coef_.shape, model.intercept_.shape, model.coef_.dtype) == ((1, 12), (1,), np.float64)
    assert close(model.coef_ * 255, other.coef_, 1e-5)
    assert close(model.intercept_, other.intercept_, 1e-5)
    np.testing.assert_allclose(model.decision_function(X), other.decision_function(X / 255), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(model.predict_proba(X), other.predict_proba(X / 255), rtol=1e-5)
    np.testing.assert_array_equal(model.predict(X), other.predict(X / 255))


def test_its_answers_are_those_of_the_neuron(classifier, pixels, dtype):
    X, y = pixels
    model = classifier(l2=0.1, input_scale=1 / 255, dtype=dtype, max_iter=40, optimizer="gd").fit(X, y)
    neuron = backends.load(model.backend)(l2=0.1, input_scale=1 / 255, dtype=dtype)
    P, history = neuron.fit(X.T, y[np.newaxis], epochs=40, learning_rate=0.1)
    A = neuron.predict_proba(P, X.T)[0]
    np.testing.assert_array_equal(model.predict_proba(X), np.stack([1 - A, A], axis=1))
    np.testing.assert_array_equal(model.predict(X), neuron.predict(P, X.T)[0])
    np.testing.assert_array_equal(model.loss_curve_, history.train_cost)
    assert (model.n_iter_, model.coef_.dtype) == (40, dtype)
    Z = X @ model.coef_[0].astype(float) + model.intercept_[0]
    np.testing.assert_allclose(model.decision_function(X), Z, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "labels", [("dog", "cat"), (3, -7), (True, False), (2.0, -1.0), (np.uint8(1), np.uint8(255))], ids=str
)
def test_any_two_labels(labels, pixels):
    X, y = pixels
    expected = NeuronClassifier(input_scale=1 / 255).fit(X, y)
    named = np.where(y == 1, max(labels), min(labels))
    for given in named, named.tolist(), named.astype(object) if isinstance(labels[0], str) else named:
        model = NeuronClassifier(input_scale=1 / 255).fit(X, given)
        assert model.classes_.tolist() == sorted(labels)
        np.testing.assert_array_equal(model.predict(X) == max(labels), expected.predict(X) == 1)
        np.testing.assert_array_equal(model.predict_proba(X), expected.predict_proba(X))
        assert model.score(X, given) == expected.score(X, y)


def test_bytes_are_as_good_as_floats_and_stay_bytes(classifier, pixels):
    X, y = pixels
    seen = []
    neuron = backends.load(classifier().backend)
    real = neuron.place
    with mock.patch.object(neuron, "place", lambda self, X, *given: seen.append(X) or real(self, X, *given)):
        model = classifier(input_scale=1 / 255).fit(X, y)
    assert (seen[0].dtype, np.shares_memory(seen[0], X)) == (np.uint8, True)
    assert all(isinstance(again, Examples) for again in seen[1:])
    if neuron().reads_bytes(X.T):
        assert np.shares_memory(seen[1].whole[0], X)
    other = classifier(input_scale=1 / 255).fit(X.astype(float), y)
    assert close(model.coef_, other.coef_, 1e-9)
    np.testing.assert_allclose(model.predict_proba(X), other.predict_proba(X / 1.0), rtol=1e-9)


def test_bytes_with_weights_stay_bytes(pixels):
    X, y = pixels
    numba = pytest.importorskip("handgrad.backends.numba", exc_type=ImportError)
    examples = numba.Neuron().place(weighted(X.T, 1 + y), y[np.newaxis])
    assert [part.x.dtype for part in examples.parts] == [np.uint8, np.uint8]


def test_a_pickle_of_it_gives_the_same_bits(classifier, pixels):
    model = classifier(input_scale=1 / 255).fit(*pixels)
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict_proba(pixels[0]), model.predict_proba(pixels[0]))


def test_features_with_names(pixels):
    pandas = pytest.importorskip("pandas")
    X, y = pixels
    names = [f"pixel {j}" for j in range(12)]
    model = NeuronClassifier(input_scale=1 / 255).fit(pandas.DataFrame(X, columns=names), pandas.Series(y))
    assert (model.feature_names_in_.tolist(), model.n_features_in_) == (names, 12)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(pandas.DataFrame(X, columns=names[::-1]))


def test_the_random_state_decides_the_order_of_sgd(pixels):
    def trained(state, optimizer="sgd"):
        model = NeuronClassifier(optimizer=optimizer, max_iter=3, input_scale=1 / 255, random_state=state)
        return model.fit(*pixels).coef_

    np.testing.assert_array_equal(trained(1), trained(1))
    np.testing.assert_array_equal(trained(np.random.RandomState(1)), trained(1))
    assert (trained(1) != trained(2)).any()
    np.testing.assert_array_equal(trained(1, "gd"), trained(2, "gd"))


def test_an_optimizer_of_ones_own(pixels):
    X, y = pixels
    optimizer = SGD(0.3, batch=10, schedule="cosine", seed=3)
    model = NeuronClassifier(optimizer=optimizer, max_iter=5, l2=0, input_scale=1 / 255).fit(X, y)
    P, _ = ByHand(input_scale=1 / 255, dtype="float64").fit(X.T, y[np.newaxis], epochs=5, optimizer=optimizer)
    np.testing.assert_array_equal(model.parameters_.W, P.W)
    np.testing.assert_array_equal(model.coef_, 1 / 255 * P.W)


def test_what_did_not_converge_says_so(pixels):
    with pytest.warns(ConvergenceWarning, match=r"after 2 epochs the gradient has an entry of .*raise max_iter"):
        model = NeuronClassifier(max_iter=2, input_scale=1 / 255).fit(*pixels)
    assert (model.n_iter_, len(model.loss_curve_)) == (2, 2)
    enough = NeuronClassifier(input_scale=1 / 255).fit(*pixels).n_iter_
    assert NeuronClassifier(max_iter=enough - 1, input_scale=1 / 255).fit(*pixels).n_iter_ == enough - 1


# What it refuses.


@pytest.mark.parametrize("container", [sparse.csr_matrix, sparse.csr_array, sparse.coo_array])
def test_sparse_input_is_refused(container, pixels):
    X, y = pixels
    with pytest.raises(TypeError, match="dense data is required"):
        NeuronClassifier().fit(container(X), y)
    with pytest.raises(TypeError, match="dense data is required"):
        NeuronClassifier(input_scale=1 / 255).fit(X, y).predict(container(X))


def test_three_classes_and_one_class_are_refused(pixels):
    X, y = pixels
    with pytest.raises(
        ValueError, match=r"^Only binary classification is supported\. The type of the target is multiclass"
    ):
        NeuronClassifier().fit(X, np.arange(120) % 3)
    with pytest.raises(DataError, match=r"^y has one class, 'cat', in the examples that count; expected two$"):
        NeuronClassifier().fit(X, ["cat"] * 120)
    with pytest.raises(DataError, match=r"^y has one class, 'dog', in the examples that count; expected two$"):
        NeuronClassifier().fit(X, np.where(y == 1, "dog", "cat"), sample_weight=y)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"backend": "tensorflow"}, "unknown backend 'tensorflow'; expected one of jax, numba, numpy, torch"),
        ({"optimizer": "adam"}, "optimizer is 'adam'; expected one of lbfgs, gd, sgd, or an Optimizer"),
        ({"l2": -1}, "l2 is -1"),
        ({"tol": -1}, "tol is -1"),
        ({"max_iter": 0}, "max_iter is 0"),
        ({"learning_rate": 0, "optimizer": "gd"}, "learning_rate is 0"),
        ({"dtype": "float16"}, "dtype is 'float16'"),
        ({"input_scale": 0}, "input_scale is 0"),
        ({"device": "cuda"}, "device is 'cuda'"),
    ],
)
def test_a_wrong_argument_is_one_line_when_it_is_used(arguments, said, pixels):
    with pytest.raises(UsageError, match=said):
        NeuronClassifier(**arguments).fit(*pixels)


def test_a_learning_rate_that_is_too_high(pixels):
    with pytest.raises(DivergedError, match="the learning rate 1e\\+200 is too high"):
        NeuronClassifier(optimizer="gd", learning_rate=1e200, l2=1).fit(*pixels)


@pytest.mark.parametrize(("backend", "name"), [("torch", "PyTorch"), ("jax", "JAX"), ("numba", "Numba")])
def test_a_backend_that_is_not_installed(backend, name, without, pixels):
    without(backend)
    with pytest.raises(MissingExtraError, match=rf"^{name} is not installed; .* pip install 'handgrad\[{backend}\]'$"):
        NeuronClassifier(backend).fit(*pixels)


def test_without_scikit_learn(without, monkeypatch):
    without("sklearn.base")
    monkeypatch.delitem(sys.modules, "handgrad.sklearn")
    with pytest.raises(
        MissingExtraError, match=r"^scikit-learn is not installed; .* pip install 'handgrad\[sklearn\]'$"
    ):
        import handgrad.sklearn  # noqa: F401


# Weights.


@pytest.mark.parametrize("kind", ["few", "all distinct", "huge", "tiny"])
def test_weighted_cost_and_gradients_are_the_weighted_means(backend, dtype, kind, examples, rng):
    X, Y = examples
    w = (
        rng.random(120)
        if kind == "all distinct"
        else rng.integers(0, 4, 120) * {"huge": 1e307, "tiny": 5e-324}.get(kind, 1)
    )
    neuron, exact = (
        backend(input_scale=1 / 255, dtype=dtype, l2=0.1),
        ByHand(input_scale=1 / 255, dtype="float64", l2=0.1),
    )
    P = Parameters.random(12, 1)
    shares = w / w.max() / (w / w.max()).sum()
    singly = [(exact.cost(P, x, y), *exact.gradients(P, x, y)) for x, y in ((X[:, [i]], Y[:, [i]]) for i in range(120))]
    J, dW, db = (sum(share * value for share, value in zip(shares, V, strict=True)) for V in zip(*singly, strict=True))
    rel = 1e3 * float(np.finfo(dtype).eps)
    examples = neuron.place(weighted(X, w), Y)
    assert neuron.cost(P, examples) == pytest.approx(J, rel=rel)
    found = neuron.gradients(P, examples)
    assert (found.dW.dtype, found.db.dtype) == (dtype, dtype)
    assert close(found.dW, dW, rel)
    assert abs(found.db - db) <= rel


@EVERY
def test_equal_weights_change_nothing_and_those_of_weight_0_are_not_there(backend, dtype, optimizer, examples, rng):
    X, Y = examples
    there = rng.random(120) < 0.7
    neuron = backend(input_scale=1 / 255, dtype=dtype, l2=0.1)
    options = dict(epochs=6, optimizer=optimizer)
    P, history = neuron.fit(weighted(X, 0.3 * there), Y, validation=(weighted(X, 7.0 * there), Y), **options)
    X, Y = X[:, there], Y[:, there]
    Q, expected = neuron.fit(X, Y, validation=(X, Y), **options)
    atol = 1e2 * np.finfo(dtype).eps
    np.testing.assert_allclose(P.W, Q.W, atol=atol)
    np.testing.assert_allclose(P.b, Q.b, atol=atol)
    np.testing.assert_allclose(history.train_cost, expected.train_cost, atol=atol)
    np.testing.assert_allclose(history.validation_cost, expected.validation_cost, atol=atol)


def test_whole_weights_are_repetitions(classifier, pixels, rng):
    X, y = pixels
    w = rng.integers(0, 4, 120)
    model = classifier(l2=0.01, tol=1e-10, input_scale=1 / 255).fit(X, y, sample_weight=w)
    repeated = classifier(l2=0.01, tol=1e-10, input_scale=1 / 255).fit(X.repeat(w, axis=0), y.repeat(w))
    assert close(model.coef_, repeated.coef_, 1e-7)
    other = LogisticRegression(C=1 / (w.sum() * 0.01), solver="newton-cholesky", tol=1e-12)
    other.fit(X / 255, y, sample_weight=w)
    assert close(model.coef_ * 255, other.coef_, 1e-5)
    other.fit(X / 255, y)
    assert not close(model.coef_ * 255, other.coef_, 1e-2)


def test_an_epoch_of_weighted_sgd_is_the_formula(backend, examples, rng):
    """Of a batch, the sum of w dL over the batch, divided by its size and by the mean weight of all examples."""
    X, Y = examples
    w = rng.choice([0.5, 4.0], 120)
    exact = ByHand(input_scale=1 / 255, dtype="float64")
    P, _ = backend(input_scale=1 / 255, dtype="float64").fit(
        weighted(X, w), Y, epochs=1, optimizer=SGD(0.3, momentum=0, batch=60, seed=4)
    )
    W, b = np.zeros((1, 12)), np.zeros(())
    for which in np.split(np.random.default_rng((4, 0)).permutation(120), 2):
        each = [exact.gradients(Parameters(W, b), X[:, [i]], Y[:, [i]]) for i in which]
        W = W - 0.3 * sum(w[i] * d.dW for i, d in zip(which, each, strict=True)) / 60 / w.mean()
        b = b - 0.3 * sum(w[i] * d.db for i, d in zip(which, each, strict=True)) / 60 / w.mean()
    np.testing.assert_allclose(P.W, W, atol=1e-13)
    np.testing.assert_allclose(P.b, b, atol=1e-13)


@EVERY
def test_a_weighted_training_that_was_stopped_goes_on_to_the_same_bits(backend, optimizer, examples, rng):
    neuron, states = backend(input_scale=1 / 255, l2=0.1), []
    data = neuron.place(weighted(examples[0], rng.integers(1, 3, 120)), examples[1])
    whole, _ = neuron.fit(data, epochs=9, optimizer=optimizer)
    neuron.fit(data, epochs=9, optimizer=optimizer, watch=lambda state: states.append(state()) or True)
    P, _ = neuron.fit(data, epochs=9, optimizer=optimizer, resume=states[0])
    np.testing.assert_array_equal(P.W, whole.W)
    assert 0 < states[0].here.epoch < 9


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ([1, -2, 1], r"^weight -2\.0 of example 1; expected a finite number of at least 0"),
        ([1, 1, np.nan], r"^weight nan of example 2"),
        ([1, np.inf, 1], r"^weight inf of example 1"),
        ([0, 0, 0], r"^the weights are all zero"),
        ([1, 1], r"^weights have shape \(2,\); expected \(3,\), one for each column of X"),
        (1.0, r"^weights have shape \(\); expected \(3,\)"),
    ],
)
def test_wrong_weights_are_one_line(weights, said):
    with pytest.raises(DataError, match=said):
        ByHand().place(weighted(np.zeros((2, 3)), weights))
    with pytest.raises(DataError, match=said.lstrip("^")):
        NeuronClassifier().fit(np.zeros((3, 2)), [0, 1, 0], weights)


def test_what_cannot_be_weighted(examples):
    X, Y = examples
    neuron, data = ByHand(input_scale=1 / 255), (weighted(X, 1 + Y[0]), Y)
    with pytest.raises(UsageError, match="block is 4 and X is weighted"):
        neuron.fit(*data, epochs=1, learning_rate=1, block=4)
    with pytest.raises(UsageError, match="span is True and X is weighted"):
        neuron.fit(*data, epochs=1, learning_rate=1, span=True)
    with pytest.raises(UsageError, match="X is weighted; expected an array"):
        neuron.predict_proba(Parameters.zeros(12), data[0])
    with pytest.raises(DataError, match="X has shape"):
        weighted(X[0], np.ones(120))
    with pytest.raises(DataError, match="Y has shape"):
        neuron.cost(Parameters.zeros(12), data[0], Y[:, :3])


def test_one_that_is_stuck_far_from_a_minimum_says_so(rng):
    X = rng.standard_normal((200, 3))
    y = (X[:, 0] > 0).astype(int)
    X[:, 1:] += 1e9
    with pytest.warns(ConvergenceWarning, match=r"not converged: after \d+ epochs the gradient .*; scale X"):
        NeuronClassifier().fit(X, y)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_feature_far_from_0_and_on_a_large_scale_is_none_that_sticks(dtype, rng):
    X = rng.standard_normal((200, 3))
    y = (X[:, 0] > 0).astype(int)
    X[:, 2] = 1.7e9 + 1e6 * X[:, 2]
    assert NeuronClassifier(dtype=dtype).fit(X, y).score(X, y) > 0.98


@pytest.mark.parametrize("seed", [4, 5, 6])
@pytest.mark.parametrize("size", [1e5, 1e6])
def test_a_large_feature_hides_no_gradient_that_is_left(seed, size):
    """The large one's gradient is a million times what is left of the others', and falls at once."""
    rng = np.random.default_rng(seed)
    X = np.c_[rng.standard_normal((300, 4)), rng.random(300) * size]
    y = (X[:, 0] + 0.3 * rng.standard_normal(300) > 0).astype(int)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        low = NeuronClassifier(dtype="float32").fit(X, y)
    assert low.score(X, y) > 0.85 or any("not converged" in str(w.message) for w in said)


def test_masked_values_are_not_taken_for_numbers(rng):
    X, y = np.ma.masked_array(rng.standard_normal((20, 3)), False), np.array([0, 1] * 10)
    fitted = NeuronClassifier().fit(X, y)  # none is masked
    X[3, 1] = np.ma.masked
    for call in (lambda: NeuronClassifier().fit(X, y), lambda: fitted.predict(X)):
        with pytest.raises(DataError, match=r"X is a masked array, with 1 of 60 values masked; .* X.filled\(0\)"):
            call()
