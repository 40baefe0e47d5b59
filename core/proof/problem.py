"""The two functions of the user and how they are called: names in, named values out, whatever else they do reported."""

from __future__ import annotations

import copy
import functools
import inspect
import traceback
import types
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from handgrad.checks import closest, shown
from handgrad.errors import UsageError
from handgrad.proof.isolation import World
from handgrad.proof.noise import Rounding
from handgrad.proof.recording import entered, recording
from handgrad.proof.tape import Tape
from handgrad.proof.wide import WIDE, Array, wide

Function = Callable[..., Any]


@dataclass(frozen=True)
class Run:
    """One run of forward and backward.

    Attributes:
        inputs: what both were given, by argument.
        named: what forward returned, in order; the last is the cost.
        adjoints: what backward returned.
    """

    inputs: dict[str, Any]
    named: dict[str, Any]
    adjoints: dict[str, Any] = field(default_factory=dict)

    @property
    def cost(self) -> float:
        """The last named value, a single number of whatever shape.

        Raises:
            UsageError: it is none, but something that holds several.
        """
        cost = list(self.named.values())[-1]
        if isinstance(cost, tuple | list | Mapping):
            raise UsageError(f"the cost is {_kind(cost)}; expected a single number; name the one in it by cost=")
        return float(np.ravel(cost)[0])

    @property
    def values(self) -> dict[str, Any]:
        """The leaves of inputs and named values: a list Ws has Ws[0], Ws[1], ..."""
        return dict(leaves(self.inputs)) | dict(leaves(self.named))

    @property
    def hands(self) -> dict[str, Array]:
        """The leaves of the adjoints, by the name of what they are adjoint to, in long double."""
        found = {}
        for name, value in self.adjoints.items():
            for leaf, number in leaves({name[1:]: value}):
                found[leaf] = wide(number)
        return found


def _twins(named: Mapping[str, Any]) -> dict[str, str]:
    """Names of an array that forward has written to since, as ``A = np.maximum(Z, 0, out=Z)``, and its last name."""
    arrays = [(n, v) for n, v in named.items() if isinstance(v, np.ndarray)]
    return {
        name: next(other for other, w in reversed(arrays) if w is value)
        for i, (name, value) in enumerate(arrays)
        if any(w is value for _, w in arrays[i + 1 :])
    }


