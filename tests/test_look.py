"""What people see: every figure is there, says in words what it shows, and has the numbers of the neuron."""

import csv
import re
import subprocess

import numpy as np
import pytest
from PIL import Image

from conftest import pictures, trained
from handgrad import DataError, History, UsageError
from handgrad.commands import run
from handgrad.data import Dataset
from handgrad.run import load_history, load_model
from handgrad.scores import reliability, roc_area
from handgrad.validation import Measured, Row

pytest.importorskip("matplotlib")

from handgrad import look, report
from handgrad.explanation import Explanation

FIGURES = ["history", "sigmoid", "one", "weights", "contributions", "probabilities", "reliability", "roc", "mistakes"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(run, data)"""
    words = ["--epochs", "30", "--learning-rate", "0.02", "--validation-every", "3"]
    folder, rng = tmp_path_factory.mktemp("look"), np.random.default_rng(0)
    return trained(folder, rng, ["--size", "5", "--validation", "0.5"], words)


@pytest.fixture(scope="module")
def explanation(made):
    return Explanation.of(*made)


@pytest.fixture(scope="module")
def written(made, tmp_path_factory):
    """The page and the folder of figures, by the command."""
    folder = tmp_path_factory.mktemp("page")
    words = ["explain", *map(str, made), "--html", str(folder / "p.html"), "--images", str(folder / "images")]
    assert run(words) == 0
    return folder / "p.html", folder / "images"


def test_the_page_has_every_figure_each_with_words_and_asks_nothing_of_anybody(written):
    text = written[0].read_text()
    charts = re.findall(r'<svg role="img"[^>]*><title>([^<]+)</title>', text)
    images = re.findall(r'<img [^>]*alt="([^"]+)"', text)
    assert [words.split(",")[0] for words in charts] == [
        "The cost over the epochs",
        "The sigmoid",
        "How many examples of cat and dog got which answer",
        "The ROC curve",
        "Predicted probabilities and observed shares",
    ]
    assert (text.count("<svg"), text.count("<img ")) == (len(charts), len(images))
    assert len(images) == 1 + 3 + 2 * 6 + report.NEAREST + report.WORST
    assert not re.search(r"""(src|href)=.(https?:|//)|url\((?!#)|@import""", text)
    assert len(text) < 2_000_000


def test_the_figures_are_files_too_with_a_table_of_all_mistakes(written, explanation):
    folder = written[1]
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [f"{name}.png" for name in FIGURES] + ["mistakes.csv"]
    )
    for name in FIGURES:
        with Image.open(folder / f"{name}.png") as image:
            assert np.asarray(image.convert("L")).std() > 5
    rows = list(csv.DictReader((folder / "mistakes.csv").read_text().splitlines()))
    assert len(rows) == sum(s.confusion[0][1] + s.confusion[1][0] for s in explanation.scores.values()) > 3
    assert all(row["true"] == row["file"].split(".")[0] != row["predicted"] for row in rows)


def test_the_way_of_a_photograph_has_its_numbers_and_the_backends_gradients(explanation):
    from handgrad.backends.numpy import Neuron

    (column,) = explanation.undecided(1)
    x, y = (V[:, column : column + 1] for V in explanation.examples("validation"))
    way = {quantity.name: quantity.value for quantity in explanation.way(column)}
    assert list(way) == ["Z", "A", "Y", "L", "dA", "dZ", "db"]
    neuron, P = explanation.model.neuron(Neuron), explanation.model.parameters
    A = float(neuron.predict_proba(P, x)[0, 0])
    dW, db = neuron.gradients(P, x, y)
    assert float(way["A"]) == pytest.approx(A, rel=1e-4)
    assert float(way["L"]) == pytest.approx(neuron.cost(P, x, y), rel=1e-4)
    assert float(way["db"]) == float(way["dZ"]) == pytest.approx(float(db), rel=1e-4)
    assert float(way["Z"]) == pytest.approx(float((P.W @ (x / 255) + P.b)[0, 0]), rel=1e-3)
    assert float(way["dA"]) * A * (1 - A) == pytest.approx(float(way["dZ"]), rel=1e-4)
    for part in explanation.parts(column):
        row, at, colour = re.fullmatch(r"row (\d), column (\d), (red|green|blue)", part.place).groups()
        feature = np.ravel_multi_index((int(row) - 1, int(at) - 1, ["red", "green", "blue"].index(colour)), (5, 5, 3))
        assert (part.x, part.W) == (x[feature, 0], P.W[0, feature])
        assert part.adds == pytest.approx(part.W * part.x / 255)
        assert part.dW == pytest.approx(dW[0, feature], rel=1e-3)


def test_the_worked_example_is_undecided_and_its_numbers_differ(explanation):
    A = explanation.activations["validation"][0]
    nearest = explanation.undecided(6)
    assert [abs(A[i] - 0.5) for i in nearest] == sorted(abs(A - 0.5))[:6]
    parts = explanation.parts(nearest[0])
    for numbers in zip(*(part[1:] for part in parts), strict=True):
        assert len({f"{number:.3g}" for number in numbers}) == len(parts) == 3
    assert len({part.place.split(",")[0] for part in parts}) == 3


def test_a_grey_photograph_has_no_three_features_with_one_number(made, tmp_path):
    """Its red, green and blue are the same."""
    source = tmp_path / "pictures"
    source.mkdir()
    rng = np.random.default_rng(1)
    for i in range(12):
        for name in "ab":
            grey = rng.integers(0, 256, (6, 6), np.uint8)
            Image.fromarray(grey).save(source / f"{name}.{i}.png")
    assert run(["prepare", str(source), str(tmp_path / "data"), "--size", "6"]) == 0
    assert run(["train", str(tmp_path / "data"), "--run", str(tmp_path / "run"), "--epochs", "20"]) == 0
    explanation = Explanation.of(tmp_path / "run", tmp_path / "data")
    parts = explanation.parts(explanation.undecided(1)[0])
    assert len({part.x for part in parts}) == len({round(part.W, 6) for part in parts}) == 3


def test_every_threshold_has_the_errors_that_predict_makes_there(explanation):
    from handgrad.backends.numpy import Neuron

    X, Y = explanation.examples("validation")
    model, thresholds = explanation.model, explanation.thresholds()
    assert [t for t, *_ in thresholds[::50]] == [0, 0.5, 1]
    for threshold, *above in thresholds[10:91:10]:
        taken = model.neuron(Neuron).predict(model.parameters, X, threshold=threshold)
        assert above == [int(taken[label == Y].sum()) for label in (0, 1)]
    assert thresholds[0][1:] == tuple(int((label == Y).sum()) for label in (0, 1))
    assert thresholds[-1][1:] == (0, 0)


def test_the_cost_of_the_curve_and_that_of_the_table_are_reconciled(made, tmp_path):
    """With a penalty they differ, by as much as is said."""
    folder = tmp_path / "run"
    assert run(["train", str(made[1]), "--run", str(folder), "--l2", "2", "--optimizer", "lbfgs"]) == 0
    explanation = Explanation.of(folder, made[1])
    said = float(re.search(r"that is ([\d.e-]+) of it at the end", report.page(explanation, "run"))[1])
    assert said > 0
    last = explanation.history.train_cost[-1]
    assert last == pytest.approx(explanation.scores["train"].cost + said, rel=1e-3)


def test_mistakes_are_those_of_predict_the_surest_first(explanation):
    from handgrad.backends.numpy import Neuron

    X, Y = explanation.examples("validation")
    model = explanation.model
    wrong = model.neuron(Neuron).predict(model.parameters, X) != Y
    mistakes = explanation.mistakes("validation")
    assert {mistake.column for mistake in mistakes} == set(np.flatnonzero(wrong[0]))
    sure = [abs(mistake.A - 0.5) for mistake in mistakes]
    assert sure == sorted(sure, reverse=True)
    names = explanation.dataset.names("valid")
    assert all(mistake.file == names[mistake.column] for mistake in mistakes)


def test_contributions_add_up_to_z(explanation):
    model = explanation.model
    X, _ = explanation.examples("validation")
    shown = look.ContributionsDisplay.from_model(model, X[:, :3], ["a", "b", "c"])
    Z = shown.contributions.sum(axis=(1, 2)) + model.parameters.b
    A = explanation.activations["validation"][0, :3]
    np.testing.assert_allclose(1 / (1 + np.exp(-Z)), A, rtol=1e-5)


def test_the_history_is_read_back_to_the_last_bit(made):
    history = load_history(made[0])
    assert len(history) == 30
    assert np.isnan(history.validation_cost).sum() == 20
    assert history.train_cost[0] == pytest.approx(np.log(2), rel=1e-6)
    display = look.HistoryDisplay.from_run(made[0]).plot()
    train, validation = display.ax_.lines
    np.testing.assert_array_equal(train.get_ydata(), history.train_cost)
    np.testing.assert_array_equal(validation.get_xdata(), np.arange(0, 30, 3))
    with pytest.raises(DataError, match=r"history\.csv: not found; expected a finished run's folder"):
        load_history(made[1])


def test_a_history_that_is_damaged_is_refused(made, tmp_path):
    header = "epoch,train_cost,validation_cost,seconds,evaluations\n"
    for content in (
        "",
        "a,b\n",
        "epoch,train_cost\n0,1\n",
        f"{header}0,a,,1,1\n",
        f"{header}0,1\n",
        f"{header}1,1,,1,1\n",
    ):
        (tmp_path / "history.csv").write_text(content)
        with pytest.raises(DataError, match=r"history\.csv: cannot be read"):
            load_history(tmp_path)
    (tmp_path / "history.csv").write_text(header)
    assert len(load_history(tmp_path)) == 0


def displays(rng):
    A = rng.random((1, 50))
    Y = (rng.random((1, 50)) < A).astype(int)
    images = rng.integers(0, 256, (4, 5, 6, 3), np.uint8)
    rows = [Row(l2, Measured((0.5, 0.6)), Measured((0.7, 0.8)), 5, 9) for l2 in (0.1, 0.0)]
    yield look.HistoryDisplay(History(*rng.random((4, 9))))
    yield look.SigmoidDisplay(rng.normal(size=(1, 50)), Y)
    yield look.WeightsDisplay(rng.normal(size=(5, 6, 3)))
    yield look.WeightsDisplay(rng.normal(size=(7, 7, 36)))
    yield look.WeightsDisplay(np.zeros((5, 6, 1)))
    yield look.ContributionsDisplay(images, rng.normal(size=(4, 5, 6)), list("abcd"), "hanning")
    yield look.MistakesDisplay(images[..., :1], list("abcd"))
    yield look.ProbabilitiesDisplay.from_predictions(3 * A, Y)
    yield look.RocDisplay.from_predictions(A, Y, "train")
    yield look.RocDisplay.from_predictions(A, np.ones_like(Y))
    yield look.ReliabilityDisplay.from_predictions(A, Y, "train")
    yield look.FoldsDisplay(rows, rows[0])


def test_every_display_follows_the_convention(rng):
    """plot(ax=None) returns the display, draws on what it is given, and leaves figure_ and ax_."""
    import matplotlib.pyplot as plt

    for display in displays(rng):
        assert display.plot() is display
        assert display.figure_ is display.ax_.figure
        figure, axes = plt.subplots(1, 2)
        assert display.plot(ax=axes[1]).figure_ is figure
        assert display.plot(axes[0]).axes_.size == np.prod(display.panels)
        alone = look.figure_of(display)
        assert len(look.drawn(alone, "png")) > 1000
        plt.close("all")


def test_axes_in_no_grid_cannot_be_divided(rng):
    from matplotlib.figure import Figure

    with pytest.raises(UsageError, match="ax is in no grid"):
        look.WeightsDisplay(np.zeros((5, 6, 1))).plot(Figure().add_axes((0, 0, 1, 1)))


def test_an_interpolation_that_there_is_not_is_named(rng):
    with pytest.raises(UsageError, match="interpolation is 'smooth'; expected one of bessel, bicubic"):
        look.ContributionsDisplay(np.zeros((1, 2, 2, 3)), np.zeros((1, 2, 2)), ["a"], "smooth")
    assert len(look.INTERPOLATIONS) >= 16


def test_curves_have_the_numbers_of_the_tables(rng):
    A = rng.random((1, 300))
    Y = (rng.random(A.shape) < A).astype(int)
    roc, of_bins = look.scores({"train": (A, Y), "one class": (A, np.ones_like(Y))}, probabilities=True).axes
    assert [text.get_text() for text in roc.get_legend().get_texts()] == [f"train, area {roc_area(A, Y):.3f}"]
    observed = of_bins.containers[0].lines[0].get_ydata()
    np.testing.assert_array_equal(observed, [found.observed for found in reliability(A, Y)])
    assert len(look.scores({"train": (A, Y)}, probabilities=False).axes) == 1


def test_the_page_is_the_same_each_time(explanation, made):
    name = str(made[0])
    assert report.page(explanation, name) == report.page(explanation, name)


def test_names_of_files_and_classes_are_no_code(tmp_path, rng, capsys):
    trained(tmp_path, rng, ["--size", "4"], ["--epochs", "1"], names=("<b>", '"&'), m=12)
    assert run(["explain", str(tmp_path / "run"), str(tmp_path / "data")]) == 0
    text = (tmp_path / "run" / "report.html").read_text()
    assert "<b>" not in text
    assert "&lt;b&gt;" in text
    assert "&amp;lt;" not in text
    assert run(["explain", str(tmp_path / "run"), str(tmp_path / "data")]) == 0
    assert f"report: {tmp_path / 'run' / 'report-2.html'}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("prepared", "options", "without"),
    [
        (
            ["--features", "hog", "--size", "16"],
            ["--optimizer", "lbfgs", "--l2", "1"],
            {"one", "contributions", "mistakes"},
        ),
        (["--features", "gray"], ["--activation", "tanh", "--loss", "squared_error"], {"sigmoid", "reliability"}),
        (["--validation", "0"], ["--epochs", "0"], {"history"}),
    ],
)
def test_other_features_activations_and_sets_have_what_there_is_of_it(tmp_path, rng, prepared, options, without):
    if "hog" in prepared:
        pytest.importorskip("skimage")
    trained(tmp_path, rng, [*([] if "--size" in prepared else ["--size", "6"]), *prepared], options)
    words = ["explain", str(tmp_path / "run"), str(tmp_path / "data"), "--images", str(tmp_path / "images")]
    assert run(words) == 0
    found = {path.stem for path in (tmp_path / "images").glob("*.png")}
    assert found == set(FIGURES) - without
    explanation = Explanation.of(tmp_path / "run", tmp_path / "data")
    assert explanation.judged == ("train" if "--validation" in prepared else "validation")


