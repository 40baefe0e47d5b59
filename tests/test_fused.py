"""The fused kernels give the hand-derived neuron's loss and gradients; without a GPU, their interpreters run them."""

import importlib.util
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from handgrad import Parameters
from handgrad.backends.fused import LARGEST, PROGRAMS, fits, tiling
from handgrad.backends.numpy import Neuron as ByHand
from handgrad.exact import CONFIGURATIONS
from handgrad.proof import check
from handgrad.rounding import bounds


@pytest.fixture(scope="module")
def triton_kernel():
    """weight * loss of the Triton kernel and its gradients, by autograd."""
    torch = pytest.importorskip("torch")
    if importlib.util.find_spec("triton") is None:
        pytest.skip("Triton is not installed")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and "triton" in sys.modules:
        pytest.skip("Triton was imported before, without its interpreter")
    with pytest.MonkeyPatch.context() as patch:
        if device == "cpu":
            patch.setenv("TRITON_INTERPRET", "1")
        from handgrad.backends.fused.triton import loss_sum

        def differentiate(W, b, X, Y, *configuration, weight=1.0):
            W, b = (torch.tensor(V, dtype=torch.float32, device=device, requires_grad=True) for V in (W, b))
            rows, Y = (torch.tensor(np.ascontiguousarray(V), device=device) for V in (X.T, Y))
            with np.errstate(over="ignore"):  # the interpreter is NumPy
                loss = weight * loss_sum(W, b, rows.T, Y, *configuration)
            return [V.detach().cpu().numpy() for V in (loss, *torch.autograd.grad(loss, (W, b)))]

        differentiate.loss_sum = lambda W, b, X, Y, *how: loss_sum(
            W.float(), b.float(), X.T.contiguous().T, Y.float(), *how
        )
        differentiate.plain = plainly(torch, torch.nn.functional.softplus)
        yield differentiate


def plainly(xp, softplus):
    """The loss, written with the functions of PyTorch or JAX."""

    def loss_sum(W, b, X, Y, input_scale, activation, loss):
        W, b = (V.to(xp.float32) if hasattr(V, "to") else V.astype("float32") for V in (W, b))
        Z = (input_scale * W) @ (X + 0 * b) + b
        if loss == "cross_entropy":
            return softplus((1 - 2 * Y) * Z).sum()
        A = {"sigmoid": lambda: 1 / (1 + xp.exp(-Z)), "tanh": lambda: xp.tanh(Z), "relu": lambda: Z * (Z > 0)}
        return ((A.get(activation, lambda: Z)() - Y) ** 2 / 2).sum()

    return loss_sum


@pytest.fixture(scope="module")
def pallas_kernel():
    """weight * loss of the Pallas kernel and its gradients, by jax.grad."""
    jax = pytest.importorskip("jax")
    from handgrad.backends.fused.pallas import loss_sum

    def differentiate(W, b, X, Y, *configuration, weight=1.0):
        W, b, Y = (np.asarray(V, np.float32) for V in (W, b, Y))

        def weighted(W, b):
            return weight * loss_sum(W, b, np.ascontiguousarray(X.T), Y, *configuration)

        loss, gradients = jax.value_and_grad(weighted, (0, 1))(W, b)
        return [np.asarray(V) for V in (loss, *gradients)]

    float32 = jax.numpy.float32
    differentiate.loss_sum = lambda W, b, X, Y, *how: loss_sum(
        W.astype(float32), b.astype(float32), X.T, Y.astype(float32), *how
    )
    differentiate.plain = plainly(jax.numpy, jax.nn.softplus)
    return differentiate


@pytest.fixture(params=["triton", "pallas"])
def kernel(request):
    return request.getfixturevalue(f"{request.param}_kernel")


