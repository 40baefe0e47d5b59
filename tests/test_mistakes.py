"""Mistakes that people make in their first hour, and what they are told: a test or more for each line of the list."""

import io
import itertools
import json
import re
import shutil
import warnings
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from handgrad import DataError, Parameters, RisingCostWarning, UsageError, check, mutate
from handgrad.backends.numpy import Neuron
from handgrad.checks import LONG, shown
from handgrad.commands import run
from handgrad.optimizers import LBFGS, SGD

NEURON = """
import numpy as np

def forward(w, b, X, Y):
    A = 1 / (1 + np.exp(-(w @ X + b)))
    return {"A": A, "J": -np.mean(Y * np.log(A) + (1 - Y) * np.log(1 - A))}

def backward(w, b, X, Y, A, J):
    dZ = A - Y
    return {"dw": dZ @ X.T / X.shape[1], "db": dZ.sum()}

def inputs(rng):
    return {"w": rng.normal(size=(1, 2)), "b": 0.5, "X": rng.normal(size=(2, 3)), "Y": np.array([[0.0, 1, 1]])}
"""
"""With a slip: db is no mean."""


def photographs(folder, names, rng):
    """Photographs with these names, bright ones where there is a dog in it."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        low = 120 if "dog" in name else 0
        Image.fromarray(rng.integers(low, low + 130, (8, 8, 3)).astype(np.uint8)).save(path)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a file of each kind: photographs, data, run, and neuron.py, of which a line is wrong."""
    folder = tmp_path_factory.mktemp("made")
    names = [f"{name}.{i}.png" for name in ("cat", "dog") for i in range(20)]
    photographs(folder / "photographs", names, np.random.default_rng(0))
    (folder / "neuron.py").write_text(NEURON)
    assert run(["prepare", str(folder / "photographs"), str(folder / "data"), "--size", "4"]) == 0
    words = ["--learning-rate", "0.05", "--epochs", "20"]
    assert run(["train", str(folder / "data"), "--run", str(folder / "run"), *words]) == 0
    return folder


@pytest.fixture
def command(made, capsys, monkeypatch):
    """Run a command in that folder: its exit code, and what it wrote on standard output and standard error."""
    monkeypatch.chdir(made)

    def call(words):
        capsys.readouterr()
        code = run(words.split())
        return code, *capsys.readouterr()

    return call


class Series:
    """As pandas' and Polars' columns are: with a shape and a dtype, and no array."""

    def __init__(self, values):
        self.values = np.asarray(values)
        self.shape, self.dtype, self.ndim = self.values.shape, self.values.dtype, self.values.ndim

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype)


class DataFrame(Series):
    """And their tables: without a dtype of the whole."""

    def __init__(self, values):
        super().__init__(values)
        del self.dtype


# X given as (m, n); lists, DataFrames and Series.


@pytest.fixture
def X(rng):
    return rng.random((3, 20))


@pytest.fixture
def Y(X):
    return (X[:1] > 0.5).astype(np.uint8)


def methods(neuron, X, Y):
    """What takes X and Y, called."""
    P = Parameters.zeros(3)
    yield lambda: neuron.place(X, Y)
    yield lambda: neuron.cost(P, X, Y)
    yield lambda: neuron.gradients(P, X, Y)
    yield lambda: neuron.step(P, X, Y, learning_rate=0.1)
    yield lambda: neuron.fit(X, Y, epochs=1, learning_rate=0.1)
    yield lambda: neuron.accuracy(P, X, Y)


@pytest.mark.parametrize("kind", [np.asarray, DataFrame, np.ndarray.tolist])
def test_X_given_as_m_by_n_is_told_which_axis_is_which_and_X_T(backend, X, Y, kind):
    for call in methods(backend(), kind(X.T), Y):
        with pytest.raises(DataError) as caught:
            call()
        assert str(caught.value) == (
            "X has shape (20, 3) and Y has shape (1, 20); expected X (n, m): features by examples, one column per "
            "example; try X.T"
        )
    with pytest.raises(DataError, match=r"try X\.T, and np\.reshape\(Y, \(1, -1\)\)$"):
        backend().place(kind(X.T), Y[0])
    with pytest.raises(UsageError, match=r"W and b have shapes \(1, 3\) and \(\), and X \(20, 3\).*try X\.T$"):
        backend().predict(Parameters.zeros(3), kind(X.T))


