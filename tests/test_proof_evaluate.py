"""Programs that JAX traced, evaluated by NumPy in long double: operations that the proof's cases seldom need."""

import numpy as np
import pytest

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402
from jax import lax  # noqa: E402

from handgrad.proof.evaluate import UnsupportedError, evaluate  # noqa: E402


def running(x):
    return lax.scan(lambda s, row: (s * 0.5 + row, s @ row), jnp.zeros(x.shape[1]), x)


def halved(x):
    return lax.while_loop(lambda s: s[0] < 5, lambda s: (s[0] + 1, s[1] / 2 + x), (0, x))[1]


PROGRAMS = {
    "scan": running,
    "scan, from the end": lambda x: lax.scan(lambda s, row: (s + row, s * row), x[0], x, reverse=True),
    "scan, of nothing": lambda x: lax.scan(lambda s, row: (s + row, s), x[0], x[:0]),
    "while": halved,
    "cond": lambda x: lax.cond(x[0, 0] > 0, jnp.sin, jnp.cos, x) + lax.cond(x[0, 0] > 9, jnp.sin, jnp.cos, x),
    "switch": lambda x: lax.switch(2, [jnp.sin, jnp.cos, jnp.tanh], x),
    "select of three": lambda x: lax.select_n((abs(x * 10) % 3).astype(int), x, -x, 2 * x),
    "split": lambda x: jnp.split(x, [1, 3], axis=1),
    "sort": lambda x: jnp.sort(x, axis=0),
    "sort by two": lambda x: lax.sort((jnp.round(x), x), dimension=1, num_keys=2),
    "sums so far": lambda x: (jnp.cumsum(x, axis=1), jnp.cumprod(x, axis=0), lax.cumsum(x, axis=0, reverse=True)),
    "logistic": lambda x: jax.nn.sigmoid(30 * x),
    "remainder": lambda x: lax.rem(x, jnp.full_like(x, 0.3)),
    "division of whole numbers": lambda x: lax.div((10 * x).astype(int), jnp.full(x.shape, 3)),
    "a slice at a place": lambda x: lax.dynamic_slice(x, (1, 2), (2, 2)),
    "a slice put at a place": lambda x: lax.dynamic_update_slice(x, x[:1, :2] * 3, (2, 9)),
    "an entry set": lambda x: x.at[1, 2].set(7.0),
    "an entry added to": lambda x: x.at[jnp.array([0, 0, 2])].add(1.5),
    "the place of the largest": lambda x: (jnp.argmax(x, axis=1), jnp.argmin(x, axis=0)),
    "rounded": lambda x: (jnp.round(4 * x), lax.round(4 * x)),
    "a range": lambda x: x + lax.broadcasted_iota(x.dtype, x.shape, 1),
    "padded": lambda x: jnp.pad(x, ((1, 0), (0, 2)), constant_values=5.0),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_same_as_jax_has_in_float64(name, rng):
    x = rng.standard_normal((4, 5))
    with jax.enable_x64(True):
        expected = jax.tree_util.tree_leaves(PROGRAMS[name](jnp.asarray(x)))
        found = evaluate(jax.make_jaxpr(PROGRAMS[name])(x), [x.astype(np.longdouble)])
    assert len(found) == len(expected)
    for mine, other in zip(found, expected, strict=True):
        assert np.shape(mine) == other.shape
        np.testing.assert_allclose(np.asarray(mine, float), np.asarray(other, float), rtol=1e-13, atol=1e-14)


def test_an_operation_without_a_line_is_named():
    with pytest.raises(UnsupportedError, match="the operation fft is not evaluated in long double"):
        evaluate(jax.make_jaxpr(jnp.fft.fft)(np.ones(4, np.float32)), [np.ones(4)])
