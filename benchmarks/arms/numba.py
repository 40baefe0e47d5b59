"""handgrad's Numba backend."""

from __future__ import annotations

import numba  # noqa: F401  # says that it is missing

from handgrad.benchmarks.arms import numpy


class Arm(numpy.Arm):
    backend = "numba"
    reads = 1

    def compile(self) -> None:
        # It is compiled, or read from the cache on disk, within the first call.
        self.step()
