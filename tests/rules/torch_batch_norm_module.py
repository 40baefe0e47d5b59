"""Batch normalisation as a module that holds its weight and bias, and calls a Function."""

import torch
from torch.autograd import Function


class Normalise(Function):
    @staticmethod
    def forward(ctx, x, weight, bias, eps):
        spread, mean = torch.var_mean(x.float(), 0, correction=0)
        rstd = torch.rsqrt(spread + eps)
        x_hat = (x.float() - mean) * rstd
        ctx.save_for_backward(x_hat, weight, rstd)
        return (x_hat * weight.float() + bias.float()).to(x.dtype)

    @staticmethod
    def backward(ctx, grad_output):
        x_hat, weight, rstd = ctx.saved_tensors
        g = grad_output.float()
        dbias = g.sum(0)
        dweight = (g * x_hat).sum(0)
        n = len(g)
        dx = (g - dbias / n - x_hat * dweight / n) * rstd * weight.float()
        return dx.to(grad_output.dtype), dweight.to(weight.dtype), dbias.to(weight.dtype), None


class BatchNorm(torch.nn.Module):
    def __init__(self, features, eps=1e-5):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.linspace(-1.5, 2, features))
        self.bias = torch.nn.Parameter(torch.linspace(1, -1.25, features))
        self.eps = eps

    def forward(self, x):
        return Normalise.apply(x, self.weight, self.bias, self.eps)


RULE = BatchNorm(12)


def inputs(rng, m=300):
    return {"x": 1 + rng.normal(size=(m, 12))}


FAULTS = [
    ("(g - dbias / n - x_hat", "(g - x_hat", ["x"], "wrong", ["missing_term"]),
    ("- x_hat * dweight / n)", ")", ["x"], "wrong", ["missing_term"]),
    ("- x_hat * dweight / n)", "+ x_hat * dweight / n)", ["x"], "wrong", ["sign"]),
    ("x_hat * dweight / n)", "x_hat * dweight / (n - 1))", ["x"], "wrong", ["factor"]),
    (" * rstd * weight.float()\n", " * rstd\n", ["x"], "wrong", ["missing_derivative", "factor"]),
    ("dbias.to(weight.dtype), None", "(dbias / n).to(weight.dtype), None", ["bias"], "wrong", ["factor"]),
    ("dweight.to(weight.dtype), dbias.to(weight.dtype)", "dbias.to(weight.dtype), dweight.to(weight.dtype)",
     ["weight", "bias"], "wrong", ["swapped"]),
    ("dweight.to(weight.dtype), d", "x_hat.sum(0).to(weight.dtype), d", ["weight"], "wrong", ["grad_output"]),
    ("dbias = g.sum(0)", "dbias = sum(grad_output, grad_output[:0].sum(0))", ["bias"], "imprecise", ["precision"]),
    ("dweight = (g * x_hat).sum(0)", "dweight = sum((g * x_hat).to(grad_output.dtype), grad_output[:0].sum(0))",
     ["weight"], "imprecise", ["precision"]),
    ("save_for_backward(x_hat,", "save_for_backward(x_hat.to(torch.bfloat16).float(),", ["x", "weight"], "imprecise",
     ["precision"]),
]  # fmt: skip
