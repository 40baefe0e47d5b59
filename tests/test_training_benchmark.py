"""The benchmark of whole trainings: what it times is the same training, and its tables say what was found."""

import numpy as np
import pytest
from click.testing import CliRunner

from handgrad import backends
from handgrad.benchmarks import training


def test_the_span_is_timed_against_the_same_descent(backend, rng):
    name = backend.__module__.rpartition(".")[2]
    X, Y = rng.integers(0, 256, (40, 2000), np.uint8).T, rng.integers(0, 2, (1, 40))
    found = training.in_the_span(name, X, Y, "float64", epochs=30, rounds=1)
    assert found[:2] == (name, "float64")
    assert found[4].endswith(" x")
    assert float(found[5]) < 1e-9


def test_an_epoch_of_next_to_nothing_takes_microseconds(backend, rng):
    name = backend.__module__.rpartition(".")[2]
    X, Y = rng.integers(0, 256, (16, 64), np.uint8).T, rng.integers(0, 2, (1, 16))
    assert 0 < float(training.dispatch(name, X, Y, epochs=50, rounds=1)[1]) < 1e5


def test_a_file_gives_the_same_bits_as_memory(backend, rng, tmp_path):
    name = backend.__module__.rpartition(".")[2]
    X, Y = rng.integers(0, 256, (300, 64), np.uint8), rng.integers(0, 2, (1, 300))
    np.save(tmp_path / "pixels.npy", X)
    found = training.from_a_file(name, tmp_path / "pixels.npy", Y, block=100, rounds=1)
    assert (found[0], found[-1]) == (name, "yes")
    assert float(found[1]) >= 0


def test_examples_are_photographs_repeated_or_random_bytes():
    X, Y = training.examples(None, 7)
    assert (X.shape, X.dtype, Y.shape, set(Y.ravel()) <= {0, 1}) == ((12_288, 7), np.uint8, (1, 7), True)


@pytest.mark.filterwarnings("ignore::handgrad.RisingCostWarning")  # of random bytes
@pytest.mark.parametrize("gigabytes", ["0", "0.005"])
def test_the_command_prints_a_row_for_each_backend(gigabytes, monkeypatch):
    """In this process, with a tenth of the epochs: what is slow is only how often it is done."""
    monkeypatch.setattr(training, "ProcessPoolExecutor", _Here)
    real = training.in_the_span
    monkeypatch.setattr(training, "in_the_span", lambda *given: real(*given[:4], 20, 1))
    words = ["--backends", "numpy", "--gigabytes", gigabytes, "--rounds", "1", "--block", "100"]
    outcome = CliRunner().invoke(training.main, words, catch_exceptions=False)
    assert outcome.exit_code == 0
    assert outcome.output.count("\nnumpy") == (4 if gigabytes != "0" else 3)
    assert ("same bits" in outcome.output) == (gigabytes != "0")


def test_a_backend_that_is_not_installed_is_left_out_and_named(without, monkeypatch):
    without("numba")
    monkeypatch.setattr(training, "ProcessPoolExecutor", _Here)
    outcome = CliRunner().invoke(training.main, ["--backends", "numba", "--gigabytes", "0"], catch_exceptions=False)
    assert "left out: Numba is not installed" in outcome.output
    assert "numba" in backends.names()


class _Here:
    """A pool that does its work here."""

    def __init__(self, *_):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def submit(self, function, *arguments):
        self.result = lambda: function(*arguments)
        return self
