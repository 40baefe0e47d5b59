"""A hand-derived gradient, proved: check."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path

import click

from handgrad.commands.options import PATH, as_json, examples
from handgrad.commands.output import word


@click.command(epilog=examples("handgrad check my_gradient.py --counterexample", "handgrad check --backend numpy"))
@click.argument("file", type=PATH, required=False)
@click.option("--backend", metavar="NAME", help="Prove the neuron of a backend instead: numpy, or FILE.py:Neuron.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the inputs tried besides.")
@click.option("--counterexample", is_flag=True, help="Also print the smallest failing test, for the first wrong line.")
@as_json
def check(file: Path | None, backend: str | None, seed: int, counterexample: bool, as_json: bool) -> None:
    """Prove a hand-derived gradient, or name the line.

    FILE.py is a Python module, which is run. It defines forward (plain NumPy: its named intermediates as a dictionary,
    the cost last), backward (their adjoints as a dictionary) and inputs(). Each line of backward is judged on its own:
    right, wrong, inherited (right, but fed by a wrong one) or unresolved. The exit code is 1 unless all are right.
    """
    if (file is None) == (backend is None):
        raise click.UsageError("expected either FILE.py or --backend NAME")
    if file is not None:
        from handgrad.proof import check_file

        with redirect_stdout(sys.stderr):  # what the module prints is not the report
            report = check_file(file, seed=seed)
        click.echo(report.to_json() if as_json else str(report))
        if counterexample and report.first_wrong and not as_json:
            click.echo(f"\n{report.counterexample()}")
        ok = report.ok
    else:
        from handgrad import backends
        from handgrad.proof.backends import prove_backend

        proved = prove_backend(backends.load(str(backend)), str(backend), seed=seed)
        click.echo(proved.to_json() if as_json else str(proved))
        ok = proved.ok
    if not as_json and not counterexample:
        proof = f"handgrad check {word(file)} --counterexample" if file and not ok else "handgrad compare DATA"
        click.echo(f"\nnext: {proof}")
    if not ok:
        click.get_current_context().exit(1)
