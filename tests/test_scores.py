"""How good, and how sure: against other people's code, and against brute force."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handgrad.scores import Score, reliability, roc_area, roc_curve, wilson


@given(m=st.integers(1, 500), share=st.floats(0, 1))
def test_the_interval_is_where_the_observed_share_is_no_surprise(m, share):
    """Its ends p solve |k / m - p| = z sqrt(p (1 - p) / m)."""
    k = round(share * m)
    low, high = wilson(k, m)
    assert 0 <= low <= k / m <= high <= 1
    for end in (low if k else None), (high if k < m else None):
        if end is not None:
            assert abs(k / m - end) == pytest.approx(1.959963984540054 * math.sqrt(end * (1 - end) / m), rel=1e-9)


def test_the_interval_is_scipys():
    stats = pytest.importorskip("scipy.stats")
    for k, m in (0, 7), (7, 7), (1, 3), (288, 400), (1400, 2002):
        expected = stats.binomtest(k, m).proportion_ci(method="wilson")
        assert wilson(k, m) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert wilson(0, 0) == (0, 1)


EXAMPLES = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.5, 0.50001, 0.9, 1.0]), st.integers(0, 1)), max_size=30)


@given(EXAMPLES)
def test_the_area_is_the_share_of_pairs_in_the_right_order(examples):
    A, Y = (np.array([e[i] for e in examples]).reshape(1, -1) for i in (0, 1))
    ones, zeros = A[Y == 1], A[Y == 0]
    if not (ones.size and zeros.size):
        assert roc_area(A, Y) is None
        return
    pairs = ones[:, None] - zeros
    expected = ((pairs > 0).sum() + (pairs == 0).sum() / 2) / pairs.size
    assert roc_area(A, Y) == pytest.approx(expected, abs=1e-12)
    false, true = roc_curve(A, Y)
    assert np.trapezoid(true, false) == pytest.approx(expected, abs=1e-12)
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)


@given(EXAMPLES.filter(bool))
def test_a_score_counts_every_example_once(examples):
    A, Y = (np.array([e[i] for e in examples]).reshape(1, -1) for i in (0, 1))
    score = Score.of(0.3, A, Y, probabilities=True)
    assert sum(map(sum, score.confusion)) == sum(found.examples for found in score.reliability) == len(examples)
    assert score.accuracy == np.mean((A > 0.5) == Y)
    for label in 0, 1:
        for taken in 0, 1:
            assert score.confusion[label][taken] == ((label == Y) & ((A > 0.5) == taken)).sum()
    assert score.accuracy_interval == wilson(round(score.accuracy * len(examples)), len(examples))
    assert Score.of(0.3, A, Y, probabilities=False).to_json()["reliability"] is None
    assert [found["low"] for found in score.to_json()["reliability"]] == sorted(
        {min(int(a * 10), 9) / 10 for a in A[0]}
    )


def test_reliability_of_probabilities_that_are_right(rng):
    A = rng.random((1, 20_000))
    for found in reliability(A, (rng.random(A.shape) < A).astype(int)):
        assert found.low <= found.predicted <= found.high
        assert abs(found.observed - found.predicted) < 0.05
        assert found.interval[0] < found.observed < found.interval[1]


def test_a_figure_has_the_numbers_of_the_tables(rng):
    pytest.importorskip("matplotlib")
    from handgrad import look

    A = rng.random((1, 300))
    Y = (rng.random(A.shape) < A).astype(int)
    figure = look.scores({"train": (A, Y), "one class": (A, np.ones_like(Y))}, probabilities=True)
    roc, of_bins = figure.axes
    assert [text.get_text() for text in roc.get_legend().get_texts()] == [f"train, area {roc_area(A, Y):.3f}"]
    observed = of_bins.containers[0].lines[0].get_ydata()
    np.testing.assert_array_equal(observed, [found.observed for found in reliability(A, Y)])
    assert len(look.scores({"train": (A, Y)}, probabilities=False).axes) == 1
