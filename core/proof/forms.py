"""The shapes in which people write a gradient, and how each is called: found out by calling it once.

One function of value and gradients; a forward and a backward function with a cache between them; layers, one or
several that follow each other; networks with a loss and its gradient. Whatever the shape, it becomes a scalar cost of
named inputs, and the gradients by hand of some of them: outputs that are arrays are multiplied by random cotangents,
which are inputs of their own, new in every trial, and added up.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

from handgrad.errors import UsageError
from handgrad.proof.isolation import World
from handgrad.proof.matching import Leaf, at, flattened, is_float, listed, matched, the_cost
from handgrad.proof.naming import CACHES, CONTAINERS, COSTS, UPSTREAM, parts, primals, returned_names
from handgrad.proof.noise import Rounding
from handgrad.proof.problem import Problem, Run, differing, leaves, quietly, replace
from handgrad.proof.recording import entered, recording
from handgrad.proof.tape import Tape, plain
from handgrad.proof.wide import Array

FORWARD = ("forward", "fprop", "forward_pass", "forward_propagation", "feedforward", "feed_forward", "__call__")
BACKWARD = ("backward", "bprop", "backward_pass", "backward_propagation", "backprop", "back_propagation", "backpropagate",
            "backpropagation")  # fmt: skip
LOSS = ("loss", "cost", "compute_loss", "compute_cost", "loss_function", "cost_function", "objective", "nll", "energy",
        "calc_loss", "get_loss", "error", "evaluate_loss")  # fmt: skip
GRADIENT = ("gradient", "gradients", "grad", "grads", "compute_gradient", "compute_gradients", "calc_gradient", "backprop",
            "loss_gradient", "get_gradients", "grad_loss", "gradient_loss", *BACKWARD)  # fmt: skip
BOTH = ("loss_and_grad", "loss_and_grads", "loss_and_gradient", "loss_and_gradients", "value_and_grad", "cost_and_grad",
        "cost_and_gradient", "loss_grad", "propagate", "lossFun", "loss_fun", "loss")  # fmt: skip


class Called(NamedTuple):
    """What one call gave.

    Attributes:
        outputs: of forward, by label.
        leaves: what may be gradients.
        live: the objects that were made for it, with their paths; gradients may be left in them.
    """

    outputs: dict[str, Any]
    leaves: list[Leaf]
    live: Sequence[tuple[str, Any]] = ()


class Kind(Protocol):
    """One shape.

    Attributes:
        who: its name, for messages.
        order: the names of arguments in the order in which gradients of them would be returned.
        cotangents: by the name of an argument, the label of the output that it is the cotangent of.
        begins: the code with which going back begins; none where it is the same as that of forward.
    """

    who: str
    order: list[str]
    cotangents: dict[str, str]
    begins: set[Any]

    def call(self, subject: Any, given: Mapping[str, Any], cotangents: Mapping[str, Any], both: bool) -> Called:
        """Forward, and where asked for backward; on copies of the subject and of what is given."""


def parameters_of(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters of a function that may be given."""
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError) as error:
        raise UsageError(f"{error}; expected functions written in Python") from error
    return dict(signature.parameters)


def _code(function: Any) -> Any:
    function = inspect.unwrap(getattr(function, "func", function))
    return getattr(getattr(function, "__func__", function), "__code__", None)


