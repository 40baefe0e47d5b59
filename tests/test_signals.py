"""A command that is told to end, killed or overtaken leaves nothing half made, and what is not its own as it was."""

import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from handgrad import UsageError, store
from handgrad.checkpoint import load_checkpoint
from handgrad.commands import run
from handgrad.data import Dataset

HELD = """
import importlib, os, pathlib, shutil, signal, sys, time

module, name, seconds, dawdles = sys.argv[1:5]
outer, _, name = name.rpartition(".")
of = importlib.import_module(module)
of = getattr(of, outer) if outer else of
real, remove = getattr(of, name), shutil.rmtree

def held(*given, **named):
    setattr(of, name, real)
    os.write(3, b"here")
    until = time.monotonic() + float(seconds)
    while time.monotonic() < until and not os.path.exists("go on"):
        time.sleep(0.01)
    return real(*given, **named)

def slowly(*given, **named):
    time.sleep(1)
    remove(*given, **named)

if dawdles == "dawdles":
    from handgrad.commands import signals
    shutil.rmtree, signals.ONCE = slowly, 20 * signals.ONCE  # on a machine that has much to do
setattr(of, name, held)
signal.signal(signal.SIGINT, signal.default_int_handler)
from handgrad.commands import main
main(sys.argv[5:])
"""
"""A command that waits where it calls a function, until it may go on, and says so through descriptor 3."""


def held(function, *words, seconds=60, dawdles="", ignored=(), **options):
    """The process, once it is there."""
    reading, writing = os.pipe()

    def prepare():
        os.dup2(writing, 3)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)

    script = [sys.executable, "-W", "error", "-c", HELD, *function, str(seconds), dawdles, *map(str, words)]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
    process = subprocess.Popen(script, preexec_fn=prepare, pass_fds=(3, writing), **options)
    os.close(writing)
    with open(reading, "rb") as there:  # noqa: PTH123
        said = there.read(4)
    assert said == b"here", process.communicate()
    return process


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Pictures, their parts, a data set and a run."""
    folder, rng = tmp_path_factory.mktemp("made"), np.random.default_rng(0)
    (folder / "pictures").mkdir()
    for i in range(20):
        for name, low in ("a", 0), ("b", 120):
            pixels = rng.integers(low, low + 130, (10, 12, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "pictures" / f"{name}.{i}.png")
    for k in "12":
        assert run(["prepare", f"{folder}/pictures", f"{folder}/part{k}", "--size", "4", "--share", f"{k}/2"]) == 0
    assert run(["prepare", f"{folder}/pictures", f"{folder}/data", "--size", "4"]) == 0
    assert run(["train", f"{folder}/data", "--run", f"{folder}/run", "--epochs", "5"]) == 0
    return folder


def to_prepare(made):
    return ["prepare", made / "pictures", "new/data", "--size", "4"]


WRITING = "handgrad.data.dataset", "DatasetWriter.finish"
COMMANDS = {
    "prepare": (WRITING, to_prepare),
    "merge": (("handgrad.data.merge", "write_description"), lambda at: ["merge", at / "part1", at / "part2", "data"]),
    "cross-validate": (
        ("handgrad.neuron", "Neuron.fit"),
        lambda at: ["cross-validate", at / "data", "--l2", "0,1", "--folds", "2", "--plot", "folds.svg"],
    ),
    "explain": (
        ("handgrad.explanation", "Explanation.mistakes_csv"),
        lambda at: ["explain", at / "run", at / "data", "--html", "page.html", "--images", "images"],
    ),
    "bench": (
        ("handgrad.benchmarks.bench", "_rounds"),
        lambda _: ["bench", "--backends", "numpy", "--examples", "9", "--features", "9", "--rounds", "5"],
    ),
    "demo": (("handgrad.comparison", "compare"), lambda _: ["demo"]),
    "train": (("handgrad.training", "to_learn_from"), lambda at: ["train", at / "data", "--run", "run", "--mirror"]),
}


@pytest.mark.parametrize(
    ("command", "number"),
    [
        ("prepare", signal.SIGTERM), ("prepare", signal.SIGHUP), ("merge", signal.SIGHUP),
        ("cross-validate", signal.SIGTERM), ("explain", signal.SIGHUP), ("bench", signal.SIGTERM),
        ("demo", signal.SIGTERM),
    ],
)  # fmt: skip  # one handler for all commands: each is told to end once, by the one signal or by the other
def test_a_command_that_is_told_to_end_says_so_and_leaves_nothing(command, number, made, tmp_path):
    for package in {"demo": ["sklearn"], "explain": ["matplotlib"], "cross-validate": ["matplotlib"]}.get(command, []):
        pytest.importorskip(package)
    function, words = COMMANDS[command]
    process = held(function, *words(made), cwd=tmp_path, env=os.environ | {"TMPDIR": str(tmp_path)})
    assert command == "cross-validate" or list(tmp_path.iterdir())  # it has begun something
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert err == f"error: ended by {number.name}; nothing is left half made\n"
    assert list(tmp_path.iterdir()) == []


def test_a_request_that_comes_twice_is_one(made, tmp_path):
    """As from timeout(1), which tells the process and then its group."""
    process = held(WRITING, *to_prepare(made), cwd=tmp_path, dawdles="dawdles")
    for _ in range(5):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.02)
    process.send_signal(signal.SIGHUP)
    _, err = process.communicate(timeout=60)
    assert process.returncode in (143, 129)  # whichever was first to be seen
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_what_nohup_ignores_stays_ignored(made, tmp_path):
    process = held(WRITING, *to_prepare(made), cwd=tmp_path, seconds=0.5, ignored=[signal.SIGHUP])
    process.send_signal(signal.SIGHUP)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert Dataset.open(tmp_path / "new" / "data").train.Y.size == 32


def test_a_training_whose_terminal_is_gone_keeps_its_state(made, tmp_path):
    words = ["train", made / "data", "--run", "run", "--epochs", "5000000", "--no-span", "--checkpoint-every", "0"]
    keeping = "handgrad.training", "save_checkpoint"
    process = held(keeping, *words, cwd=tmp_path, seconds=0.3)
    process.send_signal(signal.SIGHUP)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.endswith("go on with: handgrad train --resume run\n")
    assert len(load_checkpoint(tmp_path / "run").state.history) >= 1


def test_a_terminal_that_is_closed_ends_a_command_in_order(made, tmp_path):
    """The progress bar and the last word can't be written there any more."""
    terminal, far = os.openpty()
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), far)
    process = held(WRITING, *to_prepare(made), cwd=tmp_path, start_new_session=True, **streams)
    os.close(far)
    os.close(terminal)
    process.send_signal(signal.SIGHUP)
    assert process.wait(60) == 129
    assert list(tmp_path.iterdir()) == []


