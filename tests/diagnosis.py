"""What the checker says of the planted faults in the cases.

    python tests/diagnosis.py

Prints how many there are, and of how many the wrong name is found, and no other is called wrong; the kind is rightly
told; the line of the source is named, and another line is.
"""

import inspect
from collections import Counter

import click

from cases import CASES
from handgrad.proof.checker import Checker
from handgrad.proof.problem import Problem


def changed_line(function, changed):
    lines = zip(inspect.getsource(function).splitlines(), inspect.getsource(changed).splitlines(), strict=False)
    return next(number for number, (was, becomes) in enumerate(lines, 1) if was != becomes)


def counted(cases, faults=slice(None)):
    """Of these cases, and of these faults of each; and the reports in which another line is named."""
    count, misled = Counter(), []
    for case in cases:
        checker = Checker(Problem(case.forward, case.backward), shapes=case.SHAPES)
        for fault in case.FAULTS[faults]:
            planted = fault.plant(case)
            report = checker.with_backward(planted).check(case.inputs(2))
            wrong = [finding.name for finding in report.findings if finding.verdict == "wrong"]
            kind = next(finding.kind for finding in report.findings if finding.name == fault.line)
            count["faults"] += 1
            count["found"] += fault.line in wrong
            count["named"] += wrong == [fault.line]
            count["diagnosed"] += kind in fault.kinds
            lines, right = {place.line for place in report.lines}, {changed_line(case.backward, planted)}
            count["located"] += lines == right
            count["misled"] += not lines <= right
            if not lines <= right:
                misled.append(f"{fault}\n{report}")
    return count, misled


if __name__ == "__main__":
    click.echo(counted(CASES.values())[0])
