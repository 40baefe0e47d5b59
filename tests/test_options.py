"""Every option and argument of every command, with wrong values: a line that names it; never a traceback."""

import hashlib
import itertools
import re
import traceback
from contextlib import contextmanager

import click
import numpy as np
import pytest
from PIL import Image

from handgrad.commands import handgrad, run
from handgrad.errors import HandgradError

WORDS = ("", "abc", "-1", "0", "nan", "inf", "1e400", "9" * 20, "катё-猫", "x" * 300, "a/../b", "0,1", "1,,2")
PATHS = ("{place}/none", "{given}/photographs", "{given}/text.txt", "{place}/none/none/new")
"""Nothing, a folder, a file of another kind, and where there is no folder for it."""

TOO_LONG = {("epochs", "9" * 20)}
"""What is right in kind."""
GRADIENT = """
import numpy as np
inputs = {"w": np.ones(2)}
def cost_and_gradient(w):
    return w @ w / 2, w
"""


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """What a person has: files that no command may change."""
    folder, rng = tmp_path_factory.mktemp("given"), np.random.default_rng(0)
    (folder / "photographs").mkdir()
    for i, name in itertools.product(range(5), "ab"):
        pixels = rng.integers(0, 256, (16, 16, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "photographs" / f"{name}.{i}.png")
    (folder / "text.txt").write_text("this is no photograph\n")
    (folder / "gradient.py").write_text(GRADIENT)
    source, data = str(folder / "photographs"), str(folder / "data")
    assert run(["prepare", source, data, "--size", "2"]) == 0
    for k in "12":
        assert run(["prepare", source, str(folder / f"part{k}"), "--size", "2", "--share", f"{k}/2"]) == 0
    assert run(["train", data, "--run", str(folder / "run"), "--epochs", "2"]) == 0
    return folder


@pytest.fixture
def calls(given, tmp_path, monkeypatch):
    """Of each command its arguments and options in a good call, which takes little time."""
    without_long_work(monkeypatch)
    data, trained, new = given / "data", given / "run", tmp_path / "new"
    return {
        "prepare": {"source": given / "photographs", "data": new, "size": "2"},
        "merge": {"parts": [given / "part1", given / "part2"], "data": new},
        "train": {"data": data, "run_folder": new, "epochs": "1"},
        "evaluate": {"run_folder": trained, "data": data},
        "explain": {"run_folder": trained, "data": data, "page_file": new},
        "predict": {"run_folder": trained, "images": [given / "photographs" / "a.0.png"]},
        "export": {"run_folder": trained, "file": new},
        "cross-validate": {"data": data, "folds": "2", "penalties": "0.1", "epochs": "2"},
        "rate": {"data": data},
        "compare": {"data": data, "chosen": "numpy", "epochs": "1"},
        "check": {"file": given / "gradient.py", "trials": "0"},
        "bench": {"arms": "numpy", "features": "2", "examples": "4", "rounds": "5"},
        "demo": {"folder": new},
    }


class TakesLongError(HandgradError):
    """All that was given was found good."""

    exit_code = 0


def without_long_work(monkeypatch):
    """A benchmark ends where it would begin to time, a demo where it would run other commands; no figure is drawn."""
    from handgrad import demo, report
    from handgrad.benchmarks import bench
    from handgrad.look import images

    class Worker:
        def read_bandwidth(self, device):
            return {"sum": 1.0}

    @contextmanager
    def worker(*_):
        yield Worker()

    def long(*_):
        raise TakesLongError

    monkeypatch.setattr(bench, "_worker", worker)
    monkeypatch.setattr(bench, "_rounds", long)
    monkeypatch.setattr(demo, "write_gradients", long)
    monkeypatch.setattr(report, "page", lambda *_: "a page")
    monkeypatch.setattr(images, "figures_of", lambda _: iter(()))


@pytest.mark.parametrize("name", sorted(handgrad.commands))
def test_a_command_given_a_wrong_value(name, calls, given, tmp_path, monkeypatch, capsys):
    command, right = handgrad.commands[name], calls[name]
    before, wrong = contents(given), []
    tried = [(p, v) for p in command.params for v in (*WORDS, *PATHS) if (p.name, v) not in TOO_LONG]
    for number, (parameter, value) in enumerate(tried):
        place = tmp_path / str(number)
        place.mkdir()
        monkeypatch.chdir(place)
        value = value.format(given=given, place=place)
        words = [name, *words_of(command, right | {parameter.name: value}, tmp_path / "new", place / "new")]
        said = f"{parameter.name}={value[:40]!r}"
        capsys.readouterr()
        try:
            code = run(words)
        except Exception as error:
            at = traceback.extract_tb(error.__traceback__)[-1]
            wrong.append(f"{said}: {type(error).__name__}: {error} ({at.filename}:{at.lineno})"[:400])
            continue
        err = capsys.readouterr().err
        if code not in range(5):
            wrong.append(f"{said}: exit code {code}")
        elif code and not names(err, parameter, value):
            wrong.append(f"{said}: {code}, and names neither: {err.strip()[-300:]}")
        if not before.items() <= contents(given).items():
            wrong.append(f"{said}: changes a file that was given")
    assert not wrong, "\n".join([f"{len(wrong)} of {len(tried)} calls of handgrad {name}:", *wrong])


def test_every_command_is_tried(calls):
    assert calls.keys() == handgrad.commands.keys()
    for name, right in calls.items():
        assert right.keys() <= {parameter.name for parameter in handgrad.commands[name].params}


def words_of(command, given, new, place):
    """The words of a call; what it makes is made in a new place."""
    words = []
    for parameter in command.params:
        if parameter.name not in given:
            continue
        value = given[parameter.name]
        several = [str(place if one == new else one) for one in (value if isinstance(value, list) else [value])]
        if isinstance(parameter, click.Argument):
            words += several
        elif parameter.is_flag:
            words.append(f"{parameter.opts[0]}={several[0]}")
        else:
            words += [parameter.opts[0], *several * max(parameter.nargs, 1)]
    return words


def names(err, parameter, value):
    """Whether a message names the option or argument, or its value, or the file that is wrong."""
    words = {*parameter.opts, parameter.name, parameter.name.replace("_", "-"), parameter.human_readable_name}
    words |= {word.lstrip("-").removesuffix("s") for word in words}
    return any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", err) for word in words) or (value and value[:60] in err)


def contents(folder):
    return {
        file.relative_to(folder): hashlib.sha256(file.read_bytes()).digest()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and "__pycache__" not in file.parts
    }
