"""All of it: demo."""

import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click

from handgrad.commands.options import PATH, examples
from handgrad.commands.output import not_there_yet
from handgrad.errors import MissingExtraError


@click.command(epilog=examples("handgrad demo", "handgrad demo my-demo/"))
@click.argument("folder", type=PATH, default=Path("handgrad-demo"))
def demo(folder: Path) -> None:
    """The whole job on built-in data.

    Handwritten digits, 3 against 8, are written as files into FOLDER, prepared, trained on and predicted.

    FOLDER is handgrad-demo by default, or the first of handgrad-demo-2, -3 ... that does not exist yet.
    """
    from handgrad.demo import write_digits

    handgrad = click.get_current_context().find_root().command
    folder = not_there_yet(folder)
    photographs, data, run_folder = folder / "photographs", folder / "data", folder / "run"
    click.echo(f"{write_digits(photographs)} pictures of handwritten digits, 3 and 8, are in {photographs}\n")
    pictures = sorted(photographs.iterdir())
    descent = ["--learning-rate", "0.1", "--epochs", "1000"]
    with _removed_on_failure(photographs, data, run_folder, folder):
        for command in (
            ["prepare", photographs, data, "--size", "8"],
            ["compare", data, *descent],
            ["train", data, "--run", run_folder, *descent],
            ["evaluate", run_folder, data],
            ["predict", run_folder, *pictures[:2], *pictures[-2:]],
            ["explain", run_folder, data],
        ):
            words = [str(word) for word in command]
            click.secho(f"$ handgrad {shlex.join(words)}", bold=True)
            try:
                code = handgrad.main(words, prog_name="handgrad", standalone_mode=False)
            except MissingExtraError as error:
                if command[0] != "explain":
                    raise
                click.echo(f"left out: {error}")
            if code:
                click.get_current_context().exit(code)
            click.echo()
    click.echo("next: handgrad prepare YOUR-PHOTOGRAPHS data/")


@contextmanager
def _removed_on_failure(*folders: Path) -> Iterator[None]:
    """No part of the job without the rest, unless a command ended as it may: a training that is stopped is kept."""
    try:
        yield
    except click.exceptions.Exit:
        raise
    except BaseException:
        for made in folders[:-1]:
            shutil.rmtree(made, ignore_errors=True)
        with suppress(OSError):  # where somebody has put something there
            folders[-1].rmdir()
        raise