def test_the_page_says_how_it_was_trained_and_what_is_the_matter_with_it(made, tmp_path, rng, capsys):
    run_folder, data = made
    text = report.page(Explanation.of(*made), "run")
    assert "handgrad train DATA --run RUN --learning-rate 0.02 --epochs 30 --validation-every 3" in text
    assert "<strong>" not in text
    words = ["--loss", "squared_error", "--activation", "identity", "--learning-rate", "1e9"]
    assert run(["train", str(data), "--run", str(tmp_path / "diverged"), *words]) == 4
    assert "<strong>Training diverged after" in report.page(Explanation.of(tmp_path / "diverged", data), "run")
    assert run(["train", str(data), "--run", str(tmp_path / "none"), "--epochs", "0"]) == 0
    assert "<strong>It was not trained" in report.page(Explanation.of(tmp_path / "none", data), "run")
    other = tmp_path / "other"
    assert run(["prepare", str(pictures(tmp_path / "pictures", rng)), str(other), "--size", "5"]) == 0
    assert "<strong>It was trained on another data set" in report.page(Explanation.of(run_folder, other), "run")
    capsys.readouterr()
    for words in (["evaluate", str(run_folder), str(other)], ["explain", str(run_folder), str(other), "--html"]):
        assert run([*words, str(tmp_path / "in" / "p.html")] if words[0] == "explain" else words) == 0
        assert "was trained on another data set; it may know photographs of" in capsys.readouterr().err


