"""What was trained here gives the same answers elsewhere: in ONNX Runtime, PyTorch and scikit-learn."""

import importlib
import json
import math
import re
import sys
import textwrap

import numpy as np
import pytest

from handgrad import History, MissingExtraError, Parameters, UsageError
from handgrad.backend import ACTIVATIONS
from handgrad.backends.numpy import Neuron
from handgrad.data import Dataset, Features, prepare
from handgrad.rounding import bounds
from handgrad.run import Model, load_model, save_run, versions
from handgrad.settings import Settings
from handgrad.training import train
from handgrad.version import __version__

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from handgrad import onnx as exporting  # noqa: E402  # which needs the first of them

PIXELS = Features("pixels", (8, 6))


def a_model(activation="sigmoid", dtype="float32", features=PIXELS, W=None):
    loss = "cross_entropy" if activation == "sigmoid" else "squared_error"
    neuron = Neuron(activation, loss, input_scale=1 / 255, dtype=dtype)
    W = Parameters.random(math.prod(features.size), 1).W if W is None else W
    parameters = Parameters(W.astype(dtype), np.array(0.25, dtype))
    about = {"classes": ("cat", "dög"), "size": features.size, "features": features, "data": "abc"}
    return Model(**vars(neuron.configuration), parameters=parameters, **about, versions=versions("numpy"))


def examples(model, rng, m):
    """(m, h, w, c) of bytes; the first are all 0 and all 255."""
    drawn = rng.integers(0, 256, (m, *model.size), np.uint8)
    drawn[0], drawn[1:2] = 0, 255
    return drawn


def in_onnx_runtime(path, given):
    """The one output of an exported file, for its one input."""
    session = onnxruntime.InferenceSession(path)
    (taken,) = session.get_inputs()
    (A,) = session.run(None, {taken.name: given})
    return A


def here(model, given):
    """A (m, 1) of NumPy's neuron, and how far two right answers may lie apart."""
    neuron, X = model.neuron(Neuron), given.reshape(len(given), -1).T
    A = neuron.predict_proba(model.parameters, X)
    return A.T, 2 * bounds(neuron, model.parameters, X, np.zeros_like(A)).A.T


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_file_gives_what_the_neuron_gives(tmp_path, rng, activation, dtype):
    model, path = a_model(activation, dtype), tmp_path / "model.onnx"
    exporting.export(model, path)
    drawn = examples(model, rng, 7)
    for given in drawn, *np.split(drawn, 7):  # a batch of 7, and 7 of 1
        A, within = here(model, given)
        found = in_onnx_runtime(path, given)
        assert (found.shape, found.dtype) == (A.shape, A.dtype) == ((len(given), 1), dtype)
        assert (abs(found - A) <= within).all()


@pytest.mark.parametrize("logit", [1e4, -1e4])
def test_extreme_weights_give_probabilities_all_the_same(tmp_path, rng, dtype, logit):
    n = math.prod(PIXELS.size)
    model, path = a_model(dtype=dtype, W=np.full((1, n), logit / n)), tmp_path / "model.onnx"
    exporting.export(model, path)
    given = examples(model, rng, 7)
    A, within = here(model, given)
    found = in_onnx_runtime(path, given)
    assert (abs(found - A) <= within).all()
    assert ((found >= 0) & (found <= 1)).all()
    assert found[1] == (logit > 0)


@pytest.mark.parametrize("features", [PIXELS, Features("gray", (8, 6)), Features("hog", (16, 24))])
def test_the_input_is_what_the_neuron_learned_from_and_is_named_for_it(tmp_path, rng, features):
    if features.kind == "hog":
        pytest.importorskip("skimage")
    model, path = a_model(features=features), tmp_path / "model.onnx"
    exporting.export(model, path)
    session = onnxruntime.InferenceSession(path)
    (taken,), (A,) = session.get_inputs(), session.get_outputs()
    assert (taken.name, taken.type, taken.shape) == (features.kind, "tensor(uint8)", ["batch", *features.size])
    assert (A.name, A.type, A.shape) == ("probability", "tensor(float)", ["batch", 1])
    said = session.get_modelmeta().description
    assert said.endswith(
        "of photographs of 8 x 6" if features is PIXELS else f"{features.kind} features, not photographs"
    )
    photograph = rng.integers(0, 256, (*features.photograph, 3), np.uint8)
    given = features.of(photograph)[np.newaxis]
    expected, within = here(model, given)
    assert (abs(in_onnx_runtime(path, given) - expected) <= within).all()


