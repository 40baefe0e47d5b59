"""The usual slips, as formulas: the expected adjoint turned, scaled, rolled; one term dropped; one variable exchanged.

Each is a kind, a sentence, and a formula for what backward would return. The first formula that agrees with the hand's
numbers on every set of inputs names the fault.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from handgrad.proof.context import Sample
from handgrad.proof.line import CLOSE, Formula, Line
from handgrad.proof.oracle import ADDITIVE, Terms, Use
from handgrad.proof.problem import Run, is_array, leaves
from handgrad.proof.wide import Array

Slip = tuple[str, str, Formula]
Rearranged = tuple[str, str, Callable[[Array], Array]]

AXES = {0: "first", 1: "second", 2: "third"}
OUTPUT_FORMS: dict[str, tuple[str, Callable[[Array], Array]]] = {
    "sigmoid": ("{0} (1 - {0})", lambda v: v * (1 - v)),
    "tanh": ("1 - {0}^2", lambda v: 1 - v * v),
    "exp": ("{0}", lambda v: v),
    "step": ("{0} > 0", lambda v: (v > 0).astype(v.dtype)),
    "square": ("2 {0}", lambda v: 2 * v),
}
"""Derivatives f' as people write them, in terms of f's result or its argument."""


def slips(line: Line) -> Iterator[Slip]:
    """From the most to the least common slip, cheap ones first."""
    yield "sign", "the sign is wrong: it is minus what it should be", lambda s: -line.local(s)
    yield from _exchanged(line)
    yield from _factor(line)
    yield from _upstream(line)
    yield from _clipped(line)
    yield from _uses(line)
    yield from _activations(line)
    yield from _penalty(line)
    yield from _other_variables(line)
    yield from _arrangements(line)
    yield from _scaled_terms(line)
    yield from _pairs(line)


def ratio(line: Line, of: Formula, to: Formula) -> float | None:
    """The number c with of = c to on every set of inputs, as far as the largest entries show it."""
    found = None
    for sample in line.samples:
        try:
            top, bottom = of(sample), to(sample)
        except ValueError:  # forward does otherwise on these inputs
            return None
        size = float(np.max(np.abs(bottom), initial=0))
        if not np.isfinite(size) or size == 0:
            continue
        where = np.unravel_index(int(np.argmax(np.abs(bottom))), bottom.shape)
        here = float(top[where] / bottom[where])
        if found is None:
            found = here
        if not np.isfinite(here) or abs(here - found) > 1e-7 * abs(found):
            return None
    return found


def _factor(line: Line) -> Iterator[Slip]:
    by = ratio(line, line.hand, line.local)
    if by is None:
        return
    if abs(by) < 1e-12:
        yield "dropped_term", "it is 0: nothing of the gradient is there", lambda s: np.zeros_like(line.local(s))
    elif abs(abs(by) - 1) > 1e-12:
        yield "factor", f"it is {_times(line, by)} what it should be", lambda s: by * line.local(s)


def _exchanged(line: Line) -> Iterator[Slip]:
    """Each of two is what is due as the other."""
    sample = line.samples[0]
    for other, judged in sample.judged.items():
        if other == line.name or judged.misshapen or judged.local.shape != line.local(sample).shape:
            continue
        if np.all(np.abs(judged.hand - line.local(sample)) <= judged.tolerance + CLOSE * np.abs(judged.hand)):
            said = f"it is the gradient of {other}: two of them are exchanged"
            yield "exchanged", said, lambda s, other=other: np.asarray(s.judged[other].local)  # type: ignore[misc]


def _upstream(line: Line) -> Iterator[Slip]:
    """The upstream gradient taken as one."""
    names = line.context.problem.upstream
    for name in names:

        def formula(s: Sample, name: str = name) -> Array:
            ones = s.run.inputs | {name: np.ones_like(s.run.inputs[name])}
            run = Run(ones, line.context.problem.run_forward(ones))
            return line.context.oracle.total(run).values[line.name]

        yield "upstream", f"the upstream gradient {name} is forgotten: it is taken as one", formula


def _clipped(line: Line) -> Iterator[Slip]:
    """Entries cut off at a number."""
    most = max((float(np.max(np.abs(line.hand(s)), initial=0)) for s in line.samples), default=0.0)
    if 0 < most < max(float(np.max(np.abs(line.local(s)), initial=0)) for s in line.samples):
        yield "clipped", f"it is clipped to {most:.4g}", lambda s: np.clip(line.local(s), -most, most)


def _times(line: Line, by: float) -> str:
    """A factor by name: 2, 1/m, m."""
    sizes: dict[float, str] = {}
    for name, value in leaves(line.context.inputs):
        if is_array(value):
            for axis, size in enumerate(np.shape(value)):
                if size > 2:
                    sizes.setdefault(float(size), f"{name}.shape[{axis}]")
            if np.size(value) > 2:
                sizes.setdefault(float(np.size(value)), f"{name}.size")
    sign, size = ("-", -by) if by < 0 else ("", by)
    for number, called in sizes.items():
        if abs(size - number) < 1e-9 * number:
            return f"{sign}{number:g} = {called} times (a mean is due where a sum is, or a 1/{called} is missing)"
        if abs(size * number - 1) < 1e-9:
            return f"{sign}1/{number:g} = 1/{called} times (a sum is due where a mean is, or a 1/{called} is too much)"
    for top, number in itertools.product((1, 2, 3), range(2, 65)):
        if abs(size - number / top) < 1e-9 * size:
            return f"{sign}{number}{f'/{top}' if top > 1 else ''} times"
        if abs(size - top / number) < 1e-9 * size:
            return f"{sign}{top}/{number} times"
    return f"{by:.6g} times"


def _uses(line: Line) -> Iterator[Slip]:
    """A term dropped, doubled or of the wrong sign; a derivative forgotten or applied twice."""
    terms = line.terms
    if terms is None:
        yield from _ends(line)
        return
    together = [list(uses) for _, uses in itertools.groupby(terms.uses, key=lambda use: use[0])]
    alone = [[use] for uses in together if len(uses) > 1 for use in uses]
    for uses in together + alone if len(terms.uses) > 1 else []:  # both sides of V * V are one term, as V**2 is
        what = _use(terms, uses[0])
        yield "dropped_term", f"a term is missing: the one through {what}", _scaled(terms, uses, 0)
        yield "wrong_sign_term", f"a term has the wrong sign: the one through {what}", _scaled(terms, uses, -1)
        yield "doubled_term", f"a term counts twice: the one through {what}", _scaled(terms, uses, 2)
    for kept in terms.first if len(terms.first) > 1 else []:
        others = [use for use in terms.first if use != kept]
        counts = f"only one of {len(terms.first)} uses of {line.name} counts, through {_use(terms, kept)}"
        yield "overwritten", f"{counts}: overwritten where it is to be added to", _scaled(terms, others, 0)
    for chain in sorted(terms.chains(), key=len, reverse=True):
        operations = [terms.operation(use) for use in chain if terms.operation(use) not in ADDITIVE]
        what = " then ".join(dict.fromkeys(operations))
        yield "missing_derivative", f"the derivative of {what} is missing", _raised(terms, chain, 0)
        yield "doubled_derivative", f"the derivative of {what} is applied twice", _raised(terms, chain, 2)


def _scaled(terms: Terms, uses: list[Use], by: float) -> Formula:
    return lambda s: terms.adjoint(s.run, s.cotangents, scale=dict.fromkeys(uses, by))


def _raised(terms: Terms, uses: list[Use], by: float) -> Formula:
    return lambda s: terms.adjoint(s.run, s.cotangents, power=dict.fromkeys(uses, by))


def _use(terms: Terms, use: Use) -> str:
    return f"{terms.operation(use)} (operation {use[0] + 1} of forward)"


def _from_end(line: Line, end: str) -> Formula:
    """The term that comes from one of the later names."""
    return lambda s: line.toward(s, end, line.cotangent(s, end))


def _ends(line: Line) -> Iterator[Slip]:
    """For code that was not traced: the terms that come from each later name."""
    for end in line.ends if len(line.ends) > 1 else []:
        for kind, said, by in (
            ("dropped_term", "is missing", 0.0),
            ("wrong_sign_term", "has the wrong sign", -1.0),
            ("doubled_term", "counts twice", 2.0),
        ):
            yield kind, f"the term that comes from {end} {said}", _term_times(line, _from_end(line, end), by)


def _term_times(line: Line, term: Formula, by: float) -> Formula:
    return lambda s: line.local(s) + (by - 1) * term(s)


def _activations(line: Line) -> Iterator[Slip]:
    """U = f(V) entry by entry: f' forgotten, squared, or in its form of U taken at another variable."""
    sample = line.samples[0]
    values = line.values(sample)
    for end in line.ends:
        if values[end].shape != line.hand(sample).shape:
            continue
        slope = line.toward(sample, end, np.ones_like(values[end]))
        flows = line.toward(sample, end, line.cotangent(sample, end))
        if not np.allclose(flows, slope * line.cotangent(sample, end), rtol=1e-6, atol=0):
            continue
        if not np.allclose(np.abs(slope), 1):
            by = f"the derivative of {end} by {line.name}"
            yield "missing_derivative", f"{by} is missing", _slope_to(line, end, 0)
            yield "doubled_derivative", f"{by} is applied twice", _slope_to(line, end, 2)
        for form, (written, f) in OUTPUT_FORMS.items():
            at = [name for name in (end, line.name) if np.allclose(f(values[name]), slope, rtol=1e-6)]
            for other in values if at else []:
                if other != at[0] and values[other].shape == values[end].shape:
                    said = f"uses {written.format(other)}; the derivative is {written.format(at[0])} ({form})"
                    yield "wrong_variable", said, _form_at(line, end, f, other)


