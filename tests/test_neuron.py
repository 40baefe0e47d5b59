"""What all backends share, tried on one; and what is particular to one. The rest is in test_contract.py."""

import math
import pickle

import numpy as np
import pytest

from handgrad import DataError, DivergedError, Neuron, Parameters, UsageError
from handgrad.backends.numpy import Neuron as ByHand
from handgrad.optimizers import LBFGS, SGD, GradientDescent
from handgrad.views import standardised, weighted


@pytest.fixture
def pixels(rng):
    """X (12, 50) bytes, the free transposed view of examples that are contiguous; Y with as many of either class."""
    X = rng.integers(0, 256, (50, 12), np.uint8).T
    return X, np.arange(50).reshape(1, -1) % 2


def test_a_fit_starts_from_zeros_so_that_its_first_cost_is_log_2(pixels):
    X, Y = pixels
    neuron = ByHand(input_scale=1 / 255)
    _, history = neuron.fit(X, Y, epochs=3, learning_rate=0.1)
    assert round(float(history.train_cost[0]), 6) == round(neuron.cost(Parameters.zeros(12), X, Y), 6) == 0.693147
    assert len(history) == len(history.seconds) == 3
    assert (history.seconds > 0).all()


def test_a_negative_seed_is_one_line():
    with pytest.raises(UsageError, match="seed is -1; expected a whole number of at least 0"):
        Parameters.random(3, -1)


def test_an_untrained_random_neuron_scores_about_one_half(rng):
    X, Y = rng.standard_normal((100, 4000)), rng.integers(0, 2, (1, 4000))
    scores = [ByHand().accuracy(Parameters.random(100, seed), X, Y) for seed in range(5)]
    assert all(abs(score - 0.5) < 5 * math.sqrt(0.25 / 4000) for score in scores)


def test_random_parameters_are_the_same_numbers_everywhere_and_depend_on_the_seed():
    W, b = Parameters.random(1000, 7)
    assert (W.shape, b.shape, W.dtype) == ((1, 1000), (), np.float64)
    np.testing.assert_array_equal(W, Parameters.random(1000, 7).W)
    assert not np.array_equal(W, Parameters.random(1000, 8).W)
    assert 1000 * W.var() == pytest.approx(1, abs=0.2)


def test_values_are_checked_on_the_backends_own_arrays_too():
    pytest.importorskip("torch")
    from handgrad.backends.torch import Neuron as Torch

    neuron = Torch()
    X, Y = neuron.put(np.array([[1.0, np.nan]])), neuron.put(np.array([[0, 3]]))
    with pytest.raises(DataError, match=r"Y\[0, 1\] is 3"):
        neuron.cost(Parameters.zeros(1), X, Y)
    with pytest.raises(DataError, match=r"X\[0, 1\] is nan"):
        neuron.cost(Parameters.zeros(1), X, neuron.put(np.array([[0, 1]])))


def test_a_fit_of_many_blocks_loses_no_epoch(monkeypatch):
    """More epochs than a block holds, with the validation cost in every 7th, across the borders of blocks."""
    monkeypatch.setattr("handgrad.descent.BLOCK_SECONDS", 100.0)
    X, Y, epochs = np.array([[1.0, -2.0]]), np.array([[1, 0]]), 3 * 1024 + 5
    _, history = ByHand(dtype="float64").fit(
        X, Y, epochs=epochs, learning_rate=0.1, validation=(X, Y), validation_every=7
    )
    assert np.isfinite(history.train_cost).all()
    assert (np.diff(history.train_cost) < 0).all()
    taken = np.flatnonzero(~np.isnan(history.validation_cost))
    assert taken.tolist() == list(range(0, epochs, 7))
    np.testing.assert_allclose(history.validation_cost[taken], history.train_cost[taken], rtol=1e-12)


def test_torch_multiplies_in_full_precision_whatever_the_caller_allows(monkeypatch, pixels):
    torch = pytest.importorskip("torch")
    from handgrad.backends.torch import Neuron as Torch

    seen = []
    product = torch.Tensor.__matmul__
    monkeypatch.setattr(
        torch.Tensor, "__matmul__", lambda a, b: (seen.append(torch.get_float32_matmul_precision()), product(a, b))[1]
    )
    torch.set_float32_matmul_precision("medium")
    try:
        Torch().gradients(Parameters.zeros(12), *pixels)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert seen == ["highest"]


