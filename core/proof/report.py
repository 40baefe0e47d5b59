"""What the check found, for people and for programs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from handgrad.errors import UsageError
from handgrad.jsonable import dumps

RIGHT, WRONG, INHERITED, IMPRECISE, UNRESOLVED = "right", "wrong", "inherited", "imprecise", "unresolved"


@dataclass(frozen=True)
class Finding:
    """One line of backward.

    Attributes:
        name: as backward returns it, "dZ".
        verdict: "right"; "wrong", this line is at fault; "inherited", right in itself and fed by a wrong one; or
            "unresolved". Of a rule for PyTorch or JAX also "imprecise", right in exact arithmetic, and losing more at
            some precision than the plain program.
        where: the index of the entry that is furthest off.
        hand: that entry as backward computes it; None where shapes differ.
        expected: what it should be, given the later adjoints as supplied.
        gaps: |hand - expected| / |expected| at that entry, by the dtype in which all is computed; a fault stays,
            rounding shrinks.
        kind: of a fault, a word for programs: "sign", "factor", "missing_derivative", ...; else "".
        diagnosis: what the fault is, or why the line is unresolved, in a sentence; else "".
        seen_at: the inputs on which this was seen: "given" or "own".
        detectable: the smallest relative error of a single entry that would have been found, in the worst entry.
        shape: of the adjoint as returned.
        size: of the fault: the furthest that an entry is off, as a part of the largest entry expected.
    """

    name: str
    verdict: str
    where: tuple[int, ...]
    hand: float | None
    expected: float | None
    gaps: dict[str, float]
    kind: str = ""
    diagnosis: str = ""
    seen_at: str = "given"
    detectable: float = float("inf")
    shape: tuple[int, ...] = ()
    size: float = 0.0


def near(file: str) -> str:
    """The path of a file as it is written in the current folder, where the file is below it."""
    with contextlib.suppress(ValueError, OSError):
        return str(Path(file).relative_to(Path.cwd()))
    return file


@dataclass(frozen=True)
class Place:
    """A line of the user's code that makes a returned gradient wrong.

    Attributes:
        file, line: where.
        source: its text.
        function: that it is in.
        kind: of a fault, as for a finding; "" where none of the usual slips explains it.
        diagnosis: the change after which all is right, in a sentence; else "".
    """

    file: str
    line: int
    source: str
    function: str
    kind: str = ""
    diagnosis: str = ""

    def __str__(self) -> str:
        said = f"\n    {self.diagnosis}" if self.diagnosis else ""
        return f"{near(self.file)}:{self.line} in {self.function}: {self.source}{said}"


@dataclass(frozen=True)
class Report:
    """What `check` found.

    Attributes:
        findings: one for each adjoint that backward returns, in that order.
        first_wrong: the name of the faulty line nearest the cost, or None.
        oracle: what the expected values come from.
        votes: what other oracles say.
        understood: how the subject was read, where it has several readings.
        problems: why this is no proof though the numbers may be right: no gradient of any input is given back.
        notes: what a reader should know.
        inputs_tried: how many sets of inputs, the given ones included.
        seconds: what it took.
        lines: of the user's code that are at fault, where that was found out.
        precisions: of a rule for PyTorch or JAX, those in which it runs.
        shrink: from the name of a wrong line to its counterexample.
    """

    findings: tuple[Finding, ...]
    first_wrong: str | None
    oracle: str
    votes: tuple[str, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    inputs_tried: int
    seconds: float
    understood: str = ""
    lines: tuple[Place, ...] = ()
    precisions: tuple[str, ...] = ()
    shrink: Callable[[str], Any] | None = field(default=None, repr=False, compare=False)

    @property
    def ok(self) -> bool:
        """Whether every line is right, and nothing else is the matter."""
        return not self.problems and all(finding.verdict == RIGHT for finding in self.findings)

    def __bool__(self) -> bool:
        """As `ok`: ``assert check(...)`` fails where a gradient is wrong."""
        return self.ok

    @property
    def detectable(self) -> float:
        """The smallest relative error of a single entry that this run would have found, in any entry of any line."""
        return max((f.detectable for f in self.findings if np.isfinite(f.detectable)), default=float("inf"))

    def counterexample(self, name: str | None = None) -> Any:
        """The smallest input on which a line is still wrong; printed, a test for pytest that stands alone.

        Args:
            name: of the line; by default the first wrong one.

        Raises:
            UsageError: no line is wrong, or that one is not.
        """
        wrong = [finding.name for finding in self.findings if finding.verdict == WRONG]
        name = name or self.first_wrong
        if self.precisions:
            raise UsageError("no counterexample: that of a rule for PyTorch or JAX is not made smaller")
        if name is None or name not in wrong or self.shrink is None:
            raise UsageError(
                f"no counterexample: {name or 'no line'} is wrong; wrong are: {', '.join(wrong) or 'none'}"
            )
        return self.shrink(name)

    def to_json(self) -> str:
        """The report as JSON; numbers that are not finite are null."""
        content = {
            "ok": self.ok,
            "first_wrong": self.first_wrong,
            "findings": [asdict(finding) for finding in self.findings],
            "oracle": self.oracle,
            "votes": self.votes,
            "problems": self.problems,
            "notes": self.notes,
            "understood": self.understood,
            "lines": [asdict(line) for line in self.lines],
            "precisions": self.precisions,
            "inputs_tried": self.inputs_tried,
            "detectable": self.detectable,
            "seconds": self.seconds,
        }
        return dumps(content)

    def __str__(self) -> str:
        precisions = list(dict.fromkeys(key for finding in self.findings for key in finding.gaps))
        rows = [("name", "verdict", "off by", "hand", "expected", "at", *(f"gap {p}" for p in precisions))]
        for f in self.findings:
            numbers = [f"{f.gaps[p]:.0e}" if p in f.gaps else "" for p in precisions]
            index = "[" + ", ".join(map(str, f.where)) + "]" if f.where else ""
            rows.append((f.name, f.verdict, _percent(f.size), _number(f.hand), _number(f.expected), index, *numbers))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [self.understood, ""] if self.understood else []
        for i, row in enumerate(rows):
            cells = [
                cell.ljust(w) if j < 2 else cell.rjust(w) for j, (cell, w) in enumerate(zip(row, widths, strict=True))
            ]
            lines.append("  ".join(cells).rstrip())
            if i and (said := self.findings[i - 1].diagnosis):
                lines.append(f"    {said}")
        bad = [finding for finding in self.findings if finding.verdict != RIGHT]
        lines += ["", *(f"problem: {problem}" for problem in self.problems)]
        if self.lines:
            lines += ["The fault is on this line:" if len(self.lines) == 1 else "The faults are on these lines:"]
            lines += [str(line) for line in self.lines]
        elif self.precisions:
            said = (
                "Every gradient is right" if self.ok else f"{len(bad)} of {len(self.findings)} gradients are not right"
            )
            lines.append(f"{said}, in {', '.join(self.precisions)}.")
        elif self.first_wrong:
            lines.append(f"No line was found that mends it. Nearest the cost, {self.first_wrong} is wrong.")
        elif self.ok:
            lines.append("Every line is right.")
        lines.append(f"Expected: {self.oracle}" + "".join(f"; {vote}" for vote in self.votes) + ".")
        if np.isfinite(self.detectable):
            lines.append(
                f"On {self.inputs_tried} sets of inputs. "
                f"A single entry wrong by more than {self.detectable:.0e} of itself would have been found."
            )
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join(lines)


def _percent(share: float) -> str:
    if not share or not np.isfinite(share):
        return ""
    return (
        f"{100 * share:.2g} %"
        if 1e-3 <= share < 0.995
        else f"{100 * share:.0f} %"
        if 0.995 <= share < 100
        else f"{share:.0e}"
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
