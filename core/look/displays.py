"""What a neuron learned, as displays: each is made `from_...` numbers, and drawn by ``plot(ax=None)`` with Matplotlib.

They follow scikit-learn's displays: ``plot`` returns the display, whose `figure_` and `ax_`, or `axes_` where there are
several, can be changed at will. Without `ax` a new figure of pyplot is made, which a notebook shows by itself.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from handgrad.checks import checked_labels, finite, instance, one_of, shaped, shown, words
from handgrad.descent import History
from handgrad.errors import MissingExtraError, UsageError
from handgrad.explanation import contributions, inputs, logits
from handgrad.run import Model, load_history
from handgrad.scores import Bin, reliability, roc_area, roc_curve
from handgrad.sheet import LIGHT, full
from handgrad.validation import Row

try:
    import matplotlib as mpl
    from matplotlib.axes import Axes
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.image import interpolations_names
except ModuleNotFoundError:
    raise MissingExtraError("Matplotlib", "plot") from None

Array = npt.NDArray[Any]

INTERPOLATIONS = tuple(sorted(interpolations_names - {"auto", "antialiased", "none"}))
"""Matplotlib's, by which pixels become a picture."""

TOWARDS_0, TOWARDS_1 = LIGHT[:2]
"""What speaks for class 0 and for class 1."""

SIGNED = LinearSegmentedColormap.from_list("signed", [TOWARDS_0, "white", TOWARDS_1])


class Display(ABC):
    """Numbers that can be drawn.

    Attributes:
        figure_, axes_: after `plot`, what was drawn on.
    """

    panels: ClassVar[tuple[int, int]] = (1, 1)
    size: ClassVar[tuple[float, float]] = (5.0, 3.6)
    """Of the figure, in inches."""

    figure_: Any
    axes_: Array

    @property
    def ax_(self) -> Axes:
        """The first of the axes."""
        found: Axes = self.axes_.flat[0]
        return found

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw, on the axes that are given, which are divided where there are several panels, or on a new figure.

        Raises:
            UsageError: these are no axes, or they cannot be divided.
        """
        ax = ax if ax is None else instance("ax", ax, Axes)
        with mpl.rc_context({"text.parse_math": False}):  # names of files and classes are no formulas
            return self._plot(ax)

    def _plot(self, ax: Axes | None) -> Self:
        rows, columns = self.panels
        if ax is None:
            import matplotlib.pyplot as plt

            self.figure_, self.axes_ = plt.subplots(rows, columns, figsize=self.size, squeeze=False)
        elif (rows, columns) == (1, 1):
            self.figure_, self.axes_ = ax.figure, np.array([[ax]])
        else:
            place = ax.get_subplotspec()
            if place is None:
                raise UsageError("ax is in no grid; expected axes of plt.subplots, which can be divided")
            ax.set_axis_off()
            self.figure_ = ax.figure
            self.axes_ = place.subgridspec(rows, columns).subplots(squeeze=False)
        self._draw()
        return self

    @abstractmethod
    def _draw(self) -> None:
        """On `axes_`."""


class HistoryDisplay(Display):
    """The learning curve: the cost before each epoch's update, on the examples to learn from and on those to validate.

    Args:
        history: of `Neuron.fit`.
    """

    def __init__(self, history: History) -> None:
        self.history = instance("history", history, History)

    @classmethod
    def from_history(cls, history: History) -> Self:
        """Of what `Neuron.fit` returned."""
        return cls(history)

    @classmethod
    def from_run(cls, run: str | Path) -> Self:
        """Of a run's folder."""
        return cls(load_history(run))

    def _draw(self) -> None:
        history, epochs = self.history, np.arange(len(self.history))
        self.ax_.plot(epochs, history.train_cost, label="train")
        taken = ~np.isnan(history.validation_cost)
        if taken.any():
            self.ax_.plot(epochs[taken], history.validation_cost[taken], label="validation")
        self.ax_.set(xlabel="epoch", ylabel="train: cost, validation: mean loss")
        self.ax_.legend()