def test_jax_asks_for_full_precision_in_both_passes(pixels):
    jax = pytest.importorskip("jax")
    from handgrad.backends.jax import Neuron as Jax

    neuron = Jax()
    P = Parameters(neuron.put(np.zeros((1, 12))), neuron.put(0.0))
    placed = neuron.put_inputs(pixels[0]), neuron.put(pixels[1])
    program = jax.make_jaxpr(lambda P, X, Y: neuron._loss_and_gradients(P, X, Y))(P, *placed)
    products = [line for line in str(program).splitlines() if "precision" in line]
    assert len(products) >= 2
    assert all("HIGHEST" in line and "DEFAULT" not in line for line in products)


def test_jax_compiles_a_sum_once_and_epochs_with_and_without_one_for_all_penalties(pixels):
    pytest.importorskip("jax")
    from handgrad.backends.jax import Neuron as Jax

    compiled, epochs = [], []
    for l2 in 0.0, 0.1, 0.2:
        neuron, P = Jax(l2=l2), Parameters.random(12)
        neuron.gradients(P, *pixels), neuron.cost(P, *pixels), neuron.predict_proba(P, pixels[0])
        compiled.append([f._cache_size() for f in (Jax._loss_and_gradients, Jax._loss_sum, Jax._forward)])
        neuron.fit(*pixels, epochs=3, learning_rate=1e-6, span=False)
        epochs.append(Jax._descend._cache_size())
    assert compiled[0] == compiled[1] == compiled[2]
    assert epochs[1] == epochs[2]


def test_a_diverging_fit_names_the_epoch_and_keeps_the_last_good_parameters():
    X, Y = np.array([[1e8, -1e8, 2e8]]), np.array([[0, 1, 1]])
    neuron = ByHand("identity", "squared_error")
    with pytest.raises(
        DivergedError, match=r"the learning rate 1e\+06 is too high for these data; handgrad rate proposes"
    ) as caught:
        neuron.fit(X, Y, epochs=500, learning_rate=1e6)
    error = caught.value
    assert 0 < error.epoch < 500
    assert len(error.history) == error.epoch
    assert np.isfinite(error.history.train_cost).all()
    # The last good parameters are those of the last finite cost.
    assert neuron.cost(error.parameters, X, Y) == pytest.approx(error.history.train_cost[-1], rel=1e-4)
    # One more step is what went wrong.
    with pytest.raises((UsageError, AssertionError)):
        assert math.isfinite(neuron.cost(neuron.step(error.parameters, X, Y, 1e6), X, Y))


def test_a_start_whose_cost_overflows_is_not_blamed_on_the_learning_rate():
    neuron = ByHand("identity", "squared_error")
    with pytest.raises(DivergedError, match="initial parameters") as caught:
        neuron.fit(
            np.full((1, 2), 1e30),
            np.array([[0, 1]]),
            epochs=3,
            learning_rate=1.0,
            initial=Parameters(np.full((1, 1), 1.0), np.zeros(())),
        )
    assert caught.value.epoch == 0
    assert caught.value.parameters.W.tolist() == [[1.0]]


