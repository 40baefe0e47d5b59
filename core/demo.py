"""The photographs that come with scikit-learn: handwritten digits, as files."""

from pathlib import Path

import numpy as np
from PIL import Image

from handgrad.errors import MissingExtraError, UsageError, reason_of
from handgrad.store import new_folder


def write_digits(folder: Path, classes: tuple[int, int] = (3, 8)) -> int:
    """Write two classes of the digits as 8 x 8 grey PNG files, `3.0.png 8.1.png ...`, and return how many.

    Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI repository, 1998.

    Args:
        folder: is made, and takes the files.
        classes: the two digits, 0 to 9.

    Raises:
        MissingExtraError: scikit-learn is not installed.
        UsageError: a file cannot be written; the folder is not made then.
    """
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError as error:
        raise MissingExtraError("scikit-learn", "sklearn") from error

    digits = load_digits()
    chosen = np.flatnonzero(np.isin(digits.target, classes))
    with new_folder(folder) as temporary:
        for i in chosen:
            grey = (digits.images[i] * 255 / 16).round().astype(np.uint8)  # 17 levels of grey
            name = f"{digits.target[i]}.{i}.png"
            try:
                Image.fromarray(grey).save(temporary / name)
            except OSError as error:
                raise UsageError(f"{folder / name}: cannot be written: {reason_of(error)}; free space") from error
    return len(chosen)
