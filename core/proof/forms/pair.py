"""A forward and a backward function, or two methods of an object, with a cache or a state between them."""

from __future__ import annotations

import inspect
import re
from collections import ChainMap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from handgrad.errors import UsageError
from handgrad.proof.forms.kind import Called
from handgrad.proof.forms.outcome import OUTPUTS, Outcome, attributes_of, compared_with, labels_of, stand_in
from handgrad.proof.matching import Leaf, at, flattened, is_float, listed, the_cost
from handgrad.proof.naming import CACHES, COSTS, UPSTREAM, computes_cost, primals, returned_names, taken_names
from handgrad.proof.problem import code_of, defaults_of, parameters_of, passed, quietly

NO_COST = (
    "backward takes no upstream gradient, and forward returns {}: which single number is the cost? Name it by cost=, "
    "or give there the function that computes it from what forward returns"
)


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
        self.own: dict[str, tuple[str | None, Any]] = {}
        self.by_entry = False
        self.names: list[Any] | None = None
        self.outcome = Outcome()

    def call(self, subject: Any, given: Mapping[str, Any], cotangents: Mapping[str, Any], both: bool) -> Called:
        """As for every kind."""
        forward, backward = self.start(subject, given)
        self.order = [name for name in parameters_of(forward) if name in given]
        alone = stand_in(given, forward, backward)
        args, kwargs = passed(forward, "forward", ChainMap({n: given[v] for n, v in alone.items()}, given))  # type: ignore[arg-type]
        result = self.outcome.of(forward, "forward", args, kwargs)
        if self.outputs is None:
            self._understand(forward, backward, given, result)
        assert self.outputs is not None
        outputs = {label: at(result, path) for label, path in self.outputs.items()}
        shapes = {np.shape(value) for value in outputs.values()}
        if self.by_entry:
            outputs = {label: np.sum(value) for label, value in outputs.items()}
        if not both:
            return Called(outputs, [])
        try:
            returned = self._back(forward, backward, given, cotangents, result, outputs)
        except UsageError as error:
            if self.names is not None or not self._fed_by_output(forward, backward, given, outputs):
                raise UsageError(f"{error}{self._fed(outputs)}") from error
            returned = self._back(forward, backward, given, cotangents, result, outputs)
        self.begins = {code_of(backward)}
        owner = getattr(backward, "__self__", None)
        live = [("", owner)] if owner is not None else []
        if self.names is None:
            self.names = taken_names(backward)
        leaves = list(flattened(returned, self.names))
        if self.by_entry and any(np.shape(leaf.value) not in shapes for leaf in leaves):
            raise UsageError(NO_COST.format(", ".join(f"{label} {shapes.pop()}" for label in outputs)))
        return Called(outputs, leaves, live, defaults_of(backward, given))

    @property
    def of_one_number(self) -> bool:
        """Whether forward gives the cost itself."""
        return not self.cotangents and not self.by_entry

    def _back(
        self,
        forward: Callable[..., Any],
        backward: Callable[..., Any],
        given: Mapping[str, Any],
        cotangents: Mapping[str, Any],
        result: Any,
        outputs: Mapping[str, Any],
    ) -> Any:
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for name, parameter in parameters_of(backward).items():
            if name in self.filled:
                value = at(result, self.filled[name])
            elif name in self.own:
                kept, predicted = self.own[name]
                value = given[predicted] if kept is None else attributes_of(forward)[kept]
                value = value.copy()
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
        return quietly(backward, "backward", args, kwargs)

    def _fed_by_output(
        self,
        forward: Callable[..., Any],
        backward: Callable[..., Any],
        given: Mapping[str, Any],
        outputs: Mapping[str, Any],
    ) -> bool:
        """Whether what was taken for the gradient of a cost may be the output that an object has kept, or what it was
        given to compare with labels, and now is: ``loss.backward(loss.output, y)``.
        """
        if len(self.cotangents) != 1 or any(np.size(value) != 1 for value in outputs.values()):
            return False
        held, predicted = attributes_of(forward), compared_with(backward, forward, given)
        kept = next((n for n in OUTPUTS if n in held and is_float(held[n]) and np.ndim(held[n]) > 0), None)
        if kept is None and predicted is None:
            return False
        self.own = dict.fromkeys(self.cotangents, (kept, predicted))
        self.cotangents.clear()
        self.who += f" of its {kept or predicted}"
        return True

    def _fed(self, outputs: Mapping[str, Any]) -> str:
        """What backward was given, for a message."""
        said = [f"{n} was taken for the gradient of {of} {np.shape(outputs[of])}" for n, of in self.cotangents.items()]
        return f"; {', '.join(said)}: if it is none, say by cost= which is the cost" if said else ""

    def _understand(
        self, forward: Callable[..., Any], backward: Callable[..., Any], given: Mapping[str, Any], result: Any
    ) -> None:
        names = list(self.outcome.left.values()) or returned_names(forward)
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
        labels_given = labels_of(backward, forward, given)
        left = [path for path in arrays if path in free]
        if labels_given and len(open_) == len(left) == 1 and not (UPSTREAM.match(open_[0]) or primals(open_[0])):
            self.filled[open_.pop()] = left[0]  # the prediction, beside the labels that a cost compares it with
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
            by_entry = not (single or labels_given or any(map(computes_cost, re.findall(r"\w+", self.who))))
            if by_entry and len(outputs) == 1:  # as sigmoid and sigmoid_prime
                taken, self.by_entry = outputs, True
            if len(taken) != 1:
                found = listed(Leaf(labels[path], path, pieces[path]) for path in outputs or arrays)
                raise UsageError(NO_COST.format(found))
        self.outputs = {f"the sum of {labels[path]}" if self.by_entry else labels[path]: path for path in taken}
