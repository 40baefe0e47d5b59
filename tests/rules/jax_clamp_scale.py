"""Clipped to a range and scaled by channel, as before quantization; what is clipped gets no gradient."""

import jax
import jax.numpy as jnp

LOW, HIGH = -1.0, 1.5


@jax.custom_vjp
def clamp_scale(x, scale):
    kept = jnp.clip(x.astype(jnp.float32), LOW, HIGH)
    return (kept * scale.astype(jnp.float32)).astype(x.dtype)


def _forward(x, scale):
    return clamp_scale(x, scale), (x, scale)


def _backward(residuals, g):
    x, scale = residuals
    wide, g = x.astype(jnp.float32), g.astype(jnp.float32)
    inside = (wide > LOW) & (wide < HIGH)
    dx = jnp.where(inside, g * scale.astype(jnp.float32), 0)
    dscale = (g * jnp.clip(wide, LOW, HIGH)).sum(0)
    return dx.astype(x.dtype), dscale.astype(scale.dtype)


clamp_scale.defvjp(_forward, _backward)
RULE = clamp_scale


def inputs(rng, m=400, n=10):
    return {"x": 1.3 * rng.normal(size=(m, n)), "scale": rng.uniform(0.5, 2, n)}


FAULTS = [
    ("jnp.where(inside, g * scale.astype(jnp.float32), 0)", "g * scale.astype(jnp.float32)", ["x"], "wrong", ["mask"]),
    ("(wide > LOW) & (wide < HIGH)", "wide < HIGH", ["x"], "wrong", ["mask"]),
    ("jnp.where(inside, g * scale.astype(jnp.float32), 0)", "jnp.where(inside, g, 0)", ["x"], "wrong",
     ["missing_derivative", "factor"]),
    ("g * scale.astype(jnp.float32), 0)", "-g * scale.astype(jnp.float32), 0)", ["x"], "wrong", ["sign"]),
    ("(g * jnp.clip(wide, LOW, HIGH)).sum(0)", "(g * wide).sum(0)", ["scale"], "wrong",
     ["mask", "missing_derivative"]),
    ("(g * jnp.clip(wide, LOW, HIGH)).sum(0)", "jnp.clip(wide, LOW, HIGH).sum(0)", ["scale"], "wrong",
     ["grad_output"]),
    ("(g * jnp.clip(wide, LOW, HIGH)).sum(0)", "(g * jnp.clip(wide, LOW, HIGH)).mean(0)", ["scale"], "wrong",
     ["factor"]),
    ("clamp_scale.defvjp(_forward, _backward)",
     "clamp_scale = jax.custom_vjp(lambda x, scale: jnp.round(x)); "
     "clamp_scale.defvjp(lambda x, scale: (jnp.round(x), scale), lambda scale, g: (g, jnp.zeros_like(scale)))", ["x"],
     "wrong", ["straight_through"]),
    ("(g * jnp.clip(wide, LOW, HIGH)).sum(0)",
     "jax.lax.fori_loop(0, len(x), lambda i, a: a + (g[i] * jnp.clip(wide[i], LOW, HIGH)).astype(x.dtype), "
     "jnp.zeros_like(scale))", ["scale"], "imprecise", ["precision"]),
    ("g * scale.astype(jnp.float32), 0)", "g * scale.astype(jnp.bfloat16), 0)", ["x"], "imprecise", ["precision"]),
]  # fmt: skip
