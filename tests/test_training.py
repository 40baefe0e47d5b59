"""A training that is killed, interrupted, or that meets a disk that fails, loses nothing and ends up the same."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from unittest import mock

import crash
import numpy as np
import pytest

from handgrad import DataError, Parameters, UsageError, backends, descent, memory, store
from handgrad.checkpoint import environment, load_checkpoint, save_checkpoint
from handgrad.commands import run as command
from handgrad.descent import State
from handgrad.run import load_model
from handgrad.sealed import sealed, unsealed
from handgrad.settings import Settings
from handgrad.store import locked
from handgrad.training import Care, resume, train


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    return crash.pictures(tmp_path_factory.mktemp("pictures"))


def stopped(data, run, after=2, **options):
    """A run that was stopped when it had taken so many looks at its state."""
    settings = Settings(str(data), **dict(epochs=300, learning_rate=0.05) | options)
    outcome = a_while(run, settings, after)
    assert outcome.result is None
    assert outcome.epochs == after + 1
    return settings


def a_while(run, settings, after):
    """Train for some epochs, a look at the state after each; begin, or go on."""
    looks = iter(range(after))
    care = Care(stop=lambda: next(looks, None) is None)
    with mock.patch.object(descent, "BLOCK_SECONDS", 0.0):
        return resume(run, care=care) if run.exists() else train(run, settings, care)


def same(run, other):
    found = [(run / "model.safetensors"), (other / "model.safetensors")]
    for V, W in zip(*(load_model(path.parent).parameters for path in found), strict=True):
        np.testing.assert_array_equal(V, W)
    assert crash.outcome(run) == crash.outcome(other)


@pytest.mark.parametrize("span", [True, False])
def test_a_run_that_was_stopped_ends_with_the_bits_of_one_that_was_not(backend, dtype, span, data, tmp_path):
    name = backend.__module__.rpartition(".")[2]
    options = dict(backend=name, dtype=dtype, span=span, initial="random", l2=0.01, validation_every=3)
    settings = stopped(data, tmp_path / "run", **options)
    for _ in range(2):
        assert a_while(tmp_path / "run", settings, 5).settings == settings
    assert resume(tmp_path / "run").epochs == settings.epochs
    train(tmp_path / "whole", settings)
    same(tmp_path / "run", tmp_path / "whole")


@pytest.mark.parametrize(
    "options",
    [
        dict(optimizer="sgd", batch=5, schedule="cosine", mirror=True, seed=3),
        dict(optimizer="lbfgs", l2=0.01, standardize=True, mirror=True),
        dict(optimizer="lbfgs", l2=0.001, patience=40),
        dict(learning_rate=None, standardize=True, patience=200),
        dict(optimizer="sgd", block=7),
    ],
)
def test_every_optimizer_and_view_goes_on_to_the_same_bits(backend, options, data, tmp_path):
    name = backend.__module__.rpartition(".")[2]
    settings = stopped(data, tmp_path / "run", backend=name, **dict(epochs=40) | options)
    a_while(tmp_path / "run", settings, 4)
    outcome = resume(tmp_path / "run")
    whole = train(tmp_path / "whole", settings)
    assert (outcome.epochs, outcome.result["best_epoch"]) == (whole.epochs, whole.result["best_epoch"])
    assert outcome.settings.learning_rate == whole.settings.learning_rate is not None
    same(tmp_path / "run", tmp_path / "whole")


def test_a_run_in_blocks_of_a_file_goes_on_to_the_same_bits(backend, data, tmp_path):
    name = backend.__module__.rpartition(".")[2]
    settings = stopped(data, tmp_path / "run", backend=name, block=7, epochs=60, after=1)
    resume(tmp_path / "run")
    train(tmp_path / "whole", settings)
    same(tmp_path / "run", tmp_path / "whole")


def test_killed_at_random_moments_it_loses_nothing(data, tmp_path):
    assert crash.at_random_moments("numpy", data, tmp_path, kills=6, epochs=30_000, seed=0, longest=0.5) >= 3


def test_killed_at_every_step_of_the_writer_it_loses_nothing(data, tmp_path):
    assert crash.at_every_step("numpy", data, tmp_path, epochs=1) >= 36


INTERRUPTED = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "from handgrad.commands import main; main()"
)
"""Python leaves the signal ignored where the tests run in the background of a shell."""


def begin(data, run, *words, program=INTERRUPTED):
    arguments = ["train", str(data), "--run", str(run), "--epochs", "100000000", *words]
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", program, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not (run / "checkpoint.safetensors").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_keeps_the_state_and_says_how_to_go_on(number, data, tmp_path):
    run = tmp_path / "run"
    process = begin(data, run)
    time.sleep(0.5)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    checkpoint = load_checkpoint(run)
    epochs = len(checkpoint.state.history)
    assert epochs > 1  # not only what was kept at the start
    assert err.strip() == f"stopped after {epochs} epochs; go on with: handgrad train --resume {run}"
    with pytest.raises(DataError, match="is not finished; go on with: handgrad train --resume"):
        load_model(run)


SLOW = """
import time
from handgrad.backends import numpy

