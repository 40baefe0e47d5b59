"""The hand-derived gradients are right: they equal autograd's, and extended precision's, within derived bounds."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from handgrad import MissingExtraError, Neuron, Parameters, Sums, backends
from handgrad.backends.numpy import Neuron as ByHand
from handgrad.exact import CONFIGURATIONS, exact
from handgrad.rounding import bounds, gamma

# Few shapes, penalties and scales, because XLA compiles for each; the extremes m = 1 and n = 1 among them.
CASES = [
    ((1, 1), 0.0, 1.0), ((1, 4), 0.01, 1 / 255), ((3, 1), 1.0, 1.0), ((2, 3), 0.0, 1.0), ((2, 3), 1.0, 1.0),
    ((5, 17), 0.0, 1.0), ((5, 17), 0.01, 1 / 255), ((12, 6), 0.01, 1 / 255), ((12, 6), 1.0, 1.0),
]  # fmt: skip


@st.composite
def problems(draw, dtype):
    """W, b, X, Y of every kind: bytes, tiny, subnormal and large inputs, logits up to 1e4, one class or two."""
    (n, m), l2, input_scale = draw(st.sampled_from(CASES))
    unit = st.floats(-1, 1, width=32)
    kind = draw(st.sampled_from(["uint8", "float32", "float64"]))
    if kind == "uint8":
        x_scale, X = 255.0, draw(hnp.arrays(np.uint8, (n, m)))
    else:
        smallest = float(np.finfo(dtype).smallest_subnormal)
        x_scale = draw(st.sampled_from([3 * smallest, 1e-30, 1e-3, 1.0, 255.0, 1e6, 1e12]))
        X = (draw(hnp.arrays(np.float64, (n, m), elements=unit)) * x_scale).astype(kind)
    logit = draw(st.sampled_from([0.0, 1e-3, 1.0, 30.0, 1e4]))
    W = draw(hnp.arrays(np.float64, (1, n), elements=unit)) * min(logit / x_scale, 1e15)
    tiny = float(np.finfo(dtype).tiny)
    b = np.asarray(draw(unit) * draw(st.sampled_from([logit, tiny, 300 * tiny])))
    label = st.integers(0, 1)
    Y = draw(
        st.one_of(
            hnp.arrays(np.uint8, (1, m), elements=label),
            label.map(lambda y: np.full((1, m), y)),
            hnp.arrays(np.float64, (1, m), elements=label.map(float)),
            hnp.arrays(np.bool_, (1, m)),
        )
    )
    return l2, input_scale, Parameters(W, b), X, Y


def computed(neuron, parameters, X, Y):
    """Everything that a backend derives, by name, in float64."""
    dW, db = neuron.gradients(parameters, X, Y)
    A = neuron.predict_proba(parameters, X)
    return {
        name: np.asarray(V, np.float64)
        for name, V in {"cost": neuron.cost(parameters, X, Y), "dW": dW, "db": db, "A": A}.items()
    }


def assert_right(neurons, loss, activation, dtype, problem):
    """Each neuron is within the bound of the exact values, and within two bounds of every other one."""
    l2, input_scale, parameters, X, Y = problem
    made = [Neuron(activation, loss, l2, input_scale, dtype) for Neuron in neurons]
    as_seen = Parameters(*(V.astype(dtype) for V in parameters)), X.astype(dtype), Y
    cost, (dW, db), A = exact(made[0], *as_seen)
    right = {"cost": cost, "dW": dW, "db": db, "A": A}
    allowed = bounds(made[0], *as_seen)._asdict()
    values = [computed(neuron, parameters, X, Y) for neuron in made]
    for name, bound in allowed.items():
        for neuron, value in zip(made, values, strict=True):
            off = abs(value[name] - right[name])
            assert np.all(off <= bound), f"{neuron} {name}: off by {off}, allowed {bound}"
            off = abs(value[name] - values[0][name])
            assert np.all(off <= 2 * bound), f"{neuron} {name}: {off} from the hand-derived one, allowed {2 * bound}"


def autodiff():
    found = []
    for name in backends.names():
        try:
            found.append(backends.load(name))
        except MissingExtraError as error:
            warnings.warn(f"not compared: {error}", stacklevel=2)
    return found


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("loss", "activation"), CONFIGURATIONS)
def test_gradients_by_hand_equal_autograd_on_random_data(loss, activation, dtype):
    neurons = [ByHand, *(Neuron for Neuron in autodiff() if Neuron is not ByHand)]
    assert len(neurons) >= 3

    @settings(max_examples=120)
    @given(problems(dtype))
    def holds(problem):
        assert_right(neurons, loss, activation, dtype, problem)

    holds()


def faulty(name):
    """The hand-derived neuron with one planted fault."""

    class Faulty(Neuron):
        put, get = ByHand.put, ByHand.get
        _logits, _losses = ByHand._logits, ByHand._losses

        def sums(self, parameters, X, Y):
            loss, dW, db, m = ByHand.sums(self, parameters, X, Y)
            match name:
                case "sign":
                    dW = -dW
                case "missing 1/m":
                    dW = dW * m
                case "a sigmoid too many":  # article 1: s(A) (1 - s(A)) where A = s(Z) is already
                    A = self.forward(parameters, X)
                    s_A = 1 / (1 + np.exp(-A))
                    dZ = (A - Y) * s_A * (1 - s_A)
                    dW, db = dZ @ X.T * self.input_scale, dZ.sum()
                case "penalty on b":
                    db = db + m * self.l2 * parameters.b
                case "loss":
                    loss = loss * (1 + 1e-3)
                case "none":
                    pass
            return Sums(loss, dW, db, m)

        def forward(self, parameters, X):
            A = ByHand.forward(self, parameters, X)
            return A * (1 + 1e-3) if name == "activation" else A

    return Faulty


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "fault", ["sign", "missing 1/m", "a sigmoid too many", "penalty on b", "loss", "activation", "none"]
)
def test_a_planted_fault_is_found(fault, dtype):
    @settings(max_examples=120, report_multiple_bugs=False, print_blob=False)
    @given(problems(dtype))
    def holds(problem):
        assert_right([faulty(fault)], "squared_error", "sigmoid", dtype, problem)

    if fault == "none":
        holds()
    else:
        with pytest.raises(AssertionError, match="allowed"):
            holds()


@pytest.mark.parametrize(("loss", "activation"), CONFIGURATIONS)
def test_the_bounds_are_no_wider_than_a_few_hundred_roundings_on_ordinary_data(rng, dtype, loss, activation):
    """A bound that allows everything would prove nothing: relative to what it bounds, it stays near u sqrt(n + m)."""
    n, m = 768, 200
    X, Y = rng.integers(0, 256, (n, m), np.uint8), rng.integers(0, 2, (1, m))
    parameters = Parameters.random(n, 1)._replace(b=np.asarray(1.0))
    neuron = ByHand(activation, loss, input_scale=1 / 255, dtype=dtype)
    values, allowed = computed(neuron, parameters, X, Y), bounds(neuron, parameters, X, Y)._asdict()
    for name in values:
        width = np.median(allowed[name] / (abs(values[name]) + np.mean(abs(values[name]))))
        assert width < 300 * np.sqrt(n + m) * np.finfo(dtype).eps, name


def test_the_error_of_a_sum_is_bounded_by_the_worst_case_and_for_long_ones_by_the_probable_one():
    u = 2.0**-24
    assert gamma(3, u) == pytest.approx(3 * u, rel=1e-5)
    assert gamma(10_000, u) == pytest.approx(8 * 100 * u, rel=1e-2)
    assert gamma(2**24, u) > 0
    assert gamma(2**24 + 1, u) > 0
    assert all(gamma(k, u) < gamma(k + 1, u) for k in (1, 63, 64, 10**6, 2**24 - 1, 2**24))


@pytest.mark.parametrize("activation", ["identity", "relu", "tanh"])
def test_what_a_backend_flushes_to_zero_is_within_the_bound(backend, dtype, activation):
    """With a bias near the smallest normal number, scaled by 1 / 255 on the way back."""
    for x in 1, 100, 255:
        for times in 0.5, 3, 250, 1000:
            b = np.asarray(times * np.finfo(dtype).tiny)
            problem = 0.0, 1 / 255, Parameters(np.zeros((1, 1)), b), np.array([[x]], np.uint8), np.array([[0]])
            assert_right([backend], "squared_error", activation, dtype, problem)
