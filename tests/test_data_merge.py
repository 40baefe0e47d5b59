"""A data set prepared in shares, by several machines perhaps, and joined: what was prepared at once, with no copy."""

import json
import os
import shutil
import subprocess
import sys
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from handgrad import backends, host, memory, training
from handgrad.commands import run
from handgrad.data import Dataset, merge, prepare
from handgrad.errors import DataError, UsageError
from handgrad.examples import Joined, in_blocks
from handgrad.explanation import Explanation
from handgrad.settings import Settings

PIXEL = 1 / 255


def draw(path, seed, size=(9, 7)):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(values).save(path)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """15 cats and 22 dogs, of which ten are the same photograph and four unreadable; and what is no photograph."""
    folder = tmp_path_factory.mktemp("source") / "photographs"
    for i in range(37):
        draw(folder / f"{'cat' if i < 15 else 'dog'}.{i}.png", i, (5 + i % 4, 7))
    for i in range(20, 29):
        shutil.copy(folder / "dog.19.png", folder / f"dog.{i}.png")
    for unreadable in "cat.2.png", "cat.9.png", "dog.17.png", "dog.33.png":
        (folder / unreadable).write_text("no photograph")
    (folder / "notes.txt").write_text("notes")
    (folder / "nameless.png").write_text("")
    return folder


def in_shares(source, folder, n, **options):
    """The folders of all N parts."""
    parts = [folder / f"part-{k}" for k in range(1, n + 1)]
    for k, part in enumerate(parts, 1):
        prepare(source, part, share=(k, n), **options)
    return parts


@pytest.fixture(scope="module")
def prepared(source, tmp_path_factory):
    """What was prepared at once, in three parts, and these merged."""
    folder = tmp_path_factory.mktemp("prepared")
    prepare(source, folder / "one", size=4, test=0.2)
    parts = in_shares(source, folder, 3, size=4, test=0.2)
    merge(parts, folder / "merged")
    return folder / "one", parts, folder / "merged"


@pytest.fixture
def parts(prepared, tmp_path):
    """Three parts to do something to."""
    return [shutil.copytree(part, tmp_path / part.name) for part in prepared[1]]


def about(folder):
    return json.loads((folder / "dataset.json").read_text())


def change(folder, **changes):
    (folder / "dataset.json").write_text(json.dumps(about(folder) | changes))


def state(folder):
    """Of each file its content, its modification and which file it is."""
    return {
        path.relative_to(folder): path.is_file()
        and (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino, path.stat().st_mode)
        for path in folder.rglob("*")
    }


def assert_same_data_set(merged, one):
    found, expected = Dataset.open(merged), Dataset.open(one)
    for split in "train", "valid", "test":
        (X, Y), (expected_X, expected_Y) = getattr(found, split), getattr(expected, split)
        np.testing.assert_array_equal(np.asarray(X), expected_X)
        np.testing.assert_array_equal(Y, expected_Y)
        assert found.names(split) == expected.names(split)
    assert (found.classes, found.size, found.features, found.hash) == (
        *(expected.classes, expected.size, expected.features, expected.hash),
    )
    assert (merged / "manifest.jsonl").read_bytes() == (one / "manifest.jsonl").read_bytes()
    described = about(merged)
    del described["rows"]
    assert described == about(one)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"test": 0.2, "seed": 5},
        {"validation": 0},
        {"limit": 29, "positive": "cat"},
        {"features": "gray", "validation": 0.5},
    ],
    ids=str,
)
@pytest.mark.parametrize("n", [1, 3, 50])
def test_three_shares_merged_are_the_data_set_prepared_at_once(source, tmp_path, n, options):
    at_once = prepare(source, tmp_path / "one", size=4, **options)
    parts = in_shares(source, tmp_path, n, size=4, **options)
    merged = merge(parts[::-1], tmp_path / "merged")
    assert merged.hash == at_once.hash
    assert_same_data_set(tmp_path / "merged", tmp_path / "one")
    expected = at_once.to_json()
    assert {**merged.to_json(), "path": 0, "bytes": 0, "seconds": 0} == {
        **expected,
        "path": 0,
        "bytes": 0,
        "seconds": 0,
    }
    assert merged.skipped
    assert bool(merged.duplicates) == (options.get("validation") != 0)