@st.composite
def problems(draw, sizes, examples):
    """W, b, X, Y of bytes or floats, with logits of 0 and of up to 1e30, and one class or two."""
    n, m = draw(sizes), draw(examples)
    unit = st.floats(-1, 1, width=32)
    if draw(st.booleans()):
        X = draw(hnp.arrays(np.uint8, (n, m), elements=st.sampled_from([0, 1, 127, 255])))
    else:
        X = draw(hnp.arrays(np.float32, (n, m), elements=unit))
    W = draw(hnp.arrays(np.float32, (1, n), elements=unit))
    W = W * np.float32(draw(st.sampled_from([0, 1e-30, 1e-3, 1, 30, 1e30])))
    b = np.float32(draw(unit) * draw(st.sampled_from([0, 1e-3, 1, 1e4])))
    Y = draw(hnp.arrays(np.float32, (1, m), elements=st.sampled_from([0.0, 1.0])))
    return W, b, X, Y, draw(st.sampled_from([1.0, 1 / 255]))


def photographs_of(n, m, dtype=np.uint8, pixel=None):
    """A problem of the size of photographs; with `pixel`, all of them are."""
    rng = np.random.default_rng(n + m)
    X = rng.integers(0, 256, (n, m)) if pixel is None else np.full((n, m), pixel)
    W = rng.standard_normal((1, n)) / np.sqrt(n)
    Y = rng.integers(0, 2, (1, m))
    return W.astype(np.float32), np.float32(0.1), X.astype(dtype), Y.astype(np.float32), 1 / 255


def assert_right(kernel, problem, loss, activation, weight=1.0):
    """Loss, dW and db lie within the derived bounds, and are finite, wherever float32 holds what is added for them."""
    W, b, X, Y, input_scale = problem
    as_seen = Parameters(W.astype(np.float64), np.float64(b))
    neuron = ByHand(activation, loss, input_scale=input_scale, dtype="float64")
    sums = neuron.sums(as_seen, X, Y)
    assert sums.m == X.shape[1]
    allowed = bounds(ByHand(activation, loss, input_scale=input_scale), as_seen, X, Y)
    computed = kernel(W, b, X, Y, input_scale, activation, loss, weight=weight)
    for name, value, right, bound in zip(("cost", "dW", "db"), computed, sums, allowed, strict=False):
        if name == "cost" and right > np.finfo(np.float32).max / 4:
            continue
        bound, off = weight * bound * sums.m, abs(value.astype(np.float64) - weight * right)
        assert value.shape == np.shape(right)
        assert np.all(off <= bound), f"{name}: off by {off}, allowed {bound}"


@pytest.mark.parametrize(("loss", "activation"), CONFIGURATIONS)
def test_triton_kernel_equals_the_hand_derived_neuron(triton_kernel, loss, activation):
    @settings(max_examples=50)
    @given(problems(st.sampled_from([1, 2, 3, 16, 33]), st.integers(1, 70)))
    def holds(problem):
        assert_right(triton_kernel, problem, loss, activation)

    holds()


@pytest.mark.parametrize(("loss", "activation"), CONFIGURATIONS)
def test_pallas_kernel_equals_the_hand_derived_neuron(pallas_kernel, loss, activation):
    @settings(max_examples=10)  # few shapes, because XLA compiles for each
    @given(problems(st.sampled_from([1, 19]), st.sampled_from([1, 30])))
    def holds(problem):
        assert_right(pallas_kernel, problem, loss, activation)

    holds()


@pytest.mark.parametrize(("n", "m", "dtype"), [(12288, 5, np.uint8), (12288, 3, np.float32), (4097, 270, np.uint8)])
def test_kernel_is_right_for_several_tiles_and_many_programs(kernel, n, m, dtype):
    assert tiling(m, n, np.dtype(dtype).itemsize).tiles > 1
    assert_right(kernel, photographs_of(n, m, dtype), "cross_entropy", "sigmoid")


@pytest.mark.parametrize("pixel", [0, 255])
@pytest.mark.parametrize(("loss", "activation"), CONFIGURATIONS)
def test_black_and_white_photographs_are_right(kernel, loss, activation, pixel):
    assert_right(kernel, photographs_of(300, 7, pixel=pixel), loss, activation)


@pytest.mark.parametrize(("loss", "activation"), CONFIGURATIONS)
def test_the_cotangent_multiplies_the_gradients(kernel, loss, activation):
    assert_right(kernel, photographs_of(50, 9), loss, activation, weight=3.0)


