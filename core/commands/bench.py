"""Backends, timed: bench."""

from functools import partial
from pathlib import Path
from typing import Any

import click

from handgrad.backend import DTYPES, LOSSES
from handgrad.benchmarks.settings import Settings
from handgrad.commands.options import DATA, PATH, OfKind, examples, of_backends, setting
from handgrad.errors import UsageError
from handgrad.jsonable import dumps
from handgrad.table import table

RESULT = OfKind("a result of handgrad bench")

_setting = partial(setting, of=Settings)


@click.command(
    epilog=examples(
        "handgrad bench --json bench.json --html bench.html",
        "handgrad bench --backends numba,numpy,torch,jax,article,torch_eager,jax_plain,sklearn --examples 5000",
        "handgrad bench --backends numpy,mine.py --examples 1000",
        "handgrad bench --compare old.json new.json --fail-above 1.1",
    )
)
@of_backends("arms", default=Settings.arms, show_default=",".join(Settings.arms), help="Arms, with commas.")
@_setting("device", type=click.Choice(["cpu", "cuda"]))
@_setting("features", help="n, or several with commas.")
@_setting("examples", help="m, or several with commas.")
@_setting("dtype", type=click.Choice(DTYPES))
@_setting("input", type=click.Choice(["uint8", "float32"]))
@_setting("loss", type=click.Choice(LOSSES))
@_setting("rounds", type=click.IntRange(min=5))
@click.option("--threads", type=click.IntRange(min=1), help="Of each arm.  [default: one for each core]")
@click.option("--data", type=DATA, help="A data set, repeated to fill; else random bytes.")
@_setting("seed", type=click.IntRange(min=0), help="Of the bytes and the order.")
@click.option("--json", "json_file", type=PATH, help="Write all samples to this new file.")
@click.option("--html", "html_file", type=PATH, help="Write a page with plots to this new file.")
@click.option("--compare", "compared", nargs=2, type=RESULT, help="Two results: OLD.json NEW.json.")
@click.option("--fail-above", type=float, default=1.1, show_default=True, help="With --compare: new / old.")
def bench(
    arms: list[str],
    features: str,
    examples: str,
    threads: int | None,
    json_file: Path | None,
    html_file: Path | None,
    compared: tuple[Path, Path] | None,
    fail_above: float,
    **options: Any,
) -> None:
    """Time the full-batch step of backends, honestly.

    Each arm is checked against float64, lives in its own process and takes its turn in every round, in random order.
    What is shown: the step with its 95 % interval, how it compares with the fastest in paired rounds, and with the time
    that memory needs to deliver X once or twice; placing, compiling and the first call, each by itself; peak memory.
    """
    from handgrad.benchmarks import bench as benchmark
    from handgrad.benchmarks import machine
    from handgrad.store import must_be_new

    if compared:
        _compare_results(benchmark.load(compared[0]), benchmark.load(compared[1]), fail_above)
        return
    files = [path for path in (json_file, html_file) if path is not None]
    for path in files:
        must_be_new(path)
    if len({path.absolute() for path in files}) < len(files):
        raise UsageError(f"--html {html_file}: found it as --json, too; give each its own name")
    available = machine.cores()
    if threads is not None and threads > available:
        raise UsageError(f"threads is {threads}; expected at most {available}, the cores that there are")
    settings = Settings(
        arms=tuple(arms),
        features=_numbers("features", features),
        examples=_numbers("examples", examples),
        threads=threads or available,
        **options,
    )
    written = False

    def keep(result: dict[str, Any]) -> None:
        nonlocal written
        if json_file is not None:
            benchmark.write(json_file, dumps(result, indent=1), replacing=written)
            written = True

    result = benchmark.run(settings, keep)
    click.echo(benchmark.report(result))
    if html_file is not None:
        from handgrad.benchmarks.page import page

        benchmark.write(html_file, page(result))
    click.echo(
        "\nnext: handgrad bench --compare OLD.json NEW.json" if json_file else "\nnext: handgrad bench --json FILE"
    )
    if any(row["refused"] for size in result["sizes"] for row in size["arms"]):
        click.get_current_context().exit(1)


def _numbers(name: str, text: str) -> tuple[int, ...]:
    try:
        numbers = tuple(int(word) for word in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 1:
        raise UsageError(f"{name} is {text!r}; expected whole numbers above 0, with commas between them")
    return numbers


def _compare_results(old: dict[str, Any], new: dict[str, Any], fail_above: float) -> None:
    from handgrad.benchmarks.bench import changes, refusals

    for key in "cpu", "threads":
        if old["environment"][key] != new["environment"][key]:
            click.echo(f"note: {key} was {old['environment'][key]} and is {new['environment'][key]}", err=True)
    found = changes(old, new)
    if not found:
        raise UsageError("the two results have no arm and size in common; expected runs of the same command")
    rows = [
        [
            row["arm"],
            f"{row['features']:,}",
            f"{row['examples']:,}",
            f"{row['ratio']:.3f}",
            f"{row['interval'][0]:.3f} to {row['interval'][1]:.3f}",
            row["verdict"],
        ]
        for row in found
    ]
    click.echo(table(["arm", "n", "m", "new / old", "95 % interval", "verdict"], *rows))
    for refused in refusals(new):
        click.echo(f"in the new result: {refused}", err=True)
    if any(row["interval"][0] > fail_above for row in found):
        click.echo(f"slower than {fail_above} times", err=True)
        click.get_current_context().exit(1)