def leaves(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The arrays and scalars inside tuples, lists and dictionaries, with names as Python writes them."""
    for name, value in values.items():
        if isinstance(value, tuple | list):
            yield from leaves({f"{name}[{i}]": item for i, item in enumerate(value)})
        elif isinstance(value, Mapping):
            yield from leaves({f"{name}[{key!r}]": item for key, item in value.items()})
        else:
            yield name, value


def replace(values: Mapping[str, Any], change: Callable[[str, Any], Any]) -> dict[str, Any]:
    """The same structure with each leaf exchanged for ``change(name, leaf)``."""

    def at(name: str, value: Any) -> Any:
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*(at(f"{name}[{i}]", item) for i, item in enumerate(value)))
        if isinstance(value, tuple | list):
            return type(value)(at(f"{name}[{i}]", item) for i, item in enumerate(value))
        if isinstance(value, Mapping):
            return {key: at(f"{name}[{key!r}]", item) for key, item in value.items()}
        return change(name, value)

    return {name: at(name, value) for name, value in values.items()}


def is_array(value: Any) -> bool:
    """Whether a leaf holds numbers that can vary: an array, a NumPy scalar or a Python float."""
    return isinstance(value, np.ndarray | np.generic | float) and np.asarray(value).dtype.kind in "fiub"


class Problem:
    """The first shape: a forward and a backward function, and the names that pass between them in dictionaries.

    Args:
        forward: inputs to a dictionary of named values, in order, the last one the scalar cost.
        backward: the inputs and named values that its arguments name, to a dictionary with dV for any of them.

    Raises:
        UsageError: not functions.
    """

    def __init__(self, forward: Function, backward: Function) -> None:
        for name, function in ("forward", forward), ("backward", backward):
            if not callable(function):
                raise UsageError(f"{name} is {function!r}; expected a function")
        self.forward = forward
        self.backward = backward
        self.parameters = [parameters_of(function) for function in (forward, backward)]
        self.world = World([("", forward), ("", backward)])
        self.scopes = self.world.around.scopes
        """The globals of the functions, and of those that they call."""
        self.forward_may_be_cut = True
        """Whether forward may be rewritten from its source to tell named values apart."""
        self.remembers = any(map(_remembers, (forward, backward)))
        """Whether forward may leave something behind that backward reads."""

    upstream: tuple[str, ...] = ()
    """The inputs that are cotangents."""
    alone = True
    """Whether each adjoint is judged by itself, given the later ones as they are."""
    twins: Mapping[str, str] = {}
    """Names of an array that forward has written to since the last run began, and its last name."""
    same: Mapping[str, str] = {}
    """Adjoints that are one array with a later one."""
    overwritten: frozenset[str] = frozenset()
    """Adjoints that backward has written to since, as ``dy = dz; dy *= y``, and that are not judged."""
    opaque = False
    """Whether the tape cannot follow the functions, which are PyTorch's or JAX's."""
    forgotten: tuple[str, ...] = ()
    """Parameters of which no gradient is given back, though of several beside them in the same dictionary or object."""
    remarks: tuple[str, ...] = ()
    """What a reader should know of how it was understood."""
    said = ""
    """How the subject was understood, in a sentence."""

    asked: tuple[Any, dict[str, Any]] = ((), {})
    """The subject and the keywords as `check` was given them."""

    def completed(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The inputs, with those that were not passed."""
        return dict(inputs)

    def run_forward(self, inputs: Mapping[str, Any], forward: Function | None = None) -> dict[str, Any]:
        """The named values; errors of the user's code as UsageErrors that say where."""
        with self.world.apart(inputs, _copy) as (things, given, _):
            return self._forward(_bound(forward, things[0]), given)

    def run_backward(
        self, inputs: Mapping[str, Any], named: Mapping[str, Any], backward: Function | None = None
    ) -> dict[str, Any]:
        """The adjoints by name."""
        with self.world.apart({**inputs, **named}, _copy) as (things, given, _):
            return self._backward(_bound(backward, things[1]), given)

    def run(self, inputs: Mapping[str, Any]) -> Run:
        """One run of both, on copies that nobody else sees."""
        with self.world.apart(inputs, _copy) as (things, given, _):
            named = self._forward(things[0], given)
            kept, self.twins = copied(named), _twins(named)
            adjoints = self._backward(things[1], {**given, **named})
            twice = {f"d{name}" for name, other in self.twins.items() if f"d{other}" in adjoints} | self.overwritten
            return Run(dict(inputs), kept, {n: a for n, a in adjoints.items() if n not in twice})

    @property
    def begins(self) -> set[Any]:
        """The code with which going back begins; none where it is the same as that of forward."""
        return {code_of(self.backward)}

    def run_on(self, tape: Tape, inputs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Array]]:
        """One run of both on a tape: what is named, the adjoints, and the numbers of each input's entries."""
        on_tape, numbers = put_on(tape, inputs)
        with recording(tape, self.scopes), self.world.apart(on_tape, _copy) as (things, given, _):
            named = self._forward(things[0], given)
            return named, self._backward(things[1], {**given, **named}), numbers

    def again(self, run: Run, wrt: list[str], rounding: Rounding) -> dict[str, Any]:
        """The adjoints on noisy arrays, given as if rounded otherwise."""
        inputs, named = map(rounding.wrap, _nudged(run, wrt, rounding))
        try:
            with self.world.apart({**inputs, **named}, _copy) as (things, given, _):
                if self.remembers:
                    self._forward(things[0], rounding.wrap(run.inputs))
                return self._backward(things[1], given)
        except UsageError:  # code that takes no subclass of ndarray: there is the float64 of the arguments to move
            return self.run_backward(_jittered(run.inputs, rounding), _jittered(run.named, rounding))

    def _forward(self, forward: Function, inputs: Mapping[str, Any]) -> dict[str, Any]:
        args, kwargs = passed(forward, "forward", inputs)
        named = quietly(forward, "forward", args, kwargs)
        if not isinstance(named, Mapping) or not named or not all(isinstance(name, str) for name in named):
            raise UsageError(
                f"forward returns {_kind(named)}; expected a dictionary of named values in order, the last one the "
                "cost, as dict(Z=Z, A=A, J=J)"
            )
        cost = list(named.values())[-1]
        if isinstance(cost, tuple | list | Mapping) or np.size(cost) != 1 or np.asarray(cost).dtype.kind not in "fiubc":
            raise UsageError(
                f"the last value of forward, {list(named)[-1]}, is {_kind(cost)}; "
                "expected the scalar cost, a single number"
            )
        named = {name: _as_numpy(value) for name, value in named.items()}
        clash = [name for name in named if name in inputs and named[name] is not inputs[name]]
        if clash:
            raise UsageError(
                f"forward returns {clash[0]!r}, which is the name of an input too; give one of them another name"
            )
        return dict(named)

    def _backward(self, backward: Function, available: Mapping[str, Any]) -> dict[str, Any]:
        args, kwargs = passed(backward, "backward", available)
        adjoints = quietly(backward, "backward", args, kwargs)
        if not isinstance(adjoints, Mapping) or not adjoints:
            raise UsageError(
                f"backward returns {_kind(adjoints)}; expected a dictionary of adjoints, as dict(dZ=dZ, dW=dW)"
            )
        for name, value in adjoints.items():
            if not isinstance(name, str) or not name.startswith("d") or name[1:] not in available:
                known = [f"d{key}" for key in available]
                raise UsageError(
                    f"backward returns {name!r}, which is the adjoint of nothing; expected some of: "
                    f"{', '.join(known)}{closest(str(name), known)}"
                )
            if value is None:
                raise UsageError(f"backward returns None for {name}; leave the name out if there is no adjoint")
        self.same = _twins(adjoints)
        return copied(adjoints)

    def changes(self, inputs: Mapping[str, Any]) -> list[str]:
        """What the two functions change in place, one sentence each; nothing of it reaches the user's own arrays."""
        found = []
        with self.world.apart(inputs, _copy) as (things, given, _):
            named = self._forward(things[0], given)
            found += [f"forward changes its argument {name} in place" for name in differing(inputs, given)]
            before = copied({**given, **named})
            self._backward(things[1], {**given, **named})
            found += [f"backward changes {name} in place" for name in differing(before, {**given, **named})]
        first, again = self.run(inputs), self.run(inputs)
        if differing(first.named, again.named):
            raise UsageError(
                f"forward gives another {differing(first.named, again.named)[0]} for the same inputs; "
                "draw random numbers outside and pass them in"
            )
        if differing(first.adjoints, again.adjoints):
            raise UsageError("backward gives other adjoints for the same arguments; draw random numbers outside")
        return found


