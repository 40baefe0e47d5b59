"""The oracles: that they agree, that the noise is what it says, and that a wrong oracle is outvoted."""

import numpy as np
import pytest

from cases import CASES, RIGHT
from handgrad import backends
from handgrad.proof import check
from handgrad.proof.backends import prove_backend
from handgrad.proof.forms import understand
from handgrad.proof.instrument import NoSourceError, instrument
from handgrad.proof.noise import Rounding
from handgrad.proof.numerical import Numerical
from handgrad.proof.problem import Problem, cast
from handgrad.proof.rules import ELEMENTWISE
from handgrad.proof.tape import plain
from handgrad.proof.taped import FromTape
from handgrad.proof.wide import WIDE


@pytest.mark.parametrize("name", [name for name in RIGHT if name != "probit"])  # SciPy's ndtr has no long double
def test_the_tape_and_the_numerical_oracle_agree_line_by_line(name):
    case = CASES[name]
    problem = Problem(case.forward, case.backward)
    run = problem.run(cast(case.inputs(), WIDE, set()))
    wrt = list(run.hands)
    cotangents = {n: hand * 1.5 for n, hand in run.hands.items()}  # any adjoints do, right ones are no better
    taped, numerical = FromTape(problem, wrt).local(run, cotangents), Numerical(problem, wrt).local(run, cotangents)
    for n in wrt:
        scale = np.max(np.abs(taped.values[n]))
        assert np.all(np.abs(taped.values[n] - numerical.values[n]) <= 64 * numerical.errors[n] + 1e-15 * scale), n


def changed(x, change):
    """The sum of squares of a copy, once it was changed in place."""
    y = 2 * x
    change(y)
    return np.sum(y * y)


FOLLOWED = {
    "nansum": lambda x: np.nansum(np.where(x > 0, x, np.nan) ** 2),
    "nanmean": lambda x: np.nanmean(np.where(np.eye(4) > 0, np.nan, x) ** 2, axis=1).sum(),
    "multi_dot": lambda x: np.linalg.multi_dot([x, x.T, x[0]]).sum(),
    "matrix_power": lambda x: np.linalg.matrix_power(x, 3).sum(),
    "c_": lambda x: np.sum(np.c_[np.ones(4), x, x[0]] ** 3),
    "r_": lambda x: np.sum(np.r_[x[0], 1.0, x[1]] ** 3),
    "sum of a list": lambda x: np.sum([row.sum() ** 2 for row in x]),
    "mean of a list": lambda x: np.mean([row[0] ** 2 for row in x]),
    "dot of lists": lambda x: np.dot([x[0, 0], x[1, 1]], [x[0, 1], x[1, 0]]),
    "as_strided": lambda x: np.sum(np.lib.stride_tricks.as_strided(x, (3, 3, 2, 2), x.strides * 2) ** 3),
    "sliding_window_view": lambda x: np.sum(np.lib.stride_tricks.sliding_window_view(x, (2, 2)) ** 3),
    "kron": lambda x: np.sum(np.kron(x, x[:2]) ** 2),
    "convolve": lambda x: np.sum(np.convolve(x[0], x[1]) ** 2),
    "einsum": lambda x: np.einsum("ij,jk,ik->", x, x, x),
    "tensordot": lambda x: np.sum(np.tensordot(x, x, axes=([0], [1])) ** 2),
    "take_along_axis": lambda x: np.sum(np.take_along_axis(x, np.argsort(plain(x), 1), 1) * np.arange(4)),
    "put_along_axis": lambda x: changed(x, lambda y: np.put_along_axis(y, np.zeros((4, 1), int), x[:, 1:2], 1)),
    "add.at": lambda x: changed(x, lambda y: np.add.at(y, [0, 1, 1, 0], x)),
    "fill_diagonal": lambda x: changed(x, lambda y: np.fill_diagonal(y, 0)),
    "fill_diagonal with an array": lambda x: changed(x, lambda y: np.fill_diagonal(y, x.sum(axis=0))),
    "cumprod": lambda x: np.sum(np.cumprod(x, axis=1)),
    "logaddexp.reduce": lambda x: np.logaddexp.reduce(x, axis=1).sum(),
    "average": lambda x: np.average(x, axis=0, weights=[1.0, 2, 3, 4]).sum() ** 2,
    "std": lambda x: np.std(x, axis=0).sum(),
    "pad": lambda x: np.sum(np.pad(x, 1, mode="edge") ** 2),
    "select": lambda x: np.select([x > 1, x > 0], [x**2, 3 * x], 0.0).sum(),
}


