"""A training that can be stopped at any moment and gone on with: a data set in, a run's folder out.

While it lasts, the folder holds `handgrad.checkpoint`'s file; when it is over, the files of `handgrad.run`, of which
run.json comes last.
"""

from __future__ import annotations

import json
import math
import shlex
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from handgrad import backends, validation
from handgrad.checkpoint import Checkpoint, environment, load_checkpoint, save_checkpoint
from handgrad.curvature import Curvature, curvature
from handgrad.data import Dataset, Examples
from handgrad.descent import DivergedError, History, State
from handgrad.errors import DataError, HandgradError, UsageError, reason_of
from handgrad.neuron import ALL, Array, Neuron, Parameters
from handgrad.optimizers import LBFGS, SGD, GradientDescent, Optimizer
from handgrad.processes import ALONE, Processes
from handgrad.run import CHECKPOINT, RUN, Model, save_run, versions
from handgrad.scores import Score
from handgrad.share import Share, shared
from handgrad.store import LOCK, locked, partly
from handgrad.validation import Row
from handgrad.views import Views, mirrored, standardised

PIXEL_SCALE = 1 / 255


@dataclass(frozen=True)
class Settings:
    """What is asked for; as the options of ``handgrad train``. A learning rate of None is to be proposed."""

    data: str
    backend: str = "numpy"
    activation: str = "sigmoid"
    loss: str = "cross_entropy"
    l2: float = 0.0
    dtype: str = "float32"
    device: str = "cpu"
    optimizer: str = "gd"
    learning_rate: float | None = 0.003
    momentum: float = 0.9
    batch: int = 64
    schedule: str = "constant"
    epochs: int = 500
    initial: str = "zeros"
    seed: int = 0
    validation_every: int = 1
    patience: int | None = None
    mirror: bool = False
    standardize: bool = False
    span: bool | None = None
    block: int | None = None

    def options(self) -> str:
        """Those of `handgrad train`, but for the ones that are its defaults: " --l2 0.1 --mirror"."""
        said = []
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "data" or value == field.default:
                continue
            option = option_of(field.name)
            if isinstance(value, bool):
                said.append(option if value else option.replace("--", "--no-"))
            else:
                said.append(f"{option} {'auto' if value is None else f'{value:g}' if type(value) is float else value}")
        return "".join(f" {word}" for word in said)


def option_of(name: str) -> str:
    """What `handgrad train` calls a setting."""
    return {"patience": "--early-stopping"}.get(name, f"--{name.replace('_', '-')}")


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


@dataclass(frozen=True)
class Care:
    """How a training is looked after.

    Attributes:
        every: seconds between two checkpoints; there is one after the first epoch, too, and one when it is stopped.
        stop: asked between epochs; where it says so, the state is kept and the training is over for now.
        warn: told, in a line, what the last bits may differ by.
        progress: whether a bar is shown.
        processes: among which the examples are shared; the first of them keeps the run and speaks.
    """

    every: float = 30.0
    stop: Callable[[], bool] = lambda: False
    warn: Callable[[str], None] = lambda _: None
    progress: bool = False
    processes: Processes = ALONE


def train(run: Path, settings: Settings, care: Care | None = None) -> Outcome:
    """Train, in a new or empty folder; or, in one of several processes, in one where this very training was begun.

    For so ``torchrun`` starts them again, when one has died.

    Raises:
        UsageError: a setting is out of its range, the folder is taken or cannot be written.
        DataError: the data set cannot be read.
    """
    care = care or Care()
    if care.processes.count > 1 and care.processes.first(care.processes.rank == 0 and _begun(run, settings)):
        return resume(run, None, care)
    neuron, dataset = _opened(settings, care.processes)
    learned = _shared(settings, neuron, dataset, care.processes)
    if settings.optimizer == "gd":
        settings = replace(settings, learning_rate=_rate(settings, neuron, learned[0], care))
    with _new(run) if care.processes.rank == 0 else nullcontext():
        return _train(run, settings, neuron, dataset, learned, None, care)


