"""Checkers on rules for PyTorch and JAX, as libraries have them, right and with a fault, through each of them.

python -m handgrad.benchmarks.rules
python -m handgrad.benchmarks.rules --few --scale 0.25 --scale 1 --scale 4 --scale 16

The rules and the faults are those of ``tests/rules``. Beside `handgrad.check` stand `torch.autograd.gradcheck`, slow
and fast, `torch.autograd.gradgradcheck`, `torch.library.opcheck`, `jax.test_util.check_grads`, and two practices: the
rule and the plain program in bfloat16 compared by allclose with atol = rtol = 0.01, and an error of at most twice the
plain program's in bfloat16. Each of these has 5 seconds for a rule.
"""

from __future__ import annotations

import importlib
import inspect
import signal
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import numpy as np
from tqdm import tqdm

from handgrad.bars import hidden
from handgrad.errors import HandgradError, UsageError
from handgrad.jsonable import dumps
from handgrad.table import table


@dataclass(frozen=True)
class Row:
    """One checker on one rule.

    Attributes:
        checker: its name.
        rule: of the module, and the number of the fault; 0 is the right rule.
        verdict: what should be said: "right", "wrong" or "imprecise".
        found: whether the rule is called right; None where the checker cannot take it.
        exact: whether exactly the spoilt gradients are named, with that verdict; of handgrad's.
        kind: whether the diagnosis is one of those that are right; of handgrad's.
        seconds: what it took.
        scale: what the first size of the inputs is multiplied by.
        late: whether it had not ended after `LIMIT`.
    """

    checker: str
    rule: str
    verdict: str
    found: bool | None
    exact: bool
    kind: bool
    seconds: float
    scale: float = 1.0
    late: bool = False


LIMIT = 5.0
"""Seconds that another checker has for a rule."""


class LateError(Exception):
    """A checker has had its time."""


def _late(*_: object) -> None:
    raise LateError


def drawn(module: ModuleType, scale: float) -> dict[str, Any]:
    """By argument; the first size of the rule's inputs is multiplied by the scale."""
    name, size = next((n, p.default) for n, p in inspect.signature(module.inputs).parameters.items() if n != "rng")
    made: dict[str, Any] = module.inputs(np.random.default_rng(0), **{name: max(1, round(scale * size))})
    return made


def gradcheck(module: ModuleType, given: Mapping[str, Any], fast: bool, order: int = 1) -> bool | None:
    """PyTorch's, in float64."""
    import torch

    if isinstance(module.RULE, torch.nn.Module):
        return None
    check: Any = torch.autograd.gradcheck if order == 1 else torch.autograd.gradgradcheck
    call = getattr(module.RULE, "apply", module.RULE)
    try:
        return bool(check(call, _tensors(given), fast_mode=fast, raise_exception=order == 2))
    except torch.autograd.gradcheck.GradcheckError:  # type: ignore[attr-defined]
        return False


def _tensors(given: Mapping[str, Any]) -> list[Any]:
    import torch

    return [
        torch.tensor(v, requires_grad=v.dtype.kind == "f") if isinstance(v, np.ndarray) else v for v in given.values()
    ]


def opcheck(module: ModuleType, given: Mapping[str, Any]) -> bool | None:
    """PyTorch's of a custom op."""
    import torch
    from torch.library import CustomOpDef  # type: ignore[attr-defined]

    if not isinstance(module.RULE, CustomOpDef):
        return None
    found = torch.library.opcheck(module.RULE, tuple(_tensors(given)), raise_exception=False)
    return all(said == "SUCCESS" for said in found.values())


def check_grads(module: ModuleType, inputs: Mapping[str, Any]) -> bool | None:
    """JAX's, in float64."""
    import jax
    import jax.test_util

    given = list(inputs.values())
    floats = [i for i, v in enumerate(given) if isinstance(v, np.ndarray) and v.dtype.kind == "f"]

    def call(*values: Any) -> Any:
        all_values = list(given)
        for i, value in zip(floats, values, strict=True):
            all_values[i] = value
        return module.RULE(*all_values)

    with jax.enable_x64(True):
        try:
            check: Any = jax.test_util.check_grads
            check(call, [jax.numpy.asarray(given[i]) for i in floats], order=1, modes=["rev"])
        except AssertionError:
            return False
    return True


