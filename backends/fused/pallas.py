"""The fused step for JAX, as a Pallas kernel, which Triton compiles; `handgrad.backends.fused` says how it goes."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as plgpu

from handgrad.backends.fused import STAGES, WARPS, Tiling, fits, tiling

__all__ = ["fits", "loss_sum"]

Residuals = tuple[jax.Array, jax.Array]


@partial(jax.custom_vjp, nondiff_argnums=(4, 5, 6))
def loss_sum(
    W: jax.Array, b: jax.Array, rows: jax.Array, Y: jax.Array, input_scale: float, activation: str, loss: str
) -> jax.Array:
    """L summed over the examples, of which JAX takes dW and db in reverse mode; to be differentiated once, by W and b.

    Args:
        W: (1, n) and b: (), float32.
        rows: (m, n), uint8 or float32, the transpose of X: one example contiguous.
        Y: (1, m), 0 or 1, float32.
        input_scale: s.
        activation: as the neuron's.
        loss: as the neuron's.
    """
    return _forward(W, b, rows, Y, input_scale, activation, loss)[0]


def _forward(
    W: jax.Array, b: jax.Array, rows: jax.Array, Y: jax.Array, input_scale: float, activation: str, loss: str
) -> tuple[jax.Array, Residuals]:
    m, n = rows.shape
    cut = tiling(m, n, rows.dtype.itemsize)

    def parts(interpret: bool, *arrays: jax.Array) -> jax.Array:
        written: jax.Array = pl.pallas_call(
            partial(_read, cut, input_scale, activation, loss),
            jax.ShapeDtypeStruct((cut.programs, n + 2), jnp.float32),  # type: ignore[no-untyped-call]
            grid=(cut.programs,),
            compiler_params=plgpu.CompilerParams(num_warps=WARPS, num_stages=STAGES),
            interpret=interpret,
        )(*arrays)
        return written

    arrays = (rows, W[0], b[None], Y[0])
    total = jax.lax.platform_dependent(*arrays, cpu=partial(parts, True), default=partial(parts, False)).sum(0)
    return total[n], (total[None, :n], total[n + 1])


def _backward(*arguments: Any) -> tuple[jax.Array, jax.Array, None, None]:
    *_, (dW, db), cotangent = arguments
    return cotangent * dW, cotangent * db, None, None


loss_sum.defvjp(_forward, _backward)


def _loss(Z: jax.Array, Y: jax.Array, activation: str, loss: str) -> tuple[jax.Array, jax.Array]:
    """L and dZ = dL/dZ of some examples; no exponential overflows, and no difference cancels."""
    E = jnp.exp(-abs(Z))
    right, left = 1 / (1 + E), E / (1 + E)  # the sigmoid of |Z|, and of -|Z|
    if loss == "cross_entropy":  # L = log(1 + e^S), where S is Z for class 0 and -Z for class 1; dZ = A - Y
        S = jnp.where(Y == 0, Z, -Z)
        dZ = jnp.where(S >= 0, right, left)
        return jnp.maximum(S, 0) + jnp.log1p(E), jnp.where(Y == 0, dZ, -dZ)
    match activation:
        case "sigmoid":
            A, dA_dZ = jnp.where(Z >= 0, right, left), right * left
        case "tanh":
            A, dA_dZ = jnp.tanh(Z), 4 * E * E / ((1 + E * E) * (1 + E * E))  # 1 - A^2
        case "relu":
            A, dA_dZ = jnp.where(Z != Z, Z, jnp.maximum(Z, 0)), jnp.where(Z > 0, 1.0, 0.0)  # a NaN has to be seen
        case _:
            A, dA_dZ = Z, jnp.ones_like(Z)
    return (A - Y) * (A - Y) / 2, (A - Y) * dA_dZ


def _read(cut: Tiling, s: float, activation: str, loss: str, X: Any, W: Any, b: Any, Y: Any, parts: Any) -> None:
    """One program: reads its rows of X (m, n) and writes its row of parts (programs, n + 2), which is dW, loss, db.

    While it works on some rows, it has the next ones fetched.
    """
    (m, n), program = X.shape, pl.program_id(0)
    first, last = program * cut.rows, jnp.minimum((program + 1) * cut.rows, m)
    columns = [k * cut.width + jnp.arange(cut.width) for k in range(cut.tiles)]
    sW = [s * plgpu.load(W.at[j], mask=j < n, other=0) for j in columns]

    def examples(k: Any) -> Any:
        return first + k * cut.height + jnp.arange(cut.height)

    def fetch(k: Any) -> list[Any]:
        i = examples(k)[:, None]
        return [plgpu.load(X.at[i, j[None]], mask=(i < last) & (j[None] < n), other=0) for j in columns]

    def step(k: Any, state: Any) -> Any:
        x, dW, losses, db = state
        following = fetch(k + 1)
        x = [tile.astype(jnp.float32) for tile in x]
        Z = sum(w[None] * tile for w, tile in zip(sW, x, strict=True)).sum(1) + b[0]
        i = examples(k)
        L, dZ = _loss(Z, plgpu.load(Y.at[i], mask=i < last, other=0), activation, loss)
        L, dZ = jnp.where(i < last, L, 0), jnp.where(i < last, dZ, 0)
        dW = [total + (s * dZ[:, None] * tile).sum(0) for total, tile in zip(dW, x, strict=True)]
        return following, dW, losses + L, db + dZ

    nothing = jnp.zeros(cut.height, jnp.float32)
    state = fetch(0), [jnp.zeros(cut.width, jnp.float32)] * cut.tiles, nothing, nothing
    _, dW, losses, db = jax.lax.fori_loop(0, cut.rows // cut.height, step, state)
    for j, total in zip(columns, dW, strict=True):
        plgpu.store(parts.at[program, j], total, mask=j < n)
    parts[program, n] = losses.sum()
    parts[program, n + 1] = db.sum()