def _slope_to(line: Line, end: str, power: int) -> Formula:
    def formula(s: Sample) -> Array:
        cotangent = line.cotangent(s, end)
        slope = line.toward(s, end, np.ones_like(cotangent))
        return np.asarray(line.local(s) - slope * cotangent + slope**power * cotangent)

    return formula


def _form_at(line: Line, end: str, f: Callable[[Array], Array], other: str) -> Formula:
    def formula(s: Sample) -> Array:
        cotangent = line.cotangent(s, end)
        return np.asarray(line.local(s) - line.toward(s, end, cotangent) + cotangent * f(line.values(s)[other]))

    return formula


def _penalty(line: Line) -> Iterator[Slip]:
    """Something in proportion to V itself is added that is not to be there, or is missing."""
    over = ratio(line, lambda s: line.hand(s) - line.local(s), lambda s: line.values(s)[line.name])
    if over is None or over == 0 or line.name not in dict(leaves(line.context.inputs)):
        return
    kind = "penalty_on_bias" if over > 0 else "dropped_term"
    said = (
        f"{over:.6g} {line.name} is added: the cost has no such penalty on it"
        if over > 0
        else f"the penalty's term {-over:.6g} {line.name} is missing"
    )
    yield kind, said, lambda s: line.local(s) + over * line.values(s)[line.name]


