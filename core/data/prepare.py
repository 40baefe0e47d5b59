"""From photographs, or arrays, to a data set on disk."""

import hashlib
import os
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from handgrad.data.arrays import Arrays, holds_arrays, open_arrays, write_npz
from handgrad.data.dataset import DatasetWriter
from handgrad.data.example import SPLITS, Example, Skipped, Split
from handgrad.data.features import Features
from handgrad.data.parallel import ordered_map
from handgrad.data.photograph import MAX_PIXELS, RESAMPLING, Photograph, Unreadable, decode, quiet_pillow
from handgrad.data.source import File, Found, open_source
from handgrad.data.split import split_of, stratified_order
from handgrad.data.summary import Sizes, Summary
from handgrad.errors import DataError, UsageError, reason_of
from handgrad.store import new_folder
from handgrad.version import __version__

DEFAULT_SIZE = 64
DEFAULT_VALIDATION = 0.2


class _Plan(NamedTuple):
    """What will be made of a source, and the stream that makes it."""

    source: str
    classes: tuple[str, str]
    found: tuple[int, int]
    features: Features
    size: tuple[int, int, int]
    test: bool
    total: int
    items: Generator[Example | Skipped]
    origin: dict[str, object]


def prepare(
    source: str | os.PathLike[str],
    data: str | os.PathLike[str],
    *,
    size: int | None = None,
    validation: float | None = None,
    test: float | None = None,
    features: str | None = None,
    seed: int = 0,
    positive: str | None = None,
    limit: int | None = None,
    strict: bool = False,
    npz: bool = False,
    progress: bool = False,
) -> Summary:
    """Makes a data set of two classes, on all cores, in memory that grows by a few hundred bytes an example.

    Photographs are taken in a random order in which every prefix is stratified, decoded and resized as by
    ``read_photograph``, and split: of each class, floor(test c) of its c readable photographs are for the test, and of
    the r others floor(r validation / (1 - test)) for validation. Arrays (see ``open_arrays``) keep their size, their
    split and their order.

    Args:
        source: a folder or a zip with ``class.anything.jpg`` files or with one subfolder per class; or a folder
            with train.npz and valid.npz, or with train_*.h5 and test_*.h5. It is not changed.
        data: the folder to make, absent or empty; it appears when it is whole.
        size: side of the square that photographs are resized to, in pixels; 64 by default.
        validation: share of each class for validation, 0 <= validation < 1; 0.2 by default.
        test: share of each class to be kept apart from all choices, 0 <= test < 1 - validation; none by default.
        features: "pixels", the default, "gray" or "hog" (see ``Features``).
        seed: of the random order of photographs.
        positive: the name of class 1; by default the second name in alphabetical order, or the arrays' own class 1.
        limit: take only so many photographs, readable or not.
        strict: a file that would be skipped is an error.
        npz: also write article 1's train.npz and valid.npz into ``data``.
        progress: show a progress bar on stderr, if that is a terminal.

    Returns:
        What was found and made.

    Raises:
        UsageError: an argument is out of range or does not apply, source is absent, data is taken.
        DataError: the source has no two classes, a class has no readable photograph, an array is wrong.
        MissingExtraError: source is HDF5 and h5py is not installed, or features are "hog" and scikit-image is not.
    """
    started = time.perf_counter()
    source, data = Path(source), Path(data)
    if validation is None and not holds_arrays(source):
        validation = DEFAULT_VALIDATION
    _check(source, size, validation, test, seed, limit)
    if npz and (test or features not in (None, "pixels")):
        raise UsageError(
            "npz: found it beside test or features; article 1's files have pixels to train and to validate on"
        )
    if data.resolve().is_relative_to(source.resolve()) and not holds_arrays(source):
        raise UsageError(f"{data}: lies inside {source}, which is not changed; expected a folder beside it")
    skipped: list[Skipped] = []
    sizes: list[tuple[int, int]] = []
    seen: dict[Split, dict[bytes, str]] = {split: {} for split in (*SPLITS, "test")}
    with (
        _planned(source, size, validation, test, features, seed, positive, limit) as plan,
        new_folder(data) as folder,
    ):
        bar = tqdm(total=plan.total, unit=" examples", disable=None if progress else True)
        with quiet_pillow(), _writer(folder, plan) as writer, closing(plan.items), bar:
            for item in plan.items:
                if isinstance(item, Example):
                    writer.add(item)
                    seen[item.split].setdefault(hashlib.sha256(item.pixels.tobytes()).digest(), item.name)
                    sizes.append((item.width, item.height))
                    bar.update()
                    continue
                if strict:
                    raise DataError(f"{source}: {item.name}: {item.reason}; remove it, or prepare without strict")
                writer.skip(item)
                skipped.append(item)
            counts = {split: (zeros, ones) for split, (zeros, ones) in writer.counts.items()}
            for name, count in zip(plan.classes, counts["train"], strict=True):
                if count == 0:
                    unread = f"; skipped {skipped[0].name}: {skipped[0].reason}" if skipped else ""
                    few = "" if limit is None else f" with limit {limit}"
                    raise DataError(f"{source}: found no {name} to train on{few}{unread}; expected both classes")
            content = writer.finish(**plan.origin)
        if npz:
            for split in SPLITS:
                write_npz(folder / split / "pixels.npy", folder / split / "labels.npy", folder / f"{split}.npz")
    height, width = plan.features.photograph
    return Summary(
        path=data,
        source=plan.source,
        classes=plan.classes,
        found=plan.found,
        counts=counts,
        size=plan.size,
        features=plan.features,
        sizes=Sizes.of(sizes, (width, height)),
        skipped=tuple(skipped),
        duplicates=tuple(
            (name, seen[other][same])
            for split, other in combinations(seen, 2)
            for same, name in seen[split].items()
            if same in seen[other]
        ),
        hash=content,
        bytes=sum(path.stat().st_size for path in data.rglob("*") if path.is_file()),
        seconds=time.perf_counter() - started,
    )


