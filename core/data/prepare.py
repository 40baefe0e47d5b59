"""From photographs, or arrays, to a data set on disk."""

import hashlib
import itertools
import os
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import PIL
from tqdm import tqdm

from handgrad.bars import hidden
from handgrad.data.arrays import Arrays, holds_arrays, open_arrays, write_npz
from handgrad.data.dataset import DatasetWriter
from handgrad.data.example import SPLITS, Example, Skipped, Split, composed
from handgrad.data.features import Features
from handgrad.data.parallel import ordered_map
from handgrad.data.photograph import MAX_PIXELS, RESAMPLING, Photograph, Unreadable, decode, quiet_pillow
from handgrad.data.source import File, Found, open_source
from handgrad.data.split import split_of, stratified_order
from handgrad.data.summary import Summary, Tally
from handgrad.errors import DataError, UsageError, reason_of
from handgrad.store import new_folder
from handgrad.version import __version__

DEFAULT_SIZE = 64
DEFAULT_VALIDATION = 0.2
TOGETHER = 4
"""Photographs that a thread decodes before it is asked again."""


class _Asked(NamedTuple):
    """What was asked for: the arguments of `prepare`."""

    source: Path
    size: int | None
    validation: float | None
    test: float | None
    features: str | None
    exact: bool
    seed: int
    positive: str | None
    limit: int | None
    share: tuple[int, int] | None


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
    part: dict[str, object] | None = None


def prepare(
    source: str | os.PathLike[str],
    data: str | os.PathLike[str],
    *,
    size: int | None = None,
    validation: float | None = None,
    test: float | None = None,
    features: str | None = None,
    exact: bool = False,
    seed: int = 0,
    positive: str | None = None,
    limit: int | None = None,
    share: tuple[int, int] | None = None,
    strict: bool = False,
    npz: bool = False,
    progress: bool = False,
) -> Summary:
    """Makes a data set of two classes, on all cores, in memory that grows by a few hundred bytes an example.

    Photographs are taken in a random order in which every prefix is stratified, decoded and resized as by
    ``read_photograph``, and split: of each class, floor(test c) of its c photographs are for the test, and of the r
    others floor(r validation / (1 - test)) for validation. That counts those that turn out to be unreadable: the place
    in the order decides, so that they leave all others where they are. Arrays (see ``open_arrays``) keep their size,
    their split and their order.

    With a share (K, N), what is made is a part, by itself no data set: of N stretches of the order, alike in length,
    the K-th. ``merge`` joins all parts to the very data set that is made without.

    Args:
        source: a folder or a zip with ``class.anything.jpg`` files or with one subfolder per class; or a folder
            with train.npz and valid.npz, or with train_*.h5 and test_*.h5. It is not changed.
        data: the folder to make, absent or empty; it appears when it is whole.
        size: side of the square that photographs are resized to, in pixels; 64 by default.
        validation: share of each class for validation, 0 <= validation < 1; 0.2 by default.
        test: share of each class to be kept apart from all choices, 0 <= test < 1 - validation; none by default.
        features: "pixels", the default, "gray" or "hog" (see ``Features``).
        exact: decode JPEGs whole and interpolate all pixels (see ``read_photograph``): closer to the last bit, slower.
        seed: of the random order of photographs.
        positive: the name of class 1; by default the second name in alphabetical order, or the arrays' own class 1.
            Two subfolders that hold the same subfolders or prefixes, or are named as splits, are classes only so.
        limit: take only so many photographs, readable or not.
        share: K and N, to make part K of N, 1 <= K <= N, of the data set that all other arguments describe.
        strict: a file that would be skipped is an error.
        npz: also write article 1's train.npz and valid.npz into ``data``.
        progress: show a progress bar on stderr, if that is a terminal.

    Returns:
        What was found and made.

    Raises:
        UsageError: an argument is out of range or does not apply, source is absent, data is taken.
        DataError: the source has no two classes, a class has no readable photograph to train on (which a part may
            lack), an array is wrong.
        MissingExtraError: source is HDF5 and h5py is not installed, or features are "hog" and scikit-image is not.
    """
    tally, source, data = Tally(), Path(source).expanduser(), Path(data).expanduser()
    if validation is None and not holds_arrays(source):
        validation = DEFAULT_VALIDATION
    positive = positive and composed(positive)
    asked = _Asked(source, size, validation, test, features, exact, seed, positive, limit, share)
    _check(asked)
    if npz and (test or features not in (None, "pixels")):
        raise UsageError(
            "npz: found it beside test or features; article 1's files have pixels to train and to validate on"
        )
    if npz and share:
        raise UsageError("npz: found it beside share; a part is no data set yet; leave it out")
    if data.resolve().is_relative_to(source.resolve()) and not holds_arrays(source):
        raise UsageError(f"{data}: lies inside {source}, which is not changed; expected a folder beside it")
    with _planned(asked) as plan, new_folder(data) as folder:
        bar = tqdm(total=plan.total, unit=" examples", disable=hidden(progress))
        made = DatasetWriter(folder, plan.classes, plan.features, plan.size, test=plan.test)
        with quiet_pillow(), made as writer, closing(plan.items), bar:
            for item in plan.items:
                if isinstance(item, Example):
                    tally.add(item.split, writer.add(item), item.name, (item.width, item.height))
                    bar.update()
                    continue
                if strict:
                    raise DataError(f"{source}: {item.name}: {item.reason}; remove it, or prepare without strict")
                writer.skip(item)
                tally.skipped.append(item)
            counts = {split: (zeros, ones) for split, (zeros, ones) in writer.counts.items()}
            if share is None:
                must_be_trainable(source, plan.classes, counts, tally.skipped, limit)
            content = writer.finish(plan.part, **plan.origin)
        if npz:
            for split in SPLITS:
                write_npz(folder / split / "pixels.npy", folder / split / "labels.npy", folder / f"{split}.npz")
    found = {name: getattr(plan, name) for name in ("source", "classes", "found", "size")}
    return tally.summary(data, plan.features, **found, counts=counts, hash=content, share=share)


