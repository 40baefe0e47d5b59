"""The code blocks of README.md and of docs/*.md: run in the order of a page, and held to what stands below them.

A block of `python` is a program; where its first line names a file (`# neuron.py`), later blocks can import it. What it
prints stands right below, in a block without a language. In a block of `console`, lines that begin with `$ ` are
commands, and what follows each is what it prints, but for the line `next: ...` at its end. A line `...`, or `...` for a
word, is whatever is printed there.

A comment `<!-- not run: WHY -->` right above a block keeps it from being run: it takes long, or needs what is not here.
Of such a block only the form is checked: that Python compiles, and that commands and their options exist.

All blocks of a page run in one process, in one folder, in which `photographs/` holds the digits of `make demo`.
"""

import contextlib
import io
import json
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

BLOCK = re.compile(
    r"(?:<!-- not run: ([^\n]+) -->\n)?```(\w*)\n(.*?)^```$(\n\n```\n(.*?)^```$)?", re.DOTALL | re.MULTILINE
)
NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.(\d+))?")
UNTIMED = {"ms", "s", "us", "seconds", "ms/epoch"}
"""A number before one of these, or in a column with such a heading, is a time, and another one each time."""

ELSEWHERE = {"pip", "make", "pytest", "source", "torchrun", "python"}
"""First words of commands that are not run: `make test` has done so, or a test of its own does."""


OFFLINE = """
import runpy, socket, sys

def connect(*_):
    raise OSError("there is no network")

socket.socket.connect = socket.getaddrinfo = connect
sys.argv = ["sphinx", "--builder", "html", "--fail-on-warning", "--fresh-env", "--quiet", *sys.argv[1:]]
runpy.run_module("sphinx", run_name="__main__")
"""


class Step(NamedTuple):
    """What is run: a program, in a file of that name; or a command, where `file` is None.

    Attributes:
        said: what it is said to print; None for a program that nothing is said of.
        why_not: why it is not run, or None.
        line: of the page.
    """

    file: str | None
    text: str
    said: str | None
    why_not: str | None
    line: int


def steps(page):
    """All of a page, in order."""
    found = []
    for block in BLOCK.finditer(page):
        why_not, language, text, _, printed = block.groups()
        line = page.count("\n", 0, block.start(3)) + 1
        if language == "python":
            named = re.match(r"# (\w+\.py)\n", text)
            found.append(Step(named[1] if named else f"program_{line}.py", text, printed, why_not, line))
        elif language == "console":
            for command, printed in re.findall(r"^\$ ([^\n]+)\n((?:(?!\$ )[^\n]*\n)*)", text, re.MULTILINE):
                found.append(Step(None, command, printed or None, why_not, line))
    return found


def runs(path):
    """Whether anything of the page at `path` is run."""
    return any(not step.why_not for step in steps(path.read_text(encoding="utf-8")))


def run(path, folder, photographs, *, long=False):
    """Of each step of the page that is run: its line, what it is said to print, and what it prints.

    With `long`, the others are run too, and `python -m`; of one of these that fails the error is what it prints.
    """
    (folder / "photographs").symlink_to(photographs)
    told = folder / "told.json"  # not standard output, to which libraries write
    words = [sys.executable, "-W", "error", __file__, str(path), str(told), *(["long"] if long else [])]
    outcome = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=None if long else 600)
    assert outcome.returncode == 0, outcome.stderr
    return json.loads(told.read_text(encoding="utf-8"))


def tokens(text, folder=""):
    """Words; without the folder, and with `#` for times and for numbers with an exponent, which are rounding errors."""
    lines, columns = [], []
    text = re.sub(r"^next: .*", "", text.replace(f"{folder}/", "") if folder else text, flags=re.MULTILINE)
    for line in text.splitlines():
        headings = [word.end() for word in re.finditer(r"\S+", line) if word[0] in UNTIMED and "  " in line.strip()]
        columns = headings or (columns if line.strip() else [])
        masked = list(line)
        for word in re.finditer(r"\S+", line):
            if NUMBER.fullmatch(word[0]) and word.end() in columns:
                masked[word.start() : word.end()] = "#" * len(word[0])
        lines.append("".join(masked))
    words = "\n".join(lines).split()
    for i, word in enumerate(words):
        following = words[i + 1].rstrip(".,;)") if i + 1 < len(words) else ""
        if re.fullmatch(r"#+|[-+]?\d(\.\d+)?e[-+]\d+\W*", word) or (NUMBER.search(word) and following in UNTIMED):
            words[i] = "#"
    return words


def alike(said, printed):
    """Whether two words are the same; a number with decimals may be off by one in the last of them."""
    if said == printed:
        return True
    ours, theirs = NUMBER.search(said), NUMBER.search(printed)
    if not (ours and theirs and ours[1]) or NUMBER.sub("0", said) != NUMBER.sub("0", printed):
        return False
    gaps = (
        abs(float(a.replace(",", "")) - float(b.replace(",", "")))
        for a, b in zip(*([found[0] for found in NUMBER.finditer(word)] for word in (said, printed)), strict=True)
    )
    return max(gaps) < 1.5 * 10.0 ** -len(ours[1])


def matches(said, printed):
    """Whether words are those that were said; `...` stands for any number of words."""
    first, *others = _parts(said)
    end = len(printed) - len(others[-1]) if others else 0
    places = [0, *[None] * (len(others) - 1), end] if others else [0]
    if (others and end < len(first)) or not (others or len(first) == len(printed)):
        return False
    at = 0
    for part, place in zip([first, *others], places, strict=True):
        possible = range(at, end + 1) if place is None else [place]
        found = next((i for i in possible if _alike_at(part, printed, i)), None)
        if found is None or found < at:
            return False
        at = found + len(part)
    return True


def _parts(said):
    """What stands between the `...`."""
    parts = [[]]
    for word in said:
        if word == "...":
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


def _alike_at(part, printed, i):
    return i + len(part) <= len(printed) and all(map(alike, part, printed[i:]))


def built(docs, site):
    """The outcome of building a folder of pages, without a network; the test is skipped where Sphinx is missing."""
    import pytest

    for package in "furo", "myst_parser", "sphinx", "sphinx_copybutton":
        pytest.importorskip(package)
    words = [sys.executable, "-c", OFFLINE, str(docs), str(site)]
    return subprocess.run(words, capture_output=True, text=True, timeout=300)


def _run(step, long):
    from handgrad.commands import run as handgrad

    if step.file:
        Path(step.file).write_text(step.text, encoding="utf-8")
        runpy.run_path(step.file, run_name="__main__")
        return
    name, *words = shlex.split(step.text, comments=True)
    if name == "handgrad":
        code = handgrad(words)  # 1 where a check failed, which is said
        assert code in (0, 1), f"{step.text}: exit code {code}"
    elif name not in ELSEWHERE or (long and name == "python"):
        command = shlex.join([sys.executable, *words]) if name == "python" else step.text
        outcome = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
        sys.stdout.write(outcome.stdout)


def _main(path, to, long=""):
    sys.path.insert(0, str(Path.cwd()))
    sys.argv[1:] = []  # as of a program that was called without
    told = []
    for step in steps(Path(path).read_text(encoding="utf-8")):
        if step.why_not and not long:
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            try:
                _run(step, long)
            except BaseException as error:
                if not step.why_not:
                    error.add_note(f"{path}, line {step.line}:\n{step.text}\n{printed.getvalue()}")
                    raise
                printed.write(f"{type(error).__name__}: {error}\n")
        told.append((step.line, step.said, printed.getvalue()))
    Path(to).write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    _main(*sys.argv[1:])
