"""GELU in its tanh form, by its tangent, as in transformers before 2020 and since."""

import jax
import jax.numpy as jnp

C = 0.7978845608028654  # sqrt(2 / pi)
D = 0.044715


@jax.custom_jvp
def gelu(x):
    v = x.astype(jnp.float32)
    return (0.5 * v * (1 + jnp.tanh(C * (v + D * v**3)))).astype(x.dtype)


@gelu.defjvp
def _tangent(primals, tangents):
    (x,), (dx,) = primals, tangents
    v = x.astype(jnp.float32)
    t = jnp.tanh(C * (v + D * v * v * v))
    inner = C * (1 + 3 * D * v * v)
    around = 1 - t * t
    slope = 0.5 * (1 + t) + 0.5 * v * around * inner
    return gelu(x), (slope * dx.astype(jnp.float32)).astype(x.dtype)


RULE = gelu


def inputs(rng, m=30, n=40):
    return {"x": 1.5 * rng.normal(size=(m, n))}


FAULTS = [
    ("0.5 * (1 + t) + 0.5", "0.5 * (1 + t) - 0.5", ["x"], "wrong", ["sign"]),
    ("slope = 0.5 * (1 + t) + 0.5 * v * around * inner", "slope = 0.5 * (1 + t)", ["x"], "wrong", ["missing_term"]),
    ("inner = C * (1 + 3 * D * v * v)", "inner = C * (1 + D * v * v)", ["x"], "wrong", ["factor"]),
    ("inner = C * (1 + 3 * D * v * v)", "inner = 1 + 3 * D * v * v", ["x"], "wrong", ["factor", "missing_derivative"]),
    ("around = 1 - t * t", "around = 1 - t", ["x"], "wrong", ["missing_derivative"]),
    ("v * around * inner", "around * inner", ["x"], "wrong", ["missing_derivative"]),
    ("(slope * dx.astype(jnp.float32))", "(slope.at[-1, 2].set(0) * dx.astype(jnp.float32))", ["x"], "wrong",
     ["single_entry"]),
    ("t = jnp.tanh(C * (v + D * v * v * v))", "t = jnp.tanh(C * (v + D * v * v * v)).astype(jnp.bfloat16)", ["x"],
     "imprecise", ["precision"]),
    ("slope = 0.5 * (1 + t) + 0.5 * v * around * inner",
     "slope = 0.5 * (1 + t) + 0.5 * (v * around).astype(jnp.bfloat16) * inner", ["x"], "imprecise", ["precision"]),
]  # fmt: skip
