"""What of a photograph the neuron is shown: the same from `prepare` and from `predict`, and always bytes."""

import json

import numpy as np
import pytest
from PIL import Image

from handgrad import DataError, UsageError
from handgrad.data import Dataset, Features, prepare, read_photograph


@pytest.fixture
def source(tmp_path, rng):
    folder = tmp_path / "photographs"
    folder.mkdir()
    for i in range(6):
        for name in "cat", "dog":
            Image.fromarray(rng.integers(0, 256, (40, 30, 3), np.uint8)).save(folder / f"{name}.{i}.png")
    return folder


@pytest.mark.parametrize(("kind", "size"), [("pixels", (24, 24, 3)), ("gray", (24, 24, 1)), ("hog", (7, 7, 36))])
def test_every_example_is_the_features_of_its_photograph(source, tmp_path, kind, size):
    if kind == "hog":
        pytest.importorskip("skimage")
    prepare(source, tmp_path / "data", size=24, features=kind, test=0.2)
    data = Dataset.open(tmp_path / "data")
    assert (data.size, data.features) == (size, Features(kind, (24, 24)))
    assert data.features.size == size
    for split in "train", "valid", "test":
        for x, name in zip(getattr(data, split).X.T, data.names(split), strict=True):
            pixels = read_photograph(source / name, 24)
            np.testing.assert_array_equal(x.reshape(size), data.features.of(pixels))
    assert data.test.Y.shape[1] == 2


def test_gray_is_the_brightness(rng):
    pixels = rng.integers(0, 256, (5, 6, 3), np.uint8)
    gray = Features("gray", (5, 6)).of(pixels)
    np.testing.assert_allclose(gray[..., 0], pixels @ [0.299, 0.587, 0.114], atol=1)


def test_hog_is_scikit_images_rounded_to_bytes(rng):
    feature = pytest.importorskip("skimage.feature")
    pixels = rng.integers(0, 256, (32, 48, 3), np.uint8)
    found = Features("hog", (32, 48)).of(pixels)
    options = dict(orientations=9, pixels_per_cell=(4, 6), cells_per_block=(2, 2), block_norm="L2-Hys")
    expected = feature.hog(pixels, channel_axis=-1, **options)
    np.testing.assert_allclose(found.ravel() / 255, expected, atol=0.5 / 255 + 1e-9)
    assert found.dtype == np.uint8


@pytest.mark.parametrize("side", [16, 17, 23, 24, 31, 64, 100, 128])
def test_the_size_of_hog_is_known_before_it_is_computed(side, rng):
    pytest.importorskip("skimage")
    features = Features("hog", (side, side))
    assert features.of(rng.integers(0, 256, (side, side, 3), np.uint8)).shape == features.size


def test_the_test_set_is_apart_and_does_not_depend_on_the_share_for_validation(source, tmp_path):
    for i, validation in enumerate((0.0, 0.4)):
        prepare(source, tmp_path / f"data{i}", size=4, test=0.34, validation=validation)
    one, other = (Dataset.open(tmp_path / f"data{i}") for i in range(2))
    assert one.names("test") == other.names("test")
    names = [set(other.names(split)) for split in ("train", "valid", "test")]
    assert [len(part) for part in names] == [4, 4, 4]
    assert len(set.union(*names)) == 12


def test_gray_of_the_smallest_photographs_can_be_opened(source, tmp_path):
    prepare(source, tmp_path / "data", size=2, features="gray")
    assert Dataset.open(tmp_path / "data").size == (2, 2, 1)


def test_without_a_test_set_a_data_set_is_what_it_was(source, tmp_path):
    prepare(source, tmp_path / "data", size=4)
    data = Dataset.open(tmp_path / "data")
    assert not (tmp_path / "data" / "test").exists()
    assert (data.test.X.shape, data.test.Y.shape, data.names("test")) == ((48, 0), (1, 0), [])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (dict(test=0.9), "test: found 0.9 beside validation 0.2; expected to keep some to train on"),
        (dict(test=0.2, npz=True), "npz: found it beside test or features"),
        (dict(test=0.5, validation=0.5), "test: found 0.5 beside validation 0.5"),
        (dict(test=-0.1), "test: found -0.1; expected a share"),
        (dict(features="edges"), "features: found 'edges'; expected one of pixels, gray, hog"),
    ],
)
def test_what_cannot_be_made_is_one_line(source, tmp_path, options, said):
    with pytest.raises(UsageError, match=said):
        prepare(source, tmp_path / "data", **options)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"features": "edges"},
        {"features": ["hog"]},
        {"features": "hog"},
        {"photograph": [4]},
        {"photograph": "4x4"},
        {"photograph": [4, -4], "features": "gray"},
        {"features": "gray", "photograph": [5, 4]},
        {"features": "hog", "photograph": [4, 4], "size": [3, 3, 36]},
    ],
)
def test_a_data_set_whose_features_contradict_it_is_refused(source, tmp_path, change):
    prepare(source, tmp_path / "data", size=4)
    path = tmp_path / "data" / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DataError, match=r"dataset\.json: found "):
        Dataset.open(tmp_path / "data")
