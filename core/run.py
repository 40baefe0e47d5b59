"""A run: the folder in which a trained neuron is kept, with all that is needed to use it again.

::

    model.safetensors    W (1, n) and b (), and in the metadata the configuration, classes and size of the photographs
    history.csv          epoch, train_cost, validation_cost, seconds, evaluations: a line per epoch
    run.json             how it was trained and what came out
"""

from __future__ import annotations

import csv
import io
import json
import math
import platform
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from handgrad import backends, checks
from handgrad.backend import Configuration, Parameters
from handgrad.data import Dataset, Features
from handgrad.descent import DivergedError, History
from handgrad.errors import DataError, HandgradError, UsageError, reason_of
from handgrad.jsonable import dumps
from handgrad.neuron import Neuron
from handgrad.sealed import sealed, unsealed
from handgrad.settings import Settings
from handgrad.store import LOCK, locked, partly, write
from handgrad.version import __version__

FORMAT = 1
MODEL, HISTORY, RUN = "model.safetensors", "history.csv", "run.json"
CHECKPOINT = "checkpoint.safetensors"
"""What there is instead of them while a training is not over."""


@dataclass(frozen=True, kw_only=True)
class Model(Configuration):
    """Parameters, and what they mean: the configuration of the neuron that learned them, and of what.

    Attributes:
        parameters: W (1, n) and b ().
        classes: the names of class 0 and class 1.
        size: (h, w, c) of an example; n = h w c.
        features: what of a photograph an example is.
        data: the hash of the data set that it was trained on.
        versions: of handgrad, Python, NumPy and the backend's framework.
    """

    parameters: Parameters
    classes: tuple[str, str]
    size: tuple[int, int, int]
    features: Features
    data: str
    versions: dict[str, str]

    @classmethod
    def of(cls, neuron: Neuron, parameters: Parameters, dataset: Dataset, versions: dict[str, str]) -> Model:
        """What a neuron learned of a data set."""
        return cls(
            **vars(neuron.configuration),
            parameters=parameters,
            classes=dataset.classes,
            size=dataset.size,
            features=dataset.features,
            data=dataset.hash,
            versions=versions,
        )

    def knows(self, dataset: Dataset) -> bool:
        """Whether it was trained on this very data set: else examples to validate on may be some that it learned."""
        return self.data == dataset.hash

    def check_fits(self, dataset: Dataset) -> None:
        """Raise a DataError where the examples of a data set are not such as it was trained on."""
        mine, others = ((of.classes, of.size, of.features) for of in (self, dataset))
        if mine != others:
            found, expected = (
                f"classes {c} of size {s}, {f.kind} of {f.photograph}{', exact' if f.exact else ''}"
                for c, s, f in (others, mine)
            )
            raise DataError(f"{dataset.path}: found {found}; expected {expected}, as the neuron was trained on")

    def neuron(self, backend: type[Neuron], device: str = "cpu") -> Neuron:
        """The neuron that the parameters belong to, on any backend."""
        return backend(**vars(self.configuration), device=device)


class DivergedBeforeError(HandgradError):
    """Of a run that ended so before."""

    exit_code = DivergedError.exit_code


@dataclass(frozen=True)
class Outcome:
    """How a training ended.

    Attributes:
        settings: with which it was begun.
        result: what run.json says; None where it was stopped before its end.
        epochs: how many were taken.
        diverged: the error, where it did.
    """

    settings: Settings
    result: dict[str, Any] | None
    epochs: int
    diverged: HandgradError | None = None

    @property
    def exit_code(self) -> int:
        """Of a command: 0 for a training that came to its end."""
        if self.result is None:
            return 130
        return self.diverged.exit_code if self.diverged else 0


def save_run(folder: Path, model: Model, history: History, about: dict[str, Any]) -> None:
    """Write model.safetensors, history.csv and run.json, in this order, into an existing folder.

    Args:
        about: what run.json says; anything that JSON can hold.

    Raises:
        UsageError: a file cannot be written.
    """
    described = asdict(model)
    del described["parameters"]
    write(folder / MODEL, sealed(model.parameters._asdict(), FORMAT, described))
    file = io.StringIO(newline="")
    table = csv.writer(file, lineterminator="\n")
    table.writerow(["epoch", *vars(history)])
    for epoch, row in enumerate(zip(*vars(history).values(), strict=True)):
        table.writerow([epoch, *("" if math.isnan(value) else repr(float(value)) for value in row)])
    write(folder / HISTORY, file.getvalue().encode())
    write(folder / RUN, (dumps(about) + "\n").encode())


