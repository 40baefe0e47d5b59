"""The full-batch step on every backend: the same work, interleaved, as ratios of paired rounds.

In each round every backend takes one step W := W - alpha dW, b := b - alpha db from the same parameters on the same X
and Y, in random order, so that what else the machine does falls on all alike. A step ends when its b is on the host,
which waits for the device. Putting X on the device and compiling come before, and are not counted.
"""

from __future__ import annotations

import statistics
import time

import click
import numpy as np

from handgrad import MissingExtraError, Neuron, Parameters, backends
from handgrad.table import table


def time_steps(
    neurons: dict[str, Neuron], features: int, examples: int, rounds: int, seed: int
) -> dict[str, list[float]]:
    """Seconds of one step, for each neuron and round; round i of one is to be compared with round i of another.

    Args:
        neurons: by name.
        features, examples: n and m of X, random bytes.
        rounds: how many, after one that is thrown away.
        seed: of X, Y, the parameters and the order in each round.
    """
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 256, (examples, features), np.uint8).T
    Y = rng.integers(0, 2, (1, examples), np.uint8)
    start = Parameters.random(features, seed)
    placed = {
        name: (Parameters(neuron.put(start.W), neuron.put(start.b)), neuron.put(X), neuron.put(Y))
        for name, neuron in neurons.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in neurons}
    for _ in range(rounds + 1):
        for name in rng.permutation(list(neurons)):
            neuron, (parameters, X, Y) = neurons[name], placed[name]
            begin = time.perf_counter()
            neuron.get(neuron.descend(parameters, (X, Y), None, 0.001, range(1), 1)[0].b)
            seconds[name].append(time.perf_counter() - begin)
    return {name: times[1:] for name, times in seconds.items()}


@click.command()
@click.option("--features", default=12_288, show_default=True, help="n; a photograph of 64 x 64 has 12,288.")
@click.option("--examples", default=2_000, show_default=True, help="m.")
@click.option("--rounds", default=30, show_default=True)
@click.option("--dtype", default="float32", show_default=True)
@click.option("--device", default="cpu", show_default=True, help="cpu, or cuda for torch and jax.")
@click.option("--seed", default=0, show_default=True)
def main(features: int, examples: int, rounds: int, dtype: str, device: str, seed: int) -> None:
    """Time the full-batch step on every installed backend that has the device."""
    neurons: dict[str, Neuron] = {}
    for name in backends.names():
        try:
            neurons[name] = backends.load(name)(input_scale=1 / 255, dtype=dtype, device=device)
        except (MissingExtraError, ValueError) as error:
            click.echo(f"left out: {name}: {error}")
    if not neurons:
        raise click.UsageError("no backend is left to time")
    seconds = time_steps(neurons, features, examples, rounds, seed)
    first = min(seconds, key=lambda name: statistics.median(seconds[name]))
    rows = []
    for name, times in seconds.items():
        ratios = [mine / fastest for mine, fastest in zip(times, seconds[first], strict=True)]
        low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
        rows.append([name, f"{1000 * statistics.median(times):.3f}", f"{middle:.2f}", f"{low:.2f} to {high:.2f}"])
    click.echo(f"one step, n = {features:,}, m = {examples:,}, {dtype} on {device}, {rounds} rounds, seed {seed}")
    click.echo(table(["backend", "ms (median)", f"time / {first}'s", "middle half"], *rows))


if __name__ == "__main__":
    main()