@settings(max_examples=20)
@given(n=st.integers(1, 8), seed=st.integers(0, 99), limit=st.none() | st.integers(10, 40), test=st.integers(0, 4))
def test_any_number_of_shares_gives_the_same(source, tmp_path_factory, n, seed, limit, test):
    folder, options = tmp_path_factory.mktemp("any"), {"size": 1, "seed": seed, "limit": limit, "test": test / 10}
    expected = prepare(source, folder / "one", **options)
    assert merge(in_shares(source, folder, n, **options), folder / "merged").hash == expected.hash
    assert_same_data_set(folder / "merged", folder / "one")


def test_shares_are_alike_in_length_and_each_photograph_is_in_one(source, tmp_path):
    summaries = [prepare(source, tmp_path / str(k), size=4, share=(k, 5)) for k in range(1, 6)]
    seen = [
        [json.loads(line)["path"] for line in (s.path / "manifest.jsonl").read_text().splitlines()] for s in summaries
    ]
    photographs = [[name for name in names if name not in ("notes.txt", "nameless.png")] for names in seen]
    assert sorted(map(len, photographs)) == [7, 7, 7, 8, 8]
    assert sorted(chain(*seen)) == sorted(path.name for path in source.iterdir())
    assert [summary.share for summary in summaries] == [(k, 5) for k in range(1, 6)]
    assert all(summary.found == (15, 22) for summary in summaries)


def test_machines_that_know_nothing_of_each_other_prepare_one_data_set(source, prepared, tmp_path):
    program = "from handgrad.commands import main; main()"
    words = [sys.executable, "-c", program, "prepare", source, "--size", "4", "--test", "0.2"]
    jobs = [
        subprocess.Popen([*words, tmp_path / str(k), "--share", f"{k}/3"], stdout=subprocess.PIPE, text=True)
        for k in (1, 2, 3)
    ]
    for job in jobs:
        assert "next: handgrad merge PART... DATA" in job.communicate(timeout=60)[0]
        assert job.returncode == 0
    merge([tmp_path / str(k) for k in (2, 3, 1)], tmp_path / "merged")
    assert_same_data_set(tmp_path / "merged", prepared[0])


def test_no_pixel_is_copied_and_the_parts_are_left_and_may_be_deleted(prepared, parts, tmp_path):
    before = [state(part) for part in parts]
    merge(parts, tmp_path / "merged")
    for k, part in enumerate(parts, 1):
        for split in "train", "valid", "test":
            file, name = part / split / "pixels.npy", tmp_path / "merged" / split / f"pixels-{k}.npy"
            assert file.samefile(name)
            assert file.stat().st_nlink == 2
    assert [state(part) for part in parts] == before
    for part in parts:
        shutil.rmtree(part)
    assert_same_data_set(tmp_path / "merged", prepared[0])


def test_pixels_stay_in_their_files(prepared):
    X = Dataset.open(prepared[2]).train.X
    assert isinstance(X, Joined)
    assert all(host._mapping(array) is not None and not array.flags.writeable for array in X.arrays)


@pytest.fixture
def refused(tmp_path):
    """That a merge fails with an error, in one line, and neither leaves nor changes anything."""

    def check(parts, error, match, data="merged"):
        before = state(tmp_path)
        with pytest.raises(error, match=match) as caught:
            merge(parts, tmp_path / data)
        assert "\n" not in str(caught.value)
        assert state(tmp_path) == before

    return check


def test_a_missing_part_is_named_with_the_command_that_makes_it(parts, refused):
    refused([parts[0], parts[2]], UsageError, "found 2 of 3; part 2 is missing; .*: handgrad prepare --share 2/3")
    refused([parts[2]], UsageError, "found 1 of 3; part 1 is missing, and 1 more; .*: handgrad prepare --share 1/3")
    refused([], UsageError, "parts: found none")


def test_a_manifest_that_was_changed_is_named(parts, refused):
    manifest = parts[1] / "manifest.jsonl"
    manifest.write_text(manifest.read_text().replace('"width": ', '"width": 1', 1))
    refused(parts, DataError, "manifest.jsonl: does not hold what was prepared; .*--share 2/3")


