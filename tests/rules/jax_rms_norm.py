"""RMSNorm, as in language models: computed in float32, whatever the inputs are."""

import jax
import jax.numpy as jnp

EPS = 1e-6


def _reciprocal_rms(wide):
    return jax.lax.rsqrt(jnp.mean(jnp.square(wide), axis=-1, keepdims=True) + EPS)


@jax.custom_vjp
def rms_norm(x, weight):
    wide = x.astype(jnp.float32)
    return (wide * _reciprocal_rms(wide) * weight.astype(jnp.float32)).astype(x.dtype)


def _forward(x, weight):
    rstd = _reciprocal_rms(x.astype(jnp.float32))
    return rms_norm(x, weight), (x, weight, rstd)


def _backward(residuals, g):
    x, weight, rstd = residuals
    g = g.astype(jnp.float32)
    x_hat = x.astype(jnp.float32) * rstd
    g_hat = g * weight.astype(jnp.float32)
    inner = jnp.mean(g_hat * x_hat, axis=-1, keepdims=True)
    dx = rstd * (g_hat - x_hat * inner)
    dweight = jnp.sum(g * x_hat, axis=0)
    return dx.astype(x.dtype), dweight.astype(weight.dtype)


rms_norm.defvjp(_forward, _backward)
RULE = rms_norm


def inputs(rng, m=320, n=12):
    return {"x": rng.normal(size=(m, n)), "weight": 1 + 0.3 * rng.normal(size=n)}


FAULTS = [
    ("(g_hat - x_hat * inner)", "(g_hat + x_hat * inner)", ["x"], "wrong", ["sign"]),
    ("(g_hat - x_hat * inner)", "g_hat", ["x"], "wrong", ["missing_term"]),
    ("inner = jnp.mean(", "inner = jnp.sum(", ["x"], "wrong", ["factor"]),
    ("g_hat = g * weight.astype(jnp.float32)", "g_hat = g", ["x"], "wrong", ["missing_derivative", "factor"]),
    ("jnp.sum(g * x_hat, axis=0)", "jnp.mean(g * x_hat, axis=0)", ["weight"], "wrong", ["factor"]),
    ("jnp.sum(g * x_hat, axis=0)", "jnp.sum(x_hat, axis=0)", ["weight"], "wrong", ["grad_output"]),
    ("jnp.sum(g * x_hat, axis=0)", "jnp.sum((g * x_hat)[1:], axis=0)", ["weight"], "wrong", ["missing_term"]),
    ("return dx.astype(x.dtype), dweight.astype(weight.dtype)", "return dx.astype(x.dtype), None", ["weight"], "wrong",
     ["none", "zero"]),
    ("jnp.sum(g * x_hat, axis=0)",
     "jax.lax.scan(lambda a, r: (a + r, None), jnp.zeros_like(weight), (g * x_hat).astype(x.dtype))[0]", ["weight"],
     "imprecise", ["precision"]),
    ("x_hat = x.astype(jnp.float32) * rstd", "x_hat = x.astype(jnp.float32) * rstd.astype(jnp.bfloat16)",
     ["x", "weight"], "imprecise", ["precision"]),
]  # fmt: skip