def _writer(folder: Path, plan: _Plan) -> DatasetWriter:
    return DatasetWriter(folder, plan.classes, plan.features, plan.size, test=plan.test)


def _check(
    source: Path, size: int | None, validation: float | None, test: float | None, seed: int, limit: int | None
) -> None:
    if not source.exists():
        raise UsageError(f"{source}: not found; expected a folder or a zip of photographs, or a folder of arrays")
    if size is not None and not (size >= 1 and size * size <= MAX_PIXELS):
        raise UsageError(f"size: found {size}; expected 1 to {int(MAX_PIXELS**0.5):,} pixels")
    for name, share in ("validation", validation), ("test", test):
        if share is not None and not 0 <= share < 1:
            raise UsageError(f"{name}: found {share}; expected a share from 0 to below 1, as 0.2")
    if (validation or 0) + (test or 0) >= 1:
        raise UsageError(f"test: found {test} beside validation {validation}; expected to keep some to train on")
    if seed < 0:
        raise UsageError(f"seed: found {seed}; expected 0 or more")
    if limit is not None and limit < 1:
        raise UsageError(f"limit: found {limit}; expected 1 or more")


@contextmanager
def _planned(
    source: Path,
    size: int | None,
    validation: float | None,
    test: float | None,
    features: str | None,
    seed: int,
    positive: str | None,
    limit: int | None,
) -> Iterator[_Plan]:
    if holds_arrays(source):
        for name, value in {
            "size": size,
            "validation": validation,
            "test": test,
            "features": features,
            "limit": limit,
        }.items():
            if value is not None:
                raise UsageError(f"{name}: found {value} for {source}; arrays are taken as they are; leave {name} out")
        with open_arrays(source) as arrays:
            yield _plan_arrays(arrays, _ordered(arrays.classes, positive))
        return
    side = DEFAULT_SIZE if size is None else size
    shown = Features(features or "pixels", (side, side))
    shown.check()
    with open_source(source) as photographs:
        yield _plan_photographs(
            photographs,
            _ordered(photographs.classes, positive),
            shown,
            validation or 0.0,
            test or 0.0,
            seed,
            limit,
        )


def _ordered(classes: tuple[str, str], positive: str | None) -> tuple[str, str]:
    if positive is not None and positive not in classes:
        raise UsageError(f"positive: found {positive!r}; expected {classes[0]!r} or {classes[1]!r}")
    return (classes[1], classes[0]) if positive == classes[0] else classes


def _plan_photographs(
    found: Found,
    classes: tuple[str, str],
    features: Features,
    validation: float,
    test: float,
    seed: int,
    limit: int | None,
) -> _Plan:
    # Grouped by name, not by label: positive changes labels and leaves the split as it is.
    groups = [[file for file in found.files if file.class_name == name] for name in found.classes]
    files = stratified_order(groups, seed)[:limit]
    shares = Fraction(str(validation)), Fraction(str(test))

    def items() -> Generator[Example | Skipped]:
        yield from found.skipped
        readable = dict.fromkeys(classes, 0)
        for file, photograph in ordered_map(lambda file: _photograph(file, features), files):
            if isinstance(photograph, Unreadable):
                yield Skipped(file.name, str(photograph), file.class_name)
                continue
            name = file.class_name
            split = split_of(readable[name], *shares)
            readable[name] += 1
            yield Example(file.name, photograph.pixels, classes.index(name), split, photograph.width, photograph.height)

    counts = {name: len(group) for name, group in zip(found.classes, groups, strict=True)}
    return _Plan(
        found.kind,
        classes,
        (counts[classes[0]], counts[classes[1]]),
        features,
        features.size,
        test > 0,
        len(files),
        items(),
        {
            "source": found.kind,
            "resampling": RESAMPLING.name.lower(),
            "seed": seed,
            "validation": validation,
            "test": test,
            "limit": limit,
            "handgrad": __version__,
        },
    )


def _plan_arrays(arrays: Arrays, classes: tuple[str, str]) -> _Plan:
    swapped = classes != arrays.classes

    def items() -> Generator[Example | Skipped]:
        for example in arrays.examples():
            yield example._replace(label=example.label ^ swapped)

    return _Plan(
        arrays.kind,
        classes,
        arrays.found[::-1] if swapped else arrays.found,
        Features("pixels", arrays.size[:2]),
        arrays.size,
        False,
        sum(arrays.found),
        items(),
        {"source": arrays.kind, "handgrad": __version__},
    )


def _photograph(file: File, features: Features) -> Photograph | Unreadable:
    try:
        with file.open() as opened:
            photograph = decode(opened, features.photograph)
    except Unreadable as fault:
        return fault
    except Exception as error:  # a disk's or a damaged zip's
        return Unreadable(f"cannot be read: {reason_of(error)}")
    return photograph._replace(pixels=features.of(photograph.pixels))
