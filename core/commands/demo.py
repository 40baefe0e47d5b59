"""All of it: demo."""

import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click

from handgrad.commands.options import PATH, examples
from handgrad.commands.output import not_there_yet, ticking
from handgrad.errors import MissingExtraError


@click.command(epilog=examples("handgrad demo", "handgrad demo my-demo/"))
@click.argument("folder", type=PATH, default=Path("handgrad-demo"))
def demo(folder: Path) -> None:
    """The three jobs on built-in data.

    Prove: a neuron's gradient is checked, and a slip that was planted in it is found. Swap: one neuron is trained by
    every backend that is installed. Learn: handwritten digits, 3 against 8, are prepared as photographs, trained on
    and predicted, and a report shows what was learned. Each is done by commands, which are shown; all that they make
    is in FOLDER.

    FOLDER is handgrad-demo by default, or the first of handgrad-demo-2, -3 ... that does not exist yet. What needs a
    package that is not installed is left out, and said.
    """
    from handgrad.demo import write_gradients

    folder = not_there_yet(folder)
    gradients, photographs, data, run = (folder / name for name in ("gradients", "photographs", "data", "run"))
    click.echo(f"Three jobs, each by the commands that you would type. What they make is in {folder}.")
    with _removed_on_failure(gradients, photographs, data, run, folder):
        line = write_gradients(gradients)
        _prove(gradients, line)
        try:
            _swap(photographs, data)
            _learn(photographs, data, run)
        except MissingExtraError as error:
            click.echo(f"left out: {error}")


def _prove(gradients: Path, line: int) -> None:
    right, slip = gradients / "right.py", gradients / "slip.py"
    _heading("1. Prove a gradient that was derived by hand")
    click.echo(f"{right} holds one neuron as tutorials publish it, and its gradient. Is that right?\n")
    _run("check", right)
    click.echo(f"{slip} is the same, but for a slip planted in line {line}: it forgets to divide by m. Is it found?\n")
    _run("check", slip, expected=1)
    click.echo("Yours: put inputs beside your functions, as in these files, and: handgrad check YOURS.py")


def _swap(photographs: Path, data: Path) -> None:
    from handgrad.demo import write_digits

    _heading("2. Swap the implementation, and compare")
    click.echo(
        "Handwritten digits, 3 and 8, are the photographs here. A fifth is held out to validate, a fifth to test."
    )
    with ticking():
        written = write_digits(photographs)
    click.echo(f"{written} pictures are in {photographs}\n")
    _run("prepare", photographs, data, "--size", "8", "--test", "0.2")
    click.echo(
        "The same training by each backend that is installed. NumPy's and Numba's gradients are derived by hand;\n"
        "those of PyTorch and JAX come from automatic differentiation. Do they agree?\n"
    )
    _run("compare", data, *_DESCENT)
    click.echo("In a program it is one word: from handgrad.backends.numpy import Neuron  # numpy | numba | torch | jax")
    click.echo("Yours: handgrad compare DATA --backend numpy --backend YOURS.py:Neuron")


def _learn(photographs: Path, data: Path, run: Path) -> None:
    from handgrad.data import Dataset

    _heading("3. Learn photographs, and see what was learned")
    _run("train", data, "--run", run, *_DESCENT)
    held_out = sorted(Dataset.open(data).names("test"))
    shown = [*held_out[:3], *held_out[-3:]]
    click.echo(
        f"Six of the {len(held_out)} photographs that were held out to test: nothing so far has looked at them.\n"
        "The name of each file begins with the digit that it shows.\n"
    )
    _run("predict", run, *(photographs / name for name in shown))
    click.echo("A page of what it learned: W as a picture, where it looks, its worst mistakes.\n")
    _run("explain", run, data)
    click.echo("Yours: a folder of cat.0.jpg dog.0.jpg ..., or one for each class, and:")
    click.echo("  handgrad prepare PHOTOGRAPHS data/\n  handgrad train data/ --run run/\n  handgrad explain run/ data/")


_DESCENT = "--learning-rate", "0.1", "--epochs", "1000"


def _heading(text: str) -> None:
    click.secho(f"\n{text}\n{'=' * len(text)}\n", bold=True)


def _run(*command: str | Path, expected: int = 0) -> None:
    """Show a command and run it; the demo ends where its exit code is not what is expected."""
    context = click.get_current_context()
    words = [str(part) for part in command]
    click.secho(f"$ handgrad {shlex.join(words)}", bold=True)
    with ticking():
        code = context.find_root().command.main(words, prog_name="handgrad", standalone_mode=False) or 0
    if code != expected:
        context.exit(code or 1)
    click.echo()


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
