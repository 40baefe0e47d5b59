"""An embedding, its rows scaled by the root of their width: backward adds up what comes back for each word."""

import torch
from torch.autograd import Function


class Embedding(Function):
    @staticmethod
    def forward(ctx, weight, indices):
        ctx.save_for_backward(indices)
        ctx.shape = weight.shape
        return (weight.float()[indices] * weight.shape[1] ** 0.5).to(weight.dtype)

    @staticmethod
    def backward(ctx, grad_output):
        (indices,) = ctx.saved_tensors
        g = grad_output.float() * ctx.shape[1] ** 0.5
        dweight = torch.zeros(ctx.shape, dtype=torch.float32, device=g.device)
        dweight = dweight.index_add(0, indices, g)
        return dweight.to(grad_output.dtype), None


RULE = Embedding


def inputs(rng, m=1200, words=24, width=8):
    return {"weight": rng.normal(size=(words, width)), "indices": (rng.geometric(0.3, size=m) - 1) % words}


FAULTS = [
    ("g = grad_output.float() * ctx.shape[1] ** 0.5", "g = grad_output.float()", ["weight"], "wrong", ["factor"]),
    ("ctx.shape[1] ** 0.5", "ctx.shape[1]", ["weight"], "wrong", ["factor"]),
    ("dweight.index_add(0, indices, g)", "dweight.index_copy(0, indices, g)", ["weight"], "wrong", ["missing_term"]),
    ("dweight.index_add(0, indices, g)", "dweight.index_add(0, indices.clamp(min=1), g)", ["weight"], "wrong",
     ["boundary", "mask"]),
    ("dweight.index_add(0, indices, g)", "dweight.index_add(0, indices, g, alpha=-1)", ["weight"], "wrong", ["sign"]),
    ("index_add(0, indices, g)", "index_add(0, indices, g.sign())", ["weight"], "wrong", ["grad_output"]),
    ("index_add(0, indices, g)", "index_add(0, indices, g) / len(indices)", ["weight"], "wrong", ["factor"]),
    ("index_add(0, indices, g)", "index_add(0, indices[:-1], g[:-1])", ["weight"], "wrong",
     ["missing_term", "boundary"]),
    ("dweight = dweight.index_add(0, indices, g)",
     "dweight = grad_output.new_zeros(ctx.shape).index_put((indices,), g.to(grad_output.dtype), True)", ["weight"],
     "imprecise", ["precision"]),
    ("index_add(0, indices, g)", "index_add(0, indices, g.to(torch.bfloat16).float())", ["weight"], "imprecise",
     ["precision"]),
]  # fmt: skip
