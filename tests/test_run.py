"""A run that was saved is read back as it was; anything else is refused by name."""

import csv
import json
import os
import stat
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from handgrad import DataError, History, Parameters, store
from handgrad.backends.numpy import Neuron
from handgrad.data import Features
from handgrad.run import Model, load_model, save_run, versions
from handgrad.sealed import sealed, unsealed

HISTORY = History(np.array([0.6931, 0.5]), np.array([0.7, np.nan]), np.array([0.1, 0.2]), np.ones(2))


def model(dtype="float32"):
    neuron = Neuron("tanh", "squared_error", 0.1, 1 / 255, dtype)
    parameters = Parameters(*(V.astype(dtype) for V in Parameters.random(12, 1)))
    about = {"classes": ("cat", "dög"), "size": (2, 2, 3), "features": Features("pixels", (2, 2)), "data": "abc"}
    return Model(**vars(neuron.configuration), parameters=parameters, **about, versions=versions("numpy"))


def test_a_model_is_read_back_to_the_last_bit(tmp_path, dtype):
    saved = model(dtype)
    save_run(tmp_path, saved, HISTORY, {"epochs": 2})
    loaded = load_model(tmp_path)
    for before, after in zip(saved.parameters, loaded.parameters, strict=True):
        np.testing.assert_array_equal(before, after)
        assert (before.shape, before.dtype) == (after.shape, after.dtype)
    assert saved.neuron(Neuron) == loaded.neuron(Neuron) == Neuron("tanh", "squared_error", 0.1, 1 / 255, dtype)
    assert (loaded.classes, loaded.size, loaded.features, loaded.data) == (
        ("cat", "dög"),
        (2, 2, 3),
        Features("pixels", (2, 2)),
        "abc",
    )
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
    ("tensors", "about", "message"),
    [
        ({"b": None}, {}, "is no model of handgrad"),
        ({}, {"size": [1, 2, 3]}, r"W and b of shapes \(\(1, 12\), \(\)\) for \(1, 2, 3\) = 6 features"),
        ({"W": np.full((1, 12), np.nan)}, {}, "not finite"),
        ({}, {"classes": ["cat"]}, "is no model of handgrad"),
        ({}, {"surprise": 1}, "surprise"),
        ({}, {"activation": "step"}, "activation is 'step'"),
        ({}, {"l2": "much"}, "is no model of handgrad"),
        ({}, {"size": None}, "is no model of handgrad"),
    ],
)
def test_a_model_that_contradicts_itself_is_refused(tmp_path, tensors, about, message):
    save_run(tmp_path, model(), HISTORY, {})
    path = tmp_path / "model.safetensors"
    whole, described = unsealed(path, 1)
    whole = {name: V for name, V in (whole | tensors).items() if V is not None}
    path.write_bytes(sealed(whole, 1, described | about))
    with pytest.raises(DataError, match=message) as caught:
        load_model(tmp_path)
    assert str(path) in str(caught.value)


GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("release", sorted(path.name for path in GOLDEN.iterdir()))
def test_the_model_of_a_release_still_gives_its_predictions(release, backend):
    """`tests/golden/RELEASE` holds a model that it wrote, photographs' bytes (n, m), and what it said of them."""
    found = load_model(GOLDEN / release)
    told = json.loads((GOLDEN / release / "predictions.json").read_text())
    X = np.array(told["X"], np.uint8)
    A = found.neuron(backend).predict_proba(found.parameters, X)
    np.testing.assert_allclose(A[0], told["A"], rtol=1e-6)
    assert found.neuron(backend).predict(found.parameters, X)[0].tolist() == told["classes"]


def test_a_model_of_a_newer_format_says_to_upgrade(tmp_path):
    save_run(tmp_path, model(), HISTORY, {})
    path = tmp_path / "model.safetensors"
    path.write_bytes(sealed(unsealed(path, 1)[0], 2, {}))
    with pytest.raises(DataError, match="found format 2; this handgrad reads 1; upgrade handgrad"):
        load_model(tmp_path)


def test_a_model_cut_short_or_altered_anywhere_is_refused(tmp_path):
    save_run(tmp_path, model(), HISTORY, {})
    path = tmp_path / "model.safetensors"
    whole = path.read_bytes()
    for i in range(len(whole)):
        path.write_bytes(whole[:i])
        with pytest.raises(DataError, match=r"model\.safetensors: (is no whole file|found format)"):
            load_model(tmp_path)
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :])
        with pytest.raises(DataError, match=r"model\.safetensors: (is no whole file|found format)"):
            load_model(tmp_path)


def test_where_folders_cannot_be_synced_files_are_written_all_the_same(tmp_path, monkeypatch):
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("handgrad.store.os", SimpleNamespace(name="nt", fsync=lambda _: None))
        store.write(tmp_path / "file", b"content")
    assert (tmp_path / "file").read_bytes() == b"content"


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="names of open files are read from /proc")
def test_what_is_written_goes_to_the_disk_before_it_gets_its_name_and_the_name_after(tmp_path, monkeypatch):
    happened = []
    real, rename = os.fsync, Path.replace

    def fsync(descriptor):
        happened.append(("synced", Path(f"/proc/self/fd/{descriptor}").readlink().name))
        happened.append(("of length", os.fstat(descriptor).st_size if happened[-1][1] == ".file.new" else None))
        real(descriptor)

    def replace(self, target):
        happened.append(("renamed", self.name))
        return rename(self, target)

    monkeypatch.setattr("os.fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    opened = len(list(Path("/proc/self/fd").iterdir()))
    store.write(tmp_path / "file", b"content")
    folder = tmp_path.name
    assert happened == [
        ("synced", ".file.new"), ("of length", 7), ("renamed", ".file.new"), ("synced", folder), ("of length", None)
    ]  # fmt: skip
    happened.clear()
    with store.new_folder(tmp_path / "made" / "in" / "here") as temporary:
        (temporary / "inner").mkdir()
        (temporary / "inner" / "file").write_text("x")
    names = [name for what, name in happened if what != "of length"]
    assert set(names[:2]) == {"inner", "file"}
    assert names[2:] == [temporary.name, temporary.name, "in"]
    assert happened[6] == ("renamed", temporary.name)
    assert (tmp_path / "made" / "in" / "here" / "inner" / "file").read_text() == "x"
    assert len(list(Path("/proc/self/fd").iterdir())) == opened
