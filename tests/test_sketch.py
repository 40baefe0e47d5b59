"""What a few hundred examples show of the curvature: near the Hessian, and worth half of the evaluations."""

import numpy as np
import pytest

from handgrad import Parameters, backends
from handgrad.backends.numpy import Neuron as ByHand
from handgrad.objective import SHARPEST, Objective
from handgrad.optimizers import LBFGS
from handgrad.sketch import Sketch, examples_for
from handgrad.views import mirrored, standardised, weighted


def hessian(X, sharpest, l2, w=None):
    """Of the mean of sharpest Z^2 / 2, with weights w, and the penalty."""
    x = np.concatenate([X, np.ones((1, X.shape[1]))])
    w = np.ones(X.shape[1]) if w is None else w
    return sharpest * (w * x) @ x.T / w.sum() + l2 * np.eye(len(x))


def rows(X):
    return np.concatenate([X.T, np.ones((X.shape[1], 1))], axis=1)


def spread(sketch, H):
    """The largest over the smallest eigenvalue of the Hessian as L-BFGS sees it: 1 if the sketch were its inverse."""
    L = np.linalg.cholesky(H)
    seen = L.T @ np.stack([sketch @ column for column in L.T], axis=1)
    np.testing.assert_allclose(seen, seen.T, atol=1e-6 * abs(seen).max())
    values = np.linalg.eigvalsh(seen)
    return values[-1] / values[0]


def test_of_fewer_features_than_examples_it_is_nearly_the_inverse(rng):
    X = rng.standard_normal((20, 4000)) * 10.0 ** rng.uniform(-2, 2, (20, 1)) + rng.standard_normal((20, 1))
    H = hessian(X, 0.25, 1e-6)
    assert np.linalg.cond(H) > 1e6
    assert spread(Sketch(rows(X[:, :1000]), 0.25, 1e-6, "float64"), H) < 4


def test_of_more_features_it_has_those_directions_that_are_steep(rng):
    X = rng.standard_normal((300, 12)) * 10.0 ** np.linspace(1.5, -1, 12) @ rng.standard_normal((12, 900)) + 0.5
    H = hessian(X, 0.25, 1e-2)
    assert np.linalg.cond(H) > 1e5
    assert spread(Sketch(rows(X[:, :100]), 0.25, 1e-2, "float64"), H) < 30


def test_the_steepness_of_directions_is_not_overrated_by_the_examples_that_showed_them(rng):
    """Of features alike and independent, half of the examples see slopes from nothing to four times the true one."""
    X = rng.standard_normal((100, 5000))
    sketch = Sketch(rows(X[:, :240]), 0.25, 0.0, "float64")
    assert 0.15 < sketch.h.min() <= sketch.h.max() < 0.4
    assert spread(sketch, hessian(X, 0.25, 0.0)) < 4


@pytest.mark.parametrize("scale", [1e-150, 1e-12, 1.0, 1e12, 1e150])
def test_it_scales_with_the_features(scale, rng):
    X, g = rng.standard_normal((6, 200)), rng.standard_normal(7)
    of_one, of_other = (Sketch(rows(s * X), 0.25, 0.0, "float64") for s in (1.0, scale))
    assert np.isfinite(of_other @ g).all()
    by = np.append(np.full(6, scale), 1)
    if 1e-10 < scale < 1e10:
        np.testing.assert_allclose(of_other @ (by * g) * by, of_one @ g, rtol=1e-6)


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("values", [0.0, 1.0, 1e300])
def test_of_next_to_nothing_it_is_finite_and_positive(k, values, rng):
    sketch = Sketch(rows(np.full((4, k), values)), 0.25, 0.0, "float32")
    g = rng.standard_normal(5)
    assert 0 <= g @ (sketch @ g) < np.inf


def test_the_sample_is_of_what_the_neuron_sees(backend, rng):
    X = rng.integers(0, 256, (40, 12), np.uint8).T
    Y = rng.integers(0, 2, (1, 40))
    w = rng.integers(0, 3, 40).astype(float)
    neuron = backend(input_scale=1 / 255, dtype="float64")
    views = {
        "plain": (X, Y, X, None),
        "mirrored": (mirrored(X, (2, 2, 3)), np.tile(Y, 2), None, None),
        "standardised": (standardised(X), Y, None, None),
        "weighted": (weighted(X, w), Y, X, w),
    }
    order = np.arange(12).reshape(2, 2, 3)[:, ::-1].ravel()
    views["mirrored"] = (*views["mirrored"][:2], np.concatenate([X, X[order]], axis=1), None)
    deviation = X.std(axis=1, keepdims=True)
    views["standardised"] = (*views["standardised"][:2], (X - X.mean(axis=1, keepdims=True)) / deviation, None)
    for name, (seen, labels, whole, weights) in views.items():
        examples = neuron.place(seen, labels)
        for block in (0,) if name == "weighted" else (0, 7):
            sample = neuron.place(seen, labels, block).sample(1000, neuron.input_scale)
            found = sample.T @ sample / (sample[:, -1] @ sample[:, -1])
            np.testing.assert_allclose(found, hessian(whole / 255, 1, 0, weights), rtol=1e-12, atol=1e-17, err_msg=name)
        few = examples.sample(10, neuron.input_scale)
        assert len(few) == 10
        np.testing.assert_array_equal(few, examples.sample(10, neuron.input_scale))