@pytest.mark.parametrize("name", FOLLOWED)
def test_the_tape_and_the_numerical_oracle_agree_on_functions_of_numpy(name, rng):
    function = FOLLOWED[name]
    problem = understand((lambda x: (function(x), x),), {"x": rng.standard_normal((4, 4))}, cost=0)
    run = problem.run(cast(problem.inputs, WIDE, {"x"}))
    taped, numerical = FromTape(problem, ["x"]).total(run).values["x"], Numerical(problem, ["x"], WIDE).total(run)
    assert np.any(taped)
    assert np.all(np.abs(taped - numerical.values["x"]) <= 64 * numerical.errors["x"] + 1e-14 * np.max(np.abs(taped)))


def test_noise_shows_cancellation_that_moving_the_arguments_does_not(rng):
    x = np.array([1e-9, 1.0], WIDE)
    moved = [np.asarray((Rounding(rng, 2.0**-53).wrap(x) + 1) - 1) for _ in range(4)]
    off = np.max(np.abs(np.array(moved) - ((x + 1) - 1)), axis=0)
    assert 1e-18 < off[0] < 1e-15
    assert off[0] / x[0] > 1e3 * off[1] / x[1] / 10


def test_nudging_moves_equal_numbers_together(rng):
    z = rng.standard_normal((4, 3)).astype(WIDE)
    top = z.max(axis=0)
    rounding = Rounding(rng, 2.0**-53)
    assert np.array_equal(rounding.nudge(z) == rounding.nudge(top), z == top)
    assert not np.array_equal(rounding.nudge(z), z)


def test_the_hook_stands_after_the_last_assignment():
    def forward(X):
        A = X + 1
        A *= 2
        B = A[:1]
        B = B + A.sum()
        J = B.sum()
        return dict(A=A, B=B, J=J)

    seen = {}
    hooked = instrument(forward, lambda name, value: seen.setdefault(name, value.copy()) * 0)
    assert hooked(np.ones(2))["J"] == 0
    assert np.array_equal(seen["A"], [4, 4])
    assert np.array_equal(seen["B"], [0])  # of the A that the hook returned


def test_code_without_source_says_so():
    scope = {}
    exec("def forward(X):\n    return dict(J=X.sum())", scope)
    with pytest.raises(NoSourceError):
        instrument(scope["forward"], lambda _, value: value)


def test_an_oracle_that_is_outvoted_is_blamed_and_not_the_user(monkeypatch, rng):
    """A rule of the tape spoilt on purpose: the check goes on with what differences of forward say."""
    monkeypatch.setitem(ELEMENTWISE, "tanh", lambda out, _: (2 * (1 - out * out),))

    def forward(X):
        A = np.tanh(X)
        J = A.sum()
        return dict(A=A, J=J)

    report = check(forward, lambda A: dict(dX=1 - A**2), dict(X=rng.standard_normal(4)))
    assert report.ok, f"\n{report}"
    assert "complex step and extrapolated differences of forward itself disagree" in report.notes[0]
    assert "complex step" in report.oracle


def test_where_oracles_disagree_and_neither_is_confirmed_nothing_passes(monkeypatch, rng):
    monkeypatch.setitem(ELEMENTWISE, "tanh", lambda out, _: (2 * (1 - out * out),))

    def forward(X):
        J = np.sum(np.abs(np.tanh(X)))  # not analytic: there is no complex step
        return dict(J=J)

    report = check(forward, lambda X: dict(dX=np.sign(X) * (1 - np.tanh(X) ** 2)), dict(X=rng.standard_normal(4)))
    assert [finding.verdict for finding in report.findings] == ["unresolved"], f"\n{report}"


@pytest.mark.parametrize("name", ["numpy", "numba", "torch", "jax"])
def test_the_neuron_is_proved_over_all_losses_and_activations(name):
    pytest.importorskip(name)
    report = prove_backend(backends.load(name), name)
    assert report.ok, f"\n{report}"
    assert len(report.proved) == 10


def test_a_wrong_backend_is_found(monkeypatch):
    Neuron = backends.load("numpy")
    right = Neuron.sums

    def spoilt(self, *args):
        sums = right(self, *args)
        return sums._replace(db=sums.db * (1 + 1e-5))

    monkeypatch.setattr(Neuron, "sums", spoilt)
    rows = prove_backend(Neuron, "numpy").proved
    assert not any(row.ok for row in rows if row.dtype == "float64")