def test_X_given_as_m_by_n_to_compare_is_told_so(X, Y):
    from handgrad.comparison import compare

    with pytest.raises(DataError, match=r"features by examples, one column per example; try X\.T"):
        compare({"numpy": Neuron()}, (X.T, Y), epochs=1, learning_rate=0.1)


def test_labels_that_fit_neither_way_get_no_advice_that_would_not_help(X, Y):
    with pytest.raises(DataError, match=r"expected \(1, 20\), one label per column of X \(3, 20\); try np\.reshape"):
        Neuron().place(X, Y[0])
    with pytest.raises(DataError, match=r"one label per column of X \(3, 20\)$"):
        Neuron().place(X, Y[:, :7])


@pytest.mark.parametrize("kind", [np.ndarray.tolist, DataFrame])
def test_lists_and_tables_are_arrays_on_every_backend(backend, X, Y, kind):
    right = backend().gradients(Parameters.zeros(3), X, Y)
    for call in methods(backend(), kind(X), kind(Y)):
        call()
    found = backend().gradients(Parameters.zeros(3), kind(X), kind(Y))
    np.testing.assert_array_equal(found.dW, right.dW)


def test_a_series_of_labels_is_told_its_shape_on_every_backend(backend, X, Y):
    for call in methods(backend(), X, Series(Y[0])):
        with pytest.raises(
            DataError, match=r"Y has shape \(20,\); expected \(1, 20\).*try np\.reshape\(Y, \(1, -1\)\)"
        ):
            call()
    assert backend().accuracy(Parameters.zeros(3), X, Series(Y)) == np.mean(Y == 0)


# A learning rate above the bound.


@pytest.fixture
def hazy(rng):
    """Bytes as photographs have them, bright or dark as a whole, of which a neuron learns next to nothing."""
    light = rng.normal(140, 40, (1, 400))
    X = np.clip(light + rng.normal(0, 40, (12, 400)), 0, 255).astype(np.uint8)
    return X, rng.integers(0, 2, (1, 400)).astype(np.uint8)


RATE = re.compile(r"learning rate ([\d.e-]+) is above ([\d.e-]+), up to which it must fall; try ([\d.e-]+)")


def test_a_rate_above_the_bound_is_said_by_fit_with_the_bound_and_what_to_type(backend, hazy):
    neuron = backend(input_scale=1 / 255)
    with pytest.warns(RisingCostWarning, match=r"^the cost rose from 0\.6931 to ") as caught:
        _, history = neuron.fit(*hazy, epochs=4, learning_rate=30.0)
    assert history.rose
    assert [warning.filename for warning in caught] == [__file__]
    rate, bound, proposed = map(float, RATE.search(str(caught[0].message)).groups())
    assert rate == 30 > bound > proposed
    assert "input_scale" not in str(caught[0].message)
    _, history = neuron.fit(*hazy, epochs=4, learning_rate=proposed)
    assert not history.rose


@pytest.mark.parametrize("kind", [np.asarray, np.float32])
def test_bytes_without_an_input_scale_are_named(backend, hazy, kind):
    X, Y = hazy
    with pytest.warns(RisingCostWarning, match=r"X holds bytes and input_scale is 1: better try input_scale=1 / 255$"):
        backend().fit(kind(X), Y, epochs=4, learning_rate=0.005)


def test_it_is_said_while_it_trains_where_it_has_lasted_some_epochs(hazy):
    epochs = []

    def watch(state):
        epochs.append(len(state().history))
        return bool(caught) or len(epochs) == 100

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Neuron(input_scale=1 / 255).fit(*hazy, epochs=10**7, learning_rate=30.0, watch=watch)
    assert (len(caught), epochs[-1] > 10) == (1, True)


