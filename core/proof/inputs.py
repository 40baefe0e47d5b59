"""Other inputs of the same shapes, dtypes and apparent domain: those that one has at hand may hide a fault.

Zeros hide factors, a single example hides a mean, positive numbers hide an absolute value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from handgrad.proof.problem import replace
from handgrad.proof.wide import Array

Manner = Literal["near", "fresh", "extreme"]
"""near: each number moved by a tenth of itself; fresh: new numbers of the same size; extreme: larger, a few much
larger."""

MANNERS: tuple[Manner, ...] = ("near", "fresh", "extreme")
LARGE = 300_000
"""Inputs of more numbers than this are tried in fewer variants, to stay within seconds."""


def others(
    inputs: Mapping[str, Any], differentiated: set[str], rng: np.random.Generator, manner: Manner, signed: bool = True
) -> dict[str, Any]:
    """Inputs like the given ones.

    Integers stay within their range, a permutation stays one, labels stay labels, one-hot columns stay one-hot (but
    whole numbers in floating point of which an adjoint is returned vary freely). Probabilities stay in (0, 1) and add
    up to 1 where they did, positive numbers stay positive.

    Args:
        inputs: by argument; their leaves are arrays, scalars, or what is left as it is.
        differentiated: the leaves of which backward returns an adjoint; other Python floats are settings, and are moved
            a little.
        rng: the source.
        manner: how far from the given ones.
        signed: let a positive array of fewer than 3 entries, from which little can be told, take negative values.
    """

    def change(name: str, value: Any) -> Any:
        if isinstance(value, bool | np.bool_) or not isinstance(value, float | np.ndarray | np.floating):
            return value
        if not isinstance(value, np.ndarray) and name not in differentiated:
            new = value * rng.uniform(0.5, 2) if value else rng.uniform(0.05, 0.95)
            return new if type(value) is float else type(value)(new)
        array = np.asarray(value)
        if not array.size or not np.all(np.isfinite(array)):
            return value
        drawn = _like(array, rng, manner, signed, name in differentiated).astype(array.dtype).reshape(array.shape)
        return drawn if isinstance(value, np.ndarray) else drawn[()]

    return replace(inputs, change)


def is_discrete(array: Array) -> bool:
    """Whether the numbers are whole, as labels and counts are."""
    return array.dtype.kind != "f" or bool(np.all(array == np.rint(array)))


def _like(array: Array, rng: np.random.Generator, manner: Manner, signed: bool, continuous: bool) -> Array:
    if array.dtype.kind == "b":
        # in each row as many as before: a row of a mask that lets nothing pass is an input that nobody gives
        return rng.permuted(array, axis=-1) if array.ndim else array
    if array.dtype.kind in "iu" or (is_discrete(array) and not continuous):
        one_hot = array.ndim == 2 and any(np.all(array.sum(axis=axis) == 1) for axis in (0, 1))
        return _discrete(array, rng) if one_hot else _symmetric(array, _discrete(array, rng))
    if np.all((array > 0) & (array < 1)) and array.size > 2:
        return _symmetric(array, _probabilities(array, rng, manner))
    drawn = _symmetric(array, _free(array, rng, manner, signed))
    if array.size > 2 and np.all(array >= 0) and np.isclose(array.sum(), 1, atol=1e-6):
        return drawn / drawn.sum() if drawn.any() else array
    tall = array.ndim == 2 and array.shape[0] >= array.shape[1] > 1 and not is_discrete(array)
    if tall and np.allclose(array.T @ array, np.eye(array.shape[1]), atol=1e-6):
        return np.asarray(np.linalg.qr(drawn.astype(float))[0])
    return drawn


def _symmetric(array: Array, drawn: Array) -> Array:
    """What is drawn, symmetric where the given array is, and 0 on the diagonal where that is."""
    square = array.ndim == 2 and array.shape[0] == array.shape[1] > 1
    if not square or not array.any() or not np.array_equal(array, array.T):
        return drawn
    drawn = np.where(np.triu(np.ones(array.shape, bool)), drawn.reshape(array.shape), drawn.reshape(array.shape).T)
    return drawn if np.diag(array).any() else drawn * (1 - np.eye(len(array), dtype=drawn.dtype))


def _free(array: Array, rng: np.random.Generator, manner: Manner, signed: bool) -> Array:
    size = float(np.sqrt(np.mean(np.square(array.astype(float)))))
    if size == 0:
        size = 0.5
    if manner == "near" and np.any(array):
        return array * (1 + rng.uniform(-0.1, 0.1, array.shape)) + 0.01 * size * _keep(array, rng, signed)
    drawn = size * _keep(array, rng, signed)
    if manner == "extreme":
        drawn *= np.where(rng.random(array.shape) < 0.1, 8, 2)
    return drawn


def _keep(array: Array, rng: np.random.Generator, signed: bool) -> Array:
    """Random numbers of the sign of the array, where that has one."""
    drawn = rng.standard_normal(array.shape)
    small = array.size < 3 and signed
    if not np.any(array) or small:
        return drawn
    if np.all(array > 0):
        return 0.05 + np.abs(drawn)
    if np.all(array < 0):
        return -0.05 - np.abs(drawn)
    if np.all(array >= 0):
        return np.abs(drawn) * (rng.random(array.shape) < max(0.5, float(np.mean(array > 0))))
    if np.all(array <= 0):
        return -np.abs(drawn)
    return drawn


def _discrete(array: Array, rng: np.random.Generator) -> Array:
    found = np.unique(array)
    for axis in range(array.ndim):
        if array.shape[axis] > 1 and set(found) <= {0, 1} and np.all(array.sum(axis=axis) == 1):
            return np.asarray(np.apply_along_axis(rng.permutation, axis, array))
    if array.dtype.kind in "iu" and len(found) == 1:
        return array.copy()
    if set(found) <= {-1, 1} and -1 in found:
        return np.asarray(rng.choice([-1, 1], array.shape))
    if set(found) <= {0, 1}:
        return rng.integers(0, 2, array.shape)
    if len(found) == array.size > 2:
        return rng.permutation(array.ravel())
    if found[-1] - found[0] > 2**31:
        return rng.permutation(array.ravel())
    return rng.integers(int(found[0]), int(found[-1]) + 1, array.shape)


def _probabilities(array: Array, rng: np.random.Generator, manner: Manner) -> Array:
    drawn = rng.uniform(0.002 if manner == "extreme" else 0.05, 0.95, array.shape)
    for axis in range(array.ndim):
        if array.shape[axis] > 1 and np.allclose(array.sum(axis=axis), 1, atol=1e-6):
            drawn /= drawn.sum(axis=axis, keepdims=True)
            break
    return drawn
