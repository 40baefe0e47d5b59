"""Is a rule written for PyTorch or JAX right, at every precision that it runs in?"""

from __future__ import annotations

import importlib
import re
import time
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace as replace_field
from typing import Any

import numpy as np

from handgrad.errors import UsageError
from handgrad.proof.custom.differences import Differences
from handgrad.proof.custom.kinds import is_rule
from handgrad.proof.custom.ladder import BITS, Judged, Ladder, Sample
from handgrad.proof.custom.protocol import Framework, InexactError, Pulled, Trouble
from handgrad.proof.custom.slips import Slips
from handgrad.proof.inputs import LARGE, MANNERS, Manner, others
from handgrad.proof.problem import leaves, replace
from handgrad.proof.report import IMPRECISE, RIGHT, UNRESOLVED, WRONG, Finding, Report
from handgrad.proof.wide import Array

Troubles = Callable[[Any, Mapping[str, Any], Sequence[Array]], list[Trouble]]
"""What is wrong with a rule besides its numbers, at some inputs and cotangents."""
LIKE = ("given", "near")
"""Inputs by whose median it is told how many bits are lost: the others are larger than those that people give."""
MORE = 5
"""Samples that are weighed besides, where bits seem to be lost."""
SLOW = 0.15
"""Programs that take so many seconds are tried in fewer variants, as large inputs are."""


def check_rule(
    framework: str,
    subject: Any,
    inputs: Mapping[str, Any] | Sequence[Any],
    *,
    reference: Any = None,
    wrt: Sequence[str] | None = None,
    order: int = 1,
    mode: str = "vjp",
    seed: int = 0,
    trials: int = 3,
    seconds: float = 10.0,
) -> Report:
    """Judge the derivative of a rule; arguments as for `handgrad.check`.

    Args:
        framework: "torch" or "jax", whose rule it is.
        subject: the rule.
        inputs: by argument, or in order.
        reference: the same function written plainly.
        wrt: the inputs whose gradients are judged.
        order: 2 judges the gradient of the gradient.
        mode: "vjp", what flows back; "jvp", what flows forward.
        seed, trials, seconds: as for `handgrad.check`.
    """
    if order not in (1, 2) or mode not in ("vjp", "jvp"):
        raise UsageError(f"order is {order!r} and mode {mode!r}; expected order 1 or 2, mode 'vjp' or 'jvp'")
    if seed < 0 or not 0 <= trials <= len(MANNERS):
        raise UsageError(f"seed is {seed} and trials {trials}; expected seed >= 0 and trials from 0 to {len(MANNERS)}")
    module = importlib.import_module(f"handgrad.proof.custom.{framework}")
    rule: Framework = module.make(subject, inputs, reference, order=order, mode=mode)
    if wrt is not None:
        unknown = [name for name in wrt if name not in rule.wrt]
        if unknown or not wrt:
            raise UsageError(f"wrt has {unknown or wrt!r}; inputs that can be differentiated: {', '.join(rule.wrt)}")
        rule.wrt = list(wrt)
    troubles = importlib.import_module(f"handgrad.proof.custom.{framework}troubles").troubles
    return Checker(rule, troubles, seed, trials, seconds).check()


def without_rule(framework: str, subject: Any, inputs: Any) -> tuple[Callable[..., Any], dict[str, Any]] | None:
    """A function of tensors that calls no rule, as one of NumPy's arrays, with its inputs; else None."""
    if not isinstance(subject, types.FunctionType | types.MethodType) or is_rule(subject):
        return None
    module = importlib.import_module(f"handgrad.proof.custom.{framework}")
    rule: Framework = module.make(subject, inputs, None, order=1, mode="vjp")
    return None if rule.calls_rule() else (module.in_numpy(subject), rule.structure)


