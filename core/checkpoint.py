"""Where a training stands, in one file: what is needed to go on as if it had never stopped.

``checkpoint.safetensors`` holds the history and the places of a state as tensors, and in its metadata a format version,
the settings of the training, the hash of the data set, what it ran on, and a checksum of all that.
"""

import os
import platform
from pathlib import Path
from typing import Any, NamedTuple

from handgrad import store
from handgrad.backend import Parameters
from handgrad.descent import History, State
from handgrad.errors import DataError, reason_of
from handgrad.optimizers import Place
from handgrad.run import CHECKPOINT, versions
from handgrad.sealed import sealed, unsealed

FORMAT = 1
PLACES = ("here", "before", "best")


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


CORES = cores()
"""That this process was given, before it divided them with others."""


class Checkpoint(NamedTuple):
    """A state, and whose it is.

    Attributes:
        state: the parameters and the history so far.
        settings: of the training, as `handgrad.settings.Settings` has them.
        data: the hash of the data set.
        environment: what the bits may depend on.
    """

    state: State
    settings: dict[str, Any]
    data: str
    environment: dict[str, str]


def save_checkpoint(run: Path, checkpoint: Checkpoint) -> None:
    """Keep it in the run's folder, in place of the one before.

    Raises:
        UsageError: it cannot be written; the one before is kept.
    """
    state = checkpoint.state
    places = {name: place for name in PLACES if (place := getattr(state, name)) is not None}
    tensors = {f"history.{name}": V for name, V in vars(state.history).items()}
    for name, place in places.items():
        tensors |= {f"{name}.{key}": V for key, V in place.parameters._asdict().items()}
        tensors |= {f"{name}.memory.{key}": V for key, V in place.memory.items()}
    about = {name: getattr(checkpoint, name) for name in ("settings", "data", "environment")}
    about |= {"epochs": {name: place.epoch for name, place in places.items()}}
    about |= {name: getattr(state, name) for name in ("optimizer", "span", "block")}
    store.write(run / CHECKPOINT, sealed(tensors, FORMAT, about))


def load_checkpoint(run: Path) -> Checkpoint | None:
    """What was kept last; None where nothing is.

    Raises:
        DataError: it is damaged, altered, or of a newer format.
    """
    path = run / CHECKPOINT
    try:
        tensors, about = unsealed(path, FORMAT)
    except FileNotFoundError:
        return None
    try:
        history = History(**_under("history", tensors))
        state: dict[str, Any] = {name: about.pop(name) for name in ("optimizer", "span", "block")}
        state |= {name: _place(_under(name, tensors), epoch) for name, epoch in about.pop("epochs").items()}
        checkpoint = Checkpoint(State(history, **state), **about)
        if not (isinstance(checkpoint.settings, dict) and isinstance(checkpoint.environment, dict)):
            raise ValueError("settings and environment are no tables")
        return checkpoint
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: is no checkpoint of handgrad: {reason_of(error)}; begin anew") from None


def _under(name: str, tensors: dict[str, Any]) -> dict[str, Any]:
    return {key.removeprefix(f"{name}."): V for key, V in tensors.items() if key.startswith(f"{name}.")}


def _place(tensors: dict[str, Any], epoch: int) -> Place:
    return Place(epoch, Parameters(tensors["W"], tensors["b"]), _under("memory", tensors))


def environment(backend: str, processes: int = 1) -> dict[str, str]:
    """What the last bits of a training may depend on."""
    threads = {name: value for name, value in os.environ.items() if name.endswith("_NUM_THREADS")}
    here = {"machine": platform.machine(), "processor": processor(), "cores": str(CORES), "processes": str(processes)}
    return versions(backend) | here | threads


def processor() -> str:
    """What the processor of this machine is called."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
