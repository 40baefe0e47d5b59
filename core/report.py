"""An explanation as one page for everybody, which needs no other file and no network."""

from __future__ import annotations

import base64
import html
import json
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from handgrad.chart import Hit, Scale, Series, chart
from handgrad.explanation import EXAMPLES, WORST, Explanation, Mistake, logits
from handgrad.scores import roc_curve
from handgrad.sheet import (
    TOUCH,
    beside,
    diverging,
    figure,
    full,
    gallery,
    key,
    picture,
    scale,
    section,
    sheet,
    signed,
    source,
    table,
    terms,
)
from handgrad.tables import area, interval

Array = npt.NDArray[Any]

NEAREST = 6
"""Photographs near the border that are shown."""

FILTERS = "bilinear", "hamming", "bicubic", "lanczos"
"""Pillow's, beside pixels as they are."""

LARGE = 256
"""The longer side of a picture whose pixels are interpolated."""

SCRIPT = """
const choice = document.getElementById("interpolation");
if (choice) choice.addEventListener("change", () => {
  for (const image of document.querySelectorAll("[data-lanczos]")) {
    image.dataset.nearest ??= image.src;
    image.src = image.dataset[choice.value];
  }
});
const slider = document.getElementById("threshold");
const {above, of} = JSON.parse(document.getElementById("counts").textContent);
const share = (part, all) => all ? `${(100 * part / all).toFixed(1)}%` : "-";
const move = () => {
  const [threshold, ...taken] = above[slider.value], last = above.length - 1;
  document.getElementById("at").textContent = threshold.toFixed(2);
  const rows = document.querySelectorAll("#errors tbody tr");
  taken.forEach((ones, label) => {
    const zeros = of[label] - ones, cells = [zeros, ones, share(label ? zeros : ones, of[label])];
    cells.forEach((cell, i) => { rows[label].cells[i + 1].lastChild.textContent = cell.toLocaleString("en"); });
  });
  const right = of[0] - taken[0] + taken[1], all = of[0] + of[1];
  document.getElementById("right").textContent = `${right.toLocaleString("en")} of ${all.toLocaleString("en")}, ` +
    share(right, all);
  const border = document.getElementById("border"), [x, y] = ["across", "up"].map(id => document.getElementById(id));
  border.setAttribute("x1", slider.value / last); border.setAttribute("x2", slider.value / last);
  if (!x) return;
  for (const end of ["x1", "x2"]) x.setAttribute(end, taken[0] / of[0]);
  for (const end of ["y1", "y2"]) y.setAttribute(end, taken[1] / of[1]);
};
slider.addEventListener("input", move);
move();
"""


def page(explanation: Explanation, name: str) -> str:
    """The page, as HTML.

    Args:
        explanation: what to show.
        name: of the run.
    """
    e = explanation
    zero, one = e.model.classes
    title = f"One neuron: {zero} or {one}?"
    return sheet(
        title,
        f'<p class="soft">{html.escape(name)}</p><h1>{html.escape(title)}</h1>',
        _warnings(e),
        _verdict(e),
        section("How it learned", _history(e)),
        section("One photograph, there and back", _way(e)),
        section("What it looks for", _weights(e)),
        _looks(e),
        section("Where to draw the line", _threshold(e)),
        section("How sure it is, and how rightly", _reliability(e)) if e.probabilities else "",
        section("Nearest to the border", _border(e)),
        section("What it gets wrong", _mistakes(e)),
        script=SCRIPT,
    )


def _warnings(e: Explanation) -> str:
    said = []
    if e.outcome.diverged:
        said.append(f"Training diverged after {len(e.history):,} epochs; these are its last good parameters.")
    elif not len(e.history):
        said.append("It was not trained: these are the parameters that it would have begun with.")
    if not e.model.knows(e.dataset):
        said.append("It was trained on another data set, and may know photographs of these sets.")
    return "".join(f"<p><strong>{line}</strong></p>" for line in said)