def must_be_trainable(
    source: Path,
    classes: tuple[str, str],
    counts: Mapping[Split, Sequence[int]],
    skipped: Sequence[Skipped],
    limit: int | None,
) -> None:
    """Raise a DataError where a class has no example to train on."""
    for name, count in zip(classes, counts["train"], strict=True):
        if count == 0:
            unread = f"; skipped {skipped[0].name}: {skipped[0].reason}" if skipped else ""
            few = "" if limit is None else f" with limit {limit}"
            raise DataError(f"{source}: found no {name} to train on{few}{unread}; expected both classes")


def _check(asked: _Asked) -> None:
    source, size, validation, test, _, _, seed, _, limit, share = asked
    if not source.exists():
        raise UsageError(f"{source}: not found; expected a folder or a zip of photographs, or a folder of arrays")
    if size is not None and not (size >= 1 and size * size <= MAX_PIXELS):
        raise UsageError(f"size: found {size}; expected 1 to {int(MAX_PIXELS**0.5):,} pixels")
    for name, apart in ("validation", validation), ("test", test):
        if apart is not None and not 0 <= apart < 1:
            raise UsageError(f"{name}: found {apart}; expected a share from 0 to below 1, as 0.2")
    if (validation or 0) + (test or 0) >= 1:
        raise UsageError(f"test: found {test} beside validation {validation}; expected to keep some to train on")
    if seed < 0:
        raise UsageError(f"seed: found {seed}; expected 0 or more")
    if limit is not None and limit < 1:
        raise UsageError(f"limit: found {limit}; expected 1 or more")
    if share is not None and not 1 <= share[0] <= share[1]:
        raise UsageError(f"share: found {share[0]}/{share[1]}; expected K/N with K from 1 to N, as 2/8")


@contextmanager
def _planned(asked: _Asked) -> Iterator[_Plan]:
    source, share = asked.source, asked.share
    if holds_arrays(source):
        of_photographs = asked._asdict() | {"share": share and f"{share[0]}/{share[1]}", "exact": asked.exact or None}
        for name in "size", "validation", "test", "features", "exact", "limit", "share":
            if (value := of_photographs[name]) is not None:
                raise UsageError(f"{name}: found {value} for {source}; arrays are taken as they are; leave {name} out")
        with open_arrays(source) as arrays:
            yield _plan_arrays(arrays, _ordered(arrays.classes, asked.positive))
        return
    side = DEFAULT_SIZE if asked.size is None else asked.size
    shown = Features(asked.features or "pixels", (side, side), asked.exact)
    shown.check()
    with open_source(source, asked.positive) as photographs:
        yield _plan_photographs(photographs, _ordered(photographs.classes, asked.positive), shown, asked)


def _ordered(classes: tuple[str, str], positive: str | None) -> tuple[str, str]:
    if positive is not None and positive not in classes:
        raise UsageError(f"positive: found {positive!r}; expected {classes[0]!r} or {classes[1]!r}")
    return (classes[1], classes[0]) if positive == classes[0] else classes


def _plan_photographs(found: Found, classes: tuple[str, str], features: Features, asked: _Asked) -> _Plan:
    validation, test, share = asked.validation or 0.0, asked.test or 0.0, asked.share
    # Grouped by name, not by label: positive changes labels and leaves the split as it is.
    groups = [[file for file in found.files if file.class_name == name] for name in found.classes]
    kept_apart = Fraction(str(validation)), Fraction(str(test))
    order = stratified_order(groups, asked.seed)[: asked.limit]
    k, n = share or (1, 1)
    first, last = (len(order) * i // n for i in (k - 1, k))  # a stretch: the parts in order are the whole in order
    before = Counter(file.class_name for file in order[:first])
    places = {name: itertools.count(before[name]) for name in classes}

    def items() -> Generator[Example | Skipped]:
        if k == 1:
            yield from found.skipped
        for file, photograph in ordered_map(lambda file: _photograph(file, features), order[first:last], TOGETHER):
            split = split_of(next(places[file.class_name]), *kept_apart)
            if isinstance(photograph, Unreadable):
                yield Skipped(file.name, str(photograph), file.class_name)
                continue
            label = classes.index(file.class_name)
            yield Example(file.name, photograph.pixels, label, split, photograph.width, photograph.height)

    counts = {name: len(group) for name, group in zip(found.classes, groups, strict=True)}
    of_each = counts[classes[0]], counts[classes[1]]
    return _Plan(
        found.kind,
        classes,
        of_each,
        features,
        features.size,
        test > 0,
        last - first,
        items(),
        {
            "source": found.kind,
            "resampling": RESAMPLING.name.lower(),
            "seed": asked.seed,
            "validation": validation,
            "test": test,
            "limit": asked.limit,
            "handgrad": __version__,
            "pillow": PIL.__version__,
        },
        share
        and {
            "share": share,
            "found": of_each,
            "names": hashlib.sha256("\n".join(file.name for file in found.files).encode()).hexdigest(),
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
            photograph = decode(opened, features.photograph, exact=features.exact)
    except Unreadable as fault:
        return fault
    except Exception as error:  # a disk's or a damaged zip's
        return Unreadable(f"cannot be read: {reason_of(error)}")
    return photograph._replace(pixels=features.of(photograph.pixels))
