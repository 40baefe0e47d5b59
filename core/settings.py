"""What a training is asked for."""

from __future__ import annotations

from dataclasses import dataclass, fields

from handgrad.errors import UsageError
from handgrad.optimizers import LBFGS, SGD, GradientDescent, Optimizer


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
