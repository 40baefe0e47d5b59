"""How soon the optimum is near, against what else there is: ``python -m handgrad.benchmarks.peers PHOTOGRAPHS``.

Logistic regression with an L2 penalty, on three shapes: 20,000 x 12,288 and 2,000 x 49,923 pixels of photographs, each
used several times with noise of deviation 8, and 200,000 x 64 correlated numbers of other scales and means. An arm has
arrived where J is within 1e-4 of the optimum (of log 2, the cost at zero weights, minus it). Its time begins with the
arrays in memory, as they are stored, and includes placing or converting them, and compiling from a warm cache. Each
arm is a process of its own; they take turns, with a pause, for threads that spin disturb the next. A dash: not
there after a run of 10 seconds or of 1,000 iterations, or after two minutes in all.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from unittest import mock

import click
import numpy as np
import numpy.typing as npt

from handgrad import backends
from handgrad.backend import Parameters
from handgrad.benchmarks.optimizers import with_noise
from handgrad.data import Dataset, prepare
from handgrad.errors import MissingExtraError
from handgrad.optimizers import LBFGS
from handgrad.table import table

Array = npt.NDArray[Any]

NEAR, PAUSE = 1e-4, 1.0
EPOCHS = 1000
LIMIT = 10.0
"""Seconds after which a run that has not arrived is the last one."""
PATIENCE = 120.0
"""Seconds after which an arm is ended."""
NOT_THERE = ("-", "-", "-")
"""What is shown of an arm that did not arrive."""


class Shape(NamedTuple):
    """A problem: m examples, of photographs of a side, or of 64 numbers where that is 0; and its penalty."""

    m: int
    side: int
    l2: float


SHAPES = {
    "20,000 x 12,288": Shape(20_000, 64, 0.01),
    "200,000 x 64": Shape(200_000, 0, 1e-5),
    "2,000 x 49,923": Shape(2_000, 129, 0.01),
}


def of_numbers(m: int) -> tuple[Array, Array]:
    """X (64, m), float32, of features that are correlated, on scales from 0.1 to 10 and off 0; and Y (1, m)."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((64, m)) * 10 ** rng.uniform(-1, 1, (64, 1)) + rng.standard_normal((64, 1))
    X = (rng.standard_normal((64, 64)) / 8 @ X).astype(np.float32)
    Z = rng.standard_normal(64) @ (X - X.mean(axis=1, keepdims=True))
    return X, (rng.random((1, m)) < 1 / (1 + np.exp(-2 * Z / Z.std()))).astype(np.uint8)


def made(shape: Shape, photographs: Path, folder: Path) -> None:
    """X and Y of a shape, as files."""
    if not shape.side:
        X, Y = of_numbers(shape.m)
    else:
        prepare(photographs, folder / "data", size=shape.side, validation=0.0)
        train = Dataset.open(folder / "data").train
        X, Y = with_noise(np.asarray(train.X), np.asarray(train.Y), shape.m)
    np.save(folder / "X.npy", X.T)
    np.save(folder / "Y.npy", Y)


def optimum(shape: Shape, X: Array, Y: Array) -> float:
    """J of the optimum: where the gradient of the fastest backend, in float64, is next to nothing."""
    neuron = backends.load("numba")(l2=shape.l2, input_scale=_scale(X), dtype="float64")
    _, history = neuron.fit(X, Y, epochs=EPOCHS, optimizer=LBFGS(tolerance=1e-9))
    return float(history.train_cost[-1])


def ours(backend: str, shape: Shape, X: Array, Y: Array, target: float) -> tuple[float, float]:
    """Seconds and evaluations to the target; the watch is a comparison after each block of epochs."""
    neuron = backends.load(backend)(l2=shape.l2, input_scale=_scale(X))
    few = neuron.place(X[:, :600], Y[:, :600])
    neuron.fit(few, epochs=2, optimizer=LBFGS())  # compiles, or loads what was compiled
    start = time.perf_counter()
    examples = neuron.place(X, Y)
    placed = time.perf_counter() - start
    _, history = neuron.fit(
        examples,
        epochs=EPOCHS,
        optimizer=LBFGS(tolerance=0),
        watch=lambda state: bool(state().history.train_cost[-1] <= target),
    )
    there = np.flatnonzero(history.train_cost <= target)
    if not len(there):
        return np.inf, np.inf
    taken = slice(0, int(there[0]) + 1)
    return placed + float(history.seconds[taken].sum()), float(history.evaluations[taken].sum())


