"""The comparison of gradient checkers: ours finds every planted fault, names the line, and passes what is right."""

import pytest

from handgrad.benchmarks import checkers


def test_ours_finds_all_faults_and_raises_no_false_alarm():
    (row,) = checkers.compare((10,), {"handgrad.check": checkers.ours}, rights=2)
    planted = len(checkers.FAULTS)
    assert (row.found, row.missed, row.false_alarms, row.line_named) == (planted, 0, 0, planted)


@pytest.mark.parametrize("name", checkers.CHECKERS)
def test_every_checker_passes_a_right_gradient_and_finds_a_wrong_sign(name):
    pytest.importorskip(name.split(" ")[0].split(".")[0])
    inputs = checkers.examples(5, 0)
    assert checkers.CHECKERS[name](inputs, lambda dW: dW).right
    assert not checkers.CHECKERS[name](inputs, checkers.spoil_sign).right
