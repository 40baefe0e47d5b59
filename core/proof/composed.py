"""Functions of NumPy that are made of others, for arrays on a tape."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from handgrad.proof.tape import COMPOSED, NOT_GIVEN, Taped, UntapeableError, finished, numbers_of, plain, tape_of, taped


def _given(value: Any, default: Any) -> Any:
    return default if value is None or value is NOT_GIVEN else value


def _sum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = None, initial: Any = None,
         where: Any = True) -> Any:  # fmt: skip
    return np.add.reduce(
        array_of(a), axis=axis, out=out, keepdims=_given(keepdims, False), initial=_given(initial, None),
        where=_given(where, True),
    )  # fmt: skip


def _prod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = None, **_: Any) -> Any:
    return np.multiply.reduce(array_of(a), axis=axis, out=out, keepdims=_given(keepdims, False))


def _max(a: Any, axis: Any = None, out: Any = None, keepdims: Any = None, initial: Any = None, **_: Any) -> Any:
    return np.maximum.reduce(
        array_of(a), axis=axis, out=out, keepdims=_given(keepdims, False), initial=_given(initial, None)
    )


def _min(a: Any, axis: Any = None, out: Any = None, keepdims: Any = None, initial: Any = None, **_: Any) -> Any:
    return np.minimum.reduce(
        array_of(a), axis=axis, out=out, keepdims=_given(keepdims, False), initial=_given(initial, None)
    )


def _ptp(a: Any, axis: Any = None, out: Any = None, keepdims: Any = None) -> Any:
    return _max(a, axis, out, keepdims) - _min(a, axis, None, keepdims)


def array_of(a: Any) -> Any:
    if isinstance(a, Taped):
        return a
    tape = tape_of(a)
    if tape is None:
        return np.asarray(a)
    return taped(np.array(plain(a)), numbers_of(a, tape), tape)


def _count(a: Any, axis: Any) -> int:
    shape = np.shape(a)
    return int(np.prod(shape if axis is None else [shape[i] for i in np.atleast_1d(axis)], dtype=int))


def _mean(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = None, where: Any = True) -> Any:
    a, where = array_of(a), _given(where, True)
    if where is not True:
        count = np.sum(np.broadcast_to(plain(where), a.shape), axis=axis, keepdims=_given(keepdims, False))
    else:
        count = _count(a, axis)
    return np.divide(_sum(a, axis, keepdims=keepdims, where=where), count, **({} if out is None else {"out": out}))


def _var(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: int = 0, keepdims: Any = None,
         **more: Any) -> Any:  # fmt: skip
    a = array_of(a)
    away = a - _given(more.get("mean"), None) if _given(more.get("mean"), None) is not None else None
    away = a - _mean(a, axis, keepdims=True) if away is None else away
    ddof = _given(more.get("correction"), ddof)
    return np.divide(_sum(away * away, axis, keepdims=keepdims), _count(a, axis) - ddof)


def _std(*args: Any, **keywords: Any) -> Any:
    return np.sqrt(_var(*args, **keywords))


def _average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, keepdims: Any = None) -> Any:
    if returned:
        raise UntapeableError("np.average with returned=True")
    if weights is None:
        return _mean(a, axis, keepdims=keepdims)
    a = array_of(a)
    weights = array_of(weights)
    if weights.shape != a.shape:
        weights = np.reshape(weights, [-1 if i == axis else 1 for i in range(a.ndim)])
    total = _sum(weights * np.ones(a.shape), axis, keepdims=keepdims)
    return _sum(a * weights, axis, keepdims=keepdims) / total


def _dot(a: Any, b: Any, out: Any = None) -> Any:
    a, b = array_of(a), array_of(b)
    if not a.ndim or not b.ndim:
        made = a * b
    elif b.ndim <= 2:
        made = np.matmul(np.reshape(a, (-1, a.shape[-1])), b).reshape(a.shape[:-1] + b.shape[1:]) if a.ndim > 2 else (
            np.matmul(a, b)
        )  # fmt: skip
    else:
        made = _tensordot(a, b, ([-1], [-2]))
    return made if out is None else finished(made, out, tape_of(made))


def _inner(a: Any, b: Any) -> Any:
    a, b = array_of(a), array_of(b)
    return a * b if not a.ndim or not b.ndim else _tensordot(a, b, ([-1], [-1]))


def _outer(a: Any, b: Any, out: Any = None) -> Any:
    made = np.reshape(array_of(a), (-1, 1)) * np.reshape(array_of(b), (1, -1))
    return made if out is None else finished(made, out, tape_of(made))


def _vdot(a: Any, b: Any) -> Any:
    return np.matmul(np.reshape(array_of(a), -1), np.reshape(array_of(b), -1))


def _tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    a, b = array_of(a), array_of(b)
    if isinstance(axes, int | np.integer):
        axes = (list(range(a.ndim - int(axes), a.ndim)), list(range(int(axes))))
    left, right = ([int(i) % x.ndim for i in np.atleast_1d(ax)] for x, ax in zip((a, b), axes, strict=True))
    a_free, b_free = [i for i in range(a.ndim) if i not in left], [i for i in range(b.ndim) if i not in right]
    size = int(np.prod([a.shape[i] for i in left], dtype=int))
    A = np.transpose(a, [*a_free, *left]).reshape(-1, size)
    B = np.transpose(b, [*right, *b_free]).reshape(size, -1)
    return np.matmul(A, B).reshape([*(a.shape[i] for i in a_free), *(b.shape[i] for i in b_free)])


def _einsum(*operands: Any, out: Any = None, optimize: Any = False, **keywords: Any) -> Any:
    if not isinstance(operands[0], str):
        raise UntapeableError("np.einsum with lists of axes")
    given, arrays = operands[0].replace(" ", ""), [array_of(x) for x in operands[1:]]
    inside, arrow, result = given.partition("->")
    terms = inside.split(",")
    spare = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" if c not in given]
    hidden = max(
        (x.ndim - len(t.replace("...", "")) for t, x in zip(terms, arrays, strict=True) if "..." in t), default=0
    )
    letters = "".join(spare[:hidden])
    for i, (t, x) in enumerate(zip(terms, arrays, strict=True)):
        if "..." in t:
            mine = x.ndim - len(t.replace("...", ""))
            terms[i] = t.replace("...", letters[hidden - mine :])
    if not arrow:
        every = "".join(terms)
        result = letters + "".join(sorted(c for c in set(every) if every.count(c) == 1 and c not in letters))
    result = result.replace("...", letters)
    tape = tape_of(arrays)
    subscripts = f"{','.join(terms)}->{result}"
    values = [plain(x) for x in arrays]
    made = np.einsum(subscripts, *values)
    numbers = [x.numbers if isinstance(x, Taped) else None for x in arrays]
    assert tape is not None
    if all(n is None or not n.any() for n in numbers):
        written = tape.constant(made)
    else:
        sizes: dict[str, int] = {}
        for t, x in zip(terms, values, strict=True):
            for c, n in zip(t, x.shape, strict=True):
                if sizes.setdefault(c, n) != n:
                    raise UntapeableError("np.einsum that broadcasts")
        written = tape.write("einsum", numbers, values, made, subscripts=subscripts)
    return written if out is None else finished(written, out, tape)


def _cumsum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    a = array_of(a)
    if axis is None:
        a, axis = np.reshape(a, -1), 0
    made = np.cumsum(a.view(np.ndarray), axis)
    tape = a.tape
    if not a.numbers.any():
        return finished(tape.constant(made), out, tape)
    return finished(tape.write("cumsum", [a.numbers], [a.view(np.ndarray)], made, axis=int(axis)), out, tape)


def _cumprod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    a = array_of(a)
    if axis is None:
        a, axis = np.reshape(a, -1), 0
    a = np.moveaxis(a, axis, 0)
    rows = [a[0]]
    for row in a[1:]:
        rows.append(rows[-1] * row)
    return np.moveaxis(np.stack(rows), 0, axis)


def _diff(a: Any, n: int = 1, axis: int = -1, **_: Any) -> Any:
    a = np.moveaxis(array_of(a), axis, -1)
    for _step in range(n):
        a = a[..., 1:] - a[..., :-1]
    return np.moveaxis(a, -1, axis)


def _clip(a: Any, a_min: Any = None, a_max: Any = None, out: Any = None, **keywords: Any) -> Any:
    low, high = _given(a_min, keywords.get("min")), _given(a_max, keywords.get("max"))
    made = a if low is None else np.maximum(a, low)
    made = made if high is None else np.minimum(made, high)
    made = made.copy() if made is a else made
    return made if out is None else finished(made, out, tape_of(made))


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    x = array_of(x)
    flat = axis is None and (ord is None or x.ndim == 1)
    if ord in (None, "fro") or (ord == 2 and (x.ndim == 1 or (axis is not None and np.size(axis) == 1))):
        return np.sqrt(_sum(x * x, None if flat else axis, keepdims=keepdims))
    if x.ndim == 1 or (axis is not None and np.size(axis) == 1):
        if ord == 1:
            return _sum(np.abs(x), axis, keepdims=keepdims)
        if ord == np.inf:
            return _max(np.abs(x), axis, keepdims=keepdims)
        if isinstance(ord, int | float) and ord > 0:
            return _sum(np.abs(x) ** ord, axis, keepdims=keepdims) ** (1 / ord)
    raise UntapeableError(f"np.linalg.norm with ord={ord}")


def _nansum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = None, **_: Any) -> Any:
    a = array_of(a)
    return _sum(np.where(np.isnan(plain(a)), 0, a), axis, out=out, keepdims=keepdims)


def _nanmean(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = None, **_: Any) -> Any:
    there = np.sum(~np.isnan(plain(array_of(a))), axis=axis, keepdims=_given(keepdims, False))
    return np.divide(_nansum(a, axis, keepdims=keepdims), there, **({} if out is None else {"out": out}))


def _multi_dot(arrays: Any, *, out: Any = None) -> Any:
    return functools.reduce(lambda a, b: _dot(a, b), arrays)


def _matrix_power(a: Any, n: int) -> Any:
    if n < 1:
        raise UntapeableError(f"np.linalg.matrix_power with n={n}")
    return functools.reduce(np.matmul, [array_of(a)] * n)


def as_strided(x: Any, shape: Any = None, strides: Any = None, subok: bool = False, writeable: bool = True) -> Any:
    """As `numpy.lib.stride_tricks.as_strided`."""
    del subok, writeable
    values, numbers = plain(x), x.numbers
    size = values.itemsize
    if numbers.strides != tuple(s // size * numbers.itemsize for s in values.strides) or strides is None:
        raise UntapeableError("as_strided")
    view = np.lib.stride_tricks.as_strided
    apart = [s // size * numbers.itemsize for s in strides]
    return taped(np.array(view(values, shape, strides)), np.array(view(numbers, shape, apart)), x.tape)


def columns(items: Any) -> Any:
    """As ``np.c_[items]``, of arrays."""
    arrays = [array_of(item) for item in items]
    return np.concatenate([np.reshape(a, (-1, 1)) if a.ndim < 2 else a for a in arrays], axis=-1)


def rows(items: Any) -> Any:
    """As ``np.r_[items]``, of arrays."""
    return np.concatenate([np.reshape(a, (1,)) if a.ndim < 1 else a for a in map(array_of, items)])


def logsumexp(a: Any, axis: Any = None, b: Any = None, keepdims: bool = False, return_sign: bool = False) -> Any:
    """As `scipy.special.logsumexp`."""
    if return_sign:
        raise UntapeableError("logsumexp with return_sign")
    a = array_of(a)
    high = np.max(plain(a), axis, keepdims=True)
    high = np.where(np.isfinite(high), high, 0)
    made = np.log(_sum(np.exp(a - high) if b is None else b * np.exp(a - high), axis, keepdims=True)) + high
    return made if keepdims else np.squeeze(made, axis)


def softmax(x: Any, axis: Any = None) -> Any:
    """As `scipy.special.softmax`."""
    x = array_of(x)
    made = np.exp(x - np.max(plain(x), axis, keepdims=True))
    return made / _sum(made, axis, keepdims=True)


def log_softmax(x: Any, axis: Any = None) -> Any:
    """As `scipy.special.log_softmax`."""
    return x - logsumexp(x, axis, keepdims=True)


LOGDET: Any = type(np.linalg.slogdet(np.eye(1)))


def _linear(rule: str) -> Callable[..., Any]:
    function: dict[str, Any] = {
        "inv": np.linalg.inv,
        "solve": np.linalg.solve,
        "det": np.linalg.det,
        "cholesky": np.linalg.cholesky,
    }

    def run(*operands: Any) -> Any:
        arrays = [array_of(x) for x in operands]
        values = [plain(x) for x in arrays]
        tape = tape_of(arrays)
        assert tape is not None
        numbers = [x.numbers if isinstance(x, Taped) else None for x in arrays]
        if rule == "logdet":
            sign, made = np.linalg.slogdet(*values)
            return LOGDET(sign, tape.write(rule, numbers, values, made))
        return tape.write(rule, numbers, values, function[rule](*values))

    return run


def _trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, **_: Any) -> Any:
    return _sum(np.diagonal(a, offset, axis1, axis2), -1)


def _sorted(a: Any, axis: Any = -1, **keywords: Any) -> Any:
    a = array_of(a)
    if axis is None:
        a, axis = np.reshape(a, -1), 0
    return np.take_along_axis(a, np.argsort(a.view(np.ndarray), axis, **keywords), axis)


def _nan_to_num(x: Any, copy: bool = True, **keywords: Any) -> Any:
    x = array_of(x)
    return np.where(np.isfinite(plain(x)), x, np.nan_to_num(plain(x), **keywords))


def _kron(a: Any, b: Any) -> Any:
    a, b = array_of(a), array_of(b)
    if a.ndim != 2 or b.ndim != 2:
        raise UntapeableError("np.kron of what is no matrix")
    made = a[:, None, :, None] * b[None, :, None, :]
    return made.reshape(a.shape[0] * b.shape[0], a.shape[1] * b.shape[1])


def _cross(a: Any, b: Any, axis: int = -1, **_: Any) -> Any:
    a, b = np.moveaxis(array_of(a), axis, -1), np.moveaxis(array_of(b), axis, -1)
    x = [a[..., i] for i in range(3)]
    y = [b[..., i] for i in range(3)]
    return np.stack([x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2], x[0] * y[1] - x[1] * y[0]], axis)


def _convolve(a: Any, v: Any, mode: str = "full") -> Any:
    a, v = array_of(a), array_of(v)
    if len(v) > len(a):
        a, v = v, a
    n = len(v)
    wide = np.pad(a, n - 1)
    made = np.stack([_sum(wide[i : i + n] * v[::-1]) for i in range(len(a) + n - 1)])
    start, length = {"full": (0, len(made)), "same": ((n - 1) // 2, len(a)), "valid": (n - 1, len(a) - n + 1)}[mode]
    return made[start : start + length]


def _correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    return _convolve(a, array_of(v)[::-1], mode)


def _bincount(x: Any, weights: Any = None, minlength: int = 0) -> Any:
    weights = array_of(weights)
    made = np.bincount(plain(x), plain(weights).astype(np.float64), minlength).astype(weights.dtype)
    made[...] = 0
    np.add.at(made, plain(x), plain(weights))
    return weights.tape.write("bincount", [weights.numbers], [plain(weights)], made, x=np.asarray(plain(x)))


def _like(value: Any) -> Callable[..., Any]:
    def make(a: Any, *args: Any, **keywords: Any) -> Any:
        made = getattr(np, value)(plain(a), *plain(args), **plain(keywords))
        tape = tape_of((a, args, list(keywords.values())))
        if made.dtype.kind != "f" or tape is None:
            return made
        fill = args[0] if value == "full_like" and args else keywords.get("fill_value", 0)
        return taped(made, np.array(np.broadcast_to(numbers_of(fill, tape), made.shape)), tape)

    return make


def _round(a: Any, *args: Any, **keywords: Any) -> Any:
    a = array_of(a)
    return a.tape.constant(np.round(plain(a), *args))


def _conj(a: Any, *args: Any) -> Any:
    return a


COMPOSED.update({
    np.sum: _sum, np.prod: _prod, np.max: _max, np.min: _min, np.amax: _max, np.amin: _min, np.ptp: _ptp,
    np.mean: _mean, np.var: _var, np.std: _std, np.average: _average, np.dot: _dot, np.inner: _inner,
    np.outer: _outer, np.vdot: _vdot, np.tensordot: _tensordot, np.einsum: _einsum, np.cumsum: _cumsum,
    np.cumprod: _cumprod, np.diff: _diff, np.clip: _clip, np.trace: _trace, np.sort: _sorted,
    np.nan_to_num: _nan_to_num, np.kron: _kron, np.cross: _cross, np.convolve: _convolve, np.correlate: _correlate,
    np.bincount: _bincount, np.zeros_like: _like("zeros_like"), np.ones_like: _like("ones_like"),
    np.empty_like: _like("empty_like"), np.full_like: _like("full_like"), np.round: _round, np.around: _round,
    np.nansum: _nansum, np.nanmean: _nanmean, np.linalg.multi_dot: _multi_dot, np.linalg.matrix_power: _matrix_power,
    np.real: _conj, np.linalg.norm: _norm, np.linalg.inv: _linear("inv"), np.linalg.solve: _linear("solve"),
    np.linalg.det: _linear("det"), np.linalg.slogdet: _linear("logdet"), np.linalg.cholesky: _linear("cholesky"),
})  # fmt: skip