class Peer(NamedTuple):
    """A solver of another library.

    Attributes:
        package: that has it, as it is imported.
        made: an estimator, of l2, m and how many iterations it may take.
        dtype: of X, in which it arrives.
        narrow: whether it is for few features only.
        steps: whether it calls `scipy.optimize.minimize`, so that one run is looked at after each iteration.
    """

    package: str
    made: Callable[[float, int, int], Any]
    dtype: str = "float32"
    narrow: bool = False
    steps: bool = False


def _logistic(package: str, **options: Any) -> Callable[[float, int, int], Any]:
    """Of a package that has scikit-learn's `LogisticRegression`."""

    def made(l2: float, m: int, iterations: int) -> Any:
        linear = importlib.import_module(f"{package}.linear_model")
        return linear.LogisticRegression(C=1 / (m * l2), max_iter=iterations, tol=1e-12, **options)

    return made


def _snapml(l2: float, m: int, iterations: int) -> Any:
    snapml, cores = importlib.import_module("snapml"), os.cpu_count()
    return snapml.LogisticRegression(
        regularizer=m * l2, max_iter=iterations, tol=1e-12, fit_intercept=True, n_jobs=cores
    )


def _skglm(l2: float, _: int, iterations: int) -> Any:
    skglm = importlib.import_module("skglm")
    solver = skglm.solvers.ProxNewton(max_iter=iterations, tol=1e-12)
    return skglm.GeneralizedLinearEstimator(skglm.datafits.Logistic(), skglm.penalties.L1_plus_L2(l2, 0.0), solver)


PEERS = {
    "scikit-learn, lbfgs": Peer("sklearn", _logistic("sklearn"), steps=True),
    # in float32 it does not arrive; and it makes an n x n matrix
    "scikit-learn, newton-cholesky": Peer("sklearn", _logistic("sklearn", solver="newton-cholesky"), "float64", True),
    "scikit-learn, saga": Peer("sklearn", _logistic("sklearn", solver="saga")),
    # which penalises b, the less the larger the constant feature is that b belongs to
    "scikit-learn, liblinear": Peer(
        "sklearn", _logistic("sklearn", solver="liblinear", intercept_scaling=100.0), "float64"
    ),
    "scikit-learn-intelex, lbfgs": Peer("sklearnex", _logistic("sklearnex"), steps=True),
    "snapml": Peer("snapml", _snapml),
    "skglm, prox-newton": Peer("skglm", _skglm),
}
"""What a person would pick instead; those that are installed take part."""


def theirs(peer: Peer, shape: Shape, X: Array, Y: Array, target: float) -> tuple[float, float]:
    """Seconds and iterations of a peer to the target, with converting X; infinite where that takes over `LIMIT`.

    Of one that cannot be looked at, they are those of the first of runs of 1, 2, 3, 5, 8 ... iterations that is there.
    """
    from scipy import optimize

    neuron = backends.load("numba")(l2=shape.l2, input_scale=_scale(X))
    examples = neuron.place(X, Y)

    def there(W: Array, b: Any) -> bool:
        P = Parameters(np.reshape(W, (1, -1)).astype(np.float32), np.asarray(b, np.float32).reshape(()))
        return neuron.cost(P, examples) <= target

    labels = np.where(Y[0], 1, -1)
    few = np.random.default_rng(0).choice(Y.size, 400)
    peer.made(shape.l2, 400, 2).fit(
        X.T[few, :64].astype(peer.dtype) * _scale(X), labels[few]
    )  # compiles, where it does
    start = time.perf_counter()
    rows = np.ascontiguousarray(X.T.astype(peer.dtype))
    rows *= rows.dtype.type(_scale(X))
    converted = time.perf_counter() - start
    if peer.steps:
        seen: list[tuple[float, Array]] = []
        real = optimize.minimize

        def looked_at(*given: Any, **options: Any) -> Any:
            return real(*given, **options | {"callback": lambda w: seen.append((time.perf_counter(), w.copy()))})

        with mock.patch.object(optimize, "minimize", looked_at):
            start = time.perf_counter()
            peer.made(shape.l2, Y.size, EPOCHS).fit(rows, labels)
        for k, (at, w) in enumerate(seen):
            if there(w[:-1], w[-1]) or there(w[1:], w[0]):  # scikit-learn-intelex has b first
                return converted + at - start, k + 1
        return np.inf, np.inf
    k, later = 1, 2
    while True:
        start = time.perf_counter()
        found = peer.made(shape.l2, Y.size, k).fit(rows, labels)
        seconds = time.perf_counter() - start
        if there(found.coef_, found.intercept_):
            return converted + seconds, k
        if seconds > LIMIT or k > EPOCHS:
            return np.inf, np.inf
        k, later = later, k + later


