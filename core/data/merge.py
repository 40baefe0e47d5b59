"""From parts, which several machines may have prepared, to the one data set; no pixel is copied."""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from handgrad.bars import hidden
from handgrad.data.dataset import (
    content_hash,
    manifest_digest,
    read_description,
    read_examples,
    read_manifest,
    shown_by,
    write_description,
)
from handgrad.data.example import Split
from handgrad.data.npy import row_digests
from handgrad.data.prepare import must_be_trainable
from handgrad.data.summary import Summary, Tally
from handgrad.errors import DataError, UsageError, reason_of
from handgrad.store import new_folder


class _Part(NamedTuple):
    """A part's folder, and its dataset.json."""

    path: Path
    about: dict[str, Any]

    @property
    def share(self) -> tuple[int, int]:
        k, n = self.about["part"]["share"]
        return k, n

    @property
    def made(self) -> dict[str, Any]:
        """Of what and how: that which all parts have in common."""
        part, own = self.about["part"], ("counts", "hash", "part")
        common = {key: value for key, value in self.about.items() if key not in own}
        return common | {"found": part["found"], "parts": self.share[1], "splits": sorted(self.about["counts"])}

    def undamaged(self, array: str, rows: NDArray[np.uint8], bar: "tqdm[Any] | None" = None) -> list[bytes]:
        """The sha256 of each row of an array, after they were found to be what was prepared."""
        found = []
        with closing(row_digests(rows)) as digests:
            for digest in digests:
                found.append(digest)
                if bar is not None:
                    bar.update()
        if hashlib.sha256(b"".join(found)).hexdigest() != self.about["part"]["arrays"].get(array):
            raise self._damaged(array)
        return found

    def copy_manifest(self, whole: IO[bytes]) -> None:
        """Append what manifest.jsonl holds, after it was found to be what was prepared."""
        if manifest_digest(self.path) != self.about["part"].get("manifest"):
            raise self._damaged("manifest.jsonl")
        with (self.path / "manifest.jsonl").open("rb") as file:
            shutil.copyfileobj(file, whole)

    def _damaged(self, file: str) -> DataError:
        k, n = self.share
        return DataError(
            f"{self.path / file}: does not hold what was prepared; expected it as it was; "
            f"make the part again with: handgrad prepare --share {k}/{n}"
        )


def merge(parts: Sequence[str | os.PathLike[str]], data: str | os.PathLike[str], *, progress: bool = False) -> Summary:
    """Joins the parts that ``prepare`` makes with a share to the data set that it makes without.

    All pixels are read, and compared with what was prepared; none is copied. The arrays of the data set are hard links
    to those of the parts, which are left as they are, and may be deleted then.

    Args:
        parts: their folders, in any order; all of them, each once.
        data: the folder to make, absent or empty, on the file system of the parts; it appears when it is whole.
        progress: show a progress bar on stderr, if that is a terminal.

    Returns:
        What was found and made.

    Raises:
        UsageError: a part is missing or is there twice; data is taken, lies in a part, or cannot be linked to them.
        DataError: a folder is no part, was made in another way than the others, or is damaged; a class has no readable
            photograph to train on.
    """
    tally, data = Tally(), Path(data).expanduser()
    ordered = _in_order([_Part(part, read_description(part)) for part in (Path(part).expanduser() for part in parts)])
    for part in ordered:
        if data.resolve().is_relative_to(part.path.resolve()):
            raise UsageError(f"{data}: lies inside {part.path}, which is not changed; expected a folder beside it")
    first = ordered[0]
    classes, size, features = shown_by(*first)
    splits: list[Split] = list(first.about["counts"])
    rows = {split: [sum(part.about["counts"][split]) for part in ordered] for split in splits}
    names = [f"{split}/{name}.npy" for split in splits for name in ("pixels", "labels")]
    content = {name: hashlib.sha256() for name in names}
    labels: dict[Split, list[NDArray[np.uint8]]] = {split: [] for split in splits}
    bar = tqdm(total=sum(map(sum, rows.values())), unit=" examples", disable=hidden(progress))
    with new_folder(data) as folder, bar:
        for split in splits:
            (folder / split).mkdir()
        for k, part in enumerate(ordered):
            used, unread = read_manifest(part.path, {split: rows[split][k] for split in splits})
            tally.skipped += unread
            for split in splits:
                X, Y = read_examples(part.path, split, part.about)
                labels[split].append(Y[0])
                content[f"{split}/labels.npy"].update(b"".join(part.undamaged(f"{split}/labels.npy", Y[0])))
                digests = part.undamaged(f"{split}/pixels.npy", np.asarray(X).T, bar)
                content[f"{split}/pixels.npy"].update(b"".join(digests))
                for digest, example in zip(digests, used[split], strict=True):
                    tally.add(split, digest, *example)
                _link(data, part.path / split / "pixels.npy", folder / split / f"pixels-{k + 1}.npy")
        counts: dict[Split, tuple[int, int]] = {}
        for split in splits:
            joined = np.concatenate(labels[split])
            np.save(folder / split / "labels.npy", joined)
            counts[split] = int((joined == 0).sum()), int(joined.sum())
        must_be_trainable(data, classes, counts, tally.skipped, first.about.get("limit"))
        with (folder / "manifest.jsonl").open("wb") as manifest:
            for part in ordered:
                part.copy_manifest(manifest)
        whole = content_hash(counts, size, {name: found.digest() for name, found in content.items()})
        about = first.about | {"counts": counts, "hash": whole, "rows": rows}
        del about["part"]
        write_description(folder, about)
    zeros, ones = first.about["part"]["found"]
    source = str(first.about.get("source"))
    return tally.summary(
        data, features, source=source, classes=classes, found=(zeros, ones), counts=counts, size=size, hash=whole
    )


def _in_order(parts: Sequence[_Part]) -> list[_Part]:
    """The parts by their number, after they were found to be those of one data set, all of them and each once."""
    if not parts:
        raise UsageError("parts: found none; expected all parts of a data set")
    first, numbered = parts[0], dict[int, _Part]()
    for part in parts:
        if "part" not in part.about:
            raise DataError(f"{part.path}: is no part of a data set; expected one of: handgrad prepare --share K/N")
        for key in dict.fromkeys([*first.made, *part.made]):
            this, other = (json.dumps(each.made.get(key)) for each in (part, first))
            if this != other:
                raise DataError(f"{part.path}: has {key} {this}; {first.path} has {other}; expected parts made alike")
        if part.about["part"]["names"] != first.about["part"]["names"]:
            raise DataError(
                f"{part.path}: was made of photographs with other names than {first.path}; expected parts of one source"
            )
        k, n = part.share
        if k in numbered:
            raise UsageError(f"{part.path}: is part {k} of {n}, as is {numbered[k].path}; expected each once")
        numbered[k] = part
    missing = [k for k in range(1, n + 1) if k not in numbered]
    if missing:
        more = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UsageError(
            f"parts: found {len(numbered)} of {n}; part {missing[0]} is missing{more}; make it as the others, with: "
            f"handgrad prepare --share {missing[0]}/{n}"
        )
    return [numbered[k] for k in sorted(numbered)]


def _link(data: Path, file: Path, name: Path) -> None:
    """Give the file of a part another name, in the data set to make."""
    try:
        name.hardlink_to(file.resolve())
    except (OSError, NotImplementedError) as error:
        raise UsageError(
            f"{data}: cannot be linked to {file}: {reason_of(error)}; expected both on one file system that knows hard "
            "links; name a folder there, or copy the parts to one"
        ) from None
