"""Whatever the shape, a scalar cost of named inputs, and the gradients by hand of some of them.

Outputs that are arrays are multiplied by random cotangents, which are inputs of their own, new in every trial, and
added up. What an object or a module holds is an input under its own name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace as replaced
from typing import Any, NamedTuple

import numpy as np

from handgrad.errors import UsageError
from handgrad.proof.forms.kind import Called, Kind
from handgrad.proof.forms.steps import called_alike, left_after_a_step, rate_of, returned
from handgrad.proof.isolation import World, codes
from handgrad.proof.matching import Leaf, is_float, listed, matched
from handgrad.proof.naming import CONTAINERS, PARAMETER, is_gradient, is_label, last_name, parts
from handgrad.proof.noise import Rounding
from handgrad.proof.problem import Problem, Run, differing, is_real, leaves, put_on, replace
from handgrad.proof.recording import entered, recording
from handgrad.proof.tape import Tape, plain
from handgrad.proof.wide import Array

H = 1e-4
"""So much of a step, to see how far the cost falls along it."""


class Adapted(Problem):
    """A subject in one of these shapes, as a cost of named inputs and gradients by hand.

    Args:
        kind: how it is called.
        roots: what is copied for each call, with the path under which it is known.
        inputs: as `check` was given them.
        gradients, wrt: its keywords.
        seed: of the cotangents.
    """

    alone = False

    def __init__(
        self,
        kind: Kind,
        roots: list[tuple[str, Any]],
        inputs: Mapping[str, Any],
        *,
        gradients: Mapping[str, str | int] | None = None,
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
        self.steps: dict[str, str] = {}
        self.rate: str | None = None
        self.defaults: Mapping[str, Any] = {}
        self.forward = self.backward = roots[0][1]
        self.cost = "J"
        self._understand(gradients, wrt, seed)

    def _understand(self, gradients: Mapping[str, str | int] | None, wrt: Sequence[str] | None, seed: int) -> None:
        reached = self._feed(seed)
        probe = self._probe(self.inputs)
        probe = probe._replace(before={**probe.before, **reached})
        called, before = probe.called, probe.before
        targets = {
            name: value
            for name, value in leaves({n: v for n, v in self.given.items() if n not in self.cotangent_of.values()})
            if is_float(value) or (isinstance(value, int) and not isinstance(value, bool))
        }
        self.held = self._held(probe, targets)
        candidates = [leaf for leaf in called.leaves if is_float(leaf.value) or _counts(leaf, gradients is not None)]
        attributes = [
            Leaf(path.lstrip("<"), path, value, held=True)
            for path, value in probe.after.items()
            if (path not in before or not np.array_equal(before[path], value) or any(map(is_gradient, parts(path))))
            and not (path in self.given and np.array_equal(self.given[path], value))  # delta, which is no gradient
        ]
        everything = {**targets, **{name: before[path] for name, path in self.held.items()}}
        if wrt is not None and (unknown := [name for name in wrt if name not in everything]):
            raise UsageError(f"wrt has {unknown[0]!r}, which is no input; there are: {', '.join(everything)}")
        order = self.kind.order if wrt is None else list(wrt)
        found = matched([*candidates, *attributes], everything, gradients, order, self.kind.who, asked=wrt is not None)
        if gradients is None:
            found = self._in_order(found)
        found = self._where_held(found, probe, targets, attributes)
        without = self._without(before, probe.after, found)
        found |= self._steps(found, probe, targets, without)
        if wrt is not None:
            missing = [name for name in wrt if name not in found]
            if missing:
                raise UsageError(
                    f"no gradient of {missing[0]} is given back; there are: {listed(candidates + attributes)}. "
                    f"Say which it is by gradients={{{missing[0]!r}: ...}}"
                )
            found = {name: found[name] for name in wrt}
        if not found:
            raise UsageError(self._nothing(candidates, everything))
        self._settle(found, before)
        missing = [n for n, v in targets.items() if n not in found and (isinstance(v, np.ndarray) or n.endswith("]"))]
        missing += [name for name in without if name not in found]
        if wrt is None:
            self.forgotten = tuple(name for name in missing if _beside(name, found) > 1 and self._matters(name))
        if missing:
            read = [leaf.path for leaf in found.values()]
            unread = [leaf for leaf in candidates if leaf.path not in read]
            ignored = f"; what else is given back was not read: {listed(unread)}" if unread else ""
            self.remarks += (f"not judged, since no gradient of them is given back: {', '.join(missing)}{ignored}",)
        outputs, clash = list(called.outputs), set(self.inputs)
        self.cost = next(n for n in (*(outputs if len(outputs) == 1 else ()), "J", "cost") if n not in clash)
        if not self.kind.cotangents:
            self.cost = outputs[0] if outputs[0] not in clash else self.cost

    def _feed(self, seed: int) -> dict[str, Any]:
        """Draws the cotangents; gives what of the inputs are globals, which are held, and no arguments.

        Raises:
            UsageError: an input is neither.
        """
        first = self._probe(self.given)
        free = {n: v for n, v in self.given.items() if n not in self._taken}
        reached = {n: v for n, v in free.items() if n in first.before or first.aliases.get(n) == f"<{n}"}
        self.given = {n: v for n, v in self.given.items() if n not in reached}
        rng = np.random.default_rng([seed, 0xC07A])  # not those with which people draw their inputs
        self.inputs = dict(self.given)
        spare = [n for n, v in self.given.items() if n not in self._taken and is_float(v)]
        for name, label in self.kind.cotangents.items():
            shape = np.shape(first.called.outputs[label])
            own = next((n for n in spare if np.shape(self.given[n]) == shape), None)
            known = name if name not in self.given else f"{name} of {label}"
            if own is not None:  # an input that nobody takes, of the shape of an output: its cotangent
                spare.remove(own)
                known = own
            else:
                self.inputs[known] = rng.standard_normal(shape)[()]
            self.cotangent_of[name] = known
        left = spare or [n for n in self.given if n not in self._taken and n not in self.cotangent_of.values()]
        if left:
            raise UsageError(f"inputs has {left[0]!r}, which {self.kind.who} does not take")
        return reached

    def _held(self, probe: _Probe, targets: Mapping[str, Any]) -> dict[str, str]:
        """The paths of what objects hold, by the names under which it is an input."""
        paths = {path: path for path in probe.before} | {
            path: first for path, first in probe.aliases.items() if first in probe.before and not path.startswith("<")
        }
        paths = {path: first for path, first in paths.items() if not any(map(CONTAINERS.match, parts(path)))}
        shown, found = _shown(paths), {}
        for path, first in paths.items():
            own = shown[path].lstrip("<")
            found[own if own not in targets and own not in self.inputs else f"self.{path}"] = first
        return found

    def _in_order(self, found: dict[str, Leaf]) -> dict[str, Leaf]:
        """Gradients of arguments that are given back side by side; where names call for another order, it is said."""
        in_order = _in_order(found, self.kind.order)
        moved = sorted((n for n in found if in_order[n] is not found[n]), key=lambda n: found[n].path)
        if self.kind.cotangents and len(moved) == 2:  # exchanged: the layer before takes them by their places
            return in_order
        if moved:
            said = f"given back in another order than that of the arguments: the gradients of {', '.join(moved)}"
            self.remarks = (said,)
        return found

    def _where_held(
        self, found: dict[str, Leaf], probe: _Probe, targets: Mapping[str, Any], attributes: list[Leaf]
    ) -> dict[str, Leaf]:
        """The gradients, with those of inputs that an object keeps; of one array in several objects, added up."""
        inside = {path: targets[name] for path, name in probe.inside.items() if name in targets and name not in found}
        for path, leaf in matched(attributes, inside, None, [], self.kind.who).items() if inside else ():
            found.setdefault(probe.inside[path], leaf)
        if any(not leaf.held for leaf in found.values()):  # what is left beside them of labels is a residual
            found = {n: leaf for n, leaf in found.items() if not (leaf.held and is_label(last_name(n)))}
        found = found or _only_one(attributes, probe.before, targets)
        found = {n: leaf for n, leaf in found.items() if not (leaf.held and leaf.path == self.held.get(n))}
        where = {name: path for path, name in reversed(probe.inside.items())} | self.held
        several = [(path, first) for path, first in probe.aliases.items() if first in probe.before]
        return {n: _summed(leaf, where.get(n), several, attributes) for n, leaf in found.items()}

    def _steps(
        self, found: Mapping[str, Leaf], probe: _Probe, targets: Mapping[str, Any], without: Mapping[str, str]
    ) -> dict[str, Leaf]:
        """What is left, or given back, after a step."""
        self.defaults = probe.called.defaults
        passed = [*self.given, *(name for name, value in self.defaults.items() if is_float(value))]
        self.rate = rate_of([*passed, *(path for path, value in probe.before.items() if np.ndim(value) == 0)])
        self.steps = left_after_a_step(without, probe.before, probe.after)
        made = {n: Leaf(self._step_said(n), path, probe.before[path], held=True) for n, path in self.steps.items()}
        before = {**targets, **{name: probe.before[path] for name, path in self.held.items()}}
        given_back = (
            returned(self.kind.who, probe.called, found, before, self._at_rate)
            if self.rate in passed
            else called_alike(found, before)
        )
        self.steps |= {name: name for name in given_back}
        if self.steps and self.rate is None:
            self._find_rate(found, probe)
            made = {n: replaced(leaf, label=self._step_said(n)) for n, leaf in made.items()}
        return made | {name: replaced(found[name], label=self._step_said(name)) for name in given_back}

    def _find_rate(self, found: Mapping[str, Leaf], probe: _Probe) -> None:
        """The rate of a step that nobody passes: a global that is called so; or a number in the code, where it is that
        by which the cost falls along the step, or the only small one.
        """
        code = [within for of in self.kind.begins for within in codes(of)]
        read = {name for of in code for name in of.co_names}
        named = {n: v for scope in self.scopes for n, v in scope.items() if n in read and isinstance(v, float)}
        self.rate = rate_of(named)
        if self.rate is None:
            numbers = {f"{v:g}": v for of in code for v in of.co_consts if isinstance(v, float)}
            rate = self._falling(found, probe) if numbers else 0
            small = [n for n, value in numbers.items() if 0 < value < 0.5]
            explains = [n for n, value in numbers.items() if abs(rate - value) <= 1e-5 * abs(value)]
            self.rate = next(iter(explains or (small if len(small) == 1 else [])), None)
            named = numbers
        if self.rate is not None:
            self.defaults = {**self.defaults, self.rate: named[self.rate]}

    def _falling(self, found: Mapping[str, Leaf], probe: _Probe) -> float:
        """The rate of which a step is a step along the gradient, s.s / dJ(s): by differences of the cost."""
        here = {**self.inputs, **{name: probe.before[path] for name, path in self.held.items()}}
        after = {
            name: probe.after[path] if name not in found else found[name].value for name, path in self.steps.items()
        }
        by = {name: here[name] - value for name, value in after.items() if name in here}
        moved = [{**here, **{name: here[name] + h * step for name, step in by.items()}} for h in (H, -H)]
        ahead, behind = map(self._cost, moved)
        squares = sum(float(np.sum(np.square(step))) for step in by.values())
        return float(2 * H * squares / (ahead - behind)) if ahead != behind else 0.0

    def _nothing(self, candidates: list[Leaf], everything: Mapping[str, Any]) -> str:
        """Why no gradient was found."""
        whole = [n for n, v in leaves(self.given) if isinstance(v, np.ndarray) and v.dtype.kind in "iu"]
        if not everything and whole:
            kind = np.asarray(dict(leaves(self.given))[whole[0]]).dtype
            return f"{whole[0]} is of type {kind}; expected floating point: give inputs such as np.array(..., float)"
        if not candidates:
            return (
                f"{self.kind.who} gives back no gradient, neither as a value nor in an attribute; "
                "give also the function that computes it: check(forward, backward, inputs)"
            )
        return (
            f"{self.kind.who} gives back {listed(candidates)}: the gradients of which inputs? There are: "
            f"{', '.join(everything)}. Say so by gradients={{'w': 'dw'}}"
        )

    def _settle(self, found: dict[str, Leaf], before: Mapping[str, Any]) -> None:
        """What is judged: each array once, under the first of its names."""
        self.sources = found
        self.upstream = tuple(self.cotangent_of.values())
        self.held = {name: path for name, path in self.held.items() if name in found}
        for name, path in list(self.held.items()):
            if path in list(self.held.values())[: list(self.held).index(name)]:
                del self.held[name], self.sources[name]
            else:
                self.inputs[name] = before[path]

    def _rate(self, given: Mapping[str, Any], after: Mapping[str, Any]) -> Any:
        return {**after, **self.defaults, **given}[str(self.rate)]

    def _without(
        self, before: Mapping[str, Any], after: Mapping[str, Any], found: Mapping[str, Leaf]
    ) -> dict[str, str]:
        """What the cost depends on and of which no gradient is given back, with its path: arrays, and numbers that
        change.
        """
        known = {self.held.get(name) for name in found}
        left = {
            n: p
            for n, p in self.held.items()
            if p not in known and (isinstance(before[p], np.ndarray) or after.get(p, before[p]) != before[p])
        }
        held, self.held = self.held, left
        here = {**self.inputs, **{name: before[path] for name, path in left.items()}}
        rng = np.random.default_rng(0)
        try:
            by = {name: 0.1 * rng.standard_normal(np.shape(here[name])) for name in left}
            first = self._cost(here) if left else 0
            return {n: p for n, p in left.items() if self._cost({**here, n: here[n] + by[n]}) != first}
        finally:
            self.held = held

    def _matters(self, name: str) -> bool:
        """Whether the cost depends on an input."""
        moved = replace(self.inputs, lambda of, value: 1.1 * value + 0.1 if of == name else value)
        return name not in dict(leaves(self.inputs)) or self._cost(self.inputs) != self._cost(moved)

    def _cost(self, inputs: Mapping[str, Any]) -> Any:
        return next(iter(self._call(inputs, False)[0].values()))

    def _at_rate(self, times: float) -> Called:
        rate = str(self.rate)
        return self._probe({**self.inputs, rate: times * {**self.defaults, **self.given}[rate]}, rate).called

    def _step_said(self, name: str) -> str:
        return f"({name} before - after)" + (f" / {self.rate}" if self.rate is not None else "")

    @property
    def said(self) -> str:  # type: ignore[override]
        """How the subject was understood, in a sentence."""
        outputs = [
            f"{label} is multiplied by {self.cotangent_of[name]}" for name, label in self.kind.cotangents.items()
        ]
        what = " and ".join(outputs) if outputs else f"{self.cost} is the cost"
        pairs = [f"{leaf.label or 'its value'} the gradient of {name}" for name, leaf in self.sources.items()]
        return f"{self.kind.who}: {what}; {', '.join(pairs)}"

    def _probe(self, inputs: Mapping[str, Any], also: str | None = None) -> _Probe:
        given = _Watched({n: v for n, v in inputs.items() if n in self.given or n == also})
        direct = {f"<{name}" for name, _ in leaves(dict(given))}
        before: dict[str, Any] = {}

        def change(path: str, value: Any) -> Any:
            if path and path not in direct and is_float(value):
                before.setdefault(path, np.array(value) if isinstance(value, np.ndarray) else value)
            return value.copy() if isinstance(value, np.ndarray) else value

        with self.world.apart(given, change) as (roots, values, copier):
            watched = _Watched(values)
            cotangents = {n: inputs[k] for n, k in self.cotangent_of.items()}
            called = self.kind.call(roots, watched, cotangents, True)
            self._taken = watched.taken
            after, twins = self.world.held(roots, _live(called, values))
            names = {id(v): name for name, v in leaves(values) if isinstance(v, np.ndarray)}
            inside = {path: names[id(v)] for path, v in after.items() if id(v) in names and path not in direct}
            inside |= {path: inside[first] for path, first in twins.items() if first in inside}
        after = {path: value for path, value in after.items() if path not in direct}
        return _Probe(called, after, before, copier.aliases, inside)

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
                anywhere = any(leaf.held for leaf in self.sources.values())
                after = self.world.held(roots, _live(called, values))[0] if anywhere else {}
                by_path = {leaf.path: leaf.value for leaf in called.leaves}
                for name, leaf in self.sources.items():
                    source = after if leaf.held else by_path
                    if leaf.path not in source:
                        raise UsageError(f"no gradient of {name} is given back here, but at other inputs it is")
                    adjoints[f"d{name}"] = sum((source[path] for path in leaf.more), source[leaf.path])
                    if name in self.steps:
                        step = (held if leaf.held else dict(leaves(inputs)))[self.steps[name]] - source[leaf.path]
                        adjoints[f"d{name}"] = step if self.rate is None else step / self._rate(given, after)
                adjoints = replace(adjoints, lambda _, v: v.copy() if isinstance(v, np.ndarray) else v)
                self.changed = differing(given, values)
        return {self.cost: cost}, adjoints

    @property
    def begins(self) -> set[Any]:
        """The code with which going back begins; none where it is the same as that of forward."""
        return self.kind.begins

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
        if self.opaque:
            return self._call(rounding.wrap(run.inputs), True)[1]
        dtypes = [v.dtype for _, v in leaves(run.inputs) if is_real(v)]
        tape = Tape(max(dtypes, key=lambda dtype: dtype.itemsize), rounding)
        try:
            adjoints = plain(self.run_on(tape, run.inputs)[1])
        except UsageError:  # the tape does not know what it does
            return self._call(rounding.wrap(run.inputs), True)[1]
        rounding.lowest = max(rounding.lowest, tape.lowest)
        return dict(adjoints)

    def run_on(self, tape: Tape, inputs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Array]]:
        """One run of both on a tape: what is named, the gradients by hand, and the numbers of each input's entries."""
        given, numbers = put_on(tape, inputs)
        with recording(tape, self.scopes):
            return *self._call(given, True), numbers

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


