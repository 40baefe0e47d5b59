"""How a training is looked after."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from handgrad.processes import ALONE, Processes


@dataclass(frozen=True)
class Care:
    """How a training is looked after.

    Attributes:
        every: seconds between two checkpoints; there is one after the first epoch, too, and one when it is stopped.
        stop: asked between epochs; where it says so, the state is kept and the training is over for now.
        warn: told, in a line, what the last bits may differ by.
        progress: whether a bar is shown.
        processes: among which the examples are shared; the first of them keeps the run and speaks.
    """

    every: float = 30.0
    stop: Callable[[], bool] = lambda: False
    warn: Callable[[str], None] = lambda _: None
    progress: bool = False
    processes: Processes = ALONE
