"""What ``prepare`` found and made, for a person and for a program."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from handgrad.data.example import SPLITS, Skipped, Split
from handgrad.data.features import Features
from handgrad.jsonable import jsonable

_NAMES_SHOWN = 10


@dataclass(frozen=True)
class Sizes:
    """The sizes (width, height) in pixels of the photographs used, ordered by area.

    Attributes:
        smallest, median, largest: of the photographs; with an even number, the median is the smaller middle one.
        larger: the share, 0 to 1, of those larger than the target both in width and in height.
    """

    smallest: tuple[int, int]
    median: tuple[int, int]
    largest: tuple[int, int]
    larger: float

    def __str__(self) -> str:
        return f"{_times(self.smallest)} to {_times(self.largest)} (width x height), median {_times(self.median)}"

    @classmethod
    def of(cls, sizes: Sequence[tuple[int, int]], target: tuple[int, int]) -> "Sizes | None":
        """Sums up sizes (width, height) against a target (width, height); None where there are none."""
        if not sizes:
            return None
        ordered = sorted(sizes, key=lambda size: (size[0] * size[1], size))
        larger = sum(width > target[0] and height > target[1] for width, height in sizes)
        return cls(ordered[0], ordered[(len(ordered) - 1) // 2], ordered[-1], larger / len(ordered))


@dataclass(frozen=True)
class Summary:
    """What ``prepare`` or ``merge`` did.

    Attributes:
        path: the data set's folder.
        source: "folder", "zip", "npz" or "hdf5".
        classes: names of class 0 and class 1.
        found: of class 0 and class 1, how many examples the source names, readable or not, before any limit.
        counts: of each split, how many examples of class 0 and of class 1 it has.
        size: (h, w, c) of an example.
        features: what of a photograph an example is.
        sizes: of the photographs before they were resized; None where there are none, as in a part.
        skipped: files that gave no example.
        duplicates: pairs of an example of one split and one of another that are the same, by name: what is learned from
            the one is known of the other.
        hash: of the data set's content.
        bytes: that the folder takes.
        seconds: that it took.
        share: K and N of a part; what is not of the source is then of part K of N.
    """

    path: Path
    source: str
    classes: tuple[str, str]
    found: tuple[int, int]
    counts: dict[Split, tuple[int, int]]
    size: tuple[int, int, int]
    features: Features
    sizes: Sizes | None
    skipped: tuple[Skipped, ...]
    duplicates: tuple[tuple[str, str], ...]
    hash: str
    bytes: int
    seconds: float
    share: tuple[int, int] | None = None

    def skipped_by_reason(self) -> dict[str, int]:
        """How many files were skipped for each kind of reason, the most frequent first."""
        return dict(Counter(skipped.reason.split(": ")[0] for skipped in self.skipped).most_common())

    def to_json(self) -> dict[str, Any]:
        """The same as values that ``json.dumps`` takes."""
        skipped = [{"path": skipped.name, "reason": skipped.reason} for skipped in self.skipped]
        values: dict[str, Any] = jsonable(asdict(self))
        return values | {"features": self.features.kind, "skipped": skipped}

    def report(self) -> str:
        """The same as a few lines for a person; at most ten skipped files are named."""
        height, width, channels = self.size
        side = _times((self.features.photograph[1], self.features.photograph[0]))
        lines = [
            f"found       {sum(self.found):,}: {self._by_class(self.found)}",
            f"classes     0 = {self.classes[0]}, 1 = {self.classes[1]}",
            *(f"{split:<12}{sum(counts):,}: {self._by_class(counts)}" for split, counts in self.counts.items()),
            *(
                [f"sizes       {self.sizes}; {self.sizes.larger:.1%} larger than {side} both ways"]
                if self.sizes
                else []
            ),
            f"skipped     {len(self.skipped):,}"
            + "".join(f"; {count:,} {reason}" for reason, count in self.skipped_by_reason().items()),
            *(f"            {skipped.name}: {skipped.reason}" for skipped in self.skipped[:_NAMES_SHOWN]),
        ]
        if len(self.skipped) > _NAMES_SHOWN:
            lines.append(f"            and {len(self.skipped) - _NAMES_SHOWN:,} more, all in manifest.jsonl")
        if self.duplicates:
            lines.append(f"duplicates  {len(self.duplicates):,} pairs of the same photograph in two of the sets")
            lines += [f"            {one} = {other}" for one, other in self.duplicates[:_NAMES_SHOWN]]
        for split, counts in self.counts.items():
            if any(counts) and not all(counts):
                missing = self.classes[counts.index(0)]
                lines.append(f"note        {split} holds no {missing}: nothing in it tells the two apart")
        what, share = ("data set", "") if self.share is None else ("part", "{} of {}, ".format(*self.share))
        lines.append(
            f"{what:<12}{self.path} ({share}{height} x {width} x {channels} {self.features.kind}, "
            f"{self.bytes / 1e6:,.1f} MB, hash {self.hash[:12]}, {self.seconds:.1f} seconds)"
        )
        return "\n".join(lines)

    def _by_class(self, counts: tuple[int, int]) -> str:
        return ", ".join(f"{count:,} of {name}" for count, name in zip(counts, self.classes, strict=True))


class Tally:
    """What is known of the examples only while they pass: what was skipped, sizes, duplicates, and since when.

    Attributes:
        skipped: files that gave no example.
    """

    def __init__(self) -> None:
        self.skipped: list[Skipped] = []
        self._started = time.perf_counter()
        self._sizes: list[tuple[int, int]] = []
        self._seen: dict[Split, dict[bytes, str]] = {split: {} for split in (*SPLITS, "test")}

    def add(self, split: Split, digest: bytes, name: str, size: tuple[int, int]) -> None:
        """Notes an example: the sha256 of its pixels, and its (width, height) before it was resized."""
        self._seen[split].setdefault(digest, name)
        self._sizes.append(size)

    def duplicates(self) -> tuple[tuple[str, str], ...]:
        """The names of an example of one split and of one of another that are the same; of several, the first."""
        return tuple(
            (name, self._seen[other][same])
            for split, other in combinations(self._seen, 2)
            for same, name in self._seen[split].items()
            if same in self._seen[other]
        )

    def summary(self, path: Path, features: Features, **found: Any) -> Summary:
        """Of the data set in that folder, with what else was found."""
        return Summary(
            path=path,
            features=features,
            sizes=Sizes.of(self._sizes, features.photograph[::-1]),
            skipped=tuple(self.skipped),
            duplicates=self.duplicates(),
            bytes=sum(file.stat().st_size for file in path.rglob("*") if file.is_file()),
            seconds=time.perf_counter() - self._started,
            **found,
        )


def _times(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
