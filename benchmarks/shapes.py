"""Gradient checkers on what people write: programs in five shapes, right and with a fault, through each of them.

python -m handgrad.benchmarks.shapes

The programs are those of ``tests/written``, the faults those that ``tests/planted.py`` plants there, one in each.
Beside `handgrad.check` stand the numerical checks that such code comes with: central differences in float64, and one
relative error that is compared with a threshold. What these need of a program, a function that calls it and returns
the cost and the gradients by name, and the arrays to step in, somebody has to write; the programs have it as ``truth``
and ``parameters``, and its lines are counted.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from handgrad.bars import hidden
from handgrad.errors import HandgradError, UsageError
from handgrad.jsonable import dumps
from handgrad.table import table

Array = npt.NDArray[Any]

STEP = 1e-5
THRESHOLDS = (1e-7, 1e-6, 1e-5, 1e-4)


@dataclass(frozen=True)
class Answer:
    """What a checker said of one program.

    Attributes:
        right: whether it calls the gradients right.
        wrong: whether it calls one of them wrong; neither, where it cannot tell or cannot read the program.
        lines: of the program, that it names.
    """

    right: bool
    wrong: bool
    lines: frozenset[int] = frozenset()


def ours(module: ModuleType, subject: tuple[Any, ...], inputs: dict[str, Any]) -> Answer:
    """`handgrad.check`, with nothing but the program, its inputs and, where two readings are possible, which."""
    from handgrad.proof import check

    try:
        report = check(*subject, inputs, **module.OPTIONS)
    except HandgradError:
        return Answer(right=False, wrong=False)
    return Answer(report.ok, report.first_wrong is not None, frozenset(place.line for place in report.lines))


def differences(module: ModuleType, subject: tuple[Any, ...], inputs: dict[str, Any]) -> list[tuple[Array, Array]]:
    """Each gradient by hand, and by (J(x + h) - J(x - h)) / 2h in each entry, with h = `STEP`."""

    def called(given: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        found: tuple[Any, dict[str, Any]] = module.truth(subject, given, np.random.default_rng(0))
        return found

    hands = {name: np.array(value, float) for name, value in called(inputs)[1].items()}
    live = module.parameters(subject, inputs)
    pairs = []
    for name, hand in hands.items():
        array = live[name] if name in live else np.array(inputs[name])  # a number of Python is passed anew
        numerical = np.zeros(array.shape)
        for index in np.ndindex(array.shape):
            kept, costs = array[index], []
            for step in STEP, -STEP:
                array[index] = kept + step
                costs.append(float(called(inputs if name in live else inputs | {name: float(array)})[0]))
            array[index] = kept
            numerical[index] = (costs[0] - costs[1]) / (2 * STEP)
        pairs.append((hand, numerical))
    return pairs


def by_entry(pairs: list[tuple[Array, Array]]) -> float:
    """The largest |a - n| / max(|a| + |n|, 1e-8) of all entries of all gradients."""
    return max(float(np.max(np.abs(a - n) / np.maximum(np.abs(a) + np.abs(n), 1e-8), initial=0)) for a, n in pairs)


def by_norm(pairs: list[tuple[Array, Array]]) -> float:
    """The ratio ||a - n|| / (||a|| + ||n||), of all gradients in one vector."""
    a, n = (np.concatenate([pair[i].ravel() for pair in pairs]) for i in (0, 1))
    return float(np.linalg.norm(a - n) / (np.linalg.norm(a) + np.linalg.norm(n)))


ERRORS: dict[str, Callable[[list[tuple[Array, Array]]], float]] = {"entry": by_entry, "norm": by_norm}


def numerical(module: ModuleType, subject: tuple[Any, ...], inputs: dict[str, Any]) -> dict[str, Answer]:
    """The numerical checks, by relative error and threshold; all from the same differences."""
    pairs = differences(module, subject, inputs)
    fits = all(a.shape == n.shape for a, n in pairs)
    answers = {}
    for name, error in ERRORS.items():
        found = error(pairs) if fits else np.inf
        for threshold in THRESHOLDS:
            right = bool(found <= threshold)
            answers[f"differences, {name}, {threshold:.0e}"] = Answer(right, not right)
    return answers


def checkers() -> dict[str, Callable[[ModuleType, tuple[Any, ...], dict[str, Any]], dict[str, Answer]]]:
    """What is run, each with the answers that it gives, by the name of a row."""
    return {"handgrad.check": lambda *given: {"handgrad.check": ours(*given)}, "differences": numerical}


@dataclass
class Row:
    """One checker on all programs.

    Attributes:
        checker: which.
        faults, programs: how many there were; a right program counts once for each draw of its inputs.
        missed: the faults in which it calls no gradient wrong, as "program:line: what stands there".
        refused: the right programs that it does not call right.
        line_named: of the faults, in how many it named the faulty line and no other.
        adapter: the lines that somebody has to write for it, for each program, the median.
        seconds: of each check.
    """

    checker: str
    faults: int = 0
    programs: int = 0
    missed: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    line_named: int = 0
    adapter: float = 1
    seconds: list[float] = field(default_factory=list, repr=False)


def adapter(module: ModuleType) -> int:
    """The lines of ``truth`` and ``parameters``."""
    return sum(
        len([line for line in inspect.getsource(function).splitlines() if line.strip()])
        for function in (module.truth, module.parameters)
    )


def find(programs: Path) -> ModuleType:
    """What plants faults in the programs of this folder.

    Raises:
        UsageError: there are none, or nothing that plants faults.
    """
    folder = programs.resolve()
    if not (folder / "__init__.py").is_file() or not (folder.parent / "planted.py").is_file():
        raise UsageError(
            f"{programs} has no programs, or {programs.parent / 'planted.py'} is missing; "
            "expected tests/written of the project's repository: run this there, or say --programs"
        )
    if str(folder.parent) not in sys.path:
        sys.path.insert(0, str(folder.parent))
    return importlib.import_module("planted")


def compare(
    planted: ModuleType, *, names: tuple[str, ...] = (), limit: int | None = None, faults: int = 10, draws: int = 3
) -> list[Row]:
    """Each checker on each program, right and with each fault; of the names given, or of the first so many."""
    chosen = [program for program in planted.programs() if not names or program.name in names][:limit]
    rows: dict[str, Row] = {}
    total = len(chosen) * (draws + faults)
    with tqdm(total=total, unit=" programs", disable=hidden()) as bar:
        for program in chosen:
            for seed in range(draws):
                for row, answer in _asked(planted, rows, program.module, seed):
                    row.programs += 1
                    if not answer.right:
                        row.refused.append(program.name)
                bar.update()
            for fault in planted.faults(program, faults):
                module = fault.load()
                try:
                    for row, answer in _asked(planted, rows, module, 0):
                        row.faults += 1
                        row.line_named += answer.lines == {fault.line}
                        if not answer.wrong:
                            row.missed.append(f"{program.name}:{fault.line}: {fault.mutated}")
                finally:
                    planted.forget(module)
                bar.update()
    written = float(np.median([adapter(program.module) for program in chosen]))
    for name, row in rows.items():
        row.adapter = 1 if name == "handgrad.check" else written
    return list(rows.values())


def _asked(planted: ModuleType, rows: dict[str, Row], module: ModuleType, seed: int) -> Iterator[tuple[Row, Answer]]:
    """What every checker says of a program, each given inputs of its own, and its time."""
    for check in checkers().values():
        subject, inputs = planted.made(module, seed)
        with warnings.catch_warnings(), np.errstate(all="ignore"), contextlib.redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")
            start = time.perf_counter()
            answers = check(module, subject, inputs)
            seconds = time.perf_counter() - start
        for name, answer in answers.items():
            row = rows.setdefault(name, Row(name))
            row.seconds.append(seconds)
            yield row, answer


def shown(rows: list[Row]) -> str:
    """The table."""
    lines = [
        [
            row.checker,
            f"{row.faults - len(row.missed)} of {row.faults}",
            f"{len(row.refused)} of {row.programs}",
            str(row.line_named),
            f"{row.adapter:g}",
            f"{np.median(row.seconds):.2g} s",
            f"{max(row.seconds):.2g} s",
        ]
        for row in rows
    ]
    heads = ["checker", "faults found", "right refused", "line named", "lines to write", "median", "largest"]
    return table(heads, *lines)


@click.command()
@click.option(
    "--programs", type=click.Path(path_type=Path), default="tests/written", show_default=True, help="Their folder."
)
@click.option("--limit", type=click.IntRange(min=1), help="Only the first so many programs.")
@click.option("--faults", type=click.IntRange(min=1), default=10, show_default=True, help="In each program, at most.")
@click.option("--draws", type=click.IntRange(min=1), default=3, show_default=True, help="Of a right program's inputs.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with every fault that was missed.")
def main(programs: Path, limit: int | None, faults: int, draws: int, as_json: bool) -> None:
    """Programs as people write them, right and with planted faults, through handgrad's checker and numerical ones."""
    try:
        planted = find(programs)
    except UsageError as error:
        raise click.UsageError(str(error)) from None
    rows = compare(planted, limit=limit, faults=faults, draws=draws)
    if as_json:
        click.echo(dumps([asdict(row) for row in rows]))
        return
    click.echo(shown(rows))


if __name__ == "__main__":
    main()
