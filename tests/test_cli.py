"""The commands, as a person or a script meets them."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from handgrad import backends, demo
from handgrad.commands import handgrad, run
from handgrad.commands.output import ticking
from handgrad.data import Dataset


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Forty pictures: dark ones of class a, bright ones of class b, which one neuron can tell apart."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for i in range(20):
        for name, low in ("a", 0), ("b", 120):
            Image.fromarray(rng.integers(low, low + 130, (10, 12, 3)).astype(np.uint8)).save(folder / f"{name}.{i}.png")
    return folder


@pytest.fixture(scope="session")
def data(pictures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared") / "data"
    assert run(["prepare", str(pictures), str(folder), "--size", "4"]) == 0
    return folder


@pytest.fixture(scope="session")
def trained(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "run"
    assert run(["train", str(data), "--run", str(folder), "--epochs", "200", "--learning-rate", "0.05"]) == 0
    return folder


@pytest.fixture
def command(capsys):
    """Run a command: its exit code, standard output and standard error."""

    def call(*words):
        capsys.readouterr()
        code = run([str(word) for word in words])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return code, captured.out, captured.err

    return call


def test_prepare_reports_what_it_found(command, pictures, tmp_path):
    code, out, err = command("prepare", pictures, tmp_path / "d", "--size", "4", "--validation", "0.25")
    assert (code, err) == (0, "")
    assert "40" in out
    assert "12 x 10" in out
    assert "next: handgrad train" in out
    code, out, _ = command("prepare", pictures, tmp_path / "e", "--size", "4", "--positive", "a", "--json")
    summary = json.loads(out)
    assert (code, summary["classes"], summary["counts"]) == (0, ["b", "a"], {"train": [16, 16], "valid": [4, 4]})


def test_train_ends_with_a_table_and_leaves_a_whole_run(command, data, tmp_path):
    code, out, err = command("train", data, "--run", tmp_path / "run", "--epochs", "50", "--learning-rate", "0.05")
    assert (code, err) == (0, "")
    assert out.splitlines()[0].split() == ["set", "examples", "cost", "accuracy", "95", "%", "interval", "ROC", "area"]
    assert [line.split()[0] for line in out.splitlines()[1:3]] == ["train", "validation"]
    assert "50 epochs" in out
    assert sorted(file.name for file in (tmp_path / "run").iterdir()) == [
        "history.csv",
        "model.safetensors",
        "run.json",
    ]
    assert len((tmp_path / "run" / "history.csv").read_text().splitlines()) == 51
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert about["versions"].keys() == {"handgrad", "python", "numpy"}


def test_train_and_compare_give_the_same_numbers_on_every_backend(command, data, tmp_path):
    results = {}
    for backend in "numpy", "numba", "torch", "jax":
        pytest.importorskip(backend)
        words = ["--backend", backend, "--epochs", "30", "--initial", "random", "--seed", "5", "--json"]
        code, out, _ = command("train", data, "--run", tmp_path / backend, *words)
        results[backend] = json.loads(out)
        assert (code, results[backend]["backend"], results[backend]["epochs"]) == (0, backend, 30)
    for backend in "numba", "torch", "jax":
        for ours, numpys in zip(results[backend]["sets"], results["numpy"]["sets"], strict=True):
            assert ours["cost"] == pytest.approx(numpys["cost"], rel=1e-4)
    code, out, _ = command("compare", data, "--epochs", "30", "--initial", "random", "--seed", "5", "--json")
    rows = {row["backend"]: row for row in json.loads(out)}
    assert code == 0
    assert rows.keys() == results.keys()
    for backend, row in rows.items():
        assert row["agrees"] is True
        assert row["train_cost"] == results[backend]["sets"][0]["cost"]


def test_compare_shows_the_intervals_of_accuracies(command, data):
    _, out, _ = command("compare", data, "--backend", "numpy", "--epochs", "5")
    found = re.search(r"train ([\d.]+)% to ([\d.]+)%, validation ([\d.]+)% to ([\d.]+)%", out)
    (row,) = (line.split() for line in out.splitlines() if line.startswith("numpy"))
    for accuracy, low, high in zip((row[3], row[4]), found.groups()[::2], found.groups()[1::2], strict=True):
        assert float(low) <= float(accuracy.rstrip("%")) <= float(high)


def test_compare_exits_1_and_says_which_backend_is_off_and_by_how_much(command, data, monkeypatch):
    torch_backend = pytest.importorskip("handgrad.backends.torch")
    right = torch_backend.Neuron.sums
    monkeypatch.setattr(torch_backend.Neuron, "sums", lambda *a: right(*a)._replace(dW=1.05 * right(*a).dW))
    code, out, err = command("compare", data, "--backend", "torch", "--epochs", "5")
    assert code == 1
    assert "torch disagrees with numpy: dW by" in err
    assert "agree" not in out


def test_compare_leaves_out_what_is_not_installed_and_says_so(command, data, without):
    without("jax")
    code, out, _ = command("compare", data, "--epochs", "2")
    assert code == 0
    assert "left out: JAX is not installed; install it with: pip install 'handgrad[jax]'" in out
    code, _, err = command("compare", data, "--epochs", "2", "--backend", "jax")
    assert (code, err) == (2, "error: JAX is not installed; install it with: pip install 'handgrad[jax]'\n")


def test_evaluate_gives_the_numbers_that_train_ended_with(command, data, trained):
    code, out, _ = command("evaluate", trained, data, "--json")
    assert code == 0
    assert json.loads(out)["sets"] == json.loads((trained / "run.json").read_text())["sets"]
    assert command("evaluate", trained, data)[1].startswith("set")


def test_predict_names_the_class_of_each_file_with_its_probability(command, trained, pictures):
    files = [pictures / "a.3.png", pictures / "b.3.png"]
    code, out, _ = command("predict", trained, *files)
    assert code == 0
    assert [line.split()[:2] for line in out.splitlines()[1:3]] == [[str(files[0]), "a"], [str(files[1]), "b"]]
    code, out, _ = command("predict", trained, *files, "--json")
    a, b = json.loads(out)
    assert (a["class"], b["class"]) == ("a", "b")
    assert a["probability"] == pytest.approx(1 - a["A"])
    assert b["probability"] == b["A"] > 0.5


def test_predict_sees_a_photograph_as_the_data_set_does(command, pictures, tmp_path):
    """The activations of the training set, from its files and from its rows, are the same numbers."""
    from handgrad.backends.numpy import Neuron
    from handgrad.data import Dataset
    from handgrad.run import load_model

    assert command("prepare", pictures, tmp_path / "d", "--size", "5")[0] == 0
    assert command("train", tmp_path / "d", "--run", tmp_path / "r", "--epochs", "20")[0] == 0
    dataset, model = Dataset.open(tmp_path / "d"), load_model(tmp_path / "r")
    names = dataset.names("train")
    _, out, _ = command("predict", tmp_path / "r", *(pictures / name for name in names), "--json")
    A = model.neuron(Neuron).predict_proba(model.parameters, dataset.train.X)
    np.testing.assert_allclose([prediction["A"] for prediction in json.loads(out)], A[0], rtol=1e-5)


def test_predict_reports_what_it_cannot_read_and_goes_on(command, trained, pictures, tmp_path):
    (tmp_path / "text.jpg").write_text("this is no photograph")
    code, out, err = command("predict", trained, tmp_path / "text.jpg", tmp_path / "none.jpg", pictures / "b.1.png")
    assert code == 3
    assert [line.split(":")[0] for line in err.splitlines()] == ["error", "error"]
    assert "text.jpg" in err
    assert "none.jpg" in err
    assert "b.1.png" in out


def npz(folder, X, Y):
    folder.mkdir()
    for name in "train", "valid":
        np.savez(folder / f"{name}.npz", X=X, Y=Y)
    return folder


def test_every_mistake_is_one_line_with_the_exit_code_of_its_kind(command, data, trained, pictures, tmp_path):
    empty, three, text = (tmp_path / name for name in ("empty", "three", "text"))
    for folder in empty, three, text:
        folder.mkdir()
    for name in "cat", "dog", "fox":
        shutil.copy(pictures / "a.0.png", three / f"{name}.0.png")
    shutil.copytree(pictures, text, dirs_exist_ok=True)
    (text / "a.99.jpg").write_text("this is no photograph")
    pixels = np.full((4, 2, 2, 3), 7.0)
    labels = np.array([[0, 1, 0, 1]])
    nan = npz(tmp_path / "nan", np.where(np.arange(4).reshape(-1, 1, 1, 1) == 2, np.nan, pixels), labels)
    wrong_labels = npz(tmp_path / "labels", pixels, labels * 2)
    wrong_shape = npz(tmp_path / "shape", pixels[:3], labels)
    damaged = tmp_path / "damaged"
    shutil.copytree(data, damaged)
    np.save(damaged / "train" / "labels.npy", np.full(32, 2, np.uint8))
    other = tmp_path / "other"
    assert command("prepare", pictures, other, "--size", "3")[0] == 0
    new, kept = tmp_path / "new", tmp_path / "kept"
    kept.mkdir()
    (kept / "precious.txt").write_text("keep me")
    for words, code, part in [
        (
            ["train", data, "--run", new, "--backend", "tensorflow"],
            2,
            "unknown backend 'tensorflow'; expected one of jax",
        ),
        (["check", "--backend", "fused"], 2, "unknown backend 'fused'; expected one of jax, "),
        (["train", data, "--run", new, "--activation", "relu"], 2, "needs activation 'sigmoid'"),
        (["train", data, "--run", new, "--learning-rate", "-1"], 2, "learning_rate is -1.0"),
        (["train", data, "--run", new, "--device", "cuda"], 2, "device is 'cuda'"),
        (["train", data, "--run", kept], 2, "kept"),
        (["train", empty, "--run", new], 3, "dataset.json"),
        (["train", damaged, "--run", new], 3, "labels.npy"),
        (["prepare", tmp_path / "nowhere", new], 2, "nowhere"),
        (["prepare", pictures, kept], 2, "kept"),
        (["prepare", empty, new], 3, "empty"),
        (["prepare", three, new], 3, "fox"),
        (["prepare", text, new, "--strict"], 3, "a.99.jpg"),
        (["prepare", nan, new], 3, "nan"),
        (["prepare", wrong_labels, new], 3, "2"),
        (["prepare", wrong_shape, new], 3, "3"),
        (["prepare", pictures, new, "--positive", "fox"], 2, "fox"),
        (["evaluate", empty, data], 3, "model.safetensors: not found"),
        (["evaluate", trained, other], 3, "expected classes ('a', 'b') of size (4, 4, 3)"),
        (["predict", trained, text / "a.99.jpg"], 3, "a.99.jpg"),
    ]:
        found, out, err = command(*words)
        assert (found, out) == (code, ""), (words, out, err)
        assert err.startswith("error: "), (words, err)
        assert err.count("\n") == 1, (words, err)
        assert part in err, (words, err)
        assert not new.exists(), words
    assert [file.name for file in kept.iterdir()] == ["precious.txt"]
    assert (kept / "precious.txt").read_text() == "keep me"


def test_an_unreadable_photograph_is_skipped_named_and_counted(command, pictures, tmp_path):
    folder = tmp_path / "p"
    shutil.copytree(pictures, folder)
    (folder / "a.99.jpg").write_text("this is no photograph")
    code, out, _ = command("prepare", folder, tmp_path / "d", "--size", "4")
    assert code == 0
    assert "a.99.jpg: not an image" in out


def test_training_that_diverges_exits_4_and_keeps_the_last_good_parameters(command, data, tmp_path):
    words = ["--loss", "squared_error", "--activation", "identity", "--learning-rate", "1e6", "--json"]
    code, out, err = command("train", data, "--run", tmp_path / "run", *words)
    assert code == 4
    warning, error = err.splitlines()
    assert re.fullmatch("warning: learning rate 1e\\+06 must diverge, as any above 0\\.\\d+; try 0\\.\\d+", warning)
    assert "the learning rate 1e+06 is too high for these data; handgrad rate proposes one" in error
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert about == json.loads(out)
    assert about["diverged"] is True
    assert 0 < about["epochs"] < 500
    code, out, _ = command("evaluate", tmp_path / "run", data)
    assert code == 0


@pytest.mark.parametrize("name", ["", *handgrad.commands])
def test_every_command_has_help_with_an_example(command, name):
    code, out, _ = command(*name.split(), "--help")
    assert code == 0
    assert f"handgrad {name}".strip() in out.split("Examples:")[1]


def test_misuse_of_a_command_exits_2(command):
    for words in (["train"], ["nonsense"], ["compare", "x", "--epochs", "many"], ["prepare", "a"]):
        code, _, err = command(*words)
        assert code == 2, words
        assert err


def test_the_demo_does_the_three_jobs_and_never_writes_over_what_is_there(command, monkeypatch, tmp_path):
    for package in "sklearn", "matplotlib":
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    Path("handgrad-demo").mkdir()
    code, out, _ = command("demo")
    made = Path("handgrad-demo-2")
    assert (code, list(Path("handgrad-demo").iterdir())) == (0, [])

    right, slip = ((made / "gradients" / name).read_text().splitlines() for name in ("right.py", "slip.py"))
    (line,) = (i for i, (a, b) in enumerate(zip(right, slip, strict=True), 1) if a != b)
    assert f"planted in line {line}" in out
    assert f"slip.py:{line} in propagate: {slip[line - 1].strip()}" in out
    assert "Every line is right." in out

    table = dict(re.findall(r"^(\w+) .* (\d\.\de[+-]\d+)$", out, re.MULTILINE))
    assert table.keys() == {name for name in backends.names() if importlib.util.find_spec(name)}
    explained = max(float(ratio) for ratio in table.values())
    assert float(re.search(r"at most ([\d.]+)% as far apart", out)[1]) == pytest.approx(100 * explained, abs=0.1)

    data = Dataset.open(made / "data")
    shown = dict(re.findall(rf"^{made}/photographs/(\S+) +([38]) +0?1?\.\d+$", out, re.MULTILINE))
    assert set(shown) <= set(data.names("test"))
    assert not set(shown) & {*data.names("train"), *data.names("valid")}
    assert sorted(shown.values()) == [*"333", *"888"]
    assert f"Six of the {data.test.Y.size} photographs that were held out" in out

    assert f"report: {made}/run/report.html" in out
    assert (made / "run" / "report.html").stat().st_size > 100_000
    assert json.loads((made / "run" / "run.json").read_text())["sets"][1]["accuracy"] > 0.95


def test_the_demo_fails_where_the_slip_is_not_found(command, monkeypatch, tmp_path):
    right, _ = demo.SLIP
    monkeypatch.setattr(demo, "SLIP", (right, right))
    code, out, _ = command("demo", tmp_path / "demo")
    assert code == 1
    assert "Every line is right." in out.split("slip.py\n")[-1]
    assert not (tmp_path / "demo" / "photographs").exists()


def test_the_demo_leaves_out_what_is_not_installed_and_says_so(command, without, tmp_path):
    without("sklearn", "sklearn.datasets", "jax", "numba", "torch")
    code, out, err = command("demo", tmp_path / "demo")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1].startswith("left out: scikit-learn is not installed")
    assert [path.name for path in (tmp_path / "demo").iterdir()] == ["gradients"]


def test_what_takes_long_says_every_few_seconds_that_it_goes_on(capsys):
    with ticking(every=0.01):
        time.sleep(0.1)
    said = capsys.readouterr().out.splitlines()
    assert len(said) > 1
    assert set(said) == {"... 0 s"}
    with ticking():
        pass
    assert not capsys.readouterr().out


def test_output_into_a_closed_pipe_is_no_error(data, tmp_path):
    outcome = subprocess.run(
        f"{sys.executable} -m handgrad compare --help | head -1", shell=True, capture_output=True, text=True, timeout=60
    )
    assert outcome.stdout.startswith("Usage:")
    assert outcome.stderr == ""
    closed = f"{sys.executable} -m handgrad --help | true; exit ${{PIPESTATUS[0]}}"
    outcome = subprocess.run(["bash", "-c", closed], capture_output=True, text=True, timeout=60)
    assert outcome.returncode in (0, 141)  # never 1, which is a check that failed
    assert outcome.stderr == ""


def test_what_a_checked_module_prints_is_not_part_of_the_json(tmp_path):
    path = tmp_path / "talks.py"
    path.write_text(
        "import numpy as np\nprint('hello')\n\n\ndef forward(W):\n    print('it')\n    return dict(J=np.sum(W))\n\n\n"
        "def backward(W):\n    return dict(dW=np.ones_like(W))\n\n\ndef inputs():\n    return dict(W=np.ones(3))\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "handgrad", "check", str(path), "--json"], capture_output=True, text=True, check=False
    )
    assert json.loads(done.stdout)["ok"]
    assert "hello" in done.stderr


WATCHED = """
import sys