@pytest.mark.parametrize(("loss", "activation"), [pair for pair in CONFIGURATIONS if pair[1] != "sigmoid"])
def test_zero_weights_are_no_special_case(kernel, loss, activation):
    W, b, *rest = photographs_of(20, 6)
    assert_right(kernel, (0 * W, 0 * b, *rest), loss, activation)


@pytest.mark.parametrize(("loss", "activation"), CONFIGURATIONS)
def test_the_gradients_are_slopes_of_the_loss(kernel, loss, activation):
    """Along a direction, (L(t) - L(-t)) / 2t differs from the derivative by t^2 times the third, and rounding / t."""
    W, b, X, Y, input_scale = photographs_of(4, 3)
    along, t = np.array([[1, -1, 0.5, 2]], np.float32), np.float32(2**-8)
    configuration = X, Y, input_scale, activation, loss
    _, dW, db = kernel(W, b, *configuration)
    high, low = (kernel(W + step * along, b + step, *configuration)[0] for step in (t, -t))
    slope = (dW * along).sum() + db
    assert (high - low) / (2 * t) == pytest.approx(slope, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize(("loss", "activation"), CONFIGURATIONS[:3])
def test_the_checker_of_rules_calls_the_triton_step_right(triton_kernel, loss, activation):
    assert_rule(triton_kernel, 1, loss, activation)


def test_the_checker_of_rules_calls_the_pallas_step_right(pallas_kernel):
    """One configuration on one set of inputs: interpreted, it takes minutes for all."""
    assert_rule(pallas_kernel, 0, "cross_entropy", "sigmoid")


def assert_rule(kernel, trials, loss, activation):
    W, b, X, Y, input_scale = photographs_of(20, 40)
    how = input_scale, activation, loss
    inputs = {"W": W, "b": np.array([b]), "X": X, "Y": Y.astype(np.int32)}

    def rule(W, b, X, Y):
        return kernel.loss_sum(W, b[0], X, Y, *how)

    def spoilt(W, b, X, Y):
        return kernel.loss_sum(1.01 * W, b[0], X, Y, *how)

    def reference(W, b, X, Y):
        return kernel.plain(W, b[0], X, Y, *how)

    report = check(rule, inputs, reference=reference, trials=trials)
    assert report.ok, f"\n{report}"
    assert report.detectable < 0.01  # which is what is spoilt below; 1e-3 is measured, and XLA rounds by processor
    if trials:
        assert not check(spoilt, inputs, reference=reference, trials=0, seconds=0).ok


@pytest.mark.parametrize(("loss", "activation"), CONFIGURATIONS)
@pytest.mark.parametrize("Z", [-17, -9, -1e-4, 1e-4, 17])
def test_small_losses_and_activations_keep_their_digits(kernel, loss, activation, Z):
    W, X, Y = np.array([[Z]], np.float32), np.ones((1, 1), np.uint8), np.array([[float(Z > 1)]], np.float32)
    assert_right(kernel, (W, np.float32(0), X, Y, 1.0), loss, activation)


def test_relu_is_off_at_zero(kernel):
    X, Y = np.full((3, 2), 255, np.uint8), np.ones((1, 2), np.float32)
    loss, dW, db = kernel(np.zeros((1, 3), np.float32), np.float32(0), X, Y, 1.0, "relu", "squared_error")
    assert (loss, db) == (1, 0)
    assert not dW.any()


@pytest.mark.parametrize("itemsize", [1, 4])
@given(m=st.integers(1, 10**7), n=st.integers(1, LARGEST))
def test_a_tiling_covers_all_examples_and_features(itemsize, m, n):
    cut = tiling(m, n, itemsize)
    assert cut.rows * cut.programs >= m > cut.rows * (cut.programs - 1)
    assert cut.width * cut.tiles >= n > cut.width * (cut.tiles - 1)
    assert cut.programs <= PROGRAMS
    assert cut.rows % cut.height == 0
    assert all(side & (side - 1) == 0 for side in (cut.height, cut.width))


def test_photographs_of_64_pixels_fit_and_of_500_do_not():
    assert fits(3 * 64 * 64)
    assert not fits(3 * 500 * 500)
