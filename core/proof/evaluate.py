"""A program traced by JAX, evaluated by NumPy: the same derivative, in more digits than JAX has.

JAX stops at float64. Its traced programs are lists of a few dozen kinds of equation, each of which is one line of
NumPy; here every float64 of the program becomes NumPy's long double. Noisy arrays (`handgrad.proof.noise`) pass
through too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

WIDE: type[np.floating[Any]] = np.longdouble
"""The widest floating point that NumPy has here: 80 bits on x86, 128 on 64-bit Arm, 64 where there is no other."""


class UnsupportedError(Exception):
    """An equation that has no line here."""


def evaluate(closed: Any, arguments: Sequence[Any]) -> list[Any]:
    """The results of a closed jaxpr of JAX, every float64 of it in long double.

    Raises:
        UnsupportedError: an equation of the program has no line here.
    """
    with np.errstate(all="ignore"):
        return _run(closed.jaxpr, [_widen(constant) for constant in closed.consts], arguments)


def _run(jaxpr: Any, constants: Sequence[Any], arguments: Sequence[Any]) -> list[Any]:
    values: dict[Any, Any] = dict(zip(jaxpr.constvars, constants, strict=True))
    values.update(zip(jaxpr.invars, arguments, strict=True))

    def read(atom: Any) -> Any:
        return _widen(np.asarray(atom.val, atom.aval.dtype)) if hasattr(atom, "val") else values[atom]

    needed = _needed(jaxpr)
    for equation, wanted in zip(jaxpr.eqns, needed, strict=True):
        if not wanted:
            continue
        inputs = [read(atom) for atom in equation.invars]
        results = _apply(equation, inputs)
        for variable, result in zip(equation.outvars, results, strict=True):
            values[variable] = _as(result, variable.aval)
    return [read(atom) for atom in jaxpr.outvars]


def _needed(jaxpr: Any) -> list[bool]:
    """Which equations lead to a result: what nobody reads may overflow or be undefined."""
    alive = {id(atom) for atom in jaxpr.outvars}
    wanted = []
    for equation in reversed(jaxpr.eqns):
        use = any(id(variable) in alive for variable in equation.outvars)
        if use:
            alive.update(id(atom) for atom in equation.invars)
        wanted.append(use)
    return wanted[::-1]


def _apply(equation: Any, inputs: list[Any]) -> list[Any]:
    name, parameters = equation.primitive.name, equation.params
    for key in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        if key in parameters and name not in ("scan", "while", "cond"):
            inner = parameters[key]
            if hasattr(inner, "consts"):
                return _run(inner.jaxpr, [_widen(constant) for constant in inner.consts], inputs)
            return _run(inner, [], inputs)
    if name in SIMPLE:
        return [SIMPLE[name](*inputs)]
    if name in WITH_PARAMETERS:
        return [WITH_PARAMETERS[name](equation, *inputs)]
    if name == "split":
        ends = np.cumsum(parameters["sizes"])[:-1]
        return list(np.split(inputs[0], ends, axis=parameters["axis"]))
    if name == "scan":
        return _scan(parameters, inputs)
    if name == "while":
        return _while(parameters, inputs)
    if name == "cond":
        branch = parameters["branches"][int(np.clip(inputs[0], 0, len(parameters["branches"]) - 1))]
        return _run(branch.jaxpr, [_widen(constant) for constant in branch.consts], inputs[1:])
    if name == "sort":
        return _sort(parameters, inputs)
    raise UnsupportedError(f"the operation {name} is not evaluated in long double")


def _widen(value: Any) -> Any:
    array = np.asarray(value) if not isinstance(value, np.ndarray) else value
    return array.astype(WIDE) if array.dtype == np.float64 else array


def dtype_of(dtype: Any) -> Any:
    """The dtype that stands for one of the traced program."""
    return WIDE if dtype == np.float64 else np.dtype(dtype)


def _as(result: Any, aval: Any) -> Any:
    result = result if isinstance(result, np.ndarray) else np.asarray(result)
    wanted = dtype_of(aval.dtype)
    return result if result.dtype == wanted else result.astype(wanted)


def _logistic(x: Any) -> Any:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, np.ones_like(e), e) / (1 + e)


def _select(which: Any, *cases: Any) -> Any:
    if len(cases) == 2:
        return np.where(which, cases[1], cases[0])
    return np.choose(which, cases)


def _divide(x: Any, y: Any) -> Any:
    if np.asarray(x).dtype.kind in "iu":
        return np.trunc(np.true_divide(x, np.where(y == 0, 1, y))).astype(np.asarray(x).dtype)
    return np.true_divide(x, y)


SIMPLE: dict[str, Callable[..., Any]] = {
    "add": np.add, "add_any": np.add, "sub": np.subtract, "mul": np.multiply, "div": _divide, "neg": np.negative,
    "max": np.maximum, "min": np.minimum, "abs": np.abs, "sign": np.sign, "exp": np.exp, "exp2": np.exp2,
    "log": np.log, "log1p": np.log1p, "expm1": np.expm1, "sin": np.sin, "cos": np.cos, "tan": np.tan,
    "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "atan2": np.arctan2, "sinh": np.sinh, "cosh": np.cosh,
    "tanh": np.tanh, "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh, "sqrt": np.sqrt, "cbrt": np.cbrt,
    "square": np.square, "floor": np.floor, "ceil": np.ceil, "rem": np.fmod, "pow": np.power,
    "nextafter": np.nextafter, "is_finite": np.isfinite, "eq": np.equal, "ne": np.not_equal, "lt": np.less,
    "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal, "and": np.bitwise_and, "or": np.bitwise_or,
    "xor": np.bitwise_xor, "not": np.invert, "logistic": _logistic, "select_n": _select,
    "rsqrt": lambda x: 1 / np.sqrt(x), "copy": lambda x: x, "copy_p": lambda x: x, "real": np.real, "imag": np.imag,
    "stop_gradient": lambda x: x, "clamp": lambda low, x, high: np.minimum(np.maximum(x, low), high),
    "optimization_barrier": lambda x: x, "squeeze_p": lambda x: x,
}  # fmt: skip


def _integer_power(equation: Any, x: Any) -> Any:
    y = equation.params["y"]
    return x * x if y == 2 else np.power(x, np.asarray(y, x.dtype if x.dtype.kind == "f" else int))


def _dot(equation: Any, left: Any, right: Any) -> Any:
    (left_sum, right_sum), (left_batch, right_batch) = equation.params["dimension_numbers"]
    dtype = dtype_of(equation.outvars[0].aval.dtype)
    left_free = [axis for axis in range(left.ndim) if axis not in {*left_sum, *left_batch}]
    right_free = [axis for axis in range(right.ndim) if axis not in {*right_sum, *right_batch}]
    L = left.transpose([*left_batch, *left_free, *left_sum])
    R = right.transpose([*right_batch, *right_sum, *right_free])
    batch = L.shape[: len(left_batch)]
    K = int(np.prod([left.shape[axis] for axis in left_sum], dtype=int))
    rows, columns = L.shape[len(batch) : len(batch) + len(left_free)], R.shape[len(batch) + len(right_sum) :]
    M, N = int(np.prod(rows, dtype=int)), int(np.prod(columns, dtype=int))
    if K == 1:  # an outer product needs no sum
        out = L.reshape(*batch, M, 1).astype(dtype) * R.reshape(*batch, 1, N)
    else:
        out = np.matmul(L.reshape(*batch, M, K).astype(dtype, copy=False), R.reshape(*batch, K, N))
    return out.reshape((*batch, *rows, *columns))


def _broadcast(equation: Any, x: Any, *_: Any) -> Any:
    shape, dimensions = equation.params["shape"], equation.params["broadcast_dimensions"]
    inner = [1] * len(shape)
    for axis, size in zip(dimensions, x.shape, strict=True):
        inner[axis] = size
    return np.broadcast_to(x.reshape(inner), shape)


def _pad(equation: Any, x: Any, value: Any) -> Any:
    low_high_inner = equation.params["padding_config"]
    shape = [
        low + high + size + max(size - 1, 0) * inner
        for size, (low, high, inner) in zip(x.shape, low_high_inner, strict=True)
    ]
    places = [
        np.arange(size) * (inner + 1) + low for size, (low, _, inner) in zip(x.shape, low_high_inner, strict=True)
    ]
    keep = [(place >= 0) & (place < size) for place, size in zip(places, shape, strict=True)]
    out = np.zeros_like(x, shape=shape) + value
    out[np.ix_(*[place[k] for place, k in zip(places, keep, strict=True)])] = x[np.ix_(*keep)]
    return out


def _slice(equation: Any, x: Any) -> Any:
    starts, stops = equation.params["start_indices"], equation.params["limit_indices"]
    strides = equation.params["strides"] or [1] * x.ndim
    return x[tuple(slice(*ends) for ends in zip(starts, stops, strides, strict=True))]


def _starts(x: Any, sizes: Sequence[int], starts: Sequence[Any]) -> tuple[slice, ...]:
    first = [int(np.clip(start, 0, total - size)) for start, size, total in zip(starts, sizes, x.shape, strict=True)]
    return tuple(slice(start, start + size) for start, size in zip(first, sizes, strict=True))


def _dynamic_slice(equation: Any, x: Any, *starts: Any) -> Any:
    return x[_starts(x, equation.params["slice_sizes"], starts)]


def _dynamic_update_slice(_: Any, x: Any, update: Any, *starts: Any) -> Any:
    out = x.copy()
    out[_starts(x, update.shape, starts)] = update
    return out


def _positions(equation: Any, shape: tuple[int, ...], indices: Any) -> Any:
    """Where in the flat operand each element of a gather comes from; the operand's size where it is out of bounds."""
    import jax

    flat = np.arange(int(np.prod(shape, dtype=int)), dtype=np.int64).reshape(shape)
    with jax.enable_x64(True):
        return np.asarray(jax.lax.gather_p.bind(flat, np.asarray(indices), **equation))