called = []
PERMITTED = {"socket.__new__", "socket.gethostname"}  # asked for names only, by frameworks that say where they run


def watch(event, arguments):
    if event.split(".")[0] in ("socket", "subprocess", "urllib", "ftplib", "smtplib", "http") or event in (
        "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn"
    ):
        if event not in PERMITTED:
            called.append((event, arguments))


sys.addaudithook(watch)
from handgrad.commands import run

for line in sys.stdin.read().splitlines():
    assert run(line.split("|")) == 0, line
assert not called, called
"""


@pytest.mark.parametrize("name", ["numpy", "numba", "torch", "jax"])
def test_nothing_is_started_and_nobody_is_called(name, pictures, tmp_path):
    pytest.importorskip(name)
    data, trained = tmp_path / "data", tmp_path / "run"
    commands = [
        ["prepare", pictures, data, "--size", "4"],
        ["train", data, "--run", trained, "--backend", name, "--epochs", "20"],
        ["evaluate", trained, data, "--backend", name],
        ["predict", trained, pictures / "a.1.png"],
        ["compare", data, "--backend", name, "--epochs", "5"],
    ]
    words = "\n".join("|".join(map(str, command)) for command in commands)
    found = subprocess.run([sys.executable, "-c", WATCHED], input=words, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr


def test_every_accuracy_has_its_interval_and_a_test_set_is_looked_at_only_when_asked(command, pictures, tmp_path):
    code, out, _ = command("prepare", pictures, tmp_path / "d", "--size", "4", "--test", "0.25")
    assert (code, [line.split()[0] for line in out.splitlines()[2:5]]) == (0, ["train", "valid", "test"])
    assert command("train", tmp_path / "d", "--run", tmp_path / "r", "--epochs", "20")[0] == 0
    _, plain, _ = command("evaluate", tmp_path / "r", tmp_path / "d", "--json")
    assert [s["set"] for s in json.loads(plain)["sets"]] == ["train", "validation"]
    _, tested, _ = command("evaluate", tmp_path / "r", tmp_path / "d", "--test", "--json")
    *_, s = json.loads(tested)["sets"]
    assert (s["set"], s["examples"], sum(map(sum, s["confusion"]))) == ("test", 10, 10)
    low, high = s["accuracy_interval"]
    assert 0 <= low < s["accuracy"] <= high <= 1
    code, out, _ = command("evaluate", tmp_path / "r", tmp_path / "d", "--test")
    assert code == 0
    assert "taken for a" in out
    assert "reliability, test" in out


def test_evaluate_without_a_test_set_says_how_to_make_one(command, trained, data):
    code, _, err = command("evaluate", trained, data, "--test")
    assert (code, err) == (2, f"error: test: {data} has no test set; make one with: handgrad prepare --test 0.2\n")


@pytest.mark.parametrize("ending", [".svg", ".png", ".pdf"])
def test_figures_are_drawn_into_new_files(command, trained, data, tmp_path, ending):
    figure = tmp_path / f"scores{ending}"
    assert command("evaluate", trained, data, "--figure", figure)[0] == 0
    first = figure.read_bytes()
    assert len(first) > 5000
    code, _, err = command("evaluate", trained, data, "--figure", figure)
    assert (code, err.count("\n")) == (2, 1)
    assert "exists already; expected a new file" in err
    assert figure.read_bytes() == first
    code, _, err = command("evaluate", trained, data, "--figure", tmp_path / "scores.doc")
    assert (code, "expected a name that ends in .svg, .png, .pdf" in err) == (2, True)


@pytest.mark.parametrize(
    "words",
    [
        ["--optimizer", "lbfgs", "--l2", "0.01", "--early-stopping", "5"],
        ["--optimizer", "sgd", "--learning-rate", "0.1", "--batch", "8", "--schedule", "cosine", "--mirror"],
        ["--standardize", "--mirror", "--learning-rate", "auto"],
    ],
)
@pytest.mark.parametrize("backend", ["numpy", "numba", "torch", "jax"])
def test_train_with_each_optimizer_and_predict_from_raw_photographs(command, data, pictures, tmp_path, words, backend):
    pytest.importorskip(backend)
    code, out, err = command("train", data, "--run", tmp_path / "r", "--backend", backend, "--epochs", "60", *words)
    assert (code, err) == (0, "")
    about = json.loads((tmp_path / "r" / "run.json").read_text())
    assert about["sets"][1]["accuracy"] == 1.0
    assert (about["best_epoch"] is not None) == ("--early-stopping" in words)
    assert about["evaluations"] >= about["epochs"] - 1
    history = (tmp_path / "r" / "history.csv").read_text().splitlines()
    assert history[0] == "epoch,train_cost,validation_cost,seconds,evaluations"
    assert len(history) == about["epochs"] + 1
    code, out, _ = command("predict", tmp_path / "r", pictures / "a.1.png", pictures / "b.1.png", "--json")
    assert (code, [p["class"] for p in json.loads(out)]) == (0, ["a", "b"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--optimizer", "lbfgs", "--learning-rate", "1"], "--learning-rate: found it beside --optimizer lbfgs"),
        (["--optimizer", "lbfgs", "--batch", "3"], "--batch: found it beside --optimizer lbfgs, which has none"),
        (["--momentum", "0.5"], "--momentum: found it beside --optimizer gd"),
        (["--optimizer", "sgd", "--momentum", "1"], "momentum is 1.0; expected less than 1"),
        (["--optimizer", "sgd", "--learning-rate", "auto"], "can be done for gd only"),
        (["--learning-rate", "fast"], "'fast' is neither a number nor auto"),
        (["--activation", "relu", "--loss", "squared_error", "--learning-rate", "auto"], "none is sure for a relu"),
        (["--mirror", "--span"], "span: found it beside mirror or standardize"),
    ],
)
def test_options_that_do_not_go_together_are_one_line(command, data, tmp_path, words, said):
    code, _, err = command("train", data, "--run", tmp_path / "r", *words)
    assert code == 2
    assert said in err
    assert not (tmp_path / "r").exists()


def test_a_cost_that_rose_is_said_and_what_to_type(command, data, tmp_path):
    code, _, err = command("train", data, "--run", tmp_path / "r", "--learning-rate", "30", "--epochs", "2")
    assert code == 0
    said = re.search(r"warning: the cost rose from 0.6931 to [\d.e+]+: learning rate 30 is above ([\d.e-]+),", err)
    assert float(said[1]) < 30
    tried = re.search(r"try ([\d.e-]+)$", err, re.MULTILINE)[1]
    code, _, err = command("train", data, "--run", tmp_path / "s", "--learning-rate", tried, "--epochs", "2")
    assert (code, "rose" in err) == (0, False)


def test_a_rate_is_proposed_and_judged(command, data):
    code, out, err = command(
        "rate", data, "--learning-rate", "1e3", "--loss", "squared_error", "--activation", "identity"
    )
    assert (code, err) == (0, "")
    assert "at 1000: the cost must diverge" in out
    proposed = float(re.search(r"proposed +(\S+)", out)[1])
    found = json.loads(command("rate", data, "--learning-rate", proposed, "--json")[1])
    assert (found["verdict"], found["proposed"]) == ("falls", pytest.approx(found["bound"] / 2))
    assert json.loads(command("rate", data, "--json")[1])["verdict"] is None
    assert "falls in every epoch" in command("rate", data, "--learning-rate", "1e-9")[1]
    assert "may not settle" in command("rate", data, "--learning-rate", "1e3")[1]
    code, out, _ = command("rate", data, "--activation", "relu", "--loss", "squared_error")
    assert (code, "no rate is sure for a relu" in out) == (0, True)
    words = ["compare", data, "--loss", "squared_error", "--activation", "relu", "--learning-rate", "auto"]
    assert "none is sure for a relu" in command(*words)[2]
    assert command("rate", data, "--learning-rate", "-1")[0] == 2
    assert command("compare", data, "--backend", "numpy", "--epochs", "9", "--learning-rate", "auto")[0] == 0


def test_cross_validation_chooses_and_says_how_to_train(command, data, tmp_path):
    words = ["cross-validate", data, "--folds", "4", "--l2", "1e-3,10,0.1"]
    code, out, err = command(*words, "--plot", tmp_path / "folds.svg", "--mirror")
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines()[1:4]]
    assert [row[0] for row in rows] == ["0.001", "0.1", "10"]
    (chosen,) = (row[0] for row in rows if row[-1] == "chosen")
    next_one = out.splitlines()[-1]
    assert next_one.endswith(f"--run RUN --l2 {chosen} --optimizer lbfgs --epochs 1000 --mirror")
    code, _, err = command(*next_one.removeprefix("next: handgrad ").replace("RUN", str(tmp_path / "r")).split())
    assert (code, err) == (0, "")
    assert "<svg" in (tmp_path / "folds.svg").read_text()
    found = json.loads(command(*words, "--json", "--standardize")[1])
    assert [row["l2"] for row in found["rows"]] == [0.001, 0.1, 10.0]
    assert {row["examples"] for row in found["rows"]} == {40}
    assert found["chosen"] in (0.001, 0.1, 10.0)
    assert all(len(row["cost"]["folds"]) == 4 for row in found["rows"])


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--l2", "a"], 2, "l2 is 'a'; expected numbers with commas"),
        (["--l2", "-1"], 2, "l2 is -1.0"),
        (["--folds", "21"], 3, "class 0 has 20 examples; expected one or more for each of 21 folds"),
        (["--plot", "x.doc"], 2, "expected a name that ends in .svg, .png, .pdf"),
    ],
)
def test_a_cross_validation_that_cannot_be_is_one_line(command, data, words, code, said):
    found, _, err = command("cross-validate", data, *words)
    assert (found, err.count("\n")) == (code, 1)
    assert said in err


def test_hog_from_preparing_to_predicting(command, pictures, tmp_path):
    pytest.importorskip("skimage")
    code, out, _ = command("prepare", pictures, tmp_path / "d", "--size", "16", "--features", "hog")
    assert code == 0
    assert "(7 x 7 x 36 hog, " in out
    assert command("train", tmp_path / "d", "--run", tmp_path / "r", "--optimizer", "lbfgs", "--l2", "0.1")[0] == 0
    code, out, _ = command("predict", tmp_path / "r", pictures / "a.1.png", "--json")
    from handgrad.backends.numpy import Neuron
    from handgrad.data import Dataset
    from handgrad.run import load_model

    opened, model = Dataset.open(tmp_path / "d"), load_model(tmp_path / "r")
    names = opened.names("train")
    at = names.index("a.1.png")
    expected = model.neuron(Neuron).predict_proba(model.parameters, opened.train.X)[0, at]
    assert json.loads(out)[0]["A"] == pytest.approx(float(expected), rel=1e-5)
    code, _, err = command("train", tmp_path / "d", "--run", tmp_path / "s", "--mirror")
    assert (code, "of hog features; expected pixels or gray" in err) == (2, True)
    code, _, err = command("prepare", pictures, tmp_path / "e", "--size", "15", "--features", "hog")
    assert (code, "size: found 15 for hog; expected 16 or more" in err) == (2, True)


def test_hog_without_scikit_image_says_what_to_install(command, pictures, tmp_path, without):
    without("skimage", "skimage.feature")
    code, _, err = command("prepare", pictures, tmp_path / "d", "--features", "hog")
    assert code == 2
    assert "scikit-image is not installed; install it with: pip install 'handgrad[features]'" in err
    assert not (tmp_path / "d").exists()


def test_the_command_alone_says_what_to_do_next(command):
    code, out, err = command()
    assert (code, err) == (0, "")
    named = set(re.findall(r"handgrad ([\w-]+)", out))
    assert (
        {"demo", "check", "prepare", "train", "explain", "compare", "bench"} <= named <= {*handgrad.commands, "--help"}
    )


def test_every_command_ends_by_naming_the_likely_next_one(command, data, trained, pictures, tmp_path):
    picture = pictures / "a.1.png"
    (tmp_path / "mine.py").write_text(GRADIENT)
    for words in (
        ["prepare", pictures, tmp_path / "d", "--size", "4"],
        ["prepare", pictures, tmp_path / "p", "--size", "4", "--share", "1/1"],
        ["merge", tmp_path / "p", tmp_path / "m"],
        ["train", data, "--run", tmp_path / "r", "--epochs", "3"],
        ["evaluate", trained, data],
        ["predict", trained, picture],
        ["explain", trained, data, "--html", tmp_path / "r.html"],
        ["export", trained, tmp_path / "r.onnx"],
        ["compare", data, "--backend", "numpy", "--backend", "numba", "--epochs", "3"],
        ["cross-validate", data, "--l2", "1"],
        ["rate", data],
        ["check", tmp_path / "mine.py"],
        ["bench", "--backends", "numpy", "--features", "64", "--examples", "64", "--rounds", "5"],
    ):
        _, out, _ = command(*words)
        assert re.match("next: (handgrad|open|in Python)", out.splitlines()[-1]), words


GRADIENT = """
import numpy as np