def in_bfloat16(module: ModuleType, inputs: Mapping[str, Any], twice: bool) -> bool | None:
    """The gradients in bfloat16 beside those of the plain program: allclose, or at most twice as far off."""
    from handgrad.proof.custom.protocol import How, rounded

    framework = "torch" if "torch" in module.__name__ else "jax"
    made = importlib.import_module(f"handgrad.proof.custom.{framework}")
    rule = made.make(module.RULE, inputs, getattr(module, "OPTIONS", {}).get("reference"), order=1, mode="vjp")
    given = {
        n: rounded(v, "bfloat16") if isinstance(v, np.ndarray) and v.dtype.kind == "f" else v
        for n, v in rule.structure.items()
    }
    rng = np.random.default_rng(1)
    outputs = rule.pull(given, None, How("float64", plain=True)).outputs
    cotangents = [rounded(rng.standard_normal(o.shape), "bfloat16") for o in outputs]
    hand = rule.pull(given, cotangents, How("bfloat16")).gradients
    plain = rule.pull(given, cotangents, How("bfloat16", plain=True)).gradients
    best = rule.pull(given, cotangents, How("float64", plain=True)).gradients
    for name in rule.wrt:
        h, p, b = hand[name], plain[name], best[name]
        if h is None or p is None or b is None:
            return False
        far, allowed = np.max(np.abs(h - b), initial=0), 2 * np.max(np.abs(p - b), initial=0)
        if not (far <= allowed if twice else np.allclose(h, p, atol=1e-2, rtol=1e-2)):
            return False
    return True


OTHERS: dict[str, tuple[str, Callable[[ModuleType, Mapping[str, Any]], bool | None]]] = {
    "torch.autograd.gradcheck, slow": ("torch", lambda m, x: gradcheck(m, x, fast=False)),
    "torch.autograd.gradcheck, fast": ("torch", lambda m, x: gradcheck(m, x, fast=True)),
    "torch.autograd.gradgradcheck, fast": ("torch", lambda m, x: gradcheck(m, x, fast=True, order=2)),
    "torch.library.opcheck": ("torch", opcheck),
    "jax.test_util.check_grads": ("jax", check_grads),
    "allclose in bfloat16, 0.01": ("", lambda m, x: in_bfloat16(m, x, twice=False)),
    "twice the plain program's error": ("", lambda m, x: in_bfloat16(m, x, twice=True)),
}
"""By name: the framework whose rules it takes, and the checker."""
OURS = "handgrad.check"


def ours(name: str, number: int, module: ModuleType, fault: Any, scale: float = 1.0) -> Row:
    """`handgrad.check` on a rule."""
    from handgrad.proof import check

    start = time.perf_counter()
    verdict, rule = fault.verdict if fault else "right", f"{name} {number}"
    try:
        report = check(module.RULE, drawn(module, scale), **getattr(module, "OPTIONS", {}))
    except HandgradError:
        return Row(OURS, rule, verdict, None, False, False, time.perf_counter() - start, scale)
    bad = {f.name[1:]: f for f in report.findings if f.verdict != "right"}
    names = sorted(fault.names) if fault else []
    exact = sorted(bad) == names and all(f.verdict == verdict for f in bad.values())
    kind = bool(fault) and all(n in bad and bad[n].kind in fault.kinds for n in names)
    return Row(OURS, rule, verdict, report.ok, exact, kind, time.perf_counter() - start, scale)