def test_it_is_said_in_the_span_and_of_blocks_and_of_placed_examples(hazy):
    X, Y = hazy
    neuron = Neuron(input_scale=1 / 255)
    with pytest.warns(RisingCostWarning):
        Neuron().fit(X[:, :5], Y[:, :5], epochs=4, learning_rate=0.01, span=True)
    for options in {"block": 64}, {"block": 0}:
        with pytest.warns(RisingCostWarning, match=RATE.pattern):
            neuron.fit(neuron.place(X, Y, **options), epochs=4, learning_rate=30.0)


def test_what_it_says_takes_no_more_reads_than_the_training(rng, monkeypatch):
    reads, sums = itertools.count(), Neuron.sums
    monkeypatch.setattr(Neuron, "sums", lambda *a: (next(reads), sums(*a))[1])
    X, Y = rng.normal(size=(12, 400)), rng.integers(0, 2, (1, 400))  # whose directions are all alike
    Neuron().fit(X, Y, epochs=4, learning_rate=0.5)
    assert next(reads) == 4
    with pytest.warns(RisingCostWarning):
        Neuron().fit(X, Y, epochs=4, learning_rate=300.0)
    assert next(reads) == 5 + 4 + 4


def test_nothing_is_said_where_nothing_is_wrong(hazy):
    X, Y = hazy
    neuron = Neuron(input_scale=1 / 255)
    optimum, _ = neuron.fit(X, Y, epochs=200, optimizer=LBFGS())
    for optimizer in SGD(0.05), LBFGS():  # of which one rises and falls by chance
        neuron.fit(X, Y, epochs=30, optimizer=optimizer, initial=optimum)
    neuron.fit(X, Y, epochs=30, learning_rate=1.5, initial=optimum)  # where only rounding moves the cost
    neuron.fit(X, Y, epochs=1, learning_rate=30.0)


def test_the_commands_say_it_once(command, tmp_path):
    code, _, err = command(f"train data --run {tmp_path / 'r'} --learning-rate 30 --epochs 2")
    assert (code, err.count("\n")) == (0, 1)
    assert re.match(r"warning: the cost rose from 0\.6931 to [\d.]+: " + RATE.pattern, err)
    code, _, err = command("compare data --backends numpy,numba --learning-rate 30 --epochs 2")
    assert (code, err.count("the cost rose")) == (0, 1)


# Outputs are looked at before the work.


OUTPUTS = [
    ("bench --html {}.html", "handgrad.benchmarks.bench.run"),
    ("bench --json {}.json", "handgrad.benchmarks.bench.run"),
    ("explain run data --html {}.html", "handgrad.data.Dataset.open"),
    ("explain run data --images {}", "handgrad.data.Dataset.open"),
    ("evaluate run data --figure {}.svg", "handgrad.data.Dataset.open"),
    ("cross-validate data --plot {}.svg", "handgrad.choosing.cross_validate"),
    ("export run {}.onnx", "onnx.checker.check_model"),
    ("check neuron.py --counterexample {}.py", "handgrad.proof.check"),
    ("train data --run {}", "handgrad.data.Dataset.open"),
    ("prepare photographs {}", "handgrad.data.dataset.DatasetWriter.add"),
]


@pytest.mark.parametrize(("words", "work"), OUTPUTS)
def test_an_output_that_cannot_be_written_is_said_before_the_work(command, tmp_path, monkeypatch, words, work):
    def begun(*_, **__):
        raise AssertionError(f"{work} was called")

    monkeypatch.setattr(work, begun)
    (tmp_path / "file").write_text("no folder")
    code, _, err = command(words.format(tmp_path / "file" / "new"))
    assert (code, "cannot be written" in err) == (2, True)
    taken = tmp_path / f"taken{Path(words.split()[-1]).suffix}"
    taken.write_text("mine")
    code, _, err = command(words.format(taken.with_suffix("")))
    assert (code, "exists already" in err, taken.read_text()) == (2, True, "mine")