def _other_variables(line: Line) -> Iterator[Slip]:
    """Another variable, or another adjoint, of the same shape where one is due."""
    values, cotangents = line.values(line.samples[0]), line.samples[0].cotangents
    for mine, other in itertools.product(line.reads, values):
        if mine != other and values[mine].shape == values[other].shape and values[mine].size:
            yield "wrong_variable", _said_of(line, mine, other), _read(line, mine, other)
    for end in line.ends:
        if end not in cotangents:
            continue
        for other, cotangent in cotangents.items():
            if other != end and cotangent.shape == cotangents[end].shape:
                yield "wrong_variable", f"uses d{other} where d{end} is due", _fed(line, end, other, adjoint=True)
        for other, value in values.items():
            if value.shape == cotangents[end].shape:
                yield "wrong_variable", f"uses {other} where d{end} is due", _fed(line, end, other, adjoint=False)


def _read(line: Line, mine: str, other: str) -> Formula:
    return lambda s: line.with_values(s, {mine: line.values(s)[other]})


def _fed(line: Line, end: str, other: str, *, adjoint: bool) -> Formula:
    return lambda s: line.with_cotangents(s, {end: (s.cotangents if adjoint else line.values(s))[other]})


def _said_of(line: Line, mine: str, other: str) -> str:
    """How people would put it: uses s(A) (1 - s(A)) where the derivative is at Z."""
    if mine != line.name:
        return f"uses {other} where {mine} is due"
    values = line.values(line.samples[0])
    for end in line.ends:
        if values[end].shape == values[mine].shape:
            slope = line.toward(line.samples[0], end, np.ones(values[end].shape))
            for form, f in ("sigmoid", "s"), ("tanh", "tanh"):
                written, derivative = OUTPUT_FORMS[form]
                if np.allclose(derivative(values[end]), slope, rtol=1e-6):
                    used, due = written.format(f"{f}({other})"), written.format(end)
                    return f"uses {used}; the derivative is at {mine}: {due}"
    return f"the derivative is taken at {other}; it is due at {mine}"


def _arrangements(line: Line) -> Iterator[Slip]:
    """Transposed, summed along the wrong axis, shifted: the adjoint itself, a later one, or a value that is read."""
    for kind, how, change in _rearranged(line.hand(line.samples[0]).shape):
        yield kind, f"it is {how}", _changed(line, change)
    cotangents, values = line.samples[0].cotangents, line.values(line.samples[0])
    for end in line.ends:
        for kind, how, change in _rearranged(cotangents[end].shape) if end in cotangents else []:
            yield kind, f"d{end} is {how} in it", _changed_adjoint(line, end, change)
    for name in line.reads:
        for kind, how, change in _rearranged(values[name].shape):
            yield kind, f"{name} is {how} in it", _changed_value(line, name, change)


