"""Mirrored and standardised examples: exactly what copies of them would give, without a copy."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handgrad import DataError, HandgradError, Parameters, UsageError, backends
from handgrad.blocks import Blocks
from handgrad.optimizers import LBFGS, SGD, GradientDescent
from handgrad.rounding import bounds, gamma
from handgrad.views import Views, batch, mirrored, standardised

SIZE = 4, 5, 3
N = 60
KINDS = ["mirrored", "standardised", "both", "standardised, then mirrored"]


def seen(kind, X):
    """The views, and the copies that they stand for."""
    flipped = X.T.reshape(-1, *SIZE)[:, :, ::-1].reshape(-1, N).T
    if kind == "mirrored":
        return mirrored(X, SIZE), np.concatenate([X, flipped], axis=1)
    if kind == "standardised":
        return standardised(X), standard(X, X)
    both = np.concatenate([X, flipped], axis=1)
    if kind == "both":
        return standardised(mirrored(X, SIZE)), standard(both, both)
    alone = standard(X, X)
    return mirrored(standardised(X), SIZE), np.concatenate(
        [alone, alone.T.reshape(-1, *SIZE)[:, :, ::-1].reshape(-1, N).T], axis=1
    )


def standard(X, of):
    of = of.astype(float)
    deviation = of.std(axis=1, keepdims=True)
    deviation[deviation == 0] = 1
    return (X - of.mean(axis=1, keepdims=True)) / deviation


@pytest.fixture
def pictures(rng):
    X = rng.integers(0, 256, (40, N), np.uint8).T
    X[7] = 200  # never changes
    return X, rng.integers(0, 2, (1, 40))


def labels(views, Y):
    return np.tile(Y, len(views.views))


@pytest.mark.parametrize("block", [0, 7])
@pytest.mark.parametrize("kind", KINDS)
def test_cost_gradients_and_activations_are_those_of_copies(backend, dtype, kind, block, pictures, monkeypatch):
    X, Y = pictures
    views, copies = seen(kind, X)
    assert views.shape == copies.shape
    scale = 1 / 255 if kind == "mirrored" else 1.0
    neuron = backend(input_scale=scale, dtype=dtype, l2=0.1)
    exact = backends.load("numpy")(input_scale=scale, dtype="float64", l2=0.1)
    P, Y = Parameters.random(N, 1), labels(views, Y)
    if block:
        monkeypatch.setattr(neuron.__class__, "_placed", lambda _, X, __: Blocks(X, block))
    cost, dW, db, of_A = allowed(neuron, P, views, Y)
    assert abs(neuron.cost(P, views, Y) - exact.cost(P, copies, Y)) <= cost
    found, right = neuron.gradients(P, views, Y), exact.gradients(P, copies, Y)
    assert np.all(abs(found.dW - right.dW) <= dW)
    assert abs(found.db - right.db) <= db
    A = neuron.predict_proba(P, views)
    assert A.shape == (1, copies.shape[1])
    assert np.all(abs(A - exact.predict_proba(P, copies)) <= of_A)
    assert neuron.accuracy(P, views, Y) == exact.accuracy(P, copies, Y)


def allowed(neuron, P, views, Y):
    """How far folded parameters on X may be from parameters on copies, by rounding: of folding, of X, of unfolding."""
    u, s = np.finfo(neuron.dtype).eps / 2, neuron.input_scale
    k, found = len(views.views), []
    for view, which in views:
        mean, deviation = (0, 1) if view.deviation is None else (view.mean, view.deviation)
        folded = view.fold(P, s)
        shift = s * abs(P.W / deviation * mean).sum() + abs(P.b)
        off = Parameters(3 * u * abs(folded.W), (gamma(N + 4, u) * shift).sum())
        cost, dW, db, A = bounds(neuron, folded, views.X, Y[:, which], within=off)
        raw = backends.load("numpy")(input_scale=s, dtype="float64").gradients(folded, views.X, Y[:, which])
        order = slice(None) if view.order is None else view.order
        dW = (dW[:, order] + s * mean * db + 4 * u * (abs(raw.dW[:, order]) + s * abs(raw.db) * mean)) / deviation
        found.append((cost, dW, db, A))
    costs, dWs, dbs, As = zip(*found, strict=True)
    penalty = 8 * u * neuron.l2 * abs(P.W)
    return (
        sum(costs) / k + gamma(N, u) * (P.W**2).sum(),
        sum(dWs) / k + penalty + 4 * u * abs(sum(dWs)),
        sum(dbs) / k * (1 + 4 * u),
        np.concatenate(As, axis=1),
    )


@pytest.mark.parametrize(
    "optimizer", [GradientDescent(0.01), LBFGS(), SGD(0.001, batch=40)], ids=["gd", "lbfgs", "sgd"]
)
@pytest.mark.parametrize("kind", KINDS)
def test_training_is_that_on_copies(backend, kind, optimizer, pictures):
    X, Y = pictures
    views, copies = seen(kind, X)
    neuron = backend(input_scale=1 / 255 if kind == "mirrored" else 1.0, dtype="float64", l2=0.1)
    Y = labels(views, Y)
    if isinstance(optimizer, SGD) and len(views.views) > 1:  # batches of copies do not hold pairs; here all are in one
        optimizer = SGD(0.001, batch=1000)
    options = dict(epochs=15, optimizer=optimizer, validation=(views, Y), initial=Parameters.random(N, 2))
    P, history = neuron.fit(views, Y, **options)
    Q, expected = neuron.fit(copies, Y, **options | dict(validation=(copies, Y)))
    np.testing.assert_allclose(history.train_cost, expected.train_cost, rtol=1e-9)
    np.testing.assert_allclose(history.validation_cost, expected.validation_cost, rtol=1e-9)
    np.testing.assert_allclose(P.W, Q.W, atol=1e-6 * abs(Q.W).max())


@pytest.mark.parametrize("kind", KINDS)
def test_folded_parameters_are_for_examples_as_they_are_stored(backend, dtype, kind, pictures):
    X, _ = pictures
    views, copies = seen(kind, X)
    neuron = backend(input_scale=0.5, dtype=dtype)
    P = Parameters(*(V.astype(dtype) for V in Parameters.random(N, 3)))
    folded = views.folded(P, 0.5)
    assert (folded.W.dtype, folded.b.dtype, folded.W.shape, folded.b.shape) == (dtype, dtype, (1, N), ())
    expected = neuron.predict_proba(P, copies[:, :40])
    np.testing.assert_allclose(neuron.predict_proba(folded, X), expected, rtol=3e3 * np.finfo(dtype).eps)
    others = np.ascontiguousarray(X[:, ::-1])
    np.testing.assert_allclose(
        neuron.predict_proba(P, views.of(others)), expected[:, ::-1], rtol=3e3 * np.finfo(dtype).eps
    )


@given(scale=st.sampled_from([1e-3, 1.0, 1e6]), offset=st.sampled_from([0.0, 1.0, -1e6]), seed=st.integers(0, 50))
def test_standardised_floats_have_mean_0_and_deviation_1(scale, offset, seed):
    rng = np.random.default_rng(seed)
    X = offset + scale * rng.standard_normal((5, 30))
    X[2] = offset
    (view,) = standardised(X).views
    found = (X - view.mean.T) / view.deviation.T
    rounding = 1e-10 * max(1, abs(offset) / scale)
    np.testing.assert_allclose(found.mean(axis=1), 0, atol=rounding)
    np.testing.assert_allclose(found.std(axis=1), [1, 1, 0, 1, 1], atol=rounding)


def test_a_batch_holds_its_examples_in_all_of_their_views(pictures):
    views, copies = seen("mirrored", pictures[0])
    chosen = np.array([5, 0, 39])
    found, its_labels = batch(views, np.arange(80)[np.newaxis], chosen)
    np.testing.assert_array_equal(its_labels, [[5, 0, 39, 45, 40, 79]])
    parts = [found.X if view.order is None else found.X[view.order] for view in found.views]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), copies[:, its_labels[0]])


PROGRAM = """
import sys
import numpy as np
from handgrad import backends
from handgrad.benchmarks.training import _most_memory
from handgrad.views import mirrored, standardised

