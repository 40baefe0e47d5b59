"""scikit-learn's loss and gradient, that of its LogisticRegression."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn._loss import HalfBinomialLoss
from sklearn.linear_model._linear_loss import LinearModelLoss

from handgrad.benchmarks import arms
from handgrad.errors import UsageError


class Arm(arms.Arm):
    def place(self, work: arms.Work) -> None:
        if work.loss != "cross_entropy":
            raise UsageError(f"scikit-learn has no neuron with loss {work.loss}")
        dtype = np.dtype(work.dtype)
        self.X = np.ascontiguousarray(work.X.T, dtype) * dtype.type(work.input_scale)  # (m, n), as there
        self.y = work.Y[0].astype(dtype)
        self.coefficients = np.append(work.W[0], work.b).astype(dtype)
        self.loss = LinearModelLoss(HalfBinomialLoss(), fit_intercept=True)

    def step(self) -> tuple[Any, Any, Any]:
        J, gradient = self.loss.loss_gradient(self.coefficients, self.X, self.y)
        return self.X.dtype.type(J), gradient[None, :-1], gradient[-1]

    def wait(self, result: tuple[Any, Any, Any]) -> None:
        """It returns when it is done."""