def ok():
    return {"parameters": Parameters.zeros(3), "X": np.ones((3, 4)), "Y": np.array([[0, 1, 0, 1]])}


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"X": np.ones((4, 4))}, UsageError, r"W and b have shapes \(1, 3\) and \(\); expected \(1, 4\)"),
        ({"X": np.ones(3)}, DataError, r"X has shape \(3,\); expected \(n, m\)"),
        ({"X": np.ones((3, 0))}, DataError, r"X has shape \(3, 0\)"),
        ({"X": np.full((3, 4), "a")}, DataError, "X has dtype <U1"),
        ({"X": [[1, 2], [3]]}, DataError, "X is no array"),
        ({"X": np.ones((3, 4), complex)}, DataError, "X has dtype complex128"),
        (
            {"X": np.array([[1.0, 1, 1, 1], [1, 1, np.nan, 1], [1, 1, 1, 1]])},
            DataError,
            r"X\[1, 2\] is nan \(example 2\)",
        ),
        ({"X": np.full((3, 4), np.inf)}, DataError, r"X\[0, 0\] is inf"),
        ({"X": np.full((3, 4), 1e39)}, DataError, "finite numbers within float32"),
        (
            {"Y": np.array([0, 1, 0, 1])},
            DataError,
            r"Y has shape \(4,\); expected \(1, 4\).*np\.reshape\(Y, \(1, -1\)\)",
        ),
        ({"Y": np.array([[0, 1, 2, 1]])}, DataError, r"Y\[0, 2\] is 2; expected labels 0 and 1 \(1 of 4 are not\)"),
        ({"Y": np.array([[0, 1, 0.5, np.nan]])}, DataError, r"Y\[0, 2\] is 0.5.*2 of 4"),
        ({"parameters": Parameters(np.zeros(3), np.zeros(()))}, UsageError, r"shapes \(3,\) and \(\)"),
        ({"parameters": Parameters(np.zeros((1, 3)), np.zeros((1, 1)))}, UsageError, r"and \(1, 1\); expected"),
        ({"parameters": Parameters(np.full((1, 3), np.nan), np.zeros(()))}, UsageError, r"W\[0, 0\] is nan"),
        ({"parameters": Parameters(np.zeros((1, 3)), np.asarray(np.inf))}, UsageError, "b is inf"),
    ],
)
def test_wrong_data_is_one_line_that_says_what_was_expected(wrong, error, message):
    arguments = ok() | wrong
    for method in "cost", "gradients", "accuracy":
        with pytest.raises(error, match=message) as caught:
            getattr(ByHand(), method)(**arguments)
        assert "\n" not in str(caught.value)
    with pytest.raises(error, match=message):
        ByHand().fit(arguments["X"], arguments["Y"], epochs=1, learning_rate=0.1, initial=arguments["parameters"])
    with pytest.raises(error, match=message):
        ByHand().fit(
            ok()["X"],
            ok()["Y"],
            epochs=1,
            learning_rate=0.1,
            initial=arguments["parameters"],
            validation=(arguments["X"], arguments["Y"]),
        )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"activation": "softmax"}, "activation is 'softmax'; expected one of sigmoid, tanh, relu, identity"),
        ({"loss": "hinge"}, "loss is 'hinge'; expected one of cross_entropy, squared_error"),
        ({"activation": "relu"}, "loss 'cross_entropy' needs activation 'sigmoid', found 'relu'"),
        ({"dtype": "float16"}, "dtype is 'float16'; expected one of float32, float64"),
        ({"l2": -1.0}, "l2 is -1.0; expected a finite number of at least 0"),
        ({"l2": math.nan}, "l2 is nan"),
        ({"input_scale": 0.0}, "input_scale is 0.0; expected a finite number above 0"),
        ({"device": "abacus"}, "device is 'abacus'"),
        ({"l2": None}, "l2 is None"),
        ({"input_scale": "x"}, "input_scale is 'x'"),
    ],
)
def test_a_wrong_configuration_is_one_line(wrong, message):
    with pytest.raises(UsageError, match=message) as caught:
        ByHand(**wrong)
    assert "\n" not in str(caught.value)


def test_an_error_survives_the_way_between_processes(pixels):
    with pytest.raises(DivergedError) as caught:
        ByHand("identity", "squared_error").fit(*pixels, epochs=500, learning_rate=1.0)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.epoch) == (str(caught.value), caught.value.epoch)
    np.testing.assert_array_equal(again.parameters.W, caught.value.parameters.W)


def test_torch_keeps_no_graph_of_the_callers_and_computes_in_its_own_dtype(pixels):
    torch = pytest.importorskip("torch")
    from handgrad.backends.torch import Neuron as Torch

    neuron = Torch(input_scale=1 / 255)
    P = Parameters(torch.zeros(1, 12, requires_grad=True), torch.zeros((), requires_grad=True))
    after = neuron.step(P, *pixels, 0.1)
    assert after.W.grad_fn is None
    right = neuron.gradients(Parameters.random(12), *pixels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = neuron.gradients(Parameters.random(12), *pixels)
    with torch.inference_mode():
        inferred = neuron.gradients(Parameters.random(12), *pixels)
    np.testing.assert_array_equal(right.dW, cast.dW)
    np.testing.assert_array_equal(right.dW, inferred.dW)


def test_jaxs_alarm_does_not_go_off_in_a_healthy_fit(pixels):
    jax = pytest.importorskip("jax")
    from handgrad.backends.jax import Neuron as Jax

    with jax.debug_nans(True):
        P = Parameters.random(12, 1)
        Jax().fit(*pixels, epochs=5, learning_rate=0.001, initial=P, validation=pixels, validation_every=2)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epochs": -1}, "epochs is -1"),
        ({"epochs": 2.5}, "epochs is 2.5; expected a whole number"),
        ({"learning_rate": "fast"}, "learning_rate is 'fast'"),
        ({"initial": (1, 2, 3)}, "parameters are tuple"),
        ({"validation": (np.ones((2, 1)), np.ones((1, 1)))}, "validation: W and b have shapes"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
        ({"learning_rate": math.nan}, "learning_rate is nan"),
        ({"validation_every": 0}, "validation_every is 0"),
        ({"initial": Parameters.zeros(5)}, r"expected \(1, 3\)"),
    ],
)
def test_a_wrong_argument_of_fit_is_one_line(wrong, message):
    with pytest.raises(UsageError, match=message):
        ByHand().fit(ok()["X"], ok()["Y"], **{"epochs": 1, "learning_rate": 0.1} | wrong)


