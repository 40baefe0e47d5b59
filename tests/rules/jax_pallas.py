"""SiLU times a gate in one Pallas kernel each for forward and backward, interpreted."""

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl


def _forward_kernel(x_ref, up_ref, out_ref):
    x, up = x_ref[...].astype(jnp.float32), up_ref[...].astype(jnp.float32)
    out_ref[...] = (x / (1 + jnp.exp(-x)) * up).astype(out_ref.dtype)


def _backward_kernel(x_ref, up_ref, g_ref, dx_ref, dup_ref):
    x, up, g = (ref[...].astype(jnp.float32) for ref in (x_ref, up_ref, g_ref))
    s = 1 / (1 + jnp.exp(-x))
    slope = s * (1 + x * (1 - s))
    dx, dup = g * up * slope, g * x * s
    dx_ref[...] = dx.astype(dx_ref.dtype)
    dup_ref[...] = dup.astype(dup_ref.dtype)


def _spec():
    return pl.BlockSpec((8, 32), lambda i: (i, 0))


@jax.custom_vjp
def silu_mul(x, up):
    shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
    call = pl.pallas_call(
        _forward_kernel,
        out_shape=shape,
        grid=(x.shape[0] // 8,),
        in_specs=[_spec(), _spec()],
        out_specs=_spec(),
        interpret=True,
    )
    return call(x, up)


def _forward(x, up):
    return silu_mul(x, up), (x, up)


def _backward(residuals, g):
    x, up = residuals
    shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
    call = pl.pallas_call(
        _backward_kernel,
        out_shape=(shape, shape),
        grid=(x.shape[0] // 8,),
        in_specs=[_spec(), _spec(), _spec()],
        out_specs=(_spec(), _spec()),
        interpret=True,
    )
    dx, dup = call(x, up, g)
    return dx, dup


silu_mul.defvjp(_forward, _backward)


def plain(x, up):
    wide = x.astype(jnp.float32)
    return (wide * jax.nn.sigmoid(wide) * up.astype(jnp.float32)).astype(x.dtype)


RULE = silu_mul
OPTIONS = {"reference": plain}


def inputs(rng, blocks=3):
    return {"x": 1.5 * rng.normal(size=(8 * blocks, 32)), "up": rng.normal(size=(8 * blocks, 32))}


FAULTS = [
    ("slope = s * (1 + x * (1 - s))", "slope = s * (1 - x * (1 - s))", ["x"], "wrong", ["sign"]),
    ("slope = s * (1 + x * (1 - s))", "slope = s", ["x"], "wrong", ["missing_term"]),
    ("dx, dup = g * up * slope", "dx, dup = up * slope", ["x"], "wrong", ["grad_output"]),
    ("dx, dup = g * up * slope", "dx, dup = g * slope", ["x"], "wrong", ["missing_derivative", "factor"]),
    ("dx, dup = g * up * slope, g * x * s", "dx, dup = g * x * s, g * up * slope", ["x", "up"], "wrong", ["swapped"]),
    ("dx, dup = call(x, up, g)", "dx, dup = call(up, x, g)", ["x", "up"], "wrong", ["swapped"]),
    ("g * x * s", "g * x", ["up"], "wrong", ["missing_derivative"]),
    ("dup = call(x, up, g)\n    return dx, dup", "dup = call(x, up, g)\n    return dx, dup.at[-1].set(0)", ["up"],
     "wrong", ["boundary"]),
    ("s = 1 / (1 + jnp.exp(-x))", "s = (1 / (1 + jnp.exp(-x))).astype(jnp.bfloat16).astype(jnp.float32)",
     ["x", "up"], "imprecise", ["precision"]),
    ("slope = s * (1 + x * (1 - s))", "slope = s * (1 + (x * (1 - s)).astype(jnp.bfloat16).astype(jnp.float32))",
     ["x"], "imprecise", ["precision"]),
]  # fmt: skip
