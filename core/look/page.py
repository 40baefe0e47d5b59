"""An explanation as one page that needs nothing else: no network, no other file; and its figures as files."""

import base64
import html
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import matplotlib.figure
from PIL import Image

from handgrad import store
from handgrad.look import displays
from handgrad.look.explanation import Explanation
from handgrad.look.figures import drawn, figure_of
from handgrad.tables import area, interval

WORST = 12
"""Mistakes that are shown; all of them are in the table of the CSV file."""

EXAMPLES = 40
"""Examples that are shown on the sigmoid."""

INK = "#010203"
"""What lines and letters are drawn with; it becomes the page's own colour, which is light where the page is dark."""

THEME: dict[Any, Any] = {
    **dict.fromkeys(["text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"], INK),
    **dict.fromkeys(["axes.facecolor", "figure.facecolor", "savefig.facecolor", "legend.facecolor"], "none"),
    "legend.edgecolor": "none",
    "svg.fonttype": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
}

STYLE = """
:root{color-scheme:light dark;--ink:#1c1e21;--soft:#5f6670;--line:#d8dce1;--page:#fff;--card:#f6f7f9}
@media(prefers-color-scheme:dark){:root{--ink:#e6e8eb;--soft:#a0a7b1;--line:#3a3f46;--page:#15171a;--card:#1e2125}}
*{box-sizing:border-box}
body{font:16px/1.55 system-ui,sans-serif;color:var(--ink);background:var(--page);margin:0 auto;max-width:62rem;
padding:1.5rem 1rem 4rem}
h1{font-size:1.7rem;line-height:1.2;margin:.2rem 0}h2{font-size:1.2rem;margin:2.6rem 0 .4rem}
p{max-width:44rem}.soft{color:var(--soft)}
figure{margin:1rem 0;max-width:34rem}figure svg,figure img{width:100%;height:auto;display:block}
figure img[hidden]{display:none}
.light{background:#fff;border-radius:.5rem;padding:.5rem;max-width:none;overflow-x:auto}
.wide img{min-width:34rem}.small{max-width:13rem}
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(17rem,1fr));gap:1rem}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:.3rem .8rem .3rem 0;border-bottom:1px solid var(--line);white-space:nowrap}
.words td{white-space:normal;overflow-wrap:anywhere}
td:first-child{white-space:nowrap!important}
th:first-child,td:first-child,.words td{text-align:left}th{color:var(--soft);font-weight:500}
select{font:inherit;padding:.2rem}code{font-size:.92em}a{color:inherit}
"""

SCRIPT = """
const choice = document.getElementById("interpolation");
if (choice) choice.addEventListener("change", () => {
  for (const image of document.querySelectorAll("[data-interpolation]"))
    image.hidden = image.dataset.interpolation !== choice.value;
});
"""


class Figure(NamedTuple):
    """A display with its name and what it shows, in words, for who cannot see it."""

    name: str
    alt: str
    display: displays.Display


def page(explanation: Explanation, name: str) -> str:
    """The page, as HTML.

    Args:
        explanation: what to show.
        name: of the run.
    """
    e, figures = explanation, {figure.name: figure for figure in figures_of(explanation)}
    zero, one = (html.escape(name) for name in e.model.classes)
    parts = [
        f"<p class=soft>{html.escape(name)}</p><h1>One neuron: {zero} or {one}?</h1>",
        _warnings(e),
        _facts(e),
        _section("How it learned", _svg(figures["history"]) if "history" in figures else "", _learned(e)),
        _section(
            "One photograph, there and back",
            _beside(*(draw(figures[name]) for name, draw in (("sigmoid", _svg), ("one", _raster)) if name in figures)),
            "<p>The bytes of a photograph, its pixels or what was made of them, are multiplied by weights and added up "
            "to Z; f makes the activation A of it, and the loss L says how far that is from the label Y. Back goes the "
            "chain rule, from right to left, and ends with how each weight is to change.</p>",
            _way(e),
        ),
        _section("What it looks for", _raster(figures["weights"]), _weights(e)),
    ]
    if "contributions" in figures:
        parts.append(_section("Where it looks", *_switch(e)))
    curves = [_svg(figures[name]) for name in ("probabilities", "reliability", "roc") if name in figures]
    parts.append(_section("How sure it is, and how rightly", _beside(*curves), _confusion(e)))
    parts.append(_section("What it takes for the other", _mistakes(e, figures)))
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>One neuron: {zero} or {one}?</title><style>{STYLE}</style></head><body>\n"
        + "\n".join(parts)
        + f"\n<script>{SCRIPT}</script></body></html>\n"
    )


