"""What the Numba backend promises beyond the contract: bytes stay bytes, and threads do not change a bit."""

import os
import subprocess
import sys

import numpy as np
import pytest

from handgrad import Parameters, backends
from handgrad.rounding import bounds

numba = pytest.importorskip("numba")


@pytest.fixture
def one():
    return backends.load("numba")


@pytest.mark.parametrize("m", [1, 2, 3, 4, 5, 511, 512, 513, 1030])
@pytest.mark.parametrize("of", [np.uint8, np.float32, np.float64])
def test_every_number_of_examples_of_every_dtype(one, dtype, m, of, rng):
    X = rng.integers(0, 256, (m, 65)).astype(of).T
    Y = rng.integers(0, 2, (1, m))
    neuron, P = one(input_scale=1 / 255, dtype=dtype), Parameters.random(65, 1)
    exact = backends.load("numpy")(input_scale=1 / 255, dtype="float64")
    P = Parameters(P.W.astype(dtype).astype(float), P.b)
    allowed = bounds(neuron, P, X, Y)
    found, right = neuron.gradients(P, X, Y), exact.gradients(P, X, Y)
    assert np.all(abs(found.dW - right.dW) <= allowed.dW)
    assert abs(found.db - right.db) <= allowed.db
    assert abs(neuron.cost(P, X, Y) - exact.cost(P, X, Y)) <= allowed.cost
    assert np.all(abs(neuron.predict_proba(P, X) - exact.predict_proba(P, X)) <= allowed.A)


def test_the_number_of_threads_does_not_change_a_bit(one, monkeypatch, rng):
    X, Y = rng.integers(0, 256, (3000, 700), np.uint8).T, rng.integers(0, 2, (1, 3000))
    found, workers = [], set()
    module = __import__("handgrad.backends.numba", fromlist=["_"])
    share = module._read

    def read(*arguments):
        import threading

        workers.add(threading.current_thread().name)
        return share(*arguments)

    monkeypatch.setattr(module, "_read", read)
    for threads in 1, 2, 3, 64:
        monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", threads)
        module._pool.cache_clear()
        workers.clear()
        found.append(one(input_scale=1 / 255).sums(Parameters.random(700), X, Y))
        assert (len(workers) > 1) == (threads > 1)
    module._pool.cache_clear()
    for sums in found[1:]:
        for value, first in zip(sums, found[0], strict=True):
            np.testing.assert_array_equal(value, first)


def test_bytes_are_neither_copied_nor_made_floats(one, rng):
    X = rng.integers(0, 256, (300, 50), np.uint8).T
    neuron = one(input_scale=1 / 255)
    assert np.shares_memory(neuron.put_inputs(X), X)
    assert neuron.put_inputs(X).dtype == np.uint8
    assert neuron.put_inputs(np.ascontiguousarray(X)).T.flags.c_contiguous
    assert neuron.put_inputs(X.astype(np.int16)).dtype == np.float32
    assert neuron.put_inputs(X > 7).dtype == np.float32
    floats = X.T.astype(np.float32).T
    assert np.shares_memory(neuron.put_inputs(floats), floats)


@pytest.mark.parametrize(("activation", "loss"), [("sigmoid", "cross_entropy"), ("relu", "squared_error")])
def test_many_epochs_in_one_call_are_those_of_the_loop(one, dtype, activation, loss, monkeypatch, rng):
    X, Y = rng.integers(0, 256, (40, 20), np.uint8), rng.integers(0, 2, (1, 20))
    neuron = one(activation, loss, l2=0.1, input_scale=1 / 255, dtype=dtype)
    options = dict(
        epochs=30, learning_rate=0.2, initial=Parameters.random(40), validation=(X[:, :7], Y[:, :7]), span=False
    )
    P, history = neuron.fit(X, Y, validation_every=4, **options)
    monkeypatch.setattr("handgrad.backends.numba.LEAST", 1)
    Q, by_loop = neuron.fit(X, Y, validation_every=4, **options)
    u = np.finfo(dtype).eps
    np.testing.assert_allclose(history.train_cost, by_loop.train_cost, rtol=50 * u)
    np.testing.assert_allclose(history.validation_cost, by_loop.validation_cost, rtol=50 * u)
    np.testing.assert_allclose(P.W, Q.W, atol=50 * u)
    np.testing.assert_allclose(P.b, Q.b, atol=50 * u)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_process_has_threads_of_its_own():
    environment = os.environ | {"NUMBA_NUM_THREADS": "2"}
    subprocess.run([sys.executable, "-c", FORKS], check=True, timeout=60, env=environment)


FORKS = """
import os
import numpy as np
from handgrad.backends.numba import Neuron
from handgrad.backend import Parameters

rng = np.random.default_rng(0)
X, Y = rng.integers(0, 256, (3000, 700), np.uint8).T, rng.integers(0, 2, (1, 3000))
neuron, P = Neuron(input_scale=1 / 255), Parameters.random(700)
before = float(neuron.sums(P, X, Y).loss)
child = os.fork()
if child == 0:
    os._exit(0 if float(neuron.sums(P, X, Y).loss) == before else 1)
raise SystemExit(os.waitpid(child, 0)[1] != 0)
"""


@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu", "identity"])
def test_what_is_compiled_is_what_is_written(one, activation, loss, dtype, rng, monkeypatch):
    """The same steps by Python itself: what reassociation may change is rounding."""
    if loss == "cross_entropy" and activation != "sigmoid":
        return
    module = __import__("handgrad.backends.numba", fromlist=["_"])
    X, Y = rng.integers(0, 256, (21, 7), np.uint8).T, rng.integers(0, 2, (1, 21))
    neuron, P = one(activation, loss, l2=0.1, input_scale=1 / 255, dtype=dtype), Parameters.random(7, 1)
    options = dict(epochs=3, learning_rate=0.1, initial=P, validation=(X[:, :5], Y[:, :5]))
    compiled = neuron.sums(P, X, Y), *neuron.fit(X, Y, **options)
    monkeypatch.setattr(module, "BLOCK", 8)  # several, and one that is not full
    for name in "_loss", "_read", "_step", "_add":
        monkeypatch.setattr(module, name, getattr(module, name).py_func)
    written = neuron.sums(P, X, Y), *neuron.fit(X, Y, **options)
    u = 20 * np.finfo(dtype).eps
    for mine, other in zip((*compiled[0], *compiled[1]), (*written[0], *written[1]), strict=True):
        np.testing.assert_allclose(mine, other, rtol=u, atol=u)
    np.testing.assert_allclose(written[2].train_cost, compiled[2].train_cost, rtol=u)
    np.testing.assert_allclose(written[2].validation_cost, compiled[2].validation_cost, rtol=u)
