"""What options and arguments commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from handgrad.neuron import ACTIVATIONS, DTYPES, LOSSES

Command = Callable[..., None]
"""A command before or after click has decorated it."""


def examples(*lines: str) -> str:
    """The end of a --help: commands to copy."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def _add(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


class Rate(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic in later versions
    """A number, or "auto", which is None."""

    name = "float|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | None:
        """The number."""
        if value == "auto":
            return None
        try:
            return float(value)
        except ValueError:
            self.fail(f"{value!r} is neither a number nor auto", param, ctx)


PATH = click.Path(path_type=Path)

of_data = click.argument("data", type=PATH)
of_run = click.argument("run_folder", metavar="RUN", type=PATH)
of_backend = click.option("--backend", default="numpy", show_default=True, help="numpy, numba, torch or jax.")
of_device = click.option("--device", default="cpu", show_default=True, help="cpu, or cuda on torch and jax.")
of_dtype = click.option("--dtype", type=click.Choice(DTYPES), default="float32", show_default=True)
as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, for a script.")

of_the_neuron = _add(
    click.option(
        "--activation",
        type=click.Choice(ACTIVATIONS),
        default="sigmoid",
        show_default=True,
        help="f in A = f(Z).",
    ),
    click.option(
        "--loss",
        type=click.Choice(LOSSES),
        default="cross_entropy",
        show_default=True,
        help="Averaged over the examples; cross_entropy goes with the sigmoid.",
    ),
    click.option("--l2", type=float, default=0.0, show_default=True, help="Weight of the penalty (l2 / 2) W W^T."),
    of_dtype,
    of_device,
)

of_the_inputs = _add(
    click.option("--mirror", is_flag=True, help="Learn from the mirror images too; they take no memory."),
    click.option("--standardize", is_flag=True, help="Give every feature mean 0 and deviation 1; folded into W and b."),
)

of_the_optimizer = _add(
    click.option(
        "--optimizer",
        type=click.Choice(["gd", "sgd", "lbfgs"]),
        default="gd",
        show_default=True,
        help="Full-batch gradient descent, a few examples at a time, or L-BFGS, which needs no learning rate.",
    ),
    click.option("--momentum", type=float, default=0.9, show_default=True, help="Of sgd."),
    click.option("--batch", type=click.IntRange(min=1), default=64, show_default=True, help="Examples at a time, sgd."),
    click.option(
        "--schedule",
        type=click.Choice(["constant", "linear", "cosine"]),
        default="constant",
        show_default=True,
        help="Of the learning rate of sgd.",
    ),
)

of_the_descent = _add(
    click.option(
        "--learning-rate",
        type=Rate(),
        default=0.003,
        show_default=True,
        help="alpha in W := W - alpha dW; auto: half of what is stable.",
    ),
    click.option("--epochs", type=click.IntRange(min=0), default=500, show_default=True, help="How many, at most."),
    click.option(
        "--initial",
        type=click.Choice(["zeros", "random"]),
        default="zeros",
        show_default=True,
        help="What W starts from; b starts from 0.",
    ),
    click.option(
        "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of --initial random, and of sgd."
    ),
)
