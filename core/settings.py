"""What a training is asked for, and how it is looked after."""

from collections.abc import Callable
from dataclasses import dataclass, fields

from handgrad.errors import UsageError
from handgrad.optimizers import LBFGS, SGD, GradientDescent, Optimizer
from handgrad.processes import ALONE, Processes


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
