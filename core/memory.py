"""How much memory there is."""

import math
import os
from pathlib import Path


def total() -> float:
    """Bytes that this process may use at most, on this machine and in its container; infinite if nobody says.

    Processes that torchrun started here, beside this one, have as much each.
    """
    return min(_of_the_machine(), _of_the_container()) / int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def _of_the_machine() -> float:
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):  # not on Windows
        return math.inf


def _of_the_container() -> float:
    """The limit of its control group."""
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        return math.inf if limit == "max" else float(limit)
    except (OSError, ValueError):
        return math.inf
