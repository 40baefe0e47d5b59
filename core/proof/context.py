"""What the checker found out: on which inputs each line was judged, and what everyone needs who looks closer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from handgrad.errors import UsageError
from handgrad.proof.judge import Judge, Judged
from handgrad.proof.oracle import Oracle
from handgrad.proof.problem import Problem, Run, cast, leaves
from handgrad.proof.tape import UntapeableError
from handgrad.proof.wide import WIDE, Array


@dataclass
class Sample:
    """One set of inputs and what was judged on it."""

    label: str
    run: Run
    judged: dict[str, Judged]

    @property
    def cotangents(self) -> dict[str, Array]:
        """The adjoints as fed on."""
        return {
            n: np.where(np.isfinite(line.hand), line.hand, line.local) if not line.misshapen else line.local
            for n, line in self.judged.items()
        }


@dataclass
class Context:
    """All that was found out, for the diagnosis, the votes and the counterexample.

    Attributes:
        problem: the two functions.
        shapes, inputs, seed: as `check` was given them.
        given: the run on these inputs, in their own dtype.
        widest: the dtype of most digits in which both functions run.
        wrt: the leaves whose adjoints are returned.
        oracle: what is expected.
        judge: who asked it.
        samples: the inputs as given, then others.
        until: when to end looking for a diagnosis.
    """

    problem: Problem
    shapes: str | None
    inputs: dict[str, Any]
    seed: int
    given: Run
    widest: Any
    wrt: list[str]
    oracle: Oracle
    judge: Judge
    samples: list[Sample]
    until: float = float("inf")
    _gaps: dict[tuple[str, str], tuple[Run, dict[str, Array]]] = field(default_factory=dict, init=False, repr=False)

    @property
    def unit(self) -> float:
        """That of the fewest digits that backward was seen to work in, or to return."""
        returned = [np.asarray(v).dtype for s in self.samples for _, v in leaves(s.run.adjoints)]
        return max([self.judge.lowest, *(float(np.finfo(dtype).eps) for dtype in returned if dtype.kind == "f")])

    def gaps(self, name: str, where: tuple[int, ...], sample: Sample) -> dict[str, float]:
        r"""|hand - expected| / |expected| of one entry, with all computed in one dtype after another."""
        found = {}
        for dtype in (np.float32, np.float64, WIDE):
            label = "longdouble" if dtype is WIDE else np.dtype(dtype).name
            if (np.dtype(dtype).itemsize > np.dtype(self.widest).itemsize) or label in found:
                continue
            try:
                run, expected = self._at(sample, dtype, label)
                hand, right = run.hands[name], expected[name]
                hand = hand.reshape(right.shape)
                with np.errstate(all="ignore"):
                    gap = abs(hand[where] - right[where])
                    found[label] = 0.0 if gap == 0 else float(gap / abs(right[where]))
            except (UsageError, UntapeableError, ValueError, KeyError):
                continue
        return found

    def _at(self, sample: Sample, dtype: Any, label: str) -> tuple[Run, dict[str, Array]]:
        key = (sample.label, label)
        if key not in self._gaps:
            run, expected = sample.run, {n: line.local for n, line in sample.judged.items()}
            if np.dtype(dtype) != np.dtype(self.widest):
                run = self.problem.run(cast(sample.run.inputs, dtype, set(self.wrt)))
                if not self.oracle.partial:
                    fed = {n: np.nan_to_num(h) for n, h in run.hands.items() if h.shape == np.shape(run.values[n])}
                    expected = self.oracle.local(run, fed).values
            self._gaps[key] = run, expected
        return self._gaps[key]
