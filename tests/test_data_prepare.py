"""From photographs to a data set on disk."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from handgrad.data import Dataset, merge, prepare, read_photograph
from handgrad.data import photograph as photograph_module
from handgrad.errors import DataError, UsageError

REAL = Path(__file__).parents[1] / ".." / "shared" / "data" / "dogs-vs-cats" / "train"


def draw(path, seed, size=(20, 16)):
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


@pytest.fixture
def source(tmp_path):
    """A flat folder of 10 cats and 20 dogs, all different."""
    folder = tmp_path / "photographs"
    for i in range(10):
        draw(folder / f"cat.{i}.png", i)
    for i in range(20):
        draw(folder / f"dog.{i}.png", 100 + i)
    return folder


def manifest_of(data):
    return [json.loads(line) for line in (data / "manifest.jsonl").read_text().splitlines()]


def used(data, split):
    return [entry["path"] for entry in manifest_of(data) if entry["split"] == split]


def listing(folder):
    return {str(path.relative_to(folder)): path.is_file() and path.read_bytes() for path in folder.rglob("*")}


def test_every_row_is_the_photograph_that_the_manifest_names(source, tmp_path):
    prepare(source, tmp_path / "data", size=6)
    data = Dataset.open(tmp_path / "data")
    for split in ("train", "valid"):
        X, Y = getattr(data, split)
        for j, name in enumerate(data.names(split)):
            np.testing.assert_array_equal(X[:, j].reshape(6, 6, 3), read_photograph(source / name, 6))
            assert data.classes[Y[0, j]] == name.split(".")[0]


def test_the_split_is_stratified_and_leaks_nothing(source, tmp_path):
    summary = prepare(source, tmp_path / "data", size=4)
    assert summary.counts == {"train": (8, 16), "valid": (2, 4)}
    train, valid = used(tmp_path / "data", "train"), used(tmp_path / "data", "valid")
    assert set(train).isdisjoint(valid)
    assert sorted(train + valid) == sorted(path.name for path in source.iterdir())
    data = Dataset.open(tmp_path / "data")
    columns = {split: {column.tobytes() for column in getattr(data, split).X.T} for split in ("train", "valid")}
    assert columns["train"].isdisjoint(columns["valid"])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """1 x 1 photographs: 7 cats and 9 dogs."""
    folder = tmp_path_factory.mktemp("tiny")
    for i in range(16):
        draw(folder / f"{'cat' if i < 7 else 'dog'}.{i}.png", i, (1, 1))
    return folder


@settings(max_examples=40, deadline=None)
@given(validation=st.integers(0, 99).map(lambda percent: percent / 100), seed=st.integers(0, 99))
def test_any_share_is_taken_of_each_class(tiny, tmp_path_factory, validation, seed):
    data = tmp_path_factory.mktemp("share") / "data"
    counts = prepare(tiny, data, size=1, validation=validation, seed=seed).counts
    percent = round(validation * 100)
    assert counts["valid"] == (7 * percent // 100, 9 * percent // 100)
    assert np.add(*counts.values()).tolist() == [7, 9]


def test_a_share_that_binary_fractions_miss_is_taken_exactly(source, tmp_path):
    assert prepare(source, tmp_path / "data", size=4, validation=0.7).counts["valid"] == (7, 14)


def test_the_same_seed_gives_the_same_files_and_another_seed_another_split(source, tmp_path):
    hashes = [prepare(source, tmp_path / f"data{i}", size=4, seed=seed).hash for i, seed in enumerate([0, 0, 1])]
    assert hashes[0] == hashes[1] != hashes[2]
    assert listing(tmp_path / "data0") == listing(tmp_path / "data1")
    assert set(used(tmp_path / "data0", "valid")) != set(used(tmp_path / "data2", "valid"))


def test_the_hash_is_of_shapes_pixels_and_labels(source, tmp_path):
    summary = prepare(source, tmp_path / "data", size=4)
    digest = hashlib.sha256()
    for split in ("train", "valid"):
        pixels, labels = (np.load(tmp_path / "data" / split / f"{name}.npy") for name in ("pixels", "labels"))
        digest.update(f"{split} {pixels.shape}".encode())
        for array in pixels, labels:
            rows = b"".join(hashlib.sha256(row.tobytes()).digest() for row in array)
            digest.update(hashlib.sha256(rows).digest())
    assert summary.hash == Dataset.open(tmp_path / "data").hash == digest.hexdigest()


def test_pixels_are_aligned_to_64_bytes(source, tmp_path):
    prepare(source, tmp_path / "data", size=4)
    assert Dataset.open(tmp_path / "data").train.X.ctypes.data % 64 == 0


def test_folders_zips_and_subfolders_of_the_same_photographs_give_the_same_data_set(source, tmp_path):
    with zipfile.ZipFile(tmp_path / "photographs.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in source.iterdir():
            archive.write(path, f"train/{path.name}")
    for path in source.iterdir():
        draw_to = tmp_path / "sub" / path.name.split(".")[0] / path.name
        draw_to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, draw_to)
    sources = [source, tmp_path / "photographs.zip", tmp_path / "sub"]
    summaries = [prepare(each, tmp_path / f"data{i}", size=4) for i, each in enumerate(sources)]
    assert len({summary.hash for summary in summaries}) == 1
    assert [summary.source for summary in summaries] == ["folder", "zip", "folder"]


def test_without_validation_every_example_is_for_training(source, tmp_path):
    prepare(source, tmp_path / "data", size=4, validation=0)
    data = Dataset.open(tmp_path / "data")
    assert data.train.X.shape == (48, 30)
    assert data.valid.X.shape == (48, 0)
    assert data.valid.Y.shape == (1, 0)


def test_positive_swaps_the_labels_and_keeps_the_split(source, tmp_path):
    prepare(source, tmp_path / "dogs", size=4)
    summary = prepare(source, tmp_path / "cats", size=4, positive="cat")
    dogs, cats = Dataset.open(tmp_path / "dogs"), Dataset.open(tmp_path / "cats")
    assert (dogs.classes, cats.classes) == (("cat", "dog"), ("dog", "cat"))
    np.testing.assert_array_equal(dogs.train.Y, 1 - cats.train.Y)
    np.testing.assert_array_equal(dogs.train.X, cats.train.X)
    assert summary.found == (20, 10)
    assert summary.counts["valid"] == (4, 2)


def test_positive_must_be_one_of_the_classes(source, tmp_path):
    with pytest.raises(UsageError, match="positive: found 'bird'; expected 'cat' or 'dog'"):
        prepare(source, tmp_path / "data", positive="bird")


def test_splits_named_as_positive_are_classes_also_in_shares(source, tmp_path):
    for split in "train", "test":
        shutil.copytree(source, tmp_path / "both" / split)
    with pytest.raises(DataError, match="splits by their names"):
        prepare(tmp_path / "both", tmp_path / "data", size=4)
    for k in 1, 2:
        prepare(tmp_path / "both", tmp_path / f"part{k}", size=4, positive="test", share=(k, 2))
    assert merge([tmp_path / "part1", tmp_path / "part2"], tmp_path / "data").classes == ("train", "test")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_photograph_that_is_twice_in_a_zip_is_used_once_also_in_shares(source, tmp_path):
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        archive.write(source / "cat.1.png", "cat.0.png")
        for path in sorted(source.iterdir()):
            archive.write(path, path.name)
    once, twice = (prepare(each, tmp_path / f"of {each.name}", size=4) for each in (source, tmp_path / "p.zip"))
    assert (once.hash, once.found) == (twice.hash, twice.found)
    assert [tuple(skipped)[:2] for skipped in twice.skipped] == [("cat.0.png", "twice in the zip; the last counts")]
    for k in 1, 2:
        prepare(tmp_path / "p.zip", tmp_path / f"part{k}", size=4, share=(k, 2))
    assert merge([tmp_path / "part1", tmp_path / "part2"], tmp_path / "data").hash == once.hash


def test_a_limit_takes_the_first_of_the_order_in_each_class_share(source, tmp_path):
    prepare(source, tmp_path / "all", size=4, validation=0)
    summary = prepare(source, tmp_path / "some", size=4, validation=0, limit=6)
    assert used(tmp_path / "some", "train") == used(tmp_path / "all", "train")[:6]
    assert summary.counts["train"] == (2, 4)
    assert summary.found == (10, 20)


def spoil(source):
    (source / "cat.3.png").write_text("no photograph")
    whole = (source / "dog.5.png").read_bytes()
    (source / "dog.5.png").write_bytes(whole[: len(whole) // 2])
    (source / "notes.txt").write_text("notes")


def test_what_cannot_be_read_is_skipped_named_and_counted(source, tmp_path):
    spoil(source)
    summary = prepare(source, tmp_path / "data", size=4)
    assert {each.name for each in summary.skipped} == {"cat.3.png", "dog.5.png", "notes.txt"}
    assert summary.skipped_by_reason() == {"not named as an image": 1, "not an image": 1, "damaged": 1}
    assert summary.counts == {"train": (8, 15), "valid": (1, 4)}  # of (8, 16) and (2, 4), which are 10 and 20 in fifths
    assert "cat.3.png: not an image" in summary.report()
    entries = {entry["path"]: entry for entry in manifest_of(tmp_path / "data")}
    assert len(entries) == 31
    assert entries["cat.3.png"] == {
        "path": "cat.3.png",
        "status": "skipped",
        "reason": "not an image",
        "class": "cat",
        "label": None,
        "split": None,
        "width": None,
        "height": None,
    }
    assert entries["dog.0.png"]["status"] == "used"
    assert (entries["dog.0.png"]["width"], entries["dog.0.png"]["height"]) == (20, 16)


def test_an_unreadable_photograph_leaves_all_others_where_they_are(source, tmp_path):
    prepare(source, tmp_path / "before", size=4, test=0.2)
    spoil(source)
    prepare(source, tmp_path / "after", size=4, test=0.2)
    for split in "train", "valid", "test":
        left = [name for name in used(tmp_path / "before", split) if name not in ("cat.3.png", "dog.5.png")]
        assert used(tmp_path / "after", split) == left


def test_a_damaged_or_encrypted_file_in_a_zip_is_skipped(source, tmp_path):
    path = tmp_path / "photographs.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for each in sorted(source.iterdir()):
            archive.write(each, each.name)
        offsets = {info.filename: info.header_offset for info in archive.infolist()}
    content = bytearray(path.read_bytes())
    content[offsets["cat.1.png"] + 30 + len("cat.1.png") + 40] ^= 0xFF  # the content no longer fits its checksum
    content[content.rindex(b"PK\x01\x02", 0, content.rindex(b"cat.2.png")) + 8] |= 1  # marked as encrypted
    path.write_bytes(content)
    summary = prepare(path, tmp_path / "data", size=4)
    assert {each.name: each.reason.split(": ")[0] for each in summary.skipped} == dict.fromkeys(
        ["cat.1.png", "cat.2.png"], "cannot be read"
    )


@pytest.mark.parametrize("name", ["cat.3.png", "notes.txt"])
def test_strict_makes_the_first_skipped_file_an_error_and_leaves_nothing(source, tmp_path, name):
    (source / name).write_text("no photograph")
    with pytest.raises(DataError, match=name):
        prepare(source, tmp_path / "data", strict=True)
    assert [path.name for path in tmp_path.iterdir()] == ["photographs"]


def test_after_an_error_no_thread_goes_on(source, tmp_path):
    (source / "cat.3.png").write_text("no photograph")
    with pytest.raises(DataError) as caught:
        prepare(source, tmp_path / "data", strict=True)
    assert caught.traceback  # which holds on to what was at work
    assert not [thread for thread in threading.enumerate() if "ThreadPoolExecutor" in thread.name]


def test_strict_is_content_with_readable_photographs(source, tmp_path):
    assert prepare(source, tmp_path / "data", size=4, strict=True).skipped == ()


def test_a_class_without_a_readable_photograph_is_an_error(source, tmp_path):
    for path in source.glob("cat.*"):
        path.write_text("no photograph")
    with pytest.raises(DataError, match=r"found no cat to train on; skipped cat\.\d\.png: not an image"):
        prepare(source, tmp_path / "data")
    assert [path.name for path in tmp_path.iterdir()] == ["photographs"]


def test_an_existing_data_set_is_a_usage_error_and_stays(source, tmp_path):
    prepare(source, tmp_path / "data", size=4)
    before = listing(tmp_path)
    with pytest.raises(UsageError, match="data: exists already; expected a new or empty folder"):
        prepare(source, tmp_path / "data", size=5)
    assert listing(tmp_path) == before


def test_an_existing_file_is_a_usage_error_and_stays(source, tmp_path):
    (tmp_path / "data").write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        prepare(source, tmp_path / "data")
    assert (tmp_path / "data").read_text() == "mine"


def test_an_empty_folder_and_a_folder_yet_to_be_made_are_filled(source, tmp_path):
    (tmp_path / "empty").mkdir()
    assert prepare(source, tmp_path / "empty", size=4).hash == prepare(source, tmp_path / "a" / "b", size=4).hash


def test_a_folder_that_cannot_be_made_is_a_usage_error(source, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="data: cannot be written"):
        prepare(source, tmp_path / "file" / "data")


def test_a_failure_while_writing_leaves_nothing_and_the_source_as_it_was(source, tmp_path, monkeypatch):
    before = listing(tmp_path)

    def full_disk(self, row):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("handgrad.data.npy.GrowingNpy.append", full_disk)
    with pytest.raises(UsageError, match="data: cannot be written: No space left on device"):
        prepare(source, tmp_path / "data")
    assert listing(tmp_path) == before


def test_the_source_is_not_changed(source, tmp_path):
    before = listing(source)
    prepare(source, tmp_path / "data", size=4)
    assert listing(source) == before


def test_a_data_set_inside_the_source_is_refused(source):
    before = sorted(source.rglob("*"))
    with pytest.raises(UsageError, match="lies inside"):
        prepare(source, source / "new" / "data", size=4)
    assert sorted(source.rglob("*")) == before


def test_ctrl_c_removes_what_was_begun(tmp_path):
    folder = tmp_path / "photographs"
    draw(folder / "cat.0.png", 0, (1500, 1500))
    draw(folder / "dog.0.png", 1, (1500, 1500))
    for i in range(1, 200):
        os.link(folder / "cat.0.png", folder / f"cat.{i}.png")
        os.link(folder / "dog.0.png", folder / f"dog.{i}.png")
    program = "import sys; from handgrad.data import prepare; prepare(sys.argv[1], sys.argv[2])"
    program = f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler); {program}"
    process = subprocess.Popen(
        [sys.executable, "-c", program, folder, tmp_path / "data"], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 20
    while not list(tmp_path.glob(".data.*/train/pixels.npy")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=10)
    assert stderr.strip().endswith("KeyboardInterrupt")
    assert process.returncode != 0
    assert [path.name for path in tmp_path.iterdir()] == ["photographs"]


@pytest.mark.parametrize(
    "arguments",
    [
        {"size": 0},
        {"size": -3},
        {"size": 10**6},
        {"validation": -0.1},
        {"validation": 1},
        {"validation": float("nan")},
        {"seed": -1},
        {"limit": 0},
    ],
    ids=str,
)
def test_an_argument_out_of_range_is_a_usage_error_that_names_it(source, tmp_path, arguments):
    (name,) = arguments
    with pytest.raises(UsageError, match=f"^{name}: found .*; expected"):
        prepare(source, tmp_path / "data", **arguments)
    assert not (tmp_path / "data").exists()


def test_a_missing_source_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="nowhere: not found"):
        prepare(tmp_path / "nowhere", tmp_path / "data")


def test_the_summary_tells_sizes_and_the_share_larger_than_the_target(tmp_path):
    sizes = [(4, 4), (10, 3), (5, 9), (20, 10), (6, 6)]
    for i, size in enumerate(sizes):
        draw(tmp_path / "photographs" / f"{'cat' if i % 2 else 'dog'}.{i}.png", i, size)
    found = prepare(tmp_path / "photographs", tmp_path / "data", size=4, validation=0).sizes
    assert (found.smallest, found.median, found.largest) == ((4, 4), (6, 6), (20, 10))
    assert found.larger == 3 / 5  # not 4 x 4 itself, nor 10 x 3, too low


def test_the_summary_is_json_and_a_report(source, tmp_path):
    summary = prepare(source, tmp_path / "data", size=4, npz=True)
    assert json.loads(json.dumps(summary.to_json()))["counts"] == {"train": [8, 16], "valid": [2, 4]}
    assert summary.bytes == sum(path.stat().st_size for path in summary.path.rglob("*") if path.is_file())
    report = summary.report()
    for line in [
        "found       30: 10 of cat, 20 of dog",
        "classes     0 = cat, 1 = dog",
        "train       24: 8 of cat, 16 of dog",
    ]:
        assert line in report.splitlines()
    assert "100.0% larger than 4 x 4" in report
    assert str(tmp_path / "data") in report


def test_progress_is_shown_on_a_terminal_only(source, tmp_path, capfd):
    prepare(source, tmp_path / "data", size=4, progress=True)
    assert capfd.readouterr() == ("", "")


def test_memory_does_not_grow_with_the_data_set(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    folder = tmp_path / "photographs"
    draw(folder / "cat.0.png", 0, (8, 8))
    draw(folder / "dog.0.png", 1, (8, 8))
    for i in range(1, 100):
        os.link(folder / "cat.0.png", folder / f"cat.{i}.png")
        os.link(folder / "dog.0.png", folder / f"dog.{i}.png")
    tracemalloc.start()
    try:
        prepare(folder, tmp_path / "data", size=256, npz=True)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10e6
    assert sum(path.stat().st_size for path in (tmp_path / "data").rglob("pixels.npy")) > 39e6


def test_photographs_are_decoded_by_the_code_that_reads_one(source, tmp_path, monkeypatch):
    monkeypatch.setattr(photograph_module, "RESAMPLING", Image.Resampling.NEAREST)
    prepare(source, tmp_path / "data", size=6)
    data = Dataset.open(tmp_path / "data")
    np.testing.assert_array_equal(
        data.train.X[:, 0].reshape(6, 6, 3), read_photograph(source / data.names("train")[0], 6)
    )


def test_importing_the_data_room_imports_no_framework_and_no_h5py():
    program = "import sys, handgrad.data; print(*{name.split('.')[0] for name in sys.modules})"
    modules = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert "PIL" in modules
    assert not {"h5py", "torch", "jax", "numba", "sklearn", "matplotlib"} & set(modules)


@pytest.mark.skipif(not REAL.is_dir(), reason="the dogs-vs-cats photographs are not beside the repository")
class TestRealPhotographs:
    def test_all_2002_are_found_and_none_is_skipped(self, tmp_path):
        summary = prepare(REAL, tmp_path / "data")
        assert summary.found == (1001, 1001)
        assert summary.counts == {"train": (801, 801), "valid": (200, 200)}
        assert summary.skipped == ()
        assert summary.sizes.larger > 0.99
        data = Dataset.open(tmp_path / "data")
        assert data.train.X.shape == (12288, 1602)
        assert 90 < data.train.X.mean() < 150
        assert Counter(name.split(".")[0] for name in data.names("valid")) == {"cat": 200, "dog": 200}

    def test_a_limit_is_a_quick_look(self, tmp_path):
        summary = prepare(REAL, tmp_path / "data", limit=20, size=16)
        assert summary.counts == {"train": (8, 8), "valid": (2, 2)}
