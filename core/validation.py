"""Cross-validation: each example is predicted once, by a neuron that did not learn from it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from handgrad.backend import Array, Parameters
from handgrad.bars import hidden
from handgrad.checks import array, count, examples
from handgrad.descent import DivergedError
from handgrad.errors import DataError, UsageError
from handgrad.examples import columns, on_host
from handgrad.neuron import Neuron
from handgrad.optimizers import LBFGS, Optimizer
from handgrad.scores import wilson
from handgrad.views import seen

See = Callable[[npt.NDArray[Any], npt.NDArray[Any]], tuple[Array, Array]]


@dataclass(frozen=True)
class Measured:
    """A number of each fold.

    Attributes:
        folds: of each.
    """

    folds: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over the folds."""
        return float(np.mean(self.folds))

    @property
    def error(self) -> float:
        """The standard error of the mean: the deviation of the folds over the root of their number."""
        return float(np.std(self.folds, ddof=1)) / math.sqrt(len(self.folds))


@dataclass(frozen=True)
class Row:
    """One penalty.

    Attributes:
        l2: its weight.
        accuracy, cost: on the examples that were held out; the cost is the mean loss, without the penalty.
        right, examples: how many of all examples were predicted right when they were held out.
    """

    l2: float
    accuracy: Measured
    cost: Measured
    right: int
    examples: int

    @property
    def interval(self) -> tuple[float, float]:
        """95 %, by Wilson, of the accuracy over all examples."""
        return wilson(self.right, self.examples)


def stratified_folds(Y: npt.NDArray[Any], folds: int, seed: int) -> npt.NDArray[np.intp]:
    """The fold of each example (m,), 0 to folds - 1: random, and of each class, and of all, as many as can be alike.

    Args:
        Y: (1, m), 0 or 1.
        folds: how many, at least 2.
        seed: of the order.

    Raises:
        UsageError: fewer than 2 folds.
        DataError: a class has fewer examples than there are folds.
    """
    folds = count("folds", folds, 2)
    which = np.empty(Y.shape[1], np.intp)
    rng, dealt = np.random.default_rng(seed), 0
    for label in 0, 1:
        of_class = np.flatnonzero(Y[0] == label)
        if len(of_class) < folds:
            raise DataError(
                f"class {label} has {len(of_class)} examples; expected one or more for each of {folds} folds"
            )
        which[rng.permutation(of_class)] = (dealt + np.arange(len(of_class))) % folds
        dealt += len(of_class)
    return which


def cross_validate(
    neuron: Neuron,
    X: npt.NDArray[Any],
    Y: npt.NDArray[Any],
    *,
    l2: Sequence[float],
    folds: int = 5,
    seed: int = 0,
    epochs: int = 1000,
    optimizer: Optimizer | None = None,
    see: See = lambda X, Y: (X, Y),
    progress: bool = False,
) -> list[Row]:
    """Train on all folds but one, and measure on that one; for each fold and each penalty.

    With L-BFGS, the default, each penalty above 0 begins where the next larger one ended. That saves steps; and since a
    cost with a penalty has one minimum, it changes nothing else where there are epochs enough to get there.

    Args:
        neuron: its configuration, but for the penalty.
        X, Y: (n, m) and (1, m), NumPy arrays.
        l2: the penalties to try.
        folds, seed: see `stratified_folds`.
        epochs: at most, of each training.
        optimizer: what to train with.
        see: what training makes of its examples, as views that mirror or standardise them; it sees no others.
        progress: show a bar on standard error, if that is a terminal.

    Returns:
        A row for each penalty, in ascending order.

    Raises:
        DivergedError: of the fold and the penalty that its message names. Other errors are those of `Neuron.fit`.
    """
    if not np.size(l2):
        raise UsageError("l2 is empty; expected one penalty or more")
    X, Y = examples(X), array("Y", Y, DataError)
    if not on_host(X) or not isinstance(Y, np.ndarray) or Y.shape != (1, X.shape[1]):
        found = f"X {type(X).__name__} {tuple(X.shape)} and Y {type(Y).__name__} {tuple(Y.shape)}"
        raise DataError(f"found {found}; expected NumPy arrays (n, m) and (1, m)")
    optimizer = optimizer or LBFGS()
    which = stratified_folds(Y, folds, seed)
    penalties = sorted({replace(neuron, l2=penalty).l2 for penalty in np.atleast_1d(l2)}, reverse=True)
    right = dict.fromkeys(penalties, 0)
    accuracies: dict[float, list[float]] = {penalty: [] for penalty in penalties}
    costs: dict[float, list[float]] = {penalty: [] for penalty in penalties}
    total = folds * len(penalties)
    with tqdm(total=total, unit="training", disable=hidden(progress)) as bar:
        for fold in range(folds):
            inside, held = np.flatnonzero(which != fold), np.flatnonzero(which == fold)
            train_X, train_Y = see(columns(X, inside), Y[:, inside])
            out = neuron.place(seen(train_X).of(columns(X, held)), Y[:, held])
            train, labels = neuron.place(train_X, train_Y), Y[:, held]
            start = None
            for penalty in penalties:
                penalised = replace(neuron, l2=penalty)
                try:
                    initial: Parameters | None = start if penalty > 0 else None
                    parameters, _ = penalised.fit(train, epochs=epochs, optimizer=optimizer, initial=initial)
                except DivergedError as error:
                    error.args = (f"fold {fold + 1}, l2 {penalty:g}: {error}",)
                    raise
                if isinstance(optimizer, LBFGS):
                    start = parameters
                taken = neuron.predict(parameters, out) == labels
                right[penalty] += int(taken.sum())
                accuracies[penalty].append(float(taken.mean()))
                costs[penalty].append(replace(neuron, l2=0.0).cost(parameters, out))
                bar.update()
    return [
        Row(p, Measured(tuple(accuracies[p])), Measured(tuple(costs[p])), right[p], Y.shape[1])
        for p in reversed(penalties)
    ]


def one_standard_error(rows: Sequence[Row], by: str = "cost") -> Row:
    """The largest penalty that is within one standard error of the best: of what nobody can tell apart, the simplest.

    Hastie, Tibshirani and Friedman, "The Elements of Statistical Learning", 2009, section 7.10.

    Args:
        rows: of `cross_validate`.
        by: "accuracy" or "cost".
    """
    sign = 1 if by == "accuracy" else -1
    best = max(rows, key=lambda row: sign * getattr(row, by).mean)
    least = sign * getattr(best, by).mean - getattr(best, by).error
    return max((row for row in rows if sign * getattr(row, by).mean >= least), key=lambda row: row.l2)
