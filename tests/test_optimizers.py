"""Every optimizer, on every backend: over the same sums, by the same loop, to the same optimum."""

import inspect
from unittest import mock

import numpy as np
import pytest

from handgrad import DivergedError, MissingExtraError, Parameters, UsageError, backends, descent, optimizers, threads
from handgrad.backend import Backend
from handgrad.backends.numpy import Neuron as ByHand
from handgrad.optimizers import LBFGS, SGD, GradientDescent
from handgrad.views import mirrored

OPTIMIZERS = {
    "gd": GradientDescent(0.2),
    "sgd": SGD(0.02, batch=7, schedule="cosine"),
    "lbfgs": LBFGS(memory=4),
}
EVERY = pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)


@pytest.fixture
def examples(rng):
    X = rng.integers(0, 256, (50, 30), np.uint8).T
    return X, (rng.random((1, 50)) < 0.2 + 0.6 * (X[:1] > 128)).astype(np.uint8)


@EVERY
def test_the_history_has_the_same_form(backend, dtype, optimizer, examples):
    neuron = backend(input_scale=1 / 255, dtype=dtype, l2=0.01)
    P, history = neuron.fit(*examples, epochs=20, optimizer=optimizer, validation=examples, validation_every=3)
    assert history.train_cost[0] == pytest.approx(np.log(2), rel=1e-6)
    assert history.train_cost[-1] < history.train_cost[0]
    assert history.validation_cost[0] == pytest.approx(history.train_cost[0], rel=1e-6)
    assert (history.validation_cost[3::3] < history.train_cost[3::3]).all()  # which have the penalty
    assert np.isnan(history.validation_cost[1::3]).all()
    assert {len(column) for column in vars(history).values()} == {len(history)}
    assert (P.W.dtype, P.b.dtype, P.W.shape, type(P.W)) == (dtype, dtype, (1, 30), np.ndarray)
    assert neuron.cost(P, *examples) <= history.train_cost[-1] * (1 + 1e-6)
    if not isinstance(optimizer, LBFGS):
        assert (history.evaluations == 1).all()


@EVERY
@pytest.mark.parametrize("view", [False, True])
def test_a_training_that_was_stopped_anywhere_ends_with_the_same_bits(backend, dtype, optimizer, view, examples):
    X, Y = examples
    if view:
        X, Y = mirrored(X, (2, 5, 3)), np.tile(Y, 2)
    neuron = backend(input_scale=1 / 255, dtype=dtype, l2=0.01)
    options = dict(epochs=25, optimizer=optimizer, validation=(X, Y), patience=20)
    whole, history = neuron.fit(X, Y, **options)
    for epochs in 1, 3, 6:
        states = []

        def watch(state, epochs=epochs, states=states):
            states.append(state())
            return len(states) == epochs

        with mock.patch.object(descent, "BLOCK_SECONDS", 0.0):
            neuron.fit(X, Y, watch=watch, **options)
        assert states[-1].here.epoch == epochs
        P, rest = neuron.fit(X, Y, resume=states[-1], **options)
        for V, W in zip(
            (*P, rest.train_cost, rest.evaluations), (*whole, history.train_cost, history.evaluations), strict=True
        ):
            np.testing.assert_array_equal(V, W)


@pytest.mark.parametrize("l2", [1e-3, 1e-1, 3.0])
def test_the_optimum_is_scikit_learns(backend, l2, rng):
    """With a penalty there is one optimum; the intercept is not penalised."""
    sklearn = pytest.importorskip("sklearn.linear_model")
    X = rng.integers(0, 256, (200, 30), np.uint8).T
    Y = (rng.random((1, 200)) < 0.15 + 0.5 * (X[:1] > 128)).astype(np.uint8)
    neuron = backend(input_scale=1 / 255, dtype="float64", l2=l2)
    P, history = neuron.fit(X, Y, epochs=2000, optimizer=LBFGS(tolerance=0))
    assert len(history) < 2000  # it ends when rounding leaves nothing to gain
    other = sklearn.LogisticRegression(C=1 / (200 * l2), solver="newton-cholesky", tol=1e-14, max_iter=1000)
    other.fit(X.T / 255, Y[0])
    W, b = other.coef_, other.intercept_[0]
    assert np.linalg.norm(P.W - W) <= 1e-6 * np.linalg.norm(W)
    assert abs(P.b - b) <= 1e-6 * abs(b)
    gradients = neuron.gradients(P, X, Y)
    assert max(abs(gradients.dW).max(), abs(gradients.db)) < 1e-8