@pytest.mark.parametrize("activation", ["tanh", "relu", "identity"])
def test_what_is_no_probability_is_not_called_one(tmp_path, activation):
    exporting.export(a_model(activation, "float64"), tmp_path / "model.onnx")
    (A,) = onnxruntime.InferenceSession(tmp_path / "model.onnx").get_outputs()
    assert (A.name, A.type) == ("activation", "tensor(double)")


def test_the_file_is_valid_for_old_runtimes_and_says_what_it_is(tmp_path):
    path = tmp_path / "model.onnx"
    exporting.export(a_model(), path)
    onnx.checker.check_model(path, full_check=True)
    found = onnx.load(path)
    assert (found.ir_version, [(opset.domain, opset.version) for opset in found.opset_import]) == (7, [("", 13)])
    assert (found.producer_name, found.producer_version) == ("handgrad", __version__)
    about = {entry.key: entry.value for entry in found.metadata_props}
    assert (json.loads(about.pop("classes")), json.loads(about.pop("photograph"))) == (["cat", "dög"], [8, 6])
    assert about == {"features": "pixels", "exact": "false", "data": "abc", "handgrad": __version__}
    assert "the probability, dög against cat" in found.doc_string
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_exists_is_kept_and_one_that_cannot_be_is_an_error(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_text("precious")
    with pytest.raises(UsageError, match=r"model\.onnx: exists already; expected a new file"):
        exporting.export(a_model(), path)
    assert path.read_text() == "precious"
    with pytest.raises(UsageError, match=r"model\.onnx: cannot be written"):
        exporting.export(a_model(), path / "model.onnx")


def test_without_onnx_there_is_one_line_that_says_what_to_install(without, monkeypatch):
    without("onnx")
    monkeypatch.delitem(sys.modules, "handgrad.onnx")
    with pytest.raises(MissingExtraError) as caught:
        importlib.import_module("handgrad.onnx")
    assert str(caught.value) == "ONNX is not installed; install it with: pip install 'handgrad[onnx]'"


def test_500_photographs_are_told_apart_as_here(photographs, tmp_path):
    prepare(photographs, tmp_path / "data", limit=500)
    train(tmp_path / "run", Settings(str(tmp_path / "data"), epochs=20))
    model, dataset = load_model(tmp_path / "run"), Dataset.open(tmp_path / "data")
    given = np.concatenate([dataset.train.X.T, dataset.valid.X.T]).reshape(-1, *model.size)
    exporting.export(model, tmp_path / "model.onnx")
    found = in_onnx_runtime(tmp_path / "model.onnx", given)
    A, within = here(model, given)
    assert found.shape == (500, 1)
    assert (abs(found - A) <= within).all()
    assert A.std() > 20 * within.max()
    labels = model.neuron(Neuron).predict(model.parameters, given.reshape(500, -1).T).T
    sure = abs(A - 0.5) > within
    assert ((found > 0.5) == labels)[sure].all()
    assert sure.mean() > 0.9


@pytest.mark.parametrize("library", ["onnxruntime", "torch", "sklearn"])
def test_the_documented_lines_give_the_same_answers(library, tmp_path, rng, monkeypatch):
    pytest.importorskip(library)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    model = a_model()
    save_run(tmp_path / "run", model, History(*np.ones((4, 1))), {})
    exporting.export(model, tmp_path / "model.onnx")
    given = examples(model, rng, 500)
    written = map(textwrap.dedent, re.findall(r"::\n\n((?:    .*\n|\n)+)", exporting.__doc__))
    (lines,) = (snippet for snippet in written if f"import {library}" in snippet or f"from {library}" in snippet)
    names = {"photographs": given, "X": given.reshape(500, -1).T}
    exec(lines, names)
    A, within = here(model, given)
    assert (abs(np.array(names["probability"].tolist()) - A) <= within).all()
    if library == "sklearn":
        labels = model.neuron(Neuron).predict(model.parameters, names["X"])[0]
        assert names["classifier"].predict(names["X"].T).tolist() == [model.classes[label] for label in labels]
