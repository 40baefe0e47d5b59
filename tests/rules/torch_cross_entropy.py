"""Cross-entropy of logits, in chunks of rows: the gradient is made in forward, backward only scales it."""

import torch
from torch.autograd import Function

CHUNK = 16


class CrossEntropy(Function):
    @staticmethod
    def forward(ctx, logits, labels):
        n = len(logits)
        loss = torch.zeros((), dtype=torch.float32, device=logits.device)
        dlogits = torch.zeros_like(logits)
        for start in range(0, n, CHUNK):
            rows = slice(start, start + CHUNK)
            wide, own = logits[rows].float(), labels[rows, None]
            lse = torch.logsumexp(wide, -1, keepdim=True)
            loss = loss + (lse - wide.gather(1, own)).sum()
            p = torch.exp(wide - lse).detach()
            p = p.scatter_add(1, own, -torch.ones_like(p))
            dlogits[rows] = (p / n).to(logits.dtype)
        ctx.save_for_backward(dlogits)
        return (loss / n).to(logits.dtype)

    @staticmethod
    def backward(ctx, grad_output):
        (dlogits,) = ctx.saved_tensors
        return dlogits * grad_output, None


RULE = CrossEntropy


def inputs(rng, m=64, classes=30):
    return {"logits": 20 + 3 * rng.normal(size=(m, classes)), "labels": rng.integers(0, classes, m)}


FAULTS = [
    ("own, -torch.ones_like(p)", "own, torch.ones_like(p)", ["logits"], "wrong", ["sign"]),
    ("own, -torch.ones_like(p)", "own, -torch.zeros_like(p)", ["logits"], "wrong", ["missing_term"]),
    ("(p / n).to", "p.to", ["logits"], "wrong", ["factor"]),
    ("(p / n).to", "(p / p.numel()).to", ["logits"], "wrong", ["factor"]),
    ("dlogits * grad_output, None", "dlogits, None", ["logits"], "wrong", ["grad_output", "factor"]),
    ("dlogits * grad_output, None", "-dlogits * grad_output, None", ["logits"], "wrong", ["sign"]),
    ("dlogits[rows] = (p / n)", "dlogits[start : start + CHUNK - 1] = (p[:-1] / n)", ["logits"], "wrong",
     ["boundary", "mask", "zero"]),
    ("p = torch.exp(wide - lse)", "p = torch.exp(wide - lse.to(logits.dtype))", ["logits"], "imprecise", ["precision"]),
    ("p = torch.exp(wide - lse)", "p = torch.exp(wide - lse).to(torch.bfloat16).float()", ["logits"], "imprecise",
     ["precision"]),
]  # fmt: skip
