"""How good predictions are, and how sure one may be of that."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

Z95 = 1.959963984540054
"""The 97.5th percentile of the normal distribution."""

BINS = 10


def wilson(right: int, m: int) -> tuple[float, float]:
    """The 95 % interval for a share of which `right` of m trials gave evidence; (0, 1) without any.

    (p + z^2 / 2m +- z sqrt(p (1 - p) / m + z^2 / 4m^2)) / (1 + z^2 / m), with p = right / m: unlike p +- 2 s it never
    leaves 0 to 1, and it is right for few trials too (Wilson, "Probable Inference", 1927; Brown, Cai and DasGupta,
    "Interval Estimation for a Binomial Proportion", 2001).
    """
    if m == 0:
        return 0.0, 1.0
    p, z = right / m, Z95
    middle, half = p + z * z / (2 * m), z * math.sqrt(p * (1 - p) / m + z * z / (4 * m * m))
    low, high = ((middle + sign * half) / (1 + z * z / m) for sign in (-1, 1))
    return (0.0 if right == 0 else low), (1.0 if right == m else high)


def roc_area(A: Array, Y: Array) -> float | None:
    """The chance that an example of class 1 has a larger A than one of class 0, ties counting half; 0 to 1.

    The area under the ROC curve (Hanley and McNeil, 1982), by ranks; None where a class has no example.

    Args:
        A: (1, m), activations.
        Y: (1, m), 0 or 1.
    """
    A, Y = A.ravel(), Y.ravel() == 1
    ones = int(Y.sum())
    zeros = Y.size - ones
    if not (ones and zeros):
        return None
    _, place, times = np.unique(A, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(times) - (times - 1) / 2)[place]  # from 1; of equal ones the mean
    return float((ranks[Y].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def roc_curve(A: Array, Y: Array) -> tuple[Array, Array]:
    """Shares of class 0 and of class 1 with A above a threshold, as it falls from above all A to below: (k,) each.

    Args:
        A: (1, m), activations.
        Y: (1, m), 0 or 1; both are there.
    """
    order = np.argsort(-A.ravel(), kind="stable")
    A, Y = A.ravel()[order], Y.ravel()[order] == 1
    ends = np.flatnonzero(np.append(A[1:] != A[:-1], True))  # equal ones pass together
    zeros, ones = (np.append(0, np.cumsum(of)[ends] / of.sum()) for of in (~Y, Y))
    return zeros, ones


class Bin(NamedTuple):
    """The examples whose predicted probability lies in one tenth of 0 to 1.

    Attributes:
        low, high: of the tenth.
        examples: how many.
        predicted: the mean of their probabilities of class 1.
        observed: the share that are of class 1.
        interval: 95 %, of what is observed.
    """

    low: float
    high: float
    examples: int
    predicted: float
    observed: float
    interval: tuple[float, float]


def reliability(A: Array, Y: Array) -> list[Bin]:
    """Of examples that are said to be of class 1 with some probability, how many are; tenths without any are left out.

    Args:
        A: (1, m), probabilities.
        Y: (1, m), 0 or 1.
    """
    A, Y = A.ravel().astype(np.float64), Y.ravel()
    which = np.minimum((A * BINS).astype(int), BINS - 1)
    found = []
    for i in range(BINS):
        inside = which == i
        m, ones = int(inside.sum()), int(Y[inside].sum())
        if m:
            bounds = i / BINS, (i + 1) / BINS
            found.append(Bin(*bounds, m, float(A[inside].mean()), ones / m, wilson(ones, m)))
    return found


@dataclass(frozen=True)
class Score:
    """How a trained neuron does on a set of examples.

    Attributes:
        examples: how many.
        cost: the mean loss, without the penalty.
        accuracy: the share whose class is right.
        accuracy_interval: 95 %, by Wilson: where the share among all such photographs may lie.
        roc_area: see `roc_area`.
        confusion: of each true class, 0 and then 1, how many were taken for class 0 and for class 1.
        reliability: see `reliability`; None where activations are no probabilities.
    """

    examples: int
    cost: float
    accuracy: float
    accuracy_interval: tuple[float, float]
    roc_area: float | None
    confusion: tuple[tuple[int, int], tuple[int, int]]
    reliability: list[Bin] | None

    def to_json(self) -> dict[str, Any]:
        """The same as values that ``json.dumps`` takes."""
        bins = None if self.reliability is None else [one._asdict() for one in self.reliability]
        return asdict(self) | {"reliability": bins}

    @classmethod
    def of(cls, cost: float, A: Array, Y: Array, *, probabilities: bool) -> Score:
        """Of activations A (1, m) for labels Y (1, m)."""
        taken, true = A.ravel() > 0.5, Y.ravel() == 1
        (a, b), (c, d) = ((int((~taken & of).sum()), int((taken & of).sum())) for of in (~true, true))
        m = Y.size
        return cls(
            examples=m,
            cost=cost,
            accuracy=(a + d) / m,
            accuracy_interval=wilson(a + d, m),
            roc_area=roc_area(A, Y),
            confusion=((a, b), (c, d)),
            reliability=reliability(A, Y) if probabilities else None,
        )
