"""Which photographs come first, and which are kept apart from training: random, stratified, decided by the seed."""

from collections.abc import Sequence
from fractions import Fraction
from typing import TypeVar

import numpy as np

from handgrad.data.example import Split

T = TypeVar("T")


def stratified_order(groups: Sequence[Sequence[T]], seed: int) -> list[T]:
    """All items in random order, such that every prefix holds each group in its overall share, to within one item.

    Each group is shuffled; item r of a group of c is then placed at (r + 1/2) / c of the way.

    Args:
        groups: the items of each class; their order matters, so it should not depend on chance.
        seed: of ``numpy.random.default_rng``; the same seed gives the same order.
    """
    generator = np.random.default_rng(seed)
    placed = [
        ((rank + 0.5) / len(group), which, group[index])
        for which, group in enumerate(groups)
        for rank, index in enumerate(generator.permutation(len(group)))
    ]
    return [item for _, _, item in sorted(placed, key=lambda place: place[:2])]


def split_of(k: int, validation: Fraction, test: Fraction) -> Split:
    """Where item k = 0, 1, ... of a class goes: of its first c items, floor(test c) are for the test, for every c.

    Of the r others, floor(r validation / (1 - test)) are for validation: which ones are for the test does not depend
    on what share is for validation.
    """
    tested = _floor(k + 1, test)
    if tested > _floor(k, test):
        return "test"
    j, share = k - tested, validation if test == 0 else validation / (1 - test)
    return "valid" if _floor(j + 1, share) > _floor(j, share) else "train"


def _floor(k: int, share: Fraction) -> int:
    """floor(share k), in whole numbers, since it is asked for each photograph."""
    return k * share.numerator // share.denominator