def _gather(equation: Any, x: Any, indices: Any) -> Any:
    return x.reshape(-1)[_positions(equation.params, x.shape, indices)]


def _scatter(add: bool) -> Callable[..., Any]:
    def scatter(equation: Any, x: Any, indices: Any, updates: Any) -> Any:
        import jax

        numbers = equation.params["dimension_numbers"]
        inserted, batched = numbers.inserted_window_dims, numbers.operand_batching_dims
        window = iter([updates.shape[axis] for axis in numbers.update_window_dims])
        sizes = tuple(1 if axis in inserted or axis in batched else next(window) for axis in range(x.ndim))
        gather = {
            "dimension_numbers": jax.lax.GatherDimensionNumbers(
                offset_dims=numbers.update_window_dims,
                collapsed_slice_dims=inserted,
                start_index_map=numbers.scatter_dims_to_operand_dims,
                operand_batching_dims=batched,
                start_indices_batching_dims=numbers.scatter_indices_batching_dims,
            ),
            "slice_sizes": sizes,
            "indices_are_sorted": False,
            "unique_indices": False,
            "mode": jax.lax.GatherScatterMode.PROMISE_IN_BOUNDS,
            "fill_value": None,
        }
        places = _positions(gather, x.shape, indices)
        out = np.array(x, copy=True, subok=True).reshape(-1)
        if add:
            np.add.at(out, places, updates)
        else:
            out[places] = updates
        return out.reshape(x.shape)

    return scatter


