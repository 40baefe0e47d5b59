"""What a training works on: the neuron, the data set, and the examples as it sees them."""

from dataclasses import replace

import numpy as np

from handgrad import backends
from handgrad.backend import Array, Parameters
from handgrad.data import Dataset, Examples
from handgrad.errors import DataError, UsageError
from handgrad.neuron import Neuron
from handgrad.processes import ALONE, Processes
from handgrad.settings import Settings, optimizer
from handgrad.views import Seen, mirrored, seen, shared, standardised

PIXEL_SCALE = 1 / 255


def opened(settings: Settings, processes: Processes = ALONE) -> tuple[Neuron, Dataset]:
    """The neuron and the data set, the same for all processes.

    Raises:
        UsageError: a setting is out of its range.
        DataError: the data set cannot be read, or a process has another one.
    """
    scale = 1.0 if settings.standardize else PIXEL_SCALE
    backend = backends.load(settings.backend)
    device = backend.device_among(processes, settings.device)
    neuron = backend(settings.activation, settings.loss, settings.l2, scale, settings.dtype, device)
    optimizer(settings)  # whose arguments it checks
    if settings.span and (settings.mirror or settings.standardize):
        raise UsageError(
            "span: found it beside mirror or standardize; the span takes examples as they are; leave it out"
        )
    dataset = Dataset.open(settings.data)
    hashes = processes.everyones(dataset.hash)
    if len(set(hashes)) > 1:
        other = next(rank for rank, found in enumerate(hashes) if found != hashes[0])
        raise DataError(f"{settings.data}: is another data set for rank {other} than for rank 0; expected the same")
    if settings.patience is not None and not dataset.valid.Y.size:
        raise UsageError(
            f"early stopping: {settings.data} has no photographs to validate on; make some with: "
            "handgrad prepare --validation 0.2"
        )
    return neuron, dataset


def to_learn_from(settings: Settings, neuron: Neuron, dataset: Dataset, processes: Processes) -> tuple[Seen, Array]:
    """X and Y to learn from, as training sees them; of several processes this one's share, of which it knows."""
    here = mine(dataset.train, processes)
    X, Y = learned_from(settings, dataset, shared(here.X, processes), here.Y)
    if neuron.processes is ALONE:
        return X, Y
    # The device is that of all processes: it takes of all examples those that each is to hold.
    return replace(X, X=dataset.train.X, processes=ALONE), np.tile(dataset.train.Y, len(X.views))


def learned_from(settings: Settings, dataset: Dataset, X: Array | Seen, Y: Array) -> tuple[Seen, Array]:
    """X and Y as training sees them: mirrored and standardised, where that is asked for, without a copy.

    Raises:
        UsageError: features of the data set that cannot be mirrored.
    """
    X = seen(X)
    if settings.mirror:
        if dataset.features.kind == "hog":
            raise UsageError(f"mirror: found it for {settings.data}, of hog features; expected pixels or gray")
        X, Y = mirrored(X, dataset.size), np.tile(Y, 2)
    return (standardised(X) if settings.standardize else X), Y


def mine(examples: Examples, processes: Processes) -> Examples:
    """This process' share of examples, in the order in which the processes have theirs."""
    mine = processes.share(examples.Y.shape[1])
    return Examples(examples.X[:, mine], examples.Y[:, mine])


def initial(name: str, seed: int, dataset: Dataset) -> Parameters:
    """The parameters to start from."""
    n = dataset.train.X.shape[0]
    return Parameters.random(n, seed) if name == "random" else Parameters.zeros(n)