class _Probe(NamedTuple):
    """What one call showed.

    Attributes:
        called: what it gave.
        after, before: the numbers and arrays that objects hold, by path, after and before it.
        aliases: other paths of an array that objects held before it, and the first of each.
        inside: by the path of an array that objects hold after it, the input that it is.
    """

    called: Called
    after: dict[str, Any]
    before: dict[str, Any]
    aliases: dict[str, str]
    inside: dict[str, str]


def _live(called: Called, values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """What may hold gradients after a call: what was made for it, and what it was given."""
    given = [(f"<{name}", v) for name, v in dict(values).items() if not isinstance(v, np.ndarray | np.generic | float)]
    return [*called.live, *given]


def _summed(leaf: Leaf, path: str | None, several: list[tuple[str, str]], attributes: list[Leaf]) -> Leaf:
    """The gradient of an array; of one that several objects of a kind hold, with those that lie beside it in each."""
    if not leaf.held or path is None:
        return leaf
    mine, theirs = parts(leaf.path), parts(path)
    same = next((i for i, (a, b) in enumerate(zip(mine, theirs, strict=False)) if a != b), 0)
    beside = [
        [*parts(other)[:same], *mine[same:]]
        for other, first in several
        if same and first == path and len(parts(other)) == len(theirs) and parts(other)[same:] == theirs[same:]
    ]
    more = tuple(a.path for a in attributes if parts(a.path) in beside)
    return replaced(leaf, label=" + ".join([leaf.label, *more]), more=more) if more else leaf


def _beside(name: str, found: Mapping[str, Leaf]) -> int:
    """Of how many arrays beside a parameter, in the same dictionary or object, gradients are given back."""
    mine = parts(name)
    if len(mine) < 2 or not PARAMETER.match(mine[-1]):
        return 0
    return sum(parts(other)[:-1] == mine[:-1] and bool(PARAMETER.match(parts(other)[-1])) for other in found)


def _only_one(attributes: list[Leaf], before: Mapping[str, Any], targets: Mapping[str, Any]) -> dict[str, Leaf]:
    """The only gradient that was left, by the only input that has its shape: dinputs, of y_pred."""
    fresh = [leaf for leaf in attributes if leaf.path not in before and is_gradient(last_name(leaf.path))]
    if len(fresh) != 1:
        return {}
    fitting = [n for n, v in targets.items() if is_float(v) and np.shape(v) == np.shape(fresh[0].value)]
    fitting = [n for n in fitting if not is_label(last_name(n))] or fitting
    return {fitting[0]: fresh[0]} if len(fitting) == 1 else {}


def _counts(leaf: Leaf, told: bool) -> bool:
    """Whether whole numbers or truth values may be meant as a gradient, as those that come of a mask."""
    if isinstance(leaf.value, np.ndarray | np.generic):
        return leaf.value.dtype.kind in "iub" and (told or is_gradient(last_name(leaf.label)))
    return isinstance(leaf.value, int)


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
    """Gradients of arguments that are returned side by side, as those of the arguments in their order, whatever names
    the variables have.
    """
    returned = {n: leaf for n, leaf in found.items() if n in order and not leaf.held and len(leaf.path) == 1}
    if not all(isinstance(leaf.path[0], int) for leaf in returned.values()):
        return found
    names = sorted(returned, key=order.index)
    leaves_ = sorted(returned.values(), key=lambda leaf: leaf.path[0])
    return found | dict(zip(names, leaves_, strict=True))


def _shown(paths: Mapping[str, Any]) -> dict[str, str]:
    """What a path is called: without the place of its layer, where no other layer has such a name."""
    layered = [path for path in paths if path.startswith("[") and "]." in path and not parts(path)[-1].isdigit()]
    short = {path: path[path.index("]") + 2 :] if path in layered else path for path in paths}
    counts: dict[str, int] = {}
    for name in short.values():
        counts[name] = counts.get(name, 0) + 1
    return {path: name if counts[name] == 1 else path for path, name in short.items()}
