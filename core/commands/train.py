"""A data set to a run: train."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from handgrad import tables
from handgrad.commands.options import (
    DATA,
    PATH,
    RUN,
    as_json,
    examples,
    of_backend,
    of_the_descent,
    of_the_inputs,
    of_the_neuron,
    of_the_optimizer,
    setting,
)
from handgrad.commands.output import print_json, say, word
from handgrad.commands.signals import ASKED, handled
from handgrad.errors import UsageError
from handgrad.settings import Care, Settings, option_of
from handgrad.torchrun import launched


@click.command(
    epilog=examples(
        "handgrad train data/ --run run/",
        "handgrad train data/ --run run/ --backend jax --loss squared_error --learning-rate 0.003 --epochs 5000",
        "handgrad train data/ --run run/ --optimizer lbfgs --l2 0.01 --mirror --early-stopping 20",
        "handgrad train --resume run/",
    )
)
@click.argument("data", required=False, type=DATA)
@click.option("--run", "run_folder", type=PATH, help="The folder to make.")
@click.option("--resume", "resumed", type=RUN, help="Go on with this run, as it was begun.")
@of_backend
@of_the_neuron
@of_the_inputs
@of_the_optimizer
@of_the_descent
@setting(
    "patience",
    type=click.IntRange(min=1),
    metavar="EPOCHS",
    help="End when the lowest validation cost is so many epochs old, and keep the parameters that had it.",
)
@setting("validation_every", type=click.IntRange(min=1), help="Take the validation cost in every k-th epoch.")
@click.option(
    "--span/--no-span",
    default=Settings.span,
    help="Descend in the span of the examples, which is the same, or step by step.  [default: whichever is less work]",
)
@setting(
    "block",
    type=click.IntRange(min=1),
    help="Read so many examples at a time from the data set.  [default: all, if a copy fits in half of the memory]",
)
@click.option(
    "--checkpoint-every",
    type=click.FloatRange(min=0),
    default=Care.every,
    show_default=True,
    help="Seconds between two states that are kept to go on from.",
)
@as_json
def train(
    data: Path | None,
    run_folder: Path | None,
    resumed: Path | None,
    checkpoint_every: float,
    as_json: bool,
    **options: Any,
) -> None:
    """Train a neuron on a data set.

    Full-batch gradient descent on DATA, or --optimizer; the neuron, its history and how it was made are kept in the
    folder --run.

    The state is kept there every so often, and on Ctrl-C, after the epoch that is being taken (a second Ctrl-C leaves
    at once). --resume goes on from it, to the bits of a training that was not stopped; DATA may be given with it where
    the data set was moved.
    """
    from handgrad import training
    from handgrad.run import load_model
    from handgrad.torchrun import joined

    with joined() as processes, _stopping() as stop:
        first = processes.rank == 0

        def warn(line: str) -> None:
            if first:
                say(f"warning: {line}")

        care = Care(checkpoint_every, stop, warn, first, processes)
        if resumed is not None:
            given = [name for name in ("run_folder", *options) if _was_given(name)]
            if given:
                option = "--run" if given[0] == "run_folder" else option_of(given[0])
                raise UsageError(f"{option}: found it beside --resume; a run goes on as it was begun; leave it out")
            run, outcome = resumed, training.resume(resumed, data, care)
        elif data is None or run_folder is None:
            raise UsageError("expected DATA and --run RUN to begin a training, or --resume RUN to go on with one")
        else:
            if options["optimizer"] == "auto":
                options["optimizer"] = "lbfgs"
                say("optimizer lbfgs: it is near the optimum after some tens of epochs, and needs no learning rate")
            _of_the_optimizer_only(options["optimizer"])
            run, outcome = run_folder, training.train(run_folder, Settings(str(data), **options), care)
    if not first:
        click.get_current_context().exit(outcome.exit_code)
    if outcome.result is None:
        resume = f"handgrad train --resume {word(run)}"
        say(f"stopped after {outcome.epochs} epochs; go on with: {resume}")
        click.get_current_context().exit(outcome.exit_code)
    result = outcome.result
    if as_json:
        print_json(result)
    else:
        click.echo(tables.table_of_sets(result["sets"], load_model(run).classes))
        best = "" if result["best_epoch"] is None else f", the best {result['best_epoch']}"
        if result["ended"] and not result["diverged"]:
            click.echo(f"\nended after {result['epochs']} of {result['epochs_asked']} epochs: {result['ended']}")
        click.echo(
            f"\n{result['epochs']} epochs{best}, {tables.ms(result['seconds_per_epoch'])} ms each; kept in {run}"
        )
    if outcome.diverged:
        raise outcome.diverged
    if not as_json:
        click.echo(f"next: handgrad evaluate {word(run)} {word(Path(outcome.settings.data))}")


def _of_the_optimizer_only(optimizer: str) -> None:
    """Raise a UsageError for an option that another optimizer has."""
    of_sgd = ["momentum", "batch", "schedule"]
    others = {"gd": of_sgd, "sgd": [], "lbfgs": ["learning_rate", *of_sgd]}
    for name in others[optimizer]:
        if _was_given(name):
            raise UsageError(
                f"{option_of(name)}: found it beside --optimizer {optimizer}, which has none; leave it out"
            )


def _was_given(name: str) -> bool:
    return click.get_current_context().get_parameter_source(name) is not click.core.ParameterSource.DEFAULT


@contextmanager
def _stopping() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C, or a request to end, has come; a second Ctrl-C ends the process at once."""
    came: list[int] = []

    def note(number: int) -> None:
        came.append(number)
        if number == signal.SIGINT and not launched():  # torchrun hands on what it gets, which may have come already
            signal.signal(number, signal.SIG_DFL)

    with handled(note, (signal.SIGINT, *ASKED)):
        yield lambda: bool(came)
