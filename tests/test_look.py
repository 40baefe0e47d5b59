"""What people see: every figure is there, says in words what it shows, and has the numbers of the neuron."""

import base64
import csv
import html
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from handgrad import DataError, History, UsageError
from handgrad.commands import run
from handgrad.data import Dataset
from handgrad.run import load_history, load_model
from handgrad.scores import reliability, roc_area
from handgrad.validation import Measured, Row

pytest.importorskip("matplotlib")

from handgrad import look
from handgrad.look import page
from handgrad.look.explanation import Explanation

FIGURES = ["history", "sigmoid", "one", "weights", "contributions", "probabilities", "reliability", "roc", "mistakes"]


def pictures(folder, rng, names=("cat", "dog"), m=30):
    """Noise, a little brighter for the second: some are taken for the other."""
    folder.mkdir()
    for i in range(m):
        for name, low in zip(names, (0, 12), strict=True):
            values = rng.integers(low, low + 60, (9, 12, 3)).astype(np.uint8)
            Image.fromarray(values).save(folder / f"{name}.{i}.png")
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(run, data)"""
    folder = tmp_path_factory.mktemp("look")
    source = pictures(folder / "pictures", np.random.default_rng(0))
    assert run(["prepare", str(source), str(folder / "data"), "--size", "5", "--validation", "0.5"]) == 0
    words = ["--epochs", "30", "--learning-rate", "0.02", "--validation-every", "3"]
    assert run(["train", str(folder / "data"), "--run", str(folder / "run"), *words]) == 0
    return folder / "run", folder / "data"


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


@pytest.fixture
def few_pictures(monkeypatch):
    """Of those that a page has in each interpolation, where they are not what is looked at: two and not 17."""
    monkeypatch.setattr("handgrad.look.displays.INTERPOLATIONS", ("nearest", "lanczos"))


def test_the_page_has_every_figure_each_with_words_and_asks_nothing_of_anybody(written):
    text = written[0].read_text()
    drawn, images = re.findall(r'<svg role="img" aria-label="([^"]+)"', text), re.findall(r'<img alt="([^"]+)"', text)
    assert len(drawn) == 5
    assert len(images) == 3 + len(look.INTERPOLATIONS)
    assert not re.search(r"""(src|href)=.(https?:|//)|url\((?!#)|@import""", text)
    assert len(text) < 5_000_000
    for encoded in re.findall(r"data:image/webp;base64,([\w+/=]+)", text):
        assert len(base64.b64decode(encoded)) > 1000


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


PROBE = """<!doctype html><body><iframe id="page" style="width:WIDTHpx;height:900px;border:0" srcdoc="PAGE"></iframe>
<script>addEventListener('load', () => {
  const frame = document.getElementById('page'), page = frame.contentDocument, size = frame.contentWindow;
  const choice = page.getElementById('interpolation');
  const shown = () => [...page.querySelectorAll('[data-interpolation]')].filter(i => i.offsetWidth > 0)
    .map(i => i.dataset.interpolation).join();
  const before = shown();
  choice.value = 'lanczos';
  choice.dispatchEvent(new Event('change'));
  const drawn = [...page.querySelectorAll('figure svg')].filter(s => s.getBoundingClientRect().width > 150
      && s.querySelectorAll('path').length > 5);
  const images = [...page.images].filter(i => i.complete && i.naturalWidth > 100 && i.alt.length > 10);
  document.body.dataset.found = JSON.stringify({before, after: shown(), drawn: drawn.length, images: images.length,
    width: size.innerWidth, overflow: page.documentElement.scrollWidth - size.innerWidth,
    requests: size.performance.getEntriesByType('resource').filter(r => !r.name.startsWith('data:')).length});
})</script></body>"""


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_every_figure_and_the_switch_works(written, tmp_path, width):
    """In a frame, since windows of Chromium are not as narrow as a phone."""
    text = html.escape(written[0].read_text(), quote=True)
    (tmp_path / "probe.html").write_text(PROBE.replace("WIDTH", str(width)).replace("PAGE", text))
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--log-level=0"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=5000", "--dump-dom"]
    command += ["--window-size=1400,1000", (tmp_path / "probe.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    found = re.search(r'data-found="([^"]+)"', done.stdout)
    assert found, done.stderr[-2000:]
    found = json.loads(html.unescape(found[1]))
    assert found["width"] == width
    assert (found["before"], found["after"]) == ("nearest", "lanczos")
    assert (found["drawn"], found["images"]) == (5, 3 + len(look.INTERPOLATIONS))
    assert (max(0, found["overflow"]), found["requests"]) == (0, 0)
    assert "CONSOLE" not in done.stderr


def test_the_way_of_a_photograph_has_its_numbers_and_the_backends_gradients(explanation):
    from handgrad.backends.numpy import Neuron

    (column,) = explanation.chosen(1)
    x, y = (V[:, column : column + 1] for V in explanation.examples("validation"))
    way = {quantity.name: quantity.value for quantity in explanation.way(column)}
    assert list(way) == ["X", "s X", "W", "Z", "A", "Y", "L", "dA", "dZ", "dW", "db"]
    neuron, P = explanation.model.neuron(Neuron), explanation.model.parameters
    A = float(neuron.predict_proba(P, x)[0, 0])
    dW, db = neuron.gradients(P, x, y)
    assert float(way["A"]) == pytest.approx(A, rel=1e-4)
    assert float(way["L"]) == pytest.approx(neuron.cost(P, x, y), rel=1e-4)
    assert float(way["db"]) == float(way["dZ"]) == pytest.approx(float(db), rel=1e-4)
    most = np.argsort(-abs(P.W[0] * x[:, 0]), kind="stable")[:3]
    assert [float(word) for word in way["dW"].split(", ")[:3]] == pytest.approx(dW[0, most], rel=1e-3)
    assert [int(word) for word in way["X"].split(", ")[:3]] == x[most, 0].tolist()
    assert float(way["Z"].split(" = ")[1]) == pytest.approx(float((P.W @ (x / 255) + P.b)[0, 0]), rel=1e-4)
    assert float(way["dA"]) * A * (1 - A) == pytest.approx(float(way["dZ"]), rel=1e-4)


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


@pytest.mark.usefixtures("few_pictures")
def test_the_page_is_the_same_each_time(explanation, made):
    name = str(made[0])
    assert page.page(explanation, name) == page.page(explanation, name)


@pytest.mark.usefixtures("few_pictures")
def test_names_of_files_and_classes_are_no_code(tmp_path, rng, capsys):
    source = pictures(tmp_path / "pictures", rng, ("<b>", '"&'), m=12)
    assert run(["prepare", str(source), str(tmp_path / "data"), "--size", "4"]) == 0
    assert run(["train", str(tmp_path / "data"), "--run", str(tmp_path / "run"), "--epochs", "1"]) == 0
    assert run(["explain", str(tmp_path / "run"), str(tmp_path / "data")]) == 0
    text = (tmp_path / "run" / "report.html").read_text()
    assert "<b>" not in text
    assert "&lt;b&gt;" in text
    assert run(["explain", str(tmp_path / "run"), str(tmp_path / "data")]) == 0
    assert f"report: {tmp_path / 'run' / 'report-2.html'}" in capsys.readouterr().out


@pytest.mark.usefixtures("few_pictures")
@pytest.mark.parametrize(
    ("prepared", "trained", "without"),
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
def test_other_features_activations_and_sets_have_what_there_is_of_it(tmp_path, rng, prepared, trained, without):
    if "hog" in prepared:
        pytest.importorskip("skimage")
    source = pictures(tmp_path / "pictures", rng)
    size = [] if "--size" in prepared else ["--size", "6"]
    assert run(["prepare", str(source), str(tmp_path / "data"), *size, *prepared]) == 0
    assert run(["train", str(tmp_path / "data"), "--run", str(tmp_path / "run"), *trained]) == 0
    words = ["explain", str(tmp_path / "run"), str(tmp_path / "data"), "--images", str(tmp_path / "images")]
    assert run(words) == 0
    found = {path.stem for path in (tmp_path / "images").glob("*.png")}
    assert found == set(FIGURES) - without
    explanation = Explanation.of(tmp_path / "run", tmp_path / "data")
    assert explanation.judged == ("train" if "--validation" in prepared else "validation")


@pytest.mark.usefixtures("few_pictures")
def test_the_page_says_how_it_was_trained_and_what_is_the_matter_with_it(made, tmp_path, rng, capsys):
    run_folder, data = made
    text = page.page(Explanation.of(*made), "run")
    assert "handgrad train DATA --run RUN --learning-rate 0.02 --epochs 30 --validation-every 3" in text
    assert "<strong>" not in text
    words = ["--loss", "squared_error", "--activation", "identity", "--learning-rate", "1e9"]
    assert run(["train", str(data), "--run", str(tmp_path / "diverged"), *words]) == 4
    assert "<strong>Training diverged after" in page.page(Explanation.of(tmp_path / "diverged", data), "run")
    assert run(["train", str(data), "--run", str(tmp_path / "none"), "--epochs", "0"]) == 0
    assert "<strong>It was not trained" in page.page(Explanation.of(tmp_path / "none", data), "run")
    other = tmp_path / "other"
    assert run(["prepare", str(pictures(tmp_path / "pictures", rng)), str(other), "--size", "5"]) == 0
    assert "<strong>It was trained on another data set" in page.page(Explanation.of(run_folder, other), "run")
    capsys.readouterr()
    for words in (["evaluate", str(run_folder), str(other)], ["explain", str(run_folder), str(other), "--html"]):
        assert run([*words, str(tmp_path / "in" / "p.html")] if words[0] == "explain" else words) == 0
        assert "was trained on another data set; it may know photographs of" in capsys.readouterr().err


@pytest.mark.usefixtures("few_pictures")
def test_names_are_no_formulas_and_may_have_letters_that_a_font_has_not(tmp_path, rng):
    source = pictures(tmp_path / "pictures", rng, ("$\\frac{a$", "\u72d7"), m=12)
    assert run(["prepare", str(source), str(tmp_path / "data"), "--size", "4"]) == 0
    assert run(["train", str(tmp_path / "data"), "--run", str(tmp_path / "run"), "--epochs", "1"]) == 0
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


@pytest.mark.usefixtures("few_pictures")
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


def test_without_matplotlib_it_says_what_to_install(made, without, capsys, monkeypatch):
    import sys

    without("matplotlib", "matplotlib.axes", "matplotlib.image")
    for name in [name for name in sys.modules if name.startswith("handgrad.look")]:
        monkeypatch.delitem(sys.modules, name)
    assert run(["explain", *map(str, made)]) == 2
    assert "Matplotlib is not installed; install it with: pip install 'handgrad[plot]'" in capsys.readouterr().err
