"""The tutorial runs, and prints what it says: under each code cell, and in every number of its prose."""

import os
import re
import shlex
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import click
import pytest

from handgrad.commands import handgrad

TUTORIAL = Path(__file__).parents[1] / "docs" / "tutorial.py"
NEEDS = ("sklearn", "matplotlib", "scipy")
FRAMEWORKS = ("jax", "numba", "torch")
LIMIT = 120
"""Seconds."""

HIDE = """
import runpy, sys

class Hidden:
    def find_spec(name, path=None, target=None):
        if name in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Hidden)
runpy.run_path({program!r}, run_name="__main__")
"""

MARKER = re.compile(r"# %%( \[markdown\])?")
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]?\d+)?(?!\w)")
SPAN = re.compile(r"`([^`]*)`")


class Cell(NamedTuple):
    """A cell of the percent format.

    Attributes:
        markdown: whether it is text; else it is code.
        first: number of its first line, counted from 0.
        lines: without the marker, and the empty ones at its end.
    """

    markdown: bool
    first: int
    lines: list[str]

    def said(self):
        """What a code cell is said to print: the comment that ends it."""
        ending = []
        for line in reversed(self.lines):
            if self.markdown or not line.startswith("#"):
                break
            ending.append(line.removeprefix("#").removeprefix(" "))
        return ending[::-1]


def cells(text):
    """The cells of a file in percent format, whose header is left out."""
    lines = text.splitlines()
    starts = [i for i, line in enumerate(lines) if line.startswith("# %%")]
    found = []
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        marker = MARKER.fullmatch(lines[start])
        assert marker, f"line {start + 1}: {lines[start]!r} begins no cell"
        of_cell = lines[start + 1 : end]
        while of_cell and not of_cell[-1]:
            of_cell.pop()
        found.append(Cell(bool(marker[1]), start + 1, of_cell))
    return found


def said(text):
    """All that the code cells are said to print."""
    return [line for cell in cells(text) for line in cell.said()]


def numbers(line):
    return [(Decimal(found[0].replace(",", "")), found.span()) for found in NUMBER.finditer(line)]


def quoted(line):
    """Numbers in a line of prose, and where: all but those in code spans, unless a span is nothing but a number.

    Whole numbers below 10 need no proof outside of such spans: article 1, class 0, a 3 and an 8.
    """
    blanked = SPAN.sub(lambda span: span[0] if NUMBER.fullmatch(span[1]) else " " * len(span[0]), line)
    return [
        (value, (start, end))
        for value, (start, end) in numbers(blanked)
        if not re.fullmatch(r"-?\d", blanked[start:end]) or blanked[start - 1] == "`"
    ]


def prose(text):
    """Line numbers and lines of the text, without fenced blocks; and of headings, which begin a section."""
    for cell in cells(text):
        fenced = False
        for i, line in enumerate(cell.lines if cell.markdown else []):
            if line.startswith("# ```"):
                fenced = not fenced
            elif not fenced:
                yield cell.first + i, line


def unprinted(text):
    """Numbers in the prose that no code cell of the same section prints, as (line number, number)."""
    printed = {cell.first: {value for line in cell.said() for value, _ in numbers(line)} for cell in cells(text)}
    headings = [i for i, line in prose(text) if re.match("# #+ ", line)]

    def section(i):
        return sum(heading <= i for heading in headings)

    found = {}
    for first, values in printed.items():
        found.setdefault(section(first), set()).update(values)
    return [
        (i + 1, value) for i, line in prose(text) for value, _ in quoted(line) if value not in found.get(section(i), ())
    ]


def run(folder, *, hidden=()):
    """What the tutorial prints, run from top to bottom by a process of its own, in which packages may be hidden.

    It is to leave nothing behind: not in its own folder, not where it was called, and no temporary file.
    """
    for package in NEEDS:
        pytest.importorskip(package)
    here, temporary = folder / "here", folder / "temporary"
    here.mkdir()
    temporary.mkdir()
    program = ["-c", HIDE.format(names=hidden, program=str(TUTORIAL))] if hidden else [str(TUTORIAL)]
    beside = sorted(TUTORIAL.parent.iterdir())
    outcome = subprocess.run(
        [sys.executable, "-W", "error", *program],
        cwd=here,
        env=os.environ | {"MPLBACKEND": "Agg", "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert outcome.returncode == 0, outcome.stderr
    assert sorted(TUTORIAL.parent.iterdir()) == beside
    assert list(here.iterdir()) == list(temporary.iterdir()) == []
    return outcome.stdout.splitlines()


@pytest.fixture
def text():
    return TUTORIAL.read_text(encoding="utf-8")


def test_it_is_a_notebook_in_percent_format(text):
    found = cells(text)
    header = text.splitlines()[: found[0].first - 1]
    assert all(line.startswith("#") or not line for line in header)
    assert any("format_name: percent" in line for line in header)
    assert {cell.markdown for cell in found} == {True, False}
    for cell in found:
        assert cell.lines, f"the cell at line {cell.first} is empty"
        if cell.markdown:
            assert all(line == "#" or line.startswith("# ") for line in cell.lines)
        else:
            compile("\n".join(cell.lines), f"cell at line {cell.first}", "exec")


def test_it_prints_what_it_says_and_leaves_nothing_behind(text, tmp_path):
    assert run(tmp_path) == said(text)


def test_it_prints_the_same_where_no_other_backend_is_installed(text, tmp_path):
    assert run(tmp_path, hidden=FRAMEWORKS) == said(text)


def test_every_number_in_its_prose_is_printed_in_the_same_section(text):
    assert sum(len(quoted(line)) for _, line in prose(text)) >= 40
    assert unprinted(text) == []


def test_a_changed_number_is_noticed(text):
    """Each in the prose, each in what is said to be printed."""
    lines = text.splitlines()

    def doctored(i, start, end):
        last = next(at for at in reversed(range(start, end)) if lines[i][at].isdigit())
        other = {"0": "7", "1": "2"}.get(lines[i][last]) or int(lines[i][last]) - 1
        line = f"{lines[i][:last]}{other}{lines[i][last + 1 :]}"
        return "\n".join([*lines[:i], line, *lines[i + 1 :]])

    for i, line in prose(text):
        for _, span in quoted(line):
            assert unprinted(doctored(i, *span)), f"line {i + 1}: {line}"
    for cell in cells(text):
        end = cell.first + len(cell.lines)
        for i in range(end - len(cell.said()), end):
            for _, span in numbers(lines[i]):
                assert said(doctored(i, *span)) != said(text)


def test_a_number_from_nowhere_is_noticed():
    text = "# %% [markdown]\n# ## One\n# It is `5`, or 12.5 %, and `f(77)`.\n\n# %%\nprint(5)\n# 5"
    assert unprinted(text) == [(3, Decimal("12.5"))]
    assert unprinted(text.replace("# 5", "# 12.50%")) == [(3, Decimal(5))]
    assert unprinted(f"{text}\n# 12.5\n\n# %% [markdown]\n# ## Two\n# Once more 12.5.") == [(12, Decimal("12.5"))]


def test_its_commands_are_commands(text):
    shown = [line.removeprefix("# ") for cell in cells(text) if cell.markdown for line in cell.lines]
    commands = [shlex.split(line)[1:] for line in shown if line.startswith("handgrad ")]
    assert len(commands) >= 9
    for name, *arguments in commands:
        handgrad.commands[name].make_context(name, arguments)
    with pytest.raises(click.UsageError):
        handgrad.commands["train"].make_context("train", ["data/", "--rune", "run/"])