def load_model(run: str | PathLike[str]) -> Model:
    """Read a run's model.

    Raises:
        DataError: the file is missing, damaged, of a newer format, or contradicts itself.
    """
    run = checks.path("run", run)
    path = run / MODEL
    try:
        tensors, described = unsealed(path, FORMAT)
        parameters = Parameters(tensors["W"], tensors["b"])
        described["classes"], described["size"] = tuple(described["classes"]), tuple(described["size"])
        kind, photograph, exact = described.get("features", ("pixels", described["size"][:2], True))  # as in 0.1.0
        described["features"] = Features.read(kind, photograph, exact, described["size"])
        model = Model(parameters=parameters, **described)
        n = math.prod(model.size)
        if not (len(model.size) == 3 and all(type(side) is int and side > 0 for side in model.size)):
            raise ValueError(f"size {model.size}, which is not (h, w, c)")
        if not all(isinstance(name, str) and name.isprintable() for name in model.classes):
            raise ValueError(f"classes {model.classes!r}, which are no names")
        shapes = parameters.W.shape, parameters.b.shape
        if shapes != ((1, n), ()) or len(model.classes) != 2 or not all(np.isfinite(V).all() for V in parameters):
            raise ValueError(f"W and b of shapes {shapes} for {model.size} = {n} features, or not finite")
    except FileNotFoundError:
        if (run / CHECKPOINT).exists():
            raise DataError(
                f"{run}: is not finished; go on with: handgrad train --resume {shlex.quote(str(run))}"
            ) from None
        raise DataError(f"{path}: not found; expected a run's folder; make one with: handgrad train") from None
    except DataError:
        raise
    except (HandgradError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: is no model of handgrad: {reason_of(error)}; make it again with: handgrad train"
        ) from None
    return model


def load_history(run: str | PathLike[str]) -> History:
    """Read a run's history.

    Raises:
        DataError: the file is missing, or is not what `save_run` wrote.
    """
    path = checks.path("run", run) / HISTORY
    names = [field.name for field in fields(History)]
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        if header != ["epoch", *names] or [row[0] for row in rows] != [str(epoch) for epoch in range(len(rows))]:
            raise ValueError(f"its columns are {', '.join(header)}, or epochs are missing")
        columns = [[float(row[i] or "nan") for row in rows] for i in range(1, len(header))]
    except FileNotFoundError:
        raise DataError(f"{path}: not found; expected a finished run's folder; make one with: handgrad train") from None
    except (OSError, ValueError, IndexError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read: {reason_of(error)}; expected what handgrad train wrote") from None
    return History(*(np.array(column, np.float64) for column in columns))


def finished(run: Path) -> Outcome:
    """What a run was, that is over.

    Raises:
        DataError: run.json is missing or damaged.
    """
    path = run / RUN
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        said = result | {"epochs": result["epochs_asked"]}
        settings = Settings(**{field.name: said[field.name] for field in fields(Settings)})
        diverged = (
            DivergedBeforeError(f"{run}: diverged after {result['epochs']} epochs") if result["diverged"] else None
        )
        return Outcome(settings, result, int(result["epochs"]), diverged)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: cannot be read: {reason_of(error)}; expected what handgrad train wrote") from None


def versions(backend: str) -> dict[str, str]:
    """Of handgrad, Python, NumPy and what a backend is of, which is installed here."""
    here = {"handgrad": __version__, "python": platform.python_version(), "numpy": np.__version__}
    return here | backends.versions(backend)


@contextmanager
def new_run(run: Path) -> Iterator[None]:
    """The run's folder, made if there is none, ours alone; as it was before if nothing was kept in it."""
    _must_be_empty(run)
    made = [folder for folder in (run, *run.parents) if not folder.exists()]
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{run}: cannot be written: {reason_of(error)}; expected a folder") from error
    try:
        with locked(run):
            _must_be_empty(run)  # for another may have been here
            yield
    finally:
        with suppress(OSError):  # which the first raises that holds something
            for folder in made:
                folder.rmdir()


def _must_be_empty(run: Path) -> None:
    """But for what a training that died may have left before it kept anything."""
    left = {LOCK, partly(run / CHECKPOINT).name}
    if run.exists() and not (run.is_dir() and all(path.name in left for path in run.iterdir())):
        resumed = f"; to go on with it: handgrad train --resume {shlex.quote(str(run))}"
        more = resumed if (run / CHECKPOINT).exists() else ""
        raise UsageError(f"{run}: exists already; expected a new or empty folder; name another or remove it{more}")