def forward(W, X):
    return dict(Z=W @ X, J=np.sum((W @ X) ** 2))


def backward(X, Z):
    dZ = 2 * Z
    return dict(dZ=dZ, dW=dZ @ X.T)


def inputs():
    return dict(W=np.ones((1, 2)), X=np.ones((2, 3)))
"""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_can_complete_its_commands(shell):
    import os

    environment = os.environ | {"_HANDGRAD_COMPLETE": f"{shell}_source"}
    program = "from handgrad.commands import main; main()"
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
    assert "_HANDGRAD_COMPLETE" in done.stdout


def test_export_writes_a_file_that_onnx_runtime_reads(command, trained, data, tmp_path):
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    from handgrad.backends.numpy import Neuron
    from handgrad.data import Dataset
    from handgrad.run import load_model

    file = tmp_path / "model.onnx"
    code, out, err = command("export", trained, file)
    assert (code, err) == (0, "")
    assert "takes pixels, uint8 (batch, 4, 4, 3)" in out
    assert "gives probability, float32 (batch, 1): b above 0.5, else a" in out
    model, X = load_model(trained), Dataset.open(data).valid.X
    said = out.splitlines()[-1].removeprefix("next: in Python, ")
    (A,) = eval(said, {"onnxruntime": onnxruntime, "X": X.T.reshape(-1, *model.size)})
    np.testing.assert_allclose(A.T, model.neuron(Neuron).predict_proba(model.parameters, X), rtol=0, atol=1e-6)
    code, _, err = command("export", trained, file)
    assert (code, err.count("\n"), "exists already; expected a new file" in err) == (2, 1, True)


def test_what_is_proposed_next_has_the_options_that_it_was_proposed_for(command, data):
    words = ["--loss", "squared_error", "--activation", "tanh", "--l2", "0.5", "--standardize", "--backend", "numba"]
    found = command("rate", data, *words)[1].splitlines()[-1]
    for word in ("--loss squared_error", "--activation tanh", "--l2 0.5", "--standardize", "--backend numba"):
        assert word in found
    found = command("cross-validate", data, "--l2", "1", "--dtype", "float64", "--standardize")[1].splitlines()[-1]
    assert "--dtype float64" in found
    assert "--standardize" in found


def test_a_training_that_ends_early_says_why(command, data, pictures, tmp_path):
    code, out, _ = command("train", data, "--run", tmp_path / "a", "--optimizer", "lbfgs", "--l2", "1")
    assert re.search(r"ended after \d+ of 500 epochs: the gradient is next to nothing", out)
    about = json.loads((tmp_path / "a" / "run.json").read_text())
    assert about["epochs"] < about["epochs_asked"] == 500
    words = ["--early-stopping", "2", "--learning-rate", "1", "--epochs", "5000", "--validation-every", "1"]
    code, out, _ = command("train", data, "--run", tmp_path / "b", *words)
    ended = json.loads((tmp_path / "b" / "run.json").read_text())["ended"]
    assert ended is None or ended in out
    assert command("prepare", pictures, tmp_path / "d", "--size", "4", "--validation", "0")[0] == 0
    code, _, err = command("train", tmp_path / "d", "--run", tmp_path / "c", "--early-stopping", "3")
    assert (code, "has no photographs to validate on; make some with: handgrad prepare" in err) == (2, True)


def test_a_tilde_is_the_home_where_the_shell_has_left_it(tmp_path, monkeypatch, rng, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    for split in "train", "valid":
        X = rng.integers(0, 256, (20, 4, 4, 3), np.uint8)
        np.savez(tmp_path / f"{split}.npz", X=X, Y=np.arange(20) % 2)
    assert run(["prepare", "~", "~/data"]) == 0
    assert run(["train", "~/data", "--run=~/run", "--epochs", "1"]) == 0
    assert (tmp_path / "run" / "run.json").exists()
    assert Dataset.open("~/data").path == tmp_path / "data"
