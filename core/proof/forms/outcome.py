"""What a method gives: what it returns, or an array that it leaves in its object instead, as ``self.output``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from handgrad.errors import UsageError
from handgrad.proof.matching import is_float
from handgrad.proof.naming import is_label
from handgrad.proof.problem import parameters_of, quietly

OUTPUTS = (
    "output", "outputs", "out", "y_hat", "yhat", "y_pred", "prediction", "predictions", "probs", "loss", "cost",
    "a", "A", "activation", "y", "Y", "h", "z", "Z", "value", "result",
)  # fmt: skip
"""What people call the attribute, the likeliest first."""


class Outcome:
    """The results of calls, and in which attributes those lie that are not returned, found out by the first call.

    Attributes:
        left: by role, the attribute.
    """

    def __init__(self) -> None:
        self.left: dict[str, str] = {}

    def of(self, function: Callable[..., Any], role: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """What a call gives.

        Raises:
            UsageError: it raises anything; or it leaves several arrays, none of which is called as an output.
        """
        before = dict(attributes_of(function))
        result = quietly(function, role, args, kwargs)
        if result is not None:
            return result
        after = attributes_of(function)
        if role not in self.left:
            taken = {id(value) for value in [*args, *kwargs.values()]}
            new = [n for n, v in after.items() if is_float(v) and v is not before.get(n) and id(v) not in taken]
            named = [name for name in OUTPUTS if name in new]
            if not new:
                return None
            if len(new) > 1 and not named:
                raise UsageError(
                    f"{role} returns nothing and sets {', '.join(new)}: which is the output? Return it, or call it so"
                )
            self.left[role] = named[0] if named else new[0]
        return after[self.left[role]]


def attributes_of(method: Any) -> Mapping[str, Any]:
    """The attributes of the object whose method it is."""
    return getattr(getattr(method, "__self__", None), "__dict__", {})


def gradient_left(method: Any, name: str, is_gradient_of: Callable[[str], Collection[str]]) -> Any:
    """The array that a method leaves in its object under the name of a gradient of an argument, as ``self.dinputs``."""
    found = attributes_of(method).items()
    return next((v for n, v in found if is_float(v) and name in is_gradient_of(n)), None)


def required(parameter: inspect.Parameter) -> bool:
    """Whether an argument must be given."""
    kinds = parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD
    return parameter.default is parameter.empty and parameter.kind not in kinds


def labels_of(backward: Callable[..., Any], forward: Callable[..., Any], given: Mapping[str, Any]) -> list[str]:
    """The arrays that backward is given and forward is not: what a cost compares the output with."""
    taken = parameters_of(forward)
    names = [name for name in parameters_of(backward) if name in given and name not in taken]
    return [name for name in names if isinstance(given[name], np.ndarray | list)]


def stand_in(
    given: Mapping[str, Any], forward: Callable[..., Any], backward: Callable[..., Any], *others: Callable[..., Any]
) -> dict[str, str]:
    """The one argument of forward that is no input by its name, and the input that it must be: ``feedforward(a)``
    beside ``backprop(x, y)``.
    """
    missing = [n for n, p in parameters_of(forward).items() if n not in given and required(p)]
    taken = set(parameters_of(forward)).union(*map(parameters_of, others))
    left = [n for n in parameters_of(backward) if n in given and n not in taken]
    left = [n for n in left if not is_label(n)] if len(left) > 1 else left
    return dict(zip(missing, left, strict=True)) if len(missing) == len(left) == 1 else {}


def compared_with(backward: Callable[..., Any], forward: Callable[..., Any], given: Mapping[str, Any]) -> str | None:
    """The input that a loss compares with labels, where backward takes the labels too and the other by another name:
    ``forward(y_pred, y_true)`` and ``backward(dvalues, y_true)``.
    """
    taken = [name for name in parameters_of(forward) if name in given]
    wanted = parameters_of(backward)
    left = [name for name in taken if name not in wanted and is_float(given[name]) and np.ndim(given[name]) > 0]
    return left[0] if len(left) == 1 and len(taken) > 1 and any(name in wanted for name in taken) else None
