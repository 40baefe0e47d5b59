"""Is a hand-derived gradient right, and if not, which line is wrong and why."""

from __future__ import annotations

import inspect
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace as replace_field
from functools import partial
from typing import Any

import numpy as np

from handgrad.errors import UsageError
from handgrad.proof.context import Context, Sample
from handgrad.proof.custom.kinds import framework_of, is_object, of_tensors, works_on_tensors
from handgrad.proof.deadline import deadline
from handgrad.proof.diagnosis import diagnose, loses_digits
from handgrad.proof.entries import of_single_entries
from handgrad.proof.forms import understand
from handgrad.proof.inputs import LARGE, MANNERS, Manner, others
from handgrad.proof.judge import Judge, Judged, clipped
from handgrad.proof.locating import locate
from handgrad.proof.naming import returns_gradients
from handgrad.proof.numerical import Numerical
from handgrad.proof.oracle import Oracle
from handgrad.proof.problem import Problem, Run, cast, is_array, leaves
from handgrad.proof.report import INHERITED, RIGHT, UNRESOLVED, WRONG, Finding, Place, Report
from handgrad.proof.shapes import axes
from handgrad.proof.shrink import counterexample
from handgrad.proof.structure import Structures
from handgrad.proof.tape import UntapeableError
from handgrad.proof.taped import FromTape
from handgrad.proof.votes import outvoted, said, votes
from handgrad.proof.wide import WIDE, Array

BLIND = 0.1
"""A line is not right if a fault of so much of an entry would not have been seen in it."""
LOCATING = 0.8
"""The part of the time to look for a diagnosis in which the line is looked for."""


