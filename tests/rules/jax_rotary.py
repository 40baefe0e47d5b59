"""Rotary position embedding of queries and keys, halves rotated against each other."""

import jax
import jax.numpy as jnp

BASE = 100.0


def _angles(positions, size):
    half = size // 2
    frequencies = BASE ** (-jnp.arange(half, dtype=jnp.float32) / half)
    return positions.astype(jnp.float32)[:, None] * frequencies


def _rotate(x, cos, sin):
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1).astype(x.dtype)


@jax.custom_vjp
def rotary(q, k, positions):
    angles = _angles(positions, q.shape[-1])
    return _rotate(q, jnp.cos(angles), jnp.sin(angles)), _rotate(k, jnp.cos(angles), jnp.sin(angles))


def _forward(q, k, positions):
    return rotary(q, k, positions), (positions,)


def _backward(residuals, g):
    (positions,) = residuals
    gq, gk = g
    angles = _angles(positions, gq.shape[-1])
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    dq = _rotate(gq, cos, -sin)
    dk = _rotate(gk, cos, -sin)
    return dq, dk, None


rotary.defvjp(_forward, _backward)
RULE = rotary


def inputs(rng, length=64, half=8):
    return {
        "q": rng.normal(size=(length, 2 * half)),
        "k": rng.normal(size=(length, 2 * half)),
        "positions": rng.integers(0, 500, length),
    }


FAULTS = [
    ("dq = _rotate(gq, cos, -sin)", "dq = _rotate(gq, cos, sin)", ["q"], "wrong", ["sign"]),
    ("dk = _rotate(gk, cos, -sin)", "dk = _rotate(gk, cos, -sin).at[-1].set(0)", ["k"], "wrong", ["boundary"]),
    ("dk = _rotate(gk, cos, -sin)", "dk = _rotate(gk, cos, 0 * sin)", ["k"], "wrong", ["missing_term"]),
    ("dk = _rotate(gk, cos, -sin)", "dk = _rotate(gq, cos, -sin)", ["k"], "wrong", ["grad_output", "swapped"]),
    ("return dq, dk, None", "return dk, dq, None", ["q", "k"], "wrong", ["swapped"]),
    ("return dq, dk, None", "return gq, dk, None", ["q"], "wrong", ["missing_derivative", "straight_through"]),
    ("return dq, dk, None", "return dq, dk / dk.shape[-1] ** 0.5, None", ["k"], "wrong", ["factor"]),
    ("dk = _rotate(gk, cos, -sin)", "dk = _rotate(gk, cos.astype(jnp.bfloat16), -sin.astype(jnp.bfloat16))", ["k"],
     "imprecise", ["precision"]),
    ("angles = _angles(positions, gq.shape[-1])", "angles = _angles(positions, gq.shape[-1]).astype(gq.dtype)",
     ["q", "k"], "imprecise", ["precision"]),
]  # fmt: skip
