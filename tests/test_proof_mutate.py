"""Mutants of a backward pass: which arise, which the check kills, and how they are listed."""

import ast

import numpy as np
import pytest

from cases import CASES
from handgrad import UsageError
from handgrad.proof import mutate


def test_the_check_kills_every_mutant_that_is_not_equivalent():
    case = CASES["article1"]
    mutants = mutate(case.backward, case.forward, case.inputs())
    assert len(mutants.of("killed")) > 40
    assert mutants.ok, f"\n{mutants}"


def test_an_equivalent_mutant_is_told_from_a_survivor():
    def forward(X):
        J = (X**2).sum()
        return dict(J=J)

    def backward(X):
        zero = X - X
        return dict(dX=2 * X + zero * X)

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


def squares(X):
    J = (X**2).sum()
    return dict(J=J)


def twice(X):
    zero = X - X
    dX = 2 * X + zero * 1
    return dict(dX=dX)


def test_which_variable_is_returned_under_a_name_is_no_slip_of_a_formula():
    changed = [mutant.edit for mutant in mutate(twice)]
    assert any(edit.before == "zero" for edit in changed)
    assert not [edit for edit in changed if edit.before == "dX" and isinstance(edit.new, ast.Name)]


def test_the_same_holds_for_a_dictionary_that_is_named_before_it_is_returned():
    def backward(X, Y):
        dX, dY = Y * 2, X * 3
        grads = {"dX": dX}
        grads["dY"] = dY
        return grads

    assert not [m for m in mutate(backward) if m.edit.before == "dX" and isinstance(m.edit.new, ast.Name)]


def test_survivors_are_listed_first_and_the_killed_are_counted_by_kind():
    def flat(X):
        J = (X * 0).sum()
        return dict(J=J)

    def backward(X):
        dX = X * 0 + X * 0
        return dict(dX=dX)

    mutants = mutate(backward, flat, dict(X=np.array([1.5, -2.0])))
    said = str(mutants).splitlines()
    assert mutants.of("killed")
    assert sum(line.startswith("killed") for line in said) == 1
    assert said[-1] == f"{len(mutants)} variants: {len(mutants.of('survived'))} survived, " + (
        f"{len(mutants.of('killed'))} killed, {len(mutants.of('equivalent'))} equivalent"
    )
    every = mutants.listed(every=True).splitlines()
    assert len(every) == len(mutants) + 1


def test_a_pair_with_a_cache_has_variants_too():
    def forward(x, w):
        out = x @ w
        return out, (x, w)

    def backward(dout, cache):
        x, w = cache
        dx = dout @ w.T
        dw = x.T @ dout
        return dx, dw

    rng = np.random.default_rng(0)
    mutants = mutate(backward, forward, dict(x=rng.normal(size=(4, 3)), w=rng.normal(size=(3, 2))))
    assert len(mutants.of("killed")) > 5
    assert mutants.ok, f"\n{mutants}"


def test_a_function_of_numpy_has_no_variants():
    with pytest.raises(UsageError, match="of a library"):
        mutate(np.outer)
    with pytest.raises(UsageError, match="of a library"):
        mutate(np.linalg.norm)


def test_no_progress_bar_where_nobody_watches(capsys):
    mutate(twice, squares, dict(X=np.array([1.5, -2.0])))
    assert capsys.readouterr() == ("", "")
