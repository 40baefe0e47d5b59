"""A convolution in two groups: backward by PyTorch's own gradients of a convolution, and a sum for the bias."""

import torch
from torch.nn import functional as F
from torch.nn.grad import conv2d_input, conv2d_weight


class GroupedConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        return F.conv2d(x.float(), weight.float(), bias.float(), padding=1, groups=2).to(x.dtype)

    @staticmethod
    def backward(ctx, grad_output):
        x, weight = ctx.saved_tensors
        g, wide, w = grad_output.float(), x.float(), weight.float()
        dx = conv2d_input(x.shape, w, g, padding=1, groups=2)
        dweight = conv2d_weight(wide, weight.shape, g, padding=1, groups=2)
        dbias = g.sum((0, 2, 3))
        return dx.to(x.dtype), dweight.to(weight.dtype), dbias.to(weight.dtype)


RULE = GroupedConv


def inputs(rng, m=3, side=10):
    return {
        "x": rng.normal(size=(m, 4, side, side)),
        "weight": rng.normal(size=(6, 2, 3, 3)),
        "bias": rng.normal(size=6),
    }


FAULTS = [
    ("dbias = g.sum((0, 2, 3))", "dbias = g.mean((0, 2, 3))", ["bias"], "wrong", ["factor"]),
    ("dbias = g.sum((0, 2, 3))", "dbias = g[:1].sum((0, 2, 3))", ["bias"], "wrong", ["missing_term"]),
    ("conv2d_input(x.shape, w, g", "conv2d_input(x.shape, w.mT, g", ["x"], "wrong", ["transpose"]),
    ("conv2d_input(x.shape, w, g", "conv2d_input(x.shape, -w, g", ["x"], "wrong", ["sign"]),
    ("conv2d_input(x.shape, w, g", "conv2d_input(x.shape, w.roll(3, 0), g", ["x"], "wrong", ["swapped"]),
    ("dweight = conv2d_weight(", "dweight = 1 / max(len(x), 1) * conv2d_weight(", ["weight"], "wrong", ["factor"]),
    ("weight.shape, g, padding", "weight.shape, torch.ones_like(g), padding", ["weight"], "wrong", ["grad_output"]),
    ("weight.shape, g, padding", "weight.shape, g.mT.contiguous(), padding", ["weight"], "wrong",
     ["transpose", "mask"]),
    ("dbias = g.sum((0, 2, 3))", "dbias = sum(g.to(x.dtype).movedim(1, 3).flatten(0, 2), x.new_zeros(6))", ["bias"],
     "imprecise", ["precision"]),
    ("conv2d_weight(wide, weight", "conv2d_weight(wide.to(torch.bfloat16).float(), weight", ["weight"], "imprecise",
     ["precision"]),
]  # fmt: skip
