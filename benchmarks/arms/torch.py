"""handgrad's PyTorch backend."""

from __future__ import annotations

from typing import Any

import torch

from handgrad.benchmarks.arms import numpy


class Arm(numpy.Arm):
    backend = "torch"
    devices = ("cpu", "cuda")

    def wait(self, result: tuple[Any, Any, Any]) -> None:
        if result[0].is_cuda:
            torch.cuda.synchronize()
