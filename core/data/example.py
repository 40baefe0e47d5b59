"""What a source yields, one at a time: an example to store, or a file that was skipped and why."""

import unicodedata
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Split: TypeAlias = Literal["train", "valid", "test"]
SPLITS: tuple[Split, Split] = ("train", "valid")
"""Those of every data set; one that was asked for a test set has that too."""


class Example(NamedTuple):
    """One row of the data set.

    Attributes:
        name: where it came from: a file relative to the source, or "train.npz[7]".
        pixels: (h, w, c) uint8.
        label: 0 or 1.
        split: "train", "valid" or "test".
        width: of the photograph held upright, before it was resized, in pixels.
        height: likewise.
    """

    name: str
    pixels: NDArray[np.uint8]
    label: int
    split: Split
    width: int
    height: int


class Skipped(NamedTuple):
    """A file that gives no example; ``reason`` is a kind of fault, then perhaps ": " and what exactly was found."""

    name: str
    reason: str
    class_name: str | None = None


def composed(name: str) -> str:
    """A name in one of the two ways to write an accent (NFC), for names that look alike are one class."""
    return unicodedata.normalize("NFC", name)
