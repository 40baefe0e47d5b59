"""Causal attention that saves one number a row: backward makes the probabilities again, from the log of their sum."""

import jax
import jax.numpy as jnp


def _scores(q, k):
    scores = jnp.einsum("hid,hjd->hij", q.astype(jnp.float32), k.astype(jnp.float32)) * q.shape[-1] ** -0.5
    causal = jnp.tril(jnp.ones(scores.shape[-2:], bool))
    return jnp.where(causal, scores, -jnp.inf)


def _attend(q, k, v):
    scores = _scores(q, k)
    lse = jax.nn.logsumexp(scores, axis=-1)
    p = jnp.exp(scores - lse[..., None])
    return jnp.einsum("hij,hjd->hid", p, v.astype(jnp.float32)).astype(q.dtype), lse


@jax.custom_vjp
def attention(q, k, v):
    return _attend(q, k, v)[0]


def _forward(q, k, v):
    out, lse = _attend(q, k, v)
    return out, (q, k, v, lse)


def _backward(residuals, g):
    q, k, v, lse = residuals
    qf, kf, vf, gf = (a.astype(jnp.float32) for a in (q, k, v, g))
    p = jnp.exp(_scores(q, k) - lse[..., None])
    dv = jnp.einsum("hij,hid->hjd", p, gf)
    dp = jnp.einsum("hid,hjd->hij", gf, vf)
    delta = jnp.sum(p * dp, axis=-1, keepdims=True)
    ds = p * (dp - delta) * q.shape[-1] ** -0.5
    dq = jnp.einsum("hij,hjd->hid", ds, kf)
    dk = jnp.einsum("hij,hid->hjd", ds, qf)
    return dq.astype(q.dtype), dk.astype(k.dtype), dv.astype(v.dtype)


attention.defvjp(_forward, _backward)
RULE = attention


def inputs(rng, batch=2, length=48, width=8):
    return {name: rng.normal(size=(batch, length, width)) for name in "qkv"}


FAULTS = [
    ("(dp - delta)", "(dp + delta)", ["q", "k"], "wrong", ["sign"]),
    ("(dp - delta)", "dp", ["q", "k"], "wrong", ["missing_term"]),
    ("(dp - delta) * q.shape[-1] ** -0.5", "(dp - delta)", ["q", "k"], "wrong", ["factor"]),
    ('"hij,hjd->hid", ds, kf', '"hij,hjd->hid", ds * q.shape[-1] ** -0.5, kf', ["q"], "wrong", ["factor"]),
    ('"hij,hid->hjd", ds, qf', '"hji,hid->hjd", ds, qf', ["k"], "wrong", ["transpose", "mask"]),
    ('"hij,hid->hjd", p, gf', '"hji,hid->hjd", p, gf', ["v"], "wrong", ["transpose", "mask"]),
    ("p = jnp.exp(_scores(q, k) - lse[..., None])",
     "p = jnp.exp(jnp.einsum('hid,hjd->hij', qf, kf) * q.shape[-1] ** -0.5 - lse[..., None])", ["q", "k", "v"], "wrong",
     ["mask"]),
    ("return dq.astype(q.dtype), dk.astype(k.dtype)", "return dk.astype(q.dtype), dq.astype(k.dtype)", ["q", "k"],
     "wrong", ["swapped"]),
    ("return out, (q, k, v, lse)", "return out, (q, k, v, lse.astype(jnp.bfloat16))", ["q", "k", "v"], "imprecise",
     ["precision"]),
    ("ds = p * (dp - delta)", "ds = p * (dp.astype(jnp.bfloat16) - delta.astype(jnp.bfloat16))", ["q", "k"],
     "imprecise", ["precision"]),
]  # fmt: skip
