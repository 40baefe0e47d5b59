"""Can the verdicts of `handgrad bench` be trusted? An arm against itself, and against itself with a tenth more work.

``python -m handgrad.benchmarks.trust --trials 100`` runs two processes of the same arm a trial, on the same work, and
counts how often the verdict is "same"; then the second on a tenth more examples, a repeated tenth of them, and counts
how often it is "slower".
"""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import replace

import click
import numpy as np
from tqdm import tqdm

from handgrad.backend import Parameters
from handgrad.bars import hidden
from handgrad.benchmarks import machine, paired
from handgrad.benchmarks.arms import Work
from handgrad.benchmarks.bench import steps_in_a_turn
from handgrad.benchmarks.worker import Worker


def trial(arm: str, works: tuple[Work, Work], rounds: int, threads: int, seed: int) -> paired.Interval:
    """The second work's time over the first's, in paired rounds, each in a process of its own."""
    rng = np.random.default_rng(seed)
    workers = [Worker(arm, threads) for _ in works]
    try:
        steady = [worker.place(work).steady for worker, work in zip(workers, works, strict=True)]
        steps = steps_in_a_turn(min(steady))
        times: list[list[float]] = [[], []]
        for _ in range(rounds):
            for i in rng.permutation(2).tolist():
                times[i].append(statistics.median(workers[i].time(steps)))
    finally:
        for worker in workers:
            worker.close()
    return paired.ratio(np.array(times[1]), np.array(times[0]))


def works(n: int, m: int, seed: int) -> tuple[Work, Work]:
    """A work, and the same with a tenth of its examples repeated."""
    rng = np.random.default_rng(seed)
    X, Y = rng.integers(0, 256, (m, n), np.uint8), rng.integers(0, 2, (1, m)).astype(np.uint8)
    start = Parameters.random(n, seed)
    work = Work(X.T, Y, start.W, np.asarray(0.25), "cross_entropy", 1 / 255, "float32", "cpu")
    more = np.arange(m + m // 10) % m
    return work, replace(work, X=X[more].T, Y=Y[:, more])


@click.command()
@click.option("--trials", default=100, show_default=True, help="Of either kind.")
@click.option("--arm", default="numpy", show_default=True)
@click.option("--features", default=12_288, show_default=True)
@click.option("--examples", default=1_000, show_default=True)
@click.option("--rounds", default=200, show_default=True)
@click.option("--threads", default=None, type=int, help="[default: one for each core]")
def main(trials: int, arm: str, features: int, examples: int, rounds: int, threads: int | None) -> None:
    """Count the verdicts on an arm against itself."""
    once, more = works(features, examples, 0)
    for said, pair in ("itself", (once, once)), ("itself with a tenth more work", (once, more)):
        found = [trial(arm, pair, rounds, threads or machine.cores(), i) for i in tqdm(range(trials), disable=hidden())]
        counts = Counter(paired.verdict(interval) for interval in found)
        middle = statistics.median(interval.median for interval in found)
        verdicts = ", ".join(f"{verdict} {count}" for verdict, count in counts.most_common())
        click.echo(f"{arm} against {said}: {verdicts} of {trials}; median ratio {middle:.3f}")


if __name__ == "__main__":
    main()
