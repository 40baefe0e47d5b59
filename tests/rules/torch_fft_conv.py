"""Circular convolution of the rows of x with one kernel, by products of spectra."""

import torch
from torch.fft import irfft, rfft


class FFTConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, kernel):
        ctx.save_for_backward(x, kernel)
        return irfft(rfft(x.float()) * rfft(kernel.float()), n=x.shape[-1]).to(x.dtype)

    @staticmethod
    def backward(ctx, grad_output):
        x, kernel = ctx.saved_tensors
        n = x.shape[-1]
        g = rfft(grad_output.float())
        dx = irfft(g * rfft(kernel.float()).conj(), n=n)
        dkernel = irfft(g * rfft(x.float()).conj(), n=n).sum(0)
        return dx.to(x.dtype), dkernel.to(kernel.dtype)


RULE = FFTConv


def inputs(rng, m=240, n=16):
    return {"x": rng.normal(size=(m, n)), "kernel": rng.normal(size=n)}


FAULTS = [
    ("rfft(kernel.float()).conj()", "rfft(kernel.float())", ["x"], "wrong", ["transpose"]),
    ("rfft(x.float()).conj()", "rfft(x.float())", ["kernel"], "wrong", ["transpose"]),
    (".conj(), n=n).sum(0)", ".conj(), n=n).mean(0)", ["kernel"], "wrong", ["factor"]),
    (".conj(), n=n).sum(0)", ".conj(), n=n)[:1].sum(0)", ["kernel"], "wrong", ["missing_term"]),
    ("rfft(kernel.float()).conj(), n=n)", "rfft(kernel.float()).conj(), n=n, norm='ortho')",
     ["x"], "wrong", ["factor"]),
    ("dx = irfft(g", "dx = irfft(-g", ["x"], "wrong", ["sign"]),
    ("dkernel = irfft(g * rfft", "dkernel = irfft(rfft(torch.ones_like(grad_output.float())) * rfft", ["kernel"],
     "wrong", ["grad_output"]),
    ("irfft(g * rfft(x.float()).conj(), n=n).sum(0)",
     "sum(irfft(g * rfft(x.float()).conj(), n=n).to(x.dtype), x.new_zeros(n))", ["kernel"], "imprecise", ["precision"]),
    ("rfft(kernel.float()).conj()", "rfft(kernel.to(torch.bfloat16).float()).conj()", ["x"], "imprecise",
     ["precision"]),
]  # fmt: skip
