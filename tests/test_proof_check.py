"""The checker: what it says of right and of wrong lines, and of code that is something else than right or wrong."""

import collections
import functools
import json
import random
import sys
import warnings

import numpy as np
import pytest

from cases import CASES, RIGHT
from handgrad import UsageError
from handgrad.proof import check, check_file
from handgrad.proof.checker import Checker
from handgrad.proof.problem import Problem
from handgrad.testing import assert_gradients


def forward(W, b, X, Y):
    Z = W @ X + b
    A = 1 / (1 + np.exp(-Z))
    J = np.mean((A - Y) ** 2) / 2
    return dict(Z=Z, A=A, J=J)


def backward(X, Y, A):
    dA = (A - Y) / X.shape[1]
    dZ = dA * A * (1 - A)
    return dict(dA=dA, dZ=dZ, dW=dZ @ X.T, db=dZ.sum(axis=1, keepdims=True))


@pytest.fixture
def inputs(rng):
    return dict(
        W=rng.standard_normal((1, 3)),
        b=rng.standard_normal((1, 1)),
        X=rng.standard_normal((3, 5)),
        Y=rng.integers(0, 2, (1, 5)).astype(float),
    )


def verdicts(report):
    return {finding.name: finding.verdict for finding in report.findings}


def test_a_right_gradient_is_right_in_every_line(inputs):
    report = check(forward, backward, inputs)
    assert report.ok
    assert verdicts(report) == dict.fromkeys(["dA", "dZ", "dW", "db"], "right")
    assert report.first_wrong is None
    assert report.detectable < 1e-10


def test_a_wrong_line_is_told_from_those_that_it_feeds(inputs):
    def backward(X, Y, A):
        dA = (A - Y) / X.shape[1]
        dZ = dA * A
        return dict(dA=dA, dZ=dZ, dW=dZ @ X.T, db=dZ.sum(axis=1, keepdims=True))

    report = check(forward, backward, inputs)
    assert verdicts(report) == dict(dA="right", dZ="wrong", dW="inherited", db="inherited")
    assert report.first_wrong == "dZ"
    assert not report.ok


def test_two_independent_faults_are_both_found(inputs):
    def backward(X, Y, A):
        dA = -(A - Y) / X.shape[1]
        dZ = dA * A * (1 - A)
        return dict(dA=dA, dZ=dZ, dW=2 * dZ @ X.T, db=dZ.sum(axis=1, keepdims=True))

    report = check(forward, backward, inputs)
    assert verdicts(report) == dict(dA="wrong", dZ="inherited", dW="wrong", db="inherited")
    assert report.first_wrong == "dA"
    assert [finding.kind for finding in report.findings] == ["sign", "", "factor", ""]


def test_a_right_line_that_does_not_use_a_wrong_one_is_right(inputs):
    def backward(X, Y, A):
        dA = A - Y
        dZ = (A - Y) / X.shape[1] * A * (1 - A)
        return dict(dA=dA, dZ=dZ)

    assert verdicts(check(forward, backward, inputs)) == dict(dA="wrong", dZ="right")


def test_a_name_that_backward_leaves_out_is_not_cut(inputs):
    def backward(X, Y, A):
        dZ = (A - Y) / X.shape[1] * A * (1 - A)
        return dict(dW=dZ @ X.T)

    assert check(forward, backward, inputs).ok


def test_article_1_is_named_as_what_it_is():
    case = CASES["published_article1"]
    report = check(case.forward, case.backward, case.inputs(), shapes=case.SHAPES)
    assert report.first_wrong == "dZ"
    assert "uses s(A) (1 - s(A)); the derivative is at Z: A (1 - A)" in str(report)


