"""The fused step for PyTorch, as a Triton kernel; `handgrad.backends.fused` says how it goes."""

# mypy: disable-error-code="assignment,import-not-found,import-untyped,no-untyped-call,no-untyped-def,untyped-decorator"
# Triton's language is not Python's, and it is seldom installed where types are checked.

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch.autograd.function import once_differentiable

from handgrad.backends.fused import STAGES, WARPS, fits, tiling

__all__ = ["fits", "loss_sum"]


def loss_sum(
    W: torch.Tensor, b: torch.Tensor, X: torch.Tensor, Y: torch.Tensor, input_scale: float, activation: str, loss: str
) -> torch.Tensor:
    """L summed over the examples, of which autograd takes dW and db; to be differentiated once, by W and b.

    Args:
        W: (1, n) and b: (), float32.
        X: (n, m), uint8 or float32, the transpose of contiguous rows; on a CUDA device, as is all else.
        Y: (1, m), 0 or 1, float32.
        input_scale: s.
        activation: as the neuron's.
        loss: as the neuron's.
    """
    summed: torch.Tensor = _LossSum.apply(W, b, X, Y, input_scale, activation, loss)
    return summed


class _LossSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, W: Any, b: Any, X: Any, Y: Any, input_scale: float, activation: str, loss: str) -> Any:
        n, m = X.shape
        rows = X.T.contiguous()
        cut = tiling(m, n, X.element_size())
        parts = torch.empty((cut.programs, n + 2), dtype=torch.float32, device=X.device)
        with torch.cuda.device_of(X):
            _read[cut.programs,](
                *(rows, W.contiguous(), b, Y.contiguous(), parts, m, input_scale, cut.rows),
                *(n, activation, loss, cut.height, cut.width, cut.tiles, STAGES),
                num_warps=WARPS,
                enable_fp_fusion=True,
            )
        total = parts.sum(0)
        ctx.save_for_backward(total)
        return total[n]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *cotangents: Any) -> Any:
        (total,) = ctx.saved_tensors
        total = cotangents[0] * total
        return total[None, :-2], total[-1], None, None, None, None, None


@triton.jit
def _loss(Z, Y, ACTIVATION: tl.constexpr, LOSS: tl.constexpr):
    """L and dZ = dL/dZ of some examples; no exponential overflows, and no difference cancels."""
    E = tl.exp(-tl.abs(Z))
    right, left = 1 / (1 + E), E / (1 + E)  # the sigmoid of |Z|, and of -|Z|
    if LOSS == "cross_entropy":  # L = log(1 + e^S), where S is Z for class 0 and -Z for class 1; dZ = A - Y
        S = tl.where(Y == 0, Z, -Z)
        U = 1 + E  # log(1 + E) = log(U) E / (U - 1), where the rounding of U cancels (Goldberg, 1991, theorem 4)
        L = tl.maximum(S, 0) + tl.where(U == 1, E, tl.log(U) * (E / tl.where(U == 1, 1, U - 1)))
        return L, tl.where(S >= 0, right, left) * tl.where(Y == 0, 1, -1)
    if ACTIVATION == "sigmoid":
        A, dA_dZ = tl.where(Z >= 0, right, left), right * left
    elif ACTIVATION == "tanh":
        E, D = E * E, 2 * tl.abs(Z)
        near = (E > 0.5) & (E < 1)  # 1 - e^-D, again of a rounded E; far from 0 nothing cancels, and at 0 it is D
        D = tl.where(E == 1, D, (1 - E) * tl.where(near, D / -tl.log(tl.where(near, E, 0.5)), 1))
        A, dA_dZ = tl.where(Z >= 0, D, -D) / (1 + E), 4 * E / ((1 + E) * (1 + E))  # 1 - A^2
    elif ACTIVATION == "relu":
        A, dA_dZ = tl.where(Z != Z, Z, tl.maximum(Z, 0)), tl.where(Z > 0, 1.0, 0.0)  # a NaN has to be seen
    else:
        A, dA_dZ = Z, Z * 0 + 1
    return (A - Y) * (A - Y) / 2, (A - Y) * dA_dZ


@triton.jit
def _read(
    X,
    W,
    b,
    Y,
    parts,
    m,
    s,
    rows,
    n: tl.constexpr,
    ACTIVATION: tl.constexpr,
    LOSS: tl.constexpr,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    TILES: tl.constexpr,
    STAGES: tl.constexpr,
):
    """One program: reads its rows of X (m, n) and writes its row of parts (programs, n + 2), which is dW, loss, db."""
    first = tl.program_id(0).to(tl.int64) * rows
    X += first * n
    Y += first
    parts += tl.program_id(0) * (n + 2)
    rows = tl.minimum(rows, m - first).to(tl.int32)
    columns = tl.arange(0, WIDTH)
    sW = ()
    for k in tl.static_range(TILES):
        j = k * WIDTH + columns
        sW += (s * tl.load(W + j, mask=j < n, other=0),)
    dW = (tl.zeros((WIDTH,), tl.float32),) * TILES
    losses, db = tl.zeros((HEIGHT,), tl.float32), tl.zeros((HEIGHT,), tl.float32)
    for start in tl.range(0, rows, HEIGHT, num_stages=STAGES):
        i = start + tl.arange(0, HEIGHT)
        x = ()
        products = tl.zeros((HEIGHT, WIDTH), tl.float32)
        for k in tl.static_range(TILES):
            j = k * WIDTH + columns
            x += (tl.load(X + i[:, None] * n + j[None, :], mask=(i < rows)[:, None] & (j < n)[None, :], other=0),)
            products += x[k].to(tl.float32) * sW[k][None, :]
        Z = tl.sum(products, 1) + tl.load(b)
        L, dZ = _loss(Z, tl.load(Y + i, mask=i < rows, other=0), ACTIVATION, LOSS)
        dZ = tl.where(i < rows, dZ, 0)
        losses += tl.where(i < rows, L, 0)
        db += dZ
        added = ()
        for k in tl.static_range(TILES):
            added += (dW[k] + tl.sum((s * dZ)[:, None] * x[k].to(tl.float32), 0),)
        dW = added
    for k in tl.static_range(TILES):
        j = k * WIDTH + columns
        tl.store(parts + j, dW[k], mask=j < n)
    tl.store(parts + n, tl.sum(losses))
    tl.store(parts + n + 1, tl.sum(db))