@pytest.mark.parametrize(
    "words",
    [
        "explain run data --html {}.html",
        "evaluate run data --figure {}.png",
        "export run {}.onnx",
    ],
)
def test_a_folder_that_does_not_exist_is_made_for_an_output(command, tmp_path, words):
    name = tmp_path / "not" / "there" / "new"
    assert command(words.format(name))[0] == 0
    assert len(list(name.parent.iterdir())) == 1


def test_two_outputs_of_one_name_are_said_before_the_work(command, tmp_path):
    code, _, err = command(f"bench --json {tmp_path / 'a'} --html {tmp_path / 'a'}")
    assert (code, "give each its own name" in err) == (2, True)


# Numba's first compilation.


@pytest.fixture
def terminal(monkeypatch):
    """Make standard error look like a terminal, from now on."""

    def put():
        stream = io.StringIO()
        stream.isatty = lambda: True
        monkeypatch.setattr("sys.stderr", stream)
        return stream

    return put


def test_that_numba_compiles_is_told_on_a_terminal_and_that_it_loads_is_not(terminal, monkeypatch):
    numba = pytest.importorskip("numba")
    module = pytest.importorskip("handgrad.backends.numba")
    from numba.core import event

    ours = next(of for of in event._registered["numba:compile"] if type(of).__module__ == module.__name__)
    monkeypatch.setattr(ours, "told", False)
    terminal = terminal()
    numba.njit(lambda x: x + 1)(1)  # somebody else's
    assert terminal.getvalue() == ""
    again = numba.njit(module._add.py_func)
    again(np.ones((2, 3)), np.empty(3))
    again(np.ones((2, 3), np.float32), np.empty(3))
    assert terminal.getvalue() == (
        "Numba compiles the backend for this machine and these types, once: it takes some seconds\n"
    )


def test_that_numba_compiles_is_not_told_where_nobody_looks(capsys):
    numba = pytest.importorskip("numba")
    module = pytest.importorskip("handgrad.backends.numba")
    numba.njit(module._add.py_func)(np.ones((2, 3)), np.empty(3))
    assert capsys.readouterr() == ("", "")


def test_a_benchmark_does_not_count_what_was_loaded_as_if_it_were_compiled(monkeypatch, tmp_path, rng):
    pytest.importorskip("numba")
    from handgrad.benchmarks.arms import Work
    from handgrad.benchmarks.bench import _compile
    from handgrad.benchmarks.worker import Worker

    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    X, Y = rng.integers(0, 256, (8, 4), np.uint8).T, np.array([[0, 1] * 4], np.uint8)
    work = Work(X, Y, np.ones((1, 4)), np.asarray(0.25), "cross_entropy", 1 / 255, "float32", "cpu")
    placed = []
    for arm in "numba", "numba", "numpy":
        with closing(Worker(arm, 1)) as worker:
            placed.append(worker.place(work))
    assert [of.cached for of in placed] == [False, True, None]
    assert placed[0].compile > 2 * placed[1].compile
    rows = [{"compile_seconds": of.compile, "compile_cached": of.cached} for of in placed]
    assert _compile(rows[0]) == f"{placed[0].compile:.3g}"
    assert _compile(rows[1]) == "cached"


# Photographs.


@pytest.mark.parametrize("options", ["", " --positive b"])
def test_classes_within_folders_a_and_b_are_seen(command, tmp_path, rng, options):
    names = [f"{a}/{c}/{i}.png" for a in "ab" for c in ("cat", "dog") for i in range(2)]
    source = photographs(tmp_path / "s", names, rng)
    code, _, err = command(f"prepare {source} {tmp_path / 'd'} --size 4{options}")
    if options:
        assert code == 0  # they are classes, if one says so
        return
    assert code == 3
    assert "which all hold cat, dog: splits or sources, and no classes" in err
    assert f"handgrad prepare {source / 'a'} DATA" in err


