"""LayerNorm: computed in float32, the statistics saved, x normalised again in backward."""

import torch
from torch.autograd import Function


class LayerNorm(Function):
    @staticmethod
    def forward(ctx, x, weight, bias, eps=1e-5):
        centred = x.float() - x.float().mean(-1, keepdim=True)
        spread = torch.rsqrt(centred.square().mean(-1, keepdim=True) + eps)
        ctx.save_for_backward(x, weight, x.float().mean(-1, keepdim=True), spread)
        return (centred * spread * weight.float() + bias.float()).to(x.dtype)

    @staticmethod
    def backward(ctx, grad_output):
        x, weight, mean, rstd = ctx.saved_tensors
        g = grad_output.float()
        x_hat = (x.float() - mean) * rstd
        g_hat = g * weight.float()
        average = g_hat.mean(-1, keepdim=True)
        along = (g_hat * x_hat).mean(-1, keepdim=True)
        dx = rstd * (g_hat - average - x_hat * along)
        dweight = (g * x_hat).sum(0)
        dbias = g.sum(0)
        return dx.to(x.dtype), dweight.to(weight.dtype), dbias.to(weight.dtype), None


RULE = LayerNorm


def inputs(rng, m=256, n=16):
    return {"x": rng.normal(size=(m, n)), "weight": rng.normal(size=n), "bias": rng.normal(size=n)}


FAULTS = [
    ("- x_hat * along", "+ x_hat * along", ["x"], "wrong", ["sign"]),
    ("(g_hat - average - x_hat", "(g_hat - x_hat", ["x"], "wrong", ["missing_term"]),
    ("- average - x_hat * along", "- average", ["x"], "wrong", ["missing_term"]),
    ("g_hat = g * weight.float()", "g_hat = g", ["x"], "wrong", ["missing_derivative", "factor"]),
    ("dbias = g.sum(0)", "dbias = g.mean(0)", ["bias"], "wrong", ["factor"]),
    ("dweight = (g * x_hat)", "dweight = (g * (x.float() - mean))", ["weight"], "wrong", ["missing_derivative"]),
    ("dweight.to(weight.dtype), dbias.to(weight.dtype)", "dbias.to(weight.dtype), dweight.to(weight.dtype)",
     ["weight", "bias"], "wrong", ["swapped"]),
    ("dbias = g.sum(0)", "dbias = sum(g.to(x.dtype), x.new_zeros(x.shape[1]))", ["bias"], "imprecise", ["precision"]),
    ("dweight = (g * x_hat).sum(0)", "dweight = sum((g * x_hat).to(x.dtype), x.new_zeros(x.shape[1]))",
     ["weight"], "imprecise", ["precision"]),
    ("x_hat = (x.float() - mean) * rstd", "x_hat = ((x.float() - mean) * rstd).to(torch.bfloat16).float()",
     ["x", "weight"], "imprecise", ["precision"]),
]  # fmt: skip
