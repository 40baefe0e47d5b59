"""The articles' own step, the baseline: NumPy in float64, two passes over X, which was scaled beforehand."""

from __future__ import annotations

from typing import Any

import numpy as np

from handgrad.benchmarks import arms


class Arm(arms.Arm):
    dtype = "float64"

    def place(self, work: arms.Work) -> None:
        self.X = work.X * work.input_scale
        self.Y, self.W, self.b, self.loss = work.Y.astype(np.float64), work.W, work.b, work.loss

    def step(self) -> tuple[Any, Any, Any]:
        X, Y, m = self.X, self.Y, self.X.shape[1]
        Z = self.W @ X + self.b
        A = 1 / (1 + np.exp(-Z))
        if self.loss == "cross_entropy":
            J = -np.sum(Y * np.log(A) + (1 - Y) * np.log(1 - A)) / m
            dZ = A - Y
        else:
            J = np.sum((A - Y) ** 2) / (2 * m)
            dZ = (A - Y) * A * (1 - A)
        return J, dZ @ X.T / m, np.sum(dZ) / m

    def wait(self, result: tuple[Any, Any, Any]) -> None:
        """NumPy returns when it is done."""
