"""How much memory there is left to use."""

from __future__ import annotations

import math
from pathlib import Path


def available() -> float:
    """Bytes that can still be allocated without swapping, here and within the container; infinite if nobody says."""
    return min(_left_on_the_machine(), _left_in_the_container())


def _left_on_the_machine() -> float:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024.0 * int(line.split()[1])
    except OSError:
        pass
    return math.inf


def _left_in_the_container() -> float:
    """By the limit of its control group, of which the page cache can be given back."""
    try:
        folder = Path("/sys/fs/cgroup")
        limit = (folder / "memory.max").read_text().strip()
        if limit != "max":
            statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            return float(int(limit) - int(statistics["anon"]) - int(statistics.get("shmem", 0)))
    except (OSError, ValueError, KeyError):
        pass
    return math.inf
