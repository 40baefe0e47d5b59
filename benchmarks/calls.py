"""What the calls cost that people make, beside the inner ones and beside plain programs in the same framework.

``python -m handgrad.benchmarks.calls`` prints, for each backend, the time of `gradients`, `step` and `cost` of examples
that were placed, over that of the inner `sums` or `loss_sum`, and of a program that a user of the framework would
write. All take turns, in processes of their own; a ratio is the median over the rounds.
"""

from __future__ import annotations

import statistics
from contextlib import ExitStack, closing
from typing import NamedTuple

import click
import numpy as np

from handgrad.benchmarks import arms, machine, paired
from handgrad.benchmarks.arms import Work
from handgrad.benchmarks.bench import steps_in_a_turn
from handgrad.benchmarks.trust import works
from handgrad.benchmarks.worker import Worker
from handgrad.errors import HandgradError
from handgrad.table import table

PLAIN = {"torch": "torch_eager", "jax": "jax_plain"}
"""The program that a user would write, in the framework of a backend; for the others, the faster of these."""

INNER = {"gradients": "sums", "step": "sums", "cost": "loss_sum"}
"""What each call makes means of."""


class Ratio(NamedTuple):
    """Of one call of one backend.

    Attributes:
        backend, call: which.
        milliseconds: the median.
        inner: its time over that of the inner call.
        plain: the time of each plain program over its, by the program's name: above 1, the call is faster.
    """

    backend: str
    call: str
    milliseconds: float
    inner: paired.Interval
    plain: dict[str, paired.Interval]


def measure(work: Work, backend: str, rounds: int, threads: int, processes: int = 3, seed: int = 0) -> list[Ratio]:
    """Each call of a backend, in paired rounds.

    A call and the inner one are timed in the same process, on the same memory. What a process is given of the machine's
    memory makes it up to a tenth slower or faster than the next; so a backend and each plain program have several, made
    in turn, and in each round the median over them counts.

    Raises:
        UsageError: there is no such backend.
        MissingExtraError: a framework is not installed.
    """
    programs = [PLAIN[backend]] if backend in PLAIN else list(PLAIN.values())
    calls = dict.fromkeys([*INNER, *INNER.values()])
    for name in backend, *programs:
        arms.load(name)
    rng = np.random.default_rng(seed)
    times: dict[tuple[str, str | None], list[list[float]]] = {}
    with ExitStack() as stack:
        turns: list[tuple[str, str | None, Worker, int]] = []
        for _ in range(processes):
            for name in backend, *programs:
                worker = stack.enter_context(closing(Worker(name, threads)))
                steps = steps_in_a_turn(worker.place(work).steady)
                turns += [(name, call, worker, steps) for call in (calls if name == backend else [None])]
        for _ in range(rounds):
            taken: dict[tuple[str, str | None], list[float]] = {}
            for turn in rng.permutation(len(turns)).tolist():
                name, call, worker, steps = turns[turn]
                taken.setdefault((name, call), []).append(statistics.median(worker.time(steps, call)))
            for key, seconds in taken.items():
                times.setdefault(key, []).append(seconds)
    of = {key: np.median(np.array(rows), axis=1) for key, rows in times.items()}
    return [
        Ratio(
            backend,
            call,
            1e3 * float(np.median(of[backend, call])),
            paired.ratio(of[backend, call], of[backend, inner]),
            {name: paired.ratio(of[name, None], of[backend, call]) for name in programs},
        )
        for call, inner in INNER.items()
    ]


@click.command()
@click.option("--backends", "chosen", default="numpy,numba,torch,jax", show_default=True, help="With commas.")
@click.option("--features", type=click.IntRange(min=1), default=12_288, show_default=True)
@click.option("--examples", type=click.IntRange(min=1), default=20_000, show_default=True)
@click.option("--rounds", type=click.IntRange(min=3), default=15, show_default=True)
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Of a backend, and of each plain program.",
)
@click.option("--threads", default=None, type=int, help="[default: one for each core]")
def main(chosen: str, features: int, examples: int, rounds: int, processes: int, threads: int | None) -> None:
    """Print the table."""
    work, _ = works(features, examples, 0)
    rows = []
    for backend in chosen.split(","):
        try:
            found = measure(work, backend, rounds, threads or machine.cores(), processes)
        except HandgradError as error:
            click.echo(f"left out: {error}")
            continue
        for ratio in found:
            plain = ", ".join(f"{of.median:.2f} ({name})" for name, of in ratio.plain.items())
            inner = f"{ratio.inner.median:.3f} ({ratio.inner.low:.3f} to {ratio.inner.high:.3f})"
            rows.append([ratio.backend, ratio.call, f"{ratio.milliseconds:.4g}", INNER[ratio.call], inner, plain])
    header = ["backend", "call", "ms", "inner call", "over it, 95 % interval", "times as fast as plain"]
    click.echo(table(header, *rows))
    click.echo(f"n = {features:,}, m = {examples:,}, bytes; {rounds} rounds, by turns, {processes} processes of each")


if __name__ == "__main__":
    main()
