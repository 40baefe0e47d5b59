"""LayerNorm that saves no statistics: backward computes mean and variance again, in float32."""

import jax
import jax.numpy as jnp

EPS = 1e-5


@jax.custom_vjp
def layer_norm(x, weight, bias):
    wide = x.astype(jnp.float32)
    centred = wide - jnp.mean(wide, axis=-1, keepdims=True)
    rstd = jax.lax.rsqrt(jnp.mean(centred**2, axis=-1, keepdims=True) + EPS)
    return (centred * rstd * weight.astype(jnp.float32) + bias.astype(jnp.float32)).astype(x.dtype)


def _forward(x, weight, bias):
    return layer_norm(x, weight, bias), (x, weight)


def _backward(residuals, g):
    x, weight = residuals
    wide = x.astype(jnp.float32)
    mean = wide.mean(-1, keepdims=True)
    variance = jnp.square(wide - mean).mean(-1, keepdims=True)
    rstd = jax.lax.rsqrt(variance + EPS)
    x_hat = (wide - mean) * rstd
    grad = g.astype(jnp.float32)
    dbias = grad.sum(0)
    dweight = (grad * x_hat).sum(0)
    scaled = grad * weight.astype(jnp.float32)
    along = (scaled * x_hat).mean(-1, keepdims=True)
    dx = (scaled - scaled.mean(-1, keepdims=True) - x_hat * along) * rstd
    return dx.astype(x.dtype), dweight.astype(weight.dtype), dbias.astype(weight.dtype)


layer_norm.defvjp(_forward, _backward)
RULE = layer_norm


def inputs(rng, m=400, n=10):
    return {"x": 2 + rng.normal(size=(m, n)), "weight": 1 + 0.3 * rng.normal(size=n), "bias": rng.normal(size=n)}


FAULTS = [
    (" - x_hat * along)", " + x_hat * along)", ["x"], "wrong", ["sign"]),
    ("scaled - scaled.mean(-1, keepdims=True) - x_hat", "scaled - x_hat", ["x"], "wrong", ["missing_term"]),
    (" - x_hat * along) * rstd", " - x_hat * along)", ["x"], "wrong", ["missing_derivative", "factor"]),
    (" - x_hat * along) * rstd", " - x_hat * along) * rstd * rstd", ["x"], "wrong", ["missing_derivative", "factor"]),
    ("(grad * x_hat).sum(0)", "(grad * (wide - mean)).sum(0)", ["weight"], "wrong", ["missing_derivative", "factor"]),
    ("dbias = grad.sum(0)", "dbias = grad.mean(0)", ["bias"], "wrong", ["factor"]),
    ("return dx.astype(x.dtype), dweight.astype(weight.dtype), dbias.astype(weight.dtype)",
     "return dx.astype(x.dtype), dbias.astype(weight.dtype), dweight.astype(weight.dtype)", ["weight", "bias"], "wrong",
     ["swapped"]),
    ("dbias = grad.sum(0)",
     "dbias = jax.lax.fori_loop(0, g.shape[0], lambda i, acc: acc + g[i], jnp.zeros_like(weight))", ["bias"],
     "imprecise", ["precision"]),
    ("dweight = (grad * x_hat).sum(0)",
     "dweight = jax.lax.scan(lambda a, r: (a + r.astype(a.dtype), None), jnp.zeros_like(weight), grad * x_hat)[0]",
     ["weight"], "imprecise", ["precision"]),
    ("jnp.square(wide - mean).mean(-1, keepdims=True)",
     "((x * x).mean(-1, keepdims=True) - mean.astype(x.dtype) ** 2).astype(jnp.float32)", ["x", "weight"], "imprecise",
     ["precision"]),
]  # fmt: skip
