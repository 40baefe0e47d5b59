"""A sparse matrix, by its entries and their places, times a dense one."""

import torch
from torch.autograd import Function

SIZE = 12


class SparseDense(Function):
    @staticmethod
    def forward(ctx, values, rows, columns, dense):
        ctx.save_for_backward(values, rows, columns, dense)
        out = torch.zeros(SIZE, dense.shape[1], dtype=torch.float32, device=dense.device)
        return out.index_add(0, rows, values.float()[:, None] * dense.float()[columns]).to(dense.dtype)

    @staticmethod
    def backward(ctx, grad_output):
        values, rows, columns, dense = ctx.saved_tensors
        g = grad_output.float()[rows]
        dvalues = (g * dense.float()[columns]).sum(-1)
        ddense = torch.zeros(dense.shape, dtype=torch.float32, device=dense.device)
        ddense = ddense.index_add(0, columns, values.float()[:, None] * g)
        return dvalues.to(values.dtype), None, None, ddense.to(dense.dtype)


RULE = SparseDense


def inputs(rng, n=240, stored=100):
    return {
        "values": rng.normal(size=stored),
        "rows": rng.integers(0, SIZE, stored),
        "columns": rng.integers(0, SIZE, stored),
        "dense": rng.normal(size=(SIZE, n)),
    }


FAULTS = [
    ("(g * dense.float()[columns])", "(g * dense.float()[rows])", ["values"], "wrong", ["transpose", "mask"]),
    ("g = grad_output.float()[rows]", "g = grad_output.float()[columns]", ["values", "dense"], "wrong",
     ["transpose", "mask"]),
    ("columns, values.float()[:, None] * g", "columns, g", ["dense"], "wrong", ["missing_derivative", "factor"]),
    ("ddense.index_add(0, columns", "ddense.index_copy(0, columns", ["dense"], "wrong", ["missing_term"]),
    ("(g * dense.float()[columns]).sum(-1)", "(g * dense.float()[columns]).mean(-1)", ["values"], "wrong", ["factor"]),
    ("dvalues = (g * dense", "dvalues = (dense", ["values"], "wrong", ["grad_output"]),
    ("dvalues = (g * dense", "dvalues = -(g * dense", ["values"], "wrong", ["sign"]),
    ("(g * dense.float()[columns]).sum(-1)", "(g * dense.float()[columns])[:, 1:].sum(-1)", ["values"], "wrong",
     ["missing_term", "boundary"]),
    ("(g * dense.float()[columns]).sum(-1)",
     "sum((g * dense.float()[columns]).to(dense.dtype).T, torch.zeros_like(values))", ["values"],
     "imprecise", ["precision"]),
    ("values.float()[:, None] * g)", "values.to(torch.bfloat16).float()[:, None] * g)", ["dense"], "imprecise",
     ["precision"]),
]  # fmt: skip
