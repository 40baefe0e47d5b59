"""Standard streams that are missing, full, or can't spell: the work is done all the same."""

import json
import os
import resource
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from handgrad.backends.numpy import Neuron
from handgrad.commands import run
from handgrad.data import Dataset
from handgrad.validation import cross_validate


def pictures(folder, names=("a", "b"), n=5):
    rng = np.random.default_rng(0)
    for name, low in zip(names, (0, 120), strict=True):
        for i in range(n):
            (folder / name).mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(low, low + 130, (10, 12, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    source = str(pictures(folder / "pictures"))
    for k in "12":
        assert run(["prepare", source, f"{folder}/part{k}", "--size", "4", "--share", f"{k}/2"]) == 0
    assert run(["prepare", source, f"{folder}/data", "--size", "4"]) == 0
    assert run(["train", f"{folder}/data", "--run", f"{folder}/run", "--epochs", "5"]) == 0
    return folder


PROVED = """
import numpy as np

def forward(w):
    J = (w * w).sum()
    return {"J": J}

def backward(w, J):
    dw = 2 * w
    return {"dw": dw}

inputs = {"w": np.array([1.0, 2.0])}
"""


@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(
    "line",
    [
        "prepare {}/pictures data --size 4",
        "merge {0}/part1 {0}/part2 data",
        "train {}/data --run run --epochs 3",
        "compare {}/data --epochs 3 --backend numpy",
        "cross-validate {}/data --folds 2 --l2 0,1",
        "evaluate {0}/run {0}/data",
        "predict {0}/run {0}/pictures/a/0.png",
        "check mine.py",
        "check mine.py --variants",
        "bench --backends numpy --examples 9 --features 9 --rounds 5 --threads 1",
    ],
    ids=lambda line: line.split(" {")[0],
)
def test_every_command_works_without_standard_error(line, closed, made, tmp_path):
    (tmp_path / "mine.py").write_text(PROVED)
    words = f"{sys.executable} -m handgrad {line.format(made)} {closed}"
    assert subprocess.run(["sh", "-c", words], cwd=tmp_path, check=False).returncode == 0
    if "data --size" in line or "merge" in line:
        assert Dataset.open(tmp_path / "data").train.Y.size == 8
    if "train" in line:
        assert (tmp_path / "run" / "run.json").exists()


def test_what_libraries_write_to_a_standard_error_that_is_missing_goes_into_no_file_of_ours(made, tmp_path):
    program = (
        "import os, subprocess, sys; from handgrad import store; real = store._sync\n"
        "def sync(path): os.write(2, b'from a library'); real(path)\n"
        "store._sync = sync\n"
        "from handgrad.data.npy import GrowingNpy; append = GrowingNpy.append\n"
        "GrowingNpy.append = lambda *given: (os.write(2, b'from a library'), append(*given))[1]\n"
        "from handgrad.commands import main, open_streams; open_streams()\n"
        "subprocess.run([sys.executable, '-c', 'import sys; sys.exit(sys.stderr is None)'], check=True)\n"
        "main()"
    )
    words = [sys.executable, "-c", program, "prepare", made / "pictures", "data", "--size", "4"]
    subprocess.run(["sh", "-c", '"$@" 2>&-', "sh", *words], cwd=tmp_path, check=True)
    for name in "train/pixels.npy", "train/labels.npy", "valid/pixels.npy", "manifest.jsonl", "dataset.json":
        whole = (made / "data" / name).read_bytes()
        assert len((tmp_path / "data" / name).read_bytes()) == len(whole)
        assert name == "dataset.json" or (tmp_path / "data" / name).read_bytes() == whole


CYRILLIC, WIDE, LATIN = ("кот", "пёс"), ("猫", "🐕"), ("naïve", "Ÿ")


@pytest.mark.parametrize(
    ("names", "encoding"),
    [
        (CYRILLIC, "cp1252"),
        (CYRILLIC, "utf-8"),
        (WIDE, "ascii"),
        (WIDE, "utf-16"),
        (LATIN, "cp1252"),
        (LATIN, "latin-1:strict"),
    ],
    ids=["cyrillic", "cyrillic", "wide", "wide", "latin", "latin"],
)
def test_names_that_an_encoding_lacks_are_written_with_backslashes(names, encoding, tmp_path):
    data, pieces = tmp_path / "-".join(names), pictures(tmp_path / "pictures", names)
    environment = os.environ | {"PYTHONIOENCODING": encoding}

    def command(*words):
        words = [sys.executable, "-m", "handgrad", *map(str, words)]
        done = subprocess.run(words, env=environment, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout

    said = command("prepare", pieces, data, "--size", "4")
    for name in names:
        spelled = [name.encode(to, "backslashreplace") for to in (encoding.partition(":")[0], "utf-8")]
        assert any(of[2 * encoding.startswith("utf-16") :] in said for of in spelled)
    command("train", data, "--run", data / "run", "--epochs", "3")
    command("evaluate", data / "run", data)
    found = json.loads(command("predict", data / "run", pieces / names[0] / "0.png", "--json").decode(
        "utf-16" if encoding == "utf-16" else "utf-8"
    ))  # fmt: skip
    assert found[0]["file"].endswith(f"{names[0]}/0.png")


def test_a_name_of_bytes_that_are_no_letters_is_written_with_backslashes(tmp_path):
    data = os.fsencode(tmp_path) + b"/caf\xe9"
    words = [sys.executable, "-m", "handgrad", "prepare", pictures(tmp_path / "pictures"), data, "--size", "4"]
    done = subprocess.run(words, env=os.environ | {"PYTHONIOENCODING": "utf-8"}, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"caf\udce9" in done.stdout


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only on Linux")  # noqa: PTH110
def test_where_output_can_not_be_written_it_is_named():
    with open("/dev/full", "w") as full:  # noqa: PTH123
        words = [sys.executable, "-m", "handgrad", "--help"]
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode != 0
    assert done.stderr.startswith("error: standard output: No space left on device\n")


@pytest.mark.parametrize(("most", "file"), [(30, "gradients/right.py"), (2000, "data")])
def test_a_demo_on_a_full_disk_names_the_file_and_leaves_nothing(most, file, tmp_path):
    pytest.importorskip("sklearn")
    done = subprocess.run(
        [sys.executable, "-m", "handgrad", "demo", tmp_path / "in" / "demo"],
        capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)),
    )  # fmt: skip
    assert done.returncode == 2
    assert f"error: {tmp_path}/in/demo/{file}" in done.stderr
    assert "cannot be written: File too large" in done.stderr
    assert not (tmp_path / "in" / "demo").exists()


def test_a_program_without_standard_error_may_ask_for_a_bar(monkeypatch, rng):
    X = rng.integers(0, 256, (5, 30), np.uint8)
    monkeypatch.setattr(sys, "stderr", None)
    _, history = Neuron(input_scale=1 / 255).fit(X, X[:1] > 127, epochs=3, learning_rate=0.1, progress=True)
    assert len(history) == 3
    assert len(cross_validate(Neuron(), X, X[:1] > 127, l2=[0.1, 1.0], folds=2, progress=True)) == 2
