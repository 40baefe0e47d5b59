"""What is done with a run: evaluate, explain, predict, export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from handgrad import tables
from handgrad.commands.options import PATH, OfKind, as_json, examples, of_backend, of_data, of_device, of_run
from handgrad.commands.output import not_there_yet, print_json, say_error, say_left, word, working
from handgrad.errors import DataError, UsageError
from handgrad.table import table

if TYPE_CHECKING:
    from handgrad.data import Dataset
    from handgrad.run import Model


@click.command(epilog=examples("handgrad evaluate run/ data/", "handgrad evaluate run/ data/ --json"))
@of_run
@of_data
@of_backend
@of_device
@click.option("--test", is_flag=True, help="On the test set too: once, when nothing is left to choose.")
@click.option("--figure", type=PATH, help="Draw ROC and reliability into this new file, .svg or .png.")
@as_json
def evaluate(
    run_folder: Path, data: Path, backend: str, device: str, test: bool, figure: Path | None, as_json: bool
) -> None:
    """Cost, accuracy and more of a trained neuron.

    Of the neuron in RUN, on the sets of DATA: the mean loss; the accuracy, with the 95 % interval in which that among
    all such photographs lies (Wilson); the area under the ROC curve; what each class was taken for; and, of examples
    that are said to be of class 1 with some probability, how many are.
    """
    from handgrad import backends, measure
    from handgrad.data import Dataset
    from handgrad.run import load_model

    if figure is not None:
        from handgrad import look  # said before the work, if Matplotlib is missing

        look.must_be_drawable(figure)
    model, dataset = load_model(run_folder), Dataset.open(data)
    model.check_fits(dataset)
    _warn_unless_known(model, dataset, run_folder)
    if test and not dataset.test.Y.size:
        raise UsageError(f"test: {data} has no test set; make one with: handgrad prepare --test 0.2")
    neuron = model.neuron(backends.load(backend), device)
    shown = measure.sets(dataset, test=test)
    found = measure.scored(neuron, model.parameters, shown)
    if figure is not None:
        pairs = {name: (A, shown[name].Y) for name, (A, _) in found.items()}
        look.save(look.scores(pairs, probabilities=neuron.activation == "sigmoid"), figure)
    sets = measure.measured(found)
    if as_json:
        print_json({"run": str(run_folder), "data": str(data), "backend": backend, "sets": sets})
    else:
        click.echo(tables.table_of_sets(sets, model.classes))
        for s in sets:
            click.echo(f"\n{s['set']}\n\n{tables.table_of_confusion(s, model.classes)}")
        if sets[-1]["reliability"]:
            click.echo(f"\nreliability, {sets[-1]['set']}\n\n{tables.table_of_reliability(sets[-1])}")
        click.echo(f"\nnext: handgrad explain {word(run_folder)} {word(data)}")


@click.command(
    epilog=examples(
        "handgrad explain run/ data/",
        "handgrad explain run/ data/ --html report.html --images figures/",
        "handgrad explain run/ hog/ --photographs dogs-vs-cats/train",
    )
)
@of_run
@of_data
@click.option("--html", "page_file", type=PATH, help="The new page.  [default: RUN/report.html]")
@click.option("--images", type=PATH, help="Also draw the figures into this new folder, as PNG.")
@click.option("--photographs", type=PATH, help="The folder or zip that DATA was made of, to show them from.")
def explain(
    run_folder: Path, data: Path, page_file: Path | None, images: Path | None, photographs: Path | None
) -> None:
    """See what the neuron learned.

    One page of what the neuron in RUN makes of the photographs in DATA, which needs no network and no other file: the
    learning curve, the way of one photograph through the neuron and back in numbers, W as a picture, where it looks in
    some photographs, a threshold to move, how sure it is and how rightly, what it can hardly decide on, and its worst
    mistakes. With --images, the figures as files too, and a table of all mistakes. A data set of hog features has no
    photographs to show: name them with --photographs.
    """
    from handgrad import report
    from handgrad.explanation import Explanation
    from handgrad.store import must_be_free, must_be_new, write

    if page_file is None:
        page_file = not_there_yet(run_folder / "report.html")
    must_be_new(page_file)
    if images is not None:
        from handgrad.look.images import write_images  # said before the work, if Matplotlib is missing

        say_left(images, r"[a-z_-]+\.png|mistakes\.csv")
        must_be_free(images)
    with working("explaining", 3) as done:
        explanation = Explanation.of(run_folder, data, photographs)
        done()
        if images is not None:
            write_images(explanation, images)
        done()
        write(page_file, report.page(explanation, str(run_folder)).encode())
        done()
    _warn_unless_known(explanation.model, explanation.dataset, run_folder)
    if images is not None:
        click.echo(f"figures: {images}")
    click.echo(f"report: {page_file}")
    if not explanation.shows_pictures:
        click.echo(f"without photographs, which {data} has not; show them with: --photographs SOURCE")
    click.echo(f"\nnext: open {word(page_file)} in a browser, or handgrad predict {word(run_folder)} IMAGE...")


def _warn_unless_known(model: Model, dataset: Dataset, run: Path) -> None:
    if not model.knows(dataset):
        click.echo(
            f"warning: {run} was trained on another data set; it may know photographs of {dataset.path}", err=True
        )


@click.command(epilog=examples("handgrad predict run/ my-cat.jpg", "handgrad predict run/ photographs/ --json"))
@of_run
@click.argument("images", metavar="IMAGE...", type=OfKind("a photograph", "a folder"), nargs=-1, required=True)
@of_backend
@of_device
@as_json
def predict(run_folder: Path, images: tuple[Path, ...], backend: str, device: str, as_json: bool) -> None:
    """The class of each photograph.

    By the neuron in RUN, with its probability. An IMAGE may be a folder: all photographs in it.

    Photographs are read by the code that made the data set. With an activation other than the sigmoid, which gives no
    probability, the activation is printed. A photograph that cannot be read is reported and the others go on; the exit
    code is then 3.
    """
    from handgrad import backends
    from handgrad.data import read_photograph
    from handgrad.data.source import photographs
    from handgrad.run import load_model

    model = load_model(run_folder)
    neuron = model.neuron(backends.load(backend), device)
    if model.size != model.features.size:
        raise DataError(f"{run_folder}: was trained on {model.size[2]} channels; expected 3, as a photograph has")
    model.features.check()
    files, predictions, errors = list[Path](), [], list[DataError]()
    for image in images:
        found, faults = photographs(image) if image.is_dir() else ([image], [])
        files += found
        errors += faults
    for error in errors:
        say_error(error)
    for image in files:
        try:
            pixels = read_photograph(image, model.features.photograph, exact=model.features.exact)
            x = model.features.of(pixels).reshape(-1, 1)
        except DataError as error:
            say_error(error)
            errors.append(error)
            continue
        a = float(neuron.predict_proba(model.parameters, x)[0, 0])
        label = int(neuron.predict(model.parameters, x)[0, 0])
        probability = (a if label else 1 - a) if model.activation == "sigmoid" else None
        predictions.append({"file": str(image), "class": model.classes[label], "probability": probability, "A": a})
    if as_json:
        print_json(predictions)
    elif predictions:
        column = "probability" if model.activation == "sigmoid" else "A"
        rows = [[str(p["file"]), str(p["class"]), f"{p[column]:.4f}"] for p in predictions]
        click.echo(table(["file", "class", column], *rows))
        click.echo(f"\nnext: handgrad explain {word(run_folder)} DATA")
    if errors:
        click.get_current_context().exit(DataError.exit_code)


@click.command(epilog=examples("handgrad export run/ model.onnx"))
@of_run
@click.argument("file", metavar="FILE.onnx", type=PATH)
def export(run_folder: Path, file: Path) -> None:
    """Write a trained neuron as an ONNX file.

    The neuron in RUN goes into the new FILE.onnx, for ONNX Runtime and others.

    What it takes are bytes (batch, h, w, c), photographs of the size that it was trained on, or their gray or hog
    features; the division by 255 is part of it. What it gives is the probability of class 1, (batch, 1), or with an
    activation other than the sigmoid, the activation.
    """
    from handgrad.onnx import export
    from handgrad.run import load_model

    model = load_model(run_folder)
    export(model, file)
    kind, output = model.features.kind, "probability" if model.activation == "sigmoid" else "activation"
    click.echo(f"takes {kind}, uint8 (batch, {', '.join(map(str, model.size))})")
    click.echo(f"gives {output}, {model.dtype} (batch, 1): {model.classes[1]} above 0.5, else {model.classes[0]}")
    click.echo(f'\nnext: in Python, onnxruntime.InferenceSession({str(file)!r}).run(None, {{"{kind}": X}})')
