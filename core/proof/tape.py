"""Arrays that remember where each of their numbers comes from: a program is run once, as it stands, and differentiated.

Every entry of a `Taped` array has a number. What moves entries (views, slices, in-place writes, padding, stacking) is
done by NumPy to the numbers as it is to the entries, so that no rule is needed for it; what computes gives its results
new numbers and is written down as an operation with its rule (`handgrad.proof.rules`). A sweep back over the
operations gives the adjoint of every number at once: reverse accumulation (Griewank and Walther, "Evaluating
Derivatives", 2nd ed., SIAM, 2008).

An adjoint that is supplied for some numbers is what flows on from there. So one sweep gives, for every named value,
what its adjoint should be *given the later ones as supplied*: no other line's fault reaches it.
"""

from __future__ import annotations

import inspect
import sys
import sysconfig
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from handgrad.proof.moving import INPLACE, MOVING, PLAIN
from handgrad.proof.noise import Rounding
from handgrad.proof.rules import CHOOSING, CONSTANT, ELEMENTWISE, WHOLE, summed
from handgrad.proof.wide import WIDE, Array


class UntapeableError(Exception):
    """The program does what the tape has no rule for, and what."""


@dataclass(slots=True)
class Operation:
    """One operation of the program.

    Attributes:
        rule: its name in `rules`; "input" for what comes from outside.
        numbers: by operand, the numbers of its entries; None for what has none.
        values: the operands.
        out: the result.
        start: the number of its first entry; the others follow in order.
        keywords: of the rule.
        place: file and line of the user's code, where that is asked for.
    """

    rule: str
    numbers: list[Array | None]
    values: list[Any]
    out: Array
    start: int
    keywords: dict[str, Any] = field(default_factory=dict)
    place: tuple[str, int] | None = None

    @property
    def span(self) -> slice:
        """The numbers of the result."""
        return slice(self.start, self.start + self.out.size)

    def sizes(self, g: Array) -> list[Array | None] | None:
        """What flows back to each operand, added up without signs; None where nothing is added up."""
        with np.errstate(all="ignore"):
            if self.rule in ("matmul", "einsum"):
                values = [np.abs(value) for value in self.values]
                return list(WHOLE[self.rule](np.abs(g), self.out, *values, **self.keywords))
            if self.rule in WHOLE or all(n is None or n.shape == self.out.shape for n in self.numbers):
                return None
            return [
                None
                if n is None
                else summed(np.broadcast_to(np.abs(np.where(g == 0, 0, g * part)), self.out.shape), n.shape)
                for n, part in zip(self.numbers, ELEMENTWISE[self.rule](self.out, *self.values), strict=True)
            ]

    def back(self, g: Array, power: Mapping[int, float] | None = None) -> list[Array | None]:
        """What flows back to each operand, in its shape."""
        with np.errstate(all="ignore"):
            if self.rule in WHOLE:
                return list(WHOLE[self.rule](g, self.out, *self.values, **self.keywords))
            parts = ELEMENTWISE[self.rule](self.out, *self.values)
            found: list[Array | None] = []
            for i, (numbers, part) in enumerate(zip(self.numbers, parts, strict=True)):
                if numbers is None:
                    found.append(None)
                    continue
                if power and i in power:
                    part = np.asarray(part) ** int(power[i])
                flow = np.where(g == 0, 0, g * part)  # where nothing comes from, no infinite slope counts
                if not flow.shape == numbers.shape == self.out.shape:
                    flow = summed(np.broadcast_to(flow, self.out.shape), numbers.shape)
                found.append(flow)
            return found