@pytest.mark.parametrize("name", RIGHT)
def test_every_right_case_passes(name):
    case = RIGHT[name]
    report = check(case.forward, case.backward, case.inputs(1), shapes=case.SHAPES, seed=1)
    assert report.ok, f"\n{report}"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_wrong_entry_among_100000_is_found(rng, dtype):
    share = {"float32": 1e-4, "float64": 1e-9}[dtype]

    def forward(W, X):
        Z = W @ X
        J = np.mean(Z**2)
        return dict(Z=Z, J=J)

    def backward(X, Z):
        dZ = 2 * Z / Z.size
        dW = dZ @ X.T
        dW[0, 54321] *= 1 + share
        return dict(dZ=dZ, dW=dW)

    inputs = dict(W=rng.standard_normal((1, 100_000)).astype(dtype), X=rng.standard_normal((100_000, 2)).astype(dtype))
    report = check(forward, backward, inputs)
    finding = report.findings[1]
    assert (finding.verdict, finding.where, finding.kind) == ("wrong", (0, 54321), "single_entry")


def test_a_small_wrong_entry_does_not_hide_behind_large_ones():
    def forward(W):
        J = np.sum(W**3) / 3
        return dict(J=J)

    def backward(W):
        dW = W**2
        dW[0] *= 1.001
        return dict(dW=dW)

    assert check(forward, backward, dict(W=np.array([1e-6, 1e6, 2e6]))).findings[0].where == (0,)


def test_cancellation_is_no_fault():
    def forward(X):
        C = X - X.mean()
        J = np.sum(C**3)
        return dict(C=C, J=J)

    def backward(C):
        dC = 3 * C**2
        return dict(dC=dC, dX=dC - dC.mean())

    assert check(forward, backward, dict(X=1e8 + np.arange(5.0))).ok


def test_float32_in_the_middle_of_float64_is_named(inputs):
    def backward(X, Y, A):
        dA = ((A - Y) / X.shape[1]).astype(np.float32)
        return dict(dA=dA)

    finding = check(forward, backward, inputs).findings[0]
    assert (finding.verdict, finding.kind) == ("wrong", "low_precision")


def test_code_that_computes_in_float32_is_right_where_its_inputs_are(inputs):
    def backward(X, Y, A):
        dA = ((A - Y) / X.shape[1]).astype(np.float32)
        return dict(dA=dA)

    report = check(forward, backward, {name: value.astype(np.float32) for name, value in inputs.items()})
    assert verdicts(report) == dict(dA="right"), f"\n{report}"
    assert "running error bounds" in str(report)


def relu(X):
    A = np.maximum(X, 0)
    J = np.sum(A)
    return dict(A=A, J=J)


def relu_backward(X, A):
    dA = np.ones_like(A)
    return dict(dA=dA, dX=dA * (X > 0))


@pytest.mark.parametrize(
    ("forward", "slope", "at"),
    [
        (relu, lambda X: (X > 0) * 1.0, [0.0, 1.0, -1.0]),
        (lambda X: dict(J=np.sum(np.abs(X))), np.sign, [0.0, 1.0, -1.0]),
        (lambda X: dict(J=np.max(X)), lambda X: (X.max() == X) * 1.0, [1.0, 1.0, 0.0]),
    ],
)
def test_a_kink_is_unresolved_and_never_a_pass(forward, slope, at):
    report = check(forward, lambda X: dict(dX=slope(X)), dict(X=np.array(at)))
    assert verdicts(report) == dict(dX="unresolved")
    assert "kink" in report.findings[0].diagnosis
    assert not report.ok


def test_outside_the_domain_is_unresolved():
    def forward(X):
        L = np.log(X)
        J = np.sum(L)
        return dict(L=L, J=J)

    report = check(forward, lambda X: dict(dX=1 / X), dict(X=np.array([1.0, -1.0, 0.0])))
    assert verdicts(report) == dict(dX="unresolved")
    assert "L is not finite" in report.findings[0].diagnosis


def test_a_nan_where_there_is_a_number_is_wrong(inputs):
    def backward(X, Y, A):
        dA = (A - Y) / X.shape[1]
        dA[0, 1] = np.nan
        return dict(dA=dA)

    finding = check(forward, backward, inputs).findings[0]
    assert (finding.verdict, finding.where) == ("wrong", (0, 1))


