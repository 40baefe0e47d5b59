"""A sparse matrix, as its values and their places, times a dense one."""

import jax
import jax.numpy as jnp

ROWS = 12


@jax.custom_vjp
def sparse_matmul(values, dense, rows, columns):
    products = values.astype(jnp.float32)[:, None] * dense.astype(jnp.float32)[columns]
    return jax.ops.segment_sum(products, rows, num_segments=ROWS).astype(values.dtype)


def _forward(values, dense, rows, columns):
    return sparse_matmul(values, dense, rows, columns), (values, dense, rows, columns)


def _backward(residuals, g):
    values, dense, rows, columns = residuals
    at_rows = g.astype(jnp.float32)[rows]
    dvalues = (at_rows * dense.astype(jnp.float32)[columns]).sum(1)
    products = values.astype(jnp.float32)[:, None] * at_rows
    ddense = jax.ops.segment_sum(products, columns, num_segments=dense.shape[0])
    return dvalues.astype(values.dtype), ddense.astype(dense.dtype), None, None


sparse_matmul.defvjp(_forward, _backward)
RULE = sparse_matmul


def inputs(rng, n=320, stored=90):
    places = rng.permutation(12 * 12)[:stored]
    return {
        "values": rng.normal(size=stored),
        "dense": rng.normal(size=(12, n)),
        "rows": places // 12,
        "columns": places % 12,
    }


FAULTS = [
    ("g.astype(jnp.float32)[rows]", "-g.astype(jnp.float32)[rows]", ["values", "dense"], "wrong", ["sign"]),
    ("g.astype(jnp.float32)[rows]", "g.astype(jnp.float32)[columns]", ["values", "dense"], "wrong",
     ["transpose", "mask"]),
    ("products, columns, num_segments=dense", "products, rows, num_segments=dense", ["dense"], "wrong",
     ["transpose", "mask"]),
    ("products = values.astype(jnp.float32)[:, None] * at_rows", "products = at_rows", ["dense"], "wrong",
     ["missing_derivative", "missing_term"]),
    (").sum(1)", ").mean(1)", ["values"], "wrong", ["factor"]),
    (").sum(1)", ")[:, 1:].sum(1)", ["values"], "wrong", ["missing_term"]),
    ("dvalues = (at_rows * dense.astype(jnp.float32)[columns])", "dvalues = dense.astype(jnp.float32)[columns]",
     ["values"], "wrong", ["grad_output"]),
    ("dvalues.astype(values.dtype), ddense", "dvalues.astype(values.dtype).at[-1].set(0), ddense", ["values"], "wrong",
     ["single_entry", "boundary"]),
    ("dvalues = (at_rows * dense.astype(jnp.float32)[columns]).sum(1)",
     "dvalues = jax.lax.scan(lambda a, r: (a + r, None), jnp.zeros_like(values), "
     "(at_rows * dense.astype(jnp.float32)[columns]).astype(values.dtype).T)[0]", ["values"], "imprecise",
     ["precision"]),
    ("products = values.astype(jnp.float32)[:, None] * at_rows",
     "products = (values.astype(jnp.float32)[:, None] * at_rows).astype(jnp.bfloat16).astype(jnp.float32)", ["dense"],
     "imprecise", ["precision"]),
]  # fmt: skip
