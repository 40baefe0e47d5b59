"""SwiGLU, silu(gate) * up: backward computes the sigmoid again."""

import jax
import jax.numpy as jnp


@jax.custom_vjp
def swiglu(gate, up):
    wide = gate.astype(jnp.float32)
    return (wide * jax.nn.sigmoid(wide) * up.astype(jnp.float32)).astype(gate.dtype)


def _forward(gate, up):
    return swiglu(gate, up), (gate, up)


def _backward(residuals, g):
    gate, up = residuals
    g, a, b = g.astype(jnp.float32), gate.astype(jnp.float32), up.astype(jnp.float32)
    s = jax.nn.sigmoid(a)
    silu = a * s
    slope = s + silu * (1 - s)
    dgate, dup = g * b * slope, g * silu
    return dgate.astype(gate.dtype), dup.astype(up.dtype)


swiglu.defvjp(_forward, _backward)
RULE = swiglu


def inputs(rng, m=24, n=48):
    return {"gate": 2 * rng.normal(size=(m, n)), "up": rng.normal(size=(m, n))}


FAULTS = [
    ("slope = s + silu * (1 - s)", "slope = s - silu * (1 - s)", ["gate"], "wrong", ["sign"]),
    ("slope = s + silu * (1 - s)", "slope = s", ["gate"], "wrong", ["missing_term"]),
    ("slope = s + silu * (1 - s)", "slope = s + a * (1 - s)", ["gate"], "wrong", ["missing_derivative"]),
    ("g * b * slope, g * silu", "g * slope, g * silu", ["gate"], "wrong", ["missing_derivative", "factor"]),
    ("g * b * slope, g * silu", "g * b * slope, silu", ["up"], "wrong", ["grad_output"]),
    ("g * b * slope, g * silu", "g * b * slope, g * s", ["up"], "wrong", ["missing_derivative", "factor"]),
    ("return dgate.astype(gate.dtype), dup.astype(up.dtype)", "return dup.astype(gate.dtype), dgate.astype(up.dtype)",
     ["gate", "up"], "wrong", ["swapped"]),
    ("s = jax.nn.sigmoid(a)", "s = jax.nn.sigmoid(a).astype(jnp.bfloat16).astype(jnp.float32)", ["gate", "up"],
     "imprecise", ["precision"]),
    ("slope = s + silu * (1 - s)", "slope = s + (silu * (1 - s)).astype(jnp.bfloat16)", ["gate"], "imprecise",
     ["precision"]),
]  # fmt: skip
