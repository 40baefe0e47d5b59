"""How soon a cost is reached: ``python -m handgrad.benchmarks.optimizers --data DATA``.

Two tables. L-BFGS against 5,000 epochs of the articles' gradient descent, on each backend: step by step, and in the
span of the examples, where that is what `fit` would choose. And L-BFGS on one backend against scikit-learn's
``LogisticRegression(solver="lbfgs")``, on more examples: for each cost that scikit-learn reaches, the time that both
need. What is compared takes turns in one process.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from handgrad import backends
from handgrad.data import Dataset
from handgrad.errors import MissingExtraError
from handgrad.neuron import Neuron
from handgrad.optimizers import LBFGS
from handgrad.table import table

Array = npt.NDArray[Any]

RATE, EPOCHS = 0.003, 5000
PIXEL = 1 / 255
MOST = 2000
"""Epochs in which L-BFGS has to get there."""


def against_descent(backend: str, X: Array, Y: Array, rounds: int, epochs: int = EPOCHS) -> tuple[str, ...]:
    """Seconds of gradient descent, step by step and as `fit` chooses, and of L-BFGS to the same cost."""
    neuron = backends.load(backend)(input_scale=PIXEL)

    def descend(span: bool | None) -> float:
        parameters, _ = neuron.fit(X, Y, epochs=epochs, learning_rate=RATE, span=span)
        return neuron.cost(parameters, X, Y)

    target = descend(None)
    needed = _needed(neuron, X, Y, target)
    ways: list[Callable[[], Any]] = [
        lambda: descend(False),
        lambda: descend(None),
        lambda: _train(neuron, X, Y, needed),
    ]
    steps, chosen, lbfgs = _taking_turns(ways, rounds)
    ratios = [statistics.median(a / b for a, b in zip(way, lbfgs, strict=True)) for way in (steps, chosen)]
    seconds = [f"{statistics.median(way):.3g}" for way in (steps, chosen, lbfgs)]
    return backend, f"{target:.6f}", *seconds[:2], str(needed), seconds[2], *(f"{ratio:.1f} x" for ratio in ratios)


def against_sklearn(neuron: Neuron, X: Array, Y: Array, iterations: list[int], rounds: int) -> list[tuple[str, ...]]:
    """For each number of scikit-learn's iterations: its cost, both times to it, and their ratio."""
    from sklearn.linear_model import LogisticRegression

    rows = np.ascontiguousarray(X.T * np.float32(PIXEL))
    C = 1 / (Y.size * neuron.l2)
    found: list[tuple[str, ...]] = []
    for most in iterations:
        estimator = LogisticRegression(solver="lbfgs", C=C, max_iter=most, tol=1e-12)
        estimator.fit(rows, Y[0])
        target = neuron.cost(_parameters(neuron, estimator), X, Y)
        needed = _needed(neuron, X, Y, target)
        ways: list[Callable[[], Any]] = [partial(estimator.fit, rows, Y[0]), partial(_train, neuron, X, Y, needed)]
        theirs, ours = _taking_turns(ways, rounds)
        ratio = statistics.median(a / b for a, b in zip(theirs, ours, strict=True))
        seconds = [f"{statistics.median(way):.3g}" for way in (theirs, ours)]
        taken = str(int(estimator.n_iter_[0]))
        found.append((taken, f"{target:.6f}", seconds[0], str(needed), seconds[1], f"{ratio:.1f} x"))
    return found


def _needed(neuron: Neuron, X: Array, Y: Array, target: float) -> int:
    """Epochs of L-BFGS until the cost is as low."""
    _, history = neuron.fit(X, Y, epochs=MOST, optimizer=LBFGS(tolerance=0), watch=lambda state: _there(state, target))
    there = np.flatnonzero(history.train_cost <= target)
    if not len(there):
        raise click.ClickException(f"L-BFGS came to {history.train_cost[-1]:.6f} only; expected {target:.6f}")
    return int(there[0])


def _there(state: Callable[[], Any], target: float) -> bool:
    return bool(state().history.train_cost[-1] <= target)


def _train(neuron: Neuron, X: Array, Y: Array, epochs: int) -> None:
    neuron.fit(X, Y, epochs=epochs, optimizer=LBFGS(tolerance=0))


def _taking_turns(ways: list[Callable[[], Any]], rounds: int) -> list[list[float]]:
    """Seconds of each way in each round; the order changes from round to round."""
    times: list[list[float]] = [[] for _ in ways]
    order = np.random.default_rng(0)
    for _ in range(rounds):
        for i in order.permutation(len(ways)):
            start = time.perf_counter()
            ways[i]()
            times[i].append(time.perf_counter() - start)
    return times


def _parameters(neuron: Neuron, estimator: Any) -> Any:
    from handgrad.backend import Parameters

    return Parameters(estimator.coef_.astype(neuron.dtype), np.asarray(estimator.intercept_[0], neuron.dtype))


def with_noise(X: Array, Y: Array, m: int) -> tuple[Array, Array]:
    """As many examples: those of X (n, k) over and over, each time with other noise, of deviation 8, in bytes."""
    rng = np.random.default_rng(0)
    rows = np.empty((m, X.shape[0]), np.uint8)
    for first in range(0, m, X.shape[1]):
        part = X.T[: m - first]
        rows[first : first + len(part)] = np.clip(part + rng.normal(0, 8, part.shape), 0, 255)
    return rows.T, np.resize(Y, (1, m))


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, help="A data set of photographs.")
@click.option("--backends", "names", default=",".join(backends.names()), show_default=True)
@click.option("--examples", default=20_000, show_default=True, help="Against scikit-learn; 0 leaves it out.")
@click.option("--backend", default="numba", show_default=True, help="Against scikit-learn.")
@click.option("--iterations", default="1,2,5,10,20,50,100", show_default=True, help="Of scikit-learn.")
@click.option("--rounds", default=3, show_default=True)
def main(data: Path, names: str, examples: int, backend: str, iterations: str, rounds: int) -> None:
    """Print the two tables."""
    train = Dataset.open(data).train
    X, Y = np.asarray(train.X), np.asarray(train.Y)
    n, m = X.shape
    click.echo(f"The cost of {EPOCHS:,} epochs of gradient descent, alpha = {RATE}, n = {n:,}, m = {m:,}, float32\n")
    rows = []
    for name in filter(None, names.split(",")):
        try:
            rows.append(against_descent(name, X, Y, rounds))
        except MissingExtraError as error:
            click.echo(f"left out: {error}")
    header = ["backend", "cost", "steps, s", "fit, s", "epochs of L-BFGS", "s", "against steps", "against fit"]
    click.echo(table(header, *rows))
    if examples:
        X, Y = with_noise(X, Y, examples)
        neuron = backends.load(backend)(l2=1 / examples, input_scale=PIXEL)
        click.echo(f"\nThe costs of scikit-learn's lbfgs (C = 1), n = {n:,}, m = {examples:,}, float32; {backend}\n")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*converge")  # that iterations end early is asked for
            found = against_sklearn(neuron, X, Y, [int(k) for k in iterations.split(",")], rounds)
        click.echo(table(["iterations", "cost", "scikit-learn, s", "epochs", f"{backend}, s", "ratio"], *found))


if __name__ == "__main__":
    main()
