"""What options and arguments commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from handgrad.backend import ACTIVATIONS, DTYPES, LOSSES
from handgrad.commands.kinds import command_for, kinds_of
from handgrad.commands.output import word
from handgrad.optimizers import SCHEDULES
from handgrad.settings import Settings, option_of

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


class Parsed(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic in later versions
    """What a function makes of a word that it takes; of one that it does not, `fault` says what it is."""

    def __init__(self, name: str, parse: Callable[[str], Any], fault: str) -> None:
        self.name, self.parse, self.fault = name, parse, fault

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Of the word, or of a default, which is parsed already."""
        try:
            return self.parse(value) if isinstance(value, str) else value
        except ValueError:
            self.fail(f"{value!r} is {self.fault}", param, ctx)


RATE = Parsed("float|auto", lambda word: None if word == "auto" else float(word), "neither a number nor auto")


class Named(click.Path):
    """A path, with ~ for the home also where the shell has left it, as after an option's =."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path; an empty word is none."""
        if value == "":
            self.fail("it is empty; expected the name of a file or folder", param, ctx)
        return Path(str(super().convert(value, param, ctx))).expanduser()


class OfKind(Named):
    """A path that is of one of some kinds; or is no file of a known kind, of which the command says what is wrong."""

    def __init__(self, *kinds: str) -> None:
        super().__init__()
        self.kinds = kinds

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path."""
        path = super().convert(value, param, ctx)
        found = kinds_of(path)
        if found and found[-1] != "a folder" and not set(found) & set(self.kinds):
            expected = " or ".join(self.kinds)
            self.fail(f"{path} is {found[0]}; expected {expected}; {_its_place(found[0], path, ctx)}", param, ctx)
        return path


def _its_place(kind: str, path: Path, ctx: click.Context | None) -> str:
    """Where a path of a kind belongs: in another place of this command, or in another command."""
    arguments = [] if ctx is None else [of for of in ctx.command.params if isinstance(of, click.Argument)]
    takes = [isinstance(of.type, OfKind) and kind in of.type.kinds for of in arguments]
    if ctx is None or not any(takes):
        return f"it goes with: {command_for(kind, path)}"
    names = [of.metavar or str(of.name).upper() for of in arguments]
    words = [word(path) if mine else name for name, mine in zip(names, takes, strict=True)]
    return f"its place: handgrad {ctx.command.name} {' '.join(words)}"


class Names(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic in later versions
    """Words with commas between them."""

    name = "names"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        """The words."""
        found = value if isinstance(value, list) else [word.strip() for word in value.split(",")]
        if not all(found):
            self.fail(f"{value!r} has an empty name; expected names as a,b", param, ctx)
        return found


PATH = Named()
RUN, DATA = OfKind("a run"), OfKind("a data set")


def setting(name: str, *options: str, of: type[Any] = Settings, **more: Any) -> Callable[[Command], Command]:
    """The option for one of the `Settings`, with its default; several values with commas."""
    default = getattr(of, name)
    said = ",".join(map(str, default)) if isinstance(default, tuple) else default
    return click.option(*(options or (option_of(name),)), name, default=said, show_default=True, **more)


def of_backends(name: str, **more: Any) -> Callable[[Command], Command]:
    """The option for several backends, with commas or again and again, under either name; a list."""

    def each(_ctx: click.Context, _param: click.Parameter, value: tuple[list[str], ...]) -> list[str]:
        return [word for words in value for word in words]

    return click.option("--backends", "--backend", name, type=Names(), multiple=True, callback=each, **more)


of_data = click.argument("data", type=DATA)
of_new_data = click.argument("data", type=PATH)
of_run = click.argument("run_folder", metavar="RUN", type=RUN)
of_backend = setting("backend", help="numpy, numba, torch, jax, or one of your own, as FILE.py:Neuron.")
of_device = setting("device", help="cpu, or cuda on torch and jax.")
of_dtype = setting("dtype", type=click.Choice(DTYPES))
as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, for a script.")

of_the_neuron = _add(
    setting("activation", type=click.Choice(ACTIVATIONS), help="f in A = f(Z)."),
    setting("loss", type=click.Choice(LOSSES), help="Averaged over the examples; cross_entropy goes with the sigmoid."),
    setting("l2", help="Weight of the penalty (l2 / 2) W W^T."),
    of_dtype,
    of_device,
)

of_the_inputs = _add(
    setting("mirror", is_flag=True, help="Learn from the mirror images too; they take no memory."),
    setting("standardize", is_flag=True, help="Give every feature mean 0 and deviation 1; folded into W and b."),
)

of_the_optimizer = _add(
    setting(
        "optimizer",
        type=click.Choice(["gd", "sgd", "lbfgs", "auto"]),
        help="Full-batch gradient descent, a few examples at a time, or L-BFGS, which needs no learning rate; or the "
        "soonest of these.",
    ),
    setting("momentum", help="Of sgd."),
    setting("batch", type=click.IntRange(min=1), help="Examples at a time, sgd."),
    setting("schedule", type=click.Choice(list(SCHEDULES)), help="Of the learning rate of sgd."),
)

of_the_descent = _add(
    setting(
        "learning_rate",
        "--learning-rate",
        "--lr",
        type=RATE,
        help="alpha in W := W - alpha dW; auto: half of what is stable.",
    ),
    setting("epochs", type=click.IntRange(min=0), help="How many, at most."),
    setting("initial", type=click.Choice(["zeros", "random"]), help="What W starts from; b starts from 0."),
    setting("seed", type=click.IntRange(min=0), help="Of --initial random, and of sgd."),
)
