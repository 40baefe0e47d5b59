"""A custom operator, relu(x + bias)^2, with its gradient registered; the operator is a new one at each import."""

import uuid

import torch


@torch.library.custom_op(f"handgrad_rules::bias_squared_relu_{uuid.uuid4().hex}", mutates_args=())
def bias_squared_relu(x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    return torch.relu(x.float() + bias.float()).square().to(x.dtype)


@bias_squared_relu.register_fake
def _(x, bias):
    return torch.empty_like(x)


def setup_context(ctx, inputs, output):
    ctx.save_for_backward(*inputs)


def backward(ctx, grad_output):
    x, bias = ctx.saved_tensors
    g = grad_output.float()
    active = (x.float() + bias.float()).clamp(min=0)
    dx = 2 * g * active
    dbias = (2 * g * active).sum(0)
    return dx.to(x.dtype), dbias.to(bias.dtype)


bias_squared_relu.register_autograd(backward, setup_context=setup_context)
RULE = bias_squared_relu


def inputs(rng, m=300, n=12):
    return {"x": rng.normal(size=(m, n)), "bias": rng.normal(size=n)}


FAULTS = [
    ("dx = 2 * g * active", "dx = g * active", ["x"], "wrong", ["factor"]),
    ("dx = 2 * g * active", "dx = 2 * active", ["x"], "wrong", ["grad_output"]),
    ("dx = 2 * g * active", "dx = 2 * g * (active > 0)", ["x"], "wrong", ["missing_derivative", "factor"]),
    (".clamp(min=0)", "", ["x", "bias"], "wrong", ["mask", "missing_derivative"]),
    (".clamp(min=0)", ".clamp(max=0)", ["x", "bias"], "wrong", ["mask"]),
    ("active = (x.float() + bias.float())", "active = x.float()", ["x", "bias"], "wrong", ["missing_term"]),
    ("active = (x.float() + bias.float())", "active = (x.float() - bias.float())", ["x", "bias"], "wrong", ["sign"]),
    ("dbias = (2 * g * active).sum(0)", "dbias = (2 * g * active).mean(0)", ["bias"], "wrong", ["factor"]),
    ("dbias = (2 * g * active).sum(0)", "dbias = sum((2 * g * active).to(x.dtype), torch.zeros_like(bias))",
     ["bias"], "imprecise", ["precision"]),
    (".clamp(min=0)", ".to(torch.bfloat16).float().clamp(min=0)", ["x", "bias"], "imprecise", ["precision"]),
]  # fmt: skip
