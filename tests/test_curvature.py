"""The learning rate that is proposed converges, and one beyond the bound does what was predicted."""

import numpy as np
import pytest

from handgrad import DataError, DivergedError, Parameters, UsageError, backends
from handgrad.backends.numpy import Neuron
from handgrad.curvature import curvature
from handgrad.optimizers import LBFGS
from handgrad.views import mirrored, standardised

KINDS = [
    ("sigmoid", "cross_entropy"),
    ("sigmoid", "squared_error"),
    ("tanh", "squared_error"),
    ("identity", "squared_error"),
]


def problem(seed, labels="learnable"):
    """A random problem: sizes, scales, offsets, correlations, penalties of all kinds."""
    rng = np.random.default_rng(seed)
    n, m = int(rng.integers(1, 12)), int(rng.integers(30, 300))
    m = m if labels == "learnable" else 100 * n + m
    X = rng.standard_normal((n, n)) @ rng.standard_normal((n, m)) * 10 ** rng.uniform(-1, 1) + rng.uniform(
        -3, 3, (n, 1)
    )
    chance = 1 / (1 + np.exp(-X[:1] / X.std())) if labels == "learnable" else 0.5
    return X, (rng.random((1, m)) < chance).astype(int), float(rng.choice([0, 0.01, 1])), 10 ** rng.uniform(-2, 1)


def eigenvalue(X, scale):
    with_one = np.concatenate([scale * X, np.ones((1, X.shape[1]))])
    return np.linalg.eigvalsh(with_one @ with_one.T / X.shape[1])[-1]


@pytest.mark.parametrize("seed", range(10))
def test_the_eigenvalue_is_numpys(backend, dtype, seed):
    X, _, l2, scale = problem(seed)
    found = curvature(backend(l2=l2, input_scale=scale, dtype=dtype), X)
    assert found.eigenvalue == pytest.approx(eigenvalue(X, scale), rel=1e-2)
    assert found.eigenvalue <= eigenvalue(X, scale) * (1 + 1e-4)
    assert found.most == pytest.approx((found.eigenvalue + found.residual) / 4 + l2)
    assert found.least == l2
    assert (found.bound, found.proposed) == (2 / found.most, 1 / found.most)


@pytest.mark.parametrize("seed", range(30))
def test_the_proposed_rate_converges(seed):
    """The cost falls in every epoch, and the gradient goes to nothing, as fast as the descent lemma says."""
    X, Y, l2, scale = problem(seed)
    for activation, loss in KINDS:
        neuron = Neuron(activation, loss, l2, scale, "float64")
        found = curvature(neuron, X)
        P, begun = neuron.fit(X, Y, epochs=1000, learning_rate=found.proposed)
        _, ended = neuron.fit(X, Y, epochs=1000, learning_rate=found.proposed, initial=P)
        costs = np.append(begun.train_cost, ended.train_cost)
        assert found.verdict(found.proposed) == "falls"
        rounding = 1e-13 * costs[0]
        assert (np.diff(costs) <= rounding).all()
        # The descent lemma: each epoch lowers the cost by the square of the gradient, times half of the rate.
        dW, db = neuron.gradients(P, X, Y)
        fall = found.proposed / 2 * float((dW**2).sum() + db**2)
        after = neuron.cost(neuron.step(P, X, Y, found.proposed), X, Y)
        assert neuron.cost(P, X, Y) - after >= fall * 0.999 - rounding
        assert fall <= costs[0] / 1000


@pytest.mark.filterwarnings("ignore::handgrad.RisingCostWarning")
@pytest.mark.parametrize("seed", range(30))
def test_2_1_times_the_bound_diverges_and_0_95_does_not(seed):
    """A least squares cost bends the same everywhere, so that it must; the parameters go to infinity."""
    X, Y, l2, scale = problem(seed)
    neuron = Neuron("identity", "squared_error", l2, scale, "float64")
    found = curvature(neuron, X)
    assert found.verdict(2.1 * found.bound) == "must diverge"
    with pytest.raises(DivergedError):
        neuron.fit(X, Y, epochs=20_000, learning_rate=2.1 * found.bound)
    _, history = neuron.fit(X, Y, epochs=200, learning_rate=0.95 * found.bound)
    assert history.train_cost[-1] <= history.train_cost[0]


