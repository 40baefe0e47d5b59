"""A function over many items on all cores, in order."""

import os
import time

import pytest

from handgrad.data.parallel import ordered_map


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)


def test_results_come_in_the_order_of_items_whichever_is_done_first():
    def slow_if_even(i):
        time.sleep(0.005 * (i % 2 == 0))
        return i * i

    assert list(ordered_map(slow_if_even, range(20))) == [(i, i * i) for i in range(20)]


def test_few_items_are_taken_before_they_are_asked_for():
    taken = []
    results = ordered_map(str, (taken.append(i) or i for i in range(1000)))
    for asked, _ in enumerate(results, start=1):
        assert len(taken) < asked + 8  # four per core


def test_an_error_of_the_function_is_the_callers():
    with pytest.raises(ZeroDivisionError):
        list(ordered_map(lambda i: 1 // i, [2, 1, 0]))


def test_closing_waits_for_what_has_begun_and_begins_nothing_more():
    begun, ended = [], []

    def slow(i):
        begun.append(i)
        time.sleep(0.05)
        ended.append(i)

    results = ordered_map(slow, range(1000))
    next(results)
    results.close()
    assert sorted(begun) == sorted(ended)
    assert len(begun) < 8
