"""How soon the first epoch is there, where nothing was compiled before: ``python -m handgrad.benchmarks.first``.

Each backend, in processes of its own whose caches are empty: the time to import it, and then, of data in memory, to the
end of the first epoch of `fit`, with placing, compiling, or loading what was compiled. "again" is the same in the next
process, which finds what the first one kept: Numba all, JAX only what took it a second to compile. The median over the
rounds, which take turns.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np

from handgrad import backends
from handgrad.errors import MissingExtraError
from handgrad.table import table

CACHES = ("JAX_COMPILATION_CACHE_DIR", "NUMBA_CACHE_DIR")


def first_epoch(backend: str, features: int, examples: int) -> tuple[float, float]:
    """Seconds to import a backend, and then to the end of its first epoch on random bytes; in a process of its own."""
    rng = np.random.default_rng(0)
    X, Y = rng.integers(0, 256, (examples, features), np.uint8).T, rng.integers(0, 2, (1, examples))
    start = time.perf_counter()
    Neuron = backends.load(backend)
    imported = time.perf_counter()
    Neuron(input_scale=1 / 255).fit(X, Y, epochs=1, learning_rate=0.01)
    return imported - start, time.perf_counter() - imported


def measure(backend: str, features: int, examples: int) -> tuple[float, float, float]:
    """Seconds to import, to the first epoch with empty caches, and to that in the next process."""
    with TemporaryDirectory() as folder:
        caches = {name: str(Path(folder) / name) for name in CACHES}
        command = [sys.executable, "-m", "handgrad.benchmarks.first", "--arm", backend]
        asked = ["--features", str(features), "--examples", str(examples)]
        runs = []
        for _ in range(2):
            done = subprocess.run([*command, *asked], stdout=subprocess.PIPE, check=True, env=os.environ | caches)
            runs.append(json.loads(done.stdout))
    (imports, cold), (_, warm) = runs
    return imports, cold, warm


@click.command()
@click.option("--features", type=click.IntRange(min=1), default=12_288, show_default=True)
@click.option("--examples", type=click.IntRange(min=1), default=2_000, show_default=True)
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--arm", hidden=True)
def main(features: int, examples: int, rounds: int, arm: str | None) -> None:
    """Print the table."""
    if arm is not None:
        click.echo(json.dumps(first_epoch(arm, features, examples)))
        return
    chosen = []
    for name in backends.names():
        try:
            backends.load(name)
            chosen.append(name)
        except MissingExtraError as error:
            click.echo(f"left out: {error}", err=True)
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in chosen}
    for _ in range(rounds):
        for name, rows in found.items():
            rows.append(measure(name, features, examples))
    header = ["backend", "import, s", "first epoch, s", "again, s"]
    middle = [[name, *(f"{statistics.median(of):.2f}" for of in zip(*found[name], strict=True))] for name in chosen]
    click.echo(table(header, *middle))
    click.echo(f"n = {features:,}, m = {examples:,}, bytes; the median of {rounds}")


if __name__ == "__main__":
    main()