def put_on(tape: Tape, inputs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Array]]:
    """The inputs on a tape, and the numbers of the entries of each."""
    numbers: dict[str, Array] = {}

    def enter(name: str, value: Any) -> Any:
        if not is_real(value):
            return value
        number = tape.input(value)
        numbers[name] = number.numbers.copy()
        return number

    return replace(inputs, enter), numbers


def is_real(value: Any) -> bool:
    """Whether something is an array of floating point."""
    return isinstance(value, np.ndarray | np.floating) and value.dtype.kind == "f"


def code_of(function: Any) -> Any:
    """The code of a function or a method."""
    function = inspect.unwrap(getattr(function, "func", function))
    return getattr(getattr(function, "__func__", function), "__code__", None)


def _as_numpy(value: Any) -> Any:
    """Another library's array as NumPy's."""
    foreign = hasattr(value, "__array__") and not isinstance(value, np.ndarray | np.generic)
    return np.asarray(value)[()] if foreign else value


def _copy(_: str, value: Any) -> Any:
    return entered(value)


def _bound(function: Function | None, copy: Function) -> Function:
    """A changed version of a function that is called in the place of its copy."""
    if function is None:
        return copy
    if isinstance(function, types.MethodType) and isinstance(copy, types.MethodType):
        return types.MethodType(function.__func__, copy.__self__)
    return function


def _nudged(run: Run, wrt: list[str], rounding: Rounding) -> tuple[dict[str, Any], dict[str, Any]]:
    """Inputs and named values as if rounded otherwise; labels, and inputs that are only computed with, as they are.

    An input with entries that are passed on as they are, as by a maximum, moves with them: backward may compare.
    """
    known = _some([np.asarray(value) for _, value in leaves(run.named) if is_array(value)])
    same = {id(value) for _, value in leaves(run.inputs) if isinstance(value, np.ndarray) and not _holds(value, known)}

    def nudge(name: str, value: Any) -> Any:
        if id(value) in same or not is_array(value):
            return value
        exact = name not in wrt and bool(np.all(value == np.rint(value)))  # a mask, a count
        return value if exact else rounding.nudge(value)

    return replace(run.inputs, nudge), replace(run.named, nudge)