def resume(run: Path, data: Path | None = None, care: Care | None = None) -> Outcome:
    """Go on with a run that was stopped, to its end; of a finished one, what it was.

    Args:
        run: its folder.
        data: the data set, where it is no longer where it was.
        care: how it is looked after.

    Raises:
        UsageError: there is nothing to go on from, or another training is at work.
        DataError: what there is, is damaged, or the data set is another one.
    """
    care = care or Care()
    processes = care.processes
    if processes.rank == 0 and not ((run / CHECKPOINT).exists() or (run / RUN).exists()):
        again = f"handgrad train DATA --run {shlex.quote(str(run))}"
        raise UsageError(f"{run}: holds no checkpoint; begin with: {again}")
    with locked(run) if processes.rank == 0 else nullcontext():
        checkpoint = processes.first(load_checkpoint(run) if processes.rank == 0 else None)
        if checkpoint is None:
            outcome: Outcome = processes.first(finished(run) if processes.rank == 0 else None)
            return outcome
        if checkpoint.state.span and processes.count > 1:
            raise UsageError(
                f"{run}: was begun in the span of its examples, by one process; go on with one, or begin anew"
            )
        try:
            settings = Settings(**checkpoint.settings)
        except TypeError as error:
            raise DataError(
                f"{run / CHECKPOINT}: is no checkpoint of handgrad: {reason_of(error)}; begin anew"
            ) from None
        if data is not None:
            settings = replace(settings, data=str(data))
        neuron, dataset = _opened(settings, processes)
        if checkpoint.data != dataset.hash:
            raise DataError(f"{settings.data}: is not the data set that {run} was begun with; name that one")
        for difference in _differences(checkpoint.environment, environment(settings.backend, processes.count)):
            care.warn(difference)
        learned = _shared(settings, neuron, dataset, processes)
        return _train(run, settings, neuron, dataset, learned, checkpoint.state, care)


def _begun(run: Path, settings: Settings) -> bool:
    if (run / RUN).exists():
        was = _lasting(finished(run).settings)
    else:
        checkpoint = load_checkpoint(run)
        was = {} if checkpoint is None else checkpoint.settings
    asked = _lasting(settings)
    if settings.learning_rate is None:  # which was proposed, then
        asked["learning_rate"] = was.get("learning_rate")
    return was == asked


def _opened(settings: Settings, processes: Processes = ALONE) -> tuple[Neuron, Dataset]:
    scale = 1.0 if settings.standardize else PIXEL_SCALE
    backend = backends.load(settings.backend)
    device = backend._device_among(processes, settings.device)
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


def optimizer(settings: Settings) -> Optimizer:
    """What the settings ask for.

    Raises:
        UsageError: an argument is out of its range.
        MissingExtraError: SciPy is not installed, for lbfgs.
    """
    rate = settings.learning_rate
    match settings.optimizer:
        case "gd":
            return GradientDescent(1.0 if rate is None else rate)
        case "sgd" if rate is not None:
            return SGD(rate, settings.momentum, settings.batch, settings.schedule, settings.seed)
        case "sgd":
            raise UsageError("learning_rate is to be proposed; that can be done for gd only; expected a number")
        case "lbfgs":
            return LBFGS()
        case other:
            raise UsageError(f"optimizer is {other!r}; expected gd, sgd or lbfgs")


def _shared(settings: Settings, neuron: Neuron, dataset: Dataset, processes: Processes) -> tuple[Array, Array]:
    """X and Y to learn from, as training sees them, of which each process reads its own share; alone, of all."""
    X, Y = learned_from(settings, dataset, _mine(dataset.train, processes), processes)
    if _added_over(neuron, processes) is processes:
        return shared(X, processes), Y
    if not isinstance(X, Views):
        return dataset.train
    return Views(dataset.train.X, X.views), np.tile(dataset.train.Y, len(X.views))


def _added_over(neuron: Neuron, processes: Processes) -> Processes:
    """Those whose sums are to be added: none but this one where the neuron cuts X over the processes, and adds."""
    return ALONE if neuron.device.endswith(ALL) else processes


def _mine(examples: Examples, processes: Processes) -> Examples:
    mine = processes.share(examples.Y.shape[1])
    return Examples(examples.X[:, mine], examples.Y[:, mine])


