"""X of many bytes stays so on NumPy, PyTorch and JAX, and is summed a few examples at a time, as numbers."""

import subprocess
import sys
import threading

import numpy as np
import pytest

from conftest import plain_environment
from handgrad import Parameters, backends, contract, pieces
from handgrad.backends.numpy import Neuron as ByHand
from handgrad.contract import check_bytes, check_examples, check_fit, check_put_inputs, check_sums, check_unchanged
from handgrad.optimizers import SGD

IN_PIECES = "numpy", "torch", "jax"


@pytest.fixture(params=IN_PIECES)
def backend(request):
    return pytest.importorskip(f"handgrad.backends.{request.param}", exc_type=ImportError).Neuron


@pytest.fixture
def small(monkeypatch):
    """All bytes are many, and a piece is 288 bytes: of the contract's 12 features 6 examples, or 3 as float64."""
    monkeypatch.setattr(pieces, "MANY", 0)
    monkeypatch.setattr(pieces, "PIECE", 288)
    monkeypatch.setattr(contract, "MANY", 0)


def summed(backend, n, m, dtype):
    """X (n, m) of bytes is summed as the same numbers are, but for rounding."""
    rng = np.random.default_rng(m)
    X, Y = rng.integers(0, 256, (m, n), np.uint8).T, rng.integers(0, 2, (1, m))
    P = Parameters.random(n)
    of, numbers = backend(input_scale=1 / 255, dtype=dtype), ByHand(input_scale=1 / 255, dtype="float64")
    as_numbers = X.astype(float)
    u = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(of.gradients(P, X, Y).dW, numbers.gradients(P, as_numbers, Y).dW, rtol=0, atol=8 * u)
    assert of.cost(P, X, Y) == pytest.approx(numbers.cost(P, as_numbers, Y), rel=8 * u)
    A = of.predict_proba(P, X)
    assert A.shape == (1, m)
    np.testing.assert_allclose(A, numbers.predict_proba(P, as_numbers), rtol=0, atol=8 * u)


@pytest.mark.parametrize(
    "check", [check_put_inputs, check_unchanged, check_sums, check_bytes, check_examples, check_fit]
)
def test_the_laws_hold_in_pieces(check, backend, small):
    assert backend().reads_bytes(np.zeros((12, 50), np.uint8))
    check(backend)


@pytest.mark.parametrize("m", [1, 5, 6, 7, 12, 13])
def test_pieces_that_are_whole_cut_short_or_one_alone(backend, dtype, m, small):
    summed(backend, 12, m, dtype)


def test_an_example_that_is_larger_than_a_piece_is_one(backend, dtype, small):
    summed(backend, 1000, 3, dtype)


def test_each_call_sums_a_few_examples_that_are_numbers(small, monkeypatch):
    from handgrad.backends.numpy import Neuron

    seen, logits = [], Neuron._logits
    monkeypatch.setattr(Neuron, "_logits", lambda self, P, X: seen.append((X.shape[1], X.dtype)) or logits(self, P, X))
    Neuron().gradients(Parameters.zeros(12), np.zeros((12, 50), np.uint8), np.zeros((1, 50)))
    assert sorted(seen) == [(2, np.float32), *[(6, np.float32)] * 8]


@pytest.mark.parametrize("name", IN_PIECES)
def test_few_bytes_are_numbers_as_before(name):
    of = backends.load(name)()
    few = np.zeros((12, 50), np.uint8)
    assert not of.reads_bytes(few)
    assert of.get(of.put_inputs(few)).dtype == np.float32


def test_bytes_that_are_many_are_not_copied(backend):
    rows = np.zeros((4100, 4096), np.uint8)
    of = backend()
    assert of.reads_bytes(rows.T)
    placed = of.put_inputs(rows.T)
    assert of.get(placed).dtype == np.uint8
    assert of.get(placed).nbytes == rows.nbytes
    if backend.__module__ != "handgrad.backends.jax":  # which copies what does not begin where it would like
        assert np.shares_memory(of.get(placed), rows)


def test_numbers_and_other_kinds_of_bytes_are_as_before(backend, small):
    for X in np.ones((12, 50), np.float32), np.ones((12, 50), np.int8), np.ones((12, 50), bool):
        assert not backend().reads_bytes(X)
        summed_as = backend().get(backend().put_inputs(X))
        assert summed_as.dtype == np.float32


def test_threads_have_a_workspace_of_their_own(small, monkeypatch):
    """A thread that sums while another is within a piece would else write over it."""
    from handgrad.backends.numpy import Neuron

    rng = np.random.default_rng(0)
    P, of = Parameters.random(12), Neuron(input_scale=1 / 255)
    X, other = rng.integers(0, 256, (2, 12, 50), np.uint8)
    Y = rng.integers(0, 2, (1, 50))
    expected, logits, busy = of.cost(P, X, Y), Neuron._logits, threading.Lock()

    def interrupted(self, P, x):
        if busy.acquire(blocking=False):
            thread = threading.Thread(target=of.cost, args=(P, other, Y))
            thread.start()
            thread.join()
            busy.release()
        return logits(self, P, x)

    monkeypatch.setattr(Neuron, "_logits", interrupted)
    assert of.cost(P, X, Y) == expected