def test_a_gradient_that_overflows_in_its_own_dtype_is_unresolved():
    def forward(W):
        J = np.sum(np.exp(W) / (1 + np.exp(W)))
        return dict(J=J)

    def backward(W):
        return dict(dW=np.exp(W) / (1 + np.exp(W)) ** 2)

    report = check(forward, backward, dict(W=np.array([100.0, 1.0], np.float32)))
    assert report.findings[0].verdict == "unresolved"
    assert "float32" in report.findings[0].diagnosis


def test_an_argument_changed_in_place_is_said(inputs):
    def backward(X, Y, A):
        dA = A
        dA -= Y
        dA /= X.shape[1]
        return dict(dA=dA)

    before = inputs["X"].copy()
    report = check(forward, backward, inputs)
    assert report.notes[0] == "backward changes A in place; on a copy"
    assert verdicts(report) == dict(dA="right")
    assert np.array_equal(inputs["X"], before)


def test_without_the_gradient_of_any_input_nothing_is_proved(inputs):
    report = check(forward, lambda X, Y, A: dict(dA=(A - Y) / X.shape[1]), inputs)
    assert verdicts(report) == dict(dA="right")
    assert not report.ok
    assert "no gradient of an input is given back; there are: W, b, X, Y" in str(report)


def test_an_unsummed_broadcast_is_a_fault_of_shape_and_the_other_lines_are_judged(inputs):
    def backward(X, Y, A):
        dA = (A - Y) / X.shape[1]
        dZ = dA * A * (1 - A)
        return dict(dA=dA, dZ=dZ, dW=-dZ @ X.T, db=dZ)

    report = check(forward, backward, inputs)
    assert verdicts(report) == dict(dA="right", dZ="right", dW="wrong", db="wrong")
    assert report.findings[3].kind == "unsummed_axis"
    assert report.findings[3].shape == (1, 5)


@pytest.mark.parametrize(
    ("backward", "said"),
    [
        (lambda Q: dict(dW=Q), "takes an argument 'Q'"),
        (lambda W: dict(dQ=W), "'dQ', which is the adjoint of nothing"),
        (lambda W: W, "expected a dictionary of adjoints"),
        (lambda W: dict.fromkeys(W[:0]), "expected a dictionary of adjoints"),
        (lambda W: dict(dW=W @ W), "backward raised ValueError"),
        (lambda W: dict(dW=np.random.default_rng().random(W.shape)), "draw random numbers outside"),
    ],
)
def test_what_cannot_be_used_is_a_usage_error_that_says_what(inputs, backward, said):
    with pytest.raises(UsageError, match=said):
        check(forward, backward, inputs)


@pytest.mark.parametrize(
    ("forward", "said"),
    [
        (lambda W: dict(J=W), "expected the scalar cost"),
        (lambda W, V: dict(J=(W * V).sum()), "takes an argument 'V'"),
        (lambda W: dict(J=W @ W), "forward raised ValueError"),
        (lambda W: dict(J=np.random.default_rng().random() * W.sum()), "draw random numbers outside"),
    ],
)
def test_a_forward_that_cannot_be_used_is_a_usage_error(forward, said):
    with pytest.raises(UsageError, match=said):
        check(forward, lambda W: dict(dW=W), dict(W=np.ones((1, 3))))


def test_an_input_that_nobody_takes_is_a_usage_error(inputs):
    with pytest.raises(UsageError, match="inputs has 'lr'"):
        check(forward, backward, inputs | dict(lr=0.1))


def test_a_value_under_two_names_has_an_adjoint_under_each(rng):
    def forward(X, W):
        H = X
        T = np.tanh(W @ H)
        S = T + H
        J = np.sum(S**2)
        return dict(H=H, T=T, S=S, J=J)

    def backward(W, H, T, S):
        dS = 2 * S
        dT = dS
        dH = dS + W.T @ (dT * (1 - T**2))
        return dict(dS=dS, dT=dT, dH=dH, dX=dH, dW=(dT * (1 - T**2)) @ H.T)

    report = check(forward, backward, dict(X=rng.standard_normal((3, 2)), W=rng.standard_normal((3, 3))))
    assert report.ok, f"\n{report}"


