"""Which photographs come first, and which are kept for validation: random, stratified, decided by the seed."""

from collections.abc import Sequence
from fractions import Fraction
from math import floor
from typing import TypeVar

import numpy as np

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


def is_validation(k: int, share: Fraction) -> bool:
    """Whether item k = 0, 1, ... of a class is for validation: floor(share c) of its first c items are, for every c."""
    return floor((k + 1) * share) > floor(k * share)
