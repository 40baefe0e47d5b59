"""log(sum(b * exp(x))) along rows, with positive weights b for the columns."""

import torch
from torch.autograd import Function


class LogSumExp(Function):
    @staticmethod
    def forward(ctx, x, b):
        wide = x.float()
        top = wide.amax(-1, keepdim=True).detach()
        total = (b.float() * torch.exp(wide - top)).sum(-1, keepdim=True)
        ctx.save_for_backward(x, b, top, total)
        return (top + total.log())[:, 0].to(x.dtype)

    @staticmethod
    def backward(ctx, grad_output):
        x, b, top, total = ctx.saved_tensors
        g = grad_output.float()[:, None]
        p = torch.exp(x.float() - top) / total
        dx = g * p * b.float()
        db = (g * p).sum(0)
        return dx.to(x.dtype), db.to(b.dtype)


RULE = LogSumExp


def inputs(rng, m=400, n=10):
    return {"x": 30 + rng.normal(size=(m, n)), "b": rng.uniform(0.2, 2, size=n)}


FAULTS = [
    ("dx = g * p * b.float()", "dx = -g * p * b.float()", ["x"], "wrong", ["sign"]),
    ("dx = g * p * b.float()", "dx = g * p", ["x"], "wrong", ["missing_derivative", "factor"]),
    ("dx = g * p * b.float()", "dx = p * b.float()", ["x"], "wrong", ["grad_output"]),
    ("db = (g * p).sum(0)", "db = (g * p).mean(0)", ["b"], "wrong", ["factor"]),
    ("db = (g * p).sum(0)", "db = (g.mean() * p).sum(0)", ["b"], "wrong", ["grad_output"]),
    ("db = (g * p).sum(0)", "db = dx.sum(0)", ["b"], "wrong", ["factor", "missing_derivative"]),
    ("p = torch.exp(x.float() - top) / total", "p = torch.exp(x.float() - top)", ["x", "b"], "wrong",
     ["missing_derivative"]),
    ("p * b.float()", "p * b.float() * (torch.arange(x.numel(), device=x.device).view(x.shape) != 50)", ["x"], "wrong",
     ["single_entry"]),
    ("p = torch.exp(x.float() - top) / total", "p = torch.exp(x.float() - (top + total.log()).to(x.dtype))", ["x", "b"],
     "imprecise", ["precision"]),
    ("(g * p).sum(0)", "sum((g * p).to(x.dtype), torch.zeros_like(b))", ["b"], "imprecise", ["precision"]),
]  # fmt: skip
