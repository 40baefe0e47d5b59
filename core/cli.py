"""The commands: thin, over the rooms of the house. What is heavy is imported inside each."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, replace
from itertools import chain, count
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handgrad import tables
from handgrad.checks import number
from handgrad.errors import DataError, HandgradError, MissingExtraError, UsageError
from handgrad.neuron import ACTIVATIONS, DTYPES, LOSSES
from handgrad.processes import FailedElsewhereError, launched
from handgrad.scores import wilson
from handgrad.table import table
from handgrad.version import __version__

if TYPE_CHECKING:
    from handgrad.data import Dataset
    from handgrad.neuron import Neuron
    from handgrad.run import Model

Command = Callable[..., None]
"""A command before or after click has decorated it."""


def main(arguments: list[str] | None = None) -> None:
    """Run a command and exit: 0 fine, 1 a check failed, 2 usage, 3 data, 4 diverged, 130 interrupted, 141 pipe."""
    os.environ["MPLBACKEND"] = "agg"  # no command shows a window
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code; a person's mistake is one line on standard error."""
    try:
        return handgrad.main(arguments, prog_name="handgrad", standalone_mode=False) or 0
    except SystemExit:  # so ends click where whoever reads the output has closed it
        return 141
    except click.ClickException as error:
        if launched() and int(os.environ["RANK"]):
            time.sleep(10)  # rank 0 has the same arguments, and says it: then torchrun ends the others
        else:
            error.show()
        return error.exit_code
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        return 130
    except FailedElsewhereError as error:
        return error.exit_code
    except HandgradError as error:
        click.echo(f"error: {' '.join(str(error).splitlines())}", err=True)
        return error.exit_code
    except OSError as error:
        click.echo(f"error: {error.filename or 'a file'}: {error.strerror or error}", err=True)
        return DataError.exit_code


def examples(*lines: str) -> str:
    """The end of a --help: commands to copy."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


@click.group(
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=examples("handgrad demo", "handgrad prepare photographs/ data/", "handgrad train data/ --run run/"),
)
@click.version_option(__version__, prog_name="handgrad")
@click.pass_context
def handgrad(context: click.Context) -> None:
    """One neuron, written by hand and differentiated by machine, so that each proves the other."""
    if context.invoked_subcommand is None:
        click.echo(WHAT_NEXT)
    elif context.invoked_subcommand != "train" and launched():
        raise click.UsageError(f"torchrun: found handgrad {context.invoked_subcommand}; it is for handgrad train")


WHAT_NEXT = """One neuron, written by hand and differentiated by machine, so that each proves the other.

  see it work           handgrad demo
  prove a gradient      handgrad check FILE.py
  learn photographs     handgrad prepare PHOTOGRAPHS data/
                        handgrad train data/ --run run/
                        handgrad explain run/ data/
  compare backends      handgrad compare data/
                        handgrad bench

