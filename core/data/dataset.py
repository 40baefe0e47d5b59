"""The data set on disk: a folder of byte arrays, what they are, and where each row came from.

::

    train/pixels.npy   (m, h, w, c) uint8        valid/pixels.npy        and, where it was asked for,
    train/labels.npy   (m,) uint8, 0 or 1        valid/labels.npy        the same in test/
    dataset.json       classes, size, features, counts, how it was made, hash
    manifest.jsonl     one line per file seen, the used ones of a split in the order of its rows

One that was merged has ``pixels-1.npy``, ``pixels-2.npy`` ... in place of ``pixels.npy``, and the rows of each in
dataset.json; a part of one says there what it is a part of.
"""

import errno
import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
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
from handgrad.examples import Joined

FORMAT = 1
_REMEDY = "make it again with: handgrad prepare"


class Examples(NamedTuple):
    """One split: X (n, m) uint8, one column per example, read only and read from disk as needed; Y (1, m) uint8.

    X of a merged data set is several arrays, `handgrad.examples.Joined`.
    """

    X: NDArray[np.uint8] | Joined
    Y: NDArray[np.uint8]


@dataclass(frozen=True)
class Dataset:
    """A data set that ``prepare`` or ``merge`` wrote.

    Attributes:
        path: its folder.
        classes: names of class 0 and class 1.
        size: (h, w, c) of an example; n = h w c.
        features: what of a photograph an example is.
        hash: sha256 of the shape, pixels and labels of all splits: equal exactly when the examples and their order are.
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
            DataError: a file is missing, damaged or contradicts dataset.json, or a later format; or it is only a part.
        """
        path = Path(path).expanduser()
        about = read_description(path)
        if "part" in about:
            k, n = about["part"]["share"]
            raise DataError(
                f"{path}: is part {k} of {n} of a data set; expected a whole one; "
                "join the parts with: handgrad merge PART... DATA"
            )
        classes, size, features = shown_by(path, about)
        splits = {split: read_examples(path, split, about) for split in about["counts"]}
        train = splits["train"]
        test = splits.get("test", Examples(train.X[:, :0], train.Y[:, :0]))
        return cls(path, classes, size, features, about["hash"], train, splits["valid"], test)

    def names(self, split: Split) -> list[str]:
        """Where each example of a split came from, in the order of its columns.

        Raises:
            DataError: manifest.jsonl is missing, damaged, or names another number of examples.
        """
        if split not in (*SPLITS, "test"):
            raise UsageError(f"split: found {split!r}; expected 'train', 'valid' or 'test'")
        used = read_manifest(self.path, {split: getattr(self, split).Y.shape[1]})[0]
        return [entry.name for entry in used[split]]


class Used(NamedTuple):
    """A line of the manifest: where an example came from, and its (width, height) before it was resized, in pixels."""

    name: str
    size: tuple[int, int]


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

    def add(self, example: Example) -> bytes:
        """Appends an example to its split, and returns the sha256 of its pixels."""
        digest = self._pixels[example.split].append(example.pixels)
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
        return digest

    def skip(self, skipped: Skipped) -> None:
        """Notes a file that gave no example."""
        self._note(path=skipped.name, status="skipped", reason=skipped.reason, **{"class": skipped.class_name})

    def finish(self, part: Mapping[str, object] | None = None, **origin: object) -> str:
        """Completes the files.

        Args:
            part: what it is a part of, if it is one, noted in dataset.json with the sha256 of each file.
            origin: how the data set was made, noted in dataset.json.

        Returns:
            The hash.
        """
        self._files.close()
        arrays = {
            f"{split}/{name}.npy": file.sha256.digest()
            for split in self.counts
            for name, file in (("pixels", self._pixels[split]), ("labels", self._labels[split]))
        }
        about = {
            "format": FORMAT,
            "classes": self.classes,
            "size": self.size,
            "features": self.features.kind,
            "photograph": self.features.photograph,
            "exact": self.features.exact,
            "counts": self.counts,
            "hash": content_hash(self.counts, self.size, arrays),
            **origin,
        }
        if part is not None:
            about["part"] = {
                **part,
                "arrays": {name: digest.hex() for name, digest in arrays.items()},
                "manifest": manifest_digest(self.folder),
            }
        write_description(self.folder, about)
        return str(about["hash"])

    def __enter__(self) -> "DatasetWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.__exit__(kind, error, trace)

    def _note(self, **entry: object) -> None:
        blank = dict.fromkeys(("path", "status", "reason", "class", "label", "split", "width", "height"))
        self._manifest.write(json.dumps(blank | entry) + "\n")


def manifest_digest(folder: Path) -> str:
    """The sha256 of manifest.jsonl."""
    with (folder / "manifest.jsonl").open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_hash(counts: Mapping[Split, Sequence[int]], size: tuple[int, int, int], arrays: Mapping[str, bytes]) -> str:
    """What `Dataset.hash` is; ``arrays`` holds of "train/pixels.npy" ... the sha256 of the sha256 of each row."""
    digest = hashlib.sha256()
    for split, of_each in counts.items():
        digest.update(f"{split} {(sum(of_each), *size)}".encode())
        digest.update(arrays[f"{split}/pixels.npy"] + arrays[f"{split}/labels.npy"])
    return digest.hexdigest()