def learned_from(
    settings: Settings, dataset: Dataset, examples: Examples, processes: Processes = ALONE
) -> tuple[Array, Array]:
    """X and Y as training sees them: mirrored and standardised, where that is asked for, without a copy.

    Raises:
        UsageError: features of the data set that cannot be mirrored.
    """
    X: Array = examples.X
    Y: Array = examples.Y
    if settings.mirror:
        if dataset.features.kind == "hog":
            raise UsageError(f"mirror: found it for {settings.data}, of hog features; expected pixels or gray")
        X, Y = mirrored(X, dataset.size), np.tile(Y, 2)
    return (standardised(X, processes) if settings.standardize else X), Y


def rate(settings: Settings) -> Curvature:
    """How sharply the cost bends on the examples to train on: which learning rates are stable.

    Raises:
        UsageError: a setting is out of its range.
        DataError: the data set cannot be read.
    """
    neuron, dataset = _opened(settings)
    return curvature(neuron, learned_from(settings, dataset, dataset.train)[0])


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
    neuron, dataset = _opened(settings)
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
        see=lambda X, Y: learned_from(settings, dataset, Examples(X, Y)),
        progress=progress,
    )
    return rows, validation.one_standard_error(rows, by)


def _rate(settings: Settings, neuron: Neuron, X: Array, care: Care) -> float:
    """The learning rate, proposed if it is to be; a warning where it cannot go well."""
    rate = settings.learning_rate
    if rate is not None and neuron.activation != "identity" and rate * neuron.l2 <= 2:
        return rate  # nothing is certain about that
    found = curvature(neuron, X)
    if rate is None:
        return proposed(found)
    if found.verdict(rate) == "must diverge":
        better = f"; try {found.proposed:.4g}" if found.proposed else ""
        care.warn(f"learning rate {rate:g} must diverge, as any above {2 / found.least:.4g}{better}")
    return rate


def proposed(found: Curvature) -> float:
    """The learning rate that a curvature proposes.

    Raises:
        UsageError: none is sure.
    """
    if found.proposed is None:
        raise UsageError("learning_rate: none is sure for a relu, whose gradient jumps; expected a number")
    return found.proposed


def _train(
    run: Path,
    settings: Settings,
    neuron: Neuron,
    dataset: Dataset,
    learned: tuple[Array, Array],
    state: State | None,
    care: Care,
) -> Outcome:
    processes = care.processes
    here = environment(settings.backend, processes.count)
    lasting = _lasting(settings)
    kept = -math.inf
    stopping = False

    def watch(state: Callable[[], State]) -> bool:
        nonlocal kept, stopping
        stopping = bool(processes.largest([float(care.stop())])[0])
        if processes.rank == 0 and (stopping or time.monotonic() - kept >= care.every):
            save_checkpoint(run, Checkpoint(state(), lasting, dataset.hash, here))
            kept = time.monotonic()
        return stopping

    diverged = None
    X, Y = learned
    seen = X.X if isinstance(X, Share) else X
    watched: tuple[Array, Array] | None = None
    if dataset.valid.Y.size:
        among = _added_over(neuron, processes)
        x, y = _mine(dataset.valid, among)
        watched = shared(seen.of(x) if isinstance(seen, Views) else x, among), y
    try:
        parameters, history = neuron.fit(
            X,
            Y,
            epochs=settings.epochs,
            optimizer=optimizer(settings),
            initial=initial(settings.initial, settings.seed, dataset),
            validation=watched,
            validation_every=settings.validation_every,
            patience=settings.patience,
            span=settings.span,
            block=settings.block,
            progress=care.progress,
            resume=state,
            watch=watch,
        )
    except DivergedError as error:
        diverged, parameters, history = error, error.parameters, error.history
    if diverged is None and stopping and len(history) < settings.epochs:
        return Outcome(settings, None, len(history))
    if isinstance(seen, Views):
        parameters = seen.folded(parameters, neuron.input_scale)
    used = versions(settings.backend)
    result = asdict(settings) | {
        "run": str(run),
        "epochs": len(history),
        "epochs_asked": settings.epochs,
        "ended": _ended(settings, history),
        "best_epoch": history.best_epoch if settings.patience else None,
        "evaluations": float(sum(history.evaluations)),
        "diverged": diverged is not None,
        "sets": measured(scored(neuron, parameters, sets(dataset), processes)),
        "seconds": float(sum(history.seconds)),
        "seconds_per_epoch": statistics.median(history.seconds) if len(history) else None,
        "versions": used,
    }
    result = finite(result)
    if processes.rank == 0:
        about = dataset.classes, dataset.size, dataset.features, dataset.hash
        save_run(run, Model.of(neuron, parameters, *about, used), history, result)
        for path in run / CHECKPOINT, partly(run / CHECKPOINT):
            path.unlink(missing_ok=True)
    return Outcome(settings, result, len(history), diverged)