def check(
    *subject: Any,
    inputs: Mapping[str, Any] | None = None,
    wrt: Sequence[str] | None = None,
    cost: str | int | Callable[..., Any] | None = None,
    gradients: Mapping[str, str | int] | None = None,
    methods: Sequence[str] | None = None,
    make: Callable[..., Any] | None = None,
    shapes: str | None = None,
    reference: Callable[..., Any] | None = None,
    order: int = 1,
    mode: str = "vjp",
    seed: int = 0,
    trials: int = 3,
    seconds: float = 10.0,
) -> Report:
    """Judge a hand-derived gradient, in whatever shape it is written: ``check(subject, inputs)``.

    Args:
        subject: one function that returns the cost and its gradients; a forward and a backward function, with a cache
            or a dictionary of named values between them; three functions, of which the second computes the cost of what
            the first returns, and the third the gradients; an object or a class with such methods, as a layer or a
            network; a list of layers that follow each other. Plain NumPy; or a rule for PyTorch or JAX, an
            ``autograd.Function``, a ``custom_op``, a module, a ``custom_vjp``, a ``custom_jvp``, or a function that
            contains one. The last positional argument is `inputs`.
        inputs: by the names of arguments: arrays, numbers, or lists, tuples and dictionaries of them. Arrays that an
            object or a module holds are inputs too, under their own names.
        wrt: the inputs whose gradients must be given back; by default all that are.
        cost: which of several returned values is the cost, by name or place; or a function that computes it from what
            forward returns and from inputs, by the names of its arguments.
        gradients: which returned value is whose gradient, by its name or its place, as ``{"w": "dw"}`` or ``{"w": 1}``,
            where names and the order of the arguments don't say so.
        methods: of an object, forward and backward, with the one that computes the cost between them or not; or one
            that gives both.
        make: makes the object out of some of the inputs, which are its arguments.
        shapes: which sizes vary together, as ``"W: 1 n; b: 1 1; X: n m; Y: 1 m"``; used to shrink the
            counterexample. By default equal sizes vary together.
        reference: of a rule for PyTorch or JAX, the same function written plainly; by default its own forward.
        order: of such a rule; 2 judges the gradient of the gradient.
        mode: of such a rule; "vjp" judges what flows back, "jvp" what flows forward.
        seed: of the inputs that are tried besides, of cotangents, and of the noise.
        trials: how many other inputs, from 0 to 3: the given ones moved a little, new ones of their size, extreme ones.
        seconds: after which no further line or diagnosis is looked for.

    Returns:
        The report; `Report.ok` says whether all is right.

    Raises:
        UsageError: the code cannot be used as it is: an argument that nobody supplies, a gradient of nothing, two ways
            to read it, code that raises, or that gives other results when it is called again.

    >>> import numpy as np
    >>> def forward(W, X):
    ...     Z = W @ X
    ...     J = np.sum(Z**2) / 2
    ...     return dict(Z=Z, J=J)
    >>> def backward(X, Z):
    ...     dZ = Z
    ...     return dict(dZ=dZ, dW=dZ @ X.T)
    >>> check(forward, backward, dict(W=np.ones((1, 3)), X=np.ones((3, 2)))).ok
    True
    """
    if inputs is None:
        *subject, inputs = subject  # type: ignore[assignment]
    framework = framework_of(subject[0], inputs, reference) if len(subject) == 1 and _inputs(inputs) else None
    asked = subject, dict(cost=cost, gradients=gradients, wrt=wrt, methods=methods, make=make)
    by_hand = cost is not None or gradients is not None
    plain = _without_rule(framework, subject[0], inputs, by_hand) if framework and reference is None else None
    whose = framework
    if framework is not None and plain is None and is_object(subject[0]):
        if of_objects := works_on_tensors(subject[0]):
            raise UsageError(of_objects)
        inputs = _as_numpy(framework, inputs)
        framework = None
    if plain is not None:
        subject, inputs = (plain[0],), plain[1]
    elif framework is not None:
        return _rule(
            framework, subject[0], inputs, reference, order, mode, seed=seed, trials=trials, seconds=seconds, wrt=wrt,
            others=dict(cost=cost, gradients=gradients, methods=methods, make=make, shapes=shapes),
        )  # fmt: skip
    else:
        subject, inputs, cost, whose = in_numpy(subject, inputs, cost)
    if reference is not None or order != 1 or mode != "vjp":
        raise UsageError("reference=, order= and mode= are for rules of PyTorch and JAX, of which this is none")
    if not isinstance(inputs, Mapping):
        raise UsageError(f"inputs is {inputs!r}; expected a dictionary of arrays by argument")
    if not subject:
        raise UsageError("nothing to check: expected check(subject, inputs) or check(forward, backward, inputs)")
    for name, value in leaves(inputs):
        if isinstance(value, np.matrix):
            raise UsageError(f"{name} is a np.matrix, whose * is another one; give np.asarray({name})")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the code is run on numbers of ours, complex and large ones among them
        try:
            problem = understand(
                subject, inputs, cost=cost, gradients=gradients, wrt=wrt, methods=methods, make=make, seed=seed
            )
        except UsageError as error:
            if of_objects := works_on_tensors(subject[0]):
                raise UsageError(f"{of_objects} ({error})") from error
            raise
        problem.asked, problem.opaque = asked, whose is not None
        checker = Checker(problem, shapes=shapes, seconds=seconds)
        if whose is not None:
            checker.untapeable = f"forward is not NumPy's but {'PyTorch' if whose == 'torch' else 'JAX'}'s"
        whole = problem.completed(inputs)
        alone = of_single_entries(problem, whole, partial(checker.check, seed=seed, trials=trials))
        return alone if alone is not None else checker.check(whole, seed=seed, trials=trials)


def _inputs(inputs: Any) -> bool:
    return isinstance(inputs, Mapping | list | tuple) and bool(inputs)


def _without_rule(framework: str, subject: Any, inputs: Any, by_hand: bool) -> Any:
    """A function of tensors that calls no rule, and its inputs, as NumPy's, where it gives gradients by hand: that is
    said, or what it returns is named so. Else None: the framework's own derivative is judged.
    """
    from handgrad.proof.custom import without_rule

    return without_rule(framework, subject, inputs) if by_hand or returns_gradients(subject, depth=3) else None


