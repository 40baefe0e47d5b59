"""Right gradients, checked over and over: random cases, shapes, values, dtypes and seeds. An alarm is a false one.

`python tests/false_alarms.py --checks 20000 --seed 0` runs as many as asked and prints what was found; with `--shapes`,
of the programs in `written`, in all the shapes in which people write them.
"""

import collections
import re
import sys
import time
import warnings

import click
import numpy as np

import planted
from cases import RIGHT
from handgrad.proof import check
from handgrad.proof.checker import Checker
from handgrad.proof.problem import Problem

LARGEST = 5


def drawn(case, rng):
    """Inputs of a case: random sizes from 1 to 5, values stretched by up to 3 or shrunk to a tenth, either dtype."""
    letters = sorted(set(re.findall(r"\b[a-z]\b", " ".join(part.split(":")[1] for part in case.SHAPES.split(";")))))
    sizes = {letter: int(rng.integers(1, LARGEST + 1)) for letter in letters}
    dtype = rng.choice([np.float32, np.float64])
    stretch = 10 ** rng.uniform(-1, 0.5)
    inputs = case.inputs(int(rng.integers(2**31)), **sizes)
    return {name: _cast(value, dtype, stretch) for name, value in inputs.items()}, sizes


def _cast(value, dtype, stretch):
    value = np.asarray(value)
    if value.dtype.kind != "f":
        return value
    labels = np.isin(value, (-1, 0, 1)).all()
    return (value if labels else value * stretch).astype(dtype)


def alarms(checks, seed, progress=False):
    """How often each verdict was given over that many checks, and the checks in which a line was called wrong."""
    rng = np.random.default_rng(seed)
    checkers = {name: Checker(Problem(case.forward, case.backward), shapes=case.SHAPES) for name, case in RIGHT.items()}
    counts, found, start = collections.Counter(), [], time.perf_counter()
    for i in range(checks):
        name = str(rng.choice(sorted(RIGHT)))
        inputs, sizes = drawn(RIGHT[name], rng)
        trial = int(rng.integers(2**31))
        report = checkers[name].check(inputs, seed=trial, explain=False)
        counts.update(finding.verdict for finding in report.findings)
        if any(finding.verdict in ("wrong", "inherited") for finding in report.findings) or report.problems:
            found.append(
                (i, name, sizes, trial, [(f.name, f.verdict, f.where, f.hand, f.expected) for f in report.findings])
            )
        if progress and (i + 1) % 1000 == 0:
            click.echo(f"{i + 1} checks, {len(found)} alarms, {time.perf_counter() - start:.0f} s")
    return counts, found


def alarms_of_shapes(checks, seed, progress=False):
    """As `alarms`, of the programs in `written`: their inputs and parameters drawn anew, and stretched."""
    rng = np.random.default_rng(seed)
    counts, found, start = collections.Counter(), [], time.perf_counter()
    programs = planted.programs()
    for i in range(checks):
        program = programs[int(rng.integers(len(programs)))]
        drawn_with, trial = int(rng.integers(2**31)), int(rng.integers(2**31))
        subject, inputs = planted.made(program.module, drawn_with)
        stretch = 10 ** rng.uniform(-1, 0.3)
        for name, value in inputs.items():
            real = isinstance(value, np.ndarray) and value.dtype.kind == "f" and np.any(value != np.rint(value))
            if real and np.any(value < 0):  # probabilities stay what they are
                inputs[name] = value * stretch
        report = check(*subject, inputs, seed=trial, seconds=0.0, **program.module.OPTIONS)
        counts.update(finding.verdict for finding in report.findings)
        if any(finding.verdict in ("wrong", "inherited") for finding in report.findings) or report.problems:
            found.append((i, program.name, drawn_with, trial, [(f.name, f.verdict, f.size) for f in report.findings]))
        if progress and (i + 1) % 500 == 0:
            click.echo(f"{i + 1} checks, {len(found)} alarms, {time.perf_counter() - start:.0f} s")
    return counts, found


@click.command()
@click.option("--shapes", is_flag=True, help="the programs in `written`")
@click.option("--checks", default=20_000, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(shapes, checks, seed):
    """Check right gradients and count the alarms."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        counts, found = (alarms_of_shapes if shapes else alarms)(checks, seed, progress=True)
    for alarm in found[:20]:
        click.echo(f"ALARM {alarm}")
    what = "programs in shapes" if shapes else "backward passes"
    click.echo(f"{checks} checks (seed {seed}) of {what} that are right: {len(found)} false alarms")
    click.echo(f"lines: {dict(counts)}")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