def _some(arrays: list[Array]) -> Array:
    """Up to 64 numbers out of each array, sorted; whole ones, which may be equal by chance, are left out."""
    picked = [array.ravel()[:: array.size // 64 + 1].astype(WIDE) for array in arrays]
    numbers = np.unique(np.concatenate([np.zeros(0, WIDE), *picked]))
    return np.asarray(numbers[np.isfinite(numbers) & (numbers != np.rint(numbers))])


def _holds(array: Array, numbers: Array) -> bool:
    """Whether any of the numbers, which are sorted, is an entry of the array."""
    if array.dtype.kind != "f" or not numbers.size:
        return False
    entries = array.ravel()
    entries = entries[(entries >= numbers[0]) & (entries <= numbers[-1])]
    at = np.minimum(np.searchsorted(numbers, entries), len(numbers) - 1)
    return bool(np.any(numbers[at] == entries))


def _jittered(values: Mapping[str, Any], rounding: Rounding) -> dict[str, Any]:
    def whole(array: Array) -> bool:
        return array.dtype.kind != "f" or bool(np.all(array == np.rint(array)))

    return {
        name: rounding.jitter(value) if isinstance(value, np.ndarray) and not whole(value) else value
        for name, value in values.items()
    }


def parameters_of(function: Function) -> dict[str, inspect.Parameter]:
    """The parameters of a function that may be given.

    Raises:
        UsageError: it is not written in Python.
    """
    known = _PARAMETERS.get(function) if isinstance(function, types.FunctionType) else None
    if known is None:
        try:
            known = dict(inspect.signature(function).parameters)
        except (ValueError, TypeError) as error:
            raise UsageError(f"{error}; expected functions written in Python") from error
        if isinstance(function, types.FunctionType):
            _PARAMETERS[function] = known
    return dict(known)


_PARAMETERS: WeakKeyDictionary[types.FunctionType, dict[str, inspect.Parameter]] = WeakKeyDictionary()
"""Of functions that were asked for: a check asks for the same one thousands of times."""


def passed(function: Function, role: str, available: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """The positional and keyword arguments that a function gets from what is available by name.

    Raises:
        UsageError: an argument is not available, or the function is not written in Python.
    """
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for name, parameter in parameters_of(function).items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            kwargs |= {key: value for key, value in available.items() if key not in kwargs}
        elif parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            continue
        elif name in available:
            if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
                args.append(available[name])
            else:
                kwargs[name] = available[name]
        elif parameter.default is not inspect.Parameter.empty:
            if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
                args.append(parameter.default)
        else:
            raise UsageError(
                f"{role} takes an argument {name!r}, which is not {'an input' if role == 'forward' else 'known'}; "
                f"there are: {', '.join(available) or 'none'}{closest(name, available)}"
            )
    return args, kwargs


def defaults_of(function: Function, given: Iterable[str]) -> dict[str, Any]:
    """Of the arguments of a function that are not given."""
    parameters = parameters_of(function).items()
    return {n: p.default for n, p in parameters if n not in given and p.default is not inspect.Parameter.empty}


def cast(inputs: Mapping[str, Any], dtype: Any, differentiated: set[str]) -> dict[str, Any]:
    """The inputs with floating point in `dtype`; integers stay integers unless an adjoint of them is returned."""

    def change(name: str, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return value.astype(dtype) if value.dtype.kind == "f" or name in differentiated else value.copy()
        if isinstance(value, np.floating) or (name in differentiated and isinstance(value, int | float | np.generic)):
            return np.dtype(dtype).type(value)
        return value

    return replace(inputs, change)


def copied(values: Mapping[str, Any]) -> dict[str, Any]:
    """Copies of all arrays; other things are copied as deep as Python can."""
    return replace(values, lambda _, value: value.copy() if isinstance(value, np.ndarray) else copy.copy(value))


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The leaves that are others afterwards."""
    now = dict(leaves(after))
    return [
        name
        for name, value in leaves(before)
        if isinstance(value, np.ndarray | np.generic | float | int)
        and (
            name not in now
            or np.shape(value) != np.shape(now[name])
            or not _same(np.asarray(value), np.asarray(now[name]))
        )
    ]


def _same(a: Array, b: Array) -> bool:
    return np.array_equal(a, b, equal_nan=a.dtype.kind in "fc" and b.dtype.kind in "fc")


def quietly(function: Function, role: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """A call of the user's code.

    Raises:
        UsageError: it raises anything, with the line.
    """
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function(*args, **kwargs)
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        last = frames[-1] if len(frames) > 1 else None
        place = f" (line {last.lineno}: {last.line})" if last and last.line else ""
        raise UsageError(f"{role} raised {type(error).__name__}: {error}{place}") from error


def _remembers(function: Function) -> bool:
    """Whether a function is a method, or refers to something outside that can be changed."""
    if isinstance(function, types.MethodType):
        return True
    if not isinstance(function, types.FunctionType):
        return not isinstance(function, functools.partial) or _remembers(function.func)
    outside = inspect.getclosurevars(function)
    referred = [*outside.globals.values(), *outside.nonlocals.values()]
    fixed = (
        types.ModuleType | types.FunctionType | types.BuiltinFunctionType | type | np.ufunc | np.ndarray | np.generic
    )
    return any(not isinstance(v, fixed | int | float | str | tuple | None) and not callable(v) for v in referred)


def _kind(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    return "nothing" if value is None else f"{type(value).__name__} {shown(value)}"
