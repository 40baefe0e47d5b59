"""GELU in its tanh form, with forward and setup_context apart."""

import math

import torch
from torch.autograd import Function

SCALE = math.sqrt(2 / math.pi)
CUBIC = 0.044715


class GELU(Function):
    @staticmethod
    def forward(x):
        wide = x.float()
        return (wide / 2 * (1 + torch.tanh(SCALE * wide * (1 + CUBIC * wide.square())))).to(x.dtype)

    @staticmethod
    def setup_context(ctx, inputs, _output):
        (x,) = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx, grad_output):
        (x,) = ctx.saved_tensors
        wide = x.float()
        inner = SCALE * (wide + CUBIC * wide**3)
        t = torch.tanh(inner)
        slope = SCALE * (1 + 3 * CUBIC * wide**2)
        dx = 0.5 * (1 + t) + 0.5 * wide * (1 - t * t) * slope
        return (grad_output.float() * dx).to(x.dtype)


RULE = GELU


def inputs(rng, m=40, n=30):
    return {"x": 2.5 * rng.normal(size=(m, n))}


FAULTS = [
    ("0.5 * (1 + t) + 0.5 * wide", "0.5 * wide", ["x"], "wrong", ["missing_term"]),
    ("0.5 * (1 + t) + 0.5 * wide * (1 - t * t) * slope", "0.5 * (1 + t)", ["x"], "wrong", ["missing_term"]),
    ("+ 0.5 * wide * (1", "- 0.5 * wide * (1", ["x"], "wrong", ["sign"]),
    ("* (1 - t * t) * slope", "* slope", ["x"], "wrong", ["missing_derivative"]),
    ("3 * CUBIC * wide**2", "CUBIC * wide**2", ["x"], "wrong", ["factor", "missing_term"]),
    ("slope = SCALE * (1 + 3", "slope = (1 + 3", ["x"], "wrong", ["factor"]),
    ("grad_output.float() * dx", "dx", ["x"], "wrong", ["grad_output"]),
    ("0.5 * (1 + t)", "(1 + t)", ["x"], "wrong", ["factor", "missing_derivative"]),
    ("slope = SCALE * (1 + 3 * CUBIC * wide**2)",
     "slope = SCALE * (1 + 3 * CUBIC * wide**2).to(torch.bfloat16).float()", ["x"], "imprecise", ["precision"]),
    ("t = torch.tanh(inner)", "t = torch.tanh(inner).to(torch.bfloat16).float()", ["x"], "imprecise", ["precision"]),
]  # fmt: skip