def in_numpy(subject: Sequence[Any], inputs: Any, cost: Any) -> tuple[tuple[Any, ...], Any, Any, str | None]:
    """Several functions of tensors, as forward and backward, as those of NumPy's arrays, with their inputs and cost.

    And whose tensors they take; None where they are NumPy's already.
    """
    functions = [*subject, *([cost] if callable(cost) else [])]
    whose = of_tensors(functions, inputs) if len(functions) > 1 else None
    if whose is None:
        return tuple(subject), inputs, cost, None
    from handgrad.proof.custom import in_numpy as of

    functions, inputs = of(whose, functions, inputs)
    return tuple(functions[: len(subject)]), inputs, functions[-1] if callable(cost) else cost, whose


def _as_numpy(whose: str, inputs: Any) -> Any:
    """Tensors among inputs as NumPy's arrays."""
    from handgrad.proof.custom import in_numpy as of

    return of(whose, [], inputs)[1]


def _rule(
    framework: str,
    subject: Any,
    inputs: Any,
    reference: Any,
    order: int,
    mode: str,
    *,
    others: dict[str, Any],
    **how: Any,
) -> Report:
    """A rule of PyTorch's or JAX's."""
    from handgrad.proof.custom import check_rule

    given = [name for name, value in others.items() if value is not None]
    if given:
        raise UsageError(f"{given[0]}= is for code in NumPy; of a rule for {framework} all is known")
    return check_rule(framework, subject, inputs, reference=reference, order=order, mode=mode, **how)