class Tape:
    """What a run of a program wrote down.

    Args:
        dtype: of the numbers that the program is run with.
        rounding: moves every result, to see what rounding does.
        places: write down also which line of the user's code each operation is on.

    Attributes:
        operations: in order.
        lowest: the unit of the dtype with the fewest digits that was seen.
    """

    def __init__(self, dtype: Any = WIDE, rounding: Rounding | None = None, places: bool = False) -> None:
        self.dtype = np.dtype(dtype)
        self.rounding = rounding
        self.places = places
        self.operations: list[Operation] = []
        self.count = 1  # 0 is the number of what nothing is asked of
        self.lowest = float(np.finfo(self.dtype).eps)
        self.small: list[float] = []
        """Small numbers that the program added, as ``log(y + 1e-7)`` does."""
        self.without: set[int] = set()
        """Those of them, by place, that are left out."""
        self.left: dict[float, int] = {}
        """Numbers that left as a Python float, by their value: they may come back."""

    def constant(self, value: Any) -> Any:
        """An array of which nothing is asked, but into which the program may write."""
        return taped(np.asarray(value), np.zeros(np.shape(value), np.int64), self)

    def input(self, value: Any) -> Any:
        """An array by whose entries is differentiated."""
        array = np.array(plain(value))
        return self.write("input", [], [], array if array.dtype.kind == "f" else array.astype(self.dtype))

    def write(self, rule: str, numbers: list[Array | None], values: list[Any], out: Any, **keywords: Any) -> Any:
        """An operation, and its result."""
        out = np.asarray(out)
        if out.dtype.kind != "f":
            raise UntapeableError(f"{rule} gives {out.dtype}")
        self.lowest = max(self.lowest, float(np.finfo(out.dtype).eps))
        if self.rounding is not None and rule not in ("input", "same"):
            out = np.asarray(self.rounding.jitter(out))
        place = _place(inspect.currentframe()) if self.places else None
        start = self.count
        self.count += out.size
        kept = [np.array(v) if isinstance(v, np.ndarray) else v for v in values]
        kept_numbers = [None if n is None or not n.any() else np.array(n) for n in numbers]
        self.operations.append(Operation(rule, kept_numbers, kept, np.array(out), start, keywords, place))
        return taped(out, np.arange(start, self.count).reshape(out.shape), self)

    def renew(self, array: Taped, place: tuple[str, int] | None = None) -> None:
        """Give the entries of an array numbers of their own, so that its uses from here on are told from others."""
        if array.size:
            fresh = self.write("same", [array.numbers], [], array.view(np.ndarray))
            array.numbers[...] = fresh.numbers
            if place is not None:
                self.operations[-1].place = place

    def sweep(
        self,
        seeds: Iterable[tuple[Array, Any]],
        supplied: Iterable[tuple[Array, Any]] = (),
        *,
        scale: Mapping[tuple[int, int], float] | None = None,
        power: Mapping[tuple[int, int], float] | None = None,
        rounding: Rounding | None = None,
        dtype: Any = None,
        sizes: Array | None = None,
        terms: list[Array] | None = None,
    ) -> Array:
        """The adjoint of every number.

        Args:
            seeds: numbers, and the adjoint that each starts with: 1 for the cost.
            supplied: numbers, and the adjoint that flows on from them, whatever comes to them.
            scale: by operation and operand, a factor of what flows back there.
            power: by operation and operand, to which the derivative of an elementwise function is raised.
            rounding: moves what flows.
            dtype: of the adjoints; that of the tape, if None.
            sizes: gets what each adjoint is a sum of, added up without signs.
            terms: gets what flows back through each operand.
        """
        dtype = self.dtype if dtype is None else dtype
        adjoint = np.zeros(self.count, dtype)
        for numbers, g in seeds:
            np.add.at(adjoint, numbers.ravel(), np.broadcast_to(g, numbers.shape).ravel())
        given, flows = np.zeros(self.count, bool), np.zeros(self.count, dtype)
        for numbers, g in supplied:
            given[numbers.ravel()] = True
            flows[numbers.ravel()] = np.broadcast_to(g, numbers.shape).ravel()
        given[0] = False
        any_given = bool(given.any())
        powers: dict[int, dict[int, float]] = {}
        for (index, operand), by in (power or {}).items():
            powers.setdefault(index, {})[operand] = by
        for index in range(len(self.operations) - 1, -1, -1):
            operation = self.operations[index]
            span = operation.span
            g = adjoint[span]
            if any_given and given[span].any():
                g = np.where(given[span], flows[span], g)
            if operation.rule == "input" or not g.any():
                continue
            backward = operation.back(g.reshape(operation.out.shape), powers.get(index))
            apart = None if sizes is None else operation.sizes(g.reshape(operation.out.shape))
            for i, (known, flow) in enumerate(zip(operation.numbers, backward, strict=True)):
                if known is None or flow is None:
                    continue
                if scale and (index, i) in scale:
                    flow = flow * scale[index, i]
                if terms is not None:
                    terms.append(np.asarray(flow))
                if rounding is not None:
                    flow = rounding.jitter(np.asarray(flow))
                _add(adjoint, known, flow)
                if sizes is not None:
                    _add(sizes, known, np.abs(flow) if apart is None else np.asarray(apart[i]))
        adjoint[0] = 0
        return adjoint


