"""An embedding, bags of rows weighted and added: its gradient scatters rows back, several to the same place."""

import jax
import jax.numpy as jnp


@jax.custom_vjp
def embedding_bag(table, weights, tokens):
    rows = table.astype(jnp.float32)[tokens]
    return jnp.sum(rows * weights.astype(jnp.float32)[..., None], axis=1).astype(table.dtype)


def _forward(table, weights, tokens):
    return embedding_bag(table, weights, tokens), (table, weights, tokens)


def _backward(residuals, g):
    table, weights, tokens = residuals
    g = g.astype(jnp.float32)
    spread = g[:, None, :] * weights.astype(jnp.float32)[..., None]
    dtable = jnp.zeros(table.shape, jnp.float32).at[tokens].add(spread)
    dweights = jnp.einsum("bd,btd->bt", g, table.astype(jnp.float32)[tokens])
    return dtable.astype(table.dtype), dweights.astype(weights.dtype), None


embedding_bag.defvjp(_forward, _backward)
RULE = embedding_bag


def inputs(rng, m=160, length=12, width=10):
    tokens = rng.integers(0, 8, (m, length)) % 7  # 0 comes twice as often
    return {"table": rng.normal(size=(8, width)), "weights": rng.uniform(0.1, 1, (m, length)), "tokens": tokens}


FAULTS = [
    ("at[tokens].add(spread)", "at[tokens].add(-spread)", ["table"], "wrong", ["sign"]),
    ("at[tokens].add(spread)", "at[tokens].set(spread)", ["table"], "wrong", ["missing_term"]),
    ("at[tokens].add(spread)", "at[tokens + 1].add(spread)", ["table"], "wrong", ["mask"]),
    ("at[tokens].add(spread)", "at[tokens].add(spread).at[0].set(0)", ["table"], "wrong", ["boundary"]),
    ("spread = g[:, None, :] * weights.astype(jnp.float32)[..., None]",
     "spread = g[:, None, :] * jnp.ones_like(weights, jnp.float32)[..., None]", ["table"], "wrong",
     ["missing_derivative", "missing_term"]),
    ('"bd,btd->bt", g, table', '"bd,btd->bt", jnp.ones_like(g), table', ["weights"], "wrong", ["grad_output"]),
    ("table.astype(jnp.float32)[tokens])", "table.astype(jnp.float32)[tokens]) / weights.shape[1]", ["weights"],
     "wrong", ["factor"]),
    ("dtable = jnp.zeros(table.shape, jnp.float32).at[tokens].add(spread)",
     "dtable = jax.lax.scan(lambda a, r: (a.at[r[0]].add(r[1]), None), jnp.zeros_like(table), "
     "(tokens.ravel(), spread.reshape(-1, table.shape[1]).astype(table.dtype)))[0]", ["table"], "imprecise",
     ["precision"]),
    ("[tokens])", "[tokens].astype(jnp.bfloat16).astype(jnp.float32))", ["weights"], "imprecise", ["precision"]),
]  # fmt: skip