def _changed(line: Line, change: Callable[[Array], Array]) -> Formula:
    return lambda s: change(line.local(s))


def _changed_adjoint(line: Line, end: str, change: Callable[[Array], Array]) -> Formula:
    return lambda s: line.with_cotangents(s, {end: change(s.cotangents[end])})


def _changed_value(line: Line, name: str, change: Callable[[Array], Array]) -> Formula:
    return lambda s: line.with_values(s, {name: np.ascontiguousarray(change(line.values(s)[name]))})


def _rearranged(shape: tuple[int, ...]) -> Iterator[Rearranged]:
    for a, b in itertools.combinations(range(len(shape)), 2):
        if shape[a] == shape[b] and shape[a] > 1:
            yield "transpose", "transposed", _swapped(a, b)
    for axis in (axis for axis, size in enumerate(shape) if size > 1):
        along = f"along the {AXES.get(axis, f'{axis + 1}th')} axis"
        for shift in (1, -1):
            yield "off_by_one", f"shifted by one {along}", _rolled(shift, axis)
            yield "off_by_one", f"shifted by one {along}, with 0 at the end", _shifted(shift, axis)
        yield "off_by_one", f"without its first entry {along}", _without(0, axis)
        yield "off_by_one", f"without its last entry {along}", _without(-1, axis)
        yield "summed_axis", f"summed {along}", _collapsed(np.sum, axis)
        yield "summed_axis", f"averaged {along}", _collapsed(np.mean, axis)
    if sum(size > 1 for size in shape) > 1:
        yield "summed_axis", "summed along all axes", _collapsed(np.sum, None)
        yield "summed_axis", "averaged along all axes", _collapsed(np.mean, None)
    if int(np.prod(shape, dtype=int)) > 1:
        yield "off_by_one", "shifted by one, all axes in a row", _rolled(1, None)
        yield "off_by_one", "shifted by one, all axes in a row", _rolled(-1, None)


def _swapped(a: int, b: int) -> Callable[[Array], Array]:
    return lambda v: np.swapaxes(v, a, b)


def _rolled(shift: int, axis: int | None) -> Callable[[Array], Array]:
    return lambda v: np.roll(v, shift, axis)


def _shifted(shift: int, axis: int) -> Callable[[Array], Array]:
    empty = _without(0 if shift > 0 else -1, axis)
    return lambda v: empty(np.roll(v, shift, axis))


def _without(which: int, axis: int) -> Callable[[Array], Array]:
    def change(v: Array) -> Array:
        out = v.copy()
        out[(slice(None),) * axis + (which,)] = 0
        return out

    return change


def _collapsed(function: Callable[..., Array], axis: int | None) -> Callable[[Array], Array]:
    return lambda v: np.broadcast_to(function(v, axis=axis, keepdims=True), v.shape)


def _scaled_terms(line: Line) -> Iterator[Slip]:
    """One term times a number; the number is read off, and must be the same on all inputs."""
    terms = line.terms
    named: list[tuple[str, Formula]]
    if terms is None:
        named = [(f"that comes from {end}", _from_end(line, end)) for end in line.ends] if len(line.ends) > 1 else []
    else:
        named = [(f"through {_use(terms, use)}", _only(line, terms, use)) for use in terms.uses]
    for said, term in named:
        over = ratio(line, lambda s: line.hand(s) - line.local(s), term)
        if over is not None and over != 0:
            by = over + 1
            yield "factor", f"the term {said} is {_times(line, by)} what it should be", _term_times(line, term, by)


def _only(line: Line, terms: Terms, use: Use) -> Formula:
    rest = _scaled(terms, [use], 0)
    return lambda s: line.local(s) - rest(s)


def _pairs(line: Line) -> Iterator[Slip]:
    """Two uses at once: terms of a sum that share their origin."""
    terms = line.terms
    if terms is None or len(terms.uses) > 24:
        return
    for pair in itertools.combinations(terms.uses, 2):
        which = " and ".join(_use(terms, use) for use in pair)
        for kind, said, by in (
            ("dropped_term", "are missing", 0.0),
            ("wrong_sign_term", "have the wrong sign", -1.0),
            ("doubled_term", "count twice", 2.0),
        ):
            yield kind, f"the terms through {which} {said}", _scaled(terms, list(pair), by)
