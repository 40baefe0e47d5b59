"""What a trained neuron did with the photographs of a data set: the numbers behind the pictures."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from handgrad.backends.numpy import Neuron, activate
from handgrad.blocks import columns
from handgrad.data import Dataset, Examples
from handgrad.data.example import Split
from handgrad.descent import History
from handgrad.look.displays import logits
from handgrad.measure import scored, sets
from handgrad.run import Model, Outcome, finished, load_history, load_model
from handgrad.scores import Score

Array = npt.NDArray[Any]
FEW = 3
"""Features of which numbers are shown."""

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


class Quantity(NamedTuple):
    """A line of the way of one photograph through the neuron and back.

    Attributes:
        name: as in the articles, "Z".
        formula: by which it comes about.
        value: in figures.
    """

    name: str
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
    """

    model: Model
    history: History
    dataset: Dataset
    outcome: Outcome
    activations: dict[str, Array]
    scores: dict[str, Score]

    @classmethod
    def of(cls, run: Path, data: Path) -> Explanation:
        """Read both.

        Raises:
            DataError: one cannot be read, or the neuron was trained on photographs of another kind.
        """
        model, history, dataset = load_model(run), load_history(run), Dataset.open(data)
        model.check_fits(dataset)
        neuron = model.neuron(Neuron)
        found = scored(neuron, model.parameters, sets(dataset))
        activations, scores = {name: A for name, (A, _) in found.items()}, {name: s for name, (_, s) in found.items()}
        return cls(model, history, dataset, finished(run), activations, scores)

    @property
    def judged(self) -> str:
        """The set to look at: that to validate on, or to learn from where there is none."""
        return list(self.activations)[-1]

    @property
    def shows_pixels(self) -> bool:
        """Whether examples can be shown as pictures."""
        return self.model.features.kind != "hog" and self.model.size[2] in (1, 3)

    @property
    def probabilities(self) -> bool:
        """Whether activations are probabilities."""
        return self.model.activation == "sigmoid"

    def examples(self, name: str) -> Examples:
        """X (n, m) and Y (1, m) of a set."""
        return sets(self.dataset)[name]

    def names(self, name: str) -> list[str]:
        """The files of a set."""
        return self.dataset.names(SPLITS[name])

    def pictures(self, name: str, which: list[int]) -> Array:
        """Examples (k, h, w, c) of a set."""
        pictures: Array = columns(self.examples(name)[0], np.array(which, np.intp)).T.reshape(-1, *self.model.size)
        return pictures

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

    def way(self, column: int) -> list[Quantity]:
        """One photograph of the judged set through X, Z, A, L and back through dA, dZ, dW, db, in figures.

        Of the features, those are shown that add most to Z, or take most from it.
        """
        model, (X, Y) = self.model, self.examples(self.judged)
        x, y = X[:, column : column + 1], float(Y[0, column])
        s, W, b = model.input_scale, model.parameters.W.astype(np.float64), float(model.parameters.b)
        most = np.argsort(-abs(W[0] * x[:, 0]), kind="stable")[:FEW]
        Z = logits(model, x)
        A, slope = (float(V[0, 0]) for V in activate(model.activation, Z))
        if model.loss == "cross_entropy":
            L, dZ = float(np.logaddexp(0, (1 - 2 * y) * Z[0, 0])), A - y
            backward = Quantity("dA", "(A - Y) / (A (1 - A))", _figures(dZ / slope) if slope else "beyond float64")
            loss, back = "-(Y log A + (1 - Y) log(1 - A))", "dA A (1 - A) = A - Y"
        else:
            L, dZ = (A - y) ** 2 / 2, (A - y) * slope
            backward = Quantity("dA", "A - Y", _figures(A - y))
            loss, back = "(A - Y)^2 / 2", "dA f'(Z)"
        function = "1 / (1 + e^-Z)" if self.probabilities else f"{model.activation}(Z)"
        return [
            Quantity("X", f"{x.size:,} bytes", _few(x[most, 0])),
            Quantity("s X", f"X times {s:.6g}", _few(s * x[most, 0])),
            Quantity("W", "learned", _few(W[0, most])),
            Quantity("Z", "W (s X) + b", f"{_figures(Z[0, 0] - b)} + {_figures(b)} = {_figures(Z[0, 0])}"),
            Quantity("A", function, _figures(A)),
            Quantity("Y", f"it is {model.classes[int(y)]}", str(int(y))),
            Quantity("L", loss, _figures(L)),
            backward,
            Quantity("dZ", back, _figures(dZ)),
            Quantity("dW", "dZ (s X)^T", _few(dZ * s * x[most, 0])),
            Quantity("db", "dZ", _figures(dZ)),
            *([Quantity("l2 W", "added to dW by the penalty", _few(model.l2 * W[0, most]))] if model.l2 else []),
        ]


def _figures(value: float) -> str:
    return f"{value:.6g}"


def _few(values: Array) -> str:
    return ", ".join(f"{value:.4g}" for value in values) + ", ..."
