"""Functions of NumPy that only move entries, and those whose results have no derivative."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Numbers = Callable[[Any], Any]


def _first(function: Callable[..., Any], numbers: Numbers, args: Any, keywords: dict[str, Any]) -> Any:
    """The first argument is moved, or each of a list; the others say how."""
    return function(_numbered(args[0], numbers), *_bare(args[1:]), **_bare(keywords))


def _all(function: Callable[..., Any], numbers: Numbers, args: Any, keywords: dict[str, Any]) -> Any:
    return function(*(_numbered(a, numbers) for a in args), **_bare(keywords))


def _numbered(value: Any, numbers: Numbers) -> Any:
    if isinstance(value, tuple | list):
        return [_numbered(v, numbers) for v in value]
    return numbers(value)


def _bare(value: Any) -> Any:
    """Arrays that say how, as indices, without their numbers."""
    if isinstance(value, tuple | list):
        return type(value)(map(_bare, value))
    if isinstance(value, dict):
        return {key: _bare(v) for key, v in value.items()}
    return np.asarray(value.view(np.ndarray)) if isinstance(value, np.ndarray) else value


def _where(function: Callable[..., Any], numbers: Numbers, args: Any, keywords: dict[str, Any]) -> Any:
    if len(args) == 1:
        return [np.zeros(i.shape, np.int64) for i in np.where(_bare(args[0]))]
    return np.where(_bare(args[0]), numbers(args[1]), numbers(args[2]))


def _select(
    function: Callable[..., Any],
    numbers: Numbers,
    args: Any,
    keywords: dict[str, Any],
) -> Any:
    default = args[2] if len(args) > 2 else keywords.get("default", 0)
    return np.select(_bare(args[0]), [numbers(choice) for choice in args[1]], numbers(default))


def _pad(function: Callable[..., Any], numbers: Numbers, args: Any, keywords: dict[str, Any]) -> Any:
    given = {key: v for key, v in keywords.items() if key not in ("constant_values", "end_values")}
    mode = args[2] if len(args) > 2 else given.get("mode", "constant")
    if mode not in ("constant", "edge", "reflect", "symmetric", "wrap"):
        raise NotImplementedError(f"np.pad with mode={mode!r}")
    return np.pad(numbers(args[0]), *_bare(args[1:]), **_bare(given))


def _insert(function: Callable[..., Any], numbers: Numbers, args: Any, keywords: dict[str, Any]) -> Any:
    return np.insert(numbers(args[0]), _bare(args[1]), numbers(args[2]), *_bare(args[3:]), **_bare(keywords))


def _append(function: Callable[..., Any], numbers: Numbers, args: Any, keywords: dict[str, Any]) -> Any:
    return np.append(numbers(args[0]), numbers(args[1]), *_bare(args[2:]), **_bare(keywords))


def _choose(function: Callable[..., Any], numbers: Numbers, args: Any, keywords: dict[str, Any]) -> Any:
    return np.choose(_bare(args[0]), [numbers(choice) for choice in args[1]], **_bare(keywords))


def _second(function: Callable[..., Any], numbers: Numbers, args: Any, keywords: dict[str, Any]) -> Any:
    return function(_bare(args[0]), numbers(args[1]), *_bare(args[2:]), **_bare(keywords))


def _piled(function: Callable[..., Any], numbers: Numbers, args: Any, keywords: dict[str, Any]) -> Any:
    given = {key: v for key, v in keywords.items() if key not in ("dtype", "casting")}
    return _first(function, numbers, args, given)


MOVING: dict[Any, Callable[..., Any]] = {
    **dict.fromkeys((
        np.reshape, np.ravel, np.transpose, np.matrix_transpose, np.swapaxes, np.moveaxis, np.rollaxis, np.squeeze,
        np.expand_dims, np.broadcast_to, np.block, np.split, np.array_split, np.hsplit, np.vsplit, np.dsplit,
        np.tile, np.repeat, np.roll, np.flip, np.fliplr, np.flipud, np.rot90, np.take, np.take_along_axis, np.diag,
        np.diagonal, np.diagflat, np.tril, np.triu, np.delete, np.copy, np.resize, np.unstack,
        np.lib.stride_tricks.sliding_window_view, np.linalg.diagonal, np.linalg.matrix_transpose,
    ), _first),
    **dict.fromkeys((np.concatenate, np.stack, np.vstack, np.hstack, np.dstack, np.column_stack), _piled),
    **dict.fromkeys((np.atleast_1d, np.atleast_2d, np.atleast_3d, np.broadcast_arrays), _all),
    np.where: _where, np.select: _select, np.pad: _pad, np.insert: _insert, np.append: _append, np.choose: _choose,
    np.compress: _second, np.extract: _second,
}  # fmt: skip
"""By function, how it moves the numbers of entries."""

PLAIN = {
    np.argmax, np.argmin, np.argsort, np.argpartition, np.argwhere, np.nonzero, np.flatnonzero, np.count_nonzero,
    np.searchsorted, np.digitize, np.histogram, np.lexsort, np.any, np.all, np.isin, np.array_equal, np.array_equiv,
    np.allclose, np.isclose, np.shape, np.ndim, np.size, np.iscomplexobj, np.isrealobj, np.iscomplex, np.isreal,
    np.may_share_memory, np.shares_memory, np.result_type, np.can_cast, np.min_scalar_type, np.common_type,
    np.array2string, np.array_repr, np.array_str, np.unravel_index, np.ravel_multi_index, np.ix_,
    np.tril_indices_from, np.triu_indices_from, np.diag_indices_from, np.isneginf, np.isposinf, np.nanargmax,
    np.nanargmin, np.linalg.matrix_rank, np.linalg.cond,
}  # fmt: skip
"""Functions whose results are whole numbers, truths or texts."""


def _fill_diagonal(a: Any, value: Any, wrap: bool = False) -> None:
    flat = np.reshape(value, -1)
    for i in range(min(a.shape)):
        a[(i,) * a.ndim] = flat[i % flat.size]


def _copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    dst[...] = src if where is True else np.where(where, src, dst)


def _put_along_axis(arr: Any, indices: Any, values: Any, axis: int = -1) -> None:
    grid = list(np.ogrid[tuple(slice(n) for n in indices.shape)])
    grid[axis] = np.asarray(indices)
    arr[tuple(grid)] = values


def _putmask(a: Any, mask: Any, values: Any) -> None:
    mask = np.asarray(mask)
    a[mask] = values if np.ndim(values) == 0 else values[mask]


INPLACE: dict[Any, Callable[..., None]] = {
    np.fill_diagonal: _fill_diagonal,
    np.copyto: _copyto,
    np.put_along_axis: _put_along_axis,
    np.putmask: _putmask,
    np.place: _putmask,
}
"""Functions that write into their first argument."""