class SigmoidDisplay(Display):
    """The activation over the logit, and where examples lie on it.

    Args:
        Z: (1, m), logits.
        Y: (1, m), 0 or 1.
        classes: names of class 0 and class 1.
    """

    def __init__(self, Z: Array, Y: Array, classes: tuple[str, str] = ("0", "1")) -> None:
        self.Z, self.Y = _labelled("Z", Z, Y)
        self.classes = words("classes", classes, 2)

    @classmethod
    def from_model(cls, model: Model, X: Array, Y: Array) -> Self:
        """Of a model with a sigmoid; else a UsageError."""
        if instance("model", model, Model).activation != "sigmoid":
            raise UsageError(f"the model's activation is {model.activation}; expected a sigmoid")
        return cls(logits(model, X), Y, model.classes)

    def _draw(self) -> None:
        reach = max(6.0, float(np.abs(self.Z).max(initial=0)))
        z = np.linspace(-reach, reach, 400)
        self.ax_.plot(z, np.exp(-np.logaddexp(0, -z)), color="0.5")
        for label, colour in (0, TOWARDS_0), (1, TOWARDS_1):
            Z = self.Z[0, self.Y[0] == label]
            A = np.exp(-np.logaddexp(0, -Z))
            self.ax_.plot(Z, A, "|", color=colour, markersize=9, label=self.classes[label])
        self.ax_.set(xlabel="Z", ylabel="A = 1 / (1 + e^-Z)")
        self.ax_.legend()


class WeightsDisplay(Display):
    """W as a picture: where brightness speaks for class 1 and for class 0, and both in their own colours.

    Args:
        W: (h, w, c); with three channels, colours are those of the pixels, else the channels are added.
        classes: names of class 0 and class 1.
    """

    panels = (1, 3)
    size = (9.0, 3.2)

    def __init__(self, W: Array, classes: tuple[str, str] = ("0", "1")) -> None:
        self.W, self.classes = shaped("W", W, "h", "w", "c"), words("classes", classes, 2)

    @classmethod
    def from_model(cls, model: Model) -> Self:
        """Of a trained neuron."""
        return cls(instance("model", model, Model).parameters.W.reshape(model.size), model.classes)

    def _draw(self) -> None:
        both, positive, negative = self.axes_[0]
        _signed(both, self.W.sum(axis=2))
        both.set_title("W")
        for ax, part, name in (positive, self.W, self.classes[1]), (negative, -self.W, self.classes[0]):
            part = np.maximum(part, 0)
            shown = part if part.shape[2] == 3 else part.sum(axis=2)
            ax.imshow(np.clip(shown / full(shown), 0, 1), cmap="gray")
            ax.set_title(f"for {name}")
            ax.set_axis_off()


class ContributionsDisplay(Display):
    """W * x beside x: what each pixel of some photographs adds to their logits, which is where the neuron looks.

    The sum over a picture, and b, is Z. Article 4 shows it as its "reconstruction"; here orange speaks for class 1
    and blue for class 0, in the same scale everywhere.

    Args:
        pictures: (k, h, w, 3 or 1), bytes.
        contributions: (k, h, w), W * s x, added over the channels.
        titles: of each.
        interpolation: how pixels become a picture, one of `INTERPOLATIONS`.
    """

    def __init__(
        self, pictures: Array, contributions: Array, titles: Sequence[str], interpolation: str = "nearest"
    ) -> None:
        self.pictures = shaped("pictures", pictures, "k", "h", "w", "c")
        self.contributions = shaped("contributions", contributions, *self.pictures.shape[:3])
        self.titles = words("titles", titles, len(self.pictures))
        self.interpolation = one_of("interpolation", interpolation, INTERPOLATIONS)
        self.panels = 2, len(self.pictures)  # type: ignore[misc]
        self.size = 1.5 * len(self.pictures), 3.4  # type: ignore[misc]

    @classmethod
    def from_model(cls, model: Model, X: Array, titles: Sequence[str], interpolation: str = "nearest") -> Self:
        """Of examples (n, k) of pixels or their brightness."""
        pictures = inputs(model, X).T.reshape(-1, *model.size)
        return cls(pictures, contributions(model, X), titles, interpolation)

    def _draw(self) -> None:
        limit = full(self.contributions)
        for k, title in enumerate(self.titles):
            _picture(self.axes_[0, k], self.pictures[k], self.interpolation)
            self.axes_[0, k].set_title(title, fontsize=8)
            _signed(self.axes_[1, k], self.contributions[k], limit, self.interpolation)


