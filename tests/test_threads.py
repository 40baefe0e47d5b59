"""Settings of the whole process that are held while they are needed, by one thread or several, and then given back."""

import itertools
import os
import threading
import time

import numpy as np
import pytest

from handgrad import Parameters, threads
from handgrad.backends.numpy import Neuron
from handgrad.optimizers import LBFGS
from handgrad.threads import Held, one_blas_thread, shares


def test_a_setting_is_given_back_by_the_last_that_holds_it():
    value = ["its own"]

    def change():
        was, value[0] = value[0], "ours"
        return lambda: value.__setitem__(0, was)

    held = Held(change)

    def user():
        with held():
            yield value[0]

    first, second = user(), user()
    assert (next(first), next(second)) == ("ours", "ours")
    assert next(first, "ended") == "ended"
    assert value == ["ours"]
    assert next(second, "ended") == "ended"
    assert value == ["its own"]
    with pytest.raises(ZeroDivisionError), held():
        1 / 0  # noqa: B018
    assert value == ["its own"]


def blas():
    threadpoolctl = pytest.importorskip("threadpoolctl")
    return [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["internal_api"] == "openblas"]


def test_openblas_has_its_threads_back_after_trainings_in_several_threads():
    numba = pytest.importorskip("handgrad.backends.numba", exc_type=ImportError)
    optimizer = LBFGS()  # which brings SciPy's OpenBLAS
    before, rng = blas(), np.random.default_rng(0)
    X, Y = rng.integers(0, 256, (20, 300), np.uint8), rng.integers(0, 2, (1, 300))
    several = [
        threading.Thread(
            target=numba.Neuron(input_scale=1 / 255).fit, args=(X, Y), kwargs=dict(epochs=e, optimizer=optimizer)
        )
        for e in (3, 40, 9, 25)
    ]
    for thread in several:
        thread.start()
    for thread in several:
        thread.join()
    assert blas() == before


def test_pytorchs_precision_is_given_back_where_two_threads_hold_it():
    torch = pytest.importorskip("torch")
    from handgrad.backends.torch import full_precision

    torch.set_float32_matmul_precision("medium")
    try:
        first, second = full_precision("cpu"), full_precision("cpu")
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert torch.get_float32_matmul_precision() == "highest"
        second.__exit__(None, None, None)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_shares_are_consecutive_and_come_back_in_their_order():
    threadpoolctl = pytest.importorskip("threadpoolctl")
    with threadpoolctl.threadpool_limits(2):
        for work in range(1), range(2), range(7), range(0, 100, 3):
            found = shares(lambda some: (time.sleep(0.01 * (some[0] == 0)), list(some))[1], work)
            assert [*itertools.chain(*found)] == list(work)
            assert len(found) <= 2


def test_an_error_in_a_share_is_raised_and_the_threads_are_given_back():
    before = blas()
    with pytest.raises(ZeroDivisionError):
        shares(lambda some: 1 / (some[0] - 1), range(2))
    assert blas() == before


def test_without_threadpoolctl_one_share_is_all(without, request):
    request.addfinalizer(threads._found.cache_clear)
    threads._found.cache_clear()
    without("threadpoolctl")
    assert shares(list, range(9)) == [list(range(9))]
    with one_blas_thread():
        pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_has_threads_of_its_own(monkeypatch):
    from handgrad import pieces

    monkeypatch.setattr(pieces, "MANY", 0)
    monkeypatch.setattr(pieces, "PIECE", 288)
    X, Y, P = np.zeros((12, 50), np.uint8), np.zeros((1, 50)), Parameters.zeros(12)
    assert Neuron().cost(P, X, Y) == pytest.approx(np.log(2))
    child = os.fork()
    if not child:
        os._exit(int(abs(Neuron().cost(P, X, Y) - np.log(2)) > 1e-6))
    for _ in range(200):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        time.sleep(0.05)
    else:
        os.kill(child, 9)
    assert (ended, status) == (child, 0)
