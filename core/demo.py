"""The photographs that come with scikit-learn: handwritten digits, as files."""

from pathlib import Path

import numpy as np
from PIL import Image

from handgrad.errors import MissingExtraError


def write_digits(folder: Path, classes: tuple[int, int] = (3, 8)) -> int:
    """Write two classes of the digits as 8 x 8 grey PNG files, `3.0.png 8.1.png ...`, and return how many.

    Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI repository, 1998.

    Args:
        folder: is made, and takes the files.
        classes: the two digits, 0 to 9.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError as error:
        raise MissingExtraError("scikit-learn", "sklearn") from error

    folder.mkdir(parents=True)
    digits = load_digits()
    chosen = np.flatnonzero(np.isin(digits.target, classes))
    for i in chosen:
        grey = (digits.images[i] * 255 / 16).round().astype(np.uint8)  # 17 levels of grey
        Image.fromarray(grey).save(folder / f"{digits.target[i]}.{i}.png")
    return len(chosen)
