"""Examples placed once: the same bits as arrays, taken by every method, and refused where they do not belong."""

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest

from handgrad import Parameters, UsageError
from handgrad.backends.numpy import Neuron as ByHand
from handgrad.examples import Examples
from handgrad.optimizers import SGD
from handgrad.processes import Processes
from handgrad.views import mirrored, shared, standardised, weighted

SIZE = 2, 3, 2
P = Parameters.random(12, 1)


@pytest.fixture
def arrays(rng):
    X = rng.integers(0, 256, (30, 12), np.uint8).T
    return X, (X[:1] > 127).astype(np.uint8)


def same(a, b):
    for V, W in zip(a, b, strict=True):
        assert V.dtype == W.dtype
        np.testing.assert_array_equal(V, W)


@pytest.mark.parametrize("kind", ["whole", "blocks", "mirrored", "standardised", "weighted"])
def test_they_give_the_bits_of_their_arrays(backend, dtype, kind, arrays):
    X, Y = arrays
    if kind == "mirrored":
        X, Y = mirrored(X, SIZE), np.tile(Y, 2)
    elif kind == "standardised":
        X = standardised(X)
    elif kind == "weighted":
        X = weighted(X, 1 + Y[0])
    neuron, block = backend(input_scale=1 / 255, dtype=dtype, l2=0.1), 7 if kind == "blocks" else 0
    examples = neuron.place(X, Y, block)
    assert (type(examples), examples.block) == (Examples, block)
    given = (examples,) if block else (X, Y)  # of the other methods, only fit takes a block
    assert neuron.cost(P, examples) == neuron.cost(P, *given)
    same(neuron.gradients(P, examples), neuron.gradients(P, *given))
    found, expected = (neuron.step(P, *of, learning_rate=0.1) for of in ((examples,), given))
    same(neuron.get_parameters(found), neuron.get_parameters(expected))
    if kind != "weighted":
        same([neuron.predict_proba(P, examples)], [neuron.predict_proba(P, given[0])])
        assert neuron.accuracy(P, examples) == neuron.accuracy(P, *given)
    for options in {"learning_rate": 0.1}, {"optimizer": SGD(0.1, batch=8)}:
        options = options | {"epochs": 5, "validation_every": 2}
        found, history = neuron.fit(examples, validation=examples, **options)
        expected, other = neuron.fit(X, Y, validation=(X, Y), block=block, **options)
        same(found, expected)
        same((history.train_cost, history.validation_cost), (other.train_cost, other.validation_cost))


def test_they_are_placed_once(backend, arrays):
    neuron = backend(input_scale=1 / 255)
    examples = neuron.place(*arrays)
    assert neuron.place(examples) is examples
    assert neuron.place(examples, block=0) is examples
    other = replace(neuron, loss="squared_error", activation="tanh", l2=0.1, input_scale=1.0)
    assert other.place(examples) is examples
    assert other.cost(P, examples) == other.cost(P, *arrays)


def test_bytes_stay_bytes_where_they_are_read(arrays):
    numba = pytest.importorskip("handgrad.backends.numba", exc_type=ImportError)
    X, Y = arrays
    placed, _ = numba.Neuron(input_scale=1 / 255).place(X, Y).whole
    assert placed.dtype == np.uint8
    assert np.shares_memory(placed, X)


@pytest.mark.parametrize("blocks", [(7, 0), (0, 7), (7, 5)])
def test_those_to_validate_on_lie_as_they_were_placed(arrays, blocks):
    neuron = ByHand(input_scale=1 / 255, dtype="float64")
    train, validation = (neuron.place(*arrays, block) for block in blocks)
    _, history = neuron.fit(train, validation=validation, epochs=3, learning_rate=0.1)
    np.testing.assert_allclose(history.validation_cost, history.train_cost, rtol=1e-14)


def other_backend():
    return pytest.importorskip("handgrad.backends.torch", exc_type=ImportError).Neuron()


def other_device():
    jax = pytest.importorskip("handgrad.backends.jax", exc_type=ImportError)
    return jax.Neuron(device="cpu:0"), jax.Neuron()