class Checker:
    """`check`, with the traced programs kept: for many checks of the same forward.

    Args:
        problem: what is judged.
        shapes, seconds: as for `check`.
    """

    def __init__(self, problem: Problem, *, shapes: str | None = None, seconds: float = 10.0) -> None:
        self.problem = problem
        self.seconds = seconds
        self.shapes = shapes
        self.untapeable: str | None = None
        self.disputed = False
        """Whether what the tape says of forward and what running it says differ, and nobody knows why."""

    def with_backward(self, backward: Callable[..., Any]) -> Checker:
        """The same for another backward function, sharing the traced programs."""
        other = Checker(Problem(self.problem.forward, backward), shapes=self.shapes)
        other.untapeable = self.untapeable
        return other

    def check(self, inputs: Mapping[str, Any], *, seed: int = 0, trials: int = 3, explain: bool = True) -> Report:
        """As `handgrad.proof.check`; without `explain` only verdicts, which is faster."""
        start = time.perf_counter()
        if not isinstance(inputs, Mapping) or not inputs:
            raise UsageError(f"inputs is {inputs!r}; expected a dictionary of arrays by argument of forward")
        if seed < 0 or not 0 <= trials <= len(MANNERS):
            raise UsageError(
                f"seed is {seed} and trials {trials}; expected seed >= 0 and trials from 0 to {len(MANNERS)}"
            )
        inputs = dict(inputs)
        self._check_names(inputs)
        if self.shapes is not None:
            axes(self.shapes, inputs)
        notes = [f"{change}; on a copy" for change in self.problem.changes(inputs)]
        given = self.problem.run(inputs)
        wrt = self._wrt(given)
        widest = self._widest(inputs, wrt)
        rng = np.random.default_rng(seed)
        structures = Structures.of(inputs, set(wrt))
        run = self._run(inputs, wrt, widest, structures)
        if self.problem.world.printed:
            notes.append("what it prints is held back")
        notes += [
            f"{name} and {last} are one array, which forward writes to: it is judged once, as {last}"
            for name, last in self.problem.twins.items()
        ]
        notes += self.problem.remarks
        oracle = self._oracle(run, wrt, widest, notes)
        size = sum(np.size(value) for _, value in leaves(inputs) if is_array(value))
        dtypes = [v.dtype for _, v in leaves(inputs) if isinstance(v, np.ndarray | np.generic) and v.dtype.kind == "f"]
        lowly = bool(dtypes) and all(dtype.itemsize <= 4 for dtype in dtypes)
        samples_of_noise = 3 if size <= LARGE else 1 if np.finfo(widest).eps < 1e-17 else 2
        judge = Judge(self.problem, oracle, wrt, rng, samples_of_noise, lowly)
        samples = [Sample("given", run, judge.judge(run, always_look_for_kinks=True))]
        beyond: Sample | None = None
        for manner in MANNERS[: min(trials, 1) if size > LARGE else trials]:
            draw = partial(self._other, inputs, wrt, widest, structures, judge, rng, manner)
            loose = structures.doubtful and manner == "fresh"
            sample = draw(loose=loose)
            if loose and sample is not None and any(line.wrong for line in sample.judged.values()):
                beyond, sample = sample, draw(loose=False)
            if sample is not None:
                if (most := clipped(sample.judged)) is not None:  # and whoever clips it there means to
                    for line in sample.judged.values():
                        line.off = line.off_total = np.zeros(line.hand.shape, bool)
                    notes.append(f"clipped to {most:g}: beyond it, at inputs of our own, it is not judged")
                samples.append(sample)
        if trials and len(samples) == 1:
            notes.append("no other inputs were tried: at none of those that were drawn does the cost have a derivative")
        elif trials and structures.said():
            notes.append(f"what is true of the given inputs is true of the others: {structures.said()}")
        context = Context(self.problem, self.shapes, inputs, seed, given, widest, wrt, oracle, judge, samples)
        cast_votes = votes(context) if explain else []
        if outvoted(cast_votes):
            others = " and ".join(vote.oracle for vote in cast_votes if vote.agrees is False)
            self.untapeable = f"what forward does was not all followed: {others} of forward itself disagree"
            unexplained = len(cast_votes) < 2 and not self.problem.world.around.foreign
            self.disputed = unexplained and bool(context.oracle.total(run).values[wrt[0]].any())
            return self.check(inputs, seed=seed, trials=trials, explain=explain)
        verdicts = {name: self._verdict(name, samples, given) for name in wrt}
        if beyond is not None:
            verdicts = {n: self._beyond(n, v, beyond, structures) for n, v in verdicts.items()}
        if self.disputed and not oracle.analytic:
            reason = "the tape and differences disagree about forward: no proof"
            verdicts = {n: (UNRESOLVED, reason, v[2]) if v[0] == RIGHT else v for n, v in verdicts.items()}
        wrong = [name for name in wrt if verdicts[name][0] == WRONG]
        same = {n[1:]: o[1:] for n, o in self.problem.same.items()}
        written = {n: same[n] for n in wrong if n in same and verdicts.get(same[n], ("",))[0] == RIGHT}
        if written:
            self.problem.overwritten |= {f"d{name}" for name in written}
            report = self.check(inputs, seed=seed, trials=trials, explain=explain)
            notes = [
                f"d{name} and d{other} are one array, which backward writes to: it is judged once, as d{other}"
                for name, other in written.items()
            ]
            return replace_field(report, notes=(*notes, *report.notes))
        if judge.lowest > 1e-12 and lowly:
            notes.append(
                "backward works in fewer digits than float64 by itself; judged by running error bounds in its own"
            )
        places: dict[str, Place] = {}
        until = time.perf_counter() + LOCATING * self.seconds
        if wrong and explain and self.seconds > 0:
            with deadline(LOCATING * self.seconds + 1):
                formulas = [name for name in wrong if not loses_digits(context, name)]
                places = locate(context, formulas, LOCATING * self.seconds) if formulas else {}
        for name in wrt:
            line = samples[0].judged[name]
            if line.but_for:
                share = _share(line, line.local)
                notes.append(
                    f"d{name} is right but for the {line.but_for} that forward adds, which its derivative leaves out: "
                    f"{share:.0e} of its largest entry"
                )
        context.until = max(until, time.perf_counter()) + self.seconds / 10
        findings = tuple(self._finding(context, name, *verdicts[name], explain=explain) for name in wrt)
        findings = tuple(
            replace_field(f, kind=place.kind, diagnosis=f"line {place.line}: {place.diagnosis}")
            if (place := places.get(f.name[1:])) is not None and place.diagnosis and f.kind in ("", "unknown")
            else f  # what the line says of its effect says less
            for f in findings
        )
        return Report(
            findings=findings,
            first_wrong=self._first(run, wrong, {f.name[1:]: f.size for f in findings}),
            oracle=oracle.name,
            votes=tuple(said(cast_votes)),
            problems=tuple(self._not_supplied(run, wrt)),
            understood=self.problem.said,
            lines=tuple(dict.fromkeys(places.values())),
            notes=tuple(notes),
            inputs_tried=len(samples),
            seconds=time.perf_counter() - start,
            shrink=lambda name: counterexample(context, name, findings),
        )

    def _check_names(self, inputs: Mapping[str, Any]) -> None:
        """Every input is an argument of somebody."""
        if not self.problem.parameters:
            return
        taken: set[str] = set()
        for parameters in self.problem.parameters:
            if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
                return
            taken.update(parameters)
        unknown = [name for name in inputs if name not in taken]
        if unknown:
            raise UsageError(f"inputs has {unknown[0]!r}, which neither forward nor backward takes")

    def _wrt(self, run: Run) -> list[str]:
        wrt = list(run.hands)
        values = run.values
        for name in wrt:
            if name not in values:
                raise UsageError(f"backward returns d{name}, but {name} has no such part")
            kind = np.asarray(values[name]).dtype.kind
            if kind not in "fiu" or (kind in "iu" and name in dict(leaves(run.named))):
                raise UsageError(
                    f"backward returns d{name}, but {name} is of type {np.asarray(values[name]).dtype}; "
                    "expected floating point: give inputs such as np.array(..., float)"
                )
        for name, value in leaves(run.adjoints):
            if np.asarray(value).dtype.kind not in "fiub":
                raise UsageError(f"backward returns {name} of type {np.asarray(value).dtype}; expected real numbers")
        missing = [name for name in run.adjoints if not any(w == name[1:] or w.startswith(name[1:] + "[") for w in wrt)]
        if missing:
            raise UsageError(f"backward returns {missing[0]}, which holds no numbers")
        return wrt

    def _not_supplied(self, run: Run, wrt: list[str]) -> list[str]:
        """What makes a report say nothing of what people want to know: there is no gradient of any input, or of one
        parameter among others.
        """
        inputs = dict(leaves(run.inputs))
        if any(name in inputs for name in wrt):
            return [f"no gradient of {name} is given back, but of those beside it" for name in self.problem.forgotten]
        floats = [n for n, v in inputs.items() if is_array(v) and np.asarray(v).dtype.kind == "f"]
        return [f"no gradient of an input is given back; there are: {', '.join(floats) or ', '.join(inputs)}"]

    def _widest(self, inputs: Mapping[str, Any], wrt: list[str]) -> Any:
        """The dtype of most digits in which both functions run."""
        for dtype in (WIDE, np.float64):
            try:
                self.problem.run(cast(inputs, dtype, set(wrt)))
            except UsageError:
                continue
            return dtype
        return np.float32

    def _oracle(self, run: Run, wrt: list[str], widest: Any, notes: list[str]) -> Oracle:
        """The tape where it knows all that forward does, and computes what forward computes; else differences."""
        if self.untapeable is None:
            oracle = FromTape(self.problem, wrt, widest)
            try:
                other = self._unfaithful(oracle, run)
                if other is None:
                    return oracle
                self.untapeable = f"forward computes another {other} on the tape"
            except UntapeableError as error:
                self.untapeable = f"forward was not followed ({error})"
        notes.append(f"{self.untapeable}; numerical oracles were used")
        return Numerical(self.problem, wrt, widest)

    @staticmethod
    def _unfaithful(oracle: Oracle, run: Run) -> str | None:
        """The first value that an oracle's translation of forward computes otherwise than forward itself."""
        values = run.values
        for name, computed in oracle.computed(run).items():
            value = np.asarray(values[name], WIDE)
            if value.shape != computed.shape:
                return name
            with np.errstate(all="ignore"):
                scale = np.max(np.abs(value), initial=0, where=np.isfinite(value))
                far = np.abs(value - computed) > 1e-6 * (scale + np.abs(value))
            if np.any(far & np.isfinite(value) & np.isfinite(computed)):
                return name
        return None

    def _other(
        self,
        inputs: Mapping[str, Any],
        wrt: list[str],
        widest: Any,
        structures: Structures,
        judge: Judge,
        rng: np.random.Generator,
        manner: Manner,
        *,
        loose: bool,
    ) -> Sample | None:
        """A set of inputs of our own on which the cost and its derivatives are defined; None where none is found."""
        for signed in (True, False):
            drawn = others(inputs, set(wrt), rng, manner, signed, structures=structures, loose=loose)
            try:
                run = self._run(drawn, wrt, widest, structures)
                if not all(np.all(np.isfinite(np.asarray(v))) for _, v in leaves(run.named) if is_array(v)):
                    continue
                judged = judge.judge(run)
            except (UsageError, UntapeableError):
                continue
            undefined = any(np.any(line.undefined) for line in judged.values() if not line.misshapen)
            if undefined and not judge.oracle.partial:
                continue
            if manner == "extreme" and not all(np.all(np.isfinite(hand)) for hand in run.hands.values()):
                continue  # so far out an adjoint may overflow where it is right
            return Sample(manner, run, judged)
        return None

    def _run(self, inputs: Mapping[str, Any], wrt: list[str], widest: Any, structures: Structures) -> Run:
        """One run in the widest dtype; what adds up to 1 in the digits that were given, does in these."""
        return self.problem.run(structures.rounded(cast(inputs, widest, set(wrt))))

    @staticmethod
    def _beyond(
        name: str, verdict: tuple[str, str, Sample], beyond: Sample, structures: Structures
    ) -> tuple[str, str, Sample]:
        """A line that is wrong only on inputs without a structure that may be meant, or chance."""
        if verdict[0] != RIGHT or not beyond.judged[name].wrong:
            return verdict
        reason = (
            "right at inputs like the given ones, and wrong where this is not so, which may be meant or chance: "
            f"{structures.broken(beyond.run.inputs)}"
        )
        return UNRESOLVED, reason, beyond

    def _verdict(self, name: str, samples: list[Sample], given: Run) -> tuple[str, str, Sample]:
        """Verdict, reason and the sample to show."""
        lines = [(sample, sample.judged[name]) for sample in samples]
        cost = samples[0].run.cost
        believed = lines if np.isfinite(cost) else lines[1:]  # where the cost is a number
        for sample, line in believed:
            if line.wrong:
                return WRONG, "", sample
        first, line = lines[0]
        anyone_wrong = any(other.wrong for sample, _ in believed for other in sample.judged.values())
        if np.any(line.undefined) and not np.all(np.isnan(line.local) & np.isfinite(line.hand) & (line.tolerance == 0)):
            return UNRESOLVED, self._why_undefined(first.run, line), first
        if np.any(line.kinks):
            where = tuple(int(i) for i in np.argwhere(line.kinks)[0])
            place = f" (d{name}{list(where)})" if where else ""
            beyond = "; at other inputs the line is right" if len(samples) > 1 else ""
            reason = f"the inputs given are at a kink of the cost, where it has no derivative{place}{beyond}"
            return UNRESOLVED, reason, first
        hands = given.hands
        if name in hands and not np.all(np.isfinite(hands[name])):
            dtype = np.asarray(dict(leaves(given.adjoints)).get(f"d{name}", np.zeros(()))).dtype
            reason = f"right in more digits, but in {dtype} an entry is not a finite number: it overflows"
            return UNRESOLVED, reason, first
        if anyone_wrong and any(np.any(line.off_total) for _, line in believed):
            return INHERITED, "", next(s for s, line in believed if np.any(line.off_total))
        if not np.isfinite(cost):
            return UNRESOLVED, f"the cost is {cost} at the inputs given, and has no derivative there", first
        tolerated = next((sample for sample, line in lines if line.tolerated), None)
        if tolerated is not None:
            reason = "off by far more than its digits show, and rounding could explain it: no proof"
            return UNRESOLVED, reason, tolerated
        if not any(line.misshapen for _, line in lines):
            seen = np.min([line.detectable for _, line in lines], axis=0)
            if np.any(seen[np.isfinite(seen)] > BLIND):
                reason = (
                    f"a fault of {np.max(seen[np.isfinite(seen)]):.0e} of itself in an entry would not have been seen"
                )
                return UNRESOLVED, reason, first
        if self._undecided(lines):
            return UNRESOLVED, "rounding leaves no digit of it: the code is too ill conditioned here to decide", first
        return RIGHT, "", first

    @staticmethod
    def _undecided(lines: list[tuple[Sample, Judged]]) -> bool:
        """Whether an entry is drowned in rounding on all inputs, though it may be large."""
        open_ = None
        for sample, line in lines:
            if line.misshapen:
                return False
            usual = max((float(np.max(np.abs(h), initial=0)) for h in sample.run.hands.values()), default=0.0)
            with np.errstate(all="ignore"):
                here = (
                    ~(line.tolerance <= 1e-3 * np.abs(line.local))
                    & ~(line.tolerance <= 1e-6 * usual)
                    & (line.tolerance > 0)
                )
            open_ = here if open_ is None else open_ & here
        return bool(np.any(open_))

    def _why_undefined(self, run: Run, line: Judged) -> str:
        bad = [key for key, value in leaves(run.named) if is_array(value) and not np.all(np.isfinite(value))]
        if bad:
            return f"{bad[0]} is not finite at the inputs given: outside the domain, as a logarithm or a division there"
        count = int(np.sum(line.undefined))
        return f"the derivative is not a finite number in {count} of {line.local.size} entries at the inputs given"

    def _first(self, run: Run, wrong: list[str], sizes: Mapping[str, float]) -> str | None:
        """The faulty line nearest the cost; of inputs, the one that is furthest off."""
        order = [name for name, _ in leaves(run.named)][::-1]
        nearest = sorted(wrong, key=lambda n: (order.index(n) if n in order else len(order), -sizes[n]))
        return f"d{nearest[0]}" if nearest else None

    def _finding(
        self, context: Context, name: str, verdict: str, reason: str, sample: Sample, *, explain: bool
    ) -> Finding:
        line = sample.judged[name]
        expected = line.total if verdict == INHERITED else line.local
        where = line.worst
        if verdict == INHERITED:
            furthest = int(np.argmax(np.abs(line.hand - line.total)))
            where = tuple(int(i) for i in np.unravel_index(furthest, line.total.shape))
        kind, diagnosis = "", reason
        if verdict == WRONG and explain:
            kind, diagnosis = diagnose(context, name, sample)
        shown = not line.misshapen and line.hand.size > 0
        best = np.zeros(0) if line.misshapen else np.min([s.judged[name].detectable for s in context.samples], axis=0)
        best = best[np.isfinite(best)]
        if verdict == WRONG and sample.label != "given":
            diagnosis += (
                " (seen at inputs of our own; the given ones hide it, or the code is right only for inputs like these: "
                "then check with trials=0)"
            )
        return Finding(
            name=f"d{name}",
            verdict=verdict,
            where=where,
            hand=float(line.hand[where]) if shown else None,
            expected=float(expected[where]) if shown else None,
            gaps=context.gaps(name, where, sample) if explain and shown and verdict != INHERITED else {},
            kind=kind,
            diagnosis=diagnosis,
            seen_at="given" if sample.label == "given" else "own",
            detectable=float(np.max(best)) if best.size else float("inf"),
            shape=tuple(line.hand.shape),
            size=_share(line, expected) if verdict in (WRONG, INHERITED) else 0.0,
        )


def _share(line: Judged, expected: Array) -> float:
    """How far a gradient is off, as a part of its largest entry."""
    if line.misshapen:
        return float("inf")
    with np.errstate(all="ignore"):
        gap, size = np.max(np.abs(line.hand - expected), initial=0), np.max(np.abs(expected), initial=0)
        return float(gap / size) if size > 0 and np.isfinite(gap) else float("inf")