def test_lbfgs_ends_at_the_tolerance(backend, examples):
    neuron = backend(input_scale=1 / 255, dtype="float64", l2=0.1)
    P, history = neuron.fit(*examples, epochs=500, optimizer=LBFGS(tolerance=1e-4))
    dW, db = neuron.gradients(P, *examples)
    assert 0 < max(abs(dW).max(), abs(db)) <= 1e-4
    assert len(history) < 100
    assert history.evaluations[-1] == 0  # the last one only saw that the gradient is small
    assert history.train_cost[-1] == pytest.approx(neuron.cost(P, *examples), rel=1e-15)


def test_lbfgs_in_float32_goes_on_until_rounding_hides_the_way(backend, examples):
    neuron = backend(input_scale=1 / 255, dtype="float32", l2=0.01)
    P, history = neuron.fit(*examples, epochs=1000, optimizer=LBFGS(tolerance=0))
    assert len(history) < 1000
    exact = ByHand(input_scale=1 / 255, dtype="float64", l2=0.01)
    Q, _ = exact.fit(*examples, epochs=1000, optimizer=LBFGS(tolerance=0))
    assert exact.cost(Parameters(*(V.astype(float) for V in P)), *examples) == pytest.approx(
        exact.cost(Q, *examples), rel=1e-6
    )
    assert (np.diff(history.train_cost) < 0).all()


@pytest.mark.parametrize("scale", [1e-3, 1.0, 100.0])
def test_the_curvature_that_lbfgs_learns_does_not_depend_on_the_scale(backend, dtype, scale, rng):
    """The same problem, in other units of X: W is smaller, and everything else the same."""
    X = rng.integers(0, 256, (400, 2000), np.uint8).T
    Y = (rng.random((1, 400)) < 0.2 + 0.6 * (X[:1] > 128)).astype(np.uint8)
    found = []
    for s in 1 / 255, scale:
        neuron = backend(input_scale=s, dtype=dtype, l2=1e-3 * (255 * s) ** 2)
        _, history = neuron.fit(X, Y, epochs=40, optimizer=LBFGS(tolerance=0))
        found.append(history)
    assert found[1].train_cost[-1] == pytest.approx(found[0].train_cost[-1], rel=0.02)
    assert found[1].evaluations.sum() < 2 * found[0].evaluations.sum()


def test_however_the_epochs_are_divided_as_many_gradients_are_counted(rng):
    for seed in range(30):
        rng = np.random.default_rng(seed)
        X, Y = rng.standard_normal((3, 12)), rng.integers(0, 2, (1, 12))
        neuron = ByHand(dtype="float32", l2=0.1)
        counted = []
        for seconds in 0.0, 10.0:
            with mock.patch.object(descent, "BLOCK_SECONDS", seconds):
                counted.append(neuron.fit(X, Y, epochs=60, optimizer=LBFGS(tolerance=0))[1].evaluations)
        np.testing.assert_array_equal(*counted)


@pytest.mark.filterwarnings("ignore::handgrad.RisingCostWarning")
def test_an_early_stop_comes_before_a_cost_that_overflows_in_the_same_block(examples):
    neuron = ByHand("identity", "squared_error")
    options = dict(epochs=400, learning_rate=1e-4, validation=examples, patience=3)
    ended = []
    for seconds in 0.0, 100.0:
        with mock.patch.object(descent, "BLOCK_SECONDS", seconds):
            P, history = neuron.fit(*examples, **options)
            ended.append((len(history), P.W.tobytes()))
    assert ended[0] == ended[1] == (4, np.zeros((1, 30), np.float32).tobytes())


def test_a_state_of_one_optimizer_is_not_gone_on_from_by_another(examples):
    states = []
    ByHand().fit(*examples, epochs=9, optimizer=SGD(1e-4), watch=lambda state: states.append(state()) or True)
    with pytest.raises(UsageError, match=r"resume is a state of SGD\(learning_rate=0.0001.*expected one of LBFGS"):
        ByHand().fit(*examples, epochs=9, optimizer=LBFGS(), resume=states[0])


@pytest.mark.parametrize("optimizer", ["lbfgs", LBFGS])
def test_what_is_no_optimizer_is_named(examples, optimizer):
    with pytest.raises(UsageError, match=r"optimizer is .*; expected one of handgrad.optimizers, as LBFGS\(\)"):
        ByHand().fit(*examples, epochs=1, optimizer=optimizer)


def test_auto_is_the_soonest(backend, dtype, examples):
    neuron = backend(input_scale=1 / 255, dtype=dtype, l2=0.01)
    P, history = neuron.fit(*examples, epochs=9, optimizer="auto")
    Q, _ = neuron.fit(*examples, epochs=9, optimizer=LBFGS())
    np.testing.assert_array_equal(P.W, Q.W)
    _, descent = neuron.fit(*examples, epochs=9, learning_rate=0.2)
    assert history.train_cost[-1] < descent.train_cost[-1]