@pytest.mark.parametrize(
    ("neurons", "said"),
    [
        (lambda: (other_backend(), ByHand()), r"torch\.Neuron, float32 on cpu; expected handgrad\.backends\.numpy\.N"),
        (
            lambda: (ByHand(dtype="float64"), ByHand()),
            r"float64 on cpu; expected handgrad\.backends\.numpy\.Neuron, fl",
        ),
        (other_device, r"jax\.Neuron, float32 on cpu:0; expected handgrad\.backends\.jax\.Neuron, float32 on cpu:"),
    ],
    ids=["backend", "dtype", "device"],
)
def test_those_that_another_neuron_placed_are_refused(neurons, said, arrays):
    theirs, mine = neurons()
    examples = theirs.place(*arrays)
    for use in (
        lambda: mine.place(examples),
        lambda: mine.cost(P, examples),
        lambda: mine.predict(P, examples),
        lambda: mine.fit(*arrays, validation=examples, epochs=1, learning_rate=0.1),
    ):
        with pytest.raises(UsageError, match=f"X was placed by .*{said}") as caught:
            use()
        assert "\n" not in str(caught.value)


def test_labels_or_a_block_beside_them_are_refused(arrays):
    neuron = ByHand()
    examples, in_blocks = neuron.place(*arrays), neuron.place(*arrays, block=7)
    options = {"epochs": 1, "learning_rate": 0.1}
    for use in (
        lambda: neuron.place(examples, arrays[1]),
        lambda: neuron.cost(P, examples, arrays[1]),
        lambda: neuron.fit(examples, arrays[1], **options),
    ):
        with pytest.raises(UsageError, match="Y: found it beside examples, which have their labels; leave it out"):
            use()
    for given, block in (examples, 7), (in_blocks, 0), (in_blocks, 8):
        with pytest.raises(UsageError, match=rf"^block is {block}, and X was placed with block {given.block};"):
            neuron.fit(given, block=block, **options)


def test_those_without_labels_are_only_predicted(arrays):
    neuron = ByHand(input_scale=1 / 255)
    examples = neuron.place(arrays[0])
    np.testing.assert_array_equal(neuron.predict(P, examples), neuron.predict(P, arrays[0]))
    for use in (
        lambda: neuron.cost(P, examples),
        lambda: neuron.gradients(P, examples),
        lambda: neuron.step(P, examples, learning_rate=0.1),
        lambda: neuron.accuracy(P, examples),
        lambda: neuron.fit(examples, epochs=1, learning_rate=0.1),
        lambda: neuron.fit(*arrays, validation=examples, epochs=1, learning_rate=0.1),
    ):
        with pytest.raises(UsageError, match=r"Y is None; expected labels \(1, m\) of 0 and 1, or examples that were"):
            use()


def test_without_labels_every_kind_is_predicted(backend, arrays):
    X, _ = arrays
    neuron = backend(input_scale=1 / 255)
    for given, block in (X, 0), (X, 7), (mirrored(X, SIZE), 0), (mirrored(X, SIZE), 7):
        assert not neuron.place(given, block=block).labelled
        A = neuron.predict_proba(P, neuron.place(given, block=block))
        np.testing.assert_allclose(A[:, :30], neuron.predict_proba(P, X), rtol=1e-5)


def test_plain_examples_stay_plain_when_they_are_copied(arrays):
    """Also between processes: what they are is told by their values, and not by which object a view is."""
    examples = ByHand().place(*arrays)
    for again in copy.deepcopy(examples), pickle.loads(pickle.dumps(examples)):
        assert again.whole is not None
        assert ByHand().cost(P, again) == ByHand().cost(P, examples)


def test_a_share_for_a_device_of_all_processes_is_refused(arrays):
    """There the device takes what each process is to hold from X whole, and adds; a share would be taken for all."""

    class Wide(ByHand.__base__):
        put, get, forward, sums = ByHand.put, ByHand.get, ByHand.forward, ByHand.sums

        @property
        def processes(self):
            several = Processes()
            several.count = 2
            return several

    share = Processes()
    share.apart = True
    with pytest.raises(UsageError, match="X is a share, and device 'cpu' is that of all processes; give X whole"):
        Wide().place(shared(arrays[0], share), arrays[1])


def test_what_is_placed_is_not_seen_otherwise(arrays):
    with pytest.raises(UsageError, match="X is placed; expected an array: make views of it"):
        weighted(ByHand().place(*arrays), np.ones(3))


def test_a_share_is_standardised_by_the_moments_of_all(arrays):
    share = Processes()
    share.apart = True
    with pytest.raises(UsageError, match="by the moments of this share alone; share first, then standardise"):
        shared(standardised(arrays[0]), share)
