"""Rules for PyTorch and JAX: right ones pass at every precision, planted faults are found and told apart."""

import numpy as np
import pytest
from rules import NAMES, faults, load

from conftest import SEED
from handgrad.proof import check

FRAMEWORKS = [name for name in ("torch", "jax") if any(n.startswith(name) for n in NAMES)]


def needs(name):
    pytest.importorskip(name.partition("_")[0])
    if "triton" in name:
        pytest.importorskip("triton")
    return name


def verdicts(report):
    return {f.name[1:]: f.verdict for f in report.findings if f.verdict != "right"}


def checked(name, fault=None):
    module = load(needs(name), fault)
    return check(module.RULE, module.inputs(np.random.default_rng(SEED)), **getattr(module, "OPTIONS", {}))


@pytest.mark.parametrize("name", NAMES)
def test_a_right_rule_is_right_at_every_precision(name):
    report = checked(name)
    assert report.ok, f"\n{report}"
    assert set(report.precisions) >= {"float32", "bfloat16", "float16"}


@pytest.mark.parametrize("name", NAMES)
def test_faults_are_found_in_the_gradients_that_they_spoil(name):
    """Two of each rule's, others with another seed; all of them by ``python -m handgrad.benchmarks.rules``."""
    planted = faults(needs(name))
    wrong = [f for f in planted if f.verdict == "wrong"]
    imprecise = [f for f in planted if f.verdict == "imprecise"]
    for fault in (wrong[SEED % len(wrong)], imprecise[SEED % len(imprecise)]):
        report = checked(name, fault)
        assert verdicts(report) == dict.fromkeys(fault.names, fault.verdict), f"{fault}\n{report}"