def test_lbfgs_counts_every_gradient(examples):
    counted = []
    real = ByHand.sums
    with mock.patch.object(ByHand, "sums", lambda *given: counted.append(1) or real(*given)):
        _, history = ByHand(input_scale=1 / 255).fit(*examples, epochs=12, optimizer=LBFGS())
    assert len(counted) == history.evaluations.sum() > 12


def test_numpys_products_have_one_thread_beside_a_backend_that_has_its_own(backend, examples):
    """Else both kinds spin on the same cores, and PyTorch's step takes twice as long."""
    threadpoolctl = pytest.importorskip("threadpoolctl")
    optimizers._scipy()

    def threads():
        return {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["internal_api"] == "openblas"}

    seen, real, before = [], backend.sums, threads()
    assert before
    with mock.patch.object(backend, "sums", lambda *given: seen.append(threads()) or real(*given)):
        backend(input_scale=1 / 255, l2=0.01).fit(*examples, epochs=3, optimizer=LBFGS())
    assert all(during == ({1} if backend.own_threads else before) for during in seen)
    assert threads() == before


def test_without_threadpoolctl_lbfgs_ends_at_the_same_place(examples, without, request):
    numba = pytest.importorskip("handgrad.backends.numba", exc_type=ImportError).Neuron(input_scale=1 / 255, l2=0.01)
    expected, _ = numba.fit(*examples, epochs=50, optimizer=LBFGS())
    request.addfinalizer(threads._found.cache_clear)
    threads._found.cache_clear()
    without("threadpoolctl")
    found, _ = numba.fit(*examples, epochs=50, optimizer=LBFGS())
    np.testing.assert_allclose(found.W, expected.W, rtol=1e-3, atol=1e-6)


def test_lbfgs_where_there_is_nothing_to_learn():
    X, Y = np.zeros((3, 4)), np.array([[0, 1, 0, 1]])
    P, history = ByHand(dtype="float64").fit(X, Y, epochs=9, optimizer=LBFGS())
    assert (len(history), P.W.any(), P.b) == (1, False, 0)


def test_an_epoch_of_sgd_is_the_formula(backend, dtype, examples):
    X, Y = examples
    neuron = backend(input_scale=1 / 255, dtype=dtype, l2=0.1)
    optimizer = SGD(0.3, momentum=0.5, batch=8, schedule="linear", seed=4)
    P, _ = neuron.fit(X, Y, epochs=3, optimizer=optimizer)
    exact = ByHand(input_scale=1 / 255, dtype="float64", l2=0.1)
    W, b, vW, vb = np.zeros((1, 30)), np.zeros(()), 0.0, 0.0
    for epoch in range(3):
        order = np.random.default_rng((4, epoch)).permutation(50)
        assert sorted(order) == list(range(50))
        for first in range(0, 50, 8):
            which = order[first : first + 8]
            dW, db = exact.gradients(Parameters(W, b), X[:, which], Y[:, which])
            vW, vb = 0.5 * vW + dW, 0.5 * vb + db
            rate = 0.3 * (1 - epoch / 3)
            W, b = W - rate * vW, b - rate * vb
    np.testing.assert_allclose(P.W, W, atol=1e3 * np.finfo(dtype).eps)
    np.testing.assert_allclose(P.b, b, atol=1e3 * np.finfo(dtype).eps)


def test_sgd_of_one_batch_without_momentum_is_gradient_descent(backend, examples):
    neuron = backend(input_scale=1 / 255, dtype="float64")
    P, history = neuron.fit(*examples, epochs=9, optimizer=SGD(0.2, momentum=0, batch=50))
    Q, other = neuron.fit(*examples, epochs=9, learning_rate=0.2)
    np.testing.assert_allclose(P.W, Q.W, atol=1e-14)
    np.testing.assert_allclose(history.train_cost, other.train_cost, rtol=1e-13)


def test_sgd_reads_only_its_batch_of_a_file(backend, examples, tmp_path):
    np.save(tmp_path / "pixels.npy", examples[0].T)
    X = np.load(tmp_path / "pixels.npy", mmap_mode="r").T
    neuron = backend(input_scale=1 / 255)
    P, history = neuron.fit(X, examples[1], epochs=5, optimizer=SGD(0.1, batch=9), block=4)
    Q, other = neuron.fit(*examples, epochs=5, optimizer=SGD(0.1, batch=9))
    np.testing.assert_allclose(P.W, Q.W, atol=1e-6)
    np.testing.assert_allclose(history.train_cost, other.train_cost, rtol=1e-6)


def test_the_seed_of_sgd_decides(examples):
    found = [
        ByHand(input_scale=1 / 255).fit(*examples, epochs=3, optimizer=SGD(0.1, seed=seed))[0].W for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[0] != found[2]).any()


