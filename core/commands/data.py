"""Photographs to a data set: prepare, merge."""

from pathlib import Path
from typing import Any

import click

from handgrad.commands.options import DATA, OfKind, Parsed, as_json, examples, of_new_data
from handgrad.commands.output import print_json, say_left, word

MADE = r"(train|valid|test)(/(pixels(-\d+)?|labels)\.npy)?|(train|valid)\.npz|dataset\.json|manifest\.jsonl"
"""What a data set consists of."""


def _share(word: str) -> tuple[int, int]:
    k, n = map(int, word.split("/"))
    return k, n


SHARE = Parsed("K/N", _share, "no share; expected K/N, as 2/8")


@click.command(
    epilog=examples(
        "handgrad prepare photographs/ data/",
        "handgrad prepare train.zip data/ --size 64 --validation 0.2 --positive cat",
        "handgrad prepare photographs/ data/ --features hog --size 128 --test 0.2",
        "handgrad prepare photographs/ parts/2 --share 2/8",
    )
)
@click.argument("source", type=OfKind("a folder", "a zip"))
@of_new_data
@click.option("--size", type=int, help="Side of the square that photographs are resized to.  [default: 64]")
@click.option("--validation", type=float, help="Share of each class kept for validation.  [default: 0.2]")
@click.option("--test", type=float, help="Share of each class kept apart until all is chosen.  [default: none]")
@click.option(
    "--features",
    type=click.Choice(["pixels", "gray", "hog"]),
    help="pixels; gray, their brightness; or hog, histograms of the directions of edges.  [default: pixels]",
)
@click.option("--exact", is_flag=True, help="Decode JPEGs whole and interpolate all pixels, which takes twice as long.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the random order and split.")
@click.option("--positive", metavar="CLASS", help="The name of class 1.  [default: the second in alphabetical order]")
@click.option("--limit", type=int, metavar="N", help="Take only N photographs, of both classes alike.")
@click.option("--share", type=SHARE, help="Make only part K of N, to be joined with: handgrad merge.")
@click.option("--strict", is_flag=True, help="A file that cannot be read is an error, not skipped.")
@click.option("--npz", is_flag=True, help="Also write train.npz and valid.npz, with arrays X and Y.")
@as_json
def prepare(source: Path, data: Path, as_json: bool, **options: Any) -> None:
    """Make a data set of photographs.

    DATA is the folder to make. SOURCE is a folder of cat.0.jpg dog.0.jpg ..., a folder with one
    subfolder per class, a zip of either, a folder with train.npz and valid.npz (arrays X and Y), or a folder with
    train_*.h5 and test_*.h5. It is never changed.
    """
    from handgrad.data import prepare

    say_left(data, MADE)
    summary = prepare(source, data, progress=True, **options)
    if as_json:
        print_json(summary.to_json())
    else:
        click.echo(summary.report())
        click.echo(
            f"\nnext: handgrad {f'train {word(data)} --run RUN' if summary.share is None else 'merge PART... DATA'}"
        )


@click.command(epilog=examples("handgrad merge parts/* data/", "handgrad merge parts/1 parts/2 parts/3 data/ --json"))
@click.argument("parts", metavar="PART...", type=DATA, nargs=-1, required=True)
@of_new_data
@as_json
def merge(parts: tuple[Path, ...], data: Path, as_json: bool) -> None:
    """Join what was prepared in shares.

    Each PART is a folder that handgrad prepare --share made, in any order. DATA is the folder to make: the data set
    that prepare makes without --share. All pixels are read and compared with what was prepared; none is copied, for
    the arrays of DATA are hard links to those of the parts. The parts are not changed, and may be deleted then.
    """
    from handgrad.data import merge

    say_left(data, MADE)
    summary = merge(parts, data, progress=True)
    if as_json:
        print_json(summary.to_json())
    else:
        click.echo(summary.report())
        click.echo(f"\nnext: handgrad train {word(data)} --run RUN")
