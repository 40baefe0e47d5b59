"""A recurrent network of tanh, its gradient by a scan backwards in time."""

import jax
import jax.numpy as jnp


def _states(x, W, U):
    W, U = W.astype(jnp.float32), U.astype(jnp.float32)

    def step(h, now):
        h = jnp.tanh(now @ W + h @ U)
        return h, h

    start = jnp.zeros((x.shape[1], U.shape[0]), jnp.float32)
    return jax.lax.scan(step, start, x.astype(jnp.float32))[1]


@jax.custom_vjp
def rnn(x, W, U):
    return _states(x, W, U).astype(x.dtype)


def _forward(x, W, U):
    h = _states(x, W, U)
    return h.astype(x.dtype), (x, W, U, h)


def _backward(residuals, g):
    x, W, U, h = residuals
    wide_u = U.astype(jnp.float32)

    def step(later, now):
        state, out = now
        dz = (out + later) * (1 - state * state)
        return dz @ wide_u.T, dz

    start = jnp.zeros(h.shape[1:], jnp.float32)
    _, dz = jax.lax.scan(step, start, (h, g.astype(jnp.float32)), reverse=True)
    before = jnp.concatenate([start[None], h[:-1]])
    dx = dz @ W.astype(jnp.float32).T
    dW = jnp.einsum("tbi,tbj->ij", x.astype(jnp.float32), dz)
    dU = jnp.einsum("tbi,tbj->ij", before, dz)
    return dx.astype(x.dtype), dW.astype(W.dtype), dU.astype(U.dtype)


rnn.defvjp(_forward, _backward)
RULE = rnn


def inputs(rng, length=60, m=5, n=6):
    return {
        "x": rng.normal(size=(length, m, n)),
        "W": 1.5 * rng.normal(size=(n, n)),
        "U": 0.4 * rng.normal(size=(n, n)),
    }


FAULTS = [
    ("return dz @ wide_u.T, dz", "return dz @ wide_u, dz", ["x", "W", "U"], "wrong", ["transpose"]),
    ("(out + later)", "(out - later)", ["x", "W", "U"], "wrong", ["sign"]),
    ("(out + later)", "out", ["x", "W", "U"], "wrong", ["missing_term"]),
    ("dz = (out + later) * (1 - state * state)", "dz = out + later", ["x", "W", "U"], "wrong", ["missing_derivative"]),
    ("jnp.concatenate([start[None], h[:-1]])", "h", ["U"], "wrong", ["mask"]),
    ("dx = dz @ W.astype(jnp.float32).T", "dx = dz @ W.astype(jnp.float32)", ["x"], "wrong", ["transpose"]),
    ("dx = dz @ W", "dx = g.astype(jnp.float32) @ W", ["x"], "wrong", ["missing_derivative", "missing_term"]),
    ("dU = jnp.einsum(", "dU = 1 / len(x) * jnp.einsum(", ["U"], "wrong", ["factor"]),
    ("h.astype(x.dtype), (x, W, U, h)", "h.astype(x.dtype), (x, W, U, h.astype(jnp.bfloat16).astype(jnp.float32))",
     ["x", "W", "U"], "imprecise", ["precision"]),
    ('dW = jnp.einsum("tbi,tbj->ij", x.astype(jnp.float32), dz)',
     "dW = jax.lax.scan(lambda a, r: (a + jnp.outer(*r).astype(W.dtype), None), jnp.zeros_like(W), "
     "(x.astype(jnp.float32).reshape(-1, W.shape[0]), dz.reshape(-1, W.shape[1])))[0]", ["W"], "imprecise",
     ["precision"]),
]  # fmt: skip