def _verdict(e: Explanation) -> str:
    score, (zero, one) = e.scores[e.judged], e.model.classes
    right, of_each = score.confusion[0][0] + score.confusion[1][1], [sum(row) for row in score.confusion]
    often = max((0, 1), key=of_each.__getitem__)
    seen = (
        "that it had not learned from" if e.judged != "train" else "that it learned from, which says little of others"
    )
    entropy = e.model.loss == "cross_entropy"
    rows = [
        [name, f"{s.examples:,}", f"{s.cost:.4f}", f"{s.accuracy:.1%}", interval(s.accuracy_interval), area(s.roc_area)]
        for name, s in e.scores.items()
    ]
    kind = {"pixels": "pixels", "gray": "brightnesses", "hog": "counts of the directions of edges"}
    size = " x ".join(map(str, e.model.size))
    return (
        f'<p class="lead">Of {score.examples:,} photographs {seen}, it names {right:,} rightly: {score.accuracy:.1%}. '
        f"Always saying {html.escape(e.model.classes[often])} would be right for {of_each[often]:,}.</p>"
        f"<p>It is one neuron: it multiplies each of the {size} {kind[e.model.features.kind]} of a photograph by a "
        f"weight, {e.model.parameters.W.size:,} in all, and adds them up.</p>"
        + table(["set", "photographs", "mean loss", "accuracy", "95 % interval", "ROC area"], rows)
        + terms(
            {
                "set": "train: the photographs that it learned from, which say little of others; validation: others",
                "mean loss": "how wrong its answers are on average: 0 is perfect, "
                + (
                    "0.693 (log 2) is what answering 0.5 to everything gives"
                    if entropy
                    else "and 0.125 that of always 0.5"
                ),
                "accuracy": "the share of photographs that it names rightly",
                "95 % interval": "so few photographs tell the accuracy among all such photographs no better than this",
                "ROC area": f"how probable it is that its answer is higher for some {one} than for some {zero}: 1 is "
                "perfect, 0.5 is guessing",
            }
        )
    )


def _history(e: Explanation) -> str:
    history, settings, epochs = e.history, e.outcome.settings, len(e.history)
    versions = ", ".join(f"{name} {version}" for name, version in e.model.versions.items())
    made = {
        "command": f"handgrad train DATA --run RUN{settings.options()}",
        "loss": e.model.loss,
        "data set": e.model.data[:12],
        "versions": versions,
    }
    if not epochs:
        return terms(made)
    at, train, validation = np.arange(epochs), history.train_cost, history.validation_cost
    taken = ~np.isnan(validation)
    series = [Series("train", at, train, 4), Series("validation", at[taken], validation[taken], 3)]
    said = [
        f"{_after(i)}: train {train[i]:.4g}" + (f", validation {validation[i]:.4g}" if taken[i] else "")
        for i in range(epochs)
    ]
    drawn = chart(
        "The cost over the epochs, on the training and the validation set",
        Scale.over("epoch", at),
        Scale.over(
            "cost" if e.model.l2 else "mean loss",
            np.append(train, validation[taken]),
        ),
        series[: 1 + bool(taken.any())],
        [Hit(float(i), words) for i, words in zip(at, said, strict=True)],
    )
    text = (
        f"{_epochs(epochs)}: as many times it looked at all photographs of the training set and "
        "changed its weights. Each cost is from before that change, so the table above is one change further on."
    )
    best = history.best_epoch
    if best is not None:
        when = _after(best) if best < epochs - 1 else "at the end"
        text += f" On the validation set it was lowest, {validation[best]:.4g}, {when}."
        if settings.patience is not None:
            text += " The weights of that moment were kept."
    if e.model.l2:
        penalty = e.model.l2 / 2 * float(np.square(e.model.parameters.W.astype(np.float64)).sum())
        text += (
            f" The cost of training is the mean loss and a penalty for large weights, {e.model.l2:g} / 2 times the sum "
            f"of their squares; that is {penalty:.4g} of it at the end, and in no other number here."
        )
    if settings.mirror:
        text += " It learned from mirror images too, which the table leaves out."
    return f"<p>{text}</p>{figure(drawn, says=TOUCH)}{terms(made)}"