def _add(adjoint: Array, numbers: Array, flow: Array) -> None:
    flat = numbers.ravel()
    if flat.size == 1 or (flat[0] and flat[-1] - flat[0] == flat.size - 1 and (flat[1:] - flat[:-1] == 1).all()):
        adjoint[flat[0] : flat[0] + flat.size] += flow.ravel()
    else:
        np.add.at(adjoint, flat, flow.ravel())


class Taped(np.ndarray):
    """An array whose entries are numbered on a tape."""

    kept: Array | None = None
    """The numbers, as they were given."""

    tape: Tape | None = None

    def __array_finalize__(self, other: Any) -> None:
        self.kept = None  # who makes an array knows its numbers
        self.tape = getattr(other, "tape", None)

    @property
    def numbers(self) -> Array:
        """The numbers of the entries."""
        if self.kept is None:
            raise UntapeableError("an array was made in a way that the tape does not know")
        if self.kept.shape != self.shape:
            self.kept = self.kept.reshape(self.shape)  # after x.shape = ...
        return self.kept

    # what moves entries

    def __getitem__(self, index: Any) -> Any:
        index = plain(index)
        return taped(self.view(np.ndarray)[index], self.numbers[index], self.tape)

    def __setitem__(self, index: Any, value: Any) -> None:
        index = plain(index)
        numbers = numbers_of(value, self.tape)
        value = plain(value)
        if self.tape is not None and self.dtype.itemsize < self.tape.dtype.itemsize and np.any(numbers):
            self.tape.lowest = max(self.tape.lowest, float(np.finfo(self.dtype).eps))
            if self.tape.rounding is not None:  # what is stored in fewer digits is rounded there
                value = self.tape.rounding.jitter(np.asarray(value).astype(self.dtype))
        self.view(np.ndarray)[index] = value
        self.numbers[index] = numbers

    def __iter__(self) -> Any:
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **keywords: Any) -> Any:
        tape = tape_of((inputs, out))
        if tape is None:
            arrays = plain(out)
            return getattr(ufunc, method)(*plain(inputs), **({} if out is None else {"out": arrays}), **plain(keywords))
        with np.errstate(all="ignore"):
            return _ufunc(tape, ufunc, method, inputs, out, keywords)

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, keywords: Any) -> Any:
        tape = tape_of((args, keywords))
        if tape is None:
            return function(*plain(args), **plain(keywords))
        with np.errstate(all="ignore"):
            return _function(tape, function, args, keywords)

    # a number that leaves as Python's own

    def _leave(self, value: float) -> float:
        told = value * 1024 != round(value * 1024) if np.isfinite(value) else False  # not a number that anybody writes
        if self.tape is not None and self.kept is not None and told and self.numbers.any():
            self.tape.left[float(value)] = int(self.numbers.ravel()[0])
        return value

    def __float__(self) -> float:
        return self._leave(float(self.view(np.ndarray)))

    def item(self, *args: Any) -> Any:
        return self.reshape(-1)[args if len(args) > 1 else args[0] if args else 0] if self.size else super().item(*args)

    def tolist(self) -> Any:
        return [x.tolist() for x in self] if self.ndim else self[()]

    def __reduce__(self) -> Any:
        raise UntapeableError("an array is pickled")

    def __copy__(self) -> Any:
        return self.copy()

    def __deepcopy__(self, memo: Any) -> Any:
        return self.copy()

    # methods, as functions

    @property
    def T(self) -> Any:
        return np.transpose(self)

    @property
    def mT(self) -> Any:
        return np.swapaxes(self, -1, -2)

    @property  # type: ignore[misc]
    def real(self) -> Any:
        return self

    @property
    def flat(self) -> Any:
        return np.reshape(self, -1)

    @flat.setter
    def flat(self, value: Any) -> None:
        self[...] = np.reshape(value, self.shape) if np.size(value) == self.size else value

    def copy(self, order: Any = "C") -> Any:
        return taped(self.view(np.ndarray).copy(), self.numbers.copy(), self.tape)

    def flatten(self, order: Any = "C") -> Any:
        return np.ravel(self, order).copy()

    def ravel(self, order: Any = "C") -> Any:
        return np.ravel(self, order)

    def reshape(self, *shape: Any, order: Any = "C") -> Any:  # type: ignore[override]
        return np.reshape(self, shape[0] if len(shape) == 1 else shape, order=order)

    def transpose(self, *axes: Any) -> Any:
        return np.transpose(self, (axes[0] if len(axes) == 1 else axes) or None)

    def view(self, *args: Any, **keywords: Any) -> Any:
        if args == (np.ndarray,):
            return super().view(np.ndarray)
        if args and args[0] is not Taped:
            raise UntapeableError("an array is viewed as another type")
        return np.reshape(self, self.shape)

    def astype(self, dtype: Any, *args: Any, copy: bool = True, **keywords: Any) -> Any:  # type: ignore[override]
        dtype = np.dtype(dtype)
        if dtype == self.dtype and not copy:
            return self
        if self.tape is not None and dtype == np.float64 and self.dtype == self.tape.dtype:
            return self.copy()  # the digits that NumPy's own float has are no fewer here
        result = super().view(np.ndarray).astype(dtype, *args, **keywords)
        if dtype.kind != "f":
            return result
        if self.tape is not None:
            self.tape.lowest = max(self.tape.lowest, float(np.finfo(dtype).eps))
        return taped(result, self.numbers.copy(), self.tape)

    def fill(self, value: Any) -> None:
        self[...] = value

    def sort(self, axis: int = -1, **keywords: Any) -> None:  # type: ignore[override]
        self[...] = np.sort(self, axis, **keywords)

    def put(self, indices: Any, values: Any, mode: str = "raise") -> None:
        np.reshape(self, -1)[plain(indices)] = values

    def dot(self, other: Any) -> Any:  # type: ignore[override]
        return np.dot(self, other)

    def max(self, axis: Any = None, out: Any = None, keepdims: bool = False, **keywords: Any) -> Any:  # type: ignore[override]
        return np.max(self, axis, out, keepdims, **keywords)

    def min(self, axis: Any = None, out: Any = None, keepdims: bool = False, **keywords: Any) -> Any:  # type: ignore[override]
        return np.min(self, axis, out, keepdims, **keywords)

    def sum(self, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False, **keywords: Any) -> Any:  # type: ignore[override]
        return np.sum(self, axis, dtype, out, keepdims, **keywords)

    def mean(self, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:  # type: ignore[override]
        return np.mean(self, axis, dtype, out, keepdims)

    def prod(self, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:  # type: ignore[override]
        return np.prod(self, axis, dtype, out, keepdims)

    def var(self, axis: Any = None, dtype: Any = None, out: Any = None, ddof: int = 0, keepdims: bool = False) -> Any:  # type: ignore[override]
        return np.var(self, axis, dtype, out, ddof, keepdims)

    def std(self, axis: Any = None, dtype: Any = None, out: Any = None, ddof: int = 0, keepdims: bool = False) -> Any:  # type: ignore[override]
        return np.std(self, axis, dtype, out, ddof, keepdims)

    def clip(self, min: Any = None, max: Any = None, out: Any = None) -> Any:  # type: ignore[override]
        return np.clip(self, min, max, out)

    def round(self, decimals: int = 0, out: Any = None) -> Any:  # type: ignore[override]
        return np.round(self, decimals)


def _method(name: str) -> Any:
    function = getattr(np, name)

    def method(self: Taped, *args: Any, **keywords: Any) -> Any:
        return function(self, *args, **keywords)

    return method


for _name in (
    "swapaxes", "squeeze", "take", "repeat", "diagonal", "trace", "compress", "cumsum", "cumprod", "argmax", "argmin",
    "argsort", "argpartition", "nonzero", "any", "all", "searchsorted", "conj", "conjugate",
):  # fmt: skip
    setattr(Taped, _name, _method(_name))


def _inplace(name: str) -> Any:
    whole = getattr(np.ndarray, f"__i{name}__")
    apart = getattr(np.ndarray, f"__{name}__")

    def method(self: Taped, other: Any) -> Any:
        # what has no axes is a number for who wrote the program: another name for it does not change with it
        return whole(self, other) if self.ndim else apart(self, other)

    return method


for _name in ("add", "sub", "mul", "truediv", "pow", "mod", "floordiv"):
    setattr(Taped, f"__i{_name}__", _inplace(_name))


def taped(values: Any, numbers: Any, tape: Tape | None) -> Any:
    """An array with these numbers of its entries."""
    array = np.asarray(values).view(Taped)
    array.kept, array.tape = np.asarray(numbers), tape
    return array


def plain(values: Any) -> Any:
    """The same without numbers."""
    if isinstance(values, Taped):
        return np.asarray(values.view(np.ndarray))
    if isinstance(values, tuple) and hasattr(values, "_fields"):
        return type(values)(*map(plain, values))
    if isinstance(values, list | tuple):
        return type(values)(map(plain, values))
    if isinstance(values, dict):
        return {key: plain(value) for key, value in values.items()}
    return values


def numbers_of(value: Any, tape: Tape | None) -> Any:
    """The numbers of an operand: 0 for a constant."""
    if isinstance(value, Taped):
        return value.numbers
    if isinstance(value, float) and tape is not None and value in tape.left:
        return np.asarray(tape.left[value])
    if isinstance(value, list | tuple) and any(isinstance(v, Taped | list | tuple) for v in value):
        return np.array([np.asarray(numbers_of(v, tape)) for v in value])
    return np.zeros(np.shape(value), np.int64)


def tape_of(values: Any) -> Tape | None:
    """The tape of the first array that is on one."""
    if isinstance(values, Taped):
        return values.tape
    if isinstance(values, tuple | list):
        for value in values:
            found = tape_of(value)
            if found is not None:
                return found
    if isinstance(values, dict):
        return tape_of(list(values.values()))
    return None


def _place(frame: types.FrameType | None) -> tuple[str, int] | None:
    while frame is not None:
        if is_users(frame.f_globals.get("__name__", ""), frame.f_code.co_filename):
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back
    return None


SMALL = 1e-4
"""Numbers that are added and no larger are there against a division by zero, or a logarithm of it."""

COMPOSED: dict[Any, Callable[..., Any]] = {}
"""By function of NumPy, what it is made of; filled by `handgrad.proof.composed`."""

NOT_GIVEN = inspect.signature(np.sum).parameters["keepdims"].default
"""What NumPy's own functions pass on for an argument that was left out."""

_LIBRARIES = {"numpy", "scipy", "jax", "jaxlib", "torch", *sys.stdlib_module_names} - {"__main__"}
_INSTALLED = tuple({sysconfig.get_paths()[kind] for kind in ("purelib", "platlib")})

FOLLOWED: set[str] = set()
"""Installed packages whose own code is checked."""


def is_users(module: str, file: str) -> bool:
    """Whether code is the user's: not Python's, not an installed package's that is not itself checked, not ours."""
    package = module.split(".")[0]
    if package in _LIBRARIES or module.startswith("handgrad.") or file.startswith("<__"):
        return False
    return package in FOLLOWED or not _installed(package)


@cache
def _installed(package: str) -> bool:
    file = getattr(sys.modules.get(package), "__file__", None) or ""
    return file.startswith(_INSTALLED)


# how operations are written down


def _operands(tape: Tape, inputs: Iterable[Any]) -> tuple[list[Any], list[Array | None]]:
    values, numbers = [], list[Array | None]()
    for operand in inputs:
        values.append(np.asarray(plain(operand)) if isinstance(operand, list | tuple | Taped) else operand)
        known = numbers_of(operand, tape) if isinstance(operand, list | tuple | Taped | float) else None
        numbers.append(known if known is not None and known.any() else None)
    return values, numbers


def finished(result: Any, out: Any, tape: Tape | None) -> Any:
    """The result, or the array that it was to be written into."""
    out = out[0] if isinstance(out, tuple) else out
    if out is None:
        return result
    if not isinstance(out, Taped):
        if isinstance(out, np.ndarray) and not np.any(numbers_of(result, tape)):
            out[...] = plain(result)
            return out
        raise UntapeableError("a result is written into an array that the tape does not know")
    out[...] = result
    return out


def _ufunc(tape: Tape, ufunc: np.ufunc, method: str, inputs: Any, out: Any, keywords: dict[str, Any]) -> Any:
    name = ufunc.__name__
    if method == "at":
        return _at(tape, name, *inputs)
    if method == "outer":
        left, right = (x if isinstance(x, Taped) else np.asarray(x) for x in inputs)
        left = np.reshape(left, left.shape + (1,) * right.ndim)
        return finished(_ufunc(tape, ufunc, "__call__", (left, right), None, keywords), out, tape)
    if method == "reduce":
        return _reduce(tape, ufunc, out, keywords, *inputs)
    if method == "accumulate":
        if name == "add":
            return finished(_function(tape, np.cumsum, inputs, keywords), out, tape)
        raise UntapeableError(f"{name}.accumulate")
    if method != "__call__":
        raise UntapeableError(f"{name}.{method}")
    mask = keywords.pop("where", True)
    keywords.pop("casting", None)
    if keywords.get("dtype") is not None and np.dtype(keywords["dtype"]).kind == "f":
        keywords["dtype"] = None
    values, numbers = _operands(tape, inputs)
    if mask is not True:
        result = _ufunc(tape, ufunc, method, inputs, None, keywords)
        target = out[0] if isinstance(out, tuple) else out
        before = result if target is None else target
        return finished(np.where(plain(mask), result, before), out, tape)
    if name == "clip":
        return finished(np.minimum(np.maximum(inputs[0], inputs[1]), inputs[2]), out, tape)
    if name in ("add", "subtract"):
        for i, value in enumerate(values):
            if isinstance(value, float) and 0 < abs(value) <= SMALL:
                tape.small.append(float(value))
                if len(tape.small) - 1 in tape.without:
                    values[i] = 0.0
    result = ufunc(*values, **keywords)
    if not isinstance(result, np.ndarray | np.generic) or np.asarray(result).dtype.kind != "f":
        if isinstance(result, tuple) or np.asarray(result).dtype.kind == "c":
            raise UntapeableError(name)
        if out is not None:
            target = out[0] if isinstance(out, tuple) else out
            target[...] = result
            return target
        return result
    if name in CHOOSING:
        first = CHOOSING[name](*values) | np.isnan(np.asarray(values[1]))
        chosen = np.where(first, *(numbers_of(x, tape) for x in inputs))
        return finished(taped(np.array(result), chosen, tape), out, tape)
    if name in CONSTANT or all(n is None for n in numbers):
        return finished(tape.constant(np.array(result)), out, tape)
    if name == "matmul":
        return finished(tape.write("matmul", numbers, values, result), out, tape)
    if name not in ELEMENTWISE:
        raise UntapeableError(name)
    return finished(tape.write(name, numbers, values, result), out, tape)


def _at(tape: Tape, name: str, target: Any, index: Any, value: Any = 0) -> None:
    if not isinstance(target, Taped):
        raise UntapeableError(f"{name}.at on an array that the tape does not know")
    index = plain(index)
    if name == "subtract":
        name, value = "add", -value
    if name != "add":
        raise UntapeableError(f"{name}.at")
    where = np.arange(target.size).reshape(target.shape)[index]
    touched, inverse = np.unique(where, return_inverse=True)
    inverse = inverse.reshape(where.shape)
    new = np.broadcast_to(plain(value), where.shape)
    coming = np.broadcast_to(numbers_of(value, tape), where.shape)
    old = np.reshape(target, -1)[touched] if target.flags.c_contiguous else target.flatten()[touched]
    sums = np.array(plain(old))
    np.add.at(sums, inverse, np.asarray(new, sums.dtype))
    result = tape.write("scatter-add", [old.numbers, coming], [plain(old), new], sums, inverse=inverse)
    places = np.unravel_index(touched, target.shape)
    target[places] = result


def _axes(axis: Any, ndim: int) -> Any:
    return None if axis is None else tuple(int(a) % ndim for a in np.atleast_1d(axis))


def _reduce(
    tape: Tape,
    ufunc: np.ufunc,
    out: Any,
    keywords: dict[str, Any],
    x: Any,
    axis: Any = 0,
    dtype: Any = None,
    _out: Any = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = True,
) -> Any:
    axis = keywords.get("axis", axis)
    keepdims = bool(keywords.get("keepdims", keepdims))
    where = plain(keywords.get("where", where))
    initial = keywords.get("initial", initial)
    name = ufunc.__name__
    x = x if isinstance(x, Taped) else tape.constant(np.asarray(x))
    neutral = {"add": 0, "multiply": 1}
    if where is not True:
        if name not in neutral:
            raise UntapeableError(f"{name}.reduce with where=")
        x = np.where(where, x, neutral[name])
    values = x.view(np.ndarray)
    if name in ("maximum", "minimum", "fmax", "fmin"):
        result = _extreme(x, axis, keepdims, np.argmax if "max" in name else np.argmin)
    elif name in ("add", "multiply", "logaddexp"):
        rule = {"add": "sum", "multiply": "prod", "logaddexp": "logaddexp.reduce"}[name]
        made = ufunc.reduce(values, axis=axis, keepdims=keepdims)
        if not x.numbers.any():
            result = tape.constant(np.asarray(made))
        else:
            result = tape.write(rule, [x.numbers], [values], made, axis=_axes(axis, x.ndim), keepdims=keepdims)
    else:
        return ufunc.reduce(values, axis=axis, keepdims=keepdims)
    if initial is not None and initial is not NOT_GIVEN:
        result = ufunc(result, initial)
    return finished(result, out if out is not None else _out, tape)


def _extreme(x: Taped, axis: Any, keepdims: bool, which: Callable[..., Any]) -> Any:
    axes = tuple(range(x.ndim)) if axis is None else _axes(axis, x.ndim)
    rest = [a for a in range(x.ndim) if a not in axes]
    flat = np.transpose(x, [*rest, *axes]).reshape([*(x.shape[a] for a in rest), -1])
    at = which(flat.view(np.ndarray), axis=-1)[..., None]
    found = np.take_along_axis(flat, at, -1)[..., 0]
    return np.expand_dims(found, axes) if keepdims else found


def _function(tape: Tape, function: Callable[..., Any], args: Any, keywords: dict[str, Any]) -> Any:
    name = function.__name__
    module = str(getattr(function, "__module__", ""))
    if function in COMPOSED:
        return COMPOSED[function](*args, **keywords)
    if function in PLAIN:
        return function(*plain(args), **plain(keywords))
    if function in INPLACE:
        return INPLACE[function](*args, **keywords)
    if function in MOVING:
        out = keywords.pop("out", None)
        values = function(*plain(args), **plain(keywords))
        numbers = MOVING[function](function, lambda v: numbers_of(v, tape), args, keywords)
        return finished(_moved(values, numbers, tape), out, tape)
    raise UntapeableError(f"{module}.{name}".replace("numpy", "np", 1))


def _moved(values: Any, numbers: Any, tape: Tape) -> Any:
    if isinstance(values, list | tuple):
        return type(values)(_moved(v, n, tape) for v, n in zip(values, numbers, strict=True))
    if values.dtype.kind != "f":
        if values.dtype.kind == "c" or np.any(numbers):
            raise UntapeableError(f"an array of {values.dtype}")
        return values
    return taped(values, numbers, tape)
