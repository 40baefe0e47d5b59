"""Backends that are right agree, one that is wrong does not, and it is said which and by how much."""

import numpy as np
import pytest

from handgrad import DivergedError, Neuron, Parameters, Sums, backends
from handgrad.backends.numpy import Neuron as ByHand
from handgrad.comparison import compare
from handgrad.objective import means


@pytest.fixture
def sets(rng):
    X, Y = rng.integers(0, 256, (200, 300), np.uint8).T, rng.integers(0, 2, (1, 200))
    return (X[:, :150], Y[:, :150]), (X[:, 150:], Y[:, 150:])


class Wrong(Neuron):
    """A backend that is wrong by a factor in one place."""

    put, get, forward, loss_sum = ByHand.put, ByHand.get, ByHand.forward, ByHand.loss_sum
    _logits, _losses = ByHand._logits, ByHand._losses
    factor: dict[str, float]

    def sums(self, parameters, X, Y):
        return Sums(
            *(V * self.factor.get(name, 1) for name, V in ByHand.sums(self, parameters, X, Y)._asdict().items())
        )


@pytest.mark.parametrize(
    ("loss", "activation"), [("cross_entropy", "sigmoid"), ("squared_error", "sigmoid"), ("squared_error", "tanh")]
)
def test_every_backend_agrees_with_numpy(sets, loss, activation, dtype):
    neurons = {
        name: backends.load(name)(activation, loss, 0.01, 1 / 255, dtype) for name in ("numpy", "numba", "torch", "jax")
    }
    rows = compare(neurons, *sets, epochs=100, learning_rate=0.01)
    assert [row.backend for row in rows] == ["numpy", "numba", "torch", "jax"]
    for row in rows:
        assert row.disagreements == []
        assert 0 <= row.train_accuracy <= 1
        assert row.train_cost == pytest.approx(rows[0].train_cost, rel=1e-4)
    assert rows[0].W_difference == rows[0].A_difference == max(rows[0].ratios.values()) == 0
    assert 0 < rows[1].W_difference < (1e-5 if dtype == "float32" else 1e-13)


@pytest.mark.filterwarnings("ignore::handgrad.RisingCostWarning")
@pytest.mark.parametrize(("what", "factor"), [("dW", 1.01), ("dW", -1.0), ("db", 1.001)])
def test_a_backend_that_is_a_little_wrong_disagrees(sets, what, factor):
    Wrong.factor = {what: factor}
    neurons = {"numpy": ByHand(input_scale=1 / 255), "wrong": Wrong(input_scale=1 / 255)}
    right, wrong = compare(neurons, *sets, epochs=20, learning_rate=0.01)
    assert right.disagreements == []
    assert what in wrong.disagreements
    assert wrong.ratios[what] > 1


def test_a_backend_that_returns_nan_disagrees(sets):
    Wrong.factor = {"db": float("nan")}
    neurons = {"numpy": ByHand(input_scale=1 / 255), "wrong": Wrong(input_scale=1 / 255)}
    _, wrong = compare(neurons, *sets, epochs=0, learning_rate=0.01)
    assert wrong.disagreements == ["db", "W", "b"]


@pytest.mark.parametrize(("what", "factor"), [("loss", 1.001), ("A", 1.0001)])
def test_a_wrong_cost_or_activation_disagrees_though_the_descent_is_right(sets, what, factor):
    class WrongValue(Wrong):
        def forward(self, parameters, X):
            return (factor if what == "A" else 1) * ByHand.forward(self, parameters, X)

        def loss_sum(self, parameters, X, Y):
            return (factor if what == "loss" else 1) * ByHand.loss_sum(self, parameters, X, Y)

    Wrong.factor = {}
    neurons = {"numpy": ByHand(input_scale=1 / 255), "wrong": WrongValue(input_scale=1 / 255)}
    _, wrong = compare(neurons, *sets, epochs=10, learning_rate=0.01)
    assert wrong.disagreements == ["cost" if what == "loss" else "A"]


@pytest.mark.parametrize("fault", ["b moves too far", "stale gradient"])
def test_a_descent_that_is_wrong_disagrees_though_every_gradient_is_right(sets, fault):
    class WrongDescent(Wrong):
        def descend(self, parameters, train, validation, learning_rate, epochs, validation_every):
            after = parameters
            for _ in epochs:
                at = parameters if fault == "stale gradient" else after
                after = after - learning_rate * means(0.0, at, self.sums(at, *train))[1]
            if fault == "b moves too far":
                after = after._replace(b=parameters.b + 1.05 * (after.b - parameters.b))
            return after, *np.ones((2, len(epochs)))  # costs, at which nobody looks

    Wrong.factor = {}
    neurons = {"numpy": ByHand(input_scale=1 / 255), "wrong": WrongDescent(input_scale=1 / 255)}
    _, wrong = compare(neurons, *sets, epochs=10, learning_rate=0.05)
    assert wrong.disagreements
    assert set(wrong.disagreements) <= {"W", "b"}


@pytest.mark.filterwarnings("ignore::handgrad.RisingCostWarning")
def test_backends_are_not_blamed_where_a_high_rate_drives_rounding_errors_apart(sets, dtype):
    """A rate far above the stable ones: after training the weights differ visibly, and nobody is wrong."""
    (X, Y), _ = sets
    neurons = {
        name: backends.load(name)("sigmoid", "squared_error", 0.0, 1 / 255, dtype)
        for name in ("numpy", "numba", "torch", "jax")
    }
    rows = compare(neurons, (X, Y), epochs=500, learning_rate=3.0, initial=Parameters.random(300, 1))
    assert [row.disagreements for row in rows] == [[], [], [], []]


def test_a_divergence_names_the_backend(sets):
    with pytest.raises(DivergedError, match=r"^numpy: training diverged"):
        compare({"numpy": ByHand("identity", "squared_error")}, *sets, epochs=500, learning_rate=1.0)


def test_without_validation_its_numbers_are_nan(sets):
    (row,) = compare({"numpy": ByHand(input_scale=1 / 255)}, sets[0], epochs=2, learning_rate=0.01)
    assert np.isnan([row.validation_cost, row.validation_accuracy]).all()
