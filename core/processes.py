"""Several processes, on one machine or on many, that train one neuron: how they add and agree.

Each process has a share of the examples. After an exchange all have the same numbers, to the bit, and go on as if each
were alone: same parameters, same decisions. What is decided by a clock or a signal is agreed upon.

This is one process, and what any kind of several answers: those that `handgrad.torchrun` joins, and those over which a
backend spreads its device.
"""

from collections.abc import Callable
from typing import Any

from handgrad.errors import HandgradError


class DisagreementError(HandgradError):
    """What has to be the same in all processes is not."""

    exit_code = 1


class Processes:
    """One process, alone: what several do together, it does by itself.

    Attributes:
        rank: the number of this process, from 0.
        count: how many there are.
        rank_here, count_here: the same among those on this machine.
        address: of the machine of rank 0.
        ends: what is to be called when all have done their work, and last by rank 0.
        apart: whether a backend's sums are those of this process' examples only, to be added by `add`; else they are
            those of all already.
    """

    apart = False
    rank = rank_here = 0
    count = count_here = 1
    address = "localhost"

    def __init__(self) -> None:
        self.ends: list[Callable[[], None]] = []

    def share(self, m: int) -> slice:
        """Which of m examples are this process': consecutive ones, and as many in each as can be alike."""
        return slice(m * self.rank // self.count, m * (self.rank + 1) // self.count)

    def add(self, *arrays: Any) -> list[Any]:
        """Each array, or number, summed over the processes by one exchange.

        Of several processes the sums are float64, NumPy's arrays; on a GPU, if one of the arrays is a tensor there.
        """
        return list(arrays)

    def largest(self, values: list[float]) -> list[float]:
        """Of each number the largest that any process has; each waits here for all."""
        return values

    def first(self, value: Any) -> Any:
        """What rank 0 has; anything that can be pickled."""
        return value

    def everyones(self, value: Any) -> list[Any]:
        """What each process has, by rank; anything that can be pickled."""
        return [value]


ALONE = Processes()
