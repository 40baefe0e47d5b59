"""Random, stratified, reproducible: the order of photographs and their split."""

from fractions import Fraction
from math import floor

from hypothesis import given
from hypothesis import strategies as st

from handgrad.data.split import split_of, stratified_order

COUNTS = st.integers(1, 60)
SEEDS = st.integers(0, 2**32)


def groups_of(a, b):
    return [[("a", i) for i in range(a)], [("b", i) for i in range(b)]]


@given(COUNTS, COUNTS, SEEDS)
def test_the_order_holds_every_item_once(a, b, seed):
    groups = groups_of(a, b)
    assert sorted(stratified_order(groups, seed)) == sorted(groups[0] + groups[1])


@given(COUNTS, COUNTS, SEEDS)
def test_every_prefix_holds_each_class_in_its_share_within_one(a, b, seed):
    seen = 0
    for length, (name, _) in enumerate(stratified_order(groups_of(a, b), seed), start=1):
        seen += name == "a"
        assert abs(seen - length * Fraction(a, a + b)) <= 1


@given(COUNTS, COUNTS, SEEDS)
def test_the_same_seed_gives_the_same_order(a, b, seed):
    assert stratified_order(groups_of(a, b), seed) == stratified_order(groups_of(a, b), seed)


def test_another_seed_gives_another_order():
    orders = {tuple(stratified_order(groups_of(20, 20), seed)) for seed in range(10)}
    assert len(orders) == 10


def test_each_place_in_the_order_is_as_likely_for_every_item():
    first = [stratified_order([list(range(4)), []], seed)[0] for seed in range(400)]
    assert all(70 <= first.count(item) <= 130 for item in range(4))  # 100 expected, 3.5 standard deviations


@given(st.integers(0, 500), st.integers(0, 999), st.integers(0, 999))
def test_of_any_c_items_exactly_the_floors_of_the_shares_are_kept_apart(c, thousandths, others):
    test, validation = Fraction(thousandths, 1000), Fraction(min(others, 999 - thousandths), 1000)
    found = [split_of(k, validation, test) for k in range(c)]
    assert found.count("test") == floor(test * c)
    assert found.count("valid") == floor((c - floor(test * c)) * validation / (1 - test))
    assert set(found) <= {"train", "valid", "test"}


@given(st.integers(0, 200), st.integers(0, 500), st.integers(0, 499))
def test_what_is_tested_does_not_depend_on_what_is_validated(k, test, validation):
    shares = Fraction(validation, 1000), Fraction(test, 1000)
    assert (split_of(k, *shares) == "test") == (split_of(k, Fraction(0), shares[1]) == "test")


def test_a_share_that_binary_fractions_miss_is_still_exact():
    assert floor(0.29 * 100) == 28
    assert [split_of(k, Fraction("0.29"), Fraction(0)) for k in range(100)].count("valid") == 29
