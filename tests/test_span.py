"""Descent in the span of few examples: the same costs and the same parameters, with less to compute."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handgrad import DivergedError, Parameters, UsageError, memory, span
from handgrad.backends.numpy import Neuron
from handgrad.objective import Objective
from handgrad.optimizers import Task
from handgrad.span import Span


def both(neuron, X, Y, **options):
    options = dict(epochs=60, learning_rate=0.05) | options
    return (neuron.fit(X, Y, span=choice, **options) for choice in (False, True))


@pytest.mark.parametrize("start", ["zeros", "random"])
@pytest.mark.parametrize(
    ("activation", "loss"), [("sigmoid", "cross_entropy"), ("tanh", "squared_error"), ("identity", "squared_error")]
)
def test_the_span_changes_neither_costs_nor_parameters(backend, dtype, activation, loss, start, rng):
    X, Y = rng.integers(0, 256, (400, 24), np.uint8), rng.integers(0, 2, (1, 24))
    validation = rng.integers(0, 256, (400, 9), np.uint8), rng.integers(0, 2, (1, 9))
    neuron = backend(activation, loss, l2=0.03, input_scale=1 / 255, dtype=dtype)
    initial = Parameters.zeros(400) if start == "zeros" else Parameters.random(400, 1)
    options = dict(initial=initial, validation=validation, learning_rate=0.005)
    (P, history), (inside, shorter) = both(neuron, X, Y, **options)
    u = np.finfo(dtype).eps
    np.testing.assert_allclose(shorter.train_cost, history.train_cost, rtol=200 * u)
    np.testing.assert_allclose(shorter.validation_cost, history.validation_cost, rtol=200 * u)
    np.testing.assert_allclose(inside.W, P.W, atol=500 * u * abs(P.W).max())
    np.testing.assert_allclose(inside.b, P.b, atol=500 * u)
    assert (inside.W.shape, inside.W.dtype, type(inside.W)) == (P.W.shape, P.W.dtype, np.ndarray)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("examples", ["twice the same", "nearly the same", "zeros", "one"])
def test_examples_that_are_not_independent(examples, dtype, rng):
    X = rng.integers(0, 256, (50, 6)).astype(float)
    if examples == "twice the same":
        X[:, 3] = X[:, 1]
    elif examples == "nearly the same":
        X[:, 3] = X[:, 1] * (1 + 1e-9)
    elif examples == "zeros":
        X[:] = 0
    X = X[:, :1] if examples == "one" else X
    Y = rng.integers(0, 2, (1, X.shape[1]))
    neuron = Neuron(input_scale=1 / 255, dtype=dtype)
    (P, history), (inside, shorter) = both(neuron, X, Y, learning_rate=0.3)
    u = np.finfo(dtype).eps
    np.testing.assert_allclose(shorter.train_cost, history.train_cost, rtol=100 * u)
    np.testing.assert_allclose(inside.W, P.W, atol=500 * u * max(1, abs(P.W).max()))


@given(
    n=st.integers(1, 40),
    m=st.integers(1, 12),
    scale=st.sampled_from([1e-30, 1e-3, 1.0, 1e3]),
    seed=st.integers(0, 100),
    start=st.booleans(),
)
def test_coordinates_keep_lengths_and_come_back(n, m, scale, seed, start):
    rng = np.random.default_rng(seed)
    X, W = scale * rng.standard_normal((n, m)), rng.standard_normal((1, n)) * start
    found = Span(X, W, "float64")
    inside = found.coordinates(W.T).T
    np.testing.assert_allclose(inside @ found.X, W @ X, atol=1e-10 * scale * n)
    np.testing.assert_allclose(found.X.T @ found.X, X.T @ X, atol=1e-12 * scale**2 * n)
    np.testing.assert_allclose(found.restore(inside), W, atol=1e-10)
    np.testing.assert_allclose(found.coordinates(X), found.X, atol=1e-10 * scale * n)


def test_examples_whose_length_overflows_are_descended_on_step_by_step():
    X = np.full((30, 3), 1e38)  # whose columns are longer than the largest float32
    neuron = Neuron(dtype="float32", input_scale=1e-38)
    (P, history), (inside, shorter) = both(neuron, X, [[0, 1, 1]])
    np.testing.assert_allclose(shorter.train_cost, history.train_cost, rtol=1e-6)
    np.testing.assert_allclose(inside.W, P.W, rtol=1e-6)


def test_a_diverging_descent_keeps_parameters_of_the_size_of_the_features(rng):
    X, Y = rng.integers(0, 256, (90, 5), np.uint8), rng.integers(0, 2, (1, 5))
    neuron = Neuron("identity", "squared_error")
    found = []
    for choice in False, True:
        with pytest.raises(DivergedError) as caught:
            neuron.fit(X, Y, epochs=50, learning_rate=0.01, span=choice)
        found.append(caught.value)
    assert found[0].epoch == found[1].epoch
    assert found[1].parameters.W.shape == (1, 90)
    np.testing.assert_allclose(found[1].parameters.W, found[0].parameters.W, rtol=1e-3)


def task(shape, epochs, *, block=0, watched=None):
    """To learn from examples of a shape, in blocks or whole, and to validate on others."""
    neuron = Neuron()
    objectives = [
        of and Objective(neuron, replace(neuron.place(np.zeros((9, 9)), np.zeros((1, 9)), block), shape=of))
        for of in (shape, watched)
    ]
    return Task(*objectives, epochs, 1)


def test_it_is_chosen_where_it_pays_and_nowhere_else(monkeypatch, rng):
    few, many = (12288, 209), (12288, 20000)
    assert span.pays(task(few, 2000))
    assert not span.pays(task(few, 20))
    assert not span.pays(task(many, 2000))
    assert not span.pays(task(few, 2000, block=4))
    assert not span.pays(task(few, 20, watched=many))
    used = []
    monkeypatch.setattr(span, "Span", lambda *given: used.append(1) or Span(*given))
    X, Y = rng.integers(0, 256, (500, 5), np.uint8), rng.integers(0, 2, (1, 5))
    for choice, times in (None, 1), (True, 2), (False, 2):
        Neuron(input_scale=1 / 255).fit(X, Y, epochs=300, learning_rate=0.01, span=choice)
        assert len(used) == times


@pytest.mark.filterwarnings("ignore::handgrad.RisingCostWarning")
def test_the_span_and_blocks_do_not_go_together(rng):
    X, Y = rng.integers(0, 256, (50, 5), np.uint8), rng.integers(0, 2, (1, 5))
    with pytest.raises(UsageError, match="span is True and block is 3; the span takes X whole"):
        Neuron().fit(X, Y, epochs=3, learning_rate=0.01, span=True, block=3)
    assert Neuron().fit(X, Y, epochs=3, learning_rate=0.01, span=True, block=0)


def test_it_is_not_chosen_where_there_is_no_room_for_it(monkeypatch):
    few = task((12288, 209), 2000)
    assert span.pays(few)
    monkeypatch.setattr(memory, "total", lambda: 24.0 * 12288 * 210)
    assert not span.pays(few)


def test_finding_the_span_is_charged_to_the_first_epoch(monkeypatch, rng):
    import time

    def slow(*given):
        time.sleep(0.2)
        return Span(*given)

    monkeypatch.setattr(span, "Span", slow)
    X, Y = rng.integers(0, 256, (500, 5), np.uint8), rng.integers(0, 2, (1, 5))
    _, history = Neuron(input_scale=1 / 255).fit(X, Y, epochs=30, learning_rate=0.01, span=True)
    assert history.seconds[0] > 0.2 > history.seconds[1]
