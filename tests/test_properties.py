"""What must hold whatever the numbers are."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from handgrad import History, Parameters
from handgrad.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from handgrad.data import Features
from handgrad.descent import Place, State
from handgrad.run import Model, load_model, save_run

FINITE = st.floats(allow_nan=False, allow_infinity=False, width=32)
COSTS = hnp.arrays(np.float64, st.shared(st.integers(0, 20), key="epochs"), elements=st.floats(width=64))
TEXT = st.text(st.characters(codec="utf-8"), max_size=20).filter(str.isprintable)


@given(
    dtype=st.sampled_from([np.float32, np.float64]),
    W=hnp.arrays(np.float32, (1, 12), elements=FINITE),
    b=FINITE,
    classes=st.tuples(TEXT, TEXT),
    data=TEXT,
    l2=st.floats(0, 1e300),
)
def test_a_model_that_is_saved_and_loaded_is_the_same(dtype, W, b, classes, data, l2):
    parameters = Parameters(W.astype(dtype), np.asarray(b, dtype))
    history = History(*np.zeros((4, 0)))
    about = {"classes": classes, "size": (2, 2, 3), "features": Features("pixels", (2, 2)), "data": data}
    model = Model(l2=l2, dtype=np.dtype(dtype).name, parameters=parameters, **about, versions={"handgrad": "0"})
    with tempfile.TemporaryDirectory() as folder:
        save_run(Path(folder), model, history, {})
        found = load_model(folder)
    for V, other in zip(found.parameters, parameters, strict=True):
        assert V.tobytes() == other.tobytes()
        assert (V.dtype, V.shape) == (other.dtype, other.shape)
    assert vars(found) | {"parameters": None} == vars(model) | {"parameters": None}


@given(
    W=hnp.arrays(np.float64, (1, 3), elements=st.floats(width=64)), columns=st.tuples(*[COSTS] * 4), best=st.booleans()
)
def test_a_checkpoint_that_is_saved_and_loaded_is_the_same(W, columns, best):
    here = Place(5, Parameters(W, np.zeros(())), {"W": W / 2, "J": np.ones(())})
    before = Place(2, Parameters(-W, np.ones(())), {})
    state = State(History(*columns), here, before, before if best else None, "SGD", True, 7)
    kept = Checkpoint(state, {"epochs": 3, "span": None}, "hash", {"cores": "2"})
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(Path(folder), kept)
        found = load_checkpoint(Path(folder))
    assert found[1:] == kept[1:]
    assert (found.state.optimizer, found.state.span, found.state.block) == ("SGD", True, 7)
    for place, other in zip(found.state[1:4], state[1:4], strict=True):
        if other is None:
            assert place is None
            continue
        assert (place.epoch, set(place.memory)) == (other.epoch, set(other.memory))
        assert [V.tobytes() for V in place.parameters] == [V.tobytes() for V in other.parameters]
        assert all(place.memory[name].tobytes() == V.tobytes() for name, V in other.memory.items())
    for column, other in zip(vars(found.state.history).values(), columns, strict=True):
        assert column.tobytes() == other.tobytes()


@settings(max_examples=30)
@given(n=st.integers(1, 30), m=st.integers(1, 40), seed=st.integers(0, 1000))
def test_predictions_do_not_depend_on_the_order_of_examples(backends_installed, n, m, seed):
    rng = np.random.default_rng(seed)
    X, order, P = rng.integers(0, 256, (n, m), np.uint8), rng.permutation(m), Parameters.random(n, seed)
    for backend in backends_installed:
        neuron = backend(input_scale=1 / 255, dtype="float64")
        shuffled = neuron.predict_proba(P, X[:, order])
        np.testing.assert_allclose(shuffled, neuron.predict_proba(P, X)[:, order], rtol=1e-13)


@settings(max_examples=30)
@given(n=st.integers(1, 20), m=st.integers(2, 20), seed=st.integers(0, 1000), l2=st.sampled_from([0.0, 0.1]))
def test_other_labels_give_minus_the_parameters(backends_installed, n, m, seed, l2):
    rng = np.random.default_rng(seed)
    X, Y = rng.integers(0, 256, (n, m), np.uint8), rng.integers(0, 2, (1, m))
    for backend in backends_installed:
        neuron = backend(input_scale=1 / 255, dtype="float64", l2=l2)
        (P, history), (Q, swapped) = (neuron.fit(X, labels, epochs=20, learning_rate=0.5) for labels in (Y, 1 - Y))
        np.testing.assert_allclose(swapped.train_cost, history.train_cost, rtol=1e-12)
        np.testing.assert_allclose(Q.W, -P.W, atol=1e-13)
        np.testing.assert_allclose(Q.b, -P.b, atol=1e-13)


@pytest.fixture(scope="module")
def backends_installed():
    from handgrad import MissingExtraError, backends

    found = []
    for name in backends.names():
        try:
            found.append(backends.load(name))
        except MissingExtraError:
            continue
    return found