def test_an_interface_without_its_four_methods_cannot_be_made():
    with pytest.raises(TypeError, match="abstract"):
        Neuron()


def test_values_that_lie_on_an_accelerator_are_not_fetched_to_be_looked_at(pixels):
    """A device of NumPy's own arrays, under another name, that counts what comes back from it."""

    class Far(np.lib.mixins.NDArrayOperatorsMixin):
        def __init__(self, V):
            self.V, self.shape, self.dtype, self.ndim = V, V.shape, V.dtype, V.ndim

    fetched = []

    class Distant(Neuron):
        def check_device(self):
            pass

        def put(self, array):
            return array if isinstance(array, Far) else Far(np.asarray(array, self.dtype))

        def get(self, array):
            if isinstance(array, Far):
                fetched.append(array.shape)
            return array.V if isinstance(array, Far) else np.asarray(array)

        def forward(self, parameters, X):
            W, b, X = (self.put(V).V for V in (*parameters, X))
            return Far(1 / (1 + np.exp(-(W @ (self.input_scale * X) + b))))

        def sums(self, parameters, X, Y):
            raise NotImplementedError

    X, _ = pixels
    neuron = Distant(input_scale=1 / 255, device="far", dtype="float64")
    P = Parameters.random(12, 1)
    placed = neuron.put(X)
    A = neuron.predict_proba(P, placed)
    np.testing.assert_allclose(A, ByHand(input_scale=1 / 255, dtype="float64").predict_proba(P, X), rtol=1e-12)
    assert X.shape not in fetched
    with pytest.raises(UsageError, match=r"W\[0, 0\] is nan"):
        neuron.predict_proba(Parameters(P.W * np.nan, P.b), placed)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("optimizer", "see"),
    [
        (SGD(1e6, 0, batch=8), lambda X: X),
        (GradientDescent(1e6), standardised),
        (GradientDescent(1e6), lambda X: weighted(X, np.arange(50) % 3)),
        (SGD(1e6, 0, batch=8), lambda X: weighted(standardised(X), np.arange(50) % 3)),
    ],
    ids=["sgd", "standardised", "weighted", "all"],
)
def test_what_overflows_is_found_in_the_costs_and_no_alarm_goes_off(optimizer, see, pixels):
    neuron = ByHand("identity", "squared_error")
    with pytest.raises(DivergedError):
        neuron.fit(see(pixels[0]), pixels[1], epochs=500, optimizer=optimizer)
    far = Parameters(np.full((1, 12), 1e38), np.zeros(()))
    neuron.gradients(far, see(pixels[0]), pixels[1])
    neuron.cost(far, see(pixels[0]), pixels[1])


def test_labels_are_no_threshold(pixels):
    X, Y = pixels
    with pytest.raises(UsageError, match=r"threshold is .*; expected a finite number; Y has no place in a prediction"):
        ByHand().predict(Parameters.zeros(12), X, Y)
    with pytest.raises(UsageError, match="threshold is nan"):
        ByHand().predict(Parameters.zeros(12), X, math.nan)


def test_a_gradient_that_is_not_finite_is_no_success_of_lbfgs():
    X, Y = np.full((2, 4), 3e38, np.float32), np.ones((1, 4))
    with pytest.raises(DivergedError, match="epoch 0"):
        ByHand().fit(X, Y, epochs=5, optimizer=LBFGS())


class Frame:
    """As a library's own table: an array within, that NumPy can have."""

    def __init__(self, values):
        self.values, self.shape, self.ndim, self.dtype = values, values.shape, values.ndim, values.dtype

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype)


def test_arguments_of_another_kind_are_taken_or_named_in_a_line(backend, rng):
    X, Y = rng.random((3, 8)), rng.integers(0, 2, (1, 8))
    neuron, options = backend(), dict(epochs=1, learning_rate=0.1)
    found, expected = (neuron.fit(of, Y, **options)[0] for of in (Frame(X), X))
    np.testing.assert_array_equal(found.W, expected.W)
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(DataError, match=r"X is csr_matrix, which is sparse; expected a dense array; try X\.toarray"):
        neuron.fit(sparse.csr_matrix(X), Y, **options)
    for wrong in True, X, (X, Y, Y):
        with pytest.raises(UsageError, match=r"validation: found \w+; expected a pair X, Y, or examples"):
            neuron.fit(X, Y, validation=wrong, **options)
    with pytest.raises(UsageError, match="device is None; expected its name, as 'cpu'"):
        backend(device=None)
    with pytest.raises(UsageError, match="weights has dtype"):
        weighted(X, "balanced")