@pytest.mark.parametrize("name", ["cat.{}.png", "cat/{}.png"])
def test_one_class_alone_is_told_what_to_add(command, tmp_path, rng, name):
    source = photographs(tmp_path / "s", [name.format(i) for i in range(3)], rng)
    code, _, err = command(f"prepare {source} {tmp_path / 'd'}")
    assert (code, "found 1 class: cat (3); expected exactly two; add photographs of what is no cat" in err) == (3, True)


# Files and folders in the wrong place.


@pytest.mark.parametrize(
    ("name", "found", "typed"),
    [
        ("neuron.py", "a Python file", "handgrad check neuron.py"),
        ("neuron.py:forward", "a Python file", "handgrad check neuron.py"),
        ("run", "a run", "handgrad evaluate run DATA"),
        ("run/model.safetensors", "the model of a run", "handgrad evaluate run DATA"),
        ("run/run.json", "a part of a run", "handgrad evaluate run DATA"),
        ("data/dataset.json", "a part of a data set", "handgrad train data --run RUN"),
        ("data", "a data set", "handgrad train data --run RUN"),
        ("photographs", "a folder", "handgrad prepare photographs DATA, if it holds photographs"),
        ("photographs/cat.0.png", "a photograph", "handgrad predict RUN photographs/cat.0.png"),
    ],
)
def test_a_file_in_the_place_of_a_command_is_told_which_takes_it(command, name, found, typed):
    code, _, err = command(name)
    assert code == 2
    assert err.endswith(f"Error: No such command '{name}'; it is {found}: {typed}\n")


def test_what_is_no_file_is_no_such_command(command):
    code, _, err = command("nothing")
    assert (code, err.endswith("Error: No such command 'nothing'.\n")) == (2, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("evaluate data run", "data is a data set; expected a run; its place: handgrad evaluate RUN data"),
        ("explain data run", "data is a data set; expected a run; its place: handgrad explain RUN data"),
        ("predict photographs/cat.0.png run", "its place: handgrad predict RUN photographs/cat.0.png"),
        ("predict run data", "expected a photograph or a folder; it goes with: handgrad train data --run RUN"),
        ("export data m.onnx", "expected a run; it goes with: handgrad train data --run RUN"),
        ("train run --run r", "run is a run; expected a data set; it goes with: handgrad evaluate run DATA"),
        ("train --resume data", "data is a data set; expected a run; its place: handgrad train data"),
        ("compare run", "run is a run; expected a data set; it goes with: handgrad evaluate run DATA"),
        ("rate neuron.py", "is a Python file; expected a data set; it goes with: handgrad check neuron.py"),
        ("prepare data d", "data is a data set; expected a folder or a zip; it goes with: handgrad train data"),
        ("check run", "run is a run; expected a Python file; it goes with: handgrad evaluate run DATA"),
        ("check photographs/cat.0.png", "it goes with: handgrad predict RUN photographs/cat.0.png"),
        ("bench --data run", "run is a run; expected a data set; it goes with: handgrad evaluate run DATA"),
        ("bench --compare run data", "run is a run; expected a result of handgrad bench"),
    ],
)
def test_a_file_of_the_wrong_kind_is_told_which_command_takes_it(command, words, said):
    code, _, err = command(words)
    assert (code, said in err) == (2, True)


def test_predict_takes_folders(command):
    code, out, err = command("predict run photographs/cat.0.png photographs")
    files = [line.split()[0] for line in out.splitlines()[1:42]]
    assert (code, err) == (0, "")
    assert files == ["photographs/cat.0.png", *sorted(map(str, Path("photographs").iterdir()))]


