"""What is chosen before a training: cross-validate, rate."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from handgrad import tables
from handgrad.checks import number
from handgrad.commands.options import (
    PATH,
    as_json,
    examples,
    of_backend,
    of_data,
    of_device,
    of_dtype,
    of_the_inputs,
    of_the_neuron,
    setting,
)
from handgrad.commands.output import print_json, word
from handgrad.errors import UsageError
from handgrad.settings import Settings


@click.command(
    "cross-validate",
    epilog=examples(
        "handgrad cross-validate data/ --folds 5 --l2 0,1e-3,1e-2,1e-1",
        "handgrad cross-validate data/ --l2 0.01,0.1 --mirror --backend numba --plot folds.svg",
    ),
)
@of_data
@click.option("--folds", type=click.IntRange(min=2), default=5, show_default=True)
@click.option("--l2", "penalties", default="0,1e-4,1e-3,1e-2,1e-1,1", show_default=True, help="To try, with commas.")
@click.option("--by", type=click.Choice(["accuracy", "cost"]), default="cost", show_default=True, help="To choose.")
@of_backend
@of_dtype
@of_device
@of_the_inputs
@click.option("--epochs", type=click.IntRange(min=1), default=1000, show_default=True, help="Of L-BFGS, at most.")
@setting("seed", type=click.IntRange(min=0), help="Of the folds.")
@click.option("--plot", type=PATH, help="Draw it into this new file, .svg or .png.")
@as_json
def cross_validate(
    data: Path,
    folds: int,
    penalties: str,
    by: str,
    backend: str,
    epochs: int,
    seed: int,
    plot: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Choose the penalty, by k-fold cross-validation.

    The photographs of DATA to train on and to validate on, together, are dealt into folds, stratified. On each fold the
    neuron is measured that L-BFGS trained on the others. The penalty that is chosen is the largest within one standard
    error of the best. The test set, if there is one, is left alone: choose here, train, then evaluate --test.
    """
    from handgrad import choosing

    settings = Settings(str(data), backend, optimizer="lbfgs", epochs=epochs, seed=seed, **options)
    if plot is not None:
        from handgrad import look

        look.must_be_drawable(plot)
    rows, chosen = choosing.cross_validate(settings, _penalties(penalties), folds, by, progress=True)
    if plot is not None:
        look.save(look.folds(rows, chosen), plot)
    if as_json:
        found = [asdict(row) | {"interval": row.interval, "chosen": row is chosen} for row in rows]
        print_json({"data": str(data), "folds": folds, "by": by, "chosen": chosen.l2, "rows": found})
        return
    click.echo(tables.table_of_folds(rows, chosen))
    click.echo(f"\nchosen: l2 {chosen.l2:g}, the largest within one standard error of the best {by}")
    click.echo(f"next: handgrad train {word(data)} --run RUN{replace(settings, l2=chosen.l2).options()}")


def _penalties(text: str) -> list[float]:
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise UsageError(f"l2 is {text!r}; expected numbers with commas between them, as 0,1e-3,1e-2") from None


@click.command(
    epilog=examples("handgrad rate data/", "handgrad rate data/ --learning-rate 0.01 --standardize --backend numba")
)
@of_data
@click.option("--learning-rate", "--lr", type=float, help="One to judge.")
@of_backend
@of_the_neuron
@of_the_inputs
@as_json
def rate(data: Path, learning_rate: float | None, backend: str, as_json: bool, **options: Any) -> None:
    """Propose a learning rate for gradient descent, or judge one.

    From the largest eigenvalue of the second moments of the examples to train on, by power iteration. Below the bound
    the cost falls in every epoch; half of it is proposed.
    """
    from handgrad import choosing

    if learning_rate is not None:
        learning_rate = number("learning_rate", learning_rate)
    settings = Settings(str(data), backend, **options)
    found = choosing.rate(settings)
    verdict = None if learning_rate is None else found.verdict(learning_rate)
    if as_json:
        more = {"bound": found.bound, "proposed": found.proposed, "verdict": verdict}
        print_json(asdict(found) | more)
        return
    click.echo(f"largest eigenvalue  {found.eigenvalue:.6g}, after {found.iterations} iterations")
    if found.proposed is None:
        click.echo("no rate is sure for a relu, whose gradient jumps")
        click.echo(f"\nnext: handgrad train {word(data)} --run RUN --learning-rate RATE{settings.options()}")
        return
    click.echo(f"stable below        {found.bound:.4g}")
    click.echo(f"proposed            {found.proposed:.4g}")
    if learning_rate is not None:
        said = {
            "falls": "the cost falls in every epoch",
            "may not settle": "the cost may rise, and may not settle",
            "must diverge": "the cost must diverge",
        }
        click.echo(f"at {learning_rate:g}: {said[str(verdict)]} ({learning_rate / found.bound:.3g} of the bound)")
    click.echo(
        f"\nnext: handgrad train {word(data)} --run RUN --learning-rate {found.proposed:.4g}{settings.options()}"
    )
