"""Cross-validation: no example is predicted by a neuron that saw it, and the choice is the rule's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handgrad import DataError, DivergedError, UsageError
from handgrad.backends.numpy import Neuron
from handgrad.optimizers import LBFGS, SGD, GradientDescent
from handgrad.validation import Measured, Row, cross_validate, one_standard_error, stratified_folds
from handgrad.views import mirrored, standardised


@given(zeros=st.integers(5, 60), ones=st.integers(5, 60), folds=st.integers(2, 5), seed=st.integers(0, 100))
def test_folds_are_alike(zeros, ones, folds, seed):
    Y = np.random.default_rng(seed).permutation(np.repeat([0, 1], [zeros, ones]))[np.newaxis]
    which = stratified_folds(Y, folds, seed)
    for of in which[Y[0] == 0], which[Y[0] == 1], which:
        sizes = np.bincount(of, minlength=folds)
        assert sizes.max() - sizes.min() <= 1
    np.testing.assert_array_equal(which, stratified_folds(Y, folds, seed))


@pytest.fixture
def examples(rng):
    X = rng.integers(0, 256, (60, 30), np.uint8).T
    return X, (rng.random((1, 60)) < 0.2 + 0.6 * (X[:1] > 128)).astype(np.uint8)


def test_each_example_is_predicted_once_by_a_neuron_that_did_not_see_it(backend, examples):
    X, Y = examples
    neuron = backend(input_scale=1 / 255, dtype="float64")
    rows = cross_validate(neuron, X, Y, l2=[0.1, 0.01], folds=3, seed=5, optimizer=LBFGS(tolerance=1e-9))
    which = stratified_folds(Y, 3, 5)
    assert [row.l2 for row in rows] == [0.01, 0.1]
    for row in rows:
        right = 0
        for fold in range(3):
            exact = Neuron(input_scale=1 / 255, dtype="float64", l2=row.l2)
            inside, out = which != fold, which == fold
            P, _ = exact.fit(X[:, inside], Y[:, inside], epochs=1000, optimizer=LBFGS(tolerance=1e-9))
            plain = Neuron(input_scale=1 / 255, dtype="float64")
            assert row.cost.folds[fold] == pytest.approx(plain.cost(P, X[:, out], Y[:, out]), rel=1e-5)
            assert row.accuracy.folds[fold] == plain.accuracy(P, X[:, out], Y[:, out])
            right += round(row.accuracy.folds[fold] * out.sum())
        assert (row.right, row.examples) == (right, 60)
        assert row.interval[0] < row.right / 60 < row.interval[1]


@pytest.mark.parametrize("optimizer", [GradientDescent(0.5), SGD(0.05)], ids=["gd", "sgd"])
def test_other_optimizers_begin_anew_for_each_penalty(examples, optimizer):
    neuron = Neuron(input_scale=1 / 255)
    both = cross_validate(neuron, *examples, l2=[0.1, 0.2], epochs=9, optimizer=optimizer)
    alone = cross_validate(neuron, *examples, l2=[0.1], epochs=9, optimizer=optimizer)
    assert both[0] == alone[0]


def test_the_held_out_examples_are_seen_as_the_others_and_do_not_change_how(examples):
    X, Y = examples
    seen = []

    def see(X, Y):
        views = standardised(mirrored(X, (2, 5, 3)))
        seen.append((X.shape, views.views[0].mean))
        return views, np.tile(Y, 2)

    (row,) = cross_validate(Neuron(dtype="float64"), X, Y, l2=[1.0], folds=4, see=see)
    assert [shape for shape, _ in seen] == [(30, 45)] * 4
    assert len({mean.tobytes() for _, mean in seen}) == 4
    assert 0 < row.cost.mean < 1


def test_a_training_that_diverges_names_its_fold_and_penalty(examples):
    neuron = Neuron("identity", "squared_error")
    with pytest.raises(DivergedError, match=r"fold 1, l2 2: training diverged"):
        cross_validate(neuron, *examples, l2=[1, 2], epochs=99, optimizer=GradientDescent(10.0))


def test_what_cannot_be_dealt_is_one_line(examples):
    X, Y = examples
    with pytest.raises(UsageError, match="folds is 1"):
        cross_validate(Neuron(), X, Y, l2=[0], folds=1)
    with pytest.raises(UsageError, match="l2 is empty"):
        cross_validate(Neuron(), X, Y, l2=[])
    with pytest.raises(DataError, match=r"Y ndarray \(60,\); expected NumPy arrays"):
        cross_validate(Neuron(), X, Y[0], l2=[0])
    with pytest.raises(DataError, match=r"X has shape"):
        cross_validate(Neuron(), X[0], Y, l2=[0])
    with pytest.raises(DataError, match="class 1 has 0 examples"):
        cross_validate(Neuron(), X, np.zeros_like(Y), l2=[0])


def test_a_row_does_not_depend_on_the_others(examples):
    neuron = Neuron(input_scale=1 / 255, dtype="float64")
    alone = cross_validate(neuron, *examples, l2=0.0, epochs=30)
    among = cross_validate(neuron, *examples, l2=[0.0, 1.0], epochs=30)
    assert among[0] == alone[0]


def row(l2, accuracy, cost):
    return Row(l2, Measured(tuple(accuracy)), Measured(tuple(cost)), 1, 2)


def test_the_rule_takes_the_largest_penalty_within_one_standard_error():
    rows = [
        row(0.0, (0.6, 0.7), (0.9, 1.0)),
        row(0.1, (0.8, 0.9), (0.4, 0.6)),  # best: 0.85 and 0.5, with a standard error of 0.05 and of 0.1
        row(0.2, (0.8, 0.81), (0.55, 0.6)),
        row(0.3, (0.7, 0.8), (0.59, 0.6)),
        row(0.4, (0.5, 0.5), (0.6, 0.61)),
    ]
    assert rows[1].accuracy.mean == pytest.approx(0.85)
    assert rows[1].accuracy.error == pytest.approx(0.05)
    assert one_standard_error(rows, "accuracy").l2 == 0.2
    assert one_standard_error(rows, "cost").l2 == 0.3
    assert one_standard_error(rows[:1]).l2 == 0.0
