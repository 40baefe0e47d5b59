"""PyTorch as a user would write it, through `torch.compile`."""

from __future__ import annotations

import torch

from handgrad.benchmarks.arms import torch_eager


class Arm(torch_eager.Arm):
    def compile(self) -> None:
        self.cost = torch.compile(super().cost)  # type: ignore[method-assign]
        self.wait(self.step())
