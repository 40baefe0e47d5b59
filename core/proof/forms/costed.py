"""Forward, a cost of what it gives, and backward: three functions, or three methods of an object."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from handgrad.errors import UsageError
from handgrad.proof.forms.kind import Called
from handgrad.proof.forms.outcome import Outcome, attributes_of, compared_with, labels_of, required, stand_in
from handgrad.proof.matching import at, called, flattened, is_float, the_cost
from handgrad.proof.naming import CACHES, UPSTREAM, is_gradient, returned_names, taken_names
from handgrad.proof.problem import code_of, defaults_of, parameters_of, passed, quietly

OWN, GIVEN = "self", "given"
Trio = tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]


class Piece(NamedTuple):
    """What a function returned, or a part of it.

    Attributes:
        label: what the function calls it.
        path: where it is: which function's, then in what that returned.
        value: itself.
    """

    label: str
    path: tuple[Any, ...]
    value: Any


@dataclass
class Costed:
    """Forward, then a cost of what it returned, then backward of both.

    An argument of the second and third that is no input is what a function before returned: under the same name, or
    the only thing that it can be (a cache, the prediction).

    Attributes:
        start: turns the subject into the three.
    """

    who: str
    start: Callable[[Any, Mapping[str, Any]], Trio]
    cotangents: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.order: list[str] = []
        self.begins: set[Any] = set()
        self.filled: dict[str, dict[str, tuple[Any, ...]]] = {}
        self.names: dict[str, list[Any]] = {}
        self.path: Any = None
        self.label = "J"
        self.outcome = Outcome()

    def call(self, subject: Any, given: Mapping[str, Any], cotangents: Mapping[str, Any], both: bool) -> Called:
        """As for every kind."""
        del cotangents
        forward, cost, backward = self.start(subject, given)
        alone = stand_in(given, forward, backward, cost)
        self.order = [name for name in parameters_of(forward) if name in given]
        args, kwargs = passed(forward, "forward", _taken(forward, given, {n: given[v] for n, v in alone.items()}))
        returned = [self.outcome.of(forward, "forward", args, kwargs)]
        returned.append(self._call(_name(cost), cost, given, returned, forward))
        if self.path is None:
            found = the_cost(list(flattened(returned[1], returned_names(cost))), None, _name(cost))
            self.path, self.label = found.path, called(found)
        outputs = {self.label: at(returned[1], self.path)}
        if not both:
            return Called(outputs, [])
        self.begins = {code_of(backward)}
        back = self._call("backward", backward, given, returned, forward, cost)
        owner = getattr(backward, "__self__", None)
        names = self.names.setdefault("backward", taken_names(backward))
        live = [("", owner)] if owner is not None else ()
        return Called(outputs, list(flattened(back, names)), live, defaults_of(backward, given))

    def _call(self, role: str, function: Any, given: Mapping[str, Any], returned: Sequence[Any], *by: Any) -> Any:
        """The function, given the inputs that its arguments name, and of what was returned what they must be."""
        if role not in self.filled:
            pieces = [p for i, (value, of) in enumerate(zip(returned, by, strict=True)) for p in _pieces(value, of, i)]
            own = [Piece(name, (OWN, name), value) for name, value in attributes_of(by[0]).items()]
            cost = (1, *self.path) if self.path is not None else None
            compared = bool(labels_of(function, by[0], given))
            predicted = compared_with(function, by[0], given)
            self.filled[role] = _filled(role, function, given, pieces, own, cost, predicted, compared=compared)
        everything: dict[Any, Any] = {OWN: attributes_of(by[0]), GIVEN: given, **dict(enumerate(returned))}
        from_before = {name: at(everything, path) for name, path in self.filled[role].items()}
        args, kwargs = passed(function, role, _taken(function, given, from_before))
        return quietly(function, role, args, kwargs)


def _taken(function: Any, given: Mapping[str, Any], besides: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the inputs that a function takes, and what it takes besides."""
    wanted = parameters_of(function)
    every = any(p.kind is p.VAR_KEYWORD for p in wanted.values())
    return {name: given[name] for name in given if every or name in wanted} | dict(besides)


