"""A learned clipping, as in quantisation before anything is rounded: in units of a scale, cut off at both ends."""

import torch
from torch.autograd import Function

LOW, HIGH = -8, 7


class Clip(Function):
    @staticmethod
    def forward(ctx, x, scale):
        ctx.save_for_backward(x, scale)
        units = x.float() / scale.float()
        return (torch.clamp(units, LOW, HIGH) * scale.float()).to(x.dtype)

    @staticmethod
    def backward(ctx, grad_output):
        x, scale = ctx.saved_tensors
        g = grad_output.float()
        codes = x.float() / scale.float()
        inside = (codes > LOW) & (codes < HIGH)
        ends = codes.clamp(LOW, HIGH)
        dx = g * inside
        dscale = (g * (ends - codes * inside)).sum(0)
        return dx.to(x.dtype), dscale.to(scale.dtype)


RULE = Clip


def inputs(rng, m=450, n=8):
    return {"x": 16 * rng.normal(size=(m, n)), "scale": rng.uniform(0.6, 1.6, size=n)}


FAULTS = [
    ("dx = g * inside", "dx = g", ["x"], "wrong", ["mask", "missing_derivative"]),
    ("(codes > LOW) & (codes < HIGH)", "codes < HIGH", ["x", "scale"], "wrong", ["mask", "boundary"]),
    ("dx = g * inside", "dx = g * inside / scale.float()", ["x"], "wrong", ["factor", "missing_derivative"]),
    ("dx = g * inside", "dx = g * ~inside", ["x"], "wrong", ["mask"]),
    ("(ends - codes * inside)", "ends", ["scale"], "wrong", ["missing_term"]),
    ("(ends - codes * inside)", "(ends + codes * inside)", ["scale"], "wrong", ["sign"]),
    (").sum(0)", ").mean(0)", ["scale"], "wrong", ["factor"]),
    ("(torch.clamp(units, LOW, HIGH) * scale.float())", "(torch.clamp(units.round(), LOW, HIGH) * scale.float())",
     ["x", "scale"], "wrong", ["straight_through"]),
    ("(g * (ends - codes * inside)).sum(0)", "sum((g * (ends - codes * inside)).to(x.dtype), torch.zeros_like(scale))",
     ["scale"], "imprecise", ["precision"]),
    ("ends = codes.clamp(LOW, HIGH)", "ends = codes.to(torch.bfloat16).float().clamp(LOW, HIGH)", ["scale"],
     "imprecise", ["precision"]),
]  # fmt: skip