next: handgrad demo, or handgrad --help for all commands"""


def _add(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


class Rate(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic in later versions
    """A number, or "auto", which is None."""

    name = "float|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | None:
        """The number."""
        if value == "auto":
            return None
        try:
            return float(value)
        except ValueError:
            self.fail(f"{value!r} is neither a number nor auto", param, ctx)


class Share(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic in later versions
    """K and N."""

    name = "K/N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """The two numbers."""
        try:
            k, n = map(int, value.split("/"))
        except ValueError:
            self.fail(f"{value!r} is no share; expected K/N, as 2/8", param, ctx)
        return k, n


as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, for a script.")

of_the_neuron = _add(
    click.option(
        "--activation",
        type=click.Choice(ACTIVATIONS),
        default="sigmoid",
        show_default=True,
        help="f in A = f(Z).",
    ),
    click.option(
        "--loss",
        type=click.Choice(LOSSES),
        default="cross_entropy",
        show_default=True,
        help="Averaged over the examples; cross_entropy goes with the sigmoid.",
    ),
    click.option("--l2", type=float, default=0.0, show_default=True, help="Weight of the penalty (l2 / 2) W W^T."),
    click.option("--dtype", type=click.Choice(DTYPES), default="float32", show_default=True),
    click.option("--device", default="cpu", show_default=True, help="cpu, or cuda on torch and jax."),
)

of_the_inputs = _add(
    click.option("--mirror", is_flag=True, help="Learn from the mirror images too; they take no memory."),
    click.option("--standardize", is_flag=True, help="Give every feature mean 0 and deviation 1; folded into W and b."),
)

of_the_optimizer = _add(
    click.option(
        "--optimizer",
        type=click.Choice(["gd", "sgd", "lbfgs"]),
        default="gd",
        show_default=True,
        help="Full-batch gradient descent, a few examples at a time, or L-BFGS, which needs no learning rate.",
    ),
    click.option("--momentum", type=float, default=0.9, show_default=True, help="Of sgd."),
    click.option("--batch", type=click.IntRange(min=1), default=64, show_default=True, help="Examples at a time, sgd."),
    click.option(
        "--schedule",
        type=click.Choice(["constant", "linear", "cosine"]),
        default="constant",
        show_default=True,
        help="Of the learning rate of sgd.",
    ),
)


of_the_descent = _add(
    click.option(
        "--learning-rate",
        type=Rate(),
        default=0.003,
        show_default=True,
        help="alpha in W := W - alpha dW; auto: half of what is stable.",
    ),
    click.option("--epochs", type=click.IntRange(min=0), default=500, show_default=True, help="How many, at most."),
    click.option(
        "--initial",
        type=click.Choice(["zeros", "random"]),
        default="zeros",
        show_default=True,
        help="What W starts from; b starts from 0.",
    ),
    click.option(
        "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of --initial random, and of sgd."
    ),
)


@handgrad.command(
    epilog=examples(
        "handgrad prepare photographs/ data/",
        "handgrad prepare train.zip data/ --size 64 --validation 0.2 --positive cat",
        "handgrad prepare photographs/ data/ --features hog --size 128 --test 0.2",
        "handgrad prepare photographs/ parts/2 --share 2/8",
    )
)
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--size", type=int, help="Side of the square that photographs are resized to.  [default: 64]")
@click.option("--validation", type=float, help="Share of each class kept for validation.  [default: 0.2]")
@click.option("--test", type=float, help="Share of each class kept apart until all is chosen.  [default: none]")
@click.option(
    "--features",
    type=click.Choice(["pixels", "gray", "hog"]),
    help="pixels; gray, their brightness; or hog, histograms of the directions of edges.  [default: pixels]",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the random order and split.")
@click.option("--positive", metavar="CLASS", help="The name of class 1.  [default: the second in alphabetical order]")
@click.option("--limit", type=int, metavar="N", help="Take only N photographs, of both classes alike.")
@click.option("--share", type=Share(), help="Make only part K of N, to be joined with: handgrad merge.")
@click.option("--strict", is_flag=True, help="A file that cannot be read is an error, not skipped.")
@click.option("--npz", is_flag=True, help="Also write train.npz and valid.npz, with arrays X and Y.")
@as_json
def prepare(source: Path, data: Path, as_json: bool, **options: Any) -> None:
    """Make a data set of photographs.

    DATA is the folder to make. SOURCE is a folder of cat.0.jpg dog.0.jpg ..., a folder with one
    subfolder per class, a zip of either, a folder with train.npz and valid.npz (arrays X and Y), or a folder with
    train_*.h5 and test_*.h5. It is never changed.
    """
    from handgrad.data import prepare

    summary = prepare(source, data, progress=True, **options)
    if as_json:
        _print_json(summary.to_json())
    else:
        click.echo(summary.report())
        click.echo(
            f"\nnext: handgrad {f'train {_word(data)} --run RUN' if summary.share is None else 'merge PART... DATA'}"
        )


@handgrad.command(
    epilog=examples("handgrad merge parts/* data/", "handgrad merge parts/1 parts/2 parts/3 data/ --json")
)
@click.argument("parts", metavar="PART...", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.argument("data", type=click.Path(path_type=Path))
@as_json
def merge(parts: tuple[Path, ...], data: Path, as_json: bool) -> None:
    """Join what was prepared in shares.

    Each PART is a folder that handgrad prepare --share made, in any order. DATA is the folder to make: the data set
    that prepare makes without --share. All pixels are read and compared with what was prepared; none is copied, for
    the arrays of DATA are hard links to those of the parts. The parts are not changed, and may be deleted then.
    """
    from handgrad.data import merge

    summary = merge(parts, data, progress=True)
    if as_json:
        _print_json(summary.to_json())
    else:
        click.echo(summary.report())
        click.echo(f"\nnext: handgrad train {_word(data)} --run RUN")


@handgrad.command(
    epilog=examples(
        "handgrad train data/ --run run/",
        "handgrad train data/ --run run/ --backend jax --loss squared_error --learning-rate 0.003 --epochs 5000",
        "handgrad train data/ --run run/ --optimizer lbfgs --l2 0.01 --mirror --early-stopping 20",
        "handgrad train --resume run/",
    )
)
@click.argument("data", required=False, type=click.Path(path_type=Path))
@click.option("--run", "run_folder", type=click.Path(path_type=Path), help="The folder to make.")
@click.option("--resume", "resumed", type=click.Path(path_type=Path), help="Go on with this run, as it was begun.")
@click.option("--backend", default="numpy", show_default=True, help="numpy, numba, torch or jax.")
@of_the_neuron
@of_the_inputs
@of_the_optimizer
@of_the_descent
@click.option(
    "--early-stopping",
    "patience",
    type=click.IntRange(min=1),
    metavar="EPOCHS",
    help="End when the lowest validation cost is so many epochs old, and keep the parameters that had it.",
)
@click.option(
    "--validation-every",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Take the validation cost in every k-th epoch.",
)
@click.option(
    "--span/--no-span",
    default=None,
    help="Descend in the span of the examples, which is the same, or step by step.  [default: whichever is less work]",
)
@click.option(
    "--block",
    type=click.IntRange(min=1),
    help="Read so many examples at a time from the data set.  [default: all, if a copy fits in half of the memory]",
)
@click.option(
    "--checkpoint-every",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    help="Seconds between two states that are kept to go on from.",
)
@as_json
def train(
    data: Path | None,
    run_folder: Path | None,
    resumed: Path | None,
    checkpoint_every: float,
    as_json: bool,
    **options: Any,
) -> None:
    """Train a neuron on a data set.

    Full-batch gradient descent on DATA, or --optimizer; the neuron, its history and how it was made are kept in the
    folder --run.

    The state is kept there every so often, and on Ctrl-C, after the epoch that is being taken (a second Ctrl-C leaves
    at once). --resume goes on from it, to the bits of a training that was not stopped; DATA may be given with it where
    the data set was moved.
    """
    from handgrad import training
    from handgrad.processes import joined
    from handgrad.settings import Settings, option_of

    with joined() as processes, _stopping() as stop:
        first = processes.rank == 0

        def warn(line: str) -> None:
            if first:
                click.echo(f"warning: {line}", err=True)

        care = training.Care(checkpoint_every, stop, warn, first, processes)
        if resumed is not None:
            given = [name for name in ("run_folder", *options) if _was_given(name)]
            if given:
                option = "--run" if given[0] == "run_folder" else option_of(given[0])
                raise UsageError(f"{option}: found it beside --resume; a run goes on as it was begun; leave it out")
            run, outcome = resumed, training.resume(resumed, data, care)
        elif data is None or run_folder is None:
            raise UsageError("expected DATA and --run RUN to begin a training, or --resume RUN to go on with one")
        else:
            _of_the_optimizer_only(options["optimizer"])
            run, outcome = run_folder, training.train(run_folder, Settings(str(data), **options), care)
    if not first:
        click.get_current_context().exit(outcome.exit_code)
    if outcome.result is None:
        resume = f"handgrad train --resume {_word(run)}"
        click.echo(f"stopped after {outcome.epochs} epochs; go on with: {resume}", err=True)
        click.get_current_context().exit(outcome.exit_code)
    result = outcome.result
    if as_json:
        _print_json(result)
    else:
        click.echo(tables.table_of_sets(result["sets"]))
        best = "" if result["best_epoch"] is None else f", the best {result['best_epoch']}"
        if result["ended"] and not result["diverged"]:
            click.echo(f"\nended after {result['epochs']} of {result['epochs_asked']} epochs: {result['ended']}")
        click.echo(
            f"\n{result['epochs']} epochs{best}, {tables.ms(result['seconds_per_epoch'])} ms each; kept in {run}"
        )
    if outcome.diverged:
        raise outcome.diverged
    if not as_json:
        click.echo(f"next: handgrad evaluate {_word(run)} {_word(Path(outcome.settings.data))}")


def _of_the_optimizer_only(optimizer: str) -> None:
    """Raise a UsageError for an option that another optimizer has."""
    from handgrad.settings import option_of

    of_sgd = ["momentum", "batch", "schedule"]
    others = {"gd": of_sgd, "sgd": [], "lbfgs": ["learning_rate", *of_sgd]}
    for name in others[optimizer]:
        if _was_given(name):
            raise UsageError(
                f"{option_of(name)}: found it beside --optimizer {optimizer}, which has none; leave it out"
            )


def _was_given(name: str) -> bool:
    return click.get_current_context().get_parameter_source(name) is not click.core.ParameterSource.DEFAULT


@contextmanager
def _stopping() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C, or a request to end, has come; a second one ends the process at once."""
    came: list[int] = []

    def note(number: int, _: Any) -> None:
        came.append(number)
        if not launched():  # torchrun hands on what it gets, which may have come here already
            signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@handgrad.command(epilog=examples("handgrad evaluate run/ data/", "handgrad evaluate run/ data/ --json"))