neuron = backends.load(sys.argv[1])(input_scale=1.0, dtype="float32")
X = np.random.default_rng(0).integers(0, 256, (10_000, 3072), np.uint8).T
Y = np.arange(10_000)[np.newaxis] % 2
views = mirrored(X, (32, 32, 3))
if sys.argv[2] == "both":
    views = standardised(mirrored(X, (32, 32, 3)))
for given, labels in (X, Y), (views, np.tile(Y, 2)):
    taken = []
    for _ in range(5):  # the first compiles
        with _most_memory() as most:
            neuron.fit(given, labels, epochs=2, learning_rate=1e-9, span=False)
        taken.append(most() / 2**20)
    print(max(taken[1:]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
@pytest.mark.parametrize("name", backends.names())
@pytest.mark.parametrize("kind", ["mirrored", "both"])
def test_views_take_no_memory(name, kind):
    pytest.importorskip(name)
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, name, kind]
    plain, viewed = map(float, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    # MiB; a copy would take 29 as bytes, and 117 as float32. JAX frees the bytes that it converts now and then only.
    assert viewed < plain + (40 if name == "jax" else 8)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda X: mirrored(X, (4, 4, 3)), r"size is \(4, 4, 3\); expected \(h, w, c\) of examples with 60 features"),
        (lambda X: mirrored(X, (60,)), r"size is \(60,\)"),
        (lambda X: standardised(standardised(X)), "expected a NumPy array, or views that only mirror one"),
        (lambda X: mirrored(X, 60), "size is 60; expected"),
        (lambda X: mirrored(X, (-4, -5, 3)), r"size is \(-4, -5, 3\)"),
        (lambda X: mirrored(X[0], SIZE), r"X has shape \(40,\); expected \(n, m\)"),
        (lambda X: standardised(X[:, :0]), r"X has shape \(60, 0\)"),
        (lambda _: standardised([["a"]]), "X has dtype <U1"),
        (lambda X: Views(X, []), "views is empty; expected one view or more"),
    ],
)
def test_what_cannot_be_seen_so_is_one_line(make, said, pictures):
    with pytest.raises(HandgradError, match=said):
        make(pictures[0])


