"""The fault in a rule gets a name: which of the usual slips gives exactly the numbers that backward gives.

Most are asked of the plain program. A gradient is a sum over the ways on which its input reaches the output; each
operand of each operation is an edge on these ways. With an edge cut (its value stays, nothing flows back through it)
the gradient lacks what came through it, its contribution; a hand that is off by c - 1 times the contribution, at every
entry and on all inputs, has the factor c there: 0 is a forgotten term, -1 a sign, 1 / m a mean.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from handgrad.errors import UsageError
from handgrad.proof.custom.ladder import Sample
from handgrad.proof.custom.protocol import Edge, Flow, Framework, How, InexactError
from handgrad.proof.problem import leaves
from handgrad.proof.rules import summed
from handgrad.proof.wide import Array

CLOSE = 1e-8
"""Of the largest entry: so close is the same, where the fault itself is larger by far."""
COARSE = 2.0**-16
"""The same of a rule that can only be run in its own precision."""
EDGES = 120
"""So many uses of values are looked at."""
MASKS = {
    "clamp", "clamp_min", "clamp_max", "clip", "relu", "where", "masked_fill", "maximum", "minimum", "max", "min",
    "tril", "triu", "hardtanh", "threshold", "select_n",
}  # fmt: skip
"""Operations that let some entries through and others not."""
FREE = {"_finite", "_simple", "_clipped", "_others", "_entries", "_multiple"}
"""What is looked at without running anything, whatever the time."""
PAIRS = 4_000
"""So many products of an adjoint and a value are tried."""
SIZE = 200_000
"""Of inputs of more numbers only what takes no further run of the program is looked at."""

Found = tuple[str, str]


class Slips:
    """Diagnoses wrong gradients.

    Args:
        rule: and its plain program.
        samples: the sets of inputs, those first on which the fault was seen.
        exact: whether the rule was run in exact arithmetic.
    """

    def __init__(self, rule: Framework, samples: Sequence[Sample], exact: bool) -> None:
        self.close = CLOSE if exact else COARSE
        self.like = 100 * self.close  # so close are the factors on several inputs
        self.rule = rule
        self.samples = samples[:3]
        self.until = 0.0
        self._edges: list[tuple[Edge, bool, list[dict[str, Array]]]] | None = None

    def name(self, name: str, until: float) -> Found:
        """The kind of the fault, and a sentence.

        Args:
            name: of the input.
            until: when to end, in seconds of `time.perf_counter`.
        """
        self.until = until
        judged = self.samples[0].judged[name]
        if judged.wrong_shape is not None:
            return self._shape(name)
        if judged.hand is None and self.rule.asked.startswith("the second"):
            return (
                "once_differentiable",
                "backward itself has no derivative: it is once_differentiable, or works on detached values",
            )
        if judged.hand is None:
            return "none", f"backward gives None; if {name} is not to be differentiated, name the others with wrt="
        for look in (
            self._finite, self._simple, self._clipped, self._others, self._entries, self._cotangent, self._multiple,
            self._edge, self._value, self._two_edges, self._part, self._flow,
        ):  # fmt: skip
            if look.__name__ not in FREE and time.perf_counter() > self.until:
                break
            found = look(name)
            if found is not None:
                return found
        return "unknown", "the fault is none of the usual slips"

    def hands(self, name: str) -> list[Array]:
        """As given back, on each set of inputs."""
        return [np.asarray(s.judged[name].hand, float) for s in self.samples if s.judged[name].hand is not None]

    def rights(self, name: str) -> list[Array]:
        """As they should be."""
        return [s.judged[name].expected for s in self.samples if s.judged[name].hand is not None]

    def same(self, hands: Sequence[Array], candidates: Sequence[Array | None]) -> bool:
        """Whether the hand's numbers are those of a candidate, on all inputs."""
        if len(hands) != len(candidates):
            return False
        for hand, candidate in zip(hands, candidates, strict=True):
            if candidate is None or hand.shape != candidate.shape:
                return False
            with np.errstate(all="ignore"):
                if not np.all(np.abs(hand - candidate) <= self.close * np.max(np.abs(hand), initial=0) + 1e-300):
                    return False
        return True

    def _shape(self, name: str) -> Found:
        judged = self.samples[0].judged[name]
        hand, right = np.asarray(judged.hand), judged.expected
        found = f"the shape is {hand.shape}; {name} has shape {right.shape}"
        for other in self.rule.wrt:
            if other != name and self.same([hand], [self.samples[0].judged[other].expected]):
                return "swapped", f"{found}: it is the gradient by {other}"
        if hand.ndim == right.ndim == 2 and hand.T.shape == right.shape:
            return "transpose", f"{found}: it is to be transposed"
        if hand.size > right.size:
            return "unsummed_axis", f"{found}: a sum over the axis along which {name} was broadcast is missing"
        return "shape", found

    def _finite(self, name: str) -> Found | None:
        if all(np.all(np.isfinite(h)) for h in self.hands(name)):
            return None
        return "not_finite", "it is not a finite number where it should be"

    def _clipped(self, name: str) -> Found | None:
        hands, rights = self.hands(name), self.rights(name)
        low, high = min(h.min(initial=0) for h in hands), max(h.max(initial=0) for h in hands)
        at_ends = sum(np.count_nonzero((h == low) | (h == high)) for h in hands)
        if at_ends < 3 or not self.same(hands, [np.clip(r, low, high) for r in rights]):
            return None
        return "clipped", f"it is clipped to between {low:.4g} and {high:.4g}"

    def _simple(self, name: str) -> Found | None:
        hands, rights = self.hands(name), self.rights(name)
        if self.same(hands, [-r for r in rights]):
            return "sign", "the sign is wrong"
        if all(not h.any() for h in hands):
            return "zero", "it is 0 everywhere"
        cotangents = [s.cotangents for s in self.samples]
        if all(not r.any() for r in rights):
            if self._passed_on(hands, cotangents):
                return (
                    "straight_through",
                    "not a derivative, a straight-through estimator: forward is constant almost everywhere, so its "
                    "derivative is 0, and backward gives grad_output on",
                )
            return "not_zero", "the derivative of forward is 0 everywhere"
        factors = [_factor(h, r, self.close) for h, r in zip(hands, rights, strict=True)]
        if all(f is not None for f in factors):
            numbers = [float(f) for f in factors if f is not None]
            if max(numbers) - min(numbers) <= self.like * abs(numbers[0]):
                return "factor", f"it is {self._number(numbers[0])} times what it should be"
        if self.same(hands, [np.abs(r) for r in rights]):
            return "sign", "it is the absolute value of what it should be"
        for h, r in zip(hands[:1], rights[:1], strict=True):
            if (
                h.ndim == 2
                and h.shape == h.T.shape
                and self.same(hands, [x.T for x in rights])
                and not np.array_equal(r, r.T)
            ):
                return "transpose", "it is the transpose of what it should be"
        return None

    def _multiple(self, name: str) -> Found | None:
        factors = [_factor(h, r, self.close) for h, r in zip(self.hands(name), self.rights(name), strict=True)]
        if any(f is None for f in factors) or len(factors) < 2 or self.hands(name)[0].size < 2:
            return None
        said = ", ".join(f"{f:.3g}" for f in factors if f is not None)
        return "factor", f"it is a multiple of what it should be, another one on other inputs: {said}"

    def _passed_on(self, hands: Sequence[Array], cotangents: Sequence[list[Array]]) -> bool:
        for hand, given in zip(hands, cotangents, strict=True):
            if not any(c.shape == hand.shape and np.all((np.abs(hand - c) < 1e-9) | (hand == 0)) for c in given):
                return False
        return True

    def _number(self, number: float) -> str:
        """A factor as people say it: 2, 1/8 (8 is the size of an axis), 1/sqrt(64)."""
        shapes = [np.shape(v) for _, v in leaves(self.samples[0].inputs)] + [
            c.shape for c in self.samples[0].cotangents
        ]
        for n in sorted({n for shape in shapes for n in (*shape, int(np.prod(shape)))} - {0, 1}):
            for said, value in (
                (f"{n}, the number along an axis", n), (f"1/{n}, a mean instead of a sum", 1 / n),
                (f"sqrt({n})", n**0.5), (f"1/sqrt({n}), a scale applied once too often", n**-0.5),
                (f"{n - 1}/{n}", (n - 1) / n), (f"{n}/{n - 1}", n / (n - 1)),
            ):  # fmt: skip
                if n > 2 and abs(number - value) < 1e-7 * value:
                    return said
        return f"{number:.6g}"

    def _others(self, name: str) -> Found | None:
        hands = self.hands(name)
        for other in self.rule.wrt:
            if (
                other != name
                and self.same(hands, self.rights(other))
                and not self.same(self.rights(name), self.rights(other))
            ):
                back = self.samples[0].judged[other].hand
                swapped = back is not None and self.same(self.hands(other), self.rights(name))
                return ("swapped", f"the gradients of {name} and {other} are exchanged") if swapped else (
                    "swapped", f"it is the gradient by {other}")  # fmt: skip
        return None

    def _cotangent(self, name: str) -> Found | None:
        """What it would be for other cotangents."""
        hands = self.hands(name)
        for said, change in (
            ("forgot grad_output: it is the gradient for grad_output = 1", np.ones_like),
            ("grad_output is applied as its sum", lambda c: np.full_like(c, c.sum())),
            ("grad_output is applied as its mean", lambda c: np.full_like(c, c.mean())),
            ("grad_output is applied squared", np.square),
            ("only the sign of grad_output is applied", np.sign),
            ("grad_output is applied without its sign", np.abs),
            ("grad_output is applied in the reverse order", np.flip),
        ):
            try:
                candidates = [self.rule_expected(s, [change(c) for c in s.cotangents]).get(name) for s in self.samples]
            except (UsageError, InexactError):
                return None
            if self.same(hands, candidates):
                return "grad_output", said
        for i in range(len(self.samples[0].cotangents)):
            if len(self.samples[0].cotangents) > 1:
                fed = [[np.zeros_like(c) if j == i else c for j, c in enumerate(s.cotangents)] for s in self.samples]
                if self.same(
                    hands, [self.rule_expected(s, f).get(name) for s, f in zip(self.samples, fed, strict=True)]
                ):
                    return "grad_output", f"what comes back through output {i} is missing"
        return None

    def rule_expected(self, sample: Sample, cotangents: list[Array]) -> dict[str, Array | None]:
        """The plain program's gradients for other cotangents."""
        try:
            return self.rule.pull(sample.inputs, cotangents, How("float64", plain=True, exact=True)).gradients
        except InexactError:
            return self.rule.pull(sample.inputs, cotangents, How("float64", plain=True)).gradients

    def _entries(self, name: str) -> Found | None:
        """A few entries only."""
        offs = [s.judged[name].off for s in self.samples if np.any(s.judged[name].off)]
        if not offs or offs[0].size <= 2 or any(o.shape != offs[0].shape for o in offs):
            return None
        both = np.logical_and.reduce(offs)
        if all(int(o.sum()) == 1 for o in offs) and both.sum() == 1:
            return (
                "single_entry",
                f"the single entry {[int(i) for i in np.argwhere(both)[0]]} is wrong, and all others are right",
            )
        if both.any() and not both.all() and all(np.array_equal(o, offs[0]) for o in offs):
            hands, rights = self.hands(name), self.rights(name)
            for axis in range(both.ndim):
                flat = np.moveaxis(both, axis, 0).reshape(both.shape[axis], -1)
                rows = np.flatnonzero(flat.any(1))
                if flat[rows].all() and len(rows) <= max(1, both.shape[axis] // 4):
                    where = ", ".join(map(str, rows[:5]))
                    what = "0" if not any(h[both].any() for h in hands) else "wrong"
                    return (
                        "boundary",
                        f"it is {what} at {where} along axis {axis}, and right elsewhere: the end of a range",
                    )
        hands, rights = self.hands(name), self.rights(name)
        whole = [s.judged[name].off.astype(bool) for s in self.samples]
        if len(whole) == len(hands) and all(o.any() and not o.all() for o in whole):
            if not any(r[o].any() for r, o in zip(rights, whole, strict=True)):
                return "mask", "it is not 0 where it should be, and right elsewhere: a mask is not applied in backward"
            if not any(h[o].any() for h, o in zip(hands, whole, strict=True)):
                return "mask", "it is 0 where it should not be, and right elsewhere: a mask too many in backward"
        if all(not np.any((h != 0) & (r != 0)) and (r == 0).any() for h, r in zip(hands, rights, strict=True)):
            return "mask", "it is 0 where it should not be, and not where it should be: a mask the wrong way round"
        return None

    def edges(self) -> Iterator[tuple[Edge, bool, list[dict[str, Array]]]]:
        """The uses of values in the plain program, and the gradients without what flows through each."""
        if self._edges is None:
            self._edges = []
            first = self.samples[0]
            if sum(np.size(v) for _, v in leaves(first.inputs)) > SIZE:
                return
            try:
                edges = self.rule.edges(first.inputs)[:EDGES]
            except (UsageError, InexactError):
                return
            for edge in edges:
                for straight in (False, True) if edge.elementwise else (False,):
                    if time.perf_counter() > self.until:
                        return
                    try:
                        found = [_filled(self.rule.varied(first.inputs, first.cotangents, edge, straight))]
                    except Exception:  # an operation that can't go without its operand
                        continue
                    self._edges.append((edge, straight, found))
        yield from self._edges

    def _gradients(self, item: tuple[Edge, bool, list[dict[str, Array]]], i: int) -> dict[str, Array] | None:
        edge, straight, found = item
        while len(found) <= i:
            sample = self.samples[len(found)]
            try:
                found.append(_filled(self.rule.varied(sample.inputs, sample.cotangents, edge, straight)))
            except Exception:
                return None
        return found[i]

    def _edge(self, name: str) -> Found | None:
        rights = self.rights(name)
        hands = self.hands(name)
        best: tuple[float, Found] | None = None
        for item in self.edges():
            edge, straight, _ = item
            if straight and (told := self._straight(item, name)):
                best = min(best, (1.5, told)) if best is not None else (1.5, told)
                continue
            factors = []
            for i, (hand, right) in enumerate(zip(hands, rights, strict=True)):
                varied = self._gradients(item, i)
                if varied is None or name not in varied or varied[name].shape != right.shape:
                    break
                contribution = right - varied[name]
                if np.max(np.abs(contribution), initial=0) <= self.close * np.max(np.abs(right), initial=0):
                    break
                factor = _factor(hand - right, contribution, self.close, scale=np.max(np.abs(hand), initial=0))
                if factor is None:
                    break
                factors.append(factor + 1)
            if (
                len(factors) < len(hands)
                or not factors
                or max(factors) - min(factors) > self.like * (1 + abs(factors[0]))
            ):
                continue
            found = self._told(edge, straight, factors[0])
            if found is not None and (best is None or found[0] < best[0]):
                best = found
        return best[1] if best is not None else None

    def _straight(self, item: tuple[Edge, bool, list[dict[str, Array]]], name: str) -> Found | None:
        """Whether the hand is a multiple of the gradient with an operation's derivative left out."""
        factors = []
        for i, (hand, right) in enumerate(zip(self.hands(name), self.rights(name), strict=True)):
            varied = self._gradients(item, i)
            if varied is None or name not in varied or varied[name].shape != right.shape:
                return None
            factor = _factor(hand, varied[name], self.close)
            if factor is None or not np.any(
                np.abs(varied[name] - right) > self.close * np.max(np.abs(right), initial=0)
            ):
                return None
            factors.append(factor)
        if max(factors) - min(factors) > self.like * abs(factors[0]):
            return None
        times = "" if abs(factors[0] - 1) < self.like else f", with the factor {self._number(factors[0])}"
        if item[0].operation in MASKS:
            return "mask", f"the mask of {item[0].said} is not applied in backward{times}"
        return "missing_derivative", f"the derivative of {item[0].said} is missing{times}"

    def _told(self, edge: Edge, straight: bool, factor: float) -> tuple[float, Found] | None:
        if straight and abs(factor) < self.like:
            if edge.operation in MASKS:
                return 0.5, ("mask", f"the mask of {edge.said} is not applied in backward")
            return 1.0, ("missing_derivative", f"the derivative of {edge.said} is missing")
        if straight:
            return None
        if abs(factor) < self.like:
            return 0.0, ("missing_term", f"what flows back through {edge.said} is missing")
        if abs(factor + 1) < self.like:
            return 0.5, ("sign", f"the sign of what flows back through {edge.said} is wrong")
        said = self._number(factor)
        plain = (
            abs(factor - round(factor)) < self.like
            or abs(1 / factor - round(1 / factor)) < self.like
            or "sqrt" in said
            or "/" in said
        )
        return 2.0 if plain else 4.0, ("factor", f"what flows back through {edge.said} has the factor {said}")

    def _two_edges(self, name: str) -> Found | None:
        """Two of the ways at once, as where a statistic is taken for a constant."""
        hands, rights = self.hands(name), self.rights(name)
        items = [i for i in self.edges() if not i[1] and name in i[2][0] and i[2][0][name].shape == rights[0].shape]
        contributions = [(item, rights[0] - item[2][0][name]) for item in items]
        size = np.max(np.abs(rights[0]), initial=0)
        some = [(item, c) for item, c in contributions if np.max(np.abs(c), initial=0) > self.close * size][:40]
        gap = hands[0] - rights[0]
        for i, (first, a) in enumerate(some):
            for second, b in some[i + 1 :]:
                basis = np.stack([a.ravel(), b.ravel()], 1)
                factors, *_ = np.linalg.lstsq(basis, gap.ravel(), rcond=None)
                plain = all(any(abs(f - k) < self.like for k in (-2, -1, -0.5, 1)) for f in factors)
                if not plain or np.max(np.abs(basis @ factors - gap.ravel())) > self.close * max(
                    size, np.max(np.abs(hands[0]))
                ):
                    continue
                if all(self._holds(name, i, (first, second), factors) for i in range(1, len(hands))):
                    word = "missing" if all(abs(f + 1) < self.like for f in factors) else "wrong"
                    return "missing_term" if word == "missing" else "sign", (
                        f"what flows back through {first[0].said} and through {second[0].said} is {word}")  # fmt: skip
        return None

    def _holds(self, name: str, i: int, items: Sequence[Any], factors: Any) -> bool:
        gap = self.hands(name)[i] - self.rights(name)[i]
        for item, factor in zip(items, factors, strict=True):
            varied = self._gradients(item, i)
            if varied is None:
                return False
            gap = gap - factor * (self.rights(name)[i] - varied[name])
        return bool(np.max(np.abs(gap), initial=0) <= self.close * np.max(np.abs(self.hands(name)[i]), initial=0))

    def _value(self, name: str) -> Found | None:
        """A product of an adjoint and a value, summed where the input was broadcast: another one of either is taken."""
        if self._flows is None:
            self._flows = []
            with contextlib.suppress(UsageError, InexactError):
                if sum(np.size(v) for _, v in leaves(self.samples[0].inputs)) <= SIZE:
                    self._flows = [self.rule.flows(s.inputs, s.cotangents) for s in self.samples]
        if not self._flows or len({len(f) for f in self._flows}) > 1:
            return None
        hands, rights = self.hands(name), self.rights(name)
        if len(hands) != len(self._flows):
            return None
        due, found = None, None
        for count, (a, u) in enumerate(self._products(hands[0].shape)):
            if count > PAIRS or time.perf_counter() > self.until or (due and found):
                break
            if found is None and self._is(hands, a, u):
                found = a, u
            elif due is None and self._is(rights, a, u):
                due = a, u
        if found is None:
            return None
        flows = self._flows[0]

        def words(a: int, u: int | None) -> str:
            return f"the adjoint of {flows[a].said}" + (f" times {flows[u].said}" if u is not None else "")

        if due is not None and due[0] == found[0] and found[1] is not None and due[1] is not None:
            return "value", f"it is taken with {flows[found[1]].said} where {flows[due[1]].said} is due"
        due_words = f", and should be {words(*due)}" if due is not None else ""
        return "missing_derivative", f"it is {words(*found)}{due_words}"

    _flows: list[list[Flow]] | None = None

    def _products(self, shape: tuple[int, ...]) -> Iterator[tuple[int, int | None]]:
        assert self._flows is not None
        flows = self._flows[0]
        for a, flow in enumerate(flows):
            if flow.adjoint is None or not _sums_to(flow.adjoint.shape, shape):
                continue
            yield a, None
            for u, other in enumerate(flows):
                if _sums_to(flow.adjoint.shape, other.value.shape):
                    yield a, u

    def _is(self, wanted: Sequence[Array], a: int, u: int | None) -> bool:
        assert self._flows is not None
        for want, flows in zip(wanted, self._flows, strict=True):
            adjoint = flows[a].adjoint
            if adjoint is None:
                return False
            with np.errstate(all="ignore"):
                product = adjoint if u is None else adjoint * flows[u].value
            if not self.same([want], [summed(product, want.shape)]):
                return False
        return True

    def _part(self, name: str) -> Found | None:
        """Some entries of grad_output are left out."""
        hands = self.hands(name)
        for i, cotangent in enumerate(self.samples[0].cotangents):
            for axis in range(cotangent.ndim):
                n = cotangent.shape[axis]
                for said, kept in (
                    ("the last", slice(0, n - 1)), ("the first", slice(1, n)),
                    ("all but the first", slice(0, 1)), ("all but the last", slice(n - 1, n)),
                ):  # fmt: skip
                    if n < 3:
                        continue
                    fed = []
                    for sample in self.samples:
                        part = np.zeros_like(sample.cotangents[i])
                        where = (slice(None),) * axis + (kept,)
                        part[where] = sample.cotangents[i][where]
                        fed.append([part if j == i else c for j, c in enumerate(sample.cotangents)])
                    try:
                        some = self.rule_expected(self.samples[0], fed[0]).get(name)
                        if some is None or not self.same(hands[:1], [some]):
                            continue
                        rest = [self.rule_expected(s, f).get(name) for s, f in zip(self.samples, fed, strict=True)]
                    except (UsageError, InexactError):
                        return None
                    if self.same(hands, rest):
                        return "missing_term", f"what comes back from {said} along axis {axis} of the output is missing"
        return None

    def _flow(self, name: str) -> Found | None:
        """Something comes back from outputs that don't depend on these entries at all: a mask or an index."""
        sample = self.samples[0]
        rng = np.random.default_rng(0)
        for i, cotangent in enumerate(sample.cotangents):
            picks = (
                {0, cotangent.size - 1, *(int(p) for p in rng.integers(0, max(cotangent.size, 1), 4))}
                if cotangent.size
                else set()
            )
            for pick in sorted(picks):
                one = [np.zeros_like(c) for c in sample.cotangents]
                one[i].ravel()[pick] = 1
                try:
                    right = self.rule_expected(sample, one).get(name)
                    hand = self.rule.pull(sample.inputs, one, How("float64", exact=True)).gradients.get(name)
                except (UsageError, InexactError):
                    return None
                if hand is None or right is None or hand.shape != right.shape:
                    continue
                stray = (right == 0) & (np.abs(hand) > 1e-9 * np.max(np.abs(hand), initial=0))
                lost = (hand == 0) & (np.abs(right) > 1e-9 * np.max(np.abs(right), initial=0))
                if lost.any() and (hand != 0).any() and not stray.any():
                    at = [int(k) for k in np.argwhere(lost)[0]]
                    where = [int(k) for k in np.unravel_index(pick, cotangent.shape)]
                    return "mask", (
                        f"nothing comes back to {at} from the output at {where}, which depends on it: "
                        "a mask or an index of backward is not that of forward"
                    )
                if stray.any() and (right != 0).any():
                    at = [int(k) for k in np.argwhere(stray)[0]]
                    where = [int(k) for k in np.unravel_index(pick, cotangent.shape)]
                    return "mask", (
                        f"something comes back to {at} from the output at {where}, which does not depend on it: "
                        "a mask or an index of forward is not applied in backward"
                    )
        return None


def _sums_to(whole: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether an array of a shape is broadcast to a larger one."""
    return len(shape) <= len(whole) and all(n in (1, m) for n, m in zip(reversed(shape), reversed(whole), strict=False))


def _filled(gradients: Mapping[str, Array | None]) -> dict[str, Array]:
    return {n: g for n, g in gradients.items() if g is not None}


def _factor(a: Array, b: Array, close: float, scale: float | None = None) -> float | None:
    """c, where a is c times b at every entry."""
    with np.errstate(all="ignore"):
        square = float((b * b).sum())
        if not np.isfinite(square) or square == 0:
            return None
        c = float((a * b).sum()) / square
        size = np.max(np.abs(a), initial=0) if scale is None else scale
        same = np.all(np.abs(a - c * b) <= close * max(size, np.max(np.abs(b), initial=0) * abs(c)))
    return c if same and np.isfinite(c) else None
