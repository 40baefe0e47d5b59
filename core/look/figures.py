"""The figures, each a Matplotlib `Figure` of the numbers that the tables have, and how they become a file."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from handgrad import store
from handgrad.errors import MissingExtraError, UsageError
from handgrad.scores import reliability, roc_area, roc_curve
from handgrad.validation import Row

try:
    from matplotlib.figure import Figure
except ModuleNotFoundError as error:
    raise MissingExtraError("Matplotlib", "plot") from error

Array = npt.NDArray[Any]
FORMATS = (".svg", ".png", ".pdf")


def save(figure: Figure, path: Path) -> None:
    """Write a figure to a new file, whole or not at all; the ending of its name says in which format.

    Raises:
        UsageError: the file exists, cannot be written, or has another ending than .svg, .png and .pdf.
    """
    must_be_drawable(path)
    content = io.BytesIO()
    kind = path.suffix.lower()[1:]
    metadata = {"Date": None} if kind == "svg" else {"CreationDate": None} if kind == "pdf" else {}
    figure.savefig(content, format=kind, dpi=150, metadata=metadata, bbox_inches="tight")
    store.write(path, content.getvalue())


def must_be_drawable(path: Path) -> None:
    """Raise a UsageError where a figure cannot become that file."""
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"{path}: expected a name that ends in {', '.join(FORMATS)}")
    store.must_be_new(path)


def scores(sets: Mapping[str, tuple[Array, Array]], *, probabilities: bool) -> Figure:
    """The ROC curve of each set and, where activations are probabilities, its reliability.

    Args:
        sets: by name, A (1, m) and Y (1, m).
        probabilities: whether they are.
    """
    figure = Figure(figsize=(10 if probabilities else 5, 4.5))
    panels = figure.subplots(1, 1 + probabilities, squeeze=False)[0]
    for panel in panels:
        panel.plot([0, 1], [0, 1], color="0.7", linestyle="--", linewidth=1)
        panel.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    for name, (A, Y) in sets.items():
        area = roc_area(A, Y)
        if area is not None:
            panels[0].plot(*roc_curve(A, Y), label=f"{name}, area {area:.3f}")
        if probabilities:
            bins = reliability(A, Y)
            x, y = ([getattr(b, key) for b in bins] for key in ("predicted", "observed"))
            off = [[b.observed - b.interval[0] for b in bins], [b.interval[1] - b.observed for b in bins]]
            panels[1].errorbar(x, y, yerr=np.maximum(off, 0), marker="o", capsize=3, label=name)
    panels[0].set(xlabel="of class 0, taken for class 1", ylabel="of class 1, taken for class 1", title="ROC")
    if probabilities:
        panels[1].set(xlabel="predicted probability", ylabel="observed share", title="Reliability, 95 % intervals")
    for panel in panels:
        panel.legend(loc="lower right")
    return figure


def folds(rows: Sequence[Row], chosen: Row) -> Figure:
    """Accuracy and cost over the penalty: the mean over the folds, with one standard error, and each fold."""
    figure = Figure(figsize=(10, 4.5))
    ordered = sorted(rows, key=lambda row: row.l2)
    positions = np.arange(len(ordered))
    for panel, name in zip(figure.subplots(1, 2), ("accuracy", "cost"), strict=True):
        of_folds = np.array([getattr(row, name).folds for row in ordered])
        panel.plot(positions, of_folds, ".", color="0.75")
        mean, error = ([getattr(getattr(row, name), key) for row in ordered] for key in ("mean", "error"))
        panel.errorbar(positions, mean, yerr=error, marker="o", capsize=4)
        panel.axvline(ordered.index(chosen), color="tab:green", linestyle=":", label=f"chosen, {chosen.l2:g}")
        panel.set(xticks=positions, xticklabels=[f"{row.l2:g}" for row in ordered], xlabel="l2", ylabel=name)
        panel.legend()
    return figure