def _lasting(settings: Settings) -> dict[str, Any]:
    """As they are kept, to be found from anywhere."""
    return asdict(replace(settings, data=str(Path(settings.data).absolute())))


def _ended(settings: Settings, history: History) -> str | None:
    """Why before the last epoch; None where it was taken."""
    if len(history) == settings.epochs:
        return None
    best = history.best_epoch
    if settings.patience and best is not None and len(history) - 1 - best >= settings.patience:
        return f"the validation cost was not lower for {settings.patience} epochs"
    return "the gradient is next to nothing, or rounding hides any way down"


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


def _differences(was: dict[str, str], now: dict[str, str]) -> list[str]:
    return [
        f"{name} was {was.get(name, 'not set')}, and is {now.get(name, 'not set')}; the last bits may differ"
        for name in sorted(was.keys() | now.keys())
        if was.get(name) != now.get(name)
    ]


@contextmanager
def _new(run: Path) -> Iterator[None]:
    """The run's folder, made if there is none, ours alone; as it was before if nothing was kept in it."""
    _must_be_empty(run)
    made = not run.exists()
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{run}: cannot be written: {reason_of(error)}; expected a folder") from error
    try:
        with locked(run):
            _must_be_empty(run)  # for another may have been here
            yield
    finally:
        if made:
            with suppress(OSError):
                run.rmdir()  # unless it holds something


def _must_be_empty(run: Path) -> None:
    """But for what a training that died may have left before it kept anything."""
    left = {LOCK, partly(run / CHECKPOINT).name}
    if run.exists() and not (run.is_dir() and all(path.name in left for path in run.iterdir())):
        resumed = f"; to go on with it: handgrad train --resume {shlex.quote(str(run))}"
        more = resumed if (run / CHECKPOINT).exists() else ""
        raise UsageError(f"{run}: exists already; expected a new or empty folder; name another or remove it{more}")


def initial(name: str, seed: int, dataset: Dataset) -> Parameters:
    """The parameters to start from."""
    n = dataset.train.X.shape[0]
    return Parameters.random(n, seed) if name == "random" else Parameters.zeros(n)


def sets(dataset: Dataset, *, test: bool = False) -> dict[str, Examples]:
    """The sets that have examples, by what they are called; that for the test only if it is asked for."""
    named = {"train": dataset.train, "validation": dataset.valid} | ({"test": dataset.test} if test else {})
    return {name: examples for name, examples in named.items() if examples.Y.shape[1]}


def scored(
    neuron: Neuron, parameters: Parameters, sets: Mapping[str, Examples], processes: Processes = ALONE
) -> dict[str, tuple[Array, Score]]:
    """Of each set the activations A (1, m) and the `Score` of parameters, folded if need be.

    The cost is the mean loss, without the penalty. Each process reads its share of the examples.
    """
    neuron = replace(neuron, device=neuron.device.removesuffix(ALL))
    plain, probabilities, found = replace(neuron, l2=0.0), neuron.activation == "sigmoid", {}
    for name, examples in sets.items():
        X, Y = _mine(examples, processes)
        cost = plain.cost(parameters, shared(X, processes), Y)
        A = np.concatenate(processes.everyones(neuron.predict_proba(parameters, X)), axis=1)
        found[name] = A, Score.of(cost, A, examples.Y, probabilities=probabilities)
    return found


def measured(found: Mapping[str, tuple[Array, Score]]) -> list[dict[str, Any]]:
    """The name and the score of each set, as values that ``json.dumps`` takes."""
    return [{"set": name} | score.to_json() for name, (_, score) in found.items()]


def finite(value: Any) -> Any:
    """The same with None for numbers that JSON does not have."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
