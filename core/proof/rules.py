"""The derivative of each operation that NumPy does, for the tape: what flows back to its operands.

A rule gets the adjoint ``g`` of the result, the result and the operands, and gives one array per operand, of the
result's shape for an elementwise function (`ELEMENTWISE`), of the operand's shape else (`WHOLE`). Textbook formulas;
those of linear algebra are in Giles, "Collected Matrix Derivative Results for Forward and Reverse Mode Algorithmic
Differentiation", 2008.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from handgrad.proof.wide import Array

Partials = Callable[..., tuple[Any, ...]]
"""From the result and the operands to the derivative by each operand, entry by entry."""


def _power(out: Any, x: Any, y: Any) -> tuple[Any, Any]:
    by_x = np.where(np.asarray(y) == 0, 0, y * np.power(x, np.where(np.asarray(y) == 0, 1, y - 1)))
    return by_x, np.where(np.asarray(x) > 0, out * np.log(np.where(np.asarray(x) > 0, x, 1)), 0)


def _erf(out: Any, x: Any) -> tuple[Any]:
    del out
    return (2 / np.sqrt(np.pi) * np.exp(-x * x),)


ELEMENTWISE: dict[str, Partials] = {
    "add": lambda out, x, y: (1, 1),
    "subtract": lambda out, x, y: (1, -1),
    "multiply": lambda out, x, y: (y, x),
    "divide": lambda out, x, y: (1 / np.asarray(y), -out / y),
    "power": _power,
    "float_power": _power,
    "remainder": lambda out, x, y: (1, -np.floor(x / y)),
    "fmod": lambda out, x, y: (1, -np.trunc(x / y)),
    "negative": lambda out, x: (-1,),
    "positive": lambda out, x: (1,),
    "conjugate": lambda out, x: (1,),
    "exp": lambda out, x: (out,),
    "exp2": lambda out, x: (out * np.log(out.dtype.type(2)),),
    "expm1": lambda out, x: (out + 1,),
    "log": lambda out, x: (1 / x,),
    "log2": lambda out, x: (1 / (x * np.log(out.dtype.type(2))),),
    "log10": lambda out, x: (1 / (x * np.log(out.dtype.type(10))),),
    "log1p": lambda out, x: (1 / (1 + x),),
    "sqrt": lambda out, x: (1 / (2 * out),),
    "cbrt": lambda out, x: (1 / (3 * out * out),),
    "square": lambda out, x: (2 * x,),
    "reciprocal": lambda out, x: (-out * out,),
    "absolute": lambda out, x: (np.sign(x),),
    "fabs": lambda out, x: (np.sign(x),),
    "copysign": lambda out, x, y: (np.sign(x) * np.sign(out), 0),
    "sin": lambda out, x: (np.cos(x),),
    "cos": lambda out, x: (-np.sin(x),),
    "tan": lambda out, x: (1 + out * out,),
    "arcsin": lambda out, x: (1 / np.sqrt(1 - x * x),),
    "arccos": lambda out, x: (-1 / np.sqrt(1 - x * x),),
    "arctan": lambda out, x: (1 / (1 + x * x),),
    "arctan2": lambda out, y, x: (x / (x * x + y * y), -y / (x * x + y * y)),
    "hypot": lambda out, x, y: (x / out, y / out),
    "sinh": lambda out, x: (np.cosh(x),),
    "cosh": lambda out, x: (np.sinh(x),),
    "tanh": lambda out, x: (1 - out * out,),
    "arcsinh": lambda out, x: (1 / np.sqrt(x * x + 1),),
    "arccosh": lambda out, x: (1 / np.sqrt(x * x - 1),),
    "arctanh": lambda out, x: (1 / (1 - x * x),),
    "logaddexp": lambda out, x, y: (np.exp(x - out), np.exp(y - out)),
    "logaddexp2": lambda out, x, y: (np.exp2(x - out), np.exp2(y - out)),
    "deg2rad": lambda out, x: (np.pi / 180,),
    "radians": lambda out, x: (np.pi / 180,),
    "rad2deg": lambda out, x: (180 / np.pi,),
    "degrees": lambda out, x: (180 / np.pi,),
    "expit": lambda out, x: (out * (1 - out),),  # from here on, SciPy's
    "logit": lambda out, x: (1 / (x * (1 - x)),),
    "log_expit": lambda out, x: (-np.expm1(out),),
    "erf": _erf,
    "erfc": lambda out, x: (-_erf(out, x)[0],),
    "xlogy": lambda out, x, y: (np.log(y), x / y),
    "xlog1py": lambda out, x, y: (np.log1p(y), x / (1 + y)),
    "entr": lambda out, x: (-np.log(x) - 1,),
}
"""Smooth functions, entry by entry, by the name of the ufunc."""

CHOOSING = {"maximum": np.greater_equal, "minimum": np.less_equal, "fmax": np.greater_equal, "fmin": np.less_equal}
"""What passes one of two numbers on, and which."""

CONSTANT = {"sign", "floor", "ceil", "rint", "trunc", "floor_divide", "heaviside", "spacing", "nextafter"}
"""What has the derivative 0 wherever it has one."""


def _sum(g: Array, out: Array, x: Array, *, axis: Any, keepdims: bool) -> tuple[Array]:
    del out
    return (np.broadcast_to(_kept(g, x, axis, keepdims), x.shape),)


def _kept(g: Array, x: Array, axis: Any, keepdims: bool) -> Array:
    """An array with the axes that were reduced put back, of length 1."""
    if keepdims or not x.ndim:
        return g.reshape([1] * x.ndim) if axis is None else g
    axes = tuple(range(x.ndim)) if axis is None else tuple(np.atleast_1d(axis))
    return np.expand_dims(g, tuple(int(a) for a in axes))


def _product(g: Array, out: Array, x: Array, *, axis: Any, keepdims: bool) -> tuple[Array]:
    del out
    axes = tuple(range(x.ndim)) if axis is None else tuple(int(a) % x.ndim for a in np.atleast_1d(axis))
    rest = [a for a in range(x.ndim) if a not in axes]
    flat = x.transpose([*rest, *axes]).reshape([*(x.shape[a] for a in rest), -1])
    ones = np.ones((*flat.shape[:-1], 1), flat.dtype)
    before = np.cumprod(np.concatenate([ones, flat[..., :-1]], -1), -1)
    after = np.cumprod(np.concatenate([ones, flat[..., :0:-1]], -1), -1)[..., ::-1]
    others = (before * after).reshape([x.shape[a] for a in [*rest, *axes]]).transpose(np.argsort([*rest, *axes]))
    return (_kept(g, x, axis, keepdims) * others,)


def _logaddexp(g: Array, out: Array, x: Array, *, axis: Any, keepdims: bool) -> tuple[Array]:
    top = _kept(out, x, axis, keepdims)
    return (_kept(g, x, axis, keepdims) * np.exp(x - top),)


def _cumulative(g: Array, out: Array, x: Array, *, axis: int) -> tuple[Array]:
    del out, x
    return (np.flip(np.cumsum(np.flip(g, axis), axis), axis),)


def _matmul(g: Array, out: Array, x: Array, y: Array) -> tuple[Array, Array]:
    del out
    X, Y = (x[None, :] if x.ndim == 1 else x), (y[:, None] if y.ndim == 1 else y)
    G = np.expand_dims(g, -1) if y.ndim == 1 else g
    G = np.expand_dims(G, -2) if x.ndim == 1 else G
    by_x, by_y = G @ Y.swapaxes(-1, -2), X.swapaxes(-1, -2) @ G
    return summed(by_x, X.shape).reshape(x.shape), summed(by_y, Y.shape).reshape(y.shape)


def _einsum(g: Array, out: Array, *operands: Array, subscripts: str) -> tuple[Array, ...]:
    del out
    inside, result = subscripts.split("->")
    letters = inside.split(",")
    sizes = {c: n for term, x in zip(letters, operands, strict=True) for c, n in zip(term, x.shape, strict=True)}
    found = []
    for i, (term, operand) in enumerate(zip(letters, operands, strict=True)):
        others = [(t, x) for j, (t, x) in enumerate(zip(letters, operands, strict=True)) if j != i]
        single = "".join(dict.fromkeys(term))
        known = set(result).union(*(t for t, _ in others)) if others else set(result)
        lone = [c for c in single if c not in known]
        terms = [result, *(t for t, _ in others), *lone]
        arrays = [g, *(x for _, x in others), *(np.ones(sizes[c], g.dtype) for c in lone)]
        by = np.einsum(f"{','.join(terms)}->{single}", *arrays)
        if len(single) < len(term):  # a diagonal: what is off it does not count
            whole = np.zeros(operand.shape, by.dtype)
            where = np.meshgrid(*(np.arange(sizes[c]) for c in single), indexing="ij")
            whole[tuple(where[single.index(c)] for c in term)] = by
            by = whole
        found.append(by)
    return tuple(found)


def _inv(g: Array, out: Array, x: Array) -> tuple[Array]:
    del x
    turned = out.swapaxes(-1, -2)
    return (-(turned @ g @ turned),)


def _solve(g: Array, out: Array, a: Array, b: Array) -> tuple[Array, Array]:
    by_b = np.linalg.solve(a.swapaxes(-1, -2).astype(np.float64), g.astype(np.float64))  # LAPACK knows no wider ones
    if b.ndim == 1:
        return -np.outer(by_b, out), by_b
    return -(by_b @ out.swapaxes(-1, -2)), by_b


def _det(g: Array, out: Array, x: Array) -> tuple[Array]:
    return ((g * out)[..., None, None] * np.linalg.inv(x).swapaxes(-1, -2),)


def _logdet(g: Array, out: Array, x: Array) -> tuple[Array]:
    del out
    return (g[..., None, None] * np.linalg.inv(x).swapaxes(-1, -2),)


def _cholesky(g: Array, out: Array, x: Array) -> tuple[Array]:
    del x
    L, turned = out, out.swapaxes(-1, -2)
    phi = np.tril(turned @ np.tril(g))
    phi = phi - 0.5 * np.einsum("...i,ij->...ij", np.einsum("...ii->...i", phi), np.eye(L.shape[-1]))
    inverse = np.linalg.inv(L)
    S = inverse.swapaxes(-1, -2) @ phi @ inverse
    return (0.5 * (S + S.swapaxes(-1, -2)),)


def _bincount(g: Array, out: Array, weights: Array, *, x: Array) -> tuple[Array]:
    del out, weights
    return (g[x],)


WHOLE: dict[str, Callable[..., tuple[Array, ...]]] = {
    "sum": _sum,
    "prod": _product,
    "logaddexp.reduce": _logaddexp,
    "cumsum": _cumulative,
    "matmul": _matmul,
    "einsum": _einsum,
    "inv": _inv,
    "solve": _solve,
    "det": _det,
    "logdet": _logdet,
    "cholesky": _cholesky,
    "bincount": _bincount,
    "same": lambda g, out: (g,),
    "scatter-add": lambda g, out, old, new, *, inverse: (g, g[inverse]),
}
"""What is not entry by entry, by a name."""


def summed(array: Array, shape: tuple[int, ...]) -> Array:
    """Summed along the axes along which an array of this shape was broadcast."""
    if array.shape == shape:
        return array
    extra = array.ndim - len(shape)
    axes = (*range(extra), *(i + extra for i, n in enumerate(shape) if n == 1 and array.shape[i + extra] != 1))
    return np.asarray(array.sum(axis=axes, keepdims=True).reshape(shape))
