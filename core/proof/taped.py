"""The oracle that runs forward once, as it stands, and differentiates what the tape has written down."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from handgrad.errors import UsageError
from handgrad.proof.instrument import NoSourceError, instrument
from handgrad.proof.noise import Rounding
from handgrad.proof.oracle import ADDITIVE, Expected, Terms, Use
from handgrad.proof.problem import Problem, Run, is_array, leaves, replace
from handgrad.proof.recording import recording
from handgrad.proof.rules import ELEMENTWISE
from handgrad.proof.tape import Tape, Taped, UntapeableError, numbers_of, plain
from handgrad.proof.wide import WIDE, Array

MANY = 100_000
"""Of an input of more numbers whose gradient nobody gives, none is worked out."""


@dataclass
class Recorded:
    """One run of forward.

    Attributes:
        tape: what it wrote down.
        numbers: of the entries of each leaf of inputs and named values.
        named: the values, by leaf.
    """

    tape: Tape
    numbers: dict[str, Array]
    named: dict[str, Any]


class FromTape:
    """The oracle.

    Args:
        problem: the two functions.
        wrt: the leaves whose adjoints backward returns.
        dtype: in which forward is run.

    Raises:
        UntapeableError: at the first use, with the reason.
    """

    translates = True
    partial = sees_kinks = False
    analytic: bool | None = True

    def __init__(self, problem: Problem, wrt: list[str], dtype: Any = WIDE) -> None:
        self.problem = problem
        self.wrt = wrt
        self.dtype = np.dtype(dtype)
        self._recorded: list[tuple[Run, Recorded]] = []

    @property
    def name(self) -> str:
        """What the report calls this oracle."""
        return f"the derivative of each operation of forward, with {self.bits} bits"

    @property
    def bits(self) -> int:
        """Those of the dtype in which forward is run."""
        return int(np.finfo(self.dtype).nmant) + 1

    def local(
        self,
        run: Run,
        cotangents: Mapping[str, Array],
        samples: int = 0,
        rng: np.random.Generator | None = None,
        values: Mapping[str, Array] | None = None,
        only: str | None = None,
    ) -> Expected:
        """What each adjoint should be, given the later ones; all at once, whichever is asked for.

        Sizes only where it is the run itself that is judged, all of it: they take half as long again.
        """
        return self._expected(run, cotangents, samples, rng, values, sized=only is None and values is None)

    def total(self, run: Run, samples: int = 0, rng: np.random.Generator | None = None) -> Expected:
        """The true gradient, in the program as a whole."""
        return self._expected(run, {}, samples, rng)

    def rounded(
        self, run: Run, cotangents: Mapping[str, Array], name: str, expected: Array, rng: np.random.Generator
    ) -> Array:
        """Nothing more: what rounding does is in the errors."""
        del run, cotangents, name, rng
        return np.zeros(expected.shape, WIDE)

    def computed(self, run: Run) -> dict[str, Array]:
        """The named values of the run on the tape."""
        named = self.recorded(run).named
        return {name: np.asarray(value, WIDE) for name, value in named.items() if is_array(value)}

    def terms(self, run: Run, name: str) -> Terms:
        """The expected adjoint of V taken apart."""
        return Uses(self, run, name)

    def recorded(self, run: Run) -> Recorded:
        """The run on a tape, kept."""
        for known, found in self._recorded:
            if known is run:
                return found
        found = self.record(run)
        self._recorded = [*self._recorded[-7:], (run, found)]
        return found

    def approximations(self, run: Run, cotangents: Mapping[str, Array]) -> Iterator[tuple[str, Expected]]:
        """What would be expected without the small numbers that forward adds, all of them and each."""
        small = self.recorded(run).tape.small
        every = set(range(len(small)))
        for without in [every, *({i} for i in every if len(every) > 1)] if 0 < len(every) < 50 else [every]:
            try:
                recorded = self.record(run, without=without)
            except UntapeableError:
                continue
            named = ", ".join(dict.fromkeys(f"{small[i]:g}" for i in sorted(without)))
            values = self.adjoints(recorded, cotangents)
            yield named, Expected(values, {n: 2.0**-53 * np.abs(v) for n, v in values.items()})

    def record(
        self,
        run: Run,
        rounding: Rounding | None = None,
        values: Mapping[str, Array] | None = None,
        without: set[int] | None = None,
    ) -> Recorded:
        """The run on a tape: anew, with every result moved, with other values of some leaves, without small numbers."""
        tape = Tape(self.dtype, rounding)
        tape.without = without or set()
        numbers: dict[str, Array] = {}
        values = values or {}

        def enter(name: str, value: Any) -> Any:
            if name not in self.wrt:
                if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
                    return value
                return tape.input(value) if value.size <= MANY else tape.constant(value.copy())
            entered = tape.input(np.asarray(values.get(name, value), np.asarray(value).dtype))
            numbers[name] = entered.numbers.copy()
            return entered

        def apart(name: str, value: Any) -> Any:
            """A named value, once complete: a copy, so that its uses by this name are told from others."""

            def leaf(part: str, array: Any) -> Any:
                if not isinstance(array, Taped) or not array.numbers.any():
                    return (
                        tape.input(np.asarray(values.get(part, array), np.asarray(array).dtype))
                        if part in self.wrt and is_array(array)
                        else array
                    )
                copied = array.copy()
                if part in values:
                    copied = copied + (values[part] - plain(array)).astype(array.dtype)
                tape.renew(copied)
                return copied

            return replace({name: value}, leaf)[name]

        forward: Any = None
        if self.problem.forward_may_be_cut:
            try:
                forward = instrument(self.problem.forward, apart)
            except NoSourceError:
                forward = None
        given = replace(run.inputs, enter)
        try:
            with recording(tape, [*self.problem.scopes, *([] if forward is None else [forward.__globals__])]):
                named = dict(leaves(self.problem.run_forward(given, forward)))
        except UsageError as error:
            cause = error.__cause__
            raise UntapeableError(str(cause if isinstance(cause, UntapeableError) else error)) from error
        for name, value in named.items():
            if name not in numbers and is_array(value):
                known = numbers_of(value, tape)
                numbers[name] = np.array(known)
        return Recorded(tape, numbers, plain(named))

    def _expected(
        self,
        run: Run,
        cotangents: Mapping[str, Array],
        samples: int,
        rng: np.random.Generator | None,
        values: Mapping[str, Array] | None = None,
        sized: bool = True,
    ) -> Expected:
        kept = self.recorded(run) if not values else self.record(run, values=values)
        sizes = np.zeros(kept.tape.count, WIDE) if sized else None
        exact = self.adjoints(kept, cotangents, sizes=sizes)
        unit = max(2.0**-53, kept.tape.lowest if kept.tape.lowest > 1e-12 else 0.0)
        errors = {name: unit * np.abs(value) for name, value in exact.items()}
        rng = rng or np.random.default_rng(0)
        for _ in range(samples):
            rounding = Rounding(rng, 2.0**-53, own=True)
            moved = self.adjoints(self.record(run, rounding, values), cotangents, rounding)
            for name, value in exact.items():
                with np.errstate(all="ignore"):
                    errors[name] = np.fmax(errors[name], np.abs(moved[name] - value))
        known = {n: sizes[kept.numbers[n]] for n in exact if n in kept.numbers} if sizes is not None else {}
        return Expected(exact, errors, {name: np.fmax(size, np.abs(exact[name])) for name, size in known.items()})

    def adjoints(
        self, recorded: Recorded, cotangents: Mapping[str, Array], rounding: Rounding | None = None, **how: Any
    ) -> dict[str, Array]:
        numbers = recorded.numbers
        cost = list(recorded.named)[-1]
        inputs = {name for name in self.wrt if name not in recorded.named}
        supplied = [
            (numbers[name], np.asarray(g, WIDE).reshape(numbers[name].shape))
            for name, g in cotangents.items()
            if name != cost and name in numbers and name not in inputs
        ]
        seed = cotangents.get(cost, 1)
        with np.errstate(all="ignore"):
            adjoint = recorded.tape.sweep(
                [(numbers[cost], np.reshape(seed, numbers[cost].shape) if np.ndim(seed) else seed)],
                supplied, rounding=rounding, dtype=WIDE, **how,
            )  # fmt: skip
        found = {}
        for name in self.wrt:
            known = numbers.get(name)
            shape = np.shape(recorded.named[name]) if known is None else known.shape
            if name == cost:
                found[name] = np.ones(shape, WIDE)
            else:
                found[name] = np.zeros(shape, WIDE) if known is None else adjoint[known]
        return found


class Uses:
    """The uses of V between it and the next named values: what each contributes, and each derivative on the way.

    Args:
        oracle: whose tape is taken apart.
        run: the point at which uses are found; others may be asked at, if forward does the same there.
        name: V.

    Attributes:
        uses: all of them, in the order of the program.
        first: those of V itself.
        elementwise: those with a derivative of their own, by entry, other than 1 or -1.
        reads: the named values that are read on the way.
    """

    def __init__(self, oracle: FromTape, run: Run, name: str) -> None:
        self.oracle, self.name = oracle, name
        recorded = oracle.recorded(run)
        tape, numbers = recorded.tape, recorded.numbers
        self.operations = tape.operations
        inputs = {n for n in oracle.wrt if n not in recorded.named}
        ends = np.zeros(tape.count, bool)
        for other, known in numbers.items():
            if other != name and other not in inputs:
                ends[known.ravel()] = True
        reached = np.zeros(tape.count, bool)
        own = np.zeros(tape.count, bool)
        own[numbers[name].ravel()] = True
        reached |= own
        ends &= ~own
        reached[0] = own[0] = False
        of = {n: set(known.ravel().tolist()) - {0} for n, known in numbers.items() if known.size <= 100_000}
        self.uses: list[Use] = []
        self.first: list[Use] = []
        self.elementwise: list[Use] = []
        self.reads: set[str] = set()
        for index, operation in enumerate(self.operations):
            touched = False
            for position, members in enumerate(operation.numbers):
                if members is None or not np.any(reached[members]):
                    continue
                touched = True
                if operation.rule == "same":
                    continue
                self.uses.append((index, position))
                if np.any(own[members]):
                    self.first.append((index, position))
                if operation.rule in ELEMENTWISE and members.shape == operation.out.shape:
                    self.elementwise.append((index, position))
            if touched:
                for part in operation.numbers:
                    if part is not None and part.size:
                        found = int(part.ravel()[0])
                        self.reads.update(n for n, inside in of.items() if found in inside)
                fresh = np.zeros(tape.count, bool)
                fresh[operation.span] = True
                reached |= fresh & ~ends

    def operation(self, use: Use) -> str:
        """What the program does there, as "exp"."""
        return self.operations[use[0]].rule

    def chains(self) -> Iterator[list[Use]]:
        """Runs of elementwise operations, each fed by the one before: the parts of one activation."""
        uses = set(self.elementwise)
        feeds: dict[int, list[Use]] = {}
        made = {}
        for index, operation in enumerate(self.operations):
            for number in (operation.start,):
                made[number] = index
        for index, position in self.elementwise:
            known = self.operations[index].numbers[position]
            assert known is not None
            source = self._source(int(known.ravel()[0])) if known.size else -1
            feeds.setdefault(source, []).append((index, position))

        def grow(chain: list[Use]) -> Iterator[list[Use]]:
            if any(self.operation(use) not in ADDITIVE for use in chain):
                yield chain
            if len(chain) < 10:
                for use in feeds.get(chain[-1][0], []):
                    if use in uses:
                        yield from grow([*chain, use])

        for use in self.elementwise:
            yield from grow([use])

    def _source(self, number: int) -> int:
        """The operation that made a number."""
        starts = [operation.start for operation in self.operations]
        return int(np.searchsorted(starts, number, "right")) - 1

    def adjoint(
        self,
        run: Run,
        cotangents: Mapping[str, Array],
        scale: Mapping[Use, float] | None = None,
        power: Mapping[Use, float] | None = None,
    ) -> Array:
        """The expected adjoint with some uses counted otherwise."""
        recorded = self.oracle.recorded(run)
        if [o.rule for o in recorded.tape.operations] != [o.rule for o in self.operations]:
            raise ValueError("forward does otherwise here")
        found: Callable[..., dict[str, Array]] = self.oracle.adjoints
        return found(recorded, cotangents, scale=scale or {}, power=power or {})[self.name]
