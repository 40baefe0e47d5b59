"""make tables: what README.md and docs/ say that is printed, beside what is printed now.

Each block is run as the tests run it (`documents.py`), and what it prints is one of these:

    as said      to the letter
    the machine  the same but for times, rounding errors and last digits, which the machine decides
    differs      the differences are shown, and the exit code is 1

A block that is marked `<!-- not run: WHY -->` is named with WHY, and run with --long; where WHY says that the machine
decides, all of it may differ. With --write the pages are written anew; a block with `...` is left as it stands.
"""

import argparse
import difflib
import re
import sys
import tempfile
from pathlib import Path

import click

import documents
from handgrad.demo import write_digits

ROOT = Path(__file__).parents[1]


def verdict(said, printed, why_not=None):
    """How what is printed compares with what was said."""
    if said.rstrip() == printed.rstrip():
        return "as said"
    alike = documents.matches(documents.tokens(said), documents.tokens(printed))
    return "the machine" if alike or "machine" in (why_not or "") else "differs"


def plain(printed, folder):
    """As a page says it: without the folder in which it was run, the hint at the end, and spaces that end a line."""
    text = re.sub(r"^next: .*\n?", "", printed.replace(f"{folder}/", ""), flags=re.MULTILINE)
    return re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE).strip("\n") + "\n"


def place(page, step):
    """Where in the page it stands what is said of a step."""
    before = step.text + ("```\n\n```\n" if step.file else "\n")
    block = len("".join(page.splitlines(keepends=True)[: step.line - 1]))
    begin = page.index(before + step.said, block) + len(before)
    return slice(begin, begin + len(step.said))


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="make tables", description=__doc__.partition("\n")[0])
    parser.add_argument("pages", nargs="*", type=Path, help="by default README.md and all of docs/")
    parser.add_argument("--long", action="store_true", help="run what is marked as not run, too")
    parser.add_argument("--data", type=Path, help="with --long: the folder that pages call dogs-vs-cats")
    parser.add_argument("--write", action="store_true", help="write the pages anew")
    given = parser.parse_args(arguments)
    found = set()
    with tempfile.TemporaryDirectory() as temporary:
        write_digits(Path(temporary) / "digits")
        for path in given.pages or [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
            folder = Path(temporary) / path.stem
            folder.mkdir()
            if given.data:
                (folder / "dogs-vs-cats").symlink_to(given.data.resolve())
            found |= held_to(path.resolve(), folder, given.long, given.write)
    return "differs" in found


def held_to(path, folder, long, write):
    """Run a page and say of each of its blocks how it compares; the verdicts."""
    page = path.read_text(encoding="utf-8")
    told = iter(documents.run(path, folder, folder.parent / "digits", long=long))
    found, anew = set(), []
    for step in documents.steps(page):
        where = f"{path.name}:{step.line}: {step.file or step.text}"
        if step.why_not and not long:
            click.echo(f"not run      {where} ({step.why_not})")
            continue
        printed = plain(next(told)[2], folder)
        if step.said is None:
            continue
        outcome = verdict(step.said, printed, step.why_not)
        found.add(outcome)
        click.echo(f"{outcome:11}  {where}")
        if outcome == "differs":
            for line in difflib.unified_diff(step.said.splitlines(), printed.splitlines(), lineterm="", n=0):
                click.echo(f"    {line}")
        if "..." not in step.said.split():
            anew.append((place(page, step), printed))
    if write:
        for where, printed in reversed(anew):
            page = page[: where.start] + printed + page[where.stop :]
        path.write_text(page, encoding="utf-8")
    return found


if __name__ == "__main__":
    sys.exit(main())