def _way(e: Explanation) -> str:
    (column,) = e.undecided(1)
    (X, Y), A = e.examples(e.judged), e.activations[e.judged][0]
    zero, one = e.model.classes
    name, parts, way = e.names(e.judged)[column], e.parts(column), e.way(column)
    b, s = float(e.model.parameters.b), e.model.input_scale
    Z = float(way[0].value)
    others = Z - b - sum(part.adds for part in parts)
    rows = [
        [part.place, str(part.x), f"{s * part.x:.4g}", f"{part.W:.4g}", f"{part.adds:+.4g}", f"{part.dW:+.4g}"]
        for part in parts
    ]
    rows += [
        [f"the other {e.model.parameters.W.size - len(parts):,}", "", "", "", f"{others:+.4g}", ""],
        ["b, the bias", "", "", "", f"{b:+.4g}", f"{float(way[-1].value):+.4g}"],
        ["Z, the sum", "", "", "", f"{Z:+.4g}", ""],
    ]
    shown = "".join(_photographs(e, [column])) if e.shows_pictures else ""
    curve = ""
    if e.probabilities:
        few = min(EXAMPLES, Y.shape[1])
        Zs = logits(e.model, X[:, :few])[0]
        reach = max(6.0, float(abs(Zs).max()), abs(Z))
        z = np.linspace(-reach, reach, 101)
        sigmoid = 1 / (1 + np.exp(-z))
        series = [Series("", z, sigmoid)]
        for label in 0, 1:
            of = Y[0, :few] == label
            series.append(Series("", Zs[of], A[:few][of], label, line=False, dots=True))
        curve = figure(
            chart(
                "The sigmoid, and where examples lie on it",
                Scale("Z", -reach, reach),
                Scale("A = 1 / (1 + e^-Z)", -0.03, 1.03),
                [*series, Series("this one", [Z], [A[column]], None, line=False, dots=True)],
                [Hit(v, f"Z = {v:.2f}: A = {a:.4f}") for v, a in zip(z, sigmoid, strict=True)],
            ),
            key((0, zero), (1, one)) + f"The answer A for each sum Z; the first {few} photographs are dots.",
            TOUCH,
        )
    return (
        f"<p>This is {html.escape(name)}, the photograph of the {e.judged} set of which it is least sure. The answer A "
        f"says how much it is for {html.escape(one)}: the nearer to 1 the more, and below 0.5 it says "
        f"{html.escape(zero)}.</p>"
        + beside(shown, curve)
        + f"<h3>Forward: every feature is weighed</h3><p>Each feature of a photograph is a byte x, 0 to 255. Times s = "
        f"{s:.4g} and its weight W, it adds to the sum Z. Here are {len(parts)} of those that add or take the most.</p>"
        + table(["feature", "x", "s x", "W", "adds W s x", "dW"], rows)
        + "<h3>And back: every weight is told how to change</h3><p>dW = dZ s x says how the loss L changes with that "
        "weight; training takes a small step the other way. dZ comes from L by the chain rule:</p>"
        + table(["", "what it is", "formula", "value"], [list(quantity) for quantity in way], kind="words")
        + (f"<p>The penalty adds {e.model.l2:g} W to each dW.</p>" if e.model.l2 else "")
    )


def _weights(e: Explanation) -> str:
    W, (zero, one) = e.model.parameters.W.reshape(e.model.size).astype(np.float64), e.model.classes
    added = W.sum(axis=2)
    limit = full(added)
    alt = f"W as a picture; orange speaks for {one}, blue for {zero}"
    figures = [figure(signed(added, limit, alt), "W, all weights")]
    for part, name in (W, one), (-W, zero):
        shown = np.maximum(part, 0) if W.shape[2] == 3 else np.maximum(part, 0).sum(axis=2, keepdims=True)
        bytes_ = np.rint(255 * np.clip(shown / full(shown), 0, 1)).astype(np.uint8)
        figures.append(figure(picture(bytes_, f"The weights that speak for {name}"), f"for {html.escape(name)}"))
    said = (
        f"Where a photograph is bright, an orange weight raises Z and speaks for {one}; a blue one lowers it and "
        f"speaks for {zero}. Beside it is each by itself, in the colours of the pixels that are weighed: the brighter, "
        "the larger the weight."
        if e.shows_pixels
        else f"Each square is a block of the photograph: the sum of its {e.model.size[2]} weights, orange where edges "
        f"there speak for {one}, blue where for {zero}. Beside it are the sums of the weights for each by themselves."
    )
    return f"<p>{html.escape(said)}</p>{gallery(*figures, says=TOUCH)}{scale(limit, zero, one)}"


def _looks(e: Explanation) -> str:
    if not e.shows_pictures:
        return ""
    chosen, (zero, one) = e.chosen(), e.model.classes
    parts = e.contributions(e.judged, chosen)
    limit, figures = full(parts), []
    for i, shown, part in zip(chosen, e.pictures(e.judged, chosen), parts, strict=True):
        alt = f"{e.names(e.judged)[i]}: what each place adds to Z"
        photographs, maps = "", ""
        for name in FILTERS:
            photographs += f' data-{name}="{source(_enlarged(shown, name))}"'
            maps += f' data-{name}="{source(diverging(_enlarged(part, name), limit))}"'
        images = _photo(e, i, shown, photographs) + signed(part, limit, alt, maps)
        figures.append(figure(images, _about(e, i)))
    options = "".join(f"<option>{name}</option>" for name in ("nearest", *FILTERS))
    return section(
        "Where it looks",
        f"<p>Below each photograph is W s x: how much each place of it adds to Z, orange for {html.escape(one)}, blue "
        f"for {html.escape(zero)}, in one scale for all. Shown are photographs of both classes that it is surest of, "
        "and its surest mistakes.</p>",
        gallery(*figures, says=TOUCH),
        scale(limit, zero, one),
        f'<p><label>How pixels become a picture: <select id="interpolation">{options}</select></label></p>',
    )


