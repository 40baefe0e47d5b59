"""What the demo is shown on: a gradient with and without a slip, and the photographs that come with scikit-learn."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from handgrad.errors import MissingExtraError, UsageError, reason_of
from handgrad.store import new_folder

NEURON = '''"""One neuron: its cost, and the gradients of w and b, derived by hand."""

import numpy as np


def propagate(w, b, X, Y):
    m = X.shape[1]  # examples, one in each column of X
    A = 1 / (1 + np.exp(-(np.dot(w, X) + b)))
    cost = -np.sum(Y * np.log(A) + (1 - Y) * np.log(1 - A)) / m
    dZ = A - Y
    dw = np.dot(dZ, X.T) / m
    db = np.sum(dZ) / m
    return {"dw": dw, "db": db}, cost


def inputs(rng):  # numbers to try it on
    return {"w": rng.normal(size=(1, 4)), "b": 0.5, "X": rng.normal(size=(4, 6)), "Y": np.array([[0, 1, 0, 1, 1, 0]])}
'''

SLIP = "    db = np.sum(dZ) / m\n", "    db = np.sum(dZ)\n"
"""A line of it, and what is planted there: the mean that the cost is has been forgotten."""


def write_gradients(folder: Path) -> int:
    """Write `right.py`, a neuron as tutorials publish it, and `slip.py`, in which one line is wrong; return which.

    Args:
        folder: is made, and takes the files.

    Returns:
        The number of the line, from 1.

    Raises:
        UsageError: a file cannot be written; the folder is not made then.
    """
    right, wrong = SLIP
    with new_folder(folder) as temporary:
        for name, code in ("right.py", NEURON), ("slip.py", NEURON.replace(right, wrong)):
            with _naming(folder / name):
                (temporary / name).write_text(code, encoding="utf-8")
    return NEURON[: NEURON.index(right)].count("\n") + 1


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
    except ModuleNotFoundError:
        raise MissingExtraError("scikit-learn", "sklearn") from None

    digits = load_digits()
    chosen = np.flatnonzero(np.isin(digits.target, classes))
    with new_folder(folder) as temporary:
        for i in chosen:
            grey = (digits.images[i] * 255 / 16).round().astype(np.uint8)  # 17 levels of grey
            name = f"{digits.target[i]}.{i}.png"
            with _naming(folder / name):
                Image.fromarray(grey).save(temporary / name)
    return len(chosen)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """What cannot be written is named as what it would have been."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {reason_of(error)}; free space") from error
