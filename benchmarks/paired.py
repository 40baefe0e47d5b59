"""What times of two arms, taken in the same rounds, say of their ratio."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

MARGIN = 1.05
"""Two arms are the same if their times are within this factor."""
RESAMPLES = 4000


class Interval(NamedTuple):
    """A median and its 95 % interval."""

    median: float
    low: float
    high: float


def median(values: Array, seed: int = 0) -> Interval:
    """The median with its percentile bootstrap interval (Efron and Tibshirani, "An Introduction to the Bootstrap",
    1993, chapter 13).
    """
    rng = np.random.default_rng(seed)
    values = np.asarray(values, float)
    drawn = np.median(values[rng.integers(0, len(values), (RESAMPLES, len(values)))], axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(float(np.median(values)), float(low), float(high))


def ratio(times: Array, others: Array) -> Interval:
    """The median of times / others, round by round: what slows the machine for a while slows both."""
    found = median(np.log(np.asarray(times, float) / np.asarray(others, float)))
    return Interval(*(float(np.exp(value)) for value in found))


def ratio_of_medians(times: Array, others: Array, seed: int = 0) -> Interval:
    """median(times) / median(others), for times that were not taken in the same rounds."""
    rng = np.random.default_rng(seed)
    times, others = np.asarray(times, float), np.asarray(others, float)
    drawn = [np.median(V[rng.integers(0, len(V), (RESAMPLES, len(V)))], axis=1) for V in (times, others)]
    low, high = np.quantile(drawn[0] / drawn[1], [0.025, 0.975])
    return Interval(float(np.median(times) / np.median(others)), float(low), float(high))


def verdict(found: Interval) -> str:
    """Whether the whole interval is beyond MARGIN, below its inverse or between the two; else nobody can tell."""
    if found.low > MARGIN:
        return "slower"
    if found.high < 1 / MARGIN:
        return "faster"
    if found.low > 1 / MARGIN and found.high < MARGIN:
        return "same"
    return "can't tell"


def exponent(sizes: Array, times: list[Array], seed: int = 0) -> Interval:
    """P of time ~ size^p, by least squares on the logarithms; its interval by resampling the rounds of each size."""
    rng = np.random.default_rng(seed)
    x = np.log(np.asarray(sizes, float))

    def slope(medians: Array) -> float:
        return float(np.polyfit(x, np.log(medians), 1)[0])

    drawn = [slope(np.array([np.median(rng.choice(t, len(t))) for t in times])) for _ in range(400)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(slope(np.array([np.median(t) for t in times])), float(low), float(high))
