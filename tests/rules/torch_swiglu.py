"""SwiGLU's product, silu(gate) * up: the sigmoid is computed again in backward instead of being kept."""

import torch
from torch.autograd import Function


class SwiGLU(Function):
    @staticmethod
    def forward(ctx, gate, up):
        ctx.save_for_backward(gate, up)
        wide = gate.float()
        return (wide * wide.sigmoid() * up.float()).to(gate.dtype)

    @staticmethod
    def backward(ctx, grad_output):
        gate, up = ctx.saved_tensors
        g = grad_output.float()
        sig = torch.sigmoid(gate.float())
        silu = gate.float() * sig
        dgate = g * up.float() * (sig + silu * (1 - sig))
        dup = g * silu
        return dgate.to(gate.dtype), dup.to(up.dtype)


RULE = SwiGLU


def inputs(rng, m=30, n=40):
    return {"gate": 5 * rng.normal(size=(m, n)), "up": rng.normal(size=(m, n))}


FAULTS = [
    ("(sig + silu * (1 - sig))", "(sig - silu * (1 - sig))", ["gate"], "wrong", ["sign"]),
    ("(sig + silu * (1 - sig))", "sig", ["gate"], "wrong", ["missing_term"]),
    ("(sig + silu * (1 - sig))", "(silu * (1 - sig))", ["gate"], "wrong", ["missing_term"]),
    ("silu * (1 - sig)", "gate.float()", ["gate"], "wrong", ["missing_derivative"]),
    ("g * up.float() * (sig", "g * (sig", ["gate"], "wrong", ["missing_derivative", "factor"]),
    ("dup = g * silu", "dup = silu", ["up"], "wrong", ["grad_output"]),
    ("dup = g * silu", "dup = g * gate.float()", ["up"], "wrong", ["missing_derivative", "factor"]),
    ("dgate.to(gate.dtype), dup.to(up.dtype)", "dup.to(up.dtype), dgate.to(gate.dtype)", ["gate", "up"], "wrong",
     ["swapped"]),
    ("sig = torch.sigmoid(gate.float())", "sig = (gate.exp() / (1 + gate.exp())).float()", ["gate", "up"], "imprecise",
     ["precision"]),
    ("silu = gate.float() * sig", "silu = (gate.float() * sig).to(torch.bfloat16).float()", ["gate", "up"], "imprecise",
     ["precision"]),
]  # fmt: skip
