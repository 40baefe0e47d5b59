"""Pictures of what was trained, by Matplotlib: displays for a notebook, figures for files."""

from handgrad.look.displays import (
    INTERPOLATIONS,
    ContributionsDisplay,
    Display,
    FoldsDisplay,
    HistoryDisplay,
    MistakesDisplay,
    ProbabilitiesDisplay,
    ReliabilityDisplay,
    RocDisplay,
    SigmoidDisplay,
    WeightsDisplay,
)
from handgrad.look.figures import drawn, figure_of, folds, must_be_drawable, save, scores

__all__ = [
    "INTERPOLATIONS",
    "ContributionsDisplay",
    "Display",
    "FoldsDisplay",
    "HistoryDisplay",
    "MistakesDisplay",
    "ProbabilitiesDisplay",
    "ReliabilityDisplay",
    "RocDisplay",
    "SigmoidDisplay",
    "WeightsDisplay",
    "drawn",
    "figure_of",
    "folds",
    "must_be_drawable",
    "save",
    "scores",
]
