"""The benchmark of optimizers: both come to the same cost, and the times are of what the table says."""

import numpy as np
import pytest
from click.testing import CliRunner

from handgrad import backends
from handgrad.benchmarks import optimizers
from handgrad.data import Dataset, Features
from handgrad.data.dataset import DatasetWriter
from handgrad.data.example import Example


@pytest.fixture
def data(tmp_path, rng):
    (tmp_path / "data").mkdir()
    with DatasetWriter(tmp_path / "data", ("a", "b"), Features("pixels", (4, 5)), (4, 5, 3), test=False) as writer:
        for i in range(60):
            pixels = rng.integers(i % 2 * 30, 200, (4, 5, 3), np.uint8)
            writer.add(Example(str(i), pixels, i % 2, ("train", "valid")[i > 50], 5, 4))
        writer.finish()
    return tmp_path / "data"


def test_lbfgs_needs_fewer_epochs_for_the_cost_of_gradient_descent(backend, data):
    train = Dataset.open(data).train
    name = backend.__module__.rpartition(".")[2]
    found = optimizers.against_descent(name, train.X, train.Y, rounds=1, epochs=300)
    assert found[0] == name
    assert 0 < int(found[4]) < 100
    neuron = backend(input_scale=1 / 255)
    P, _ = neuron.fit(train.X, train.Y, epochs=int(found[4]), optimizer=optimizers.LBFGS(tolerance=0))
    assert neuron.cost(P, train.X, train.Y) <= float(found[1]) * (1 + 1e-6)


def test_a_cost_that_cannot_be_reached_is_said(data):
    train = Dataset.open(data).train
    with pytest.raises(optimizers.click.ClickException, match=r"L-BFGS came to .* only; expected -1"):
        optimizers._needed(backends.load("numpy")(l2=1.0), train.X, train.Y, -1.0)


def test_the_command_prints_both_tables(data, monkeypatch):
    pytest.importorskip("sklearn")
    monkeypatch.setattr(optimizers.against_descent, "__defaults__", (50,))
    words = ["--data", str(data), "--backends", "numpy", "--backend", "numpy", "--examples", "130"]
    outcome = CliRunner().invoke(
        optimizers.main, [*words, "--iterations", "1,4", "--rounds", "1"], catch_exceptions=False
    )
    assert outcome.exit_code == 0
    assert [line.split()[0] for line in outcome.output.splitlines()[-2:]] == ["1", "4"]


def test_repeated_photographs_have_other_noise_each_time(rng):
    X, Y = rng.integers(100, 150, (300, 7), np.uint8), rng.integers(0, 2, (1, 7))
    more, labels = optimizers.with_noise(X, Y, 20)
    assert (more.shape, more.dtype, labels.shape) == ((300, 20), np.uint8, (1, 20))
    np.testing.assert_array_equal(labels[0, 7:14], Y[0])
    off = more[:, 7:14].astype(float) - more[:, :7]
    assert 10 < off.std() < 13  # of two noises of 8