def test_the_exit_code_tells_where_nobody_hears(made, tmp_path):
    process = held(WRITING, *to_prepare(made), cwd=tmp_path, stdout=subprocess.DEVNULL)
    process.stderr.close()  # as tee's end, which was told to end too
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    assert list(tmp_path.iterdir()) == []


def test_signals_are_those_of_the_program_again_after_a_command(made, tmp_path, monkeypatch):
    came = []
    mine = signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
    try:
        handler = signal.getsignal(signal.SIGTERM)
        assert run(["prepare", str(made / "pictures"), str(tmp_path / "data"), "--size", "4"]) == 0
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, mine)
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:  # where no signal can be handled
        words = ["train", str(made / "data"), "--run", str(tmp_path / "run"), "--epochs", "2"]
        assert pool.submit(run, words).result() == 0


def killed(made, folder):
    process = held(WRITING, *to_prepare(made), cwd=folder)
    process.kill()
    process.communicate()
    (left,) = folder.glob("new/.data.*")
    return left


def again(made, folder, *words):
    words = [sys.executable, "-m", "handgrad", *map(str, words or to_prepare(made))]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)


def test_what_a_killed_command_left_is_removed_at_the_next_start(made, tmp_path):
    left = killed(made, tmp_path)
    assert (left / "train" / "pixels.npy").exists()
    done = again(made, tmp_path)
    assert done.stderr == f"warning: {left}: was left half made by a process that was killed; it is removed\n"
    assert done.returncode == 0
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["data"]
    assert sorted(path.name for path in (tmp_path / "new" / "data").iterdir()) == [
        "dataset.json", "manifest.jsonl", "train", "valid"
    ]  # fmt: skip