def test_names_are_no_formulas_and_may_have_letters_that_a_font_has_not(tmp_path, rng):
    trained(tmp_path, rng, ["--size", "4"], ["--epochs", "1"], names=("$\\frac{a$", "\u72d7"), m=12)
    words = ["explain", str(tmp_path / "run"), str(tmp_path / "data"), "--images", str(tmp_path / "images")]
    assert run(words) == 0


def test_no_window_is_asked_for_whatever_the_environment_says(made, tmp_path):
    import os
    import sys

    words = ["explain", *map(str, made), "--html", str(tmp_path / "p.html")]
    program = f"from handgrad.commands import main; main({words!r})"
    environment = os.environ | {"MPLBACKEND": "nonsense"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_sigmoid_is_drawn_for_a_sigmoid(made):
    from dataclasses import replace

    model = replace(load_model(made[0]), activation="tanh", loss="squared_error")
    with pytest.raises(UsageError, match="the model's activation is tanh; expected a sigmoid"):
        look.SigmoidDisplay.from_model(model, np.zeros((75, 1)), np.zeros((1, 1)))


def test_a_neuron_that_makes_no_mistake_has_none_to_show(tmp_path, rng):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(8):
        for name, value in ("a", 0), ("b", 255):
            Image.fromarray(np.full((5, 5, 3), value, np.uint8)).save(folder / f"{name}.{i}.png")
    assert run(["prepare", str(folder), str(tmp_path / "data"), "--size", "4"]) == 0
    assert run(["train", str(tmp_path / "data"), "--run", str(tmp_path / "run"), "--learning-rate", "0.5"]) == 0
    assert run(["explain", str(tmp_path / "run"), str(tmp_path / "data")]) == 0
    assert "Nothing, on the validation set." in (tmp_path / "run" / "report.html").read_text()


def test_a_run_on_other_photographs_is_refused(made, tmp_path, rng, capsys):
    source = pictures(tmp_path / "pictures", rng)
    assert run(["prepare", str(source), str(tmp_path / "data"), "--size", "6"]) == 0
    assert run(["explain", str(made[0]), str(tmp_path / "data")]) == 3
    assert "of size (6, 6, 3), pixels of (6, 6); expected classes" in capsys.readouterr().err
    assert run(["explain", str(made[0]), str(made[1]), "--html", str(source / "cat.1.png")]) == 2
    assert load_model(made[0]).size == Dataset.open(made[1]).size


def test_the_report_needs_no_matplotlib_and_its_figures_as_files_do(made, tmp_path, without, capsys, monkeypatch):
    import sys

    without("matplotlib", "matplotlib.axes", "matplotlib.colors", "matplotlib.image")
    for name in [name for name in sys.modules if name.startswith("handgrad.look")]:
        monkeypatch.delitem(sys.modules, name)
    assert run(["explain", *map(str, made), "--html", str(tmp_path / "p.html")]) == 0
    capsys.readouterr()
    words = ["explain", *map(str, made), "--html", str(tmp_path / "q.html"), "--images", str(tmp_path / "images")]
    assert run(words) == 2
    assert "Matplotlib is not installed; install it with: pip install 'handgrad[plot]'" in capsys.readouterr().err


@pytest.fixture(scope="module")
def edges(tmp_path_factory):
    """(run, data, photographs) of directions of edges."""
    pytest.importorskip("skimage")
    folder = tmp_path_factory.mktemp("hog")
    source = pictures(folder / "pictures", np.random.default_rng(0))
    words = ["--features", "hog", "--size", "16", "--validation", "0.5"]
    assert run(["prepare", str(source), str(folder / "data"), *words]) == 0
    assert run(["train", str(folder / "data"), "--run", str(folder / "run"), "--epochs", "5"]) == 0
    return folder / "run", folder / "data", source


def test_a_report_on_edges_shows_the_photographs(edges, tmp_path, capsys):
    run_folder, data, source = edges
    words = ["explain", str(run_folder), str(data), "--html"]
    assert run([*words, str(tmp_path / "without.html")]) == 0
    assert "show them with: --photographs SOURCE" in capsys.readouterr().out
    assert "--photographs SOURCE" in (tmp_path / "without.html").read_text()
    assert run([*words, str(tmp_path / "with.html"), "--photographs", str(source)]) == 0
    text = (tmp_path / "with.html").read_text()
    explanation = Explanation.of(run_folder, data, source)
    (column,) = explanation.undecided(1)
    name = explanation.names("validation")[column]
    (shown,) = explanation.pictures("validation", [column])
    with Image.open(source / name) as image:
        expected = np.asarray(image.convert("RGB").resize((128, 128), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(shown, expected)
    assert text.count(f'alt="{name}"') >= 2  # as the example, and near the border
    assert "--photographs SOURCE" not in text


def test_other_photographs_than_those_are_refused(edges, tmp_path, capsys):
    run_folder, data, _ = edges
    other = pictures(tmp_path / "other", np.random.default_rng(0), m=2)
    words = ["explain", str(run_folder), str(data), "--html", str(tmp_path / "p.html"), "--photographs", str(other)]
    assert run(words) == 3
    assert re.search(rf"{other}: has no \w+\.\d+\.png; expected what {data} was made of", capsys.readouterr().err)
    assert not (tmp_path / "p.html").exists()
