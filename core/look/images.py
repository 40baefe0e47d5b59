"""The figures of an explanation, as displays and as files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from handgrad import store
from handgrad.explanation import EXAMPLES, WORST, Explanation
from handgrad.look import displays
from handgrad.look.figures import drawn, figure_of


def figures_of(explanation: Explanation) -> Iterator[tuple[str, displays.Display]]:
    """All that there are for it, by name."""
    e, judged = explanation, explanation.judged
    (X, Y), A, classes = e.examples(judged), e.activations[judged], e.model.classes
    if len(e.history):
        yield "history", displays.HistoryDisplay.from_history(e.history)
    if e.probabilities:
        yield "sigmoid", displays.SigmoidDisplay.from_model(e.model, *(V[:, :EXAMPLES] for V in (X, Y)))
    yield "weights", displays.WeightsDisplay.from_model(e.model)
    if e.shows_pixels:
        yield "one", contributions(e, e.undecided(1))
        yield "contributions", contributions(e, e.chosen())
    yield "probabilities", displays.ProbabilitiesDisplay(A, Y, classes)
    if e.probabilities:
        yield "reliability", displays.ReliabilityDisplay.from_predictions(A, Y)
    if e.scores[judged].roc_area is not None:
        yield "roc", displays.RocDisplay.from_predictions(A, Y)
    worst = e.mistakes(judged)[:WORST]
    if e.shows_pictures and worst:
        titles = [f"{mistake.file[-22:]}\n{mistake.true}, A = {mistake.A:.2f}" for mistake in worst]
        pictures = np.stack(e.pictures(judged, [mistake.column for mistake in worst]))
        yield "mistakes", displays.MistakesDisplay(pictures, titles)


def contributions(e: Explanation, columns: list[int]) -> displays.ContributionsDisplay:
    """W * x of some photographs of the judged set, below them."""
    A, Y = e.activations[e.judged][0], e.examples(e.judged)[1][0]
    titles = [f"{e.model.classes[int(Y[i])]}, A = {A[i]:.2f}" for i in columns]
    return displays.ContributionsDisplay.from_model(e.model, e.examples(e.judged)[0][:, columns], titles)


def write_images(explanation: Explanation, folder: Path) -> None:
    """The figures as PNG files, and all mistakes as a table, in a new or empty folder.

    Raises:
        UsageError: the folder is taken or cannot be written.
    """
    with store.new_folder(folder) as temporary:
        for name, display in figures_of(explanation):
            (temporary / f"{name}.png").write_bytes(drawn(figure_of(display), "png"))
        (temporary / "mistakes.csv").write_text(explanation.mistakes_csv(), encoding="utf-8")
