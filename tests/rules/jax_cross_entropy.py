"""Cross-entropy of logits and labels, in chunks of rows: saved is one number a row, probabilities are made again."""

import jax
import jax.numpy as jnp

CHUNK = 16


def _losses(part):
    logits, labels = part
    wide = logits.astype(jnp.float32)
    normalizer = jax.nn.logsumexp(wide, axis=-1)
    return normalizer - jnp.take_along_axis(wide, labels[:, None], axis=-1)[:, 0], normalizer


def _in_chunks(logits, labels):
    parts = logits.reshape(-1, CHUNK, logits.shape[-1]), labels.reshape(-1, CHUNK)
    losses, normalizers = jax.lax.map(_losses, parts)
    return losses.mean().astype(logits.dtype), normalizers


@jax.custom_vjp
def cross_entropy(logits, labels):
    return _in_chunks(logits, labels)[0]


def _forward(logits, labels):
    loss, normalizers = _in_chunks(logits, labels)
    return loss, (logits, labels, normalizers)


def _backward(residuals, g):
    logits, labels, normalizers = residuals
    scale = g.astype(jnp.float32) / labels.size

    def part(given):
        rows, targets, normalizer = given
        p = jnp.exp(rows.astype(jnp.float32) - normalizer[:, None])
        return (p.at[jnp.arange(CHUNK), targets].add(-1) * scale).astype(rows.dtype)

    parts = logits.reshape(-1, CHUNK, logits.shape[-1]), labels.reshape(-1, CHUNK), normalizers
    return jax.lax.map(part, parts).reshape(logits.shape), None


cross_entropy.defvjp(_forward, _backward)
RULE = cross_entropy


def inputs(rng, chunks=3, classes=60):
    return {
        "logits": 2 * rng.normal(size=(CHUNK * chunks, classes)),
        "labels": rng.integers(0, classes, CHUNK * chunks),
    }


FAULTS = [
    (".add(-1)", ".add(1)", ["logits"], "wrong", ["sign"]),
    (".at[jnp.arange(CHUNK), targets].add(-1)", "", ["logits"], "wrong", ["missing_term"]),
    (".add(-1)", ".set(-1)", ["logits"], "wrong", ["missing_term"]),
    ("targets].add", "targets - 1].add", ["logits"], "wrong", ["mask", "missing_term"]),
    ("g.astype(jnp.float32) / labels.size", "g.astype(jnp.float32)", ["logits"], "wrong", ["factor"]),
    ("g.astype(jnp.float32) / labels.size", "g.astype(jnp.float32) / logits.size", ["logits"], "wrong", ["factor"]),
    ("g.astype(jnp.float32) / labels.size", "1 / labels.size", ["logits"], "wrong", ["grad_output", "factor"]),
    ("p = jnp.exp(rows.astype(jnp.float32) - normalizer[:, None])", "p = jnp.exp(rows.astype(jnp.float32))",
     ["logits"], "wrong", ["missing_term", "missing_derivative"]),
    ("p = jnp.exp(rows.astype(jnp.float32) - normalizer[:, None])",
     "p = jnp.exp((rows.astype(jnp.float32) - normalizer[:, None]).astype(jnp.bfloat16)).astype(jnp.float32)",
     ["logits"], "imprecise", ["precision"]),
    ("return loss, (logits, labels, normalizers)", "return loss, (logits, labels, normalizers.astype(jnp.bfloat16))",
     ["logits"], "imprecise", ["precision"]),
]  # fmt: skip
