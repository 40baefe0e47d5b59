"""What is chosen before a training: a learning rate that is stable, a penalty."""

from collections.abc import Callable, Sequence

import numpy as np

from handgrad import validation
from handgrad.backend import Array
from handgrad.curvature import Curvature, curvature
from handgrad.errors import UsageError
from handgrad.material import learned_from, opened
from handgrad.neuron import Neuron
from handgrad.settings import Settings, optimizer
from handgrad.validation import Row


def rate(settings: Settings) -> Curvature:
    """How sharply the cost bends on the examples to train on: which learning rates are stable.

    Raises:
        UsageError: a setting is out of its range.
        DataError: the data set cannot be read.
    """
    neuron, dataset = opened(settings)
    return curvature(neuron, learned_from(settings, dataset, *dataset.train)[0])


def chosen_rate(settings: Settings, neuron: Neuron, X: Array, warn: Callable[[str], None]) -> float:
    """The learning rate, proposed if it is to be; a warning where it cannot go well."""
    rate = settings.learning_rate
    if rate is not None and neuron.activation != "identity" and rate * neuron.l2 <= 2:
        return rate  # nothing is certain about that
    found = curvature(neuron, X)
    if rate is None:
        return proposed(found)
    if found.verdict(rate) == "must diverge":
        better = f"; try {found.proposed:.4g}" if found.proposed else ""
        warn(f"learning rate {rate:g} must diverge, as any above {2 / found.least:.4g}{better}")
    return rate


def proposed(found: Curvature) -> float:
    """The learning rate that a curvature proposes.

    Raises:
        UsageError: none is sure.
    """
    if found.proposed is None:
        raise UsageError("learning_rate: none is sure for a relu, whose gradient jumps; expected a number")
    return found.proposed


def cross_validate(
    settings: Settings, penalties: Sequence[float], folds: int, by: str, *, progress: bool = False
) -> tuple[list[Row], Row]:
    """A row for each penalty, and the chosen one; on the examples to train and to validate on, together, in memory.

    Args:
        settings: all but the penalty.
        penalties: to try.
        folds: how many.
        by: "accuracy" or "cost".
        progress: show a bar.

    Raises:
        UsageError: a setting is out of its range.
        DataError: the data set cannot be read.
        DivergedError: a training diverged.
    """
    neuron, dataset = opened(settings)
    both = dataset.train, dataset.valid
    rows = validation.cross_validate(
        neuron,
        np.concatenate([np.asarray(examples.X).T for examples in both]).T,
        np.concatenate([examples.Y for examples in both], axis=1),
        l2=penalties,
        folds=folds,
        seed=settings.seed,
        epochs=settings.epochs,
        optimizer=optimizer(settings),
        see=lambda X, Y: learned_from(settings, dataset, X, Y),
        progress=progress,
    )
    return rows, validation.one_standard_error(rows, by)