@click.argument("run_folder", metavar="RUN", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--backend", default="numpy", show_default=True, help="numpy, numba, torch or jax.")
@click.option("--device", default="cpu", show_default=True, help="cpu, or cuda on torch and jax.")
@click.option("--test", is_flag=True, help="On the test set too: once, when nothing is left to choose.")
@click.option(
    "--figure", type=click.Path(path_type=Path), help="Draw ROC and reliability into this new file, .svg or .png."
)
@as_json
def evaluate(
    run_folder: Path, data: Path, backend: str, device: str, test: bool, figure: Path | None, as_json: bool
) -> None:
    """Cost, accuracy and more of a trained neuron.

    Of the neuron in RUN, on the sets of DATA: the mean loss; the accuracy, with the 95 % interval in which that among
    all such photographs lies (Wilson); the area under the ROC curve; what each class was taken for; and, of examples
    that are said to be of class 1 with some probability, how many are.
    """
    from handgrad import backends
    from handgrad.data import Dataset
    from handgrad.measure import finite, measured, scored
    from handgrad.measure import sets as sets_of
    from handgrad.run import load_model

    model, dataset = load_model(run_folder), Dataset.open(data)
    model.check_fits(dataset)
    _warn_unless_known(model, dataset, run_folder)
    if test and not dataset.test.Y.size:
        raise UsageError(f"test: {data} has no test set; make one with: handgrad prepare --test 0.2")
    neuron = model.neuron(backends.load(backend), device)
    shown = sets_of(dataset, test=test)
    found = scored(neuron, model.parameters, shown)
    if figure is not None:
        from handgrad import look

        pairs = {name: (A, shown[name].Y) for name, (A, _) in found.items()}
        look.save(look.scores(pairs, probabilities=neuron.activation == "sigmoid"), figure)
    sets = finite(measured(found))
    if as_json:
        _print_json({"run": str(run_folder), "data": str(data), "backend": backend, "sets": sets})
    else:
        click.echo(tables.table_of_sets(sets))
        for s in sets:
            click.echo(f"\n{s['set']}\n\n{tables.table_of_confusion(s, model.classes)}")
        if sets[-1]["reliability"]:
            click.echo(f"\nreliability, {sets[-1]['set']}\n\n{tables.table_of_reliability(sets[-1])}")
        click.echo(f"\nnext: handgrad explain {_word(run_folder)} {_word(data)}")


@handgrad.command(
    epilog=examples("handgrad explain run/ data/", "handgrad explain run/ data/ --html report.html --images figures/")
)
@click.argument("run_folder", metavar="RUN", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--html", "page_file", type=click.Path(path_type=Path), help="The new page.  [default: RUN/report.html]")
@click.option("--images", type=click.Path(path_type=Path), help="Also draw the figures into this new folder, as PNG.")
def explain(run_folder: Path, data: Path, page_file: Path | None, images: Path | None) -> None:
    """See what the neuron learned.

    One page of what the neuron in RUN makes of the photographs in DATA, which needs no network and no other file: the
    learning curve, W as a picture, where it looks in some photographs, how sure it is and how rightly, its worst
    mistakes, and the way of one photograph through the neuron and back, in numbers. With --images, the figures as files
    too, and a table of all mistakes.
    """
    from handgrad.look import page
    from handgrad.look.explanation import Explanation
    from handgrad.store import must_be_new, write

    if page_file is None:
        page_file = _not_there_yet(run_folder / "report.html")
    must_be_new(page_file)
    page_file.parent.mkdir(parents=True, exist_ok=True)
    explanation = Explanation.of(run_folder, data)
    _warn_unless_known(explanation.model, explanation.dataset, run_folder)
    if images is not None:
        page.write_images(explanation, images)
        click.echo(f"figures: {images}")
    write(page_file, page.page(explanation, str(run_folder)).encode())
    click.echo(f"report: {page_file}")
    click.echo(f"\nnext: open {_word(page_file)} in a browser, or handgrad predict {_word(run_folder)} IMAGE...")


@handgrad.command(epilog=examples("handgrad predict run/ my-cat.jpg", "handgrad predict run/ *.jpg --json"))
@click.argument("run_folder", metavar="RUN", type=click.Path(path_type=Path))
@click.argument("images", metavar="IMAGE...", type=click.Path(path_type=Path), nargs=-1, required=True)
@as_json
def predict(run_folder: Path, images: tuple[Path, ...], as_json: bool) -> None:
    """The class of each photograph.

    By the neuron in RUN, with its probability.

    Photographs are read by the code that made the data set. With an activation other than the sigmoid, which gives no
    probability, the activation is printed. A photograph that cannot be read is reported and the others go on; the exit
    code is then 3.
    """
    from handgrad.backends.numpy import Neuron
    from handgrad.data import read_photograph
    from handgrad.run import load_model

    model = load_model(run_folder)
    neuron = model.neuron(Neuron)
    if model.size != model.features.size:
        raise DataError(f"{run_folder}: was trained on {model.size[2]} channels; expected 3, as a photograph has")
    model.features.check()
    predictions, unreadable = [], False
    for image in images:
        try:
            x = model.features.of(read_photograph(image, model.features.photograph)).reshape(-1, 1)
        except DataError as error:
            click.echo(f"error: {' '.join(str(error).splitlines())}", err=True)
            unreadable = True
            continue
        a = float(neuron.predict_proba(model.parameters, x)[0, 0])
        label = int(neuron.predict(model.parameters, x)[0, 0])
        probability = (a if label else 1 - a) if model.activation == "sigmoid" else None
        predictions.append({"file": str(image), "class": model.classes[label], "probability": probability, "A": a})
    if as_json:
        _print_json(predictions)
    elif predictions:
        column = "probability" if model.activation == "sigmoid" else "A"
        rows = [[str(p["file"]), str(p["class"]), f"{p[column]:.4f}"] for p in predictions]
        click.echo(table(["file", "class", column], *rows))
        click.echo(f"\nnext: handgrad explain {_word(run_folder)} DATA")
    if unreadable:
        click.get_current_context().exit(DataError.exit_code)


@handgrad.command(epilog=examples("handgrad export run/ model.onnx"))
@click.argument("run_folder", metavar="RUN", type=click.Path(path_type=Path))
@click.argument("file", metavar="FILE.onnx", type=click.Path(path_type=Path))
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


@handgrad.command(
    "cross-validate",
    epilog=examples(
        "handgrad cross-validate data/ --folds 5 --l2 0,1e-3,1e-2,1e-1",
        "handgrad cross-validate data/ --l2 0.01,0.1 --mirror --backend numba --plot folds.svg",
    ),
)
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--folds", type=click.IntRange(min=2), default=5, show_default=True)
@click.option("--l2", "penalties", default="0,1e-4,1e-3,1e-2,1e-1,1", show_default=True, help="To try, with commas.")
@click.option("--by", type=click.Choice(["accuracy", "cost"]), default="cost", show_default=True, help="To choose.")
@click.option("--backend", default="numpy", show_default=True, help="numpy, numba, torch or jax.")
@click.option("--dtype", type=click.Choice(DTYPES), default="float32", show_default=True)
@click.option("--device", default="cpu", show_default=True, help="cpu, or cuda on torch and jax.")
@of_the_inputs
@click.option("--epochs", type=click.IntRange(min=1), default=1000, show_default=True, help="Of L-BFGS, at most.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the folds.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw it into this new file, .svg or .png.")
@as_json
def cross_validate(
    data: Path,
    folds: int,
    penalties: str,
    by: str,
    backend: str,
    epochs: int,
    seed: int,
    plot: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Choose the penalty, by k-fold cross-validation.

    The photographs of DATA to train on and to validate on, together, are dealt into folds, stratified. On each fold the
    neuron is measured that L-BFGS trained on the others. The penalty that is chosen is the largest within one standard
    error of the best. The test set, if there is one, is left alone: choose here, train, then evaluate --test.
    """
    from handgrad import choosing
    from handgrad.settings import Settings

    settings = Settings(str(data), backend, optimizer="lbfgs", epochs=epochs, seed=seed, **options)
    if plot is not None:
        from handgrad import look

        look.must_be_drawable(plot)
    rows, chosen = choosing.cross_validate(settings, _penalties(penalties), folds, by, progress=True)
    if plot is not None:
        look.save(look.folds(rows, chosen), plot)
    if as_json:
        found = [asdict(row) | {"interval": row.interval, "chosen": row is chosen} for row in rows]
        _print_json({"data": str(data), "folds": folds, "by": by, "chosen": chosen.l2, "rows": found})
        return
    click.echo(tables.table_of_folds(rows, chosen))
    click.echo(f"\nchosen: l2 {chosen.l2:g}, the largest within one standard error of the best {by}")
    click.echo(f"next: handgrad train {_word(data)} --run RUN{replace(settings, l2=chosen.l2).options()}")


def _penalties(text: str) -> list[float]:
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise UsageError(f"l2 is {text!r}; expected numbers with commas between them, as 0,1e-3,1e-2") from None


@handgrad.command(
    epilog=examples("handgrad rate data/", "handgrad rate data/ --learning-rate 0.01 --standardize --backend numba")
)
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--learning-rate", type=float, help="One to judge.")
@click.option("--backend", default="numpy", show_default=True, help="numpy, numba, torch or jax.")
@of_the_neuron
@of_the_inputs
@as_json
def rate(data: Path, learning_rate: float | None, backend: str, as_json: bool, **options: Any) -> None:
    """Propose a learning rate for gradient descent, or judge one.

    From the largest eigenvalue of the second moments of the examples to train on, by power iteration. Below the bound
    the cost falls in every epoch; half of it is proposed.
    """
    from handgrad import choosing
    from handgrad.measure import finite
    from handgrad.settings import Settings

    if learning_rate is not None:
        learning_rate = number("learning_rate", learning_rate)
    settings = Settings(str(data), backend, **options)
    found = choosing.rate(settings)
    verdict = None if learning_rate is None else found.verdict(learning_rate)
    if as_json:
        more = {"bound": found.bound, "proposed": found.proposed, "verdict": verdict}
        _print_json(finite(asdict(found) | more))
        return
    click.echo(f"largest eigenvalue  {found.eigenvalue:.6g}, after {found.iterations} iterations")
    if found.proposed is None:
        click.echo("no rate is sure for a relu, whose gradient jumps")
        click.echo(f"\nnext: handgrad train {_word(data)} --run RUN --learning-rate RATE{settings.options()}")
        return
    click.echo(f"stable below        {found.bound:.4g}")
    click.echo(f"proposed            {found.proposed:.4g}")
    if learning_rate is not None:
        said = {
            "falls": "the cost falls in every epoch",
            "may not settle": "the cost may rise, and may not settle",
            "must diverge": "the cost must diverge",
        }
        click.echo(f"at {learning_rate:g}: {said[str(verdict)]} ({learning_rate / found.bound:.3g} of the bound)")
    click.echo(
        f"\nnext: handgrad train {_word(data)} --run RUN --learning-rate {found.proposed:.4g}{settings.options()}"
    )


@handgrad.command(
    epilog=examples("handgrad compare data/ --epochs 300", "handgrad compare data/ --backend numpy --backend jax")
)
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "--backend", "chosen", multiple=True, help="One to compare; repeat it.  [default: all that are installed]"
)
@of_the_neuron
@of_the_descent
@as_json
def compare(
    data: Path,
    chosen: tuple[str, ...],
    learning_rate: float | None,
    epochs: int,
    initial: str,
    seed: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Train every backend and say if they agree.

    Each is trained on DATA from the same start; the exit code is 1 where they disagree.

    NumPy is the reference. Two backends may differ by what rounding explains, a bound that is derived from the numbers
    that are summed; the last column is the largest difference in units of its bound, and above 1 they disagree.
    """
    from handgrad.choosing import proposed
    from handgrad.comparison import compare
    from handgrad.curvature import curvature
    from handgrad.data import Dataset
    from handgrad.material import initial as start_of
    from handgrad.measure import finite
    from handgrad.measure import sets as sets_of

    neurons, missing = _neurons(chosen, options)
    dataset = Dataset.open(data)
    if learning_rate is None:
        learning_rate = proposed(curvature(neurons["numpy"], dataset.train.X))
    sets = sets_of(dataset)
    rows = compare(
        neurons,
        sets["train"],
        sets.get("validation"),
        epochs=epochs,
        learning_rate=learning_rate,
        initial=start_of(initial, seed, dataset),
        progress=True,
    )
    if as_json:
        _print_json(finite([asdict(row) | {"agrees": not row.disagreements} for row in rows]))
    else:
        click.echo(tables.table_of_backends(rows))
        accuracies = dict(
            zip(("train", "validation"), (rows[0].train_accuracy, rows[0].validation_accuracy), strict=True)
        )
        intervals = {name: wilson(round(accuracies[name] * Y.size), Y.size) for name, (_, Y) in sets.items()}
        said = ", ".join(f"{name} {tables.interval(interval)}" for name, interval in intervals.items())
        click.echo(f"accuracies of {rows[0].backend}, 95 % intervals: {said}")
        for error in missing:
            click.echo(f"left out: {error}")
    wrong = [row for row in rows if row.disagreements]
    for row in wrong:
        found = ", ".join(f"{kind} by {row.ratios[kind]:.3g} times its bound" for kind in row.disagreements)
        click.echo(f"{row.backend} disagrees with {rows[0].backend}: {found}", err=True)
    if wrong:
        click.get_current_context().exit(1)
    if not as_json and len(rows) > 1:
        click.echo(f"\n{', '.join(row.backend for row in rows)} agree")
        fastest = min(rows, key=attrgetter("seconds_per_epoch")).backend
        click.echo(f"next: handgrad train {_word(data)} --run RUN --backend {fastest}")


@handgrad.command(epilog=examples("handgrad check my_gradient.py --counterexample", "handgrad check --backend numpy"))
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--backend", metavar="NAME", help="Prove the neuron of a backend instead: numpy, numba, torch or jax.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the inputs tried besides.")
@click.option("--counterexample", is_flag=True, help="Also print the smallest failing test, for the first wrong line.")
@as_json
def check(file: Path | None, backend: str | None, seed: int, counterexample: bool, as_json: bool) -> None:
    """Prove a hand-derived gradient, or name the line.

    FILE.py is a Python module, which is run. It defines forward (plain NumPy: its named intermediates as a dictionary,
    the cost last), backward (their adjoints as a dictionary) and inputs(). Each line of backward is judged on its own:
    right, wrong, inherited (right, but fed by a wrong one) or unresolved. The exit code is 1 unless all are right.
    """
    if (file is None) == (backend is None):
        raise click.UsageError("expected either FILE.py or --backend NAME")
    if file is not None:
        from handgrad.proof import check_file

        with redirect_stdout(sys.stderr):  # what the module prints is not the report
            report = check_file(file, seed=seed)
        click.echo(report.to_json() if as_json else str(report))
        if counterexample and report.first_wrong and not as_json:
            click.echo(f"\n{report.counterexample()}")
        ok = report.ok
    else:
        from handgrad.proof.backends import check_backend

        proved = check_backend(str(backend), seed=seed)
        click.echo(proved.to_json() if as_json else str(proved))
        ok = proved.ok
    if not as_json and not counterexample:
        proof = f"handgrad check {_word(file)} --counterexample" if file and not ok else "handgrad compare DATA"
        click.echo(f"\nnext: {proof}")
    if not ok:
        click.get_current_context().exit(1)


@handgrad.command(
    epilog=examples(
        "handgrad bench --json bench.json --html bench.html",
        "handgrad bench --backends numba,numpy,torch,jax,article,torch_eager,jax_plain,sklearn --examples 5000",
        "handgrad bench --backends numpy,mine.py --examples 1000",
        "handgrad bench --compare old.json new.json --fail-above 1.1",
    )
)
@click.option(
    "--backends", "arms", default="numba,numpy,torch,jax,article", show_default=True, help="Arms, with commas."
)
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--features", default="12288", show_default=True, help="n, or several with commas.")
@click.option("--examples", "m", default="1000,5000,20000", show_default=True, help="m, or several with commas.")
@click.option("--dtype", type=click.Choice(DTYPES), default="float32", show_default=True)
@click.option("--input", "input_dtype", type=click.Choice(["uint8", "float32"]), default="uint8", show_default=True)
@click.option("--loss", type=click.Choice(LOSSES), default="cross_entropy", show_default=True)
@click.option("--rounds", type=click.IntRange(min=5), default=50, show_default=True)
@click.option("--threads", type=click.IntRange(min=1), help="Of each arm.  [default: one for each core]")
@click.option("--data", type=click.Path(path_type=Path), help="A data set, repeated to fill; else random bytes.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the bytes and the order.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all samples to this new file.")
@click.option("--html", "html_file", type=click.Path(path_type=Path), help="Write a page with plots to this new file.")
@click.option("--compare", "compared", nargs=2, type=click.Path(path_type=Path), help="Two results: OLD.json NEW.json.")
@click.option("--fail-above", type=float, default=1.1, show_default=True, help="With --compare: new / old.")
def bench(
    arms: str,
    features: str,
    m: str,
    input_dtype: str,
    threads: int | None,
    json_file: Path | None,
    html_file: Path | None,
    compared: tuple[Path, Path] | None,
    fail_above: float,
    **options: Any,
) -> None:
    """Time the full-batch step of backends, honestly.

    Each arm is checked against float64, lives in its own process and takes its turn in every round, in random order.
    What is shown: the step with its 95 % interval, how it compares with the fastest in paired rounds, and with the time
    that memory needs to deliver X once or twice; placing, compiling and the first call, each by itself; peak memory.
    """
    from handgrad.benchmarks import bench as benchmark
    from handgrad.benchmarks import machine
    from handgrad.store import must_be_new

    if compared:
        _compare_results(benchmark.load(compared[0]), benchmark.load(compared[1]), fail_above)
        return
    for path in json_file, html_file:
        if path is not None:
            must_be_new(path)
    if html_file is not None:
        from handgrad.benchmarks.page import page  # said before the work, if Matplotlib is missing
    available = machine.cores()
    if threads is not None and threads > available:
        raise UsageError(f"threads is {threads}; expected at most {available}, the cores that there are")
    settings = benchmark.Settings(
        arms=tuple(arms.split(",")),
        features=_numbers("features", features),
        examples=_numbers("examples", m),
        input=input_dtype,
        threads=threads or available,
        **options,
    )
    written = False

    def keep(result: dict[str, Any]) -> None:
        nonlocal written
        if json_file is not None:
            benchmark.write(json_file, benchmark.dumps(result), replacing=written)
            written = True

    result = benchmark.run(settings, keep)
    click.echo(benchmark.report(result))
    if html_file is not None:
        benchmark.write(html_file, page(result))
    click.echo(
        "\nnext: handgrad bench --compare OLD.json NEW.json" if json_file else "\nnext: handgrad bench --json FILE"
    )
    if any(row["refused"] for size in result["sizes"] for row in size["arms"]):
        click.get_current_context().exit(1)


def _numbers(name: str, text: str) -> tuple[int, ...]:
    try:
        numbers = tuple(int(word) for word in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 1:
        raise UsageError(f"{name} is {text!r}; expected whole numbers above 0, with commas between them")
    return numbers


def _compare_results(old: dict[str, Any], new: dict[str, Any], fail_above: float) -> None:
    from handgrad.benchmarks.bench import changes

    for key in "cpu", "threads":
        if old["environment"][key] != new["environment"][key]:
            click.echo(f"note: {key} was {old['environment'][key]} and is {new['environment'][key]}", err=True)
    found = changes(old, new)
    if not found:
        raise UsageError("the two results have no arm and size in common; expected runs of the same command")
    rows = [
        [
            row["arm"],
            f"{row['features']:,}",
            f"{row['examples']:,}",
            f"{row['ratio']:.3f}",
            f"{row['interval'][0]:.3f} to {row['interval'][1]:.3f}",
            row["verdict"],
        ]
        for row in found
    ]
    click.echo(table(["arm", "n", "m", "new / old", "95 % interval", "verdict"], *rows))
    if any(row["interval"][0] > fail_above for row in found):
        click.echo(f"slower than {fail_above} times", err=True)
        click.get_current_context().exit(1)


@handgrad.command(epilog=examples("handgrad demo", "handgrad demo my-demo/"))
@click.argument("folder", type=click.Path(path_type=Path), default=Path("handgrad-demo"))
def demo(folder: Path) -> None:
    """The whole job on built-in data.

    Handwritten digits, 3 against 8, are written as files into FOLDER, prepared, trained on and predicted.

    FOLDER is handgrad-demo by default, or the first of handgrad-demo-2, -3 ... that does not exist yet.
    """
    from handgrad.demo import write_digits

    folder = _not_there_yet(folder)
    photographs, data, run_folder = folder / "photographs", folder / "data", folder / "run"
    click.echo(f"{write_digits(photographs)} pictures of handwritten digits, 3 and 8, are in {photographs}\n")
    pictures = sorted(photographs.iterdir())
    descent = ["--learning-rate", "0.1", "--epochs", "1000"]
    for command in (
        ["prepare", photographs, data, "--size", "8"],
        ["compare", data, *descent],
        ["train", data, "--run", run_folder, *descent],
        ["evaluate", run_folder, data],
        ["predict", run_folder, *pictures[:2], *pictures[-2:]],
        ["explain", run_folder, data],
    ):
        words = [str(word) for word in command]
        click.secho(f"$ handgrad {shlex.join(words)}", bold=True)
        try:
            code = handgrad.main(words, prog_name="handgrad", standalone_mode=False)
        except MissingExtraError as error:
            if command[0] != "explain":
                raise
            click.echo(f"left out: {error}")
        if code:
            click.get_current_context().exit(code)
        click.echo()
    click.echo("next: handgrad prepare YOUR-PHOTOGRAPHS data/")


def _warn_unless_known(model: Model, dataset: Dataset, run: Path) -> None:
    if not model.knows(dataset):
        click.echo(
            f"warning: {run} was trained on another data set; it may know photographs of {dataset.path}", err=True
        )


def _not_there_yet(path: Path) -> Path:
    """The name itself, or the first of name-2, name-3 ... that does not exist."""
    numbered = (path.with_name(f"{path.stem}-{i}{path.suffix}") for i in count(2))
    return next(name for name in chain([path], numbered) if not name.exists())


def _neurons(chosen: tuple[str, ...], options: dict[str, Any]) -> tuple[dict[str, Neuron], list[MissingExtraError]]:
    """NumPy's neuron and the chosen ones, or all that are installed and the reasons why the others are not."""
    from handgrad import backends
    from handgrad.material import PIXEL_SCALE

    neurons, missing = {}, []
    for name in dict.fromkeys(["numpy", *(chosen or backends.names())]):
        try:
            neurons[name] = backends.load(name)(input_scale=PIXEL_SCALE, **options)
        except MissingExtraError as error:
            if chosen:
                raise
            missing.append(error)
    return neurons, missing


def _word(path: Path) -> str:
    """A path as a word of the shell, and no option."""
    return shlex.quote(str(path) if not str(path).startswith("-") else f"./{path}")


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, allow_nan=False))