def _name(function: Any) -> str:
    return str(getattr(function, "__qualname__", "the cost")).split("<locals>.")[-1].replace("<lambda>", "the cost")


def _pieces(value: Any, function: Any, number: int) -> list[Piece]:
    """What a function returned as a whole, the values in it, and those in dictionaries among these."""
    names = returned_names(function)
    whole = names[0] if len(names) == 1 and isinstance(names[0], str) else ""
    found = [Piece(whole, (number,), value)]
    if isinstance(value, tuple):
        names = list(value._fields) if hasattr(value, "_fields") else names if len(names) == len(value) else []
        for i, item in enumerate(value):
            label = names[i] if names and isinstance(names[i], str) else ""
            found.append(Piece(label, (number, i), item))
    for piece in list(found):
        if isinstance(piece.value, Mapping):
            found += [Piece(str(key), (*piece.path, key), item) for key, item in piece.value.items()]
    return found


def _filled(
    role: str,
    function: Any,
    given: Mapping[str, Any],
    pieces: list[Piece],
    own: list[Piece],
    cost: tuple[Any, ...] | None,
    predicted: str | None,
    compared: bool,
) -> dict[str, tuple[Any, ...]]:
    """Where what a function takes is, of what was returned before it, or what the object holds under that name.

    What is called as the gradient of an output may be the output itself, where it is compared with labels.

    Raises:
        UsageError: nothing, or any of several things, can be an argument.
    """
    found: dict[str, tuple[Any, ...]] = {}
    wanted = {n: p for n, p in parameters_of(function).items() if n not in given}
    for name in wanted:
        same = [piece for piece in [*pieces, *own] if piece.label == name]
        if same:
            found[name] = same[0].path
    for name in [n for n, p in wanted.items() if n not in found and required(p)]:
        free = [piece for piece in pieces if piece.path not in (*found.values(), cost)]
        wholes = [piece for piece in free if len(piece.path) == 1]
        free = [piece for piece in free if not isinstance(piece.value, tuple) or len(piece.path) > 1]
        arrays = [piece for piece in free if is_float(piece.value)]
        others = [p for p in free if not is_float(p.value) and p.value is not None and len(p.path) <= 2]
        if CACHES.match(name):
            fitting = others[-1:] or wholes[:1]
        elif UPSTREAM.match(name) or is_gradient(name):
            fitting = [p for p in arrays if p.path[0] == 1] or (arrays if compared else [])
            if not fitting and predicted is not None:
                fitting = [Piece("", (GIVEN, predicted), given[predicted])]
            if not fitting:
                raise UsageError(
                    f"{role} takes {name!r}, the gradient of the cost by what forward returns, which nothing here "
                    "computes: leave the cost out, and it is drawn at random"
                )
        else:
            fitting = arrays or others
        if len(fitting) > 1:  # what has another name is something else
            fitting = [piece for piece in fitting if not piece.label] or fitting
        if len(fitting) != 1:
            raise UsageError(_unknown(role, name, given, pieces, several=len(fitting) > 1))
        found[name] = fitting[0].path
    return found


def _unknown(role: str, name: str, given: Mapping[str, Any], pieces: list[Piece], several: bool) -> str:
    labels = [p.label for p in pieces if p.label]
    there = ", ".join(dict.fromkeys([*given, *labels]))
    if several:
        return (
            f"{role} takes {name!r}, which may be any of {', '.join(labels) or 'what is returned before it'}; give the "
            f"argument the name of what it is, as cost=lambda {labels[0] if labels else 'A'}, Y: ..."
        )
    return (
        f"{role} takes {name!r}, which is neither an input nor anything that is returned before it; there are: {there}"
    )
