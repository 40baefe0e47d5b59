"""What is timed: one file an arm, each with a class `Arm` of three methods; the file's name is the arm's.

All backends of handgrad are one arm, in `handgrad.benchmarks.arms.backend`. To add another, write such a file here, or
anywhere and name it by its path: ``handgrad bench --backends numpy,mine.py``.
"""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy.typing as npt

from handgrad import backends
from handgrad.errors import MissingExtraError, UsageError

Array = npt.NDArray[Any]

EXTRAS = {
    "torch": ("PyTorch", "torch"),
    "jax": ("JAX", "jax"),
    "sklearn": ("scikit-learn", "sklearn"),
    "numba": ("Numba", "numba"),
}
"""What people call a framework and the extra that brings it, by its module, for arms that import it."""


@dataclass(frozen=True)
class Work:
    """One full-batch step: the cost J, dJ/dW and dJ/db of a sigmoid neuron at W and b, which are not zeros.

    Attributes:
        X: (n, m), uint8 or float32, one column per example; Y: (1, m), 0 or 1.
        W: (1, n), b: (), float64.
        loss: "cross_entropy" or "squared_error", averaged over the examples.
        input_scale: s in Z = W (s X) + b.
        dtype: "float32" or "float64", in which to compute.
        device: "cpu" or "cuda".
    """

    X: Array
    Y: Array
    W: Array
    b: Array
    loss: str
    input_scale: float
    dtype: str
    device: str


class Arm(ABC):
    """A way to take the step. It is made, placed, compiled and stepped in a process of its own.

    Attributes:
        dtype: in which it computes whatever is asked for; None where it does as asked.
        devices: where it runs.
        reads: how many times a step reads X; where it holds bytes, once.
        on_host: whether the step brings its result back, as NumPy arrays.
        warms: how many steps `compile` takes besides compiling.
        cached: whether what was compiled came from disk, where it once was kept; None where it is compiled anew.
    """

    dtype: str | None = None
    devices: tuple[str, ...] = ("cpu",)
    reads: int = 2
    on_host: bool = False
    warms: float = 0
    cached: bool | None = None

    @abstractmethod
    def place(self, work: Work) -> None:
        """Put the work on the device, and wait until it is there."""

    @abstractmethod
    def step(self) -> tuple[Any, Any, Any]:
        """J (), dW (1, n) and db () in the arm's own arrays, perhaps not computed yet."""

    @abstractmethod
    def wait(self, result: tuple[Any, Any, Any]) -> None:
        """Return when that result has been computed."""

    def compile(self) -> None:  # noqa: B027  # most have nothing to compile
        """What is to be compiled before the first step."""


def names() -> list[str]:
    """The arms that are here, whether their frameworks are installed or not."""
    return sorted({*_files(), *backends.names()})


def load(name: str) -> type[Arm]:
    """The class `Arm` of a file here, by its name, or of any file, by its path; or that of a backend.

    Args:
        name: one of `names`; ``FILE.py``, with a class `Arm`; or any backend that `handgrad.backends.load` takes, with
            another of its methods before it, as ``sums@numpy``.

    Raises:
        UsageError: there is no such arm.
        MissingExtraError: its framework is not installed.
    """
    if name in _files():
        try:
            return cast("type[Arm]", importlib.import_module(f"{__name__}.{name}").Arm)
        except ModuleNotFoundError as error:
            if error.name not in EXTRAS:
                raise
            raise MissingExtraError(*EXTRAS[error.name]) from error
    from handgrad.benchmarks.arms import backend

    call, at, word = name.partition("@")
    if not (at and call in backend.CALLS):
        call, word = backend.CALLS[0], name
    if Path(word).suffix == ".py":
        module = backends.module_of(Path(word))
        if hasattr(module, "Arm"):
            return cast("type[Arm]", module.Arm)
        if not hasattr(module, "Neuron"):
            raise UsageError(f"{word}: has neither Arm nor Neuron; expected a class Arm, or Neuron")
    try:
        neuron = backends.load(word)
    except UsageError as error:
        raise UsageError(f"unknown arm {name!r}; expected one of {', '.join(names())}, or a file ({error})") from error
    about = {"backend": word, "call": call, "reads": neuron.reads, "devices": neuron.devices}
    return type("Arm", (backend.Arm,), about)


def _files() -> list[str]:
    return [module.name for module in pkgutil.iter_modules(__path__) if module.name != "backend"]
