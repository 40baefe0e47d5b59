"""A hand-derived gradient, proved: check."""

from __future__ import annotations

import shlex
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import click

from handgrad.commands.options import Names, OfKind, Parsed, as_json, examples
from handgrad.commands.output import word, working
from handgrad.errors import UsageError
from handgrad.store import must_be_new, write


def _said(word: str) -> str:
    if not word:
        raise ValueError
    return word


FILE = Parsed("file", _said, "no file; expected FILE.py, or FILE.py:NAME")
PYTHON = OfKind("a Python file")


class Pairs(Names):
    """w=dw,b=db."""

    name = "pairs"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The dictionary."""
        if isinstance(value, dict):
            return value
        pairs = [pair.partition("=") for pair in super().convert(value, param, ctx)]
        if not all(name and sign and gradient for name, sign, gradient in pairs):
            self.fail(f"{value!r}; expected inputs and their gradients, as w=dw,b=db", param, ctx)
        return {name: gradient for name, _, gradient in pairs}


@click.command(
    epilog=examples(
        "handgrad check mine.py                      # forward and backward, or the only gradient in the file",
        "handgrad check mine.py:loss_and_gradients   # one function of value and gradients",
        "handgrad check mine.py:forward,backward     # a pair",
        "handgrad check mine.py:Layer                # a class, made of inputs; or an object, or a list of layers",
        "handgrad check mine.py:Net --methods loss,gradient",
        "handgrad check mine.py:Swish                # a torch.autograd.Function, a custom_op, a jax.custom_vjp, ...",
        "handgrad check mine.py:f --cost J --gradients w=g1,b=g2",
        "handgrad check mine.py --counterexample test_mine.py",
        "handgrad check mine.py --variants",
        "handgrad check --backend numpy",
    )
)
@click.argument("file", metavar="[FILE.py[:NAME]]", type=FILE, required=False)
@click.option("--backend", metavar="NAME", help="Prove the neuron of a backend instead: numpy, or FILE.py:Neuron.")
@click.option("--cost", metavar="NAME", help="Which returned value is the cost; a number is its place.")
@click.option("--wrt", type=Names(), metavar="A,B", help="The inputs whose gradients must be given back.")
@click.option("--gradients", type=Pairs(), metavar="W=DW", help="Which returned value is whose gradient, as w=dw,b=db.")
@click.option("--methods", type=Names(), metavar="A,B", help="Of an object: forward and backward, or one for both.")
@click.option("--order", type=click.IntRange(1, 2), help="Of a rule for PyTorch or JAX: 2 for the second gradient.")
@click.option("--mode", type=click.Choice(["vjp", "jvp"]), help="Of such a rule: what flows back, or what flows forth.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the inputs tried besides.")
@click.option("--trials", type=click.IntRange(0, 3), default=3, show_default=True, help="How many inputs besides.")
@click.option(
    "--seconds", type=click.FloatRange(min=0), default=10.0, show_default=True, help="To look for the line and reason."
)
@click.option(
    "--counterexample",
    is_flag=False,
    flag_value="",
    metavar="[FILE]",
    help="Also print the smallest failing test, for the first wrong gradient; or write it to FILE, a new one.",
)
@click.option("--variants", is_flag=True, help="Plant faults in backward, of a pair, and say which would not be found.")
@click.option("--all", "every", is_flag=True, help="With --variants: list all of them.")
@as_json
def check(
    file: str | None,
    backend: str | None,
    counterexample: str | None,
    variants: bool,
    every: bool,
    as_json: bool,
    seed: int,
    **options: Any,
) -> None:
    """Prove a hand-derived gradient, or name the line.

    FILE.py is a Python module, which is run. It defines inputs, a dictionary by argument, or inputs() or inputs(rng)
    that returns one, and what is checked: plain NumPy, or a rule for PyTorch or JAX, which is judged at every precision
    that it runs in. Each gradient is right, wrong, inherited (right, but fed by a wrong one), imprecise (right, but
    losing digits) or unresolved. Options that belong to the code may stand in the file, as OPTIONS = {"cost": "J"} or
    OPTIONS = {"reference": plain}.

    The exit code is 0 if all are right, 1 if not, and 2 if the code cannot be used as it is.
    """
    if file is None and backend is None and counterexample and Path(counterexample).is_file():
        file, counterexample = counterexample, ""  # the option stands before the file
    if (file is None) == (backend is None):
        raise click.UsageError("expected either FILE.py or --backend NAME")
    if backend is not None:
        ok = _backend(backend, seed, as_json)
    elif variants:
        ok = _variants(str(file), seed, every, as_json, options)
    else:
        ok = _file(str(file), seed, counterexample, as_json, options)
    if not ok:
        click.get_current_context().exit(1)


def _backend(backend: str, seed: int, as_json: bool) -> bool:
    from handgrad import backends
    from handgrad.proof.backends import prove_backend

    proved = prove_backend(backends.load(backend), backend, seed=seed)
    click.echo(proved.to_json() if as_json else f"{proved}\n\nnext: handgrad compare DATA")
    return proved.ok


def _file(file: str, seed: int, counterexample: str | None, as_json: bool, options: dict[str, Any]) -> bool:
    from handgrad.proof import check
    from handgrad.proof.files import opened, split

    path, name = split(file)
    PYTHON(str(path), ctx=click.get_current_context())
    if counterexample:
        must_be_new(Path(counterexample))
    options["cost"] = _cost(options["cost"])
    with (
        redirect_stdout(sys.stderr),
        opened(path, name, seed=seed, options=options) as subject,
        working("checking", 1),
    ):
        report = check(*subject.things, inputs=subject.inputs, seed=seed, **subject.options)
    pair = len(subject.things) == 2
    click.echo(report.to_json() if as_json else str(report))
    wrong = report.first_wrong is not None
    if counterexample is not None and (counterexample or (wrong and not as_json)):
        _counterexample(report, counterexample)
    elif not as_json and counterexample is None and ((wrong and report.shrink) or (report.ok and pair)):
        click.echo(f"\nnext: {_again(path, name, seed)} --{'counterexample' if wrong else 'variants'}")
    return report.ok


def _counterexample(report: Any, file: str) -> None:
    """Print the smallest failing test, or write it."""
    if report.first_wrong is None:
        click.echo(f"{file} was not written: nothing is wrong that a test could show", err=True)
        return
    with redirect_stdout(sys.stderr):
        test = report.counterexample()
    if not file:
        click.echo(f"\n{test}")
        return
    write(Path(file), test.at(Path(file)).encode())
    click.echo(f"wrote {file}, the smallest failing test; run it: pytest {word(Path(file))}", err=True)


def _variants(file: str, seed: int, every: bool, as_json: bool, options: dict[str, Any]) -> bool:
    from handgrad.proof import mutate
    from handgrad.proof.files import opened, split

    path, name = split(file)
    options["cost"] = _cost(options["cost"])
    with redirect_stdout(sys.stderr), opened(path, name, seed=seed, options=options) as subject:
        if len(subject.things) != 2:
            raise UsageError(f"{file}: --variants are made of a backward function; expected FILE.py:forward,backward")
        how = {key: subject.options.get(key) for key in ("cost", "gradients", "wrt")}
        forward, backward = subject.things
        found = mutate(backward, forward, subject.inputs, seed=seed, **how)
    click.echo(found.to_json() if as_json else found.listed(every=every))
    return found.ok


def _cost(cost: str | None) -> str | int | None:
    return int(cost) if cost is not None and cost.lstrip("-").isdigit() else cost


def _again(path: Path, name: str | None, seed: int) -> str:
    """The command for the same thing, with the options that say how it is read."""
    of = word(path) + (f":{shlex.quote(name)}" if name else "")
    said = f" --seed {seed}" if seed else ""
    given = click.get_current_context().params
    for option in ("cost", "wrt", "gradients", "methods"):
        value = given.get(option)
        if isinstance(value, dict):
            value = [f"{key}={gradient}" for key, gradient in value.items()]
        if value is not None:
            said += f" --{option} {shlex.quote(value if isinstance(value, str) else ','.join(value))}"
    return f"handgrad check {of}{said}"