def figures_of(explanation: Explanation) -> Iterator[Figure]:
    """All figures that there are for it, but for the interpolations of the contributions."""
    e, judged = explanation, explanation.judged
    (X, Y), A, classes = e.examples(judged), e.activations[judged], e.model.classes
    if len(e.history):
        alt = "The cost over the epochs, on the training and the validation set"
        yield Figure("history", alt, displays.HistoryDisplay.from_history(e.history))
    if e.probabilities:
        shown = X[:, :EXAMPLES], Y[:, :EXAMPLES]
        yield Figure(
            "sigmoid", "The sigmoid, and where examples lie on it", displays.SigmoidDisplay.from_model(e.model, *shown)
        )
    yield Figure(
        "weights",
        f"W as a picture, and its parts for {classes[1]} and {classes[0]}",
        displays.WeightsDisplay.from_model(e.model),
    )
    if e.shows_pixels:
        yield Figure("one", "A photograph, and below it what its pixels add to Z", contributions(e, e.chosen(1)))
        yield Figure("contributions", _looking(e), contributions(e, e.chosen()))
    yield Figure(
        "probabilities",
        f"How many examples of {classes[0]} and {classes[1]} got which activation",
        displays.ProbabilitiesDisplay(A, Y, classes),
    )
    if e.probabilities:
        alt = "Predicted probabilities and observed shares, with intervals"
        yield Figure("reliability", alt, displays.ReliabilityDisplay.from_predictions(A, Y))
    if e.scores[judged].roc_area is not None:
        yield Figure(
            "roc", f"The ROC curve, area {e.scores[judged].roc_area:.3f}", displays.RocDisplay.from_predictions(A, Y)
        )
    worst = e.mistakes(judged)[:WORST]
    if e.shows_pixels and worst:
        titles = [f"{mistake.file[-22:]}\n{mistake.true}, A = {mistake.A:.2f}" for mistake in worst]
        pictures = e.pictures(judged, [mistake.column for mistake in worst])
        alt = "The most wrongly classified photographs: " + ", ".join(mistake.file for mistake in worst)
        yield Figure("mistakes", alt, displays.MistakesDisplay(pictures, titles))


def contributions(e: Explanation, columns: list[int]) -> displays.ContributionsDisplay:
    """W * x of some photographs of the judged set, below them."""
    A, Y = e.activations[e.judged][0], e.examples(e.judged)[1][0]
    titles = [f"{e.model.classes[int(Y[i])]}, A = {A[i]:.2f}" for i in columns]
    return displays.ContributionsDisplay.from_model(e.model, e.examples(e.judged)[0][:, columns], titles)


def write_images(explanation: Explanation, folder: Path) -> None:
    """The figures as PNG files, and all mistakes as a table, in a new or empty folder.

    Raises:
        UsageError: the folder is taken or cannot be written.
    """
    with store.new_folder(folder) as temporary:
        for figure in figures_of(explanation):
            (temporary / f"{figure.name}.png").write_bytes(drawn(figure_of(figure.display), "png"))
        (temporary / "mistakes.csv").write_text(explanation.mistakes_csv(), encoding="utf-8")


def _section(title: str, *parts: str) -> str:
    return f"<section><h2>{title}</h2>{''.join(parts)}</section>"


def _beside(*parts: str) -> str:
    return f'<div class="two">{"".join(parts)}</div>'


def _svg(figure: Figure) -> str:
    with mpl.rc_context(THEME | {"svg.hashsalt": figure.name}):
        text = drawn(figure_of(figure.display), "svg").decode()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    alt = html.escape(figure.alt, quote=True)
    described = text.replace("<svg", f'<svg role="img" aria-label="{alt}"', 1)
    return f"<figure>{described}</figure>"


def _raster(figure: Figure) -> str:
    width = figure.display.size[0]
    kind = " wide" if width > 6 else " small" if width < 3 else ""
    return f'<figure class="light{kind}">{_image(figure_of(figure.display), figure.alt)}</figure>'


def _image(figure: mpl.figure.Figure, alt: str, more: str = "") -> str:
    webp = io.BytesIO()
    Image.open(io.BytesIO(drawn(figure, "png", 100))).convert("RGB").save(webp, "WEBP", quality=80)
    content = base64.b64encode(webp.getvalue()).decode()
    return f'<img alt="{html.escape(alt, quote=True)}"{more} src="data:image/webp;base64,{content}">'


def _table(header: list[str], rows: list[list[str]], kind: str = "") -> str:
    cells = "".join(f"<th>{html.escape(word)}</th>" for word in header)
    lines = "".join("<tr>" + "".join(f"<td>{html.escape(word)}</td>" for word in row) + "</tr>" for row in rows)
    head = f"<thead><tr>{cells}</tr></thead>" if header else ""
    return f'<div class="scroll"><table class="{kind}">{head}<tbody>{lines}</tbody></table></div>'


def _warnings(e: Explanation) -> str:
    said = []
    if e.outcome.diverged:
        said.append(f"Training diverged after {len(e.history):,} epochs; these are its last good parameters.")
    elif not len(e.history):
        said.append("It was not trained: these are the parameters that it would have begun with.")
    if not e.model.knows(e.dataset):
        said.append("It was trained on another data set, and may know photographs of these sets.")
    return "".join(f"<p><strong>{line}</strong></p>" for line in said)


