"""Other inputs of the same shapes, dtypes and apparent domain: those that one has at hand may hide a fault.

Zeros hide factors, a single example hides a mean, positive numbers hide an absolute value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from handgrad.proof.problem import leaves, replace
from handgrad.proof.structure import Structures, distinct_along, is_whole
from handgrad.proof.wide import Array

Manner = Literal["near", "fresh", "extreme"]
"""near: each number moved by a tenth of itself; fresh: new numbers of the same size; extreme: larger, a few much
larger."""

MANNERS: tuple[Manner, ...] = ("near", "fresh", "extreme")
LARGE = 300_000
"""Inputs of more numbers than this are tried in fewer variants, to stay within seconds."""


def others(
    inputs: Mapping[str, Any],
    differentiated: set[str],
    rng: np.random.Generator,
    manner: Manner,
    signed: bool = True,
    *,
    structures: Structures | None = None,
    loose: bool = False,
) -> dict[str, Any]:
    """Inputs like the given ones.

    Integers stay within their range, a permutation stays one, labels stay labels (but whole numbers in floating point
    of which an adjoint is returned vary freely). Probabilities stay in (0, 1), positive numbers stay positive, and what
    `Structures` sees stays so.

    Args:
        inputs: by argument; their leaves are arrays, scalars, or what is left as it is.
        differentiated: the leaves of which backward returns an adjoint; other Python floats are settings, and are moved
            a little.
        rng: the source.
        manner: how far from the given ones.
        signed: let a positive array of fewer than 3 entries, from which little can be told, take negative values.
        structures: of these inputs, where known.
        loose: keep no structure that may be chance.
    """
    structures = structures or Structures.of(inputs, differentiated)
    drawn = {}
    for name, value in leaves(inputs):
        if name not in structures.given:
            continue
        array = structures.given[name]
        if isinstance(value, np.ndarray) or name in differentiated:
            drawn[name] = _like(array, rng, manner, signed, name in differentiated)
            drawn[name] = drawn[name].astype(array.dtype).reshape(array.shape)
        else:
            drawn[name] = np.asarray(value * rng.uniform(0.5, 2) if value else rng.uniform(0.05, 0.95), array.dtype)
    kept = structures.kept(drawn, rng, loose)

    def change(name: str, value: Any) -> Any:
        if name not in kept:
            return value
        new = kept[name]
        return new if isinstance(value, np.ndarray) else float(new) if type(value) is float else new[()]

    return replace(inputs, change)


def _like(array: Array, rng: np.random.Generator, manner: Manner, signed: bool, continuous: bool) -> Array:
    if array.dtype.kind == "b":
        # in each row as many as before: a row of a mask that lets nothing pass is an input that nobody gives
        return rng.permuted(array, axis=-1) if array.ndim else array
    if array.dtype.kind in "iu" or (is_whole(array) and not continuous):
        return _discrete(array, rng)
    if np.all((array > 0) & (array < 1)) and array.size > 2:
        return _probabilities(array, rng, manner)
    return _free(array, rng, manner, signed)


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
    found, indices = np.unique(array), array.dtype.kind in "iu"
    if indices and array.ndim == 2 and 2 in array.shape:  # pairs that are distinct, as edges
        axes = [axis for axis in (0, 1) if array.shape[1 - axis] == 2]
        if all(np.unique(array, axis=axis).shape == array.shape for axis in axes):
            return rng.permutation(array, axis=axes[0]) if len(axes) == 1 else array.copy()
    for axis in range(array.ndim):
        if array.shape[axis] > 1 and set(found) <= {0, 1} and np.all(array.sum(axis=axis) == 1):
            return rng.permuted(array, axis=axis)
    if indices and len(found) == 1:
        return array.copy()
    if set(found) <= {-1, 1} and -1 in found:
        return np.asarray(rng.choice([-1, 1], array.shape))
    if len(found) == array.size > (1 if indices else 2) or found[-1] - found[0] > 2**31:
        return rng.permutation(array.ravel())
    if indices and array.ndim > 1 and (along := distinct_along(array)) is not None:
        return rng.permuted(array, axis=along)
    if set(found) <= {0, 1}:
        return rng.integers(0, 2, array.shape)
    return rng.integers(int(found[0]), int(found[-1]) + 1, array.shape)


def _probabilities(array: Array, rng: np.random.Generator, manner: Manner) -> Array:
    return rng.uniform(0.002 if manner == "extreme" else 0.05, 0.95, array.shape)
