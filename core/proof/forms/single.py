"""One function, or one method of an object, that returns the cost and its gradients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from handgrad.proof.forms.kind import Called
from handgrad.proof.matching import at, called, flattened, the_cost
from handgrad.proof.naming import taken_names
from handgrad.proof.problem import defaults_of, parameters_of, passed, quietly


@dataclass
class ValueAndGradients:
    """One function that returns the cost and its gradients."""

    who: str
    cost: Any = None
    cotangents: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.order: list[str] = []
        self.begins: set[Any] = set()
        self.names: list[Any] = []
        self.path: Any = None
        self.label = "J"

    def call(self, subject: Any, given: Mapping[str, Any], cotangents: Mapping[str, Any], both: bool) -> Called:
        """As for every kind."""
        del cotangents
        function = subject[0]
        self.order = list(parameters_of(function))
        args, kwargs = passed(function, self.who, given)
        result = quietly(function, self.who, args, kwargs)
        if self.path is None:
            self.names = taken_names(function)
            found = list(flattened(result, self.names))
            cost = the_cost(found, self.cost, self.who)
            self.path, self.label = cost.path, called(cost)
        rest = [leaf for leaf in flattened(result, self.names) if leaf.path != self.path]
        return Called({self.label: at(result, self.path)}, rest if both else [], (), defaults_of(function, given))


class OneMethod(ValueAndGradients):
    """A method that returns the cost and its gradients."""

    def __init__(self, who: str, build: Any, method: str, cost: Any) -> None:
        super().__init__(who, cost)
        self.build, self.method = build, method

    def call(self, subject: Any, given: Mapping[str, Any], cotangents: Mapping[str, Any], both: bool) -> Called:
        """As for every kind."""
        instance = self.build(subject, given)
        called = super().call([getattr(instance, self.method)], given, cotangents, both)
        return called._replace(live=[("", instance)])