def users_file(left):
    (left / "train" / "notes.txt").write_text("mine")


def users_folder(left):
    (left / ".lock").unlink()


def users_link(left):
    (left / "dataset.json").symlink_to(left.parent)


def elsewhere(left):
    (left / ".lock").write_text("another machine")


def without_locks(left):
    (left / ".lock").write_text("")


def odd_lock(left):
    (left / ".lock").write_bytes(b"\xff\xfe\x00")


def pipe(left):
    (left / ".lock").unlink()
    os.mkfifo(left / ".lock")


@pytest.mark.parametrize(
    "change", [users_file, users_folder, users_link, elsewhere, without_locks, odd_lock, pipe], ids=lambda c: c.__name__
)
def test_what_is_not_surely_left_by_a_killed_command_is_named_and_kept(change, made, tmp_path):
    left = killed(made, tmp_path)
    change(left)
    before = sorted(left.rglob("*"))
    done = again(made, tmp_path)
    assert done.returncode == 0
    assert done.stderr.startswith(f"warning: {left}: may be left of a process that was killed")
    assert sorted(left.rglob("*")) == before


def test_what_has_another_name_or_is_no_folder_is_not_looked_at(made, tmp_path):
    left = killed(made, tmp_path)
    for name in ".data.123456789", ".data.1234567g", ".data2.12345678", "data.12345678", ".other.12345678":
        shutil.copytree(left, left.with_name(name))
    left.with_name(".data.12345678").write_text("mine")
    left.with_name(".data.abcdef01").symlink_to(left.parent)
    before = sorted(set(left.parent.iterdir()) - {left})
    done = again(made, tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (0, 1)
    assert set(before) <= set(left.parent.iterdir())


@pytest.mark.parametrize(
    ("command", "second"),
    [
        ("prepare", to_prepare),
        ("prepare", lambda at: ["merge", at / "part1", at / "part2", "new/data"]),
        ("explain", lambda at: ["prepare", at / "pictures", "images", "--size", "4"]),
    ],
)
def test_who_comes_second_says_that_another_was_first_and_leaves_it_as_it_is(command, second, made, tmp_path):
    function, words = COMMANDS[command]
    slow = held(function, *words(made), cwd=tmp_path)
    target = words(made)[2] if command == "prepare" else "images"
    first = again(made, tmp_path, *second(made))
    assert (first.returncode, first.stderr) == (0, "")  # what the other is at work in is neither named nor touched
    (tmp_path / "go on").touch()
    _, err = slow.communicate(timeout=60)
    said = "was made by another process meanwhile, and is left as that made it; use it, or name another"
    assert (slow.returncode, err) == (2, f"error: {target}: {said}\n")
    assert Dataset.open(tmp_path / target).train.Y.size == 32
    assert [path.name for path in (tmp_path / target).parent.iterdir() if path.name.startswith(".")] == []


def test_folders_on_the_way_are_removed_with_what_was_not_made_in_them(tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(UsageError, match="cannot be written"), store.new_folder(tmp_path / "there" / "a" / "b" / "c"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.rglob("*")) == [tmp_path / "there"]
    with store.new_folder(tmp_path / "there" / "a" / "b" / "c"):
        (tmp_path / "there" / "a" / "mine").touch()
    assert sorted(path.name for path in (tmp_path / "there" / "a").iterdir()) == ["b", "mine"]


def test_where_there_are_no_locks_a_folder_is_made_and_nothing_is_removed(tmp_path, monkeypatch):
    def none(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with store.new_folder(tmp_path / "data") as temporary:
        assert (temporary / ".lock").read_text() == ""
        (line,) = store.clear_left(tmp_path / "data", ".*")
        assert "may be left" in line
    monkeypatch.setattr(store, "fcntl", None)
    with store.new_folder(tmp_path / "more") as temporary:
        assert list(temporary.iterdir()) == []
        assert len(list(store.clear_left(tmp_path / "more", ".*"))) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "more"]
