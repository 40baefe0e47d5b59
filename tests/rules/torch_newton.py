"""The root y of y^3 + a y = b by Newton's iteration, differentiated by the implicit function theorem."""

import torch
from torch.autograd import Function

STEPS = 30


def iterate(a, b):
    y = torch.zeros_like(b)
    for _ in range(STEPS):
        y = (2 * y**3 + b) / (3 * y**2 + a)
    return y


class Root(Function):
    @staticmethod
    def forward(ctx, a, b):
        with torch.no_grad():
            y = iterate(a.float(), b.float())
        ctx.save_for_backward(a, b, y)
        return y.to(b.dtype)

    @staticmethod
    def backward(ctx, grad_output):
        a, b, y = ctx.saved_tensors
        g = grad_output.float()
        slope = 3 * y * y + a.float()
        db = g / slope
        da = -(g * y / slope).sum(0)
        return da.to(a.dtype), db.to(b.dtype)


RULE = Root
OPTIONS = {"reference": lambda a, b: iterate(a.float(), b.float()).to(b.dtype)}


def inputs(rng, m=560, n=8):
    return {"a": rng.uniform(0.5, 2, size=n), "b": 2 * rng.normal(size=(m, n))}


FAULTS = [
    ("da = -(g * y", "da = (g * y", ["a"], "wrong", ["sign"]),
    ("da = -(g * y / slope)", "da = -(g / slope)", ["a"], "wrong", ["missing_derivative", "factor"]),
    ("3 * y * y + a.float()", "3 * y * y", ["a", "b"], "wrong", ["missing_term"]),
    ("3 * y * y + a.float()", "2 * y * y + a.float()", ["a", "b"], "wrong", ["factor"]),
    ("3 * y * y + a.float()", "3 * y * y - a.float()", ["a", "b"], "wrong", ["sign"]),
    ("db = g / slope", "db = 1 / slope", ["b"], "wrong", ["grad_output"]),
    ("db = g / slope", "db = g", ["b"], "wrong", ["missing_derivative", "straight_through"]),
    ("/ slope).sum(0)", "/ slope).mean(0)", ["a"], "wrong", ["factor"]),
    ("-(g * y / slope).sum(0)", "-sum((g * y / slope).to(a.dtype), torch.zeros_like(a))", ["a"], "imprecise",
     ["precision"]),
    ("save_for_backward(a, b, y)", "save_for_backward(a, b, y.to(torch.bfloat16).float())", ["a", "b"], "imprecise",
     ["precision"]),
]  # fmt: skip
