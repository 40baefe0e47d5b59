"""The main job, on real photographs: prepared, trained on every backend, compared, predicted."""

import json

import pytest

from handgrad.commands import run


@pytest.fixture(scope="module")
def data(photographs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs") / "data"
    assert run(["prepare", str(photographs), str(folder)]) == 0
    return folder


def test_2002_photographs_are_found_half_of_each_class_and_none_is_skipped(data):
    about = json.loads((data / "dataset.json").read_text())
    assert about["classes"] == ["cat", "dog"]
    assert [sum(split[label] for split in about["counts"].values()) for label in (0, 1)] == [1001, 1001]
    statuses = [json.loads(line)["status"] for line in (data / "manifest.jsonl").read_text().splitlines()]
    assert statuses == ["used"] * 2002


def test_the_backends_agree_after_100_epochs(data, capsys):
    capsys.readouterr()
    assert run(["compare", str(data), "--epochs", "100", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["backend"] for row in rows} >= {"numpy", "numba", "torch", "jax"}
    for row in rows:
        assert row["agrees"]
        assert row["validation_accuracy"] > 0.55


def test_a_trained_neuron_knows_a_photograph_of_its_training_set_better_than_chance(
    data, photographs, tmp_path, capsys
):
    assert run(["train", str(data), "--run", str(tmp_path / "run"), "--backend", "jax", "--epochs", "300"]) == 0
    capsys.readouterr()
    files = sorted(photographs.glob("*.1?.jpg"))
    assert run(["predict", str(tmp_path / "run"), *map(str, files), "--json"]) == 0
    predictions = json.loads(capsys.readouterr().out)
    assert len(predictions) == len(files) == 20
    assert sum(prediction["class"] in prediction["file"].rsplit("/")[-1] for prediction in predictions) >= 10


def test_one_neuron_on_the_directions_of_edges_is_right_in_70_of_100(photographs, tmp_path, capsys):
    """The three commands of the README, on all 2,002 photographs, by 5-fold cross-validation."""
    pytest.importorskip("skimage")
    data = str(tmp_path / "data")
    assert run(["prepare", str(photographs), data, "--features", "hog", "--size", "128"]) == 0
    capsys.readouterr()
    assert run(["cross-validate", data, "--folds", "5", "--l2", "1e-3,1e-2,1e-1", "--backend", "numpy", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (chosen,) = (row for row in found["rows"] if row["chosen"])
    assert chosen["examples"] == 2002
    assert sum(chosen["accuracy"]["folds"]) / 5 >= 0.70
    assert chosen["interval"][0] < chosen["right"] / 2002 < chosen["interval"][1]
    words = ["--optimizer", "lbfgs", "--l2", str(found["chosen"])]
    assert run(["train", data, "--run", str(tmp_path / "run"), *words]) == 0
    capsys.readouterr()
    files = [str(path) for path in sorted(photographs.glob("*.1??.jpg"))]
    assert run(["predict", str(tmp_path / "run"), *files, "--json"]) == 0
    predictions = json.loads(capsys.readouterr().out)
    assert sum(prediction["class"] in prediction["file"].rsplit("/")[-1] for prediction in predictions) >= 130  # of 200
