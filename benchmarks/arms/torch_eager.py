"""PyTorch as a user would write it: eager, autograd."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from handgrad.benchmarks import arms


class Arm(arms.Arm):
    devices = ("cpu", "cuda")

    def place(self, work: arms.Work) -> None:
        dtype = getattr(torch, work.dtype)

        def put(V: Any) -> torch.Tensor:
            return torch.as_tensor(V).to(work.device).to(dtype)

        self.X, self.Y = put(work.X) * work.input_scale, put(work.Y)
        self.W, self.b = put(work.W).requires_grad_(), put(work.b).requires_grad_()
        self.squared = work.loss == "squared_error"
        self.wait((self.X, self.Y, self.b))

    def cost(self, W: torch.Tensor, b: torch.Tensor, X: torch.Tensor, Y: torch.Tensor) -> torch.Tensor:
        Z = W @ X + b
        if self.squared:
            return functional.mse_loss(torch.sigmoid(Z), Y) / 2
        return functional.binary_cross_entropy_with_logits(Z, Y)

    def step(self) -> tuple[Any, Any, Any]:
        J = self.cost(self.W, self.b, self.X, self.Y)
        dW, db = torch.autograd.grad(J, (self.W, self.b))
        return J.detach(), dW, db

    def wait(self, result: tuple[Any, Any, Any]) -> None:
        if result[0].is_cuda:
            torch.cuda.synchronize()