def _scale(X: Array) -> float:
    return 1 / 255 if X.dtype == np.uint8 else 1.0


def arms(shape: Shape) -> dict[str, Callable[..., tuple[float, float]]]:
    """Those that can be run, by name."""
    found: dict[str, Callable[..., tuple[float, float]]] = {}
    for name in backends.names():
        try:
            backends.load(name)
        except MissingExtraError as error:
            click.echo(f"left out: {error}", err=True)
            continue
        found[f"handgrad, {name}"] = lambda *given, name=name: ours(name, *given)
    for name, peer in PEERS.items():
        if importlib.util.find_spec(peer.package) is None:
            click.echo(f"left out: {name}, which is not installed", err=True)
        elif not (peer.narrow and shape.side):
            found[name] = functools.partial(theirs, peer)
    return found


def run_arm(name: str, of: str, folder: Path, target: float) -> None:
    """In a process of its own: prints seconds, evaluations, and the most memory that it held, in MB."""
    import warnings

    warnings.simplefilter("ignore")  # that iterations end early is asked for
    X, Y = np.load(folder / "X.npy").T, np.load(folder / "Y.npy")
    seconds, evaluations = arms(SHAPES[of])[name](SHAPES[of], X, Y, target)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    click.echo(json.dumps({"seconds": seconds, "evaluations": evaluations, "memory": most}))


def _run(command: list[str]) -> dict[str, float]:
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return dict.fromkeys(("seconds", "evaluations", "memory"), np.inf)
    found: dict[str, float] = json.loads(done.stdout)
    return found


@click.command()
@click.argument("photographs", type=click.Path(path_type=Path, exists=True))
@click.option("--shape", "shapes", multiple=True, type=click.Choice(list(SHAPES)), help="Which.  [default: all]")
@click.option("--rounds", default=3, show_default=True, help="The median is shown.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@click.option("--arm", hidden=True)
@click.option("--target", type=float, hidden=True)
def main(
    photographs: Path, shapes: tuple[str, ...], rounds: int, as_json: bool, arm: str | None, target: float | None
) -> None:
    """Print a table for each shape, of PHOTOGRAPHS as `handgrad prepare` takes them."""
    if arm is not None and target is not None:
        run_arm(arm, shapes[0], photographs, target)
        return
    figures = {}
    for of in shapes or SHAPES:
        shape = SHAPES[of]
        with TemporaryDirectory() as name:
            folder = Path(name)
            made(shape, photographs, folder)
            X, Y = np.load(folder / "X.npy").T, np.load(folder / "Y.npy")
            best = optimum(shape, X, Y)
            there = best + NEAR * (np.log(2) - best)
            del X, Y
            found: dict[str, list[dict[str, float]]] = {name: [] for name in arms(shape)}
            for _ in range(rounds):
                for name, results in found.items():
                    time.sleep(PAUSE)
                    command = [sys.executable, "-m", "handgrad.benchmarks.peers", str(folder)]
                    asked = ["--shape", of, "--arm", name, "--target", repr(float(there))]
                    results.append(_run([*command, *asked]))
        middle = {
            name: {key: float(np.median([one[key] for one in results])) for key in results[0]}
            for name, results in found.items()
        }
        figures[of] = {"optimum": best, "l2": shape.l2, "arms": middle}
        if not as_json:
            fastest = min(arm["seconds"] for arm in middle.values())
            click.echo(f"{of} (m x n), l2 = {shape.l2:g}: J within 1e-4 of {best:.6f}\n")
            rows = [
                (
                    name,
                    *((f"{s:.2f}", f"{s / fastest:.1f} x", f"{k:g}") if s < np.inf else NOT_THERE),
                    f"{most:.0f}" if most < np.inf else "-",
                )
                for s, name, k, most in sorted(
                    (a["seconds"], name, a["evaluations"], a["memory"]) for name, a in middle.items()
                )
            ]
            click.echo(table(["", "s", "of the soonest", "evaluations", "MB at most"], *rows) + "\n")
    if as_json:
        click.echo(json.dumps(figures))


if __name__ == "__main__":
    main()