def write_description(folder: Path, about: Mapping[str, object]) -> None:
    """Writes dataset.json."""
    (folder / "dataset.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def read_description(folder: Path) -> dict[str, Any]:
    """What dataset.json says, after the types of what is needed were found good.

    Raises:
        DataError: it is missing, damaged, or of a later format.
    """
    path = folder / "dataset.json"
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
        and about["counts"].keys() <= {*SPLITS, "test"}
        and all(_is_list(about["counts"], split, int, 2) for split in (*SPLITS, *about["counts"])),
        "rows": version == FORMAT and ("rows" not in about or _are_rows(about["rows"], about["counts"])),
        "part": version == FORMAT and ("part" not in about or _is_part(about["part"])),
    }
    for key, holds in expected.items():
        if not holds:
            found = json.dumps(about.get(key))[:60] if isinstance(about, dict) else "no object"
            raise DataError(f"{path}: found {key} {found}, which no data set has; {_REMEDY}")
    return dict(about)


def shown_by(folder: Path, about: dict[str, Any]) -> tuple[tuple[str, str], tuple[int, int, int], Features]:
    """Classes, size and features; these as they were before there was a choice, where nothing is said.

    Raises:
        DataError: there are no such features.
    """
    (zero, one), (height, width, channels) = about["classes"], about["size"]
    size = height, width, channels
    try:
        kind, photograph = about.get("features", "pixels"), about.get("photograph", [height, width])
        features = Features.read(kind, photograph, about.get("exact", True), size)
    except ValueError as error:
        raise DataError(f"{folder / 'dataset.json'}: found {error}; {_REMEDY}") from None
    return (zero, one), size, features


def read_manifest(folder: Path, counts: Mapping[Split, int]) -> tuple[dict[Split, list[Used]], list[Skipped]]:
    """What manifest.jsonl says: of some splits the examples, in the order of their rows; and the files that gave none.

    Args:
        folder: the data set's.
        counts: how many examples each of the splits has.

    Raises:
        DataError: it is missing, damaged, or names another number of examples.
    """
    path = folder / "manifest.jsonl"
    used: dict[Split, list[Used]] = {split: [] for split in counts}
    skipped = []
    try:
        with path.open(encoding="utf-8") as file:
            for entry in map(json.loads, file):
                if entry["status"] == "skipped":
                    skipped.append(Skipped(str(entry["path"]), str(entry["reason"]), entry["class"]))
                elif entry["split"] in used:
                    used[entry["split"]].append(Used(str(entry["path"]), (int(entry["width"]), int(entry["height"]))))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: cannot be read: {reason_of(error)}; {_REMEDY}") from None
    for split, m in counts.items():
        if len(used[split]) != m:
            raise DataError(f"{path}: names {len(used[split]):,} {split} examples; expected {m:,}; {_REMEDY}")
    return used, skipped


def _are_rows(rows: object, counts: Mapping[str, list[int]]) -> bool:
    """Whether they are whole numbers of rows of as many arrays in each split, and add up."""
    if not isinstance(rows, dict) or rows.keys() != counts.keys():
        return False
    arrays = len(rows["train"]) if isinstance(rows["train"], list) else 0
    return arrays > 0 and all(
        _is_list(rows, split, int, arrays) and min(rows[split]) >= 0 and sum(rows[split]) == sum(counts[split])
        for split in rows
    )


def _is_part(part: object) -> bool:
    return (
        isinstance(part, dict)
        and _is_list(part, "share", int, 2)
        and 1 <= part["share"][0] <= part["share"][1]
        and _is_list(part, "found", int, 2)
        and isinstance(part.get("names"), str)
        and isinstance(part.get("arrays"), dict)
    )


def _is_list(about: object, key: str, kind: type, length: int) -> bool:
    values = about.get(key) if isinstance(about, dict) else None
    return isinstance(values, list) and len(values) == length and all(type(value) is kind for value in values)


def read_examples(path: Path, split: Split, about: Mapping[str, Any]) -> Examples:
    """A split of the data set in a folder that is so described.

    Raises:
        DataError: a file is missing, damaged or not as it is described.
    """
    folder, size, counts = path / split, about["size"], about["counts"][split]
    m = sum(counts)
    rows = about["rows"][split] if "rows" in about else [m]
    names = [f"pixels-{k}.npy" for k in range(1, len(rows) + 1)] if "rows" in about else ["pixels.npy"]
    arrays = [
        _map_bytes(folder / name, (k, *size)).reshape(k, math.prod(size)).T for name, k in zip(names, rows, strict=True)
    ]
    arrays = [array for array in arrays if array.size] or arrays[:1]
    labels = np.array(_map_bytes(folder / "labels.npy", (m,)))
    found = [int((labels == label).sum()) for label in (0, 1)]
    if found != counts:
        raise DataError(
            f"{folder / 'labels.npy'}: found {found[0]:,} zeros, {found[1]:,} ones and {m - sum(found):,} others; "
            f"expected {counts[0]:,} zeros and {counts[1]:,} ones; {_REMEDY}"
        )
    return Examples(arrays[0] if len(arrays) == 1 else Joined(arrays), labels[np.newaxis])


def _map_bytes(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise DataError(f"{path}: not found; {_REMEDY}") from None
    except (OSError, ValueError, EOFError) as error:
        if getattr(error, "errno", None) == errno.EMFILE:
            raise UsageError(f"{path}: is one file too many to be open; allow more with: ulimit -n 65536") from None
        raise DataError(f"{path}: cannot be read: {reason_of(error)}; {_REMEDY}") from None
    if not isinstance(array, np.memmap):
        raise DataError(f"{path}: found an archive; expected one array; {_REMEDY}")
    if array.shape != shape or array.dtype != np.uint8 or not array.flags.c_contiguous:
        raise DataError(f"{path}: found {array.shape} {array.dtype}; expected {shape} uint8; {_REMEDY}")
    return np.asarray(array)