def passed(function: Callable[..., Any], role: str, available: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of a call, by name out of what is available.

    Raises:
        UsageError: an argument is not available.
    """
    return Problem.arguments(None, function, role, available)  # type: ignore[arg-type]


@dataclass
class ValueAndGradients:
    """One function that returns the cost and its gradients."""

    who: str
    cost: Any = None
    cotangents: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.order: list[str] = []
        self.begins: set[Any] = set()
        self.path: Any = None
        self.label = "J"

    def call(self, subject: Any, given: Mapping[str, Any], cotangents: Mapping[str, Any], both: bool) -> Called:
        """As for every kind."""
        function = subject[0]
        self.order = list(parameters_of(function))
        args, kwargs = passed(function, self.who, given)
        result = quietly(function, self.who, args, kwargs)
        if self.path is None:
            found = list(flattened(result, returned_names(function)))
            cost = the_cost(found, self.cost, self.who)
            self.path, self.label = cost.path, parts(cost.label)[-1] if cost.label else "J"
        rest = [leaf for leaf in flattened(result, returned_names(function)) if leaf.path != self.path]
        return Called({self.label: at(result, self.path)}, rest if both else [])


@dataclass
class Pair:
    """Forward, then backward of what it returned; functions, or methods of an object.

    Attributes:
        start: turns the subject into the two.
        values: the keyword ``cost=``: which output is the cost.
    """

    who: str
    start: Callable[[Any, Mapping[str, Any]], tuple[Callable[..., Any], Callable[..., Any]]]
    cost: Any = None
    cotangents: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.order: list[str] = []
        self.begins: set[Any] = set()
        self.outputs: dict[str, Any] | None = None
        self.filled: dict[str, Any] = {}

    def call(self, subject: Any, given: Mapping[str, Any], cotangents: Mapping[str, Any], both: bool) -> Called:
        """As for every kind."""
        forward, backward = self.start(subject, given)
        self.order = [name for name in parameters_of(forward) if name in given]
        args, kwargs = passed(forward, "forward", given)
        result = quietly(forward, "forward", args, kwargs)
        if self.outputs is None:
            self._understand(forward, backward, given, result)
        assert self.outputs is not None
        outputs = {label: at(result, path) for label, path in self.outputs.items()}
        if not both:
            return Called(outputs, [])
        args, kwargs = [], {}
        for name, parameter in parameters_of(backward).items():
            if name in self.filled:
                value = at(result, self.filled[name])
            elif name in self.cotangents:
                value = cotangents.get(name)
                if value is None:
                    value = np.ones(np.shape(outputs[self.cotangents[name]]))
            elif name in given:
                value = given[name]
            else:
                continue
            if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
                args.append(value)
            else:
                kwargs[name] = value
        self.begins = {_code(backward)}
        returned = quietly(backward, "backward", args, kwargs)
        owner = getattr(backward, "__self__", None)
        live = [("", owner)] if owner is not None else []
        return Called(outputs, list(flattened(returned, returned_names(backward))), live)

    def _understand(
        self, forward: Callable[..., Any], backward: Callable[..., Any], given: Mapping[str, Any], result: Any
    ) -> None:
        names = returned_names(forward)
        pieces: dict[tuple[Any, ...], Any] = {(): result}
        labels: dict[tuple[Any, ...], str] = {(): names[0] if len(names) == 1 and isinstance(names[0], str) else "out"}
        if isinstance(result, tuple) and not hasattr(result, "_fields"):
            pieces = {(i,): item for i, item in enumerate(result)}
            labels = {
                (i,): names[i] if len(names) == len(result) and isinstance(names[i], str) else f"out{i}"
                for i in range(len(result))
            }
        wanted = {
            name: p
            for name, p in parameters_of(backward).items()
            if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) and name not in given
        }
        required = [name for name, p in wanted.items() if p.default is p.empty]
        arrays = [path for path, value in pieces.items() if is_float(value)]
        free = dict(pieces)
        for name in wanted:  # what is called the same
            same = [path for path in free if labels[path] == name]
            if same and not (len(required) == 1 and UPSTREAM.match(name) and len(pieces) == 1):
                self.filled[name] = same[0]
                if same[0] not in arrays or CACHES.match(name) or len(arrays) > 1:
                    del free[same[0]]
        open_ = [name for name in wanted if name not in self.filled and (name in required or UPSTREAM.match(name))]
        caches = [path for path in free if not is_float(free[path]) and free[path] is not None]
        wants = [name for name in open_ if CACHES.match(name)]
        if not wants and caches and len(open_) > 1:
            wants = [next((n for n in reversed(open_) if not UPSTREAM.match(n) and not primals(n)), open_[-1])]
        if not wants and not caches and len(open_) == len(arrays) > 1 and len(pieces) > 1:
            wants = [open_[-1]] if not UPSTREAM.match(open_[-1]) and not primals(open_[-1]) else []
        if not wants and caches and len(open_) == 1 and not UPSTREAM.match(open_[0]):
            wants = open_[:1]
        for name in wants[:1]:
            chosen = caches[-1:] or [list(free)[-1]]
            self.filled[name] = chosen[0]
            free.pop(chosen[0], None)
            open_.remove(name)
        outputs = [path for path in arrays if path in free]
        if self.cost is not None:
            leaves_ = [Leaf(labels[path], path, pieces[path]) for path in pieces]
            outputs = [the_cost(leaves_, self.cost, "forward").path]
        taken: list[Any] = []
        for name in open_:
            bases = primals(name)
            by_name = [path for path in outputs if path not in taken and labels[path] in bases]
            rest = [path for path in outputs if path not in taken]
            chosen = by_name or rest
            if not chosen:
                if name in required:
                    raise UsageError(
                        f"backward takes {name!r}, which is neither an input nor anything that forward returns; "
                        f"there are: {', '.join([*given, *labels.values()])}"
                    )
                continue
            if name not in required and all(np.size(pieces[path]) == 1 for path in chosen):
                continue  # backward(dout=1) of a cost: as people call it
            taken.append(chosen[0])
            self.cotangents[name] = labels[chosen[0]]
        if not taken:
            single = [path for path in outputs if np.size(pieces[path]) == 1]
            named = [path for path in single if COSTS.match(labels[path])]
            taken = named if len(named) == 1 else single
            if len(taken) != 1:
                found = listed(Leaf(labels[path], path, pieces[path]) for path in outputs)
                raise UsageError(
                    f"backward takes no upstream gradient, and forward returns {found}: which single number is the "
                    "cost? Name it by cost=, or give a function that returns it"
                )
        self.outputs = {labels[path]: path for path in taken}


@dataclass
class Chain:
    """Layers that follow each other: each forward takes what the one before gave."""

    who: str
    start: Callable[[Any, Mapping[str, Any]], Sequence[tuple[Callable[..., Any], Callable[..., Any]]]]
    cotangents: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.order: list[str] = []
        self.begins: set[Any] = set()

    def call(self, subject: Any, given: Mapping[str, Any], cotangents: Mapping[str, Any], both: bool) -> Called:
        """As for every kind."""
        layers = self.start(subject, given)
        first = [name for name in parameters_of(layers[0][0]) if name in given]
        if not first:
            wanted = list(parameters_of(layers[0][0]))
            raise UsageError(f"forward of the first layer takes {', '.join(wanted)}; inputs has {', '.join(given)}")
        self.order = first[:1]
        value = given[first[0]]
        for number, (forward, _) in enumerate(layers):
            names = list(parameters_of(forward))
            extra = {name: given[name] for name in names[1:] if name in given}
            value = quietly(forward, f"forward of layer {number}", [value], extra)
        if not is_float(value):
            raise UsageError(f"the last layer returns {type(value).__name__}; expected an array")
        scalar = np.size(value) == 1 and all(p.default is not p.empty for p in parameters_of(layers[-1][1]).values())
        outputs = {"out": value}
        if not scalar:
            self.cotangents = {"dout": "out"}
        if not both:
            return Called(outputs, [])
        given_back = None if scalar else cotangents.get("dout", np.ones(np.shape(value)))
        back: Any = given_back
        self.begins = {_code(layers[-1][1])}
        for number, (_, backward) in reversed(list(enumerate(layers))):
            args = [] if back is None and scalar and number == len(layers) - 1 else [back]
            back = quietly(backward, f"backward of layer {number}", args, {})
        live = [(f"[{i}]", forward.__self__) for i, (forward, _) in enumerate(layers)]
        return Called(outputs, list(flattened(back, [f"d{first[0]}"])) if is_float(back) else [], live)


class Adapted(Problem):
    """A subject in one of these shapes, as a cost of named inputs and gradients by hand.

    Args:
        kind: how it is called.
        roots: what is copied for each call, with the path under which it is known.
        inputs: as `check` was given them.
        gradients, wrt: its keywords.
        seed: of the cotangents.
    """

    def __init__(
        self,
        kind: Kind,
        roots: list[tuple[str, Any]],
        inputs: Mapping[str, Any],
        *,
        gradients: Mapping[str, str] | None = None,
        wrt: Sequence[str] | None = None,
        seed: int = 0,
    ) -> None:
        self.kind = kind
        self.world = World(roots)
        self.scopes = self.world.around.scopes
        self.forward_may_be_cut = False
        self.parameters = []
        self.given = dict(inputs)
        self.held: dict[str, str] = {}
        self.sources: dict[str, Leaf] = {}
        self.changed: list[str] = []
        self.cotangent_of: dict[str, str] = {}
        self.forward = self.backward = roots[0][1]
        self.cost = "J"
        self._understand(gradients, wrt, seed)

    def _understand(self, gradients: Mapping[str, str] | None, wrt: Sequence[str] | None, seed: int) -> None:
        called, after, before, aliases = self._probe(self.given)
        rng = np.random.default_rng(seed)
        self.inputs = dict(self.given)
        spare = [n for n, v in self.given.items() if n not in self._taken and is_float(v)]
        for name, label in self.kind.cotangents.items():
            shape = np.shape(called.outputs[label])
            own = next((n for n in spare if np.shape(self.given[n]) == shape), None)
            known = name if name not in self.given else f"{name} of {label}"
            if own is not None:  # an input that nobody takes, of the shape of an output: its cotangent
                spare.remove(own)
                known = own
            else:
                self.inputs[known] = rng.standard_normal(shape)[()]
            self.cotangent_of[name] = known
        if spare or [n for n in self.given if n not in self._taken and n not in self.cotangent_of.values()]:
            left = spare or [n for n in self.given if n not in self._taken and n not in self.cotangent_of.values()]
            raise UsageError(f"inputs has {left[0]!r}, which {self.kind.who} does not take")
        called, after, before, aliases = self._probe(self.inputs)
        targets = {
            name: value
            for name, value in leaves({n: v for n, v in self.given.items() if n not in self.cotangent_of.values()})
            if is_float(value) or (isinstance(value, int) and not isinstance(value, bool))
        }
        known = {path: path for path in before} | {
            path: first for path, first in aliases.items() if first in before and not path.startswith("<")
        }
        known = {path: first for path, first in known.items() if not any(map(CONTAINERS.match, parts(path)))}
        shown = _shown(known)
        for path, first in known.items():
            name = shown[path] if shown[path] not in targets and shown[path] not in self.inputs else f"self.{path}"
            self.held[name] = first
        candidates = [leaf for leaf in called.leaves if is_float(leaf.value) or isinstance(leaf.value, int)]
        attributes = [
            Leaf(path, path, value, held=True)
            for path, value in after.items()
            if path not in before or not np.array_equal(before[path], value) or _is_gradients(path)
        ]
        everything = {**targets, **{name: before[path] for name, path in self.held.items()}}
        if wrt is not None:
            unknown = [name for name in wrt if name not in everything]
            if unknown:
                raise UsageError(f"wrt has {unknown[0]!r}, which is no input; there are: {', '.join(everything)}")
        found = matched([*candidates, *attributes], everything, gradients, self.kind.order, self.kind.who)
        if gradients is None:
            found = _in_order(found, self.kind.order)
        found = {n: leaf for n, leaf in found.items() if not (leaf.held and leaf.path == self.held.get(n))}
        if wrt is not None:
            missing = [name for name in wrt if name not in found]
            if missing:
                raise UsageError(
                    f"no gradient of {missing[0]} is given back; there are: {listed(candidates + attributes)}. "
                    f"Say which it is by gradients={{{missing[0]!r}: ...}}"
                )
            found = {name: found[name] for name in wrt}
        if not found:
            raise UsageError(
                f"{self.kind.who} gives back {listed(candidates)}: the gradients of which inputs? There are: "
                f"{', '.join(everything)}. Say so by gradients={{'w': 'dw'}}"
            )
        self.sources = found
        self.held = {name: path for name, path in self.held.items() if name in found}
        for name, path in list(self.held.items()):
            if path in list(self.held.values())[: list(self.held).index(name)]:
                del self.held[name], self.sources[name]  # a second name of the same array
            else:
                self.inputs[name] = before[path]
        self.unsupplied = [name for name in targets if name not in found]
        outputs = list(called.outputs)
        clash = set(self.inputs)
        self.cost = next(n for n in (*(outputs if len(outputs) == 1 else ()), "J", "cost") if n not in clash)
        if not self.kind.cotangents:
            self.cost = outputs[0] if outputs[0] not in clash else self.cost

    @property
    def said(self) -> str:  # type: ignore[override]
        """How the subject was understood, in a sentence."""
        outputs = [
            f"{label} is multiplied by {self.cotangent_of[name]}" for name, label in self.kind.cotangents.items()
        ]
        what = " and ".join(outputs) if outputs else f"{self.cost} is the cost"
        pairs = [f"{leaf.label or 'its value'} the gradient of {name}" for name, leaf in self.sources.items()]
        return f"{self.kind.who}: {what}; {', '.join(pairs)}"

    def _probe(self, inputs: Mapping[str, Any]) -> tuple[Called, dict[str, Any], dict[str, Any], dict[str, str]]:
        given = _Watched({n: v for n, v in inputs.items() if n in self.given})
        before: dict[str, Any] = {}

        def change(path: str, value: Any) -> Any:
            if not path.startswith("<") and path and is_float(value):
                before.setdefault(path, np.array(value) if isinstance(value, np.ndarray) else value)
            return value.copy() if isinstance(value, np.ndarray) else value

        with self.world.apart(given, change) as (roots, values, copier):
            watched = _Watched(values)
            cotangents = {n: inputs[k] for n, k in self.cotangent_of.items()}
            called = self.kind.call(roots, watched, cotangents, True)
            self._taken = watched.taken
            after = self.world.held(roots, called.live)
        return called, after, before, copier.aliases

    def _call(self, inputs: Mapping[str, Any], both: bool) -> tuple[dict[str, Any], dict[str, Any]]:
        given = {name: inputs[name] for name in self.given}
        held = {path: inputs[name] for name, path in self.held.items()}

        def change(path: str, value: Any) -> Any:
            if path in held:
                found = held[path]
                return found.copy() if isinstance(found, np.ndarray) else found
            return entered(value)

        with self.world.apart(given, change) as (roots, values, _):
            cotangents = {n: inputs[k] for n, k in self.cotangent_of.items()}
            if both:  # it may be written into, and is asked for again
                cotangents = replace(cotangents, lambda _, v: v.copy() if isinstance(v, np.ndarray) else v)
            called = self.kind.call(roots, values, cotangents, both)
            cost: Any = 0
            for name, label in self.kind.cotangents.items():
                cost = cost + np.sum(called.outputs[label] * inputs[self.cotangent_of[name]])
            if not self.kind.cotangents:
                cost = next(iter(called.outputs.values()))
            adjoints: dict[str, Any] = {}
            if both:
                after = self.world.held(roots, called.live) if any(leaf.held for leaf in self.sources.values()) else {}
                by_path = {leaf.path: leaf.value for leaf in called.leaves}
                for name, leaf in self.sources.items():
                    source = after if leaf.held else by_path
                    if leaf.path not in source:
                        raise UsageError(f"no gradient of {name} is given back here, but at other inputs it is")
                    adjoints[f"d{name}"] = source[leaf.path]
                adjoints = replace(adjoints, lambda _, v: v.copy() if isinstance(v, np.ndarray) else v)
                self.changed = differing(given, values)
        return {self.cost: cost}, adjoints

    def completed(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The inputs as given, cotangents, and what the subject holds."""
        return {**self.inputs, **inputs}

    def run_forward(self, inputs: Mapping[str, Any], forward: Any = None) -> dict[str, Any]:
        """The cost by its name."""
        del forward
        return self._call(inputs, False)[0]

    def run(self, inputs: Mapping[str, Any]) -> Run:
        """One run of both."""
        named, adjoints = self._call(inputs, True)
        return Run(dict(inputs), named, adjoints)

    def again(self, run: Run, wrt: Sequence[str], rounding: Rounding) -> dict[str, Any]:
        """The gradients by hand on noisy arrays."""
        del wrt
        dtypes = [
            v.dtype for _, v in leaves(run.inputs) if isinstance(v, np.ndarray | np.floating) and v.dtype.kind == "f"
        ]
        tape = Tape(max(dtypes, key=lambda dtype: dtype.itemsize), rounding)
        noisy = replace(
            run.inputs,
            lambda _, v: tape.input(v) if isinstance(v, np.ndarray | np.floating) and v.dtype.kind == "f" else v,
        )
        try:
            with recording(tape, self.scopes):
                adjoints = plain(self._call(noisy, True)[1])
        except UsageError:  # the tape does not know what it does
            return self._call(rounding.wrap(run.inputs), True)[1]
        rounding.lowest = max(rounding.lowest, tape.lowest)
        return dict(adjoints)

    def changes(self, inputs: Mapping[str, Any]) -> list[str]:
        """What is changed in place; none of it reaches the user's own arrays."""
        first = self.run(inputs)
        found = [f"{name} is changed in place" for name in self.changed]
        second = self.run(inputs)
        if differing(first.named, second.named):
            raise UsageError(
                f"{self.kind.who} gives another cost for the same inputs; draw random numbers outside and pass them in"
            )
        if differing(first.adjoints, second.adjoints):
            raise UsageError(f"{self.kind.who} gives other gradients for the same inputs")
        return found


class _Watched(dict[str, Any]):
    """Inputs that know which of them were asked for."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.taken: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.taken.add(name)
        return super().__getitem__(name)

    def items(self) -> Any:
        self.taken.update(self)
        return super().items()


def _in_order(found: dict[str, Leaf], order: list[str]) -> dict[str, Leaf]:
    """Gradients of arguments that are returned side by side are those of the arguments in their order, whatever names
    the variables have: who calls the function unpacks them so.
    """
    returned = {n: leaf for n, leaf in found.items() if n in order and not leaf.held and len(leaf.path) == 1}
    if not all(isinstance(leaf.path[0], int) for leaf in returned.values()):
        return found
    names = sorted(returned, key=order.index)
    leaves_ = sorted(returned.values(), key=lambda leaf: leaf.path[0])
    return found | dict(zip(names, leaves_, strict=True))


def _is_gradients(path: str) -> bool:
    """Whether something is named like a gradient."""
    return any(CONTAINERS.match(part) or primals(part) for part in parts(path))


def _shown(paths: Mapping[str, Any]) -> dict[str, str]:
    """What a path is called: without the place of its layer, where no other layer has such a name."""
    layered = [path for path in paths if path.startswith("[") and "]." in path and not parts(path)[-1].isdigit()]
    short = {path: path[path.index("]") + 2 :] if path in layered else path for path in paths}
    counts: dict[str, int] = {}
    for name in short.values():
        counts[name] = counts.get(name, 0) + 1
    return {path: name if counts[name] == 1 else path for path, name in short.items()}


# which shape it is


def understand(
    subject: Sequence[Any],
    inputs: Mapping[str, Any],
    *,
    cost: Any = None,
    gradients: Mapping[str, str] | None = None,
    wrt: Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
    make: Callable[..., Any] | None = None,
    seed: int = 0,
) -> Problem:
    """What a subject is, and how it is called.

    Raises:
        UsageError: it has none of the shapes, or two readings are possible.
    """
    how: dict[str, Any] = {"gradients": gradients, "wrt": wrt, "seed": seed}
    if len(subject) == 2 and all(_is_function(s) for s in subject) and make is None:
        return _pair_of_functions(subject[0], subject[1], inputs, cost, how)
    things = list(subject)
    if len(things) == 1 and isinstance(things[0], list | tuple):
        things = list(things[0])
        if len(things) == 2 and all(_is_function(s) for s in things):
            return _pair_of_functions(things[0], things[1], inputs, cost, how)
        if not things:
            raise UsageError("the list of layers is empty")
        if len(things) > 1 or methods is None:
            return _layers(things, inputs, methods, make, how)
    if len(things) > 1:
        return _layers(things, inputs, methods, make, how)
    thing = things[0]
    if _is_function(thing) and make is None and methods is None:
        name = getattr(thing, "__qualname__", getattr(thing, "__name__", "the function")).split("<locals>.")[-1]
        return Adapted(ValueAndGradients(name, cost), [("", thing)], inputs, **how)
    return _object(thing, inputs, cost, methods, make, how)


def _is_function(thing: Any) -> bool:
    if isinstance(thing, type):
        return False
    return inspect.isroutine(thing) or hasattr(thing, "func") or (
        callable(thing) and not any(hasattr(thing, n) for n in (*BACKWARD, *GRADIENT))
        and not any(hasattr(thing, n) for n in FORWARD[:-1])
    )  # fmt: skip


def _pair_of_functions(
    forward: Any, backward: Any, inputs: Mapping[str, Any], cost: Any, how: dict[str, Any]
) -> Problem:
    parameters = parameters_of(forward)
    if cost is None and all(
        name in inputs or p.default is not p.empty or p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
        for name, p in parameters.items()
    ):
        world = World([("", forward), ("", backward)])
        with world.apart(inputs, lambda _, v: v.copy() if isinstance(v, np.ndarray) else v) as (things, given, _):
            args, kwargs = passed(things[0], "forward", given)
            result = quietly(things[0], "forward", args, kwargs)
        if isinstance(result, Mapping):
            return Problem(forward, backward)
    who = getattr(forward, "__qualname__", "forward").split("<locals>.")[-1]
    kind = Pair(who, lambda subject, _: (subject[0], subject[1]), cost)
    return Adapted(kind, [("", forward), ("", backward)], inputs, **how)


def _method(thing: Any, names: Sequence[str]) -> str | None:
    return next((name for name in names if callable(getattr(thing, name, None))), None)


def _made(
    kind: type, inputs: Mapping[str, Any], make: Callable[..., Any] | None
) -> tuple[Callable[..., Any], list[str]]:
    """How an object of a class is made, and of which inputs."""
    function: Callable[..., Any] = make or kind
    wanted = parameters_of(function)
    return function, [name for name in wanted if name in inputs]


def _object(
    thing: Any,
    inputs: Mapping[str, Any],
    cost: Any,
    methods: Sequence[str] | None,
    make: Callable[..., Any] | None,
    how: dict[str, Any],
) -> Problem:
    instance, names = thing, []
    build: Callable[[Any, Mapping[str, Any]], Any] = lambda subject, _: subject[0]
    if isinstance(thing, type) or make is not None:
        function, names = _made(thing, inputs, make)
        args, kwargs = passed(function, _name(thing), inputs)
        if any(is_float(v) for _, v in leaves({n: inputs[n] for n in names})):
            instance = quietly(function, _name(thing), args, kwargs)

            def build(subject: Any, given: Mapping[str, Any]) -> Any:
                args, kwargs = passed(subject[0], _name(thing), given)
                return quietly(subject[0], _name(thing), args, kwargs)

            thing = function
            if isinstance(instance, list | tuple):
                return _layers([thing], inputs, methods, make, how, build)
        else:
            instance = thing = quietly(function, _name(thing), args, kwargs)
            for name in names:
                inputs = {n: v for n, v in inputs.items() if n != name or n in _asked(instance)}
    who = type(instance).__name__
    if methods is not None:
        wrong = [name for name in methods if not callable(getattr(instance, name, None))]
        if wrong:
            raise UsageError(f"methods has {wrong[0]!r}, which {who} does not have")
        if len(methods) == 1:
            kind: Kind = _Single(f"{who}.{methods[0]}", build, methods[0], cost)
        else:
            kind = _of_methods(who, build, methods[0], methods[1], cost)
        return Adapted(kind, [("", thing)], inputs, **how)
    forward, backward = _method(instance, FORWARD), _method(instance, BACKWARD)
    loss, gradient = _method(instance, LOSS), _method(instance, [*GRADIENT])
    both = _method(instance, BOTH)
    if loss is not None and gradient is not None and loss != gradient and _fits(instance, loss, inputs):
        return Adapted(_of_methods(who, build, loss, gradient, cost), [("", thing)], inputs, **how)
    if forward is not None and backward is not None and forward != backward:
        return Adapted(_of_methods(who, build, forward, backward, cost), [("", thing)], inputs, **how)
    if both is not None:
        return Adapted(_Single(f"{who}.{both}", build, both, cost), [("", thing)], inputs, **how)
    there = [n for n in dir(instance) if not n.startswith("_") and callable(getattr(instance, n, None))]
    raise UsageError(
        f"{who} has methods {', '.join(there) or 'none'}: which compute the cost and its gradients? "
        "Say so by methods=('forward', 'backward'), or by one that gives both, methods=('loss',)"
    )


def _asked(instance: Any) -> set[str]:
    found: set[str] = set()
    for name in (*FORWARD, *BACKWARD, *LOSS, *GRADIENT):
        method = getattr(instance, name, None)
        if inspect.ismethod(method):
            found.update(parameters_of(method))
    return found


def _fits(instance: Any, method: str, inputs: Mapping[str, Any]) -> bool:
    return all(
        name in inputs or p.default is not p.empty or p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
        for name, p in parameters_of(getattr(instance, method)).items()
    )


def _of_methods(who: str, build: Any, forward: str, backward: str, cost: Any) -> Pair:
    def start(subject: Any, given: Mapping[str, Any]) -> tuple[Any, Any]:
        instance = build(subject, given)
        return getattr(instance, forward), getattr(instance, backward)

    return Pair(f"{who}.{forward} and .{backward}", start, cost)


class _Single(ValueAndGradients):
    """A method that returns the cost and its gradients."""

    def __init__(self, who: str, build: Any, method: str, cost: Any) -> None:
        super().__init__(who, cost)
        self.build, self.method = build, method

    def call(self, subject: Any, given: Mapping[str, Any], cotangents: Mapping[str, Any], both: bool) -> Called:
        """As for every kind."""
        instance = self.build(subject, given)
        called = super().call([getattr(instance, self.method)], given, cotangents, both)
        return called._replace(live=[("", instance)])


def _name(thing: Any) -> str:
    return str(getattr(thing, "__name__", type(thing).__name__))


def _layers(
    things: list[Any],
    inputs: Mapping[str, Any],
    methods: Sequence[str] | None,
    make: Callable[..., Any] | None,
    how: dict[str, Any],
    build: Any = None,
) -> Problem:
    def layers(subject: Any, given: Mapping[str, Any]) -> list[Any]:
        made = []
        if build is not None:
            return list(build(subject, given))
        for thing in subject:
            if isinstance(thing, type):
                args, kwargs = passed(thing, _name(thing), given)
                thing = quietly(thing, _name(thing), args, kwargs)
            made.append(thing)
        return made

    names = tuple(methods or ())
    if names and len(names) != 2:
        raise UsageError(f"methods is {names!r}; expected two, as ('forward', 'backward')")

    def start(subject: Any, given: Mapping[str, Any]) -> list[tuple[Any, Any]]:
        found = []
        for number, layer in enumerate(layers(subject, given)):
            forward = names[0] if names else _method(layer, FORWARD)
            backward = names[1] if names else _method(layer, BACKWARD)
            if forward is None or backward is None or not hasattr(layer, forward) or not hasattr(layer, backward):
                raise UsageError(
                    f"layer {number} ({type(layer).__name__}) has no forward and backward; name them by methods="
                )
            found.append((getattr(layer, forward), getattr(layer, backward)))
        return found

    who = (
        "layers"
        if build is not None
        else " then ".join(_name(t) if isinstance(t, type) else type(t).__name__ for t in things)
    )
    roots = [(f"[{i}]", thing) for i, thing in enumerate(things)] if build is None else [("", things[0])]
    return Adapted(Chain(who, start), roots, inputs, **how)


__all__ = ["Adapted", "Array", "understand"]
