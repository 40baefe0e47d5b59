"""Kernels for `torch_triton`; Triton reads their source from this file."""

import triton
import triton.language as tl


@triton.jit
def silu_mul_forward(gate, up, out, scale, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < n
    a = tl.load(gate + at, mask=inside)
    b = tl.load(up + at, mask=inside)
    tl.store(out + at, scale * a * b / (1 + tl.exp(-a)), mask=inside)


@triton.jit
def silu_mul_backward(grad, gate, up, dgate, dup, scale, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < n
    g = scale * tl.load(grad + at, mask=inside)
    a = tl.load(gate + at, mask=inside)
    b = tl.load(up + at, mask=inside)
    sig = 1 / (1 + tl.exp(-a))
    tl.store(dgate + at, g * b * sig * (1 + a * (1 - sig)), mask=inside)
    tl.store(dup + at, g * a * sig, mask=inside)
