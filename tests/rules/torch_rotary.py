"""Rotary positions on queries and keys, halves turned against each other; the angles are made again in backward."""

import numpy as np
import torch
from torch.autograd import Function


def table(positions, dim, dtype):
    frequencies = 10000.0 ** (-torch.arange(0, dim, 2, device=positions.device).to(dtype) / dim)
    angles = positions[:, None, None].to(dtype) * torch.cat([frequencies, frequencies])
    return angles.cos(), angles.sin()


def turn(x, cos, sin):
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat([-second, first], -1) * sin


class Rotary(Function):
    @staticmethod
    def forward(ctx, q, k, positions):
        ctx.save_for_backward(positions)
        cos, sin = table(positions, q.shape[-1], torch.float32)
        return turn(q.float(), cos, sin).to(q.dtype), turn(k.float(), cos, sin).to(k.dtype)

    @staticmethod
    def backward(ctx, grad_q, grad_k):
        (positions,) = ctx.saved_tensors
        dim = grad_q.shape[-1]
        cos, sin = table(positions, dim, torch.float32)
        dq = turn(grad_q.float(), cos, -sin)
        dk = turn(grad_k.float(), cos, -sin)
        return dq.to(grad_q.dtype), dk.to(grad_k.dtype), None


RULE = Rotary


def inputs(rng, length=40, heads=2, half=8):
    return {
        "q": rng.normal(size=(length, heads, 2 * half)),
        "k": rng.normal(size=(length, heads, 2 * half)),
        "positions": np.arange(length) * 7,
    }


FAULTS = [
    ("dq = turn(grad_q.float(), cos, -sin)", "dq = turn(grad_q.float(), cos, sin)", ["q"], "wrong", ["sign"]),
    ("dk = turn(grad_k.float(), cos, -sin)", "dk = turn(grad_k.float(), cos, sin)", ["k"], "wrong", ["sign"]),
    ("dk = turn(grad_k.float(), cos, -sin)", "dk = grad_k.float() * cos", ["k"], "wrong", ["missing_term"]),
    ("dq = turn(grad_q.float(), cos, -sin)", "dq = grad_q.float()", ["q"], "wrong", ["missing_derivative"]),
    ("dq = turn(grad_q.float(), cos", "dq = turn(grad_k.float(), cos", ["q"], "wrong", ["swapped", "grad_output"]),
    ("dq.to(grad_q.dtype), dk.to(grad_k.dtype)", "dk.to(grad_k.dtype), dq.to(grad_q.dtype)", ["q", "k"], "wrong",
     ["swapped"]),
    ("dk = turn(grad_k.float(), cos, -sin)", "dk = torch.zeros_like(grad_k)", ["k"], "wrong", ["zero"]),
    ("cos, sin = table(positions, dim, torch.float32)", "cos, sin = table(positions, dim, grad_q.dtype)", ["q", "k"],
     "imprecise", ["precision"]),
    ("dq = turn(grad_q.float(), cos", "dq = turn(grad_q.to(torch.bfloat16).float(), cos", ["q"], "imprecise",
     ["precision"]),
    ("dk = turn(grad_k.float(), cos, -sin)", "dk = turn(grad_k.float(), cos, -sin.to(torch.bfloat16).float())", ["k"],
     "imprecise", ["precision"]),
]  # fmt: skip
