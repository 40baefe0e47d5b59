"""The benchmark of the step times every backend on the same work, round by round."""

from click.testing import CliRunner

from handgrad import backends
from handgrad.backends.numpy import Neuron
from handgrad.benchmarks.step import main, time_steps


def test_every_backend_has_one_time_a_round():
    neurons = {name: backends.load(name)(input_scale=1 / 255) for name in ("numpy", "torch", "jax")}
    seconds = time_steps(neurons, features=30, examples=20, rounds=4, seed=0)
    assert seconds.keys() == neurons.keys()
    assert all(len(times) == 4 and min(times) > 0 for times in seconds.values())


def test_the_work_is_a_step_that_moves_the_parameters():
    moved = []

    class Watched(Neuron):
        def descend(self, parameters, *arguments):
            after, *costs = super().descend(parameters, *arguments)
            moved.append(abs(after.W - parameters.W).max())
            return after, *costs

    time_steps({"watched": Watched()}, features=20, examples=30, rounds=2, seed=0)
    assert len(moved) == 3
    assert min(moved) > 0


def test_the_command_prints_a_row_per_backend_and_says_what_is_left_out():
    outcome = CliRunner().invoke(main, ["--features", "20", "--examples", "30", "--rounds", "3"])
    assert outcome.exit_code == 0, outcome.output
    assert [line.split()[0] for line in outcome.output.splitlines()[2:]] == ["jax", "numpy", "torch"]
    outcome = CliRunner().invoke(main, ["--device", "cuda", "--features", "20", "--examples", "30", "--rounds", "3"])
    assert "left out: numpy: device is 'cuda'; this backend runs on 'cpu' only" in outcome.output