def test_predict_goes_on_and_leaves_out_nothing_in_silence(command, tmp_path):
    (tmp_path / "some" / "empty").mkdir(parents=True)
    shutil.copy("photographs/cat.0.png", tmp_path / "some" / "cat.png")
    (tmp_path / "some" / "link.png").symlink_to("cat.png")
    code, out, err = command(f"predict run {tmp_path / 'some' / 'empty'} {tmp_path / 'some'}")
    assert (code, out.split()[3]) == (3, str(tmp_path / "some" / "cat.png"))
    assert [line.split(": ")[1] for line in err.splitlines()] == [
        str(tmp_path / "some" / "empty"),
        str(tmp_path / "some" / "link.png"),
    ]


def test_predict_of_a_folder_without_photographs_is_told_what_was_expected(command, tmp_path):
    code, _, err = command(f"predict run {tmp_path}")
    assert (code, f"{tmp_path}: found no photographs; expected files that end in .bmp, .gif" in err) == (3, True)


def test_export_wants_the_name_that_runtimes_know(command, tmp_path):
    pytest.importorskip("onnx")
    code, _, err = command(f"export run {tmp_path / 'model.txt'}")
    assert (code, "model.txt: expected a name that ends in .onnx" in err) == (2, True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["--backend", "--backends"])
@pytest.mark.parametrize("words", ["numpy,numba", "numpy {} numba"])
def test_backend_and_backends_are_one_option(command, option, words):
    pytest.importorskip("numba")
    code, out, _ = command(f"compare data --epochs 2 {option} {words.format(option)}")
    assert (code, [line.split()[0] for line in out.splitlines()[1:3]]) == (0, ["numpy", "numba"])
    code, _, err = command(f"bench {option} article {option} nobody,numpy")
    assert (code, "unknown arm 'nobody'" in err) == (2, True)


def test_check_of_an_unknown_backend_lists_the_choices(command):
    code, _, err = command("check --backend tensorflow")
    assert (code, "expected one of jax, numba, numpy, torch, or FILE.py:Neuron" in err) == (2, True)


# What takes long shows that it works.


def test_the_usual_name_of_a_framework_and_of_the_rate_are_understood(command, tmp_path):
    code, _, err = command(f"train data --run {tmp_path / 'r'} --backend pytorch")
    assert (code, "; did you mean 'torch'?" in err) == (2, True)
    code, _, err = command(f"train data --run {tmp_path / 'r'} --backend keras")
    assert (code, "did you mean" in err) == (2, False)
    rates = ("--lr", "--learning-rate")
    short, long = (json.loads(command(f"compare data --backend numpy --epochs 3 {of} 0.07 --json")[1]) for of in rates)
    assert short[0]["train_cost"] == long[0]["train_cost"]
    assert (
        short[0]["train_cost"]
        != json.loads(command("compare data --backend numpy --epochs 3 --json")[1])[0]["train_cost"]
    )


def test_an_accuracy_that_shows_nothing_is_said_to_show_nothing(command, tmp_path):
    code, out, _ = command(f"train data --run {tmp_path / 'r'} --epochs 0")
    assert code == 0
    assert "does not show that anything was learned: " in out
    assert "for all of them is right for 50.00%" in out
    assert "does not show that anything was learned: " in command(f"evaluate {tmp_path / 'r'} data")[1]
    assert command(f"train data --run {tmp_path / 's'} --epochs 400 --lr 0.5")[0] == 0
    assert "does not show" not in command(f"evaluate {tmp_path / 's'} data")[1]  # 8 of 8


def test_a_set_that_holds_none_of_a_class_is_said_so(command, tmp_path, rng):
    """What is learned from one photograph of a class is not tried on another."""
    source = photographs(tmp_path / "s", ["cat.0.png", *(f"dog.{i}.png" for i in range(8))], rng)
    code, out, _ = command(f"prepare {source} {tmp_path / 'd'} --size 4")
    assert (code, "note        valid holds no cat: nothing in it tells the two apart" in out) == (0, True)
    out = command(f"train {tmp_path / 'd'} --run {tmp_path / 'r'} --epochs 2")[1]
    assert "validation holds no cat: its accuracy does not show that the two are told apart" in out


