"""A run that was saved is read back as it was; anything else is refused by name."""

import csv
import json
import stat

import numpy as np
import pytest
from safetensors.numpy import save_file

from handgrad import DataError, History, Parameters
from handgrad.backends.numpy import Neuron
from handgrad.run import Model, load_model, save_run, versions

HISTORY = History(np.array([0.6931, 0.5]), np.array([0.7, np.nan]), np.array([0.1, 0.2]))


def model(dtype="float32"):
    neuron = Neuron("tanh", "squared_error", 0.1, 1 / 255, dtype)
    parameters = Parameters(*(V.astype(dtype) for V in Parameters.random(12, 1)))
    return Model.of(neuron, parameters, ("cat", "dög"), (2, 2, 3), "abc", versions("numpy"))


def test_a_model_is_read_back_to_the_last_bit(tmp_path, dtype):
    saved = model(dtype)
    save_run(tmp_path, saved, HISTORY, {"epochs": 2})
    loaded = load_model(tmp_path)
    for before, after in zip(saved.parameters, loaded.parameters, strict=True):
        np.testing.assert_array_equal(before, after)
        assert (before.shape, before.dtype) == (after.shape, after.dtype)
    assert saved.neuron(Neuron) == loaded.neuron(Neuron) == Neuron("tanh", "squared_error", 0.1, 1 / 255, dtype)
    assert (loaded.classes, loaded.size, loaded.data) == (("cat", "dög"), (2, 2, 3), "abc")
    assert loaded.versions["numpy"] == np.__version__


def test_the_history_is_a_table_with_a_line_per_epoch(tmp_path):
    save_run(tmp_path, model(), HISTORY, {"epochs": 2})
    with (tmp_path / "history.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1"]
    assert [float(row["train_cost"]) for row in rows] == HISTORY.train_cost.tolist()
    assert [row["validation_cost"] for row in rows] == ["0.7", ""]
    assert json.loads((tmp_path / "run.json").read_text()) == {"epochs": 2}


def test_files_have_ordinary_permissions(tmp_path):
    save_run(tmp_path, model(), HISTORY, {})
    (tmp_path / "ordinary").touch()
    ordinary = stat.S_IMODE((tmp_path / "ordinary").stat().st_mode)
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {ordinary}


def test_a_missing_model_says_how_to_make_one(tmp_path):
    with pytest.raises(DataError, match=r"model.safetensors: not found.*handgrad train"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("tensors", "metadata", "message"),
    [
        ({"W": np.zeros((1, 12))}, {}, "is no model of handgrad"),
        ({}, {"size": "[1, 2, 3]"}, r"W and b of shapes \(\(1, 12\), \(\)\) for \(1, 2, 3\) = 6 features"),
        ({"W": np.full((1, 12), np.nan)}, {}, "not finite"),
        ({}, {"classes": "cat"}, "is no model of handgrad"),
        ({}, {"surprise": "1"}, "surprise"),
        ({}, {"activation": '"step"'}, "activation is 'step'"),
        ({}, {"l2": '"much"'}, "is no model of handgrad"),
        ({}, {"format": "2"}, "found format 2; this handgrad reads 1; upgrade handgrad"),
        ({}, {"format": "new"}, "is no model of handgrad"),
    ],
)
def test_a_model_that_contradicts_itself_is_refused(tmp_path, tensors, metadata, message):
    save_run(tmp_path, model(), HISTORY, {})
    path = tmp_path / "model.safetensors"
    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        whole = {"W": file.get_tensor("W"), "b": file.get_tensor("b")}
        described = file.metadata()
    if "W" in tensors and tensors["W"].dtype == np.float64 and not np.isnan(tensors["W"]).any():
        whole = tensors  # b is missing
    save_file(whole | tensors, path, described | metadata)
    with pytest.raises(DataError, match=message) as caught:
        load_model(tmp_path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("length", [0, 4, 8, 50, -1])
def test_a_truncated_model_is_refused(tmp_path, length):
    save_run(tmp_path, model(), HISTORY, {})
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DataError, match="is no model of handgrad"):
        load_model(tmp_path)
