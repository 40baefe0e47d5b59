"""log(1 + e^(beta x)) / beta that doesn't overflow, by its tangent, compiled."""

import jax
import jax.numpy as jnp


@jax.custom_jvp
def _softplus(x, beta):
    z = x.astype(jnp.float32) * beta.astype(jnp.float32)
    return ((jnp.maximum(z, 0) + jnp.log1p(jnp.exp(-jnp.abs(z)))) / beta.astype(jnp.float32)).astype(x.dtype)


@_softplus.defjvp
def _tangent(primals, tangents):
    x, beta = primals
    dx, dbeta = (t.astype(jnp.float32) for t in tangents)
    b = beta.astype(jnp.float32)
    z = x.astype(jnp.float32) * b
    small = jnp.exp(-jnp.abs(z))
    rest = small / (1 + small)
    s = jnp.where(z >= 0, 1 / (1 + small), rest)
    y = (jnp.maximum(z, 0) + jnp.log1p(small)) / b
    by_beta = (s * x.astype(jnp.float32) - y) / b
    return y.astype(x.dtype), (s * dx + by_beta * dbeta).astype(x.dtype)


@jax.jit
def softplus(x, beta):
    return _softplus(x, beta)


RULE = softplus


def inputs(rng, m=40, n=40):
    return {"x": rng.normal(6, 2.5, size=(m, n)), "beta": rng.uniform(0.8, 1.5, n)}


FAULTS = [
    ("1 / (1 + small), rest)", "1 / (1 + small), 1 - rest)", ["x", "beta"], "wrong", ["mask", "missing_derivative"]),
    ("s = jnp.where(z >= 0, 1 / (1 + small), rest)", "s = rest", ["x", "beta"], "wrong",
     ["missing_derivative", "mask"]),
    ("(s * dx + by_beta * dbeta)", "(s * b * dx + by_beta * dbeta)", ["x"], "wrong", ["factor"]),
    ("(s * dx + by_beta * dbeta)", "(s * dx - by_beta * dbeta)", ["beta"], "wrong", ["sign"]),
    ("(s * dx + by_beta * dbeta)", "(s * dx)", ["beta"], "wrong", ["zero"]),
    ("(s * x.astype(jnp.float32) - y) / b", "s * x.astype(jnp.float32) / b", ["beta"], "wrong", ["missing_term"]),
    ("(s * x.astype(jnp.float32) - y) / b", "(s * x.astype(jnp.float32) - y)", ["beta"], "wrong",
     ["missing_derivative", "factor"]),
    ("(s * x.astype(jnp.float32) - y) / b", "(s.astype(x.dtype) * x - y.astype(x.dtype)).astype(jnp.float32) / b",
     ["beta"], "imprecise", ["precision"]),
    ("rest = small / (1 + small)", "rest = (small / (1 + small)).astype(jnp.bfloat16).astype(jnp.float32)",
     ["x", "beta"], "imprecise", ["precision"]),
]  # fmt: skip
