"""Mirrored, standardised, weighted and shared examples: what copies of them would give, without a copy."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pretended import together

from conftest import plain_environment
from handgrad import DataError, HandgradError, Parameters, UsageError, backends
from handgrad.objective import Objective
from handgrad.optimizers import LBFGS, SGD, GradientDescent
from handgrad.processes import ALONE
from handgrad.rounding import bounds, gamma
from handgrad.views import Seen, mirrored, shared, standardised, weighted

SIZE = 4, 5, 3
N = 60
KINDS = ["mirrored", "standardised", "both", "standardised, then mirrored"]


def seen(kind, X):
    """The views, and the copies that they stand for."""
    return viewed(kind, X), copied(kind, X)


def viewed(kind, X):
    match kind:
        case "stored":
            return X
        case "mirrored":
            return mirrored(X, SIZE)
        case "standardised":
            return standardised(X)
        case "both":
            return standardised(mirrored(X, SIZE))
    return mirrored(standardised(X), SIZE)


def copied(kind, X):
    both = np.concatenate([X, flipped(X)], axis=1)
    match kind:
        case "stored":
            return X
        case "mirrored":
            return both
        case "standardised":
            return standard(X, X)
        case "both":
            return standard(both, both)
    alone = standard(X, X)
    return np.concatenate([alone, flipped(alone)], axis=1)


def flipped(X):
    return X.T.reshape(-1, *SIZE)[:, :, ::-1].reshape(-1, N).T


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
def test_cost_gradients_and_activations_are_those_of_copies(backend, dtype, kind, block, pictures):
    X, Y = pictures
    views, copies = seen(kind, X)
    assert views.shape == copies.shape
    scale = 1 / 255 if kind == "mirrored" else 1.0
    neuron = backend(input_scale=scale, dtype=dtype, l2=0.1)
    exact = backends.load("numpy")(input_scale=scale, dtype="float64", l2=0.1)
    P, Y = Parameters.random(N, 1), labels(views, Y)
    examples = neuron.place(views, Y, block)
    assert examples.block == block
    cost, dW, db, of_A = allowed(neuron, P, views, Y)
    assert abs(neuron.cost(P, examples) - exact.cost(P, copies, Y)) <= cost
    found, right = neuron.gradients(P, examples), exact.gradients(P, copies, Y)
    assert np.all(abs(found.dW - right.dW) <= dW)
    assert abs(found.db - right.db) <= db
    A = neuron.predict_proba(P, examples)
    assert A.shape == (1, copies.shape[1])
    assert np.all(abs(A - exact.predict_proba(P, copies)) <= of_A)
    assert neuron.accuracy(P, examples) == exact.accuracy(P, copies, Y)


def allowed(neuron, P, views, Y):
    """How far folded parameters on X may be from parameters on copies, by rounding: of folding, of X, of unfolding."""
    u, s, m, k = np.finfo(neuron.dtype).eps / 2, neuron.input_scale, views.X.shape[1], len(views.views)
    found = []
    for v, view in enumerate(views.views):
        which = slice(v * m, (v + 1) * m)
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


SEVERAL = pytest.mark.parametrize("processes", [1, 3], ids=["alone", "three processes"])
"""Of which, of weighted examples, the first has none that counts, and the last has the largest weights."""


@pytest.fixture
def every(pictures, rng):
    """Labels that differ from view to view, and whole weights that do, of as many copies as a kind has."""

    def of(kind):
        copies = copied(kind, pictures[0])
        Y, w = rng.integers(0, 2, (1, copies.shape[1])), rng.integers(0, 4, copies.shape[1])
        w.reshape(-1, 40)[:, :13] = 0
        w.reshape(-1, 40)[:, 26:] *= 2
        return copies, Y, w

    return of


def share(kind, X, Y, w, processes):
    """What a process has of views of X, their labels and their weights."""
    mine = processes.share(X.shape[1])
    Y, w = (V.reshape(-1, X.shape[1])[:, mine].ravel() for V in (Y, w))
    return weighted(viewed(kind, shared(X[:, mine], processes)), w), Y[np.newaxis]


@SEVERAL
@pytest.mark.parametrize("kind", ["stored", *KINDS])
def test_weights_labels_of_each_view_and_shares_are_those_of_copies(backend, dtype, kind, processes, pictures, every):
    copies, Y, w = every(kind)
    neuron, exact = (make(l2=0.1, dtype=of) for make, of in ((backend, dtype), (backends.load("numpy"), "float64")))
    P = Parameters.random(N, 1) if "standardised" in kind or kind == "both" else 0.01 * Parameters.random(N, 1)
    repeated = np.repeat(copies, w, axis=1), np.repeat(Y, w, axis=1)
    right, rel = exact.gradients(P, *repeated), 1e3 * float(np.finfo(dtype).eps)

    def found(processes):
        examples = neuron.place(*share(kind, pictures[0], Y, w, processes))
        return neuron.cost(P, examples), *neuron.gradients(P, examples)

    for cost, dW, db in together(processes, found):
        assert cost == pytest.approx(exact.cost(P, *repeated), rel=rel)
        assert (dW.dtype, db.dtype) == (dtype, dtype)
        np.testing.assert_allclose(dW, right.dW, atol=rel * abs(right.dW).max())
        np.testing.assert_allclose(db, right.db, atol=rel)


@SEVERAL
@pytest.mark.parametrize("kind", ["stored", *KINDS])
def test_a_batch_holds_its_examples_with_their_weights_in_all_of_their_views(
    backend, dtype, kind, processes, pictures, every, rng
):
    """Its gradients are sums of w dL, divided by its size and by the mean weight of all examples."""
    copies, Y, w = every(kind)
    neuron, exact = (make(dtype=of) for make, of in ((backend, dtype), (backends.load("numpy"), "float64")))
    P = 0.01 * Parameters.random(N, 1)
    counted = np.flatnonzero(w.reshape(-1, 40).any(axis=0))
    numbers = rng.permutation(len(counted))[:9]
    some = (np.arange(0, w.size, 40)[:, np.newaxis] + counted[numbers]).ravel()
    right = exact.sums(P, np.repeat(copies[:, some], w[some], axis=1), np.repeat(Y[:, some], w[some], axis=1))
    size = 9 * w.sum() / len(counted)

    def found(processes):
        examples = neuron.place(*share(kind, pictures[0], Y, w, processes))
        assert examples.m == len(counted)
        with neuron.arithmetic():
            loss, dW, db, m = Objective(neuron, examples.batch(numbers)).sums(neuron.put_parameters(P))
        return [neuron.get(V).astype(float) / m for V in (loss, dW, db)]

    rel = 1e3 * float(np.finfo(dtype).eps)
    for means in together(processes, found):
        for mean, total in zip(means, right, strict=False):
            np.testing.assert_allclose(mean, total / size, atol=rel * abs(total / size).max())


@SEVERAL
@pytest.mark.parametrize(
    "optimizer", [GradientDescent(0.01), LBFGS(), SGD(0.001, batch=1000)], ids=["gd", "lbfgs", "sgd"]
)
def test_training_on_all_of_this_is_that_on_copies(backend, optimizer, processes, pictures, every):
    copies, Y, w = every("both")
    neuron = backend(dtype="float64", l2=0.1)
    options = dict(epochs=15, optimizer=optimizer, initial=Parameters.random(N, 2))
    repeated = np.repeat(copies, w, axis=1), np.repeat(Y, w, axis=1)
    Q, expected = neuron.fit(*repeated, validation=repeated, **options)

    def found(processes):
        X, Y_here = share("both", pictures[0], Y, w, processes)
        return neuron.fit(X, Y_here, validation=(X, Y_here), **options)

    for P, history in together(processes, found):
        np.testing.assert_allclose(history.train_cost, expected.train_cost, rtol=1e-9)
        np.testing.assert_allclose(history.validation_cost, expected.validation_cost, rtol=1e-9)
        np.testing.assert_allclose(P.W, Q.W, atol=1e-6 * abs(Q.W).max())


def test_an_image_in_the_mirror_has_the_weight_of_its_example(pictures, rng):
    X, w = pictures[0], rng.integers(0, 4, 40)
    np.testing.assert_array_equal(mirrored(weighted(X, w), SIZE).weights, np.tile(w, 2))
    neuron, P, Y = backends.load("numpy")(input_scale=1 / 255), Parameters.random(N, 1), rng.integers(0, 2, (1, 80))
    ways = mirrored(weighted(X, w), SIZE), weighted(mirrored(X, SIZE), np.tile(w, 2))
    np.testing.assert_equal(*(neuron.gradients(P, way, Y) for way in ways))


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
for given, labels in (X, Y), (views, np.tile(Y, 2)), (standardised(views), np.tile(Y, 2)):
    taken = []
    for _ in range(5):  # the first compiles
        with _most_memory() as most:
            neuron.fit(given, labels, epochs=2, learning_rate=1e-9, span=False)
        taken.append(most() / 2**20)
    print(max(taken[1:]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
@pytest.mark.parametrize("name", backends.names())
def test_views_take_no_memory(name):
    pytest.importorskip(name)
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, name]
    found = subprocess.run(command, env=plain_environment(), capture_output=True, text=True, check=True)
    plain, *viewed = map(float, found.stdout.split())
    # MiB; a copy would take 29 as bytes, and 117 as float32. JAX frees the bytes that it converts now and then only.
    assert max(viewed) < plain + (40 if name == "jax" else 8)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda X: mirrored(X, (4, 4, 3)), r"size is \(4, 4, 3\); expected \(h, w, c\) of examples X with 60 features"),
        (lambda X: mirrored(X, (60,)), r"size is \(60,\)"),
        (lambda X: standardised(standardised(X)), "expected a NumPy array, or views that only mirror one"),
        (lambda X: mirrored(X, 60), "size is 60; expected"),
        (lambda X: mirrored(X, (-4, -5, 3)), "size is -4; expected a whole number of at least 1"),
        (lambda X: mirrored(X[0], SIZE), r"X has shape \(40,\); expected \(n, m\)"),
        (lambda X: standardised(X[:, :0]), r"X has shape \(60, 0\)"),
        (lambda _: standardised([["a"]]), "X has dtype <U1"),
        (lambda X: standardised(weighted(X, np.ones(40))), "X is weighted; .* standardise first, and then weigh"),
        (lambda X: weighted(weighted(X, np.ones(40)), np.ones(40)), "X is weighted already"),
        (lambda X: weighted(mirrored(X, SIZE), np.ones(40)), r"weights have shape \(40,\); expected \(80,\)"),
        (lambda X: shared(X[0], ALONE), r"X has shape \(40,\); expected \(n, m\)"),
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
    jax = pytest.importorskip("handgrad.backends.jax", exc_type=ImportError)
    rows, weights = np.arange(24).reshape(6, 4), np.array([1, 2, 1, 0, 2, 1])
    for X, expected in (jax.Rows(rows), [[5, 1, 4]]), (weighted(jax.Rows(rows), weights), [[5], [1, 4]]):
        examples = jax.Neuron().place(X, np.zeros((1, 6)))
        numbers = [5, 1, 4] if len(expected) == 1 else [4, 1, 3]  # of the examples that count
        parts = examples.batch(np.array(numbers)).parts
        assert len(parts) == len(expected)
        for part, of in zip(parts, expected, strict=True):
            np.testing.assert_array_equal(np.asarray(part.x), rows[of].T)


def test_labels_are_given_for_all_views(pictures):
    X, Y = pictures
    neuron = backends.load("numpy")()
    with pytest.raises(DataError, match=r"Y has shape \(1, 40\); expected \(1, 80\)"):
        neuron.cost(Parameters.zeros(N), mirrored(X, SIZE), Y)
    with pytest.raises(UsageError, match="span is True and X is a view"):
        neuron.fit(mirrored(X, SIZE), np.tile(Y, 2), epochs=1, learning_rate=0.1, span=True)
    assert isinstance(mirrored(X, SIZE).of(X), Seen)
