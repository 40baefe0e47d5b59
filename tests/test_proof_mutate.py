"""Mutants of a backward pass, and files from the command line's point of view."""

import pytest

from cases import CASES
from handgrad import UsageError
from handgrad.proof import check_file, mutate

FILE = """
import numpy as np

def inputs():
    return dict(W=np.arange(3.0) + 1)

def forward(W):
    J = np.sum(W**2)
    return dict(J=J)

def backward(W):
    return dict(dW={gradient})
"""


def test_the_check_kills_every_mutant_that_is_not_equivalent():
    case = CASES["article1"]
    mutants = mutate(case.backward, case.forward, case.inputs())
    assert len(mutants.of("killed")) > 50
    assert mutants.ok, f"\n{mutants}"


def test_an_equivalent_mutant_is_told_from_a_survivor():
    def forward(X):
        J = (X**2).sum()
        return dict(J=J)

    def backward(X):
        zero = X - X
        return dict(dX=2 * X + zero * X)

    import numpy as np

    mutants = mutate(backward, forward, dict(X=np.array([1.5, -2.0])))
    assert any("zero" in mutant.edit.before for mutant in mutants.of("equivalent"))
    assert not mutants.of("survived")


def test_variants_alone_need_no_inputs():
    case = CASES["article1"]
    assert all(mutant.status == "" for mutant in mutate(case.backward))


def test_mutating_a_wrong_backward_is_a_usage_error():
    case = CASES["published_article1"]
    with pytest.raises(UsageError, match="does not pass the check"):
        mutate(case.backward, case.forward, case.inputs())


@pytest.mark.parametrize(("gradient", "ok"), [("2 * W", True), ("W", False)])
def test_a_file_is_checked(tmp_path, gradient, ok):
    path = tmp_path / "mine.py"
    path.write_text(FILE.format(gradient=gradient))
    assert check_file(path).ok is ok


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("x = 1", "does not define forward, backward, inputs"),
        ("1 / 0", "raised ZeroDivisionError"),
        ("def", "SyntaxError"),
    ],
)
def test_a_file_that_cannot_be_checked_is_a_usage_error(tmp_path, source, said):
    path = tmp_path / "mine.py"
    path.write_text(source)
    with pytest.raises(UsageError, match=said):
        check_file(path)


def test_a_missing_file_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        check_file(tmp_path / "none.py")
