"""Pictures of what was trained, by Matplotlib."""

from handgrad.look.figures import folds, must_be_drawable, save, scores

__all__ = ["folds", "must_be_drawable", "save", "scores"]
