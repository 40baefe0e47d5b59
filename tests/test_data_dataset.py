"""A data set on disk: what is read, and what is refused."""

import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from handgrad.data import Dataset, prepare
from handgrad.data.npy import GrowingNpy
from handgrad.errors import DataError, UsageError


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("written")
    generator = np.random.default_rng(0)
    for i in range(20):
        image = Image.fromarray(generator.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        image.save(folder / f"{'cat' if i % 2 else 'dog'}.{i}.png")
    data = tmp_path_factory.mktemp("prepared") / "data"
    prepare(folder, data, size=4)
    return data


@pytest.fixture
def data(written, tmp_path):
    return shutil.copytree(written, tmp_path / "data")


def change(data, **changes):
    about = json.loads((data / "dataset.json").read_text())
    (data / "dataset.json").write_text(json.dumps(about | changes))


def test_examples_are_columns_of_bytes_read_from_disk(data):
    opened = Dataset.open(data)
    assert opened.path == data
    assert opened.classes == ("cat", "dog")
    assert opened.size == (4, 4, 3)
    X, Y = opened.train
    assert (X.shape, X.dtype) == ((48, 16), np.uint8)
    assert (Y.shape, Y.dtype) == ((1, 16), np.uint8)
    assert opened.valid.X.shape == (48, 4)
    np.testing.assert_array_equal(X.T.reshape(16, 4, 4, 3), np.load(data / "train" / "pixels.npy"))


def test_pixels_are_a_view_of_the_file_with_one_example_contiguous(data):
    X = Dataset.open(data).train.X
    assert X.T.flags.c_contiguous
    assert not X.flags.owndata
    assert not X.flags.writeable
    assert X[:, 3].flags.c_contiguous


def test_a_path_may_be_text(data):
    assert Dataset.open(str(data)).hash == Dataset.open(data).hash


def test_names_are_in_the_order_of_columns(data):
    opened = Dataset.open(data)
    assert len(opened.names("train")) == 16
    assert [name.split(".")[0] for name in opened.names("valid")] == [opened.classes[y] for y in opened.valid.Y[0]]


def test_names_of_an_unknown_split_are_a_usage_error(data):
    with pytest.raises(UsageError, match="split: found 'all'; expected 'train', 'valid' or 'test'"):
        Dataset.open(data).names("all")


@pytest.mark.parametrize("content", ["", "{}\n", "[1]\n", "no json\n", '{"status": "used", "split": "train"}\n'])
def test_a_manifest_that_does_not_fit_is_an_error(data, content):
    (data / "manifest.jsonl").write_text(content)
    with pytest.raises(DataError, match=r"manifest\.jsonl: .*; make it again with: handgrad prepare"):
        Dataset.open(data).names("train")


def test_a_missing_folder_or_description_says_how_to_make_one(data, tmp_path):
    with pytest.raises(DataError, match=r"nowhere/dataset\.json: not found; .*handgrad prepare"):
        Dataset.open(tmp_path / "nowhere")
    (data / "dataset.json").unlink()
    with pytest.raises(DataError, match=r"dataset\.json: not found"):
        Dataset.open(data)


@pytest.mark.parametrize("name", ["train/pixels.npy", "train/labels.npy", "valid/pixels.npy", "valid/labels.npy"])
def test_a_missing_array_is_named(data, name):
    (data / name).unlink()
    with pytest.raises(DataError, match=f"{name}: not found"):
        Dataset.open(data)


@pytest.mark.parametrize("name", ["train/pixels.npy", "valid/labels.npy"])
@pytest.mark.parametrize("kept", [0, 5, 60, -1])
def test_an_array_cut_short_is_named(data, name, kept):
    os.truncate(data / name, kept if kept >= 0 else (data / name).stat().st_size - 1)
    with pytest.raises(DataError, match=f"{name}: cannot be read"):
        Dataset.open(data)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((16, 4, 4, 3)),
        np.zeros((15, 4, 4, 3), np.uint8),
        np.zeros((16, 48), np.uint8),
        np.zeros((16, 4, 4, 3), np.uint8, order="F"),
    ],
)
def test_pixels_of_another_shape_or_type_are_refused(data, pixels):
    np.save(data / "train" / "pixels.npy", pixels)
    with pytest.raises(DataError, match=r"train/pixels\.npy: found .*; expected \(16, 4, 4, 3\) uint8"):
        Dataset.open(data)


@pytest.mark.parametrize("label", [2, 255])
def test_a_label_that_is_not_0_or_1_is_refused(data, label):
    labels = np.load(data / "train" / "labels.npy")
    labels[5] = label
    np.save(data / "train" / "labels.npy", labels)
    with pytest.raises(DataError, match=r"train/labels\.npy: found .* 1 others; expected 8 zeros and 8 ones"):
        Dataset.open(data)


def test_pickled_arrays_are_refused(data):
    np.save(data / "train" / "labels.npy", np.array([print] * 16), allow_pickle=True)
    with pytest.raises(DataError, match=r"train/labels\.npy: cannot be read"):
        Dataset.open(data)


def test_an_archive_in_place_of_an_array_is_refused(data):
    with (data / "train" / "labels.npy").open("wb") as file:
        np.savez(file, X=np.zeros(16, np.uint8))
    with pytest.raises(DataError, match=r"train/labels\.npy: found an archive"):
        Dataset.open(data)


def test_a_later_format_says_to_upgrade(data):
    change(data, format=2)
    with pytest.raises(DataError, match="found format 2; this handgrad reads 1; upgrade handgrad"):
        Dataset.open(data)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format", None),
        ("format", "1"),
        ("classes", ["cat"]),
        ("classes", "cd"),
        ("classes", [0, 1]),
        ("size", [4, 4]),
        ("size", [4, 4, 0]),
        ("size", [4, 4, True]),
        ("hash", None),
        ("counts", [8, 8]),
        ("counts", {"train": [8, 8]}),
        ("counts", {"train": [8, 8], "valid": [2, "2"]}),
    ],
)
def test_a_description_that_no_data_set_has_is_refused(data, key, value):
    change(data, **{key: value})
    with pytest.raises(DataError, match=rf"dataset\.json: found {key} "):
        Dataset.open(data)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"\xff\xfe"])
def test_a_description_that_is_no_json_object_is_refused(data, content):
    (data / "dataset.json").write_bytes(content)
    with pytest.raises(DataError, match=r"dataset\.json: "):
        Dataset.open(data)


def test_a_row_of_another_shape_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="found a row"), GrowingNpy(tmp_path / "a.npy", (2, 3)) as file:
        file.append(np.zeros((2, 2), np.uint8))