def test_more_examples_are_looked_at_where_they_are_small():
    assert [examples_for(n) for n in (1, 64, 12_288, 50_000, 10**7)] == [2**19, 8192, 512, 335, 64]


HARD = {
    "an offset": lambda rng: rng.standard_normal((30, 1500)) + 100,
    "one feature on another scale": lambda rng: (
        rng.standard_normal((30, 1500)) * np.where(np.arange(30) == 3, 1e6, 1)[:, np.newaxis]
    ),
    "correlated, and one on another scale": lambda rng: np.concatenate(
        [rng.standard_normal((40, 40)) @ rng.standard_normal((40, 1500)), 1e6 * rng.standard_normal((1, 1500))]
    ),
    "one-hot, some rare": lambda rng: (np.arange(100)[:, np.newaxis] == np.minimum(rng.zipf(1.5, 1500) - 1, 99)).astype(
        float
    ),
    "outliers": lambda rng: rng.standard_t(1.5, (30, 1500)),
    "sparse counts": lambda rng: (rng.random((200, 1500)) < 0.01) * rng.integers(1, 5, (200, 1500)).astype(float),
    "smooth": lambda rng: np.cumsum(rng.standard_normal((200, 1500)), axis=0),
    "correlated": lambda rng: rng.standard_normal((60, 60)) @ rng.standard_normal((60, 1500)),
    "alike": lambda rng: rng.standard_normal((300, 200)),
    "constant": lambda _: np.ones((5, 300)),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", HARD)
def test_the_optimum_is_near_after_some_tens_of_evaluations_of_any_data(kind, dtype, rng):
    X = HARD[kind](rng)
    m = X.shape[1]
    Z = (X / np.maximum(abs(X).max(axis=1, keepdims=True), 1e-9)).T @ rng.standard_normal(X.shape[0])
    Y = (rng.random((1, m)) < 1 / (1 + np.exp(-3 * (Z - Z.mean()) / (Z.std() or 1)))).astype(np.uint8)
    exact = ByHand(l2=1e-3, dtype="float64")
    P, _ = exact.fit(X, Y, epochs=3000, optimizer=LBFGS(tolerance=1e-10, memory=30))
    best = exact.cost(P, X, Y)
    target = best + 1e-4 * (np.log(2) - best)
    neuron = ByHand(l2=1e-3, dtype=dtype)
    _, history = neuron.fit(X, Y, epochs=60, optimizer=LBFGS(tolerance=0))
    there = np.flatnonzero(history.train_cost <= target)
    assert len(there), history.train_cost[-1] - target
    assert history.evaluations[: there[0] + 1].sum() <= 45


@pytest.mark.parametrize("kind", ["smooth", "an offset", "one feature on another scale", "correlated"])
def test_it_is_worth_at_least_half_of_the_evaluations(kind, rng, monkeypatch):
    X = HARD[kind](rng)
    Y = (X[:1] - X[1:2] > np.median(X[:1] - X[1:2])).astype(np.uint8)
    neuron, taken = ByHand(l2=1e-3, dtype="float64"), []
    target = neuron.fit(X, Y, epochs=400, optimizer=LBFGS())[1].train_cost[-1]
    target += 1e-4 * (np.log(2) - target)
    for plain in False, True:
        if plain:
            monkeypatch.setattr(Sketch, "__matmul__", lambda _, g: g / (g @ g) ** 0.5)
        _, history = neuron.fit(X, Y, epochs=400, optimizer=LBFGS(tolerance=0))
        there = np.flatnonzero(history.train_cost <= target)
        taken.append(history.evaluations[: there[0] + 1].sum() if len(there) else np.inf)
    assert 2 * taken[0] <= taken[1]


@pytest.mark.parametrize(("loss", "activation"), SHARPEST)
def test_every_neuron_has_one(loss, activation, rng):
    for name in backends.names():
        if name != "numpy":
            continue
        neuron = backends.load(name)(activation, loss, l2=0.1, dtype="float64")
        X, Y = rng.standard_normal((4, 60)), rng.integers(0, 2, (1, 60))
        J = Objective(neuron, neuron.place(X, Y))
        assert J.sketch() is J.sketch()
        _, history = neuron.fit(X, Y, epochs=40, optimizer=LBFGS(), initial=Parameters.random(4))
        assert history.train_cost[-1] <= history.train_cost[0]
