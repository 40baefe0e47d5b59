"""What of a photograph the neuron is shown: pixels, their brightness, or the directions of edges; all are bytes."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from handgrad.errors import MissingExtraError, UsageError

KINDS = ("pixels", "gray", "hog")

CELLS = 8
"""Cells along a side in which the directions of edges are counted, or a few more where pixels are left over."""

LEAST = 2 * CELLS
"""The smallest side of a photograph for "hog", in pixels."""

ORIENTATIONS, BLOCK = 9, 2


class Features(NamedTuple):
    """A kind of features, and the size of the photographs that they are taken from.

    Attributes:
        kind: "pixels" are the three channels; "gray" is the brightness, 0.299 R + 0.587 G + 0.114 B (ITU-R 601, by
            Pillow); "hog" are histograms of oriented gradients in 8 x 8 cells, each normalised within the blocks of
            2 x 2 cells that it lies in, times 255, rounded (Dalal and Triggs, "Histograms of Oriented Gradients for
            Human Detection", 2005; by scikit-image).
        photograph: (h, w) to which photographs are resized, in pixels.
        exact: whether a JPEG is decoded whole for that, and all pixels are interpolated, as ``read_photograph`` says.
    """

    kind: str
    photograph: tuple[int, int]
    exact: bool = False

    @property
    def size(self) -> tuple[int, int, int]:
        """(h, w, c) of the features of a photograph: one example."""
        height, width = self.photograph
        if self.kind != "hog":
            return height, width, 3 if self.kind == "pixels" else 1
        rows, columns = (side // (side // CELLS) - BLOCK + 1 for side in self.photograph)
        return rows, columns, BLOCK * BLOCK * ORIENTATIONS

    @classmethod
    def read(cls, kind: object, photograph: object, exact: object, size: tuple[int, ...]) -> "Features":
        """Features as a file tells of them, whose examples have that size (h, w, c).

        Raises:
            ValueError: there are none such.
        """
        sides = list(photograph) if isinstance(photograph, list | tuple) else []
        if kind not in KINDS or len(sides) != 2 or not all(type(side) is int and side > 0 for side in sides):
            raise ValueError(f"features {kind!r} of a photograph {photograph!r}, which there are not")
        if not isinstance(exact, bool):
            raise ValueError(f"exact {exact!r}, which is neither true nor false")
        features = cls(str(kind), (sides[0], sides[1]), exact)
        too_small = kind == "hog" and min(sides) < CELLS
        if kind != "pixels" and (too_small or features.size != size):  # arrays of pixels have other channels
            raise ValueError(f"size {list(size)}, which is not that of {kind} of a photograph {sides}")
        return features

    def of(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The features (h, w, c) of a photograph's pixels (h, w, 3), both uint8.

        Raises:
            MissingExtraError: they are "hog", and scikit-image is not installed.
        """
        if self.kind == "pixels":
            return pixels
        if self.kind == "gray":
            return np.asarray(Image.fromarray(pixels).convert("L"))[..., np.newaxis]
        height, width = self.photograph
        found: Any = skimage_feature().hog(
            pixels,
            orientations=ORIENTATIONS,
            pixels_per_cell=(height // CELLS, width // CELLS),
            cells_per_block=(BLOCK, BLOCK),
            block_norm="L2-Hys",
            channel_axis=-1,
            feature_vector=False,
        )
        rounded: NDArray[np.uint8] = np.rint(255 * found).astype(np.uint8)
        return rounded.reshape(self.size)

    def check(self) -> None:
        """Raise an error where there are no such features: a UsageError, or a MissingExtraError."""
        if self.kind not in KINDS:
            raise UsageError(f"features: found {self.kind!r}; expected one of {', '.join(KINDS)}")
        if self.kind == "hog":
            skimage_feature()
            if min(self.photograph) < LEAST:
                raise UsageError(f"size: found {min(self.photograph)} for hog; expected {LEAST} or more pixels")


def skimage_feature() -> Any:
    """scikit-image's module, which takes a second to import."""
    try:
        import skimage.feature
    except ModuleNotFoundError:
        raise MissingExtraError("scikit-image", "features") from None
    return skimage.feature