@pytest.mark.filterwarnings("ignore::handgrad.RisingCostWarning")
@pytest.mark.parametrize("seed", range(30))
def test_2_1_times_the_bound_does_not_settle_for_cross_entropy(seed):
    """Gradients of the sigmoid are bounded, and so are its steps: it does not go to infinity, nor to the minimum.

    Labels are coins, so that A is near 1/2 at the minimum, where the cost bends nearly as sharply as it can anywhere.
    """
    X, Y, l2, scale = problem(seed, labels="coins")
    neuron = Neuron("sigmoid", "cross_entropy", l2, scale, "float64")
    found = curvature(neuron, X)
    best, _ = neuron.fit(X, Y, epochs=2000, optimizer=LBFGS(tolerance=1e-12))
    near = Parameters(best.W * (1 + 1e-3) + 1e-3, best.b)
    try:
        _, history = neuron.fit(X, Y, epochs=3000, learning_rate=2.1 * found.bound, initial=near)
    except DivergedError as error:  # by the penalty, whose gradient is not bounded
        assert found.verdict(2.1 * found.bound) == "must diverge"
        history = error.history
    off = history.train_cost - neuron.cost(best, X, Y)
    assert off[-100:].max() > 10 * off[0]
    _, stable = neuron.fit(X, Y, epochs=300, learning_rate=0.95 * found.bound, initial=near)
    assert stable.train_cost[-1] <= stable.train_cost[0]


def test_of_views_it_is_that_of_copies(backend, rng):
    X = rng.integers(0, 256, (40, 60), np.uint8).T
    flipped = X.T.reshape(40, 4, 5, 3)[:, :, ::-1].reshape(40, 60).T
    both = np.concatenate([X, flipped], axis=1)
    neuron = backend(input_scale=1 / 255, dtype="float64")
    assert curvature(neuron, mirrored(X, (4, 5, 3))).eigenvalue == pytest.approx(eigenvalue(both, 1 / 255), rel=1e-3)
    standard = (X - X.mean(axis=1, keepdims=True)) / X.std(axis=1, keepdims=True)
    found = curvature(backend(dtype="float64"), standardised(X))
    assert found.eigenvalue == pytest.approx(eigenvalue(standard, 1), rel=1e-2)


def test_it_reads_x_once_an_iteration_by_the_backends_own_sums(monkeypatch, rng):
    read = []
    real = Neuron.sums
    monkeypatch.setattr(Neuron, "sums", lambda *given: read.append(given[0].activation) or real(*given))
    found = curvature(Neuron(), rng.standard_normal((5, 20)))
    assert read == ["identity"] * found.iterations


def test_a_relu_has_no_rate_that_is_sure(rng):
    found = curvature(Neuron("relu", "squared_error"), rng.standard_normal((5, 20)))
    assert (found.most, found.bound, found.proposed) == (np.inf, 0, None)
    assert found.verdict(1e-9) == "may not settle"


def test_moments_that_overflow_are_named():
    with pytest.raises(UsageError, match="X has moments beyond float32; scale it down"):
        curvature(backends.load("numpy")(), np.full((2, 3), 1e30))


def test_a_plateau_on_the_way_is_not_taken_for_the_end():
    """All directions alike, but for one in 1500 that is sharper, of which a random start has next to nothing."""
    Z = np.sqrt(1500) * np.eye(1500)
    Z[7] *= np.sqrt(1.5)
    X = np.concatenate([Z, -Z], axis=1)
    found = curvature(Neuron("identity", "squared_error", dtype="float64"), X)
    assert found.eigenvalue == pytest.approx(1.5, rel=1e-3)
    assert found.iterations > 10


@pytest.mark.parametrize("X", [[[]], np.zeros(3), [1, 2], np.zeros((0, 3)), np.array([["a"]])])
def test_what_is_no_x_is_one_line(X):
    with pytest.raises(DataError, match=r"^X has "):
        curvature(Neuron(), X)


def test_a_penalty_alone_can_make_it_diverge(rng):
    X = rng.standard_normal((3, 20))
    found = curvature(Neuron(l2=10.0), X)
    assert found.verdict(0.21) == "must diverge"
    assert curvature(Neuron(l2=10.0), np.zeros((3, 20))).eigenvalue == pytest.approx(1)