def test_explain_shows_a_bar_on_a_terminal(made, terminal, tmp_path):
    terminal = terminal()
    assert run(["explain", *(str(made / name) for name in ("run", "data")), "--html", str(tmp_path / "r.html")]) == 0
    assert re.search(r"explaining: .*\d+/\d+ ", terminal.getvalue())


def test_mutate_shows_a_bar_on_a_terminal(terminal, rng):
    def forward(w, X):
        return {"J": (w * X).sum()}

    def backward(w, X):
        dw = X
        return {"dw": dw}

    terminal = terminal()
    assert len(mutate(backward, forward, {"w": rng.random(3), "X": rng.random(3)}))
    assert re.search(r"\d+/\d+ .*variants", terminal.getvalue())


# Nothing is cut in the middle of a number.


def test_what_is_shown_of_a_long_value_ends_between_numbers():
    values = [round(float(number), 4) for number in np.random.default_rng(0).normal(size=50)]
    for start in range(10):
        words = shown(values[start:])
        assert (words.endswith(", ..."), len(words) <= LONG + 4) == (True, True)
        numbers = [float(number) for number in re.findall(r"[-\d.]+\d", words)]
        assert numbers == values[start : start + len(numbers)]


def test_a_long_value_in_the_place_of_a_gradient_is_not_cut_in_a_number():
    numbers = tuple(np.linspace(0, 1, 30).round(5).tolist())
    with pytest.raises(UsageError) as caught:
        check(lambda w: {"J": (w * w).sum()}, lambda w: (numbers, w)[0], {"w": np.ones(3)})
    for found in re.findall(r"\d\.\d+", str(caught.value)):
        assert float(found) in numbers


# Files by name.


def test_counterexamples_reports_and_pictures_are_written_to_files_by_name(command, tmp_path):
    pytest.importorskip("matplotlib")
    for words, made in (
        ("check neuron.py --counterexample {}", "test_neuron.py"),
        ("explain run data --html {}", "report.html"),
        ("evaluate run data --figure {}", "scores.svg"),
        ("cross-validate data --folds 2 --l2 0,1 --plot {}", "folds.png"),
        ("bench --backends article --features 4 --examples 8 --rounds 5 --html {}", "there/bench.html"),
    ):
        assert command(words.format(tmp_path / made))[0] == (1 if words.startswith("check") else 0)
        assert (tmp_path / made).stat().st_size > 100


# Two identical runs are the same bytes.


def test_two_identical_runs_are_the_same_bytes(command, tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("onnx")
    files = []
    for i in range(2):
        at = tmp_path / str(i)
        for words in (
            f"prepare photographs {at}/data --size 4 --npz",
            f"train {at}/data --run {at}/run --learning-rate 0.05 --epochs 5",
            f"export {at}/run {at}/model.onnx",
            f"explain run data --html {at}/report.html --images {at}/figures",
            f"evaluate run data --figure {at}/scores.svg",
            f"evaluate run data --figure {at}/scores.pdf",
        ):
            assert command(words)[0] == 0
        files.append({path.relative_to(at): path for path in sorted(at.rglob("*")) if path.is_file()})
    one, other = files
    assert one.keys() == other.keys()
    measured = {Path("run/run.json"), Path("run/history.csv")}  # which hold seconds
    different = {name for name in one if one[name].read_bytes() != other[name].read_bytes()}
    assert different <= measured
    columns = [np.genfromtxt(of[Path("run/history.csv")], delimiter=",", names=True) for of in files]
    for name in "epoch", "train_cost", "validation_cost", "evaluations":
        np.testing.assert_array_equal(*(of[name] for of in columns))


def test_the_metadata_of_a_model_are_in_order(made):
    from safetensors import safe_open

    with safe_open(made / "run" / "model.safetensors", "numpy") as file:
        names = list(file.metadata())
    content = (made / "run" / "model.safetensors").read_bytes()
    places = [content.index(f'"{name}":'.encode()) for name in sorted(names)]
    assert places == sorted(places)
    assert int.from_bytes(content[:8], "little") % 8 == 0
