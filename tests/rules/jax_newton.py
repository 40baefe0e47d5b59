"""The root of y^3 + a y = b by Newton's steps, differentiated by the implicit function theorem."""

import jax
import jax.numpy as jnp

STEPS = 40


def _step(y, a, b):
    return y - (y**3 + a * y - b) / (3 * y**2 + a)


@jax.custom_vjp
def root(a, b):
    wide_a, wide_b = a.astype(jnp.float32), b.astype(jnp.float32)

    def go_on(state):
        i, y, before = state
        return (i < STEPS) & jnp.any(jnp.abs(y - before) > 1e-14 * jnp.abs(y))

    def once(state):
        i, y, _ = state
        return i + 1, _step(y, wide_a, wide_b), y

    start = wide_b / (1 + wide_a)
    return jax.lax.while_loop(go_on, once, (0, start, jnp.full_like(start, jnp.inf)))[1].astype(a.dtype)


def _forward(a, b):
    y = root(a.astype(jnp.float32), b.astype(jnp.float32))
    return y.astype(a.dtype), (a, y)


def _backward(residuals, g):
    a, y = residuals
    g = g.astype(jnp.float32)
    slope = 3 * y**2 + a.astype(jnp.float32)
    db = g / slope
    da = -y * db
    return da.astype(a.dtype), db.astype(a.dtype)


root.defvjp(_forward, _backward)


def unrolled(a, b):
    wide_a, wide_b = a.astype(jnp.float32), b.astype(jnp.float32)
    y = wide_b / (1 + wide_a)
    for _ in range(25):
        y = _step(y, wide_a, wide_b)
    return y.astype(a.dtype)


RULE = root
OPTIONS = {"reference": unrolled}


def inputs(rng, m=12, n=25):
    return {"a": rng.uniform(0.2, 4, size=(m, n)), "b": 2 * rng.normal(size=(m, n))}


FAULTS = [
    ("da = -y * db", "da = y * db", ["a"], "wrong", ["sign"]),
    ("da = -y * db", "da = -db", ["a"], "wrong", ["missing_derivative"]),
    ("db = g / slope", "db = 1 / slope", ["a", "b"], "wrong", ["grad_output"]),
    ("db = g / slope", "db = -g / slope", ["a", "b"], "wrong", ["sign"]),
    ("slope = 3 * y**2 + a.astype(jnp.float32)", "slope = 3 * y**2", ["a", "b"], "wrong", ["missing_term"]),
    ("slope = 3 * y**2 + a.astype(jnp.float32)", "slope = y**2 + a.astype(jnp.float32)", ["a", "b"], "wrong",
     ["factor"]),
    ("return da.astype(a.dtype), db.astype(a.dtype)", "return db.astype(a.dtype), da.astype(a.dtype)", ["a", "b"],
     "wrong", ["swapped"]),
    ("return y.astype(a.dtype), (a, y)", "return y.astype(a.dtype), (a, y.astype(jnp.bfloat16))", ["a", "b"],
     "imprecise", ["precision"]),
    ("slope = 3 * y**2 + a.astype(jnp.float32)", "slope = (3 * y**2 + a).astype(jnp.bfloat16).astype(jnp.float32)",
     ["a", "b"], "imprecise", ["precision"]),
]  # fmt: skip