def _facts(e: Explanation) -> str:
    rows = [
        [name, f"{s.examples:,}", f"{s.cost:.4g}", f"{s.accuracy:.1%}", interval(s.accuracy_interval), area(s.roc_area)]
        for name, s in e.scores.items()
    ]
    kind = {"pixels": "pixels", "gray": "brightnesses", "hog": "numbers for directions of edges"}[e.model.features.kind]
    size = " x ".join(map(str, e.model.size))
    return (
        f"<p>It has {e.model.parameters.W.size:,} weights, one for each of {size} {kind} of a photograph, and a bias. "
        "Beside each accuracy is its 95 % interval: how far chance may have led it astray on so few photographs. That "
        "of the photographs that it learned from promises nothing for others.</p>"
        + _table(["set", "examples", "mean loss", "accuracy", "95 % interval", "ROC area"], rows)
    )


def _learned(e: Explanation) -> str:
    best, settings, epochs = e.history.best_epoch, e.outcome.settings, len(e.history)
    said = f"{epochs:,} epoch{'s' * (epochs != 1)}"
    if best is not None:
        said += (
            f"; the mean loss of validation was lowest, {e.history.validation_cost[best]:.4g}, before epoch {best:,}"
        )
    if e.model.l2:
        said += f"; the cost of training has the penalty in it, {e.model.l2:g} / 2 W W^T"
    command = html.escape(f"handgrad train DATA --run RUN{settings.options()}")
    versions = ", ".join(f"{name} {version}" for name, version in e.model.versions.items())
    rows = [["command", command], ["loss", e.model.loss], ["data set", e.model.data[:12]], ["by", versions]]
    return f"<p>{said}.</p>" + _table([], rows, "words")


def _way(e: Explanation) -> str:
    (column, *_) = e.chosen(1)
    name = e.names(e.judged)[column]
    rows = [[quantity.name, quantity.formula, quantity.value] for quantity in e.way(column)]
    said = f"With the numbers of <code>{html.escape(name)}</code>, of the pixels or features that move Z the most:"
    return f"<p>{said}</p>" + _table([], rows, "words")


def _weights(e: Explanation) -> str:
    zero, one = (html.escape(name) for name in e.model.classes)
    return (
        f"<p>Red weights speak for {one}, blue ones for {zero}: where a photograph is bright there, Z rises or falls. "
        f"Beside it are both parts by themselves, in the colours of the pixels that they weigh.</p>"
        if e.shows_pixels
        else f"<p>Each square is a block of the photograph, with the sum of its {e.model.size[2]} weights; beside it "
        f"are the sums of those that speak for {one} and of those for {zero}.</p>"
    )


def _looking(e: Explanation) -> str:
    return f"Photographs, and below each what its pixels add to Z, red for {e.model.classes[1]}"


def _switch(e: Explanation) -> list[str]:
    options = "".join(f"<option{' selected' * (name == 'nearest')}>{name}</option>" for name in displays.INTERPOLATIONS)
    figure = figure_of(contributions(e, e.chosen()))
    images = ""
    for name in displays.INTERPOLATIONS:
        for image in (image for ax in figure.axes for image in ax.images):
            image.set_interpolation(name)
        more = f' data-interpolation="{name}"{" hidden" * (name != "nearest")}'
        images += _image(figure, f"{_looking(e)}; interpolation {name}", more)
        figure.set_layout_engine("none")  # it lies as it is to lie
    return [
        "<p>W * x: what each pixel adds to Z, in one scale for all; of photographs that it is surest of, of both "
        "classes, and of its mistakes.</p>",
        f'<p><label>Interpolation of the pixels: <select id="interpolation">{options}</select></label></p>',
        f'<figure class="light wide">{images}</figure>',
    ]


def _confusion(e: Explanation) -> str:
    classes, counts = e.model.classes, e.scores[e.judged].confusion
    rows = [[f"{name}", *(f"{count:,}" for count in row)] for name, row in zip(classes, counts, strict=True)]
    return f"<p>On the {e.judged} set:</p>" + _table(["", *(f"taken for {name}" for name in classes)], rows)


def _mistakes(e: Explanation, figures: dict[str, Figure]) -> str:
    mistakes = e.mistakes(e.judged)
    if not mistakes:
        return f"<p>Nothing, on the {e.judged} set.</p>"
    csv = base64.b64encode(e.mistakes_csv().encode()).decode()
    link = f'<a download="mistakes.csv" href="data:text/csv;base64,{csv}">all of them, as CSV</a>'
    header = ["file", "true class", "predicted", "A"]
    rows = [[mistake.file, mistake.true, mistake.predicted, f"{mistake.A:.4f}"] for mistake in mistakes[:WORST]]
    said = f"<p>{len(mistakes):,} of {e.scores[e.judged].examples:,} photographs of the {e.judged} set"
    pictures = _raster(figures["mistakes"]) if "mistakes" in figures else ""
    return f"{said}; the surest first, and {link}.</p>" + pictures + _table(header, rows)
