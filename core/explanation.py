"""What a trained neuron did with the photographs of a data set: the numbers behind the pictures."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from handgrad.backends.numpy import Neuron, activate
from handgrad.checks import check_values, examples, instance
from handgrad.data import Dataset, Examples, read_photograph
from handgrad.data.example import Split
from handgrad.data.source import open_source
from handgrad.descent import History
from handgrad.errors import DataError
from handgrad.examples import columns
from handgrad.measure import scored, sets
from handgrad.run import Model, Outcome, finished, load_history, load_model
from handgrad.scores import Score

Array = npt.NDArray[Any]
FEW = 3
"""Features of which numbers are shown."""

EXAMPLES = 40
"""Examples that are shown on the sigmoid."""

WORST = 12
"""Mistakes that are shown; all of them are in the table."""

SHOWN = 128
"""The side of a photograph that is read to be shown, in pixels."""

STEPS = 50
"""Thresholds on each side of 0.5."""

SPLITS: dict[str, Split] = {"train": "train", "validation": "valid"}
"""What the data set calls the sets."""


class Mistake(NamedTuple):
    """A photograph that was taken for the other class.

    Attributes:
        file: its name in the source of the data set.
        set: "train" or "validation".
        true, predicted: names of classes.
        A: its activation.
        column: of X.
    """

    file: str
    set: str
    true: str
    predicted: str
    A: float
    column: int


class Part(NamedTuple):
    """What a feature of a photograph does to Z, and Z to its weight.

    Attributes:
        place: which of the photograph's, in words.
        x: its byte.
        W: its weight.
        adds: W s x.
        dW: how the loss changes with W.
    """

    place: str
    x: int
    W: float
    adds: float
    dW: float


class Quantity(NamedTuple):
    """A line of the way of one photograph through the neuron and back.

    Attributes:
        name: as in the articles, "Z".
        words: what it is.
        formula: by which it comes about.
        value: in figures.
    """

    name: str
    words: str
    formula: str
    value: str


@dataclass(frozen=True)
class Explanation:
    """A model, its history, and what it makes of a data set's photographs to learn from and to validate on.

    Attributes:
        model, history, dataset: what was read.
        outcome: how the training ended.
        activations: A (1, m) of each set that has examples, by name.
        scores: of the same.
        photographs: the folder or zip that the data set was made of, to show them from; None to show pixels.
    """

    model: Model
    history: History
    dataset: Dataset
    outcome: Outcome
    activations: dict[str, Array]
    scores: dict[str, Score]
    photographs: Path | None = None

    @classmethod
    def of(cls, run: Path, data: Path, photographs: Path | None = None) -> Explanation:
        """Read both.

        Raises:
            DataError: one cannot be read, or the neuron was trained on photographs of another kind.
        """
        model, history, dataset = load_model(run), load_history(run), Dataset.open(data)
        model.check_fits(dataset)
        neuron = model.neuron(Neuron)
        found = scored(neuron, model.parameters, sets(dataset))
        activations, scores = {name: A for name, (A, _) in found.items()}, {name: s for name, (_, s) in found.items()}
        return cls(model, history, dataset, finished(run), activations, scores, photographs)

    @property
    def judged(self) -> str:
        """The set to look at: that to validate on, or to learn from where there is none."""
        return list(self.activations)[-1]

    @property
    def shows_pixels(self) -> bool:
        """Whether examples can be shown as pictures."""
        return self.model.features.kind != "hog" and self.model.size[2] in (1, 3)

    @property
    def shows_pictures(self) -> bool:
        """Whether there is something to show of an example: its pixels, or its photograph."""
        return self.shows_pixels or self.photographs is not None

    @property
    def probabilities(self) -> bool:
        """Whether activations are probabilities."""
        return self.model.activation == "sigmoid"

    @cached_property
    def _sets(self) -> dict[str, Examples]:
        return sets(self.dataset)

    @cached_property
    def _names(self) -> dict[str, list[str]]:
        return {name: self.dataset.names(SPLITS[name]) for name in self.activations}

    def examples(self, name: str) -> Examples:
        """X (n, m) and Y (1, m) of a set."""
        return self._sets[name]

    def names(self, name: str) -> list[str]:
        """The files of a set."""
        return self._names[name]

    def pictures(self, name: str, which: list[int]) -> list[Array]:
        """Bytes (h, w, 1 or 3) of examples of a set: their photographs where these are given, else their pixels.

        Raises:
            DataError: a photograph is not there, or cannot be read.
        """
        if self.photographs is None:
            pixels: Array = columns(self.examples(name)[0], np.array(which, np.intp)).T
            return list(pixels.reshape(-1, *self.model.size))
        with open_source(self.photographs, self.model.classes[1]) as found:
            files, shown = {file.name: file for file in found.files}, []
            names = self.names(name)
            for wanted in (names[i] for i in which):
                if wanted not in files:
                    raise DataError(
                        f"{self.photographs}: has no {wanted}; expected what {self.dataset.path} was made of"
                    )
                with files[wanted].open() as file:
                    shown.append(read_photograph(file, SHOWN, name=wanted))
        return shown

    def contributions(self, name: str, which: list[int]) -> Array:
        """W * s x of examples of a set (k, h, w), added over the channels: with b they add up to Z."""
        return contributions(self.model, columns(self.examples(name)[0], np.array(which, np.intp)))

    def mistakes(self, name: str) -> list[Mistake]:
        """Of a set, the surest first."""
        A, Y = self.activations[name], self.examples(name)[1]
        names, classes = self.names(name), self.model.classes
        wrong = np.flatnonzero((A[0] > 0.5) != (Y[0] == 1))
        surest = wrong[np.argsort(-abs(A[0, wrong] - 0.5), kind="stable")]
        return [
            Mistake(names[i], name, classes[int(Y[0, i])], classes[1 - int(Y[0, i])], float(A[0, i]), int(i))
            for i in surest
        ]

    def mistakes_csv(self) -> str:
        """All mistakes of all sets, a line each."""
        file = io.StringIO(newline="")
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["file", "set", "true", "predicted", "A"])
        for name in self.activations:
            table.writerows([m.file, m.set, m.true, m.predicted, f"{m.A:.6f}"] for m in self.mistakes(name))
        return file.getvalue()

    def chosen(self, k: int = 6) -> list[int]:
        """Columns of the judged set: of both classes in turn those that it is surest of, and then of its mistakes."""
        A, Y = self.activations[self.judged][0], self.examples(self.judged)[1][0]
        right = (A > 0.5) == (Y == 1)
        order = np.argsort(-abs(A - 0.5), kind="stable")
        groups = [[int(i) for i in order if right[i] and Y[i] == label] for label in (0, 1)]
        groups.append([int(i) for i in order if not right[i]])
        dealt = [group[j] for j in range(k) for group in groups if j < len(group)]
        return dealt[:k]

    def undecided(self, k: int) -> list[int]:
        """Columns of the judged set, those whose A is nearest to 0.5 first."""
        A = self.activations[self.judged][0]
        return [int(i) for i in np.argsort(abs(A - 0.5), kind="stable")[:k]]

    def thresholds(self) -> list[tuple[float, int, int]]:
        """Thresholds from below all A of the judged set to above them, and how many of class 0 and 1 are above each."""
        A, Y = self.activations[self.judged][0].astype(np.float64), self.examples(self.judged)[1][0]
        reach = max(0.5, float(abs(A - 0.5).max()))
        values = 0.5 + reach * np.arange(-STEPS, STEPS + 1) / STEPS
        above = [[int(((t < A) & (label == Y)).sum()) for label in (0, 1)] for t in values]
        return [(float(t), zeros, ones) for t, (zeros, ones) in zip(values, above, strict=True)]

    def parts(self, column: int) -> list[Part]:
        """The features of a photograph of the judged set that move Z the most, of unlike bytes and rows if possible."""
        model, x = self.model, self._x(column)
        W, s = model.parameters.W[0].astype(np.float64), model.input_scale
        order = np.argsort(-abs(W * x), kind="stable").tolist()
        per_row, apart = model.size[1] * model.size[2], list[int]()
        for i in order:
            if len(apart) < FEW and all(x[i] != x[j] and i // per_row != j // per_row for j in apart):
                apart.append(i)
        most = (apart + [i for i in order if i not in apart])[:FEW]
        dZ = self._there(column)[2]
        return [
            Part(self._place(i), int(x[i]), float(W[i]), float(W[i] * s * x[i]), float(dZ * s * x[i])) for i in most
        ]

    def way(self, column: int) -> list[Quantity]:
        """One photograph of the judged set through Z, A, L and back through dA, dZ, db, in figures."""
        model, y = self.model, int(self.examples(self.judged)[1][0, column])
        A, slope, dZ, L = self._there(column)
        Z = float(logits(model, self._x(column)[:, np.newaxis])[0, 0])
        if model.loss == "cross_entropy":
            loss, first, back = "-(Y log A + (1 - Y) log(1 - A))", "(A - Y) / (A (1 - A))", "dA A (1 - A) = A - Y"
        else:
            loss, first, back = "(A - Y)^2 / 2", "A - Y", "dA f'(Z)"
        found = f"how probable {model.classes[1]} is" if self.probabilities else "the activation"
        function = "1 / (1 + e^-Z)" if self.probabilities else f"{model.activation}(Z)"
        return [
            Quantity("Z", "the logit: the sum of all that, and b", "W (s X) + b", _figures(Z)),
            Quantity("A", found, function, _figures(A)),
            Quantity("Y", f"the label: it is {model.classes[y]}", "", str(y)),
            Quantity("L", "the loss: how wrong A is", loss, _figures(L)),
            Quantity("dA", "how L changes with A", first, _figures(dZ / slope) if slope else "beyond float64"),
            Quantity("dZ", "how L changes with Z", back, _figures(dZ)),
            Quantity("db", "how L changes with b", "dZ", _figures(dZ)),
        ]

    def _x(self, column: int) -> Array:
        x: Array = columns(self.examples(self.judged)[0], np.array([column]))[:, 0]
        return x

    def _there(self, column: int) -> tuple[float, float, float, float]:
        """A, its slope over Z, dZ and L of a photograph of the judged set."""
        y = float(self.examples(self.judged)[1][0, column])
        Z = logits(self.model, self._x(column)[:, np.newaxis])
        A, slope = (float(V[0, 0]) for V in activate(self.model.activation, Z))
        if self.model.loss == "cross_entropy":
            return A, slope, A - y, float(np.logaddexp(0, (1 - 2 * y) * Z[0, 0]))
        return A, slope, (A - y) * slope, (A - y) ** 2 / 2

    def _place(self, feature: int) -> str:
        """Where a feature lies in its photograph, counted from 1."""
        row, column, channel = (int(i) for i in np.unravel_index(feature, self.model.size))
        names = {("pixels", 3): ("red", "green", "blue"), ("gray", 1): ("brightness",)}
        named = names.get((self.model.features.kind, self.model.size[2]))
        return f"row {row + 1}, column {column + 1}, {named[channel] if named else f'number {channel + 1}'}"


def logits(model: Model, X: Array) -> Array:
    """Z (1, m) of examples X (n, m) as they are stored, float64."""
    x = inputs(model, X)
    W, b = (V.astype(np.float64) for V in model.parameters)
    Z: Array = W @ (model.input_scale * x) + b
    return Z


def contributions(model: Model, X: Array) -> Array:
    """W * s x (m, h, w) of examples X (n, m), added over the channels: with b they add up to Z."""
    each = model.parameters.W * model.input_scale * inputs(model, X).T
    added: Array = each.reshape(-1, *model.size).sum(axis=3)
    return added


def inputs(model: Model, X: Array) -> Array:
    """X as an array (n, m) of examples as they are stored, of as many features as the model has; else an error."""
    n = instance("model", model, Model).parameters.W.size
    x = np.asarray(examples(X))
    if len(x) != n:
        raise DataError(f"X has {len(x)} features; expected {n}, as the model")
    check_values("X", x, "float64", DataError)
    return x


def _figures(value: float) -> str:
    return f"{value:.6g}"
