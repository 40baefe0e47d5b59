"""The door for other people's backends: named wherever one is named, by its file, its module, its word or itself."""

import json
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from handgrad import Neuron, Parameters, UsageError, backends
from handgrad.backends.numpy import Neuron as ByHand
from handgrad.commands import run

PAGE = Path(__file__).parents[1] / "docs" / "write-a-backend.md"


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    """The backend of the page on how to write one, in a file outside of the project: that of HIPS autograd."""
    pytest.importorskip("autograd")
    program = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[1]
    assert len(program.splitlines()) < 60
    file = tmp_path_factory.mktemp("elsewhere") / "mine.py"
    file.write_text(program, encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data set of 60 pictures that a line nearly separates, and one of them as a file."""
    from PIL import Image

    folder, rng = tmp_path_factory.mktemp("data") / "photographs", np.random.default_rng(0)
    folder.mkdir()
    for k in range(60):
        pixels = rng.integers(0, 120, (8, 8, 3), np.uint8) + 100 * np.uint8(k % 2)
        Image.fromarray(pixels).save(folder / f"{'cat' if k % 2 else 'dog'}.{k}.png")
    assert run(["prepare", str(folder), str(folder.parent / "data"), "--size", "4"]) == 0
    return folder.parent / "data", folder / "cat.1.png"


def said(capsys, *words):
    """What a command prints, as JSON."""
    capsys.readouterr()
    assert run([str(word) for word in words]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_backend_of_the_page_keeps_the_contract(mine):
    from handgrad.testing import check_backend

    check_backend(f"{mine}:Neuron")


def test_every_command_that_names_a_backend_takes_a_file(mine, data, tmp_path, capsys, monkeypatch):
    (folder, photograph), name = data, f"{mine}:Neuron"
    options = ["--epochs", 30, "--learning-rate", 0.5]
    found = [
        said(capsys, "train", folder, "--run", tmp_path / str(k), *options, "--backend", word, "--json")
        for k, word in enumerate([name, "numpy"])
    ]
    assert found[0]["backend"] == name
    assert found[0]["versions"]["mine.py"].startswith("sha256:")
    assert found[0]["sets"][0]["cost"] == pytest.approx(found[1]["sets"][0]["cost"], rel=1e-5)
    again = said(capsys, "train", "--resume", tmp_path / "0", "--json")
    assert again == found[0]
    of_one = said(capsys, "evaluate", tmp_path / "0", folder, "--backend", name, "--json")
    assert of_one["sets"] == found[0]["sets"]
    predicted = [
        said(capsys, "predict", tmp_path / "0", photograph, "--backend", word, "--json") for word in (name, "numpy")
    ]
    assert predicted[0][0]["A"] == pytest.approx(predicted[1][0]["A"], rel=1e-5)
    rows = said(capsys, "compare", folder, *options, "--backend", name, "--json")
    assert [(row["backend"], row["agrees"]) for row in rows] == [("numpy", True), (name, True)]
    assert said(capsys, "check", "--backend", name, "--json")["ok"]
    chosen = said(capsys, "cross-validate", folder, "--folds", 3, "--l2", "0.01,1", "--backend", name, "--json")
    assert chosen["rows"][0]["accuracy"]["folds"]
    assert said(capsys, "rate", folder, "--backend", name, "--json")["bound"] > 0
    result = tmp_path / "bench.json"
    words = ["bench", "--backends", f"numpy,{name}", "--features", "64", "--examples", "50", "--rounds", "5"]
    assert run([*words, "--json", str(result)]) == 0
    arms = json.loads(result.read_text())["sizes"][0]["arms"]
    assert [(arm["arm"], arm["refused"]) for arm in arms] == [("numpy", None), (name, None)]


def test_a_run_that_was_stopped_is_resumed_from_another_folder(mine, data, tmp_path, capsys, monkeypatch):
    """By the same file, though it was named relative to where one was."""
    from handgrad import training
    from handgrad.settings import Settings

    monkeypatch.chdir(mine.parent)
    settings = Settings(str(data[0]), "mine.py:Neuron", epochs=20, learning_rate=0.5)
    stopped = training.train(tmp_path / "run", settings, training.Care(stop=lambda: True))
    assert stopped.result is None
    monkeypatch.chdir(tmp_path)
    assert said(capsys, "train", "--resume", tmp_path / "run", "--json")["epochs"] == 20
    straight = training.train(
        tmp_path / "straight", Settings(str(data[0]), f"{mine}:Neuron", epochs=20, learning_rate=0.5)
    )
    assert straight.result["sets"] == training.finished(tmp_path / "run").result["sets"]


def test_the_estimator_takes_a_file_a_class_and_a_word(mine, rng):
    pytest.importorskip("sklearn")
    from sklearn.base import clone

    from handgrad.sklearn import NeuronClassifier

    X, y = rng.standard_normal((80, 3)), rng.integers(0, 2, 80)
    expected = NeuronClassifier(l2=0.1).fit(X, y)
    for backend in f"{mine}:Neuron", backends.load(f"{mine}:Neuron"), ByHand, "handgrad.backends.numpy:Neuron":
        found = clone(NeuronClassifier(backend, l2=0.1)).fit(X, y)
        np.testing.assert_allclose(found.coef_, expected.coef_, atol=1e-6)


def test_a_package_offers_a_backend_by_a_word(tmp_path, monkeypatch):
    """As an installed distribution does: by its metadata."""
    (tmp_path / "offering.py").write_text(
        "from handgrad import Neuron as Base\nfrom handgrad.backends.numpy import Neuron as N\n\n\nclass Mine(Base):\n"
        "    put, get, forward, sums = N.put, N.get, N.forward, N.sums\n    _logits, _losses = N._logits, N._losses\n"
    )
    about = tmp_path / "offering-1.5.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: offering\nVersion: 1.5\n")
    (about / "top_level.txt").write_text("offering\n")
    (about / "entry_points.txt").write_text("[handgrad.backends]\noffered = offering:Mine\nbroken = nowhere:Mine\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert {"offered", "broken", "numpy"} <= set(backends.names())
    Offered = backends.load("offered")
    assert Offered.__name__ == "Mine"
    assert backends.versions("offered") == {"offering": "1.5"}
    P = Parameters.random(4, 0)
    X, Y = np.ones((4, 3)), np.array([[0, 1, 1]])
    assert Offered().cost(P, X, Y) == ByHand().cost(P, X, Y)
    with pytest.raises(UsageError, match="backend broken: ModuleNotFoundError: No module named 'nowhere'"):
        backends.load("broken")
    sys.modules.pop("offering", None)


def test_a_class_is_loaded_once_so_that_examples_stay_its_own(mine):
    assert backends.load(f"{mine}:Neuron") is backends.load(str(mine))


def test_a_file_that_was_edited_is_read_again(tmp_path):
    file, before = tmp_path / "mine.py", "from handgrad.backends.numpy import Neuron\n"
    file.write_text(before)
    assert backends.load(str(file)).__module__ == "handgrad.backends.numpy"
    file.write_text("from handgrad.backends.numba import Neuron  # edited\n")
    pytest.importorskip("numba")
    assert backends.load(str(file)).__module__ == "handgrad.backends.numba"


def test_a_folder_is_no_file_of_python(tmp_path):
    (tmp_path / "mine.py").mkdir()
    with pytest.raises(UsageError, match=r"mine\.py: is a folder; expected a file of Python"):
        backends.load(str(tmp_path / "mine.py"))


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (None, "", "mine.py: no such file"),
        ("x = 1", "", "has no attribute 'Neuron'; expected a class Neuron"),
        ("x = 1", ":Foo", "has no attribute 'Foo'"),
        ("Neuron = 5", "", "found 5; expected a subclass of handgrad.Neuron"),
        ("def f(:", "", "SyntaxError"),
        ("1 / 0", "", "ZeroDivisionError: division by zero; expected a file that runs"),
        ("import nowhere", "", "ModuleNotFoundError: No module named 'nowhere'"),
        (
            "import handgrad\nclass Neuron(handgrad.Neuron):\n    def put(self, array): return array",
            "",
            "lacks forward, get, sums; expected put, get, forward and sums",
        ),
    ],
)
def test_what_is_no_backend_is_one_line(content, name, message, tmp_path, capsys):
    if content is not None:
        (tmp_path / "mine.py").write_text(content)
    assert run(["check", "--backend", f"{tmp_path / 'mine.py'}{name}"]) == 2
    out = capsys.readouterr()
    assert message in out.err
    assert len(out.err.strip().splitlines()) == 1
    assert out.out == ""


def test_an_unknown_word_is_told_what_there_is():
    with pytest.raises(
        UsageError, match=r"unknown backend 'fused'; expected one of jax, numba, numpy, torch, or FILE\.py"
    ):
        backends.load("fused")
    with pytest.raises(UsageError, match=r"expected a subclass of handgrad\.Neuron"):
        backends.load(int)
    with pytest.raises(UsageError, match="lacks forward, get, put, sums"):
        backends.load(Neuron)


PROGRAM = """
import pickle, sys
fitted = pickle.load(open("fitted.pickle", "rb"))
print(fitted.predict([[0.0, 1.0, 2.0]])[0] in (0, 1), fitted.neuron_.l2)
"""


def test_a_fitted_estimator_with_a_file_is_loaded_by_another_process(mine, rng, tmp_path):
    pytest.importorskip("sklearn")
    from handgrad.sklearn import NeuronClassifier

    fitted = NeuronClassifier(f"{mine}:Neuron", l2=0.25).fit(rng.standard_normal((80, 3)), rng.integers(0, 2, 80))
    (tmp_path / "fitted.pickle").write_bytes(pickle.dumps(fitted))
    outcome = subprocess.run([sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert (outcome.stdout, outcome.stderr) == ("True 0.25\n", "")


@pytest.mark.parametrize("name", ["my.pyneuron", "x.py.bak"])
def test_a_name_may_hold_the_ending_of_a_file(name, mine, tmp_path, monkeypatch):
    folder = tmp_path / name
    folder.mkdir()
    (folder / "a.b.py").write_text(mine.read_text())
    assert backends.load(f"{folder}/a.b.py:Neuron").__name__ == "Neuron"
    monkeypatch.chdir(folder)
    assert backends.lasting("a.b.py:Neuron") == f"{folder}/a.b.py:Neuron"
    assert backends.lasting("acme.pyneuron:Neuron") == "acme.pyneuron:Neuron"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise ValueError('oh')", r"error: mine\.py, line 10, in sums: ValueError: oh; .*check_backend says"),
        ("import sys; sys.exit(0)", r"error: mine\.py, line 10, in sums: SystemExit: 0; "),
        ("return None", r"error: backend mine_\w+\.Neuron: \w+: .*check_backend says"),
    ],
)
def test_a_fault_in_somebodys_backend_is_one_line_that_says_where(body, said, data, tmp_path, capsys):
    (tmp_path / "mine.py").write_text(
        "import handgrad\nfrom handgrad.backends.numpy import Neuron as N\n\n\nclass Neuron(handgrad.Neuron):\n"
        "    put, get, forward = N.put, N.get, N.forward\n    _logits = N._logits\n\n"
        f"    def sums(self, parameters, X, Y):\n        {body}\n"
    )
    capsys.readouterr()
    assert run(["rate", str(data[0]), "--backend", str(tmp_path / "mine.py")]) == 2
    err = capsys.readouterr().err
    assert re.match(said, err), err
    assert len(err.strip().splitlines()) == 1


def test_an_exit_on_import_is_a_usage_error(tmp_path):
    (tmp_path / "mine.py").write_text("import sys; sys.exit(0)")
    with pytest.raises(UsageError, match="SystemExit: 0; expected a file that runs"):
        backends.load(str(tmp_path / "mine.py"))