def _argument(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda equation, x: function(x, axis=equation.params["axes"][0])


def _reduce(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda equation, x: function(x, axis=tuple(equation.params["axes"]))


def _cumulative(function: Callable[..., Any]) -> Callable[..., Any]:
    def run(equation: Any, x: Any) -> Any:
        axis = equation.params["axis"]
        if equation.params["reverse"]:
            return np.flip(function(np.flip(x, axis), axis=axis), axis)
        return function(x, axis=axis)

    return run


def _iota(equation: Any) -> Any:
    shape, axis = equation.params["shape"], equation.params["dimension"]
    line = np.arange(shape[axis]).reshape([-1 if i == axis else 1 for i in range(len(shape))])
    return np.broadcast_to(line, shape)


def _round(equation: Any, x: Any) -> Any:
    if int(equation.params["rounding_method"]) == 1:
        return np.rint(x)
    return np.sign(x) * np.floor(np.abs(x) + np.asarray(0.5, x.dtype))


WITH_PARAMETERS: dict[str, Callable[..., Any]] = {
    "integer_pow": _integer_power,
    "dot_general": _dot,
    "broadcast_in_dim": _broadcast,
    "reshape": lambda equation, x, *_: x.reshape(equation.params["new_sizes"]),
    "squeeze": lambda equation, x: x.reshape(equation.outvars[0].aval.shape),
    "expand_dims": lambda equation, x: x.reshape(equation.outvars[0].aval.shape),
    "transpose": lambda equation, x: x.transpose(equation.params["permutation"]),
    "convert_element_type": lambda equation, x: x.astype(dtype_of(equation.params["new_dtype"])),
    "reduce_precision": lambda _, x: x,
    "reduce_sum": _reduce(np.sum),
    "reduce_max": _reduce(np.max),
    "reduce_min": _reduce(np.min),
    "reduce_prod": _reduce(np.prod),
    "reduce_and": _reduce(np.all),
    "reduce_or": _reduce(np.any),
    "argmax": _argument(np.argmax),
    "argmin": _argument(np.argmin),
    "cumsum": _cumulative(np.cumsum),
    "cumprod": _cumulative(np.cumprod),
    "cummax": _cumulative(np.maximum.accumulate),
    "cummin": _cumulative(np.minimum.accumulate),
    "cumlogsumexp": _cumulative(np.logaddexp.accumulate),
    "stack": lambda equation, *arrays: np.stack(arrays, axis=equation.params["axis"]),
    "concatenate": lambda equation, *arrays: np.concatenate(arrays, axis=equation.params["dimension"]),
    "pad": _pad,
    "rev": lambda equation, x: np.flip(x, equation.params["dimensions"]),
    "slice": _slice,
    "dynamic_slice": _dynamic_slice,
    "dynamic_update_slice": _dynamic_update_slice,
    "gather": _gather,
    "scatter": _scatter(add=False),
    "scatter-add": _scatter(add=True),
    "iota": _iota,
    "round": _round,
}


def _sort(parameters: dict[str, Any], inputs: list[Any]) -> list[Any]:
    axis, keys = parameters["dimension"], parameters["num_keys"]
    order = np.lexsort(tuple(np.asarray(key) for key in inputs[:keys][::-1]), axis=axis)
    return [np.take_along_axis(x, order, axis=axis) for x in inputs]


def _scan(parameters: dict[str, Any], inputs: list[Any]) -> list[Any]:
    fixed, carried = parameters["num_consts"], parameters["num_carry"]
    body, length = parameters["jaxpr"], parameters["length"]
    constants, state, lists = inputs[:fixed], inputs[fixed : fixed + carried], inputs[fixed + carried :]
    made: list[list[Any]] = [[] for _ in body.out_avals[carried:]]
    order = range(length - 1, -1, -1) if parameters["reverse"] else range(length)
    for i in order:
        results = _run(body.jaxpr, [_widen(c) for c in body.consts], [*constants, *state, *(x[i] for x in lists)])
        state = results[:carried]
        for stack, result in zip(made, results[carried:], strict=True):
            stack.append(result)
    stacked = []
    for stack, aval in zip(made, body.out_avals[carried:], strict=True):
        ordered = stack[::-1] if parameters["reverse"] else stack
        stacked.append(np.stack(ordered) if ordered else np.zeros((0, *aval.shape), dtype_of(aval.dtype)))
    return [*state, *stacked]


def _while(parameters: dict[str, Any], inputs: list[Any]) -> list[Any]:
    test, body = parameters["cond_jaxpr"], parameters["body_jaxpr"]
    tested, used = parameters["cond_nconsts"], parameters["body_nconsts"]
    for_test, for_body, state = inputs[:tested], inputs[tested : tested + used], inputs[tested + used :]
    while _run(test.jaxpr, [_widen(c) for c in test.consts], [*for_test, *state])[0]:
        state = _run(body.jaxpr, [_widen(c) for c in body.consts], [*for_body, *state])
    return state
