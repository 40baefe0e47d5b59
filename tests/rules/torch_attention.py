"""Causal attention that keeps the log-sum-exp of each row, and computes the probabilities again in backward."""

import torch
from torch.autograd import Function


class CausalAttention(Function):
    @staticmethod
    def forward(ctx, q, k, v):
        length = q.shape[1]
        scores = q.float() @ k.float().mT * q.shape[-1] ** -0.5
        later = torch.ones(length, length, dtype=torch.bool, device=q.device).tril().logical_not()
        scores = scores.masked_fill(later, -torch.inf)
        lse = torch.logsumexp(scores, -1, keepdim=True)
        ctx.save_for_backward(q, k, v, lse)
        return (torch.softmax(scores, -1) @ v.float()).to(q.dtype)

    @staticmethod
    def backward(ctx, grad_output):
        q, k, v, lse = ctx.saved_tensors
        scale = q.shape[-1] ** -0.5
        g = grad_output.float()
        hidden = torch.ones(q.shape[1], q.shape[1], dtype=torch.bool, device=q.device).triu(1)
        p = torch.exp(scale * (q.float() @ k.float().mT) - lse)
        p = p.masked_fill(hidden, 0)
        dv = p.mT @ g
        dp = g @ v.float().mT
        delta = (p * dp).sum(-1, keepdim=True)
        ds = p * (dp - delta) * scale
        dq = ds @ k.float()
        dk = ds.mT @ q.float()
        return dq.to(q.dtype), dk.to(k.dtype), dv.to(v.dtype)


RULE = CausalAttention


def inputs(rng, batch=3, length=24, width=8):
    return {
        "q": 2.5 * rng.normal(size=(batch, length, width)),
        "k": 2.5 * rng.normal(size=(batch, length, width)),
        "v": rng.normal(size=(batch, length, width)),
    }


FAULTS = [
    ("p = p.masked_fill(hidden, 0)", "", ["q", "k", "v"], "wrong", ["mask"]),
    (".triu(1)", ".triu(0)", ["q", "k", "v"], "wrong", ["mask", "boundary"]),
    ("(dp - delta)", "dp", ["q", "k"], "wrong", ["missing_term"]),
    ("(dp - delta)", "(dp + delta)", ["q", "k"], "wrong", ["sign"]),
    ("(dp - delta) * scale", "(dp - delta)", ["q", "k"], "wrong", ["factor"]),
    ("dv = p.mT @ g", "dv = p @ g", ["v"], "wrong", ["transpose", "mask"]),
    ("dk = ds.mT @ q.float()", "dk = ds @ q.float()", ["k"], "wrong", ["transpose", "mask"]),
    ("dq = ds @ k.float()", "dq = ds @ k.float() * scale", ["q"], "wrong", ["factor"]),
    ("ctx.save_for_backward(q, k, v, lse)", "ctx.save_for_backward(q, k, v, lse.to(q.dtype))", ["q", "k", "v"],
     "imprecise", ["precision"]),
    ("p = p.masked_fill(hidden, 0)", "p = p.masked_fill(hidden, 0).to(torch.bfloat16).float()", ["q", "k", "v"],
     "imprecise", ["precision"]),
]  # fmt: skip
