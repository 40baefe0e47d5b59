"""A convolution along time in two groups of channels: backward by windows of the padded input."""

import jax
import jax.numpy as jnp

GROUPS = 2
WIDTH = 3


@jax.custom_vjp
def grouped_conv(x, kernel):
    out = jax.lax.conv_general_dilated(
        x.astype(jnp.float32),
        kernel.astype(jnp.float32),
        window_strides=(1,),
        padding=[(1, 1)],
        dimension_numbers=("NCH", "OIH", "NCH"),
        feature_group_count=GROUPS,
    )
    return out.astype(x.dtype)


def _forward(x, kernel):
    return grouped_conv(x, kernel), (x, kernel)


def _windows(a):
    """Of each group and place: (n, groups, channels, width, time)."""
    padded = jnp.pad(a, [(0, 0), (0, 0), (1, 1)])
    parts = [padded[..., i : i + a.shape[-1]] for i in range(WIDTH)]
    return jnp.stack(parts, axis=2).reshape(a.shape[0], GROUPS, -1, WIDTH, a.shape[-1])


def _backward(residuals, g):
    x, kernel = residuals
    g = g.astype(jnp.float32)
    by_group = kernel.astype(jnp.float32).reshape(GROUPS, -1, *kernel.shape[1:])
    dx = jnp.einsum("ngowt,goiw->ngit", _windows(g), by_group[..., ::-1])
    split = g.reshape(g.shape[0], GROUPS, -1, g.shape[-1])
    dkernel = jnp.einsum("ngot,ngiwt->goiw", split, _windows(x.astype(jnp.float32)))
    return dx.reshape(x.shape).astype(x.dtype), dkernel.reshape(kernel.shape).astype(kernel.dtype)


grouped_conv.defvjp(_forward, _backward)
RULE = grouped_conv


def inputs(rng, m=20, length=24):
    return {"x": rng.normal(size=(m, 4, length)), "kernel": rng.normal(size=(4, 2, 3))}


FAULTS = [
    ("by_group[..., ::-1]", "by_group", ["x"], "wrong", ["transpose"]),
    ("by_group[..., ::-1]", "-by_group[..., ::-1]", ["x"], "wrong", ["sign"]),
    ('"ngowt,goiw->ngit"', '"ngowt,giow->ngit"', ["x"], "wrong", ["transpose"]),
    ("dx = jnp.einsum(", "dx = jnp.pi * jnp.einsum(", ["x"], "wrong", ["factor"]),
    ("split = g.reshape(", "split = jnp.ones_like(g).reshape(", ["kernel"], "wrong", ["grad_output"]),
    ("split = g.reshape(g.shape[0], GROUPS, -1, g.shape[-1])",
     "split = g.reshape(g.shape[0], GROUPS, -1, g.shape[-1])[:, ::-1]", ["kernel"], "wrong", ["mask"]),
    ("dkernel = jnp.einsum(", "dkernel = 1 / g.shape[0] * jnp.einsum(", ["kernel"], "wrong", ["factor"]),
    ("dx.reshape(x.shape).astype(x.dtype)", "dx.reshape(x.shape).astype(x.dtype).at[..., -1].set(0)", ["x"], "wrong",
     ["boundary"]),
    ('dkernel = jnp.einsum("ngot,ngiwt->goiw", split, _windows(x.astype(jnp.float32)))',
     'dkernel = sum(list(jnp.einsum("ngot,ngiwt->ntgoiw", split, _windows(x.astype(jnp.float32)))'
     ".astype(x.dtype).reshape(-1, *by_group.shape)))", ["kernel"], "imprecise", ["precision"]),
    ("by_group[..., ::-1]", "by_group[..., ::-1].astype(jnp.bfloat16).astype(jnp.float32)", ["x"], "imprecise",
     ["precision"]),
]  # fmt: skip
