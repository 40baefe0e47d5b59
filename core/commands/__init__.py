"""The commands: thin, over the rooms of the house. What is heavy is imported inside each."""

import os
import sys
import time
import traceback
from typing import Any

import click

from handgrad.commands import bench, check, choose, compare, data, demo, model, train
from handgrad.commands.kinds import command_for, kinds_of
from handgrad.commands.options import examples
from handgrad.commands.output import open_streams, say, say_error, saying_warnings
from handgrad.commands.signals import ending_in_order
from handgrad.errors import DataError, HandgradError, reason_of
from handgrad.torchrun import FailedElsewhereError, launched
from handgrad.version import __version__


def main(arguments: list[str] | None = None) -> None:
    """Run a command and exit: 0 fine, 1 a check failed, 2 usage, 3 data, 4 diverged, 128 + the signal that ended it."""
    open_streams()
    os.environ["MPLBACKEND"] = "agg"  # no command shows a window
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code; a person's mistake is one line on standard error."""
    try:
        return handgrad.main(arguments, prog_name="handgrad", standalone_mode=False) or 0
    except SystemExit as error:  # so ends click where whoever reads the output has closed it
        return _says_whose(error) or 141
    except click.ClickException as error:
        if launched() and int(os.environ["RANK"]):
            time.sleep(10)  # rank 0 has the same arguments, and says it: then torchrun ends the others
        else:
            error.show()
        return error.exit_code
    except click.exceptions.Abort:
        say("interrupted")
        return 130
    except FailedElsewhereError as error:
        return error.exit_code
    except HandgradError as error:
        say_error(error)
        return error.exit_code
    except OSError as error:
        if _says_whose(error):
            return HandgradError.exit_code
        printing = any(frame.f_code is click.echo.__code__ for frame, _ in traceback.walk_tb(error.__traceback__))
        where = error.filename or ("standard output" if printing else "a file")
        say(f"error: {where}: {error.strerror or error}")
        return DataError.exit_code
    except Exception as error:
        if not _says_whose(error):
            raise
        return HandgradError.exit_code


def _says_whose(error: BaseException) -> int:
    """Say in a line which backend of somebody's raised it, and give the exit code; 0 where none did."""
    from handgrad import backends

    place = backends.blamed(error)
    if place is None:
        return 0
    message = f"{place}: {type(error).__name__}: {reason_of(error)}"
    say(f"error: {message}; handgrad.testing.check_backend says what a backend owes")
    return HandgradError.exit_code


WHAT_NEXT = """One neuron, written by hand and differentiated by machine, so that each proves the other.

  see it work           handgrad demo
  prove a gradient      handgrad check FILE.py
  learn photographs     handgrad prepare PHOTOGRAPHS data/
                        handgrad train data/ --run run/
                        handgrad explain run/ data/
  compare backends      handgrad compare data/
                        handgrad bench

next: handgrad demo, or handgrad --help for all commands"""


class _Commands(click.Group):
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if self.get_command(ctx, args[0]) is None:
            from handgrad.proof.files import split

            path = split(args[0])[0].expanduser()
            for kind in kinds_of(path)[:1]:
                ctx.fail(f"No such command {args[0]!r}; it is {kind}: {command_for(kind, path)}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        with ending_in_order(), saying_warnings():
            return super().invoke(ctx)


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=examples("handgrad demo", "handgrad prepare photographs/ data/", "handgrad train data/ --run run/"),
)
@click.version_option(__version__, prog_name="handgrad")
@click.pass_context
def handgrad(context: click.Context) -> None:
    """One neuron, written by hand and differentiated by machine, so that each proves the other."""
    if context.invoked_subcommand is None:
        click.echo(WHAT_NEXT)
    elif context.invoked_subcommand != "train" and launched():
        raise click.UsageError(f"torchrun: found handgrad {context.invoked_subcommand}; it is for handgrad train")


for command in (
    data.prepare,
    data.merge,
    train.train,
    model.evaluate,
    model.explain,
    model.predict,
    model.export,
    choose.cross_validate,
    choose.rate,
    compare.compare,
    check.check,
    bench.bench,
    demo.demo,
):
    handgrad.add_command(command)