def test_a_part_twice_is_refused(parts, refused, tmp_path):
    refused([*parts, parts[1]], UsageError, "part-2: is part 2 of 3, as is .*part-2; expected each once")
    shutil.copytree(parts[1], tmp_path / "copy")
    refused([*parts, tmp_path / "copy"], UsageError, "copy: is part 2 of 3, as is .*part-2")


def test_what_is_no_part_is_refused(prepared, parts, refused, tmp_path):
    refused([*parts[:2], prepared[0]], DataError, "one: is no part of a data set; .*handgrad prepare --share K/N")
    refused([*parts[:2], prepared[2]], DataError, "merged: is no part of a data set")
    refused([*parts[:2], tmp_path / "nowhere"], DataError, r"nowhere/dataset\.json: not found")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"size": 5}, r"has size \[5, 5, 3\]; .*part-1 has \[4, 4, 3\]"),
        ({"seed": 1}, "has seed 1; .*part-1 has 0"),
        ({"limit": 30}, "has limit 30; .*part-1 has null"),
        ({"validation": 0.3}, r"has validation 0\.3; .*part-1 has 0\.2"),
        ({"test": None}, r"has test 0\.0; .*part-1 has 0\.2"),
        ({"positive": "cat"}, r'has classes \["dog", "cat"\]; .*part-1 has \["cat", "dog"\]'),
        ({"features": "gray"}, r"has size \[4, 4, 1\]; .*part-1 has \[4, 4, 3\]"),
        ({"share": (3, 4)}, "has parts 4; .*part-1 has 3"),
    ],
    ids=str,
)
def test_a_part_that_was_made_in_another_way_is_refused(source, parts, refused, tmp_path, options, said):
    prepare(source, tmp_path / "other", **{"size": 4, "test": 0.2, "share": (3, 3)} | options)
    refused([*parts[:2], tmp_path / "other"], DataError, f"other: {said}; expected parts made alike")


@pytest.mark.parametrize("key", ["handgrad", "pillow", "resampling"])
def test_parts_of_other_versions_are_refused(parts, refused, key):
    change(parts[2], **{key: "another"})
    refused(parts, DataError, f'part-3: has {key} "another"; ')


def test_a_part_of_other_photographs_is_refused(source, parts, refused, tmp_path):
    copied = Path(shutil.copytree(source, tmp_path / "photographs"))
    (copied / "dog.30.png").rename(copied / "dog.99.png")
    prepare(copied, tmp_path / "renamed", size=4, test=0.2, share=(3, 3))
    refused([*parts[:2], tmp_path / "renamed"], DataError, "renamed: was made of photographs with other names")
    (copied / "dog.99.png").unlink()
    prepare(copied, tmp_path / "fewer", size=4, test=0.2, share=(3, 3))
    refused([*parts[:2], tmp_path / "fewer"], DataError, r"fewer: has found \[15, 21\]; .*part-1 has \[15, 22\]")


@pytest.mark.parametrize("at", [-1, -40])
def test_a_damaged_pixel_is_found_and_its_file_is_named(parts, refused, at):
    with (parts[1] / "train" / "pixels.npy").open("r+b") as file:
        file.seek(at, os.SEEK_END)
        byte = file.read(1)[0]
        file.seek(at, os.SEEK_END)
        file.write(bytes([byte ^ 1]))
    refused(parts, DataError, r"part-2/train/pixels\.npy: does not hold what was prepared; .*prepare --share 2/3")


def test_labels_that_changed_places_are_found_and_their_file_is_named(parts, refused):
    labels = np.load(parts[2] / "train" / "labels.npy")
    np.save(parts[2] / "train" / "labels.npy", labels[np.argsort(labels)])
    refused(parts, DataError, r"part-3/train/labels\.npy: does not hold what was prepared")


def test_a_part_cut_short_or_with_a_damaged_manifest_is_refused(parts, refused):
    manifest = parts[2] / "manifest.jsonl"
    whole = manifest.read_text()
    manifest.write_text("".join(whole.splitlines(keepends=True)[:-1]))
    refused(parts, DataError, r"part-3/manifest\.jsonl: names \d+ \w+ examples; expected \d+")
    manifest.write_text(whole[:-20])
    refused(parts, DataError, r"part-3/manifest\.jsonl: cannot be read")
    manifest.write_text(whole)
    os.truncate(parts[2] / "valid" / "pixels.npy", 150)
    refused(parts, DataError, r"part-3/valid/pixels\.npy: cannot be read")


