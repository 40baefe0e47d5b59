"""A training that can be stopped at any moment and gone on with: a data set in, a run's folder out.

While it lasts, the folder holds `handgrad.checkpoint`'s file; when it is over, the files of `handgrad.run`, of which
run.json comes last.
"""

import math
import shlex
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from handgrad import backends
from handgrad.backend import Array
from handgrad.checkpoint import Checkpoint, environment, load_checkpoint, save_checkpoint
from handgrad.choosing import chosen_rate
from handgrad.data import Dataset
from handgrad.descent import DivergedError, History, State
from handgrad.errors import DataError, UsageError, reason_of
from handgrad.material import initial, mine, opened, to_learn_from
from handgrad.measure import measured, scored, sets
from handgrad.neuron import Neuron
from handgrad.run import CHECKPOINT, RUN, Model, Outcome, finished, new_run, save_run, versions
from handgrad.settings import Care, Settings, optimizer
from handgrad.store import locked, partly
from handgrad.views import Seen, shared


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
    with new_run(run) if care.processes.rank == 0 else nullcontext():
        neuron, dataset = opened(settings, care.processes)
        learned = to_learn_from(settings, neuron, dataset, care.processes)
        if settings.optimizer == "gd":
            settings = replace(settings, learning_rate=chosen_rate(settings, neuron, learned[0], care.warn))
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
        neuron, dataset = opened(settings, processes)
        if checkpoint.data != dataset.hash:
            raise DataError(f"{settings.data}: is not the data set that {run} was begun with; name that one")
        for difference in _differences(checkpoint.environment, environment(settings.backend, processes.count)):
            care.warn(difference)
        learned = to_learn_from(settings, neuron, dataset, processes)
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


def _train(
    run: Path,
    settings: Settings,
    neuron: Neuron,
    dataset: Dataset,
    learned: tuple[Seen, Array],
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
    watched: tuple[Seen, Array] | None = None
    if dataset.valid.Y.size:
        x, y = mine(dataset.valid, X.processes)
        watched = shared(X.of(x), X.processes), y
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
    parameters = X.folded(parameters, neuron.input_scale)
    used = versions(settings.backend)
    result = asdict(settings) | {
        "run": str(run),
        "epochs": len(history),
        "epochs_asked": settings.epochs,
        "ended": _ended(settings, history),
        "best_epoch": history.best_epoch if settings.patience else None,
        "evaluations": float(sum(history.evaluations)),
        "diverged": diverged is not None,
        "sets": measured(scored(neuron, parameters, sets(dataset), X.processes)),
        "seconds": float(sum(history.seconds)),
        "seconds_per_epoch": statistics.median(history.seconds) if len(history) else None,
        "versions": used,
    }
    if processes.rank == 0:
        save_run(run, Model.of(neuron, parameters, dataset, used), history, result)
        for path in run / CHECKPOINT, partly(run / CHECKPOINT):
            path.unlink(missing_ok=True)
    return Outcome(settings, result, len(history), diverged)


def _lasting(settings: Settings) -> dict[str, Any]:
    """As they are kept, to be found from anywhere."""
    found = replace(
        settings, data=str(Path(settings.data).expanduser().absolute()), backend=backends.lasting(settings.backend)
    )
    return asdict(found)


def _ended(settings: Settings, history: History) -> str | None:
    """Why before the last epoch; None where it was taken."""
    if len(history) == settings.epochs:
        return None
    best = history.best_epoch
    if settings.patience and best is not None and len(history) - 1 - best >= settings.patience:
        return f"the validation cost was not lower for {settings.patience} epochs"
    return "the gradient is next to nothing, or rounding hides any way down"


def _differences(was: dict[str, str], now: dict[str, str]) -> list[str]:
    return [
        f"{name} was {was.get(name, 'not set')}, and is {now.get(name, 'not set')}; the last bits may differ"
        for name in sorted(was.keys() | now.keys())
        if was.get(name) != now.get(name)
    ]
