"""Which shape a subject has: found out by what it is, and by calling it once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from handgrad.errors import UsageError
from handgrad.proof.forms.adapted import Adapted
from handgrad.proof.forms.chain import Chain
from handgrad.proof.forms.costed import Costed
from handgrad.proof.forms.kind import Kind
from handgrad.proof.forms.outcome import required
from handgrad.proof.forms.pair import Pair
from handgrad.proof.forms.single import OneMethod, ValueAndGradients
from handgrad.proof.isolation import World
from handgrad.proof.matching import is_float
from handgrad.proof.naming import computes_cost, cost_and_slope
from handgrad.proof.problem import Problem, leaves, parameters_of, passed, quietly

FORWARD = (
    "forward", "fprop", "forward_pass", "forward_propagation", "feedforward", "feed_forward", "__call__",
)  # fmt: skip
BACKWARD = (
    "backward", "bprop", "backward_pass", "backward_propagation", "backprop", "back_propagation", "backpropagate",
    "backpropagation", "bptt",
)  # fmt: skip
LOSS = (
    "loss", "cost", "compute_loss", "compute_cost", "loss_function", "cost_function", "objective", "nll", "energy",
    "calc_loss", "get_loss", "error", "evaluate_loss",
)  # fmt: skip
GRADIENT = (
    "gradient", "gradients", "grad", "grads", "compute_gradient", "compute_gradients", "calc_gradient", "backprop",
    "loss_gradient", "get_gradients", "grad_loss", "gradient_loss", *BACKWARD,
)  # fmt: skip
BOTH = (
    "loss_and_grad", "loss_and_grads", "loss_and_gradient", "loss_and_gradients", "value_and_grad", "cost_and_grad",
    "cost_and_gradient", "loss_grad", "propagate", "lossFun", "loss_fun", "loss",
)  # fmt: skip
MEANS = ("calculate", "compute", "mean", "reduce")
"""What people call their methods, the likeliest first; the last that which takes the mean of what forward returns."""


def understand(
    subject: Sequence[Any],
    inputs: Mapping[str, Any],
    *,
    cost: Any = None,
    gradients: Mapping[str, str | int] | None = None,
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
    things = list(subject)
    listed = len(things) == 1 and isinstance(things[0], list | tuple)
    if listed:
        things = list(things[0])
        if not things:
            raise UsageError("the list of layers is empty")
    if len(things) in (2, 3) and all(map(_is_function, things)) and make is None:
        return _functions(things, inputs, cost, how)
    if len(things) > 1 or (listed and methods is None):
        if callable(cost):
            raise UsageError("cost= is a function, which layers do not take; put a layer behind them that computes it")
        return _layers(things, inputs, methods, how)
    thing = things[0]
    if _is_function(thing) and make is None and methods is None:
        if callable(cost):
            return _functions([cost, thing], inputs, None, how)
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


def _functions(functions: list[Any], inputs: Mapping[str, Any], cost: Any, how: dict[str, Any]) -> Problem:
    """Forward and backward; or forward, cost and backward, of which that in the middle may be a keyword."""
    if len(functions) == 3:
        if cost is not None:
            raise UsageError(f"cost is {cost!r}; of three functions, one computes the cost")
        forward, cost, backward = in_order(functions)
    else:
        forward, backward = functions
    roots = [("", forward), ("", backward)]
    who = _name(forward).split("<locals>.")[-1]
    if callable(cost):
        said = f"{who}, {'cost' if _name(cost) == '<lambda>' else _name(cost)} and {_name(backward)}"
        kind: Kind = Costed(said, lambda subject, _: (subject[0], subject[2], subject[1]))
        return Adapted(kind, [*roots, ("", cost)], inputs, **how)
    parameters = parameters_of(forward)
    if cost is None and all(name in inputs or not required(p) for name, p in parameters.items()):
        world = World(roots)
        with world.apart(inputs, lambda _, v: v.copy() if isinstance(v, np.ndarray) else v) as (things, given, _):
            args, kwargs = passed(things[0], "forward", given)
            result = quietly(things[0], "forward", args, kwargs)
        if isinstance(result, Mapping):
            return Problem(forward, backward)
    return Adapted(Pair(who, lambda subject, _: (subject[0], subject[1]), cost), roots, inputs, **how)


def in_order(functions: Sequence[Any]) -> tuple[Any, Any, Any]:
    """Forward, cost and backward of three functions: the cost is that of the last two which is called so."""
    forward, second, third = functions
    named = computes_cost(_name(third)) and not computes_cost(_name(second))
    return (forward, third, second) if named else (forward, second, third)


def _method(thing: Any, names: Sequence[str]) -> str | None:
    private = [f"_{name}" for name in names]
    return next((name for name in [*names, *private] if callable(getattr(thing, name, None))), None)


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
    def as_it_is(subject: Any, given: Mapping[str, Any]) -> Any:
        del given
        return subject[0]

    def made(subject: Any, given: Mapping[str, Any]) -> Any:
        try:
            args, kwargs = passed(subject[0], _name(thing), given)
        except UsageError as error:
            raise UsageError(f"{error}; put it among the inputs, or give an object that is made") from error
        return quietly(subject[0], _name(thing), args, kwargs)

    if not isinstance(thing, type) and make is None:
        return _of_instance(thing, thing, as_it_is, inputs, cost, methods, how)
    function, names = _made(thing, inputs, make)
    instance = made([function], inputs)
    of_numbers = any(is_float(v) for _, v in leaves({n: inputs[n] for n in names}))
    if of_numbers and isinstance(instance, list | tuple):
        return _layers([function], inputs, methods, how, made)
    if of_numbers:
        try:
            return _of_instance(instance, function, made, inputs, cost, methods, how)
        except UsageError as error:
            reason = error
    inputs = {n: v for n, v in inputs.items() if n not in names or n in _asked(instance)}
    try:
        return _of_instance(instance, instance, as_it_is, inputs, cost, methods, how)
    except UsageError:  # it may hold parameters of its own, which it draws itself
        if of_numbers:
            raise reason from None
        raise


def _of_instance(
    instance: Any,
    thing: Any,
    build: Any,
    inputs: Mapping[str, Any],
    cost: Any,
    methods: Sequence[str] | None,
    how: dict[str, Any],
) -> Problem:
    """An object, or what is made by `thing` for each call as this one was."""
    who = type(instance).__name__
    roots = [("", thing), *([("", cost)] if callable(cost) else [])]

    def adapted(kind: Kind) -> Adapted:
        return Adapted(kind, roots, inputs, **how)

    if methods is not None:
        wrong = [name for name in methods if not callable(getattr(instance, name, None))]
        if wrong:
            raise UsageError(f"methods has {wrong[0]!r}, which {who} does not have")
        if len(methods) > 3 or (len(methods) == 3 and cost is not None) or (len(methods) == 1 and callable(cost)):
            raise UsageError(
                f"methods is {tuple(methods)!r} and cost {cost!r}; expected ('forward', 'backward'), ('forward', "
                "'loss', 'backward'), or one that gives both, ('loss',)"
            )
        if len(methods) == 1:
            return adapted(OneMethod(f"{who}.{methods[0]}", build, methods[0], cost))
        if len(methods) == 3:
            return adapted(_of_three(who, build, *methods))
        return adapted(_of_methods(who, build, methods[0], methods[1], cost))
    forward, backward = _method(instance, FORWARD), _method(instance, BACKWARD)
    loss, gradient = _method(instance, LOSS), _method(instance, [*GRADIENT])
    both = _method(instance, BOTH)
    pair = forward is not None and backward is not None and forward != backward
    if callable(cost) and not pair:
        raise UsageError(f"cost= is a function, and {who} has no forward and backward; name them by methods=")
    if loss is not None and gradient is not None and loss != gradient and _fits(instance, loss, inputs):
        return adapted(_of_methods(who, build, loss, gradient, cost))
    if forward is not None and backward is not None and pair:
        try:
            return adapted(_of_methods(who, build, forward, backward, cost))
        except UsageError:
            loss = loss or next((n for n in dir(instance) if computes_cost(n) and callable(getattr(instance, n))), None)
            mean = _method(instance, MEANS) if cost is None else None
            if mean is not None:
                return adapted(_of_mean(who, build, forward, mean, backward))
            if loss is None or cost is not None or loss in (forward, backward):
                raise
        return adapted(_of_three(who, build, forward, loss, backward))
    if both is not None:
        return adapted(OneMethod(f"{who}.{both}", build, both, cost))
    if isinstance(instance, int | float | str | np.ndarray):
        raise UsageError(f"{instance!r} is {who}; expected a function, an object with methods, a class, or layers")
    there = [n for n in dir(instance) if not n.startswith("_") and callable(getattr(instance, n, None))]
    named = (forward, gradient) if forward is not None and gradient is not None else cost_and_slope(there)
    if named is not None:
        return adapted(_of_methods(who, build, *named, cost))
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
    return all(name in inputs or not required(p) for name, p in parameters_of(getattr(instance, method)).items())


def _of_methods(who: str, build: Any, forward: str, backward: str, cost: Any) -> Kind:
    """Two methods; where `cost` is a function, with that between them."""
    said = f"{who}.{forward} and .{backward}"

    def start(subject: Any, given: Mapping[str, Any]) -> tuple[Any, Any]:
        instance = build(subject, given)
        return getattr(instance, forward), getattr(instance, backward)

    def three(subject: Any, given: Mapping[str, Any]) -> tuple[Any, Any, Any]:
        first, last = start(subject, given)
        return first, subject[1], last

    return Costed(said, three) if callable(cost) else Pair(said, start, cost)


def _of_mean(who: str, build: Any, forward: str, mean: str, backward: str) -> Kind:
    """As for three methods, of which the second takes what forward takes, in the same order."""

    def start(subject: Any, given: Mapping[str, Any]) -> tuple[Any, Any, Any]:
        instance = build(subject, given)
        first, method = getattr(instance, forward), getattr(instance, mean)
        names = list(parameters_of(first))

        def cost(**values: Any) -> Any:
            return method(*(values[name] for name in names))

        cost.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in names]
        )
        return first, cost, getattr(instance, backward)

    return Costed(f"{who}.{forward}, .{mean} and .{backward}", start)


def _of_three(who: str, build: Any, *methods: str) -> Kind:
    def start(subject: Any, given: Mapping[str, Any]) -> tuple[Any, Any, Any]:
        instance = build(subject, given)
        forward, cost, backward = (getattr(instance, method) for method in methods)
        return forward, cost, backward

    return Costed(f"{who}.{methods[0]}, .{methods[1]} and .{methods[2]}", start)


def _name(thing: Any) -> str:
    return str(getattr(thing, "__name__", type(thing).__name__))


def _layers(
    things: list[Any],
    inputs: Mapping[str, Any],
    methods: Sequence[str] | None,
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