@pytest.mark.parametrize(
    "part",
    [
        None,
        [],
        {},
        {"share": [0, 3]},
        {"share": [4, 3]},
        {"share": ["1", 3]},
        {"found": [1]},
        {"names": 3},
        {"arrays": []},
    ],
    ids=str,
)
def test_a_description_of_a_part_that_none_has_is_refused(parts, refused, part):
    change(parts[0], part=about(parts[0])["part"] | part if part else part)
    refused(parts, DataError, r"part-1/dataset\.json: found part ")


def test_where_there_are_no_hard_links_it_says_what_to_do(parts, refused, monkeypatch):
    def another_device(self, target):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", another_device)
    refused(
        parts, UsageError, "merged: cannot be linked to .*part-1/train/pixels.npy: Invalid cross-device link; .*copy"
    )


def test_a_place_that_is_taken_or_inside_a_part_is_refused(parts, refused, tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("mine")
    refused(parts, UsageError, "taken: exists already", "taken")
    refused(parts, UsageError, "lies inside .*part-2, which is not changed", "part-2/new")


def test_a_class_that_no_part_can_train_on_is_an_error_of_the_whole(tmp_path, refused):
    for i in range(6):
        draw(tmp_path / "photographs" / f"dog.{i}.png", i)
    (tmp_path / "photographs" / "cat.0.png").write_text("no photograph")
    parts = in_shares(tmp_path / "photographs", tmp_path, 2)
    refused(parts, DataError, r"merged: found no cat to train on; skipped cat\.0\.png: not an image; expected both")


def test_a_part_alone_is_no_data_set(prepared, tmp_path, capsys):
    part = prepared[1][1]
    with pytest.raises(DataError, match=r"part-2: is part 2 of 3 of a data set; .*: handgrad merge PART\.\.\. DATA"):
        Dataset.open(part)
    assert run(["train", str(part), "--run", str(tmp_path / "run")]) == 3
    assert "handgrad merge" in capsys.readouterr().err


@pytest.mark.parametrize(
    "rows",
    [
        [],
        {"train": [23]},
        {"train": [], "valid": [], "test": []},
        {"train": [10, 10], "valid": [3, 3], "test": [3, 3]},
        {"train": "3", "valid": [1], "test": [1]},
    ],
    ids=str,
)
def test_rows_that_no_merged_data_set_has_are_refused(prepared, tmp_path, rows):
    merged = Path(shutil.copytree(prepared[2], tmp_path / "merged"))
    change(merged, rows=rows)
    with pytest.raises(DataError, match=r"dataset\.json: found rows "):
        Dataset.open(merged)


def test_a_missing_array_of_a_merged_data_set_is_named(prepared, tmp_path):
    merged = Path(shutil.copytree(prepared[2], tmp_path / "merged"))
    (merged / "valid" / "pixels-2.npy").unlink()
    with pytest.raises(DataError, match=r"valid/pixels-2\.npy: not found"):
        Dataset.open(merged)


@pytest.mark.parametrize("share", [(0, 3), (4, 3), (1, 0), (-1, -1)])
def test_a_share_out_of_range_is_a_usage_error(source, tmp_path, share):
    with pytest.raises(UsageError, match=f"share: found {share[0]}/{share[1]}; expected K/N with K from 1 to N"):
        prepare(source, tmp_path / "data", share=share)
    assert not (tmp_path / "data").exists()


def test_a_share_of_arrays_or_with_npz_is_a_usage_error(source, tmp_path):
    with pytest.raises(UsageError, match="npz: found it beside share"):
        prepare(source, tmp_path / "data", share=(1, 2), npz=True)
    prepare(source, tmp_path / "arrays", size=4, npz=True)
    with pytest.raises(UsageError, match=r"share: found 1/2 for .*arrays; arrays are taken as they are"):
        prepare(tmp_path / "arrays", tmp_path / "data", share=(1, 2))


def test_strict_finds_what_cannot_be_read_in_the_share_that_has_it(source, tmp_path):
    for k in range(1, 4):
        skipped = prepare(source, tmp_path / f"loose-{k}", size=4, share=(k, 3)).skipped
        if skipped:
            with pytest.raises(DataError, match="remove it, or prepare without strict"):
                prepare(source, tmp_path / f"strict-{k}", size=4, share=(k, 3), strict=True)
        else:
            assert prepare(source, tmp_path / f"strict-{k}", size=4, share=(k, 3), strict=True).skipped == ()


def test_a_part_says_in_its_report_which_it_is_even_if_it_is_empty(source, tmp_path):
    summary = prepare(source, tmp_path / "part", size=4, limit=2, share=(1, 3))
    assert summary.counts == {"train": (0, 0), "valid": (0, 0)}
    assert summary.sizes is None
    assert json.loads(json.dumps(summary.to_json()))["share"] == [1, 3]
    assert f"part        {tmp_path / 'part'} (1 of 3, 4 x 4 x 3 pixels" in summary.report()
    assert "\nsizes" not in summary.report()


def test_too_many_files_to_be_open_say_what_to_do(prepared):
    pytest.importorskip("resource")
    program = (
        "import resource, sys; from handgrad.data import Dataset\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (8, 8))\n"
        "try: Dataset.open(sys.argv[1])\n"
        "except ValueError as error: print(error)"
    )
    found = subprocess.run([sys.executable, "-c", program, prepared[2]], capture_output=True, text=True, check=True)
    assert "is one file too many to be open; allow more with: ulimit -n" in found.stdout


def test_the_command_merges_reports_and_says_what_is_next(prepared, tmp_path, capsys):
    words = ["merge", *map(str, prepared[1])]
    assert run([*words, str(tmp_path / "a")]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "found       37: 15 of cat, 22 of dog" in out.splitlines()
    assert out.splitlines()[-1] == f"next: handgrad train {tmp_path / 'a'} --run RUN"
    assert run([*words, str(tmp_path / "b"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["hash"] == Dataset.open(prepared[0]).hash
    assert run(["merge", *map(str, prepared[1][:2]), str(tmp_path / "c")]) == 2
    assert capsys.readouterr().err.startswith("error: parts: found 2 of 3; part 3 is missing")


def test_a_share_is_written_k_n(source, tmp_path, capsys):
    for words in "3", "a/b", "1/2/3", "1.5/2":
        assert run(["prepare", str(source), str(tmp_path / "data"), "--share", words]) == 2
        assert "expected K/N, as 2/8" in capsys.readouterr().err


def test_training_on_a_merged_data_set_gives_the_bits_of_the_one_prepared_at_once(backend, dtype, prepared):
    one, merged = Dataset.open(prepared[0]), Dataset.open(prepared[2])
    neuron = backend(input_scale=PIXEL, dtype=dtype)
    (P, history), (Q, of_merged) = (
        neuron.fit(*d.train, epochs=20, learning_rate=0.1, validation=d.valid) for d in (one, merged)
    )
    np.testing.assert_array_equal(Q.W, P.W)
    np.testing.assert_array_equal(of_merged.validation_cost, history.validation_cost)


def test_out_of_core_it_differs_by_rounding_only(backend, dtype, prepared, monkeypatch):
    one, merged = Dataset.open(prepared[0]), Dataset.open(prepared[2])
    neuron, options = backend(input_scale=PIXEL, dtype=dtype), {"epochs": 20, "learning_rate": 0.1}
    P, history = neuron.fit(*one.train, validation=one.valid, **options)
    monkeypatch.setattr(memory, "total", lambda: 100.0)
    monkeypatch.setattr("handgrad.placing.VALUES", 200)
    taken = []
    monkeypatch.setattr("handgrad.examples.in_blocks", lambda X, width: taken.append(width) or in_blocks(X, width))
    Q, of_merged = neuron.fit(*merged.train, validation=merged.valid, **options)
    u = np.finfo(dtype).eps
    assert set(taken) == {4}
    np.testing.assert_allclose(of_merged.train_cost, history.train_cost, rtol=100 * u)
    np.testing.assert_allclose(of_merged.validation_cost, history.validation_cost, rtol=100 * u)
    np.testing.assert_allclose(Q.W, P.W, atol=100 * u * abs(P.W).max())


@pytest.mark.parametrize("name", backends.names())
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"span": True},
        {"block": 3},
        {"mirror": True, "standardize": True},
        {"optimizer": "sgd", "batch": 5},
        {"optimizer": "sgd", "block": 4, "mirror": True},
        {"optimizer": "lbfgs", "l2": 0.1, "standardize": True},
        {"learning_rate": None},
    ],
    ids=str,
)
def test_every_way_to_train_takes_a_merged_data_set(prepared, tmp_path, name, options):
    pytest.importorskip(name)
    costs = []
    for data in prepared[0], prepared[2]:
        settings = Settings(str(data), name, epochs=10, dtype="float64", **options)
        result = training.train(tmp_path / f"run-{len(costs)}", settings).result
        costs.append([measured["cost"] for measured in result["sets"]])
    np.testing.assert_allclose(costs[1], costs[0], rtol=1e-6)


def test_a_training_on_one_is_gone_on_with_on_the_other(prepared, tmp_path):
    settings = Settings(str(prepared[0]), epochs=10, optimizer="sgd", batch=5)
    care = training.Care(stop=lambda: True)
    assert training.train(tmp_path / "run", settings, care).result is None
    resumed = training.resume(tmp_path / "run", prepared[2]).result
    whole = training.train(tmp_path / "whole", settings).result
    assert resumed["sets"] == whole["sets"]


def test_every_command_takes_a_merged_data_set(prepared, tmp_path, capsys):
    one, merged = str(prepared[0]), str(prepared[2])
    trained = str(tmp_path / "run")
    said = {}
    assert run(["train", one, "--run", trained, "--epochs", "20", "--learning-rate", "0.05"]) == 0
    capsys.readouterr()
    for data in one, merged:
        outputs = []
        for words in (
            ["evaluate", trained, data, "--test", "--json"],
            ["rate", data, "--standardize", "--json"],
            ["cross-validate", data, "--folds", "2", "--l2", "0.1,1", "--mirror", "--json"],
        ):
            assert run(words) == 0, words
            outputs.append(capsys.readouterr().out.replace(data, "DATA"))
        assert run(["compare", data, "--epochs", "5", "--json"]) == 0
        outputs.append([row["train_cost"] for row in json.loads(capsys.readouterr().out)])
        said[data] = outputs
    assert said[merged] == said[one]


def test_a_report_of_a_merged_data_set_shows_the_same(prepared, tmp_path):
    pytest.importorskip("matplotlib")
    from handgrad.look.images import figures_of

    run_folder = tmp_path / "run"
    training.train(run_folder, Settings(str(prepared[2]), epochs=20))
    of_one, of_merged = (Explanation.of(run_folder, data) for data in (prepared[0], prepared[2]))
    assert of_merged.mistakes_csv() == of_one.mistakes_csv()
    np.testing.assert_array_equal(of_merged.pictures("train", [9, 0, 20]), of_one.pictures("train", [9, 0, 20]))
    assert of_merged.way(3) == of_one.way(3)
    names = [name for name, _ in figures_of(of_merged)]
    assert names == [name for name, _ in figures_of(of_one)]
    assert "sigmoid" in names


def test_benchmarks_take_a_merged_data_set(prepared, tmp_path):
    from handgrad.benchmarks import bench
    from handgrad.benchmarks.training import examples

    found = []
    for data in prepared[0], prepared[2]:
        (tmp_path / data.name).mkdir()
        settings = bench.Settings(arms=("numpy",), features=(48,), examples=(60,), data=data)
        work, _ = bench._work(settings, 48, 60, tmp_path / data.name)
        found.append((work.X, work.Y, *examples(data, 60)))
    for of_one, of_merged in zip(*found, strict=True):
        np.testing.assert_array_equal(of_merged, of_one)


def test_progress_of_a_merge_is_shown_on_a_terminal_only(prepared, tmp_path, capfd):
    merge(prepared[1], tmp_path / "merged", progress=True)
    assert capfd.readouterr() == ("", "")