def theirs(checker: str, name: str, number: int, module: ModuleType, fault: Any, scale: float) -> Row:
    """Another checker on a rule."""
    start = time.perf_counter()
    signal.setitimer(signal.ITIMER_REAL, LIMIT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = OTHERS[checker][1](module, drawn(module, scale))
        except Exception:  # cannot take it: a kernel in float32, another error of the checker's own
            found = None
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    verdict, seconds = fault.verdict if fault else "right", time.perf_counter() - start
    late = seconds >= LIMIT  # whatever it made of the error by which it was ended
    found = None if late else found
    return Row(checker, f"{name} {number}", verdict, found, False, False, seconds, scale, late)


def chosen(faults: list[Any], few: bool) -> list[tuple[int, Any]]:
    """None, for the rule as it is, and its faults by number: all of them, or the first one of each verdict."""
    every = list(enumerate([None, *faults]))
    if not few:
        return every
    first = {fault.verdict: i for i, fault in reversed(every[1:])}
    return [(i, fault) for i, fault in every if fault is None or first[fault.verdict] == i]


def run(tests: Path, pattern: str, others: bool, scales: tuple[float, ...], few: bool) -> list[Row]:
    """All rules whose names have the pattern, right and with faults, through all checkers.

    Raises:
        UsageError: no rules in that folder.
    """
    if not (tests / "rules").is_dir():
        raise UsageError(f"{tests}: has no folder rules; expected the tests of a checkout")
    sys.path.insert(0, str(tests))
    rules = importlib.import_module("rules")
    before = signal.signal(signal.SIGALRM, _late)
    rows = []
    try:
        for name in tqdm([n for n in rules.NAMES if pattern in n], disable=hidden()):
            for number, fault in chosen(rules.faults(name), few):
                module = rules.load(name, fault)
                for scale in scales:
                    rows.append(ours(name, number, module, fault, scale))
                    rows += [
                        theirs(checker, name, number, module, fault, scale)
                        for checker, (framework, _) in OTHERS.items()
                        if others and name.startswith(framework)
                    ]
    finally:
        signal.signal(signal.SIGALRM, before)
    return rows


def summary(rows: list[Row]) -> str:
    """The table: a checker and a scale a row."""
    by_checker: dict[tuple[str, float], list[Row]] = defaultdict(list)
    for row in rows:
        by_checker[row.checker, row.scale].append(row)
    lines = [
        ("checker", "size", "wrong found", "imprecise found", "false alarms", "cannot take", f"in {LIMIT:g} s not",
         "exact", "diagnosis", "median s", "longest s")
    ]  # fmt: skip
    for (checker, scale), some in sorted(by_checker.items(), key=lambda i: ([OURS, *OTHERS].index(i[0][0]), i[0][1])):
        right, wrong, low = ([r for r in some if r.verdict == v] for v in ("right", "wrong", "imprecise"))
        own = checker == OURS
        seconds = [r.seconds for r in some if r.found is not None or r.late or own] or [0.0]
        lines.append(
            (
                checker,
                f"{scale:g}",
                f"{sum(r.found is False for r in wrong)} of {len(wrong)}",
                f"{sum(r.found is False for r in low)} of {len(low)}",
                f"{sum(r.found is False for r in right)} of {len(right)}",
                f"{sum(r.found is None and not r.late for r in some)}",
                f"{sum(r.late for r in some)}",
                f"{sum(r.exact for r in wrong)} + {sum(r.exact for r in low)}" if own else "",
                f"{sum(r.kind for r in wrong)} + {sum(r.kind for r in low)}" if own else "",
                f"{np.median(seconds):.2g}",
                f"{np.max(seconds):.2g}",
            )
        )
    return table(*lines)


@click.command()
@click.option("--tests", type=click.Path(path_type=Path), default=Path("tests"), show_default=True, help="With rules/.")
@click.option("--rules", "pattern", default="", help="Only those with this in their name, as torch_ or norm.")
@click.option("--others/--ours", default=True, help="With the other checkers.")
@click.option(
    "--scale",
    "scales",
    type=click.FloatRange(0, min_open=True),
    multiple=True,
    default=(1.0,),
    show_default=True,
    help="Multiplies the first size of the inputs; may be given several times.",
)
@click.option("--few", is_flag=True, help="Of each rule's faults only the first that is wrong, and that is imprecise.")
@click.option("--json", "as_json", is_flag=True, help="A row a checker and rule, as JSON.")
def main(tests: Path, pattern: str, others: bool, scales: tuple[float, ...], few: bool, as_json: bool) -> None:
    """Checkers on rules for PyTorch and JAX, right and with a planted fault.

    Example: python -m handgrad.benchmarks.rules --rules torch_
    """
    rows = run(tests, pattern, others, scales, few)
    click.echo(dumps([asdict(row) for row in rows]) if as_json else summary(rows))


if __name__ == "__main__":
    main()