real = numpy.Neuron.sums
calls = []


def sums(*given):
    calls.append(1)
    if len(calls) == 2:
        print("slow", flush=True)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            pass
    return real(*given)


numpy.Neuron.sums = sums
"""


def test_interrupted_twice_it_leaves_at_once_with_what_was_kept_before(data, tmp_path):
    process = begin(data, tmp_path / "run", "--no-span", program=SLOW + INTERRUPTED)
    assert process.stdout.readline() == "slow\n"
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None  # the epoch is not over
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert process.returncode == -signal.SIGINT
    assert len(load_checkpoint(tmp_path / "run").state.history) == 1


def test_two_trainings_do_not_share_a_run(data, tmp_path, capsys):
    process = begin(data, tmp_path / "run")
    try:
        for words in ["train", "--resume", str(tmp_path / "run")], ["train", str(data), "--run", str(tmp_path / "run")]:
            assert command(words) == 2
        assert "another training is at work in it" in capsys.readouterr().err
    finally:
        process.kill()
        process.communicate()
    assert command(["train", str(data), "--run", str(tmp_path / "run")]) == 2
    assert "to go on with it: handgrad train --resume" in capsys.readouterr().err
    with locked(tmp_path / "run"):  # a dead process holds nothing
        pass


def test_a_run_goes_on_only_as_it_was_begun(data, tmp_path, capsys):
    run = tmp_path / "run"
    stopped(data, run)

    def says(*words):
        capsys.readouterr()
        code = command([str(word) for word in words])
        return code, capsys.readouterr().err

    assert says("train", "--resume", run, "--epochs", 7) == (
        2, "error: --epochs: found it beside --resume; a run goes on as it was begun; leave it out\n"
    )  # fmt: skip
    assert says("train", "--resume", run, "--run", run)[0] == 2
    assert says("train", data) == (
        2, "error: expected DATA and --run RUN to begin a training, or --resume RUN to go on with one\n"
    )  # fmt: skip
    assert says("train", "--resume", tmp_path / "none")[1].startswith(f"error: {tmp_path}/none: holds no checkpoint")
    (tmp_path / "others").mkdir()
    other = crash.pictures(tmp_path / "others")
    labels = np.load(other / "train" / "labels.npy")
    about = json.loads((other / "dataset.json").read_text())
    (other / "dataset.json").write_text(json.dumps(about | {"hash": "another"}))
    assert len(labels) == 32
    code, err = says("train", "--resume", run, other)
    assert (code, err.count("\n")) == (3, 1)
    assert "is not the data set that" in err
    moved = shutil.copytree(data, tmp_path / "moved")
    code, err = says("train", "--resume", run, moved)
    assert (code, err) == (0, "")
    assert command(["train", "--resume", str(run), "--json"]) == 0  # which is finished
    assert json.loads(capsys.readouterr().out) == json.loads((run / "run.json").read_text())


def test_a_run_goes_on_from_any_folder(data, tmp_path, monkeypatch):
    monkeypatch.chdir(data.parent)
    stopped(data.name, tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    assert resume(tmp_path / "run").result["epochs"] == 300


def test_where_x_lies_is_not_decided_anew(backend, dtype, data, tmp_path, monkeypatch):
    name = backend.__module__.rpartition(".")[2]
    settings = stopped(data, tmp_path / "run", backend=name, dtype=dtype, epochs=100)
    train(tmp_path / "whole", settings)
    monkeypatch.setattr(memory, "total", lambda: 1000.0)  # as in a smaller container
    monkeypatch.setattr("handgrad.placing.VALUES", 100)
    resume(tmp_path / "run")
    same(tmp_path / "run", tmp_path / "whole")


def test_a_run_that_diverges_right_after_it_was_gone_on_with_is_as_one_that_was_not_stopped(data, tmp_path):
    options = dict(loss="squared_error", activation="identity", learning_rate=1e5, initial="random")
    with mock.patch.object(descent, "BLOCK_SECONDS", 0.0):
        whole = train(tmp_path / "whole", Settings(str(data), **options))
    last = whole.diverged.epoch - 1
    for after in range(max(0, last - 3), last + 1):
        run = tmp_path / f"run{after}"
        a_while(run, Settings(str(data), **options), after)
        if (run / "run.json").exists():
            continue
        outcome = resume(run)
        assert (outcome.diverged.epoch, outcome.epochs) == (whole.diverged.epoch, whole.epochs)
        same(run, tmp_path / "whole")
    assert command(["train", "--resume", str(tmp_path / "whole")]) == 4


def test_what_is_not_as_it_was_is_named(data, tmp_path, capsys, monkeypatch):
    stopped(data, tmp_path / "run")
    was = os.environ.get("OMP_NUM_THREADS")
    monkeypatch.setenv("OMP_NUM_THREADS", "77")
    assert command(["train", "--resume", str(tmp_path / "run")]) == 0
    err = capsys.readouterr().err
    assert f"OMP_NUM_THREADS was {was or 'not set'}" in err
    assert "and is 77; the last bits may differ" in err


@pytest.mark.parametrize("where", ["open", "write", "sync", "rename", "folder"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_disk_that_fails_leaves_the_old_state_and_is_named(where, code, data, tmp_path, monkeypatch):
    run = tmp_path / "run"
    settings = stopped(data, run)
    checkpoint, before = load_checkpoint(run), (run / "checkpoint.safetensors").read_bytes()

    def fail(*_):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        if where == "open":
            patched.setattr("pathlib.Path.open", fail)
        elif where == "write":
            patched.setattr("pathlib.Path.open", lambda *_: _Broken(code))
        elif where == "sync":
            patched.setattr("os.fsync", fail)
        elif where == "rename":
            patched.setattr("pathlib.Path.replace", fail)
        else:
            patched.setattr(store, "_sync", fail)
        with pytest.raises(UsageError) as caught:
            save_checkpoint(run, checkpoint)
    said = str(caught.value)
    assert said.startswith(f"{run / 'checkpoint.safetensors'}: cannot be written: {os.strerror(code)}")
    if where == "folder":  # the name was given to the new file already
        assert "it is there, whole, but may not outlast a loss of power" in said
        np.testing.assert_array_equal(load_checkpoint(run).state.here.parameters.W, checkpoint.state.here.parameters.W)
    else:
        assert "what was there before is kept" in said
        assert (run / "checkpoint.safetensors").read_bytes() == before
    assert not (run / ".checkpoint.safetensors.new").exists()
    resume(run)
    train(tmp_path / "whole", settings)
    same(run, tmp_path / "whole")


class _Broken:
    """A file on a disk that takes nothing more."""

    def __init__(self, code):
        self.code = code

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def write(self, _):
        raise OSError(self.code, os.strerror(self.code))


def test_a_disk_that_fails_in_the_midst_ends_in_one_line_and_can_be_gone_on_from(data, tmp_path, monkeypatch, capsys):
    run, times = tmp_path / "run", []
    real = os.fsync

    def fsync(descriptor):
        times.append(1)
        if len(times) > 6:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    words = ["--epochs", "20000", "--checkpoint-every", "0"]
    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", fsync)
        assert command(["train", str(data), "--run", str(run), *words]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "No space left on device" in err
    assert command(["train", "--resume", str(run)]) == 0


def test_nothing_is_left_of_a_training_that_could_not_begin(data, tmp_path, capsys):
    for words in ["--learning-rate", "-1"], ["--l2", "-1"], ["--device", "cuda:99"]:
        assert command(["train", str(data), "--run", str(tmp_path / "run"), *words]) == 2
        assert not (tmp_path / "run").exists()
    (tmp_path / "mine").mkdir()
    assert command(["train", str(data), "--run", str(tmp_path / "mine"), "--l2", "-1"]) == 2
    assert command(["train", str(data), "--run", str(tmp_path / "mine"), "--learning-rate", "-1"]) == 2
    assert list((tmp_path / "mine").iterdir()) == []


def test_an_altered_checkpoint_is_refused(data, tmp_path):
    run = tmp_path / "run"
    stopped(data, run)
    path = run / "checkpoint.safetensors"
    whole = path.read_bytes()
    for i in range(0, len(whole), max(1, len(whole) // 97)):
        path.write_bytes(whole[:i])
        with pytest.raises(DataError, match=r"checkpoint\.safetensors"):
            load_checkpoint(run)
        altered = bytearray(whole)
        altered[i] ^= 1
        path.write_bytes(altered)
        with pytest.raises(DataError, match=r"checkpoint\.safetensors"):
            load_checkpoint(run)
    path.write_bytes(whole)
    assert load_checkpoint(run) is not None


def test_fit_goes_on_from_a_state_and_stops_when_told(backend, dtype, rng):
    X, Y = rng.integers(0, 256, (30, 20), np.uint8), rng.integers(0, 2, (1, 20))
    neuron = backend(input_scale=1 / 255, dtype=dtype, l2=0.1)
    options = dict(epochs=40, learning_rate=0.1, initial=Parameters.random(30, 1), validation=(X, Y))
    whole, history = neuron.fit(X, Y, **options)
    states = []

    def watch(state):
        states.append(state())
        return len(states) == 1

    _, first = neuron.fit(X, Y, watch=watch, **options)
    assert len(first) == 1
    assert isinstance(states[0], State)
    Q, rest = neuron.fit(X, Y, resume=states[0], **options)
    np.testing.assert_array_equal(Q.W, whole.W)
    np.testing.assert_array_equal(Q.b, whole.b)
    np.testing.assert_array_equal(rest.train_cost, history.train_cost)
    np.testing.assert_array_equal(rest.validation_cost, history.validation_cost)
    assert rest.seconds[0] == first.seconds[0]


@pytest.mark.filterwarnings("ignore::handgrad.RisingCostWarning")
def test_a_state_of_another_training_is_refused(rng):
    X, Y = rng.integers(0, 256, (30, 20), np.uint8), rng.integers(0, 2, (1, 20))
    neuron, states = backends.load("numpy")(), []
    neuron.fit(X, Y, epochs=3, learning_rate=0.1, watch=lambda state: states.append(state()) or False)
    with pytest.raises(UsageError, match=r"resume has W of shape \(1, 30\); expected \(1, 29\)"):
        neuron.fit(X[:29], Y, epochs=3, learning_rate=0.1, resume=states[0])


def test_a_state_of_all_epochs_is_the_end(rng):
    X, Y = rng.integers(0, 256, (30, 20), np.uint8), rng.integers(0, 2, (1, 20))
    neuron = backends.load("numpy")(input_scale=1 / 255)
    states = []
    P, _ = neuron.fit(X, Y, epochs=9, learning_rate=0.1, watch=lambda state: states.append(state()) or False)
    Q, history = neuron.fit(X, Y, epochs=9, learning_rate=0.1, resume=states[-1])
    np.testing.assert_array_equal(P.W, Q.W)
    assert len(history) == 9


def test_a_lock_is_held_only_by_one_who_has_the_file_that_is_there(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=r"none: cannot be written: No such file"), locked(tmp_path / "none"):
        pass
    with locked(tmp_path):
        (tmp_path / ".lock").unlink()
        (tmp_path / ".lock").touch()
        with locked(tmp_path):  # the file that the first one holds has no name any more
            pass
    real = store.fcntl.flock

    def flock(file, how):
        real(file, how)
        (tmp_path / ".lock").unlink()  # its holder was done just before
        if how is not None:
            (tmp_path / "other").touch()
            (tmp_path / "other").rename(tmp_path / ".lock")

    with monkeypatch.context() as patched:
        patched.setattr(store.fcntl, "flock", flock)
        with pytest.raises(UsageError, match="another training is at work"), locked(tmp_path):
            pass
    (tmp_path / ".lock").unlink()

    def unknown(*_):
        raise OSError(errno.ENOLCK, "no locks")

    with monkeypatch.context() as patched:
        patched.setattr(store.fcntl, "flock", unknown)
        with locked(tmp_path):  # a file system without locks
            pass
        patched.setattr(store, "fcntl", None)
        with locked(tmp_path):  # a system without them
            pass
    assert not (tmp_path / ".lock").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tensors, _: tensors.pop("here.W"), "is no checkpoint of handgrad"),
        (
            lambda tensors, _: tensors.update({"history.train_cost": np.zeros(7)}),
            "columns of the history differ in length",
        ),
        (lambda _, about: about.update(settings=[1]), "settings and environment are no tables"),
        (lambda _, about: about.update(more=1), "is no checkpoint of handgrad"),
        (lambda _, about: about["settings"].update(more=1), "is no checkpoint of handgrad"),
    ],
)
def test_a_checkpoint_that_contradicts_itself_is_refused(change, said, data, tmp_path):
    run = tmp_path / "run"
    stopped(data, run)
    path = run / "checkpoint.safetensors"
    tensors, about = unsealed(path, 1)
    change(tensors, about)
    path.write_bytes(sealed(tensors, 1, about))
    with pytest.raises(DataError, match=said):
        resume(run)


def test_a_run_that_cannot_be_read_or_made_is_named(data, tmp_path):
    train(tmp_path / "run", Settings(str(data), epochs=3))
    (tmp_path / "run" / "run.json").write_text("{")
    with pytest.raises(DataError, match=r"run\.json: cannot be read"):
        resume(tmp_path / "run")
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        train(tmp_path / "file" / "run", Settings(str(data)))


def test_the_processor_has_a_name_or_none(monkeypatch):
    assert environment("numpy")["processor"]
    monkeypatch.setattr("pathlib.Path.read_text", lambda *_, **__: "nothing")
    monkeypatch.setattr("platform.processor", lambda: "of this machine")
    assert environment("numpy")["processor"] == "of this machine"