def in_numpy(framework: str, functions: Sequence[Any], inputs: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Functions of tensors as those of NumPy's arrays, with their inputs."""
    module = importlib.import_module(f"handgrad.proof.custom.{framework}")
    return [module.in_numpy(function) for function in functions], replace(inputs, lambda _, value: module.given(value))


class Checker:
    """One check of a rule."""

    def __init__(self, rule: Framework, troubles: Troubles, seed: int, trials: int, seconds: float) -> None:
        self.rule, self.troubles, self.seed, self.seconds = rule, troubles, seed, seconds
        self.size = sum(np.size(v) for _, v in leaves(rule.structure) if isinstance(v, np.ndarray))
        self.trials = min(trials, 1) if self.size > LARGE else trials
        self.rng = np.random.default_rng(seed)
        self.ladder = Ladder(rule, large=self.size > LARGE)
        self.notes: list[str] = []
        self.disputed = ""
        self.votes: list[str] = []
        self.oracle = rule.oracle
        self.slips: dict[tuple[str, ...], Slips] = {}
        """By the sets of inputs on which something is wrong."""

    def check(self) -> Report:
        """The report."""
        start = time.perf_counter()
        rule, ladder = self.rule, self.ladder
        runs = ladder.precisions(rule.structure, self._cotangents)
        if not runs and rule.repair():
            ladder.failures.clear()
            runs = ladder.precisions(rule.structure, self._cotangents)
        if not runs:
            return self._broken(start)
        if not ladder.large:
            cotangents = self._cotangents(ladder.expect(rule.structure, None))
            ladder.expect(rule.structure, cotangents)
            began = time.perf_counter()
            ladder.expect(rule.structure, cotangents)
            if time.perf_counter() - began > SLOW:
                ladder.large, self.trials = True, min(self.trials, 2)
        samples = self._samples()
        for k, sample in enumerate(samples):
            self.ladder.judge(sample, self.seed + 10 * k)
        self._vote(samples[0])
        self._kinks(samples)
        weighed = [] if self.alone else samples[:1] if self.size > LARGE else list(samples)
        for k, sample in enumerate(weighed):
            ladder.weigh(sample, self.seed + 10 * k)
        if weighed and self.size <= LARGE and any(self._lost(weighed, name) for name in rule.wrt):
            weighed += self._more()
        found = self._troubles(samples[0])
        if not ladder.exact:
            self.notes.append(
                f"it does not run in exact arithmetic ({ladder.inexact}); judged in {runs[0]}, the finest that it takes"
            )
        self.notes += [f"it does not run in {p}: {said}" for p, said in ladder.failures.items()]
        findings = self._findings(samples, weighed, [t for t in found if t.names and not t.harmless], start)
        self.notes += [t.said for t in found if t.harmless]
        problems = list(dict.fromkeys(t.said for t in found if not t.names and not t.harmless))
        outputs = [f"forward is not the reference's function: {said}" for s in samples for said in s.outputs_off][:1]
        bad = [f.name for f in findings if f.verdict in (WRONG, IMPRECISE)]
        return Report(
            findings=tuple(findings),
            first_wrong=next((f.name for f in findings if f.verdict == WRONG), bad[0] if bad else None),
            oracle=self.oracle,
            votes=tuple(self.votes),
            problems=tuple(outputs + problems),
            notes=tuple(dict.fromkeys(self.notes)),
            inputs_tried=len(samples),
            seconds=time.perf_counter() - start,
            understood=self._understood(),
            precisions=tuple(runs),
        )

    def _understood(self) -> str:
        names = ", ".join(self.rule.wrt)
        return f"{self.rule.who}: {self.rule.asked} {names}"

    def _broken(self, start: float) -> Report:
        """A rule that runs at no precision, though its plain program does: what it raised.

        Raises:
            UsageError: forward does not run either, so it is the inputs that don't fit.
        """
        said = next(iter(self.ladder.failures.values()))
        try:
            expected = self.ladder.expect(self.rule.structure, None)
            self.ladder.expect(self.rule.structure, self._cotangents(expected))
        except InexactError as error:
            raise UsageError(said) from error
        if said.startswith("forward"):
            raise UsageError(said)
        place = re.search(r"output\[(\d+)\]|at index (\d+)", said)
        names = list(self.rule.parameters)
        blamed = names[int(place[1] or place[2])] if place and int(place[1] or place[2]) < len(names) else ""
        findings = []
        for i, name in enumerate(self.rule.wrt):
            verdict = UNRESOLVED if blamed and name != blamed else WRONG
            told = said if name == blamed or (not blamed and not i) else ""
            findings.append(Finding(f"d{name}", verdict, (), None, None, {}, "raises", told, size=float("inf")))
        return Report(
            findings=tuple(findings),
            first_wrong=f"d{blamed}" if blamed in self.rule.wrt else findings[0].name,
            oracle=self.oracle,
            votes=(),
            problems=(),
            notes=(),
            inputs_tried=1,
            seconds=time.perf_counter() - start,
            understood=self._understood(),
            precisions=("no precision at all",),
        )

    def _cotangents(self, pulled: Pulled) -> list[Array]:
        return [self.rng.standard_normal(output.shape) for output in pulled.outputs]

    def _samples(self) -> list[Sample]:
        found = []
        for label in ("given", *MANNERS[: self.trials]):
            inputs = self.rule.structure
            if label != "given":
                inputs = self._drawn(label)  # type: ignore[arg-type]
            try:
                sample = self._sample(label, inputs)
                gradients = sample.expected.gradients.values()
                if any(g is not None and not np.any(np.isfinite(g)) and g.size for g in gradients):
                    continue
                if label != "given":
                    self.ladder.by_hand(inputs, sample.cotangents, self.ladder.runs[0])
            except (UsageError, InexactError) as error:
                if label == "given":
                    raise UsageError(str(error)) from error
                continue
            found.append(sample)
        if not found:
            raise UsageError(f"the gradient of {self.rule.who} is not a finite number at these inputs")
        return found

    def _sample(self, label: str, inputs: dict[str, Any]) -> Sample:
        cotangents = self._cotangents(self.ladder.expect(inputs, None))
        return Sample(label, inputs, cotangents, self.ladder.expect(inputs, cotangents))

    def _drawn(self, manner: Manner) -> dict[str, Any]:
        """Other inputs; what is positive stays so, since few rules say for what inputs they are made."""
        given = dict(leaves(self.rule.structure))
        inputs = others(self.rule.structure, set(self.rule.wrt), self.rng, manner, signed=False)
        return replace(inputs, lambda n, v: v if self._varies(n, v) else given[n])

    def _varies(self, name: str, value: Any) -> bool:
        """Whether an input is drawn anew: settings are not, nor what JAX would compile everything anew for."""
        return name in self.rule.wrt or (isinstance(value, np.ndarray) and not self.rule.compiles)

    def _vote(self, sample: Sample) -> None:
        """The oracles on each other; if differences disagree with the first one, they are believed."""
        if self.rule.asked.startswith("the tangents"):
            return
        differences = Differences(self.rule, self.ladder.runs[0], self.ladder.exact)
        agrees = differences.agrees(sample.inputs, sample.cotangents, sample.expected.gradients)
        if agrees is None and self.rule.undifferentiated:
            raise UsageError(f"{self.rule.undifferentiated}; give reference=, the same function written plainly")
        if agrees:
            self.votes.append(f"confirmed by {differences.name}")
        elif agrees is False:
            self.votes.append(f"{differences.name} of the rule's forward disagree")
            self.disputed = "the oracles disagree about the derivative of forward: no proof"
            self._by_differences(sample, differences)

    def _by_differences(self, sample: Sample, differences: Differences) -> None:
        """Each entry by differences, where the plain program's derivative is not that of forward."""
        if sample.outputs_off:
            return
        hands = {n: j.hand for n, j in sample.judged.items()}
        right, errors = differences.gradients(sample.inputs, sample.cotangents, hands)
        for name, judged in sample.judged.items():
            expected = right.get(name)
            if expected is None or judged.wrong_shape is not None:
                continue
            tolerance = judged.tolerance + 64 * errors[name] + 1e-9 * np.abs(expected)
            hand = np.zeros(expected.shape) if judged.hand is None else judged.hand
            off = ~(np.abs(hand - expected) <= tolerance) & np.isfinite(expected)
            sample.judged[name] = Judged(judged.hand, expected, tolerance, off, judged.precision)
        self.oracle = (
            f"{differences.name} of the rule's own forward, which the plain program's derivative is not that of"
        )
        self.disputed = ""
        self.alone = True

    alone = False
    """Whether only the first set of inputs was judged."""

    def _kinks(self, samples: Sequence[Sample]) -> None:
        """Entries where the expected gradient jumps are not judged: there the function has no derivative."""
        for sample in samples:
            off = [n for n, j in sample.judged.items() if j.wrong_shape is None and np.any(j.off)]
            if not off or self.alone:
                continue
            jumps: dict[float, dict[str, Array]] = {}
            for distance in (2.0**-30,) if self.size > LARGE else (2.0**-20, 2.0**-30):
                sides = []
                for sign in (1, -1):
                    rng = np.random.default_rng(self.seed)

                    def move(
                        name: str, value: Any, sign: int = sign, rng: Any = rng, distance: float = distance
                    ) -> Any:
                        if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or name not in self.rule.wrt:
                            return value
                        usual = float(np.sqrt(np.mean(np.square(value)))) if value.size else 1.0
                        size = np.where(value == 0, usual or 1.0, np.abs(value))
                        return value + sign * distance * size * rng.choice([-1, 1], value.shape)

                    try:
                        sides.append(self.ladder.expect(replace(sample.inputs, move), sample.cotangents).gradients)
                    except UsageError:
                        return
                with np.errstate(all="ignore"):
                    jumps[distance] = {
                        n: np.fmax(np.abs(a - b), np.abs(a - sample.judged[n].expected))
                        for n in off
                        if (a := sides[0][n]) is not None and (b := sides[1][n]) is not None
                    }
            for name, jump in jumps[2.0**-30].items():
                judged = sample.judged[name]
                least = 2.0**-12 * np.fmax(np.abs(judged.expected), jump)
                farther = jumps.get(2.0**-20, {}).get(name, jump)
                judged.off = judged.off & ~((jump > farther / 8) & (jump > least))

    def _troubles(self, sample: Sample) -> list[Trouble]:
        if any(j.wrong for j in sample.judged.values()) and self.size > LARGE:
            return []
        return self.troubles(self.rule, sample.inputs, sample.cotangents)

    def _more(self) -> list[Sample]:
        """Samples that are only weighed: of few numbers some happen to lose bits."""
        found = []
        for k in range(MORE):
            inputs = self._drawn("near")
            try:
                sample = self._sample("near", inputs)
                self.ladder.weigh(sample, self.seed + 1000 + 10 * k)
            except (UsageError, InexactError):
                continue
            found.append(sample)
        return found

    def _findings(
        self, samples: list[Sample], weighed: Sequence[Sample], troubles: Sequence[Trouble], start: float
    ) -> list[Finding]:
        found = []
        for name in self.rule.wrt:
            until = max(start + self.seconds, time.perf_counter() + self.seconds / 5)
            wrong = [s for s in (samples[:1] if self.alone else samples) if s.judged[name].wrong]
            trouble = next((t for t in troubles if name in t.names), None)
            lost = self._lost(weighed, name)
            if wrong and not _forgiven(wrong, name):
                found.append(self._wrong(wrong, samples, name, until))
            elif trouble is not None:
                found.append(self._row(samples, name, WRONG, trouble.kind, trouble.said))
            elif self.disputed:
                found.append(self._row(samples, name, UNRESOLVED, "", self.disputed))
            elif lost is not None:
                precision, bits = lost
                often = "all its bits" if not np.isfinite(bits) else f"{bits:.1f} bits more than the plain program does"
                said = f"right in exact arithmetic, but in {precision} it loses {often}"
                found.append(self._row(samples, name, IMPRECISE, "precision", said))
            else:
                found.append(self._row(samples, name, RIGHT, "", ""))
        masks = [f.diagnosis for f in found if f.kind == "mask"]
        return [
            replace_field(f, kind="mask", diagnosis=f"as the others: {masks[0]}")
            if masks and f.kind == "unknown"
            else f
            for f in found
        ]

    def _lost(self, samples: Sequence[Sample], name: str) -> tuple[str, float] | None:
        """The precision at which most is lost, and the bits: the median over inputs like the given, or all on any."""
        best: tuple[str, float] | None = None
        for precision in self.ladder.runs:
            lost = [(s.label, s.lost[name, precision]) for s in samples if (name, precision) in s.lost]
            if not lost:
                continue
            everything = any(bits == np.inf for _, bits in lost)
            bits = np.inf if everything else float(np.median([b for label, b in lost if label in LIKE] or [0.0]))
            if bits > BITS.get(precision, np.inf) and (best is None or bits > best[1]):
                best = precision, bits
        return best

    def _wrong(self, wrong: list[Sample], samples: list[Sample], name: str, until: float) -> Finding:
        judged = wrong[0].judged[name]
        labels = tuple(sample.label for sample in wrong)
        slips = self.slips.setdefault(labels, Slips(self.rule, wrong, self.ladder.exact and not self.alone))
        kind, said = slips.name(name, until) if self.seconds > 0 else ("", "")
        if judged.precision not in ("", self.ladder.runs[0]):
            said = f"only where inputs are {judged.precision}: {said}"
        if wrong[0].label != "given":
            said += (
                " (seen at inputs of our own; the given ones hide it, or the rule is right only for inputs like these: "
                "then check with trials=0)"
            )
        return self._row([wrong[0], *samples], name, WRONG, kind, said)

    def _row(self, samples: Sequence[Sample], name: str, verdict: str, kind: str, said: str) -> Finding:
        sample = samples[0]
        judged = sample.judged[name]
        where = judged.worst
        shown = judged.hand is not None and judged.wrong_shape is None and judged.expected.size > 0
        gaps = {}
        for precision in self.ladder.runs:
            gap = sample.gaps.get((name, precision))
            if precision == "float64" and shown and self.ladder.exact:
                gap = np.abs(np.asarray(judged.hand) - judged.expected)
            if gap is not None and gap.shape == judged.expected.shape and shown:
                with np.errstate(all="ignore"):
                    share = float(gap[where] / abs(judged.expected[where])) if gap[where] else 0.0
                gaps[precision] = share
        size = 0.0
        if verdict == WRONG and shown:
            with np.errstate(all="ignore"):
                top = float(np.max(np.abs(judged.expected), initial=0))
                gap_of_all = float(np.max(np.abs(np.asarray(judged.hand) - judged.expected), initial=0))
            size = gap_of_all / top if top > 0 else float("inf")
        return Finding(
            name=f"d{name}",
            verdict=verdict,
            where=where,
            hand=float(np.asarray(judged.hand)[where]) if shown else None,
            expected=float(judged.expected[where]) if shown else None,
            gaps=gaps,
            kind=kind,
            diagnosis=said,
            seen_at="given" if sample.label == "given" else "own",
            detectable=min(s.judged[name].detectable for s in samples),
            shape=np.shape(judged.hand) if judged.hand is not None else (),
            size=size,
        )


TARGETS = ("target", "targets", "label", "labels", "y_true", "truth", "mask")


def _forgiven(wrong: Sequence[Sample], name: str) -> bool:
    """None for a target is what people mean to give."""
    return name.strip("_").lower() in TARGETS and all(s.judged[name].hand is None for s in wrong)