def _threshold(e: Explanation) -> str:
    A, Y = e.activations[e.judged], e.examples(e.judged)[1]
    zero, one = e.model.classes
    above = e.thresholds()
    low, high = above[0][0], above[-1][0]
    of = [sum(row) for row in e.scores[e.judged].confusion]
    edges = np.linspace(low, high, 26)
    counts = [np.histogram(A[label == Y], edges)[0] for label in (0, 1)]
    steps = np.repeat(edges, 2)
    said = [
        f"A from {a:.2f} to {b:.2f}: {zero} {k:,}, {one} {n:,}"
        for a, b, k, n in zip(edges, edges[1:], *counts, strict=False)
    ]
    line = 'class="axis" vector-effect="non-scaling-stroke" stroke-width="2" stroke-dasharray="5 4"'
    figures = [
        figure(
            chart(
                f"How many examples of {zero} and {one} got which answer",
                Scale("the answer A", low, high),
                Scale("photographs", 0, 1.08 * max(int(n.max()) for n in counts)),
                [
                    Series("", steps, np.concatenate([[0], np.repeat(n, 2), [0]]), i, filled=True)
                    for i, n in enumerate(counts)
                ],
                [Hit(float(x), words) for x, words in zip((edges[1:] + edges[:-1]) / 2, said, strict=True)],
                more=f'<line id="border" x1=".5" x2=".5" y1="0" y2="1" {line}/>',
            ),
            key((0, zero), (1, one)) + "What it answers to each class; the threshold is dashed.",
            TOUCH,
        )
    ]
    if all(of):
        false, true = roc_curve(A, Y)
        found = e.scores[e.judged].roc_area
        figures.append(
            figure(
                chart(
                    f"The ROC curve, area {found:.3f}",
                    Scale(f"share of {zero} taken for {one}", 0, 1),
                    Scale(f"share of {one} found", 0, 1),
                    [Series("", [0, 1], [0, 1]), Series("", false, true, 4)],
                    [
                        Hit(x, f"{y:.1%} of {one} found, with {x:.1%} of {zero} taken for it")
                        for x, y in zip(false, true, strict=True)
                    ],
                    more=f'<line id="across" y1="0" y2="1" x1=".5" x2=".5" {line}/>'
                    f'<line id="up" x1="0" x2="1" y1=".5" y2=".5" {line}/>',
                ),
                f"All thresholds at once (the ROC curve, area {found:.3f}): up is good, to the right is bad.",
                TOUCH,
            )
        )
    confusion = e.scores[e.judged].confusion
    rows = [
        [name, *(f"{count:,}" for count in counted), f"{counted[1 - label] / max(1, of[label]):.1%}"]
        for label, (name, counted) in enumerate(zip(e.model.classes, confusion, strict=True))
    ]
    right = confusion[0][0] + confusion[1][1]
    header = ["it is", f"taken for {zero}", f"taken for {one}", "wrong"]
    return (
        "<p>"
        + html.escape(
            f"It says {one} where A is above the threshold. Move it: a higher one takes {zero} for {one} less often, "
            f"and overlooks {one} more often."
        )
        + "</p>"
        + f'<p><label for="threshold">Threshold: <output id="at" for="threshold">0.50</output></label>'
        f'<input type="range" id="threshold" min="0" max="{len(above) - 1}" value="{len(above) // 2}"></p>'
        f'<div id="errors">{table(header, rows)}</div>'
        f'<p>Named rightly: <span id="right">{right:,} of {sum(of):,}, {right / sum(of):.1%}</span>.</p>'
        + beside(*figures)
        + f'<script type="application/json" id="counts">{json.dumps({"above": above, "of": of})}</script>'
    )