def test_what_is_not_finite_is_found_in_training_and_named(pictures):
    X = pictures[0].astype(float)
    X[3, 5] = np.inf
    with pytest.raises(DataError, match=r"X\[3, 5\] is inf"):
        backends.load("numpy")().fit(standardised(X), pictures[1], epochs=1, learning_rate=0.1)


def test_a_batch_of_what_the_fused_step_holds():
    """On a GPU, JAX holds X as rows."""
    pytest.importorskip("jax")
    from handgrad.backends.jax import Inputs

    rows = np.arange(12).reshape(4, 3)
    found, labels = batch(Inputs(rows), np.arange(4)[np.newaxis], np.array([2, 0]))
    np.testing.assert_array_equal(found.rows, rows[[2, 0]])
    assert (found.shape, labels.tolist()) == ((3, 2), [[2, 0]])


def test_labels_are_given_for_all_views(pictures):
    X, Y = pictures
    neuron = backends.load("numpy")()
    with pytest.raises(DataError, match=r"Y has shape \(1, 40\); expected \(1, 80\)"):
        neuron.cost(Parameters.zeros(N), mirrored(X, SIZE), Y)
    with pytest.raises(UsageError, match="span is True and X is a view"):
        neuron.fit(mirrored(X, SIZE), np.tile(Y, 2), epochs=1, learning_rate=0.1, span=True)
    assert isinstance(mirrored(X, SIZE).of(X), Views)