@EVERY
def test_early_stopping_keeps_the_parameters_of_the_best_epoch(backend, dtype, optimizer, rng):
    X, Y = rng.integers(0, 256, (40, 30), np.uint8).T, rng.integers(0, 2, (1, 40))  # nothing to learn: it gets worse
    validation = rng.integers(0, 256, (40, 30), np.uint8).T, rng.integers(0, 2, (1, 40))
    neuron = backend(input_scale=1 / 255, dtype=dtype)
    P, history = neuron.fit(X, Y, epochs=500, optimizer=optimizer, validation=validation, patience=5)
    assert len(history) == history.best_epoch + 6 < 500
    assert history.validation_cost[history.best_epoch] == np.nanmin(history.validation_cost)
    assert neuron.cost(P, *validation) == pytest.approx(history.validation_cost.min(), rel=1e-6)
    whole, _ = neuron.fit(X, Y, epochs=history.best_epoch, optimizer=optimizer)
    if not isinstance(optimizer, SGD):  # whose schedule depends on how many epochs there are to be
        np.testing.assert_array_equal(P.W, whole.W)


def test_patience_counts_epochs_in_which_the_cost_was_taken(examples, rng):
    validation = rng.integers(0, 256, (40, 30), np.uint8).T, rng.integers(0, 2, (1, 40))
    neuron = ByHand(input_scale=1 / 255)
    options = dict(optimizer=LBFGS(), validation=validation, validation_every=4, patience=2)
    _, history = neuron.fit(*examples, epochs=100, **options)
    assert (len(history) - 1) % 4 == 0  # it was judged there, and not before
    assert len(history) - 1 - history.best_epoch == 4


def test_without_an_epoch_there_is_no_best_one(examples):
    P, history = ByHand().fit(*examples, epochs=0, learning_rate=0.1, validation=examples, patience=3)
    assert (len(history), history.best_epoch, P.W.any()) == (0, None, False)


def test_sgd_that_diverges_keeps_the_last_good_parameters(examples):
    neuron = ByHand("identity", "squared_error")
    with pytest.raises(DivergedError, match="the learning rate 1 is too high") as caught:
        neuron.fit(*examples, epochs=50, optimizer=SGD(1.0, batch=10))
    assert np.isfinite(caught.value.parameters.W).all()
    assert len(caught.value.history) == caught.value.epoch


def test_lbfgs_from_a_cost_that_is_not_finite():
    X, Y = np.full((2, 3), 1e200), np.array([[0, 1, 1]])
    start, neuron = (
        Parameters(np.full((1, 2), 1e200), np.zeros(())),
        ByHand("identity", "squared_error", dtype="float64"),
    )
    with pytest.raises(DivergedError, match="the cost of the initial parameters is not finite"):
        neuron.fit(X, Y, epochs=5, optimizer=LBFGS(), initial=start)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: GradientDescent(0), "learning_rate is 0"),
        (lambda: SGD(-1), "learning_rate is -1"),
        (lambda: SGD(1, momentum=1), "momentum is 1.0; expected less than 1"),
        (lambda: SGD(1, batch=0), "batch is 0"),
        (lambda: SGD(1, seed=-1), "seed is -1"),
        (lambda: SGD(1, schedule="step"), "schedule is 'step'; expected one of constant, linear, cosine"),
        (lambda: SGD(1, schedule=["linear"]), r"schedule is \['linear'\]"),
        (lambda: LBFGS(memory=0), "memory is 0"),
        (lambda: LBFGS(tolerance=-1), "tolerance is -1"),
    ],
)
def test_a_wrong_argument_is_one_line(make, said):
    with pytest.raises(UsageError, match=said):
        make()


def test_fit_takes_a_rate_or_an_optimizer(examples):
    for given in {}, {"learning_rate": 1.0, "optimizer": LBFGS()}:
        with pytest.raises(UsageError, match="expected either a learning_rate, of gradient descent, or an optimizer"):
            ByHand().fit(*examples, epochs=1, **given)
    with pytest.raises(UsageError, match="patience is 3 and there is no validation"):
        ByHand().fit(*examples, epochs=1, learning_rate=1.0, patience=3)


def test_without_scipy_lbfgs_says_what_to_install(without):
    without("scipy", "scipy.optimize")
    with pytest.raises(MissingExtraError, match="SciPy is not installed; install it with: pip install"):
        LBFGS()


def test_no_backend_has_a_training_of_its_own():
    """Only what `Backend` says that one writes, or may override."""
    allowed = {word for word in vars(Backend) if not word.startswith("_")}
    for name in backends.names():
        try:
            backend = backends.load(name)
        except MissingExtraError:
            continue
        assert {word for word in vars(backend) if not word.startswith("_")} <= allowed
        source = inspect.getsource(inspect.getmodule(backend))
        assert not any(word in source for word in ("optimizers", "SGD", "LBFGS", "patience"))
    assert optimizers.__doc__
