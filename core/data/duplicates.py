"""The same example twice: once where it is learned from, and once where it is to be unknown."""

from itertools import combinations

from handgrad.data.example import SPLITS, Split


class Duplicates:
    """Collects examples, of each a name and 32 bytes."""

    def __init__(self) -> None:
        self._seen: dict[Split, dict[bytes, str]] = {split: {} for split in (*SPLITS, "test")}

    def add(self, split: Split, digest: bytes, name: str) -> None:
        """Notes an example, by the sha256 of its pixels."""
        self._seen[split].setdefault(digest, name)

    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The names of an example of one split and of one of another that are the same; of several, the first."""
        return tuple(
            (name, self._seen[other][same])
            for split, other in combinations(self._seen, 2)
            for same, name in self._seen[split].items()
            if same in self._seen[other]
        )