class MistakesDisplay(Display):
    """The most wrongly classified photographs, the worst first.

    Args:
        pictures: (k, h, w, 3 or 1), bytes.
        titles: of each.
    """

    def __init__(self, pictures: Array, titles: Sequence[str]) -> None:
        self.pictures = shaped("pictures", pictures, "k", "h", "w", "c", least=0)
        self.titles = words("titles", titles, len(self.pictures))
        columns = min(len(self.pictures), 6) or 1
        self.panels = max(1, math.ceil(len(self.pictures) / columns)), columns  # type: ignore[misc]
        self.size = 1.6 * columns, 2.1 * self.panels[0]  # type: ignore[misc]

    def _draw(self) -> None:
        for ax in self.axes_.flat:
            ax.set_axis_off()
        for ax, picture, title in zip(self.axes_.flat, self.pictures, self.titles, strict=False):
            _picture(ax, picture, "nearest")
            ax.set_title(title, fontsize=8)


class ProbabilitiesDisplay(Display):
    """How many examples of each class got which activation.

    Args:
        A: (1, m).
        Y: (1, m), 0 or 1.
        classes: names of class 0 and class 1.
    """

    size = (4.0, 3.8)

    def __init__(self, A: Array, Y: Array, classes: tuple[str, str] = ("0", "1")) -> None:
        self.A, self.Y = _labelled("A", A, Y)
        self.classes = words("classes", classes, 2)

    @classmethod
    def from_predictions(cls, A: Array, Y: Array, classes: tuple[str, str] = ("0", "1")) -> Self:
        """Of activations and labels."""
        return cls(A, Y, classes)

    def _draw(self) -> None:
        low, high = float(self.A.min(initial=0)), float(self.A.max(initial=1))
        for label, colour in (0, TOWARDS_0), (1, TOWARDS_1):
            of_class = self.A[label == self.Y]
            self.ax_.hist(of_class, bins=25, range=(low, high), color=colour, alpha=0.55, label=self.classes[label])
        self.ax_.axvline(0.5, color="0.5", linestyle="--", linewidth=1)
        self.ax_.set(xlabel=f"A, for {self.classes[1]}", ylabel="examples")
        self.ax_.legend()


class RocDisplay(Display):
    """The ROC curve, whose area is the chance that an example of class 1 has the larger A.

    Args:
        false, true: of `handgrad.scores.roc_curve`.
        area: under it; None where there is none.
        name: of the set.
    """

    size = (4.0, 3.8)

    def __init__(self, false: Array, true: Array, area: float | None, name: str = "") -> None:
        self.false = shaped("false", false, "k", least=0)
        self.true = shaped("true", true, len(self.false))
        self.area = area if area is None else finite("area", area)
        self.name = instance("name", name, str)

    @classmethod
    def from_predictions(cls, A: Array, Y: Array, name: str = "") -> Self:
        """Of activations (1, m) and labels (1, m)."""
        A, Y = _labelled("A", A, Y)
        area = roc_area(A, Y)
        false, true = (np.empty(0), np.empty(0)) if area is None else roc_curve(A, Y)
        return cls(false, true, area, name)

    def _draw(self) -> None:
        _square(self.ax_)
        if self.area is not None:
            label = f"{self.name}, area {self.area:.3f}" if self.name else f"area {self.area:.3f}"
            self.ax_.plot(self.false, self.true, label=label)
            self.ax_.legend(loc="lower right")
        self.ax_.set(xlabel="share of class 0 taken for class 1", ylabel="share of class 1 found", title="ROC")


