"""Backends, trained alike: compare."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handgrad import tables
from handgrad.commands.options import as_json, examples, of_backends, of_data, of_the_descent, of_the_neuron
from handgrad.commands.output import print_json, word
from handgrad.errors import HandgradError
from handgrad.scores import wilson

if TYPE_CHECKING:
    from handgrad.neuron import Neuron


@click.command(epilog=examples("handgrad compare data/ --epochs 300", "handgrad compare data/ --backends numpy,jax"))
@of_data
@of_backends("chosen", help="With commas, perhaps of your own, as FILE.py:Neuron.  [default: all that are installed]")
@of_the_neuron
@of_the_descent
@as_json
def compare(
    data: Path,
    chosen: list[str],
    learning_rate: float | None,
    epochs: int,
    initial: str,
    seed: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Train every backend and say if they agree.

    Each is trained on DATA from the same start; the exit code is 1 where they disagree.

    NumPy is the reference. Two backends may differ by what rounding explains, a bound that is derived from the numbers
    that are summed; the last column is the largest difference in units of its bound, and above 1 they disagree.
    """
    from handgrad import material, measure
    from handgrad.choosing import proposed
    from handgrad.comparison import compare
    from handgrad.curvature import curvature
    from handgrad.data import Dataset

    neurons, missing = _neurons(chosen, options)
    dataset = Dataset.open(data)
    if learning_rate is None:
        learning_rate = proposed(curvature(neurons["numpy"], dataset.train.X))
    sets = measure.sets(dataset)
    rows = compare(
        neurons,
        sets["train"],
        sets.get("validation"),
        epochs=epochs,
        learning_rate=learning_rate,
        initial=material.initial(initial, seed, dataset),
        progress=True,
    )
    if as_json:
        print_json([asdict(row) | {"agrees": not row.disagreements} for row in rows])
    else:
        click.echo(tables.table_of_backends(rows))
        accuracies = dict(
            zip(("train", "validation"), (rows[0].train_accuracy, rows[0].validation_accuracy), strict=True)
        )
        intervals = {name: wilson(round(accuracies[name] * Y.size), Y.size) for name, (_, Y) in sets.items()}
        said = ", ".join(f"{name} {tables.interval(interval)}" for name, interval in intervals.items())
        click.echo(f"accuracies of {rows[0].backend}, 95 % intervals: {said}")
        for error in missing:
            click.echo(f"left out: {error}")
    wrong = [row for row in rows if row.disagreements]
    for row in wrong:
        found = ", ".join(f"{kind} by {row.ratios[kind]:.3g} times its bound" for kind in row.disagreements)
        click.echo(f"{row.backend} disagrees with {rows[0].backend}: {found}", err=True)
    if wrong:
        click.get_current_context().exit(1)
    if not as_json and len(rows) > 1:
        click.echo(f"\n{tables.agreement(rows, options['dtype'])}")
        fastest = min(rows, key=attrgetter("seconds_per_epoch")).backend
        click.echo(f"next: handgrad train {word(data)} --run RUN --backend {shlex.quote(fastest)}")


def _neurons(chosen: list[str], options: dict[str, Any]) -> tuple[dict[str, Neuron], list[HandgradError]]:
    """NumPy's neuron and the chosen ones, or all that are installed and the reasons why the others are not."""
    from handgrad import backends
    from handgrad.material import PIXEL_SCALE

    neurons, missing = {}, []
    for name in dict.fromkeys(["numpy", *(chosen or backends.names())]):
        try:
            neurons[name] = backends.load(name)(input_scale=PIXEL_SCALE, **options)
        except HandgradError as error:  # its framework is not installed, or has no device here, or is broken
            if chosen or name == "numpy":
                raise
            missing.append(error)
    return neurons, missing
