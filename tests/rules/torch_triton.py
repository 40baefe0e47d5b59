"""scale * silu(gate) * up in Triton, which runs in its interpreter here; the kernels are for float32."""

import os

import torch
from torch.autograd import Function

os.environ["TRITON_INTERPRET"] = "1"
import triton

from rules.triton_kernels import silu_mul_backward, silu_mul_forward

BLOCK = 256
SCALE = 0.75


class SiLUMul(Function):
    @staticmethod
    def forward(ctx, gate, up):
        ctx.save_for_backward(gate, up)
        a, b = gate.float().contiguous(), up.float().contiguous()
        out = torch.empty_like(a)
        silu_mul_forward[(triton.cdiv(out.numel(), BLOCK),)](a, b, out, SCALE, out.numel(), BLOCK)
        return out.to(gate.dtype)

    @staticmethod
    def backward(ctx, grad_output):
        gate, up = ctx.saved_tensors
        g = grad_output.float().contiguous()
        wide = gate.float().contiguous()
        wide_up = up.float().contiguous()
        dgate, dup = torch.zeros_like(wide), torch.zeros_like(wide_up)
        n = g.numel()
        grid = (triton.cdiv(n, BLOCK),)
        silu_mul_backward[grid](g, wide, wide_up, dgate, dup, SCALE, n, BLOCK=BLOCK)
        return dgate.to(gate.dtype), dup.to(up.dtype)


def plain(gate, up):
    return (SCALE * torch.nn.functional.silu(gate.float()) * up.float()).to(gate.dtype)


RULE = SiLUMul
OPTIONS = {"reference": plain}


def inputs(rng, m=24, n=40):
    return {"gate": 2 * rng.normal(size=(m, n)), "up": rng.normal(size=(m, n))}


FAULTS = [
    ("dup, SCALE, n,", "dup, 1.0, n,", ["gate", "up"], "wrong", ["factor"]),
    ("g = grad_output.float().contiguous()", "g = torch.ones_like(gate.float()).contiguous()", ["gate", "up"], "wrong",
     ["grad_output"]),
    ("(g, wide, wide_up, dgate", "(g, wide_up, wide, dgate", ["gate", "up"], "wrong", ["swapped"]),
    ("wide_up, dgate, dup, SCALE", "wide_up, dup, dgate, SCALE", ["gate", "up"], "wrong", ["swapped"]),
    ("grid = (triton.cdiv(n, BLOCK),)", "grid = (n // BLOCK,)", ["gate", "up"], "wrong", ["boundary", "mask", "zero"]),
    ("dup, SCALE, n, ", "dup, SCALE, n - 1, ", ["gate", "up"], "wrong", ["single_entry"]),
    ("dgate.to(gate.dtype), dup", "-dgate.to(gate.dtype), dup", ["gate"], "wrong", ["sign"]),
    ("dup.to(up.dtype)", "torch.zeros_like(up)", ["up"], "wrong", ["zero"]),
    ("wide = gate.float().contiguous()", "wide = gate.to(torch.bfloat16).float().contiguous()", ["gate", "up"],
     "imprecise", ["precision"]),
    ("g = grad_output.float().contiguous()", "g = grad_output.to(torch.bfloat16).float().contiguous()", ["gate", "up"],
     "imprecise", ["precision"]),
]  # fmt: skip