def test_a_value_that_the_cost_does_not_use_has_gradient_zero(rng):
    def forward(X, W):
        U = X * W
        J = np.sum(X**2)
        return dict(U=U, J=J)

    inputs = dict(X=rng.standard_normal(3), W=rng.standard_normal(3))
    zero = lambda X: dict(dU=np.zeros(3), dX=2 * X, dW=np.zeros(3))  # noqa: E731
    assert check(forward, zero, inputs).ok
    one = lambda X: dict(dU=np.ones(3), dX=2 * X)  # noqa: E731
    assert check(forward, one, inputs).first_wrong == "dU"


def test_the_cost_itself_may_have_an_adjoint(inputs):
    def backward(X, Y, A):
        dJ = 1.0
        return dict(dJ=dJ, dA=dJ * (A - Y) / X.shape[1])

    assert verdicts(check(forward, backward, inputs)) == dict(dJ="right", dA="right")
    assert check(forward, lambda X, Y, A: dict(dJ=2.0, dA=2 * (A - Y) / X.shape[1]), inputs).first_wrong == "dJ"


def test_inputs_may_be_lists_and_settings_may_be_numbers(rng):
    def forward(Ws, x, slope, twice=True):
        H = Ws[0] @ x
        A = np.where(H > 0, H, slope * H)
        J = np.sum((Ws[1] @ A) ** 2) * (2 if twice else 1)
        return dict(H=H, A=A, J=J)

    def backward(Ws, x, slope, H, A):
        D = 4 * (Ws[1] @ A)
        dA = Ws[1].T @ D
        dH = np.where(H > 0, dA, slope * dA)
        return dict(dA=dA, dH=dH, dWs=[dH @ x.T, D @ A.T])

    Ws = [rng.standard_normal((3, 2)), rng.standard_normal((1, 3))]
    inputs = dict(Ws=Ws, x=rng.standard_normal((2, 4)), slope=0.1)
    report = check(forward, backward, inputs)
    assert report.ok, f"\n{report}"
    assert [finding.name for finding in report.findings] == ["dA", "dH", "dWs[0]", "dWs[1]"]


def test_helpers_closures_and_imports_under_any_name_are_followed(rng):
    import numpy as anything
    from numpy import exp

    scale = 3.0

    def sigmoid(z):
        return 1 / (1 + exp(-z))

    def forward(X):
        import numpy as local

        A = sigmoid(scale * X)
        J = anything.sum(A) + local.mean(A)
        return dict(A=A, J=J)

    def backward(A):
        dA = np.ones_like(A) + 1 / A.size
        return dict(dA=dA, dX=dA * scale * A * (1 - A))

    report = check(forward, backward, dict(X=rng.standard_normal(4)))
    assert report.ok
    assert "operation of forward" in report.oracle


def test_labels_stay_labels_and_indices_stay_indices(rng):
    def forward(Z, y):
        assert y.dtype.kind == "i"
        P = np.exp(Z - Z.max(axis=0))
        P = P / P.sum(axis=0)
        J = -np.mean(np.log(P[y, np.arange(y.size)]))
        return dict(P=P, J=J)

    def backward(P, y):
        dZ = P.copy()
        dZ[y, np.arange(y.size)] -= 1
        return dict(dZ=dZ / y.size)

    report = check(forward, backward, dict(Z=rng.standard_normal((3, 5)), y=rng.integers(0, 3, 5)))
    assert report.ok, f"\n{report}"


def test_zero_weights_hide_no_fault(inputs):
    """At W = 0 and b = 0 the penalty has no gradient, and any factor on it would pass."""

    def forward(W, b, X, Y):
        Z = W @ X + b
        J = np.mean(np.logaddexp(0, Z) - Y * Z) + 0.1 * np.sum(W**2)
        return dict(Z=Z, J=J)

    def backward(W, X, Y, Z):
        dZ = (1 / (1 + np.exp(-Z)) - Y) / X.shape[1]
        return dict(dZ=dZ, dW=dZ @ X.T + 0.1 * W)

    report = check(forward, backward, inputs | dict(W=np.zeros((1, 3)), b=np.zeros((1, 1))))
    finding = report.findings[1]
    assert (finding.verdict, finding.seen_at) == ("wrong", "own")


