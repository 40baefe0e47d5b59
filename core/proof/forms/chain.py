"""Layers that follow each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from handgrad.errors import UsageError
from handgrad.proof.forms.kind import Called
from handgrad.proof.forms.outcome import Outcome, gradient_left
from handgrad.proof.matching import flattened, is_float
from handgrad.proof.naming import primals
from handgrad.proof.problem import code_of, defaults_of, parameters_of, quietly


@dataclass
class Chain:
    """Layers that follow each other: each forward takes what the one before gave."""

    who: str
    start: Callable[[Any, Mapping[str, Any]], Sequence[tuple[Callable[..., Any], Callable[..., Any]]]]
    cotangents: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.order: list[str] = []
        self.begins: set[Any] = set()
        self.outcome = Outcome()

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
            value = self.outcome.of(forward, f"forward of layer {number}", [value], extra)
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
        self.begins = {code_of(layers[-1][1])}
        for number, (forward, backward) in reversed(list(enumerate(layers))):
            args = [] if back is None and scalar and number == len(layers) - 1 else [back]
            extra = {name: given[name] for name in list(parameters_of(backward))[len(args) :] if name in given}
            back = quietly(backward, f"backward of layer {number}", args, extra)
            if back is None:
                back = gradient_left(backward, next(iter(parameters_of(forward)), ""), primals)
        live = [(f"[{i}]", getattr(forward, "__self__", None)) for i, (forward, _) in enumerate(layers)]
        leaves = list(flattened(back, [f"d{first[0]}"])) if is_float(back) else []
        return Called(outputs, leaves, live, defaults_of(layers[0][1], given))
