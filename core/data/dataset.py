"""The data set on disk: a folder of byte arrays, what they are, and where each row came from.

::

    train/pixels.npy   (m, h, w, c) uint8        valid/pixels.npy        and, where it was asked for,
    train/labels.npy   (m,) uint8, 0 or 1        valid/labels.npy        the same in test/
    dataset.json       classes, size, features, counts, how it was made, hash
    manifest.jsonl     one line per file seen, the used ones of a split in the order of its rows
"""

import hashlib
import json
import math
import os
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from handgrad.data.example import SPLITS, Example, Skipped, Split
from handgrad.data.features import Features
from handgrad.data.npy import GrowingNpy
from handgrad.errors import DataError, UsageError, reason_of

FORMAT = 1
_REMEDY = "make it again with: handgrad prepare"


class Examples(NamedTuple):
    """One split: X (n, m) uint8, one column per example, read only and read from disk as needed; Y (1, m) uint8."""

    X: NDArray[np.uint8]
    Y: NDArray[np.uint8]


@dataclass(frozen=True)
class Dataset:
    """A data set that ``prepare`` wrote.

    Attributes:
        path: its folder.
        classes: names of class 0 and class 1.
        size: (h, w, c) of an example; n = h w c.
        features: what of a photograph an example is.
        hash: sha256 of the shape, pixels and labels of all splits: equal exactly when the examples are.
        train: the examples to learn from.
        valid: the examples kept for validation, perhaps none (m = 0): to choose by.
        test: the examples kept apart until all is chosen, perhaps none.
    """

    path: Path
    classes: tuple[str, str]
    size: tuple[int, int, int]
    features: Features
    hash: str
    train: Examples = field(repr=False)
    valid: Examples = field(repr=False)
    test: Examples = field(repr=False)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "Dataset":
        """Opens a data set, checking that its files agree with each other; pixels stay on disk.

        Raises:
            DataError: a file is missing, damaged or contradicts dataset.json, or a later format.
        """
        path = Path(path)
        about = _read_description(path / "dataset.json")
        size = (about["size"][0], about["size"][1], about["size"][2])
        features = _features(path / "dataset.json", about)
        train, valid = (_read_examples(path / split, size, about["counts"][split]) for split in SPLITS)
        if "test" in about["counts"]:
            test = _read_examples(path / "test", size, about["counts"]["test"])
        else:
            test = Examples(train.X[:, :0], train.Y[:, :0])
        classes = about["classes"][0], about["classes"][1]
        return cls(path, classes, size, features, about["hash"], train, valid, test)

    def names(self, split: Split) -> list[str]:
        """Where each example of a split came from, in the order of its columns.

        Raises:
            DataError: manifest.jsonl is missing, damaged, or names another number of examples.
        """
        if split not in (*SPLITS, "test"):
            raise UsageError(f"split: found {split!r}; expected 'train', 'valid' or 'test'")
        manifest, names = self.path / "manifest.jsonl", []
        try:
            with manifest.open(encoding="utf-8") as file:
                for line in file:
                    entry = json.loads(line)
                    if entry["status"] == "used" and entry["split"] == split:
                        names.append(str(entry["path"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{manifest}: cannot be read: {reason_of(error)}; {_REMEDY}") from None
        m = getattr(self, split).Y.shape[1]
        if len(names) != m:
            raise DataError(f"{manifest}: names {len(names):,} {split} examples; expected {m:,}; {_REMEDY}")
        return names


class DatasetWriter:
    """Writes a data set into an empty folder, one example at a time; ``finish`` makes it one.

    Attributes:
        counts: of each split, how many examples of class 0 and of class 1 were added.
    """

    def __init__(
        self, folder: Path, classes: tuple[str, str], features: Features, size: tuple[int, int, int], *, test: bool
    ) -> None:
        self.folder, self.classes, self.features, self.size = folder, classes, features, size
        self.counts: dict[Split, list[int]] = {split: [0, 0] for split in SPLITS}
        if test:
            self.counts["test"] = [0, 0]
        self._files = ExitStack()
        with ExitStack() as files:
            self._manifest = files.enter_context((folder / "manifest.jsonl").open("w", encoding="utf-8", newline="\n"))
            self._pixels: dict[Split, GrowingNpy] = {}
            self._labels: dict[Split, GrowingNpy] = {}
            for split in self.counts:
                (folder / split).mkdir()
                self._pixels[split] = files.enter_context(GrowingNpy(folder / split / "pixels.npy", size))
                self._labels[split] = files.enter_context(GrowingNpy(folder / split / "labels.npy", ()))
            self._files = files.pop_all()

    def add(self, example: Example) -> None:
        """Appends an example to its split."""
        self._pixels[example.split].append(example.pixels)
        self._labels[example.split].append(np.array(example.label, np.uint8))
        self.counts[example.split][example.label] += 1
        self._note(
            path=example.name,
            status="used",
            reason=None,
            label=example.label,
            split=example.split,
            width=example.width,
            height=example.height,
            **{"class": self.classes[example.label]},
        )

    def skip(self, skipped: Skipped) -> None:
        """Notes a file that gave no example."""
        self._note(path=skipped.name, status="skipped", reason=skipped.reason, **{"class": skipped.class_name})

    def finish(self, **origin: object) -> str:
        """Completes the files.

        Args:
            origin: how the data set was made, noted in dataset.json.

        Returns:
            The hash.
        """
        self._files.close()
        digest = hashlib.sha256()
        for split in self.counts:
            pixels, labels = self._pixels[split], self._labels[split]
            digest.update(f"{split} {(pixels.rows, *self.size)}".encode())
            digest.update(pixels.sha256.digest() + labels.sha256.digest())
        about = {
            "format": FORMAT,
            "classes": self.classes,
            "size": self.size,
            "features": self.features.kind,
            "photograph": self.features.photograph,
            "counts": self.counts,
            "hash": digest.hexdigest(),
            **origin,
        }
        (self.folder / "dataset.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        return digest.hexdigest()

    def __enter__(self) -> "DatasetWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.__exit__(kind, error, trace)

    def _note(self, **entry: object) -> None:
        blank = dict.fromkeys(("path", "status", "reason", "class", "label", "split", "width", "height"))
        self._manifest.write(json.dumps(blank | entry) + "\n")


def _read_description(path: Path) -> dict[str, Any]:
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: not found; expected a data set's folder; make one with: handgrad prepare") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {reason_of(error)}; {_REMEDY}") from None

    version = about.get("format") if isinstance(about, dict) else None
    if isinstance(version, int) and version > FORMAT:
        raise DataError(f"{path}: found format {version}; this handgrad reads {FORMAT}; upgrade handgrad")
    expected = {
        "format": version == FORMAT,
        "classes": _is_list(about, "classes", str, 2),
        "size": _is_list(about, "size", int, 3) and min(about["size"]) > 0,
        "hash": version == FORMAT and isinstance(about.get("hash"), str),
        "counts": version == FORMAT
        and isinstance(about.get("counts"), dict)
        and all(_is_list(about["counts"], split, int, 2) for split in (*SPLITS, *about["counts"])),
    }
    for key, holds in expected.items():
        if not holds:
            found = json.dumps(about.get(key))[:60] if isinstance(about, dict) else "no object"
            raise DataError(f"{path}: found {key} {found}, which no data set has; {_REMEDY}")
    return dict(about)


def _features(path: Path, about: dict[str, Any]) -> Features:
    """As they were before there was a choice, where nothing is said."""
    size = about["size"]
    try:
        return Features.read(about.get("features", "pixels"), about.get("photograph", size[:2]), tuple(size))
    except ValueError as error:
        raise DataError(f"{path}: found {error}; {_REMEDY}") from None


def _is_list(about: object, key: str, kind: type, length: int) -> bool:
    values = about.get(key) if isinstance(about, dict) else None
    return isinstance(values, list) and len(values) == length and all(type(value) is kind for value in values)


def _read_examples(folder: Path, size: tuple[int, int, int], counts: list[int]) -> Examples:
    m = sum(counts)
    pixels = _map_bytes(folder / "pixels.npy", (m, *size))
    labels = np.array(_map_bytes(folder / "labels.npy", (m,)))
    found = [int((labels == label).sum()) for label in (0, 1)]
    if found != counts:
        raise DataError(
            f"{folder / 'labels.npy'}: found {found[0]:,} zeros, {found[1]:,} ones and {m - sum(found):,} others; "
            f"expected {counts[0]:,} zeros and {counts[1]:,} ones; {_REMEDY}"
        )
    return Examples(pixels.reshape(m, math.prod(size)).T, labels[np.newaxis])


def _map_bytes(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise DataError(f"{path}: not found; {_REMEDY}") from None
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: cannot be read: {reason_of(error)}; {_REMEDY}") from None
    if not isinstance(array, np.memmap):
        raise DataError(f"{path}: found an archive; expected one array; {_REMEDY}")
    if array.shape != shape or array.dtype != np.uint8 or not array.flags.c_contiguous:
        raise DataError(f"{path}: found {array.shape} {array.dtype}; expected {shape} uint8; {_REMEDY}")
    return np.asarray(array)
