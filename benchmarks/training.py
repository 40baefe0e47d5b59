"""What training costs beside the step: in the span of few examples, per epoch of almost no work, and from a file.

``python -m handgrad.benchmarks.training --data DATA`` prints a table for each; every backend in a process of its own,
the two sides of a ratio by turns.
"""

from __future__ import annotations

import multiprocessing
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from handgrad import backends
from handgrad.backend import Parameters
from handgrad.benchmarks.machine import held
from handgrad.data import Dataset
from handgrad.errors import MissingExtraError
from handgrad.examples import columns
from handgrad.table import table

Array = npt.NDArray[Any]

RATE = 0.003
PIXEL = 1 / 255


def in_the_span(backend: str, X: Array, Y: Array, dtype: str, epochs: int, rounds: int) -> tuple[str, ...]:
    """Step by step and in the span: milliseconds, their ratio, and the largest gap between the costs."""
    neuron = backends.load(backend)(input_scale=PIXEL, dtype=dtype)
    times: dict[bool, list[float]] = {False: [], True: []}
    costs = {}
    for span in (False, True) * (rounds + 1):
        start = time.perf_counter()
        _, history = neuron.fit(X, Y, epochs=epochs, learning_rate=RATE, span=span)
        times[span].append(time.perf_counter() - start)
        costs[span] = history.train_cost
    by_step, in_span = (statistics.median(times[span][1:]) for span in (False, True))
    gap = np.max(np.abs(costs[True] - costs[False]) / costs[False])
    return backend, dtype, f"{1e3 * by_step:.0f}", f"{1e3 * in_span:.1f}", f"{by_step / in_span:.1f} x", f"{gap:.1e}"


def dispatch(backend: str, X: Array, Y: Array, epochs: int, rounds: int) -> tuple[str, ...]:
    """Microseconds of an epoch that has next to nothing to compute."""
    neuron = backends.load(backend)(input_scale=PIXEL)
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        neuron.fit(X, Y, epochs=epochs, learning_rate=RATE, span=False)
        times.append((time.perf_counter() - start) / epochs)
    return backend, f"{1e6 * statistics.median(times[1:]):.1f}"


def from_a_file(backend: str, path: Path, Y: Array, block: int, rounds: int) -> tuple[str, ...]:
    """Epochs over a mapped file and over memory, in the same blocks; and the memory that the first ones took."""
    neuron = backends.load(backend)(input_scale=PIXEL)
    file = np.load(path, mmap_mode="r").T
    start = Parameters.zeros(file.shape[0])

    def epoch(X: Array) -> tuple[float, Array]:
        begun = time.perf_counter()
        parameters, _ = neuron.fit(X, Y, epochs=1, learning_rate=RATE, initial=start, block=block, span=False)
        return time.perf_counter() - begun, parameters.W

    small = file[:, : 2 * block]
    neuron.fit(small, Y[:, : 2 * block], epochs=1, learning_rate=RATE, block=block, span=False)  # compiles
    with _most_memory() as most:
        epoch(file)
    memory = np.load(path).T
    times: list[tuple[float, float]] = []
    same = True
    for _ in range(rounds):
        (mapped, W), (loaded, also_W) = epoch(file), epoch(memory)
        times.append((mapped, loaded))
        same &= bool(np.array_equal(W, also_W))
    mapped, loaded = (statistics.median(column) for column in zip(*times, strict=True))
    rate = file.size / 1e9 / mapped
    share = statistics.median(loaded / mapped for mapped, loaded in times)
    return backend, f"{rate:.2f}", f"{share:.0%}", f"{most() / 2**20:.0f}", "yes" if same else "no"


@contextmanager
def _most_memory() -> Iterator[Callable[[], int]]:
    """Of the resident bytes that no file holds, how many more there were, at most, than at the start."""
    done = threading.Event()
    found = [_anonymous()]

    def watch() -> None:
        while not done.wait(0.002):
            found.append(_anonymous())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield lambda: max(found) - found[0]
    finally:
        done.set()
        thread.join()


def _anonymous() -> int:
    return held("RssAnon") + held("RssShmem")


def examples(data: Path | None, m: int) -> tuple[Array, Array]:
    """X (12,288, m) and Y: photographs, repeated to fill, or random bytes about a mean picture."""
    if data is not None:
        train = Dataset.open(data).train
        chosen = np.arange(m) % train.X.shape[1]
        return columns(train.X, chosen), np.asarray(train.Y)[:, chosen]
    rng = np.random.default_rng(0)
    X = np.clip(rng.integers(64, 192, (1, 12_288)) + rng.normal(0, 60, (m, 12_288)), 0, 255).astype(np.uint8)
    return X.T, rng.integers(0, 2, (1, m)).astype(np.uint8)


@click.command()
@click.option("--data", type=click.Path(path_type=Path), help="A data set; else random bytes.")
@click.option("--backends", "names", default=",".join(backends.names()), show_default=True)
@click.option("--gigabytes", default=4.0, show_default=True, help="Of the file; 0 leaves it out.")
@click.option("--block", default=4096, show_default=True, help="Examples at a time, of the file.")
@click.option("--rounds", default=5, show_default=True)
def main(data: Path | None, names: str, gigabytes: float, block: int, rounds: int) -> None:
    """Print the three tables."""
    few, small = examples(data, 209), examples(None, 16)
    small = np.ascontiguousarray(small[0][:64].T).T, small[1]
    chosen = []
    for name in names.split(","):
        try:
            backends.load(name)
            chosen.append(name)
        except MissingExtraError as error:
            click.echo(f"left out: {error}")

    def each(function: Callable[..., tuple[str, ...]], *arguments: Any) -> list[tuple[str, ...]]:
        rows = []
        for name in chosen:
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                rows.append(pool.submit(function, name, *arguments).result())
        return rows

    click.echo(f"2,000 epochs, n = {few[0].shape[0]:,}, m = 209: step by step and in the span of the examples\n")
    rows = [row for dtype in ("float32", "float64") for row in each(in_the_span, *few, dtype, 2000, rounds)]
    click.echo(table(["backend", "dtype", "steps, ms", "span, ms", "ratio", "gap of costs"], *rows))
    click.echo("\nAn epoch at n = 64, m = 16, step by step\n")
    click.echo(table(["backend", "us"], *each(dispatch, *small, 5000, rounds)))
    if gigabytes:
        with tempfile.TemporaryDirectory() as folder:
            path, m = Path(folder) / "pixels.npy", round(gigabytes * 1e9 / 12_288)
            X, Y = examples(data, min(m, 2000))
            file = np.lib.format.open_memmap(path, "w+", np.uint8, (m, 12_288))
            for i in range(0, m, X.shape[1]):
                file[i : i + X.shape[1]] = X.T[: m - i]
            del file
            click.echo(
                f"\nA file of {gigabytes:g} GB, mapped and cached, in blocks of {block:,}, and the same in memory\n"
            )
            rows = each(from_a_file, path, np.resize(Y, (1, m)), block, rounds)
            click.echo(table(["backend", "GB/s", "of the speed in memory", "more memory, MiB", "same bits"], *rows))


if __name__ == "__main__":
    main()