def test_arrays_that_were_not_placed_are_summed_too(backend, small):
    """As a batch of SGD is, of a data set that is taken in blocks."""
    rng = np.random.default_rng(3)
    X, Y = rng.integers(0, 256, (50, 12), np.uint8).T, rng.integers(0, 2, (1, 50))
    of, P = backend(input_scale=1 / 255, dtype="float64"), Parameters.random(12)
    numbers = X.astype(float)
    for x in X, np.ascontiguousarray(X), X[:, ::-1][:, ::-1]:
        for found, expected in zip(of.sums(P, x, Y), of.sums(P, numbers, Y), strict=True):
            np.testing.assert_allclose(of.get(found), of.get(expected), rtol=1e-13, atol=1e-14)
        assert of.get(of.loss_sum(P, x, Y)) == pytest.approx(float(of.get(of.loss_sum(P, numbers, Y))), rel=1e-14)
        np.testing.assert_allclose(of.get(of.forward(P, x)), of.get(of.forward(P, numbers)), rtol=1e-14)
    options = dict(epochs=2, optimizer=SGD(0.1, batch=9))
    (found, _), (expected, _) = of.fit(X, Y, block=11, **options), of.fit(numbers, Y, **options)
    np.testing.assert_allclose(found.W, expected.W, rtol=1e-12)


def test_tensors_of_pytorch_are_bytes_to_all(backend, small):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(4)
    X, Y = rng.integers(0, 256, (50, 12), np.uint8).T, rng.integers(0, 2, (1, 50))
    of, P = backend(input_scale=1 / 255), Parameters.random(12)
    assert of.cost(P, torch.from_numpy(X.T).T, Y) == of.cost(P, X, Y)


def test_of_many_pieces_the_sum_is_as_exact_as_of_one(backend, monkeypatch):
    """At zero weights J is log 2: added one after another in float32, 4,000 losses of 16 examples are 8e-6 off."""
    monkeypatch.setattr(pieces, "MANY", 0)
    monkeypatch.setattr(pieces, "PIECE", 16 * 2 * 4)
    m = 64_000
    X, Y = np.zeros((2, m), np.uint8), np.arange(m)[np.newaxis] % 2
    assert backend().cost(Parameters.zeros(2), X, Y) == pytest.approx(np.log(2), rel=2e-7)


def test_pieces_are_shared_among_as_many_threads_as_blas_may_use(small, monkeypatch):
    threadpoolctl = pytest.importorskip("threadpoolctl")
    from handgrad.backends.numpy import Neuron

    rng, of = np.random.default_rng(5), Neuron(input_scale=1 / 255)
    X, Y, P = rng.integers(0, 256, (12, 50), np.uint8), rng.integers(0, 2, (1, 50)), Parameters.random(12)
    seen, logits = [], Neuron._logits

    def noted(self, P, x):
        openblas = [pool for pool in threadpoolctl.threadpool_info() if pool["internal_api"] == "openblas"]
        seen.append((threading.get_ident(), {pool["num_threads"] for pool in openblas}))
        return logits(self, P, x)

    monkeypatch.setattr(Neuron, "_logits", noted)
    with threadpoolctl.threadpool_limits(2):
        shared = of.gradients(P, X, Y)
    assert threading.get_ident() not in {thread for thread, _ in seen}
    assert all(blas == {1} for _, blas in seen)
    seen.clear()
    with threadpoolctl.threadpool_limits(1):
        alone = of.gradients(P, X, Y)
    assert {thread for thread, _ in seen} == {threading.get_ident()}
    np.testing.assert_allclose(shared.dW, alone.dW, rtol=1e-6)


def test_what_overflows_in_a_thread_is_no_warning_there(small):
    from handgrad.backends.numpy import Neuron

    X, Y = np.full((12, 50), 255, np.uint8), np.ones((1, 50))
    assert (
        Neuron(loss="squared_error", activation="identity").cost(Parameters(np.full((1, 12), 1e30), 0.0), X, Y) > 1e38
    )


def test_mirrored_examples_are_summed_in_pieces_too(backend, small):
    from handgrad.views import mirrored

    rng = np.random.default_rng(1)
    X, Y = rng.integers(0, 256, (50, 12), np.uint8).T, rng.integers(0, 2, (1, 50))
    of, P = backend(input_scale=1 / 255, dtype="float64"), Parameters.random(12)
    seen = mirrored(X, (2, 2, 3)), np.concatenate([Y, Y], axis=1)
    assert of.cost(P, *seen) == pytest.approx(of.cost(P, mirrored(X.astype(float), (2, 2, 3)), seen[1]), rel=1e-14)


PROGRAM = """
import sys
import numpy as np
from handgrad import backends
from handgrad.benchmarks.training import _most_memory

neuron = backends.load(sys.argv[1])(input_scale=1 / 255)
few = np.zeros((5, 20), np.uint8), np.arange(20)[np.newaxis] % 2
neuron.fit(*few, epochs=2, learning_rate=1e-3)
X = np.random.default_rng(0).integers(0, 256, (12_000, 4096), np.uint8).T
Y = np.arange(12_000)[np.newaxis] % 2
with _most_memory() as most:
    neuron.fit(X, Y, epochs=3, learning_rate=1e-3)
print(most() / X.nbytes)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
@pytest.mark.parametrize("name", IN_PIECES)
def test_a_training_on_many_bytes_makes_no_copy_of_them_as_numbers(name):
    pytest.importorskip(name)
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, name]
    done = subprocess.run(command, env=plain_environment(), capture_output=True, text=True, check=True)
    # Times X; a copy as float32 would take 4. JAX copies bytes that do not begin where it would like, and compiles.
    assert float(done.stdout) < (2.5 if name == "jax" else 1.0)
