"""Random, stratified, reproducible: the order of photographs and their split."""

from fractions import Fraction
from math import floor

from hypothesis import given
from hypothesis import strategies as st

from handgrad.data.split import is_validation, stratified_order

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


@given(st.integers(0, 500), st.integers(0, 999))
def test_of_any_c_items_exactly_the_floor_of_the_share_is_for_validation(c, thousandths):
    share = Fraction(thousandths, 1000)
    assert sum(is_validation(k, share) for k in range(c)) == floor(share * c)


def test_a_share_that_binary_fractions_miss_is_still_exact():
    assert floor(0.29 * 100) == 28
    assert sum(is_validation(k, Fraction("0.29")) for k in range(100)) == 29