class ReliabilityDisplay(Display):
    """Of examples that are said to be of class 1 with some probability, how many are; with 95 % intervals.

    Args:
        bins: of `handgrad.scores.reliability`.
        name: of the set.
    """

    size = (4.0, 3.8)

    def __init__(self, bins: Sequence[Any], name: str = "") -> None:
        if not (isinstance(bins, list | tuple) and all(isinstance(found, Bin) for found in bins)):
            raise UsageError(f"bins is {shown(bins)}; expected a list, of handgrad.scores.reliability")
        self.bins, self.name = bins, instance("name", name, str)

    @classmethod
    def from_predictions(cls, A: Array, Y: Array, name: str = "") -> Self:
        """Of probabilities (1, m) and labels (1, m)."""
        return cls(reliability(*_labelled("A", A, Y)), name)

    def _draw(self) -> None:
        _square(self.ax_)
        x, y = ([getattr(found, key) for found in self.bins] for key in ("predicted", "observed"))
        off = [[b.observed - b.interval[0] for b in self.bins], [b.interval[1] - b.observed for b in self.bins]]
        self.ax_.errorbar(x, y, yerr=np.maximum(off, 0), marker="o", capsize=3, label=self.name or None)
        self.ax_.set(xlabel="predicted probability", ylabel="observed share", title="Reliability")
        if self.name:
            self.ax_.legend(loc="lower right")


class FoldsDisplay(Display):
    """Accuracy and cost over the penalty: the mean over the folds, with one standard error, and each fold.

    Args:
        rows: of `handgrad.validation.cross_validate`.
        chosen: one of them.
    """

    panels = (1, 2)
    size = (10.0, 4.0)

    def __init__(self, rows: Sequence[Row], chosen: Row) -> None:
        if not (isinstance(rows, list | tuple) and rows and all(isinstance(row, Row) for row in rows)):
            raise UsageError(f"rows is {shown(rows)}; expected a list, of handgrad.validation.cross_validate")
        if not isinstance(chosen, Row) or chosen not in rows:
            raise UsageError(f"chosen is {shown(chosen)}; expected one of the rows")
        self.rows, self.chosen = sorted(rows, key=lambda row: row.l2), chosen

    def _draw(self) -> None:
        positions = np.arange(len(self.rows))
        for ax, name in zip(self.axes_[0], ("accuracy", "cost"), strict=True):
            measured = [getattr(row, name) for row in self.rows]
            ax.plot(positions, [found.folds for found in measured], ".", color="0.75")
            mean, error = [found.mean for found in measured], [found.error for found in measured]
            ax.errorbar(positions, mean, yerr=error, marker="o", capsize=4)
            at = self.rows.index(self.chosen)
            ax.axvline(at, color="tab:green", linestyle=":", label=f"chosen, {self.chosen.l2:g}")
            ax.set(xticks=positions, xticklabels=[f"{row.l2:g}" for row in self.rows], xlabel="l2", ylabel=name)
            ax.legend()


def _labelled(name: str, V: Array, Y: Array) -> tuple[Array, Array]:
    """Numbers (1, m) and labels (1, m)."""
    V = shaped(name, V, 1, "m", least=0)
    return V, np.asarray(checked_labels(Y, V.shape, np.asarray))


def _picture(ax: Axes, picture: Array, interpolation: str) -> None:
    grey = picture.shape[-1] != 3
    ax.imshow(picture[..., 0] if grey else picture, cmap="gray", vmin=0, vmax=255, interpolation=interpolation)
    ax.set_axis_off()


def _signed(ax: Axes, values: Array, limit: float | None = None, interpolation: str = "nearest") -> None:
    limit = limit or full(values)
    ax.imshow(values, cmap=SIGNED, vmin=-limit, vmax=limit, interpolation=interpolation)
    ax.set_axis_off()


def _square(ax: Axes) -> None:
    ax.plot([0, 1], [0, 1], color="0.6", linestyle="--", linewidth=1)
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