def _reliability(e: Explanation) -> str:
    bins, one = e.scores[e.judged].reliability or [], e.model.classes[1]
    x, y = ([getattr(found, name) for found in bins] for name in ("predicted", "observed"))
    low, high = ([found.interval[i] for found in bins] for i in (0, 1))
    drawn = chart(
        "Predicted probabilities and observed shares, with intervals",
        Scale(f"predicted probability of {one}", 0, 1),
        Scale(f"share that are {one}", 0, 1),
        [Series("", [0, 1], [0, 1]), Series("", x, y, 4, low, high, dots=True)],
        [
            Hit(
                b.predicted,
                f"of {b.examples:,} photographs with A near {b.predicted:.2f}, {b.observed:.0%} are {one} "
                f"(95 % interval {b.interval[0]:.0%} to {b.interval[1]:.0%})",
            )
            for b in bins
        ],
    )
    said = (
        f"Of photographs to which it answers 0.7, seven in ten should be {one}: on the dashed line it is as right as "
        "it says. The bars are 95 % intervals: what so few photographs leave open."
    )
    return f"<p>{html.escape(said)}</p>{figure(drawn, says=TOUCH)}"


def _border(e: Explanation) -> str:
    said = f"The photographs of the {e.judged} set that it can hardly decide on, where A is nearest to 0.5:"
    nearest = e.undecided(NEAREST)
    if e.shows_pictures:
        return f"<p>{said}</p>{gallery(*_photographs(e, nearest))}"
    names, (A, Y) = e.names(e.judged), (e.activations[e.judged][0], e.examples(e.judged)[1][0])
    rows = [[names[i], e.model.classes[int(Y[i])], f"{A[i]:.4f}"] for i in nearest]
    return f"<p>{said}</p>{table(['file', 'it is', 'A'], rows)}{_unshown(e)}"


def _mistakes(e: Explanation) -> str:
    mistakes: list[Mistake] = e.mistakes(e.judged)
    if not mistakes:
        return f"<p>Nothing, on the {e.judged} set.</p>"
    csv = base64.b64encode(e.mistakes_csv().encode()).decode()
    link = f'<a download="mistakes.csv" href="data:text/csv;base64,{csv}">all of them, as a table (CSV)</a>'
    said = (
        f"<p>{len(mistakes):,} of {e.scores[e.judged].examples:,} photographs of the {e.judged} set; first those of "
        f"which it is surest, and yet wrong; {link}.</p>"
    )
    if e.shows_pictures:
        return said + gallery(*_photographs(e, [mistake.column for mistake in mistakes[:WORST]]))
    rows = [[mistake.file, mistake.true, mistake.predicted, f"{mistake.A:.4f}"] for mistake in mistakes[:WORST]]
    return said + table(["file", "it is", "taken for", "A"], rows) + _unshown(e)


def _unshown(e: Explanation) -> str:
    if e.model.features.kind != "hog":
        return ""
    return (
        '<p class="soft">This data set holds the directions of edges and no photographs. They are shown from the '
        "folder or zip that it was made of by <code>handgrad explain RUN DATA --photographs SOURCE</code>.</p>"
    )


def _photographs(e: Explanation, columns: list[int]) -> list[str]:
    shown = e.pictures(e.judged, columns)
    return [figure(_photo(e, i, pixels), _about(e, i)) for i, pixels in zip(columns, shown, strict=True)]


def _photo(e: Explanation, column: int, shown: Array, more: str = "") -> str:
    return picture(shown, e.names(e.judged)[column], more)


def _about(e: Explanation, column: int) -> str:
    label, A = int(e.examples(e.judged)[1][0, column]), float(e.activations[e.judged][0, column])
    wrong = (A > 0.5) != (label == 1)
    taken = f", taken for {e.model.classes[1 - label]}" if wrong else ""
    return html.escape(f"{e.names(e.judged)[column]}: {e.model.classes[label]}{taken}, A = {A:.4f}")


def _enlarged(values: Array, name: str) -> Array:
    """Bytes (h, w, c) or numbers (h, w), interpolated."""
    size = tuple(max(1, round(LARGE * side / max(values.shape[:2]))) for side in values.shape[1::-1])
    grey = values.ndim == 3 and values.shape[2] == 1
    image = Image.fromarray(values[..., 0] if grey else values if values.ndim == 3 else values.astype(np.float32))
    large = np.asarray(image.resize(size, getattr(Image.Resampling, name.upper())))
    return large[..., np.newaxis] if grey else large


def _epochs(count: int) -> str:
    return f"{count:,} epoch{'s' * (count != 1)}"


def _after(count: int) -> str:
    return f"after {_epochs(count)}" if count else "at the start"
