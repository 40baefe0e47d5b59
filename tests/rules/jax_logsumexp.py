"""logsumexp over the last axis, by its tangent."""

import jax
import jax.numpy as jnp


def _shifted(x):
    wide = x.astype(jnp.float32)
    top = jax.lax.stop_gradient(jnp.max(wide, axis=-1, keepdims=True))
    return jnp.exp(wide - top), top[..., 0]


@jax.custom_jvp
def logsumexp(x):
    powers, top = _shifted(x)
    return (jnp.log(jnp.sum(powers, axis=-1)) + top).astype(x.dtype)


@logsumexp.defjvp
def _tangent(primals, tangents):
    (x,), (dx,) = primals, tangents
    powers, top = _shifted(x)
    total = jnp.sum(powers, axis=-1)
    out = (jnp.log(total) + top).astype(x.dtype)
    weights = powers / total[..., None]
    slope = jnp.sum(weights * dx.astype(jnp.float32), axis=-1)
    return out, slope.astype(x.dtype)


RULE = logsumexp


def inputs(rng, m=8, n=500):
    return {"x": 10 + rng.normal(size=(m, n))}


FAULTS = [
    ("jnp.sum(weights * dx", "-jnp.sum(weights * dx", ["x"], "wrong", ["sign"]),
    ("jnp.sum(weights * dx", "jnp.mean(weights * dx", ["x"], "wrong", ["factor"]),
    ("weights = powers / total[..., None]", "weights = powers", ["x"], "wrong", ["missing_derivative", "factor"]),
    ("weights = powers / total[..., None]", "weights = powers / total.sum()", ["x"], "wrong", ["factor"]),
    ("weights = powers / total[..., None]", "weights = jnp.exp(x.astype(jnp.float32)) / total[..., None]", ["x"],
     "wrong", ["factor", "missing_derivative"]),
    ("jnp.sum(weights * dx", "jnp.sum(weights.at[2, 7].set(0) * dx", ["x"], "wrong", ["single_entry"]),
    ("weights = powers / total[..., None]", "weights = (powers / total[..., None]).at[:, -1].set(0)", ["x"], "wrong",
     ["boundary"]),
    ("total = jnp.sum(powers, axis=-1)",
     "total = jax.lax.scan(lambda a, c: (a + c, None), jnp.zeros_like(x[:, 0]), powers.T.astype(x.dtype))[0]", ["x"],
     "imprecise", ["precision"]),
    ("weights = powers / total[..., None]",
     "weights = jnp.exp((x - out[:, None]).astype(jnp.float32))", ["x"], "imprecise", ["precision"]),
    ("weights = powers / total[..., None]", "weights = (powers / total[..., None]).astype(jnp.bfloat16)", ["x"],
     "imprecise", ["precision"]),
]  # fmt: skip
