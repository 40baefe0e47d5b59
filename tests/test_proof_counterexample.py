"""The smallest counterexample: its size, and that its printed test fails until the line is right."""

import subprocess
import sys

import numpy as np
import pytest

from cases import CASES
from handgrad import UsageError
from handgrad.proof import check


def run(source, folder, name):
    """Pytest on a file that holds nothing else; its exit code."""
    path = folder / f"test_{name}.py"
    path.write_text(source)
    return subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", path], cwd=folder).returncode


def test_article_1_shrinks_to_one_example_of_one_feature_and_its_test_fails_until_corrected(tmp_path):
    case = CASES["published_article1"]
    found = check(case.forward, case.backward, case.inputs(), shapes=case.SHAPES).counterexample()
    assert found.name == "dZ"
    assert found.sizes == dict(n=1, m=1)
    assert run(str(found), tmp_path, "as_published") == 1
    corrected = str(found).replace("dA * sigmoid(A) * (1 - sigmoid(A))", "dA * A * (1 - A)")
    assert run(corrected, tmp_path, "corrected") == 0


@pytest.mark.parametrize("name", ["softmax_cross_entropy", "embedding", "layer_norm", "two_layer"])
def test_a_counterexample_of_a_planted_fault_is_small_and_wrong(name, tmp_path):
    case = CASES[name]
    fault = case.FAULTS[0]
    found = check(case.forward, fault.plant(case), case.inputs(), shapes=case.SHAPES).counterexample()
    given = case.inputs()
    assert sum(map(np.size, found.inputs.values())) < sum(map(np.size, given.values()))
    assert run(str(found), tmp_path, name) == 1


def test_sizes_that_are_equal_vary_together_where_nothing_is_said():
    case = CASES["published_article1"]
    found = check(case.forward, case.backward, case.inputs()).counterexample()
    assert set(found.sizes.values()) == {1}


def test_there_is_no_counterexample_to_a_right_line():
    case = CASES["article1"]
    with pytest.raises(UsageError, match="no counterexample"):
        check(case.forward, case.backward, case.inputs()).counterexample()


def test_shapes_that_do_not_fit_are_a_usage_error():
    case = CASES["published_article1"]
    with pytest.raises(UsageError, match="m is"):
        check(case.forward, case.backward, case.inputs(), shapes="W: n 1; b:; X: m m; Y: 1 m").counterexample()