def test_the_report_is_json_too(inputs):
    report = check(forward, backward, inputs)
    content = json.loads(report.to_json())
    assert content["ok"] is True
    assert [finding["name"] for finding in content["findings"]] == ["dA", "dZ", "dW", "db"]


def test_assert_gradients_fails_with_the_report(inputs):
    assert_gradients(forward, backward, inputs)
    with pytest.raises(AssertionError, match=r"dA +wrong"):
        assert_gradients(forward, lambda A, Y: dict(dA=A - Y), inputs)


def test_a_cost_that_is_not_finite_is_no_pass():
    def forward(W, X):
        Z = W @ X
        return dict(Z=Z, J=np.mean(Z))

    def backward(X, Z):
        dZ = np.full(Z.shape, 1 / max(Z.size, 1))
        return dict(dZ=dZ, dW=dZ @ X.T)

    with np.errstate(invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = check(forward, backward, dict(W=np.ones((1, 2)), X=np.ones((2, 0))))
    assert not report.ok
    assert "the cost is nan" in report.findings[0].diagnosis
    assert check(forward, backward, dict(W=np.ones((1, 2)), X=np.ones((2, 3)))).ok


def test_a_module_that_ends_the_program_is_a_usage_error(tmp_path):
    (tmp_path / "leaves.py").write_text("import sys\nsys.exit(5)\n")
    with pytest.raises(UsageError, match="raised SystemExit: 5"):
        check_file(tmp_path / "leaves.py")


def test_what_has_no_cost_is_not_inherited_from_what_has_none():
    """Saturated: A is 1 where Y is 1, and the cost 0 * log 0; no line is wrong, and none inherits it."""
    case = CASES["embedding"]
    E = np.array([[-1.02, -1.70, -2.55, -0.75], [-0.20, 2.56, -2.01, 1.41], [-4.39, -4.13, -3.77, -1.98],
                  [-1.12, -0.62, -0.05, -5.61], [2.01, 2.60, 0.77, -3.58]])  # fmt: skip
    K = np.array([[0, 0, 4, 4], [3, 2, 2, 2]])
    W = np.array([[-0.284], [-0.188], [-1.057], [-5.090]])
    report = Checker(Problem(case.forward, case.backward), shapes=case.SHAPES).check(
        dict(E=E, K=K, W=W, b=np.array([1.739]), Y=np.array([[0.0], [1.0]])), seed=810497973
    )
    assert not {finding.verdict for finding in report.findings} & {"wrong", "inherited"}, f"\n{report}"


@pytest.mark.parametrize("factor", [1, 3])
@pytest.mark.parametrize(
    "write", [lambda Z: np.maximum(Z, 0, out=Z), lambda Z: np.tanh(Z, out=Z)], ids=["relu", "tanh"]
)
def test_two_names_of_one_array_are_judged_once(rng, write, factor):
    """Z is gone when A is there: what is left is A, whose dA is judged, and no dZ."""

    def forward(W, X):
        Z = W @ X
        A = write(Z)
        return {"Z": Z, "A": A, "J": np.sum(A**3)}

    def backward(X, A):
        dA = 3 * A**2
        slope = A > 0 if A.min() >= 0 else 1 - A**2
        dZ = factor * dA * slope
        return {"dA": dA, "dZ": dZ, "dW": dZ @ X.T}

    report = check(forward, backward, {"W": rng.normal(size=(2, 3)), "X": rng.normal(size=(3, 4))})
    assert {f.name: f.verdict for f in report.findings} == {"dA": "right", "dW": "right" if factor == 1 else "wrong"}
    assert "Z and A are one array, which forward writes to: it is judged once, as A" in report.notes


def test_an_adjoint_that_backward_has_written_to_since_is_not_judged(rng):
    """What the table shows is what was judged: no line is right beside an expected that it misses."""

    def forward(x):
        y = np.sin(x)
        z = y**2
        return {"y": y, "z": z, "J": np.sum(z)}

    def backward(x, y, z):
        dz = np.ones_like(z)
        dy = dz
        dy *= 2 * y
        return {"dz": dz, "dy": dy, "dx": dy * np.cos(x)}

    report = check(forward, backward, {"x": rng.normal(size=5)})
    assert report.ok, f"\n{report}"
    assert [f.name for f in report.findings] == ["dy", "dx"]
    assert all(f.hand == pytest.approx(f.expected) for f in report.findings)
    assert "dz and dy are one array, which backward writes to: it is judged once, as dy" in report.notes


@pytest.mark.parametrize("spelt", ["w**2", "w*w", "np.square(w)", "w*w.copy()", "w@w", "np.dot(w, w)", "np.vdot(w, w)"])
def test_a_forgotten_penalty_is_a_missing_term_however_it_is_spelt(rng, spelt):
    penalty = eval(f"lambda w: np.sum({spelt})", {"np": np})

    def forward(w, X, y):
        r = X @ w - y
        return {"r": r, "J": np.sum(r * r) / 2 + 0.1 * penalty(w)}

    def backward(X, r):
        return {"dr": r, "dw": X.T @ r}

    inputs = {"w": rng.normal(size=3), "X": rng.normal(size=(6, 3)), "y": rng.normal(size=6)}
    found = {f.name: (f.verdict, f.kind) for f in check(forward, backward, inputs).findings}
    assert found == {"dr": ("right", ""), "dw": ("wrong", "dropped_term")}


def test_a_backward_without_a_name_of_its_own_is_taken(rng):
    """A partial function, and an object that is called."""

    def forward(x, W):
        return x @ W, (x, W)

    def backward(dout, cache, factor):
        x, W = cache
        return dout @ W.T, factor * x.T @ dout

    class Called:
        def __call__(self, dout, cache):
            return backward(dout, cache, 1)

    inputs = {"x": rng.normal(size=(4, 3)), "W": rng.normal(size=(3, 2))}
    for right in functools.partial(backward, factor=1), Called():
        assert check(forward, right, inputs).ok
    assert not check(forward, functools.partial(backward, factor=2), inputs).ok


GLOBAL = np.random.mtrand
"""NumPy's global generator, from which people's code draws."""


def changes_the_generator():
    GLOBAL.set_bit_generator(np.random.PCG64(0))
    return GLOBAL.rand()


@pytest.mark.parametrize(
    "use",
    [
        GLOBAL.rand,
        lambda: GLOBAL.randn(3),  # of two that are made together one is kept
        lambda: (GLOBAL.seed(0), GLOBAL.randn(3)),
        changes_the_generator,
        random.random,
    ],
)
@pytest.mark.parametrize("kept", [False, True])
def test_global_random_numbers_are_the_same_in_each_call_and_go_on_as_if_none_had_been_drawn(use, kept):
    drawn = collections.deque()  # of which no copy is made, as of a list

    def forward(x):
        drawn.append(use())
        return {"J": np.sum(x**2)}

    def backward(x):
        return {"dx": 2 * x}

    GLOBAL.seed(0)
    GLOBAL.randn(3 if kept else 2)
    before = GLOBAL.get_state(), random.getstate()
    assert check(forward, backward, {"x": np.ones(3)}).ok
    assert type(GLOBAL.get_bit_generator()) is np.random.MT19937
    np.testing.assert_equal((GLOBAL.get_state(), random.getstate()), before)
    assert len(drawn) > 3
    for numbers in drawn:
        np.testing.assert_equal(numbers, drawn[0])


def test_a_package_whose_import_is_blocked_is_not_asked(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    assert check(lambda x: {"J": np.sum(x**2)}, lambda x: {"dx": 2 * x}, {"x": np.ones(3)}).ok
