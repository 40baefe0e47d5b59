"""RMSNorm, as in language models: computed in float32, whatever the inputs are."""

import torch
from torch.autograd import Function


class RMSNorm(Function):
    @staticmethod
    def forward(ctx, x, weight, eps=1e-6):
        wide = x.float()
        rstd = torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)
        ctx.save_for_backward(x, weight, rstd)
        return (wide * rstd * weight.float()).to(x.dtype)

    @staticmethod
    def backward(ctx, grad_output):
        x, weight, rstd = ctx.saved_tensors
        g = grad_output.float()
        x_hat = x.float() * rstd
        g_hat = g * weight.float()
        inner = (g_hat * x_hat).mean(-1, keepdim=True)
        dx = rstd * (g_hat - x_hat * inner)
        dweight = (g * x_hat).sum(0)
        return dx.to(x.dtype), dweight.to(weight.dtype), None


RULE = RMSNorm


def inputs(rng, m=48, n=16):
    return {"x": rng.normal(size=(m, n)), "weight": rng.normal(size=n)}


FAULTS = [
    ("(g_hat - x_hat * inner)", "(g_hat + x_hat * inner)", ["x"], "wrong", ["sign"]),
    ("(g_hat - x_hat * inner)", "g_hat", ["x"], "wrong", ["missing_term"]),
    (".mean(-1, keepdim=True)\n        dx", ".sum(-1, keepdim=True)\n        dx", ["x"], "wrong", ["factor"]),
    ("g_hat = g * weight.float()", "g_hat = g", ["x"], "wrong", ["missing_derivative", "factor"]),
    ("dx = rstd * (", "dx = (", ["x"], "wrong", ["missing_derivative", "factor", "unknown"]),
    ("(g * x_hat).sum(0)", "(g * x_hat).mean(0)", ["weight"], "wrong", ["factor"]),
    ("(g * x_hat).sum(0)", "(g * x.float()).sum(0)", ["weight"], "wrong", ["missing_derivative"]),
    ("(g * x_hat).sum(0)", "x_hat.sum(0)", ["weight"], "wrong", ["grad_output"]),
    ("(g * x_hat).sum(0)", "sum((g * x_hat).to(x.dtype), 0 * weight)", ["weight"], "imprecise", ["precision"]),
    ("x_hat = x.float() * rstd", "x_hat = (x.float() * rstd).to(torch.bfloat16).float()", ["x", "weight"],
     "imprecise", ["precision"]),
]  # fmt: skip
