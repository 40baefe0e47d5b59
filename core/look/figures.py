"""Figures as files: of one display, or of several beside each other."""

import io
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy.typing as npt
from matplotlib.figure import Figure

from handgrad import checks, store
from handgrad.errors import UsageError
from handgrad.look.displays import Display, FoldsDisplay, ReliabilityDisplay, RocDisplay
from handgrad.validation import Row

Array = npt.NDArray[Any]
FORMATS = (".svg", ".png", ".pdf")


def figure_of(display: Display) -> Figure:
    """A display on a figure of its own, which no window shows."""
    checks.instance("display", display, Display)  # type: ignore[type-abstract]
    figure = Figure(figsize=display.size, layout="constrained")
    display.plot(figure.subplots())
    return figure


def scores(sets: Mapping[str, tuple[Array, Array]], *, probabilities: bool) -> Figure:
    """The ROC curve of each set and, where activations are probabilities, its reliability.

    Args:
        sets: by name, A (1, m) and Y (1, m).
        probabilities: whether they are.
    """
    if not (isinstance(sets, Mapping) and all(isinstance(pair, tuple) and len(pair) == 2 for pair in sets.values())):
        raise UsageError(f"sets is {checks.shown(sets)}; expected a dictionary of pairs A, Y")
    kinds: list[type[RocDisplay] | type[ReliabilityDisplay]] = [RocDisplay]
    if checks.flag("probabilities", probabilities):
        kinds.append(ReliabilityDisplay)
    figure = Figure(figsize=(5 * len(kinds), 4.5), layout="constrained")
    for kind, ax in zip(kinds, figure.subplots(1, len(kinds), squeeze=False)[0], strict=True):
        for name, (A, Y) in sets.items():
            kind.from_predictions(A, Y, name).plot(ax)
    return figure


def folds(rows: Sequence[Row], chosen: Row) -> Figure:
    """What cross-validation found; see `FoldsDisplay`."""
    return figure_of(FoldsDisplay(rows, chosen))


def save(figure: Figure, path: Path) -> None:
    """Write a figure to a new file, whole or not at all; the ending of its name says in which format.

    Raises:
        UsageError: the file exists, cannot be written, or has another ending than .svg, .png and .pdf.
    """
    path = must_be_drawable(path)
    store.write(path, drawn(figure, path.suffix.lower()[1:]))


def drawn(figure: Figure, kind: str, dpi: float = 150) -> bytes:
    """A figure as "svg", "png" or "pdf", the same each time; a UsageError where it is none, or another kind."""
    checks.instance("figure", figure, Figure)
    kind, dpi = checks.one_of("kind", kind, [ending[1:] for ending in FORMATS]), checks.number("dpi", dpi)
    content = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {"CreationDate": None} if kind == "pdf" else {}
    salt = mpl.rcParams["svg.hashsalt"] or "handgrad"  # without one, names within an SVG are drawn by chance
    with warnings.catch_warnings(), mpl.rc_context({"svg.hashsalt": salt}):
        warnings.filterwarnings("ignore", "Glyph")  # that a font has not, in names of files
        figure.savefig(content, format=kind, dpi=dpi, metadata=metadata)
    return content.getvalue()


def must_be_drawable(path: Path) -> Path:
    """The path; a UsageError where a figure cannot become that file."""
    path = checks.path("path", path)
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"{path}: expected a name that ends in {', '.join(FORMATS)}")
    store.must_be_new(path)
    return path
