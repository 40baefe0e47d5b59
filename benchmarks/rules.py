"""Checkers on rules for PyTorch and JAX, as libraries have them, right and with a fault, through each of them.

python -m handgrad.benchmarks.rules

The rules and the faults are those of ``tests/rules``. Beside `handgrad.check` stand `torch.autograd.gradcheck`, slow
and fast, `jax.test_util.check_grads`, and two practices: the rule and the plain program in bfloat16 compared by
allclose with atol = rtol = 0.01, and an error of at most twice the plain program's in bfloat16.
"""

from __future__ import annotations

import importlib
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import numpy as np
from tqdm import tqdm

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
    """

    checker: str
    rule: str
    verdict: str
    found: bool | None
    exact: bool
    kind: bool
    seconds: float


def arguments(module: ModuleType) -> list[Any]:
    """The inputs, in order."""
    return list(module.inputs(np.random.default_rng(0)).values())


def gradcheck(module: ModuleType, fast: bool) -> bool | None:
    """PyTorch's, in float64."""
    import torch

    if isinstance(module.RULE, torch.nn.Module):
        return None
    given = [
        torch.tensor(v, requires_grad=v.dtype.kind == "f") if isinstance(v, np.ndarray) else v
        for v in arguments(module)
    ]
    call = getattr(module.RULE, "apply", module.RULE)
    return bool(torch.autograd.gradcheck(call, given, fast_mode=fast, raise_exception=False))


def check_grads(module: ModuleType) -> bool | None:
    """JAX's, in float64."""
    import jax
    import jax.test_util

    given = arguments(module)
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


def in_bfloat16(module: ModuleType, twice: bool) -> bool | None:
    """The gradients in bfloat16 beside those of the plain program: allclose, or at most twice as far off."""
    from handgrad.proof.custom.protocol import How, rounded

    framework = "torch" if "torch" in module.__name__ else "jax"
    made = importlib.import_module(f"handgrad.proof.custom.{framework}")
    inputs = module.inputs(np.random.default_rng(0))
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


OTHERS: dict[str, tuple[str, Callable[[ModuleType], bool | None]]] = {
    "torch.autograd.gradcheck, slow": ("torch", lambda m: gradcheck(m, fast=False)),
    "torch.autograd.gradcheck, fast": ("torch", lambda m: gradcheck(m, fast=True)),
    "jax.test_util.check_grads": ("jax", check_grads),
    "allclose in bfloat16, 0.01": ("", lambda m: in_bfloat16(m, twice=False)),
    "twice the plain program's error": ("", lambda m: in_bfloat16(m, twice=True)),
}
"""By name: the framework whose rules it takes, and the checker."""


def ours(name: str, number: int, module: ModuleType, fault: Any) -> Row:
    """`handgrad.check` on a rule."""
    from handgrad.proof import check

    start = time.perf_counter()
    verdict = fault.verdict if fault else "right"
    try:
        report = check(module.RULE, module.inputs(np.random.default_rng(0)), **getattr(module, "OPTIONS", {}))
    except HandgradError:
        return Row("handgrad.check", f"{name} {number}", verdict, None, False, False, time.perf_counter() - start)
    bad = {f.name[1:]: f for f in report.findings if f.verdict != "right"}
    names = sorted(fault.names) if fault else []
    exact = sorted(bad) == names and all(f.verdict == verdict for f in bad.values())
    kind = bool(fault) and all(n in bad and bad[n].kind in fault.kinds for n in names)
    return Row("handgrad.check", f"{name} {number}", verdict, report.ok, exact, kind, time.perf_counter() - start)


def run(tests: Path, pattern: str, others: bool) -> list[Row]:
    """All rules whose names have the pattern, right and with each fault, through all checkers.

    Raises:
        UsageError: no rules in that folder.
    """
    if not (tests / "rules").is_dir():
        raise UsageError(f"{tests}: has no folder rules; expected the tests of a checkout")
    sys.path.insert(0, str(tests))
    rules = importlib.import_module("rules")
    rows = []
    for name in tqdm([n for n in rules.NAMES if pattern in n], disable=None):
        for number, fault in enumerate([None, *rules.faults(name)]):
            module = rules.load(name, fault)
            rows.append(ours(name, number, module, fault))
            for checker, (framework, takes) in OTHERS.items() if others else ():
                if not name.startswith(framework):
                    continue
                start = time.perf_counter()
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    try:
                        found = takes(module)
                    except Exception:  # cannot take it: a kernel in float32, another error of the checker's own
                        found = None
                verdict = fault.verdict if fault else "right"
                rows.append(Row(checker, f"{name} {number}", verdict, found, False, False, time.perf_counter() - start))
    return rows


def summary(rows: list[Row]) -> str:
    """The table: a checker a row."""
    by_checker: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_checker[row.checker].append(row)
    lines = [
        ("checker", "wrong found", "imprecise found", "false alarms", "cannot take", "exact", "diagnosis", "median s")
    ]
    for checker, some in by_checker.items():
        right, wrong, low = ([r for r in some if r.verdict == v] for v in ("right", "wrong", "imprecise"))
        own = checker == "handgrad.check"
        lines.append(
            (
                checker,
                f"{sum(r.found is False for r in wrong)} of {len(wrong)}",
                f"{sum(r.found is False for r in low)} of {len(low)}",
                f"{sum(r.found is False for r in right)} of {len(right)}",
                f"{sum(r.found is None for r in some)}",
                f"{sum(r.exact for r in wrong)} + {sum(r.exact for r in low)}" if own else "",
                f"{sum(r.kind for r in wrong)} + {sum(r.kind for r in low)}" if own else "",
                f"{np.median([r.seconds for r in some]):.2f}",
            )
        )
    return table(*lines)


@click.command()
@click.option("--tests", type=click.Path(path_type=Path), default=Path("tests"), show_default=True, help="With rules/.")
@click.option("--rules", "pattern", default="", help="Only those with this in their name, as torch_ or norm.")
@click.option("--others/--ours", default=True, help="With the other checkers.")
@click.option("--json", "as_json", is_flag=True, help="A row a checker and rule, as JSON.")
def main(tests: Path, pattern: str, others: bool, as_json: bool) -> None:
    """Checkers on rules for PyTorch and JAX, right and with a planted fault.

    Example: python -m handgrad.benchmarks.rules --rules torch_
    """
    rows = run(tests, pattern, others)
    click.echo(dumps([asdict(row) for row in rows]) if as_json else summary(rows))


if __name__ == "__main__":
    main()
