"""Several processes train as one: same numbers, same files, and one message when one of them fails."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import sharing
from pretended import Pretended, together

from handgrad import DataError, UsageError, backends
from handgrad.commands import run as command
from handgrad.material import opened
from handgrad.processes import ALONE
from handgrad.rounding import descent_bounds
from handgrad.run import load_model
from handgrad.settings import Settings
from handgrad.views import mirrored, shared

pytest.importorskip("torch", reason="torchrun is PyTorch's")

SHARED = 3, 41
"""Processes, and examples that they cannot share evenly; of two processes there is but one order to add in."""

TIMEOUT = 300
"""Seconds after which something hangs."""

PATIENCE = 15
"""Seconds in which all have to end when one dies."""


def torchrun(processes, *arguments, script=("-m", "--", "handgrad"), restarts=0, **environment):
    """Started; whatever is still there at the end of the test, or of its time, is killed."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    process = subprocess.Popen(
        [*command, f"--max-restarts={restarts}", *script, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
    )
    limit = threading.Timer(TIMEOUT, kill, [process])
    limit.daemon = True
    limit.start()
    STARTED.append((process, limit))
    return process


STARTED = []
ODD = ("--", str(Path(__file__).with_name("odd.py")))


def kill(process):
    with suppress(OSError):
        for child in children(process).values():
            os.kill(child, signal.SIGKILL)
    process.kill()


@pytest.fixture(autouse=True)
def nothing_is_left():
    yield
    for process, limit in STARTED:
        limit.cancel()
        if process.poll() is None:
            kill(process)
    STARTED.clear()


def ended(process):
    """The exit code and what was printed."""
    out, err = process.communicate()
    return process.returncode, out, err


def said(err):
    """What handgrad said, of all that torchrun did."""
    return [line for line in err.splitlines() if re.match(r"error|warning|stopped|Error|Usage", line)]


@pytest.fixture(scope="module")
def shares(tmp_path_factory):
    """What each process got, by rank, in two starts; and the examples shared."""
    processes, m = SHARED
    folders = [tmp_path_factory.mktemp("shares") for _ in range(2)]
    script = ("--", str(Path(sharing.__file__)))
    for process in [torchrun(processes, folder, m, script=script) for folder in folders]:
        code, _, err = ended(process)
        assert code == 0, err
    starts = [[dict(np.load(folder / f"{rank}.npz")) for rank in range(processes)] for folder in folders]
    return starts, m


def test_every_process_has_the_same_bits_and_so_has_every_start(shares):
    (first, *others), *again = shares[0]
    assert len(first) == 3 * (len(sharing.DESCENTS) + len(sharing.OTHERS)) + 3
    for other in (*others, *(other for start in again for other in start)):
        assert first.keys() == other.keys()
        for name, V in first.items():
            np.testing.assert_array_equal(V, other[name], name)


@pytest.mark.parametrize("name", sharing.DESCENTS)
def test_a_descent_ends_where_that_of_one_process_does_but_for_rounding(shares, name):
    (starts, m), neuron = shares, sharing.neuron_of(*sharing.DESCENTS[name])
    found = starts[0][0]
    X, Y = sharing.examples(m)
    parameters, history = sharing.reference(neuron, m, validate=False)

    def path(X, Y):
        places = [sharing.Parameters.random(18, seed=1)]
        for _ in range(sharing.EPOCHS):
            places.append(neuron.get_parameters(neuron.step(places[-1], X, Y, sharing.RATE)))
        return places

    bound = descent_bounds(neuron, path(X, Y), X, Y, sharing.RATE)
    assert np.all(abs(found[f"{name}: W"] - parameters.W.astype(float)) <= bound.W)
    assert abs(found[f"{name}: b"] - float(parameters.b)) <= bound.b
    assert found[f"{name}: W"].dtype == neuron.dtype
    without_one = path(X[:, 1:], Y[:, 1:])[-1]
    assert np.any(abs(without_one.W - parameters.W.astype(float)) > bound.W), "the bound is of no use"
    np.testing.assert_allclose(found[f"{name}: history"][0], history.train_cost, rtol=100 * np.finfo(neuron.dtype).eps)


@pytest.mark.filterwarnings("ignore::handgrad.RisingCostWarning")  # what stops early does so because of it
@pytest.mark.parametrize("name", sharing.OTHERS)
def test_views_blocks_optimizers_and_stopping_are_those_of_one_process(shares, name):
    starts, m = shares
    parameters, history = sharing.reference(sharing.neuron_of("numpy"), m, **sharing.OTHERS[name])
    assert (len(history) < sharing.EPOCHS) == (name in ("early stopping", "lbfgs"))
    expected = sharing.kept(name, parameters, history)
    for key, V in expected.items():
        np.testing.assert_allclose(starts[0][0][key], V, rtol=1e-6, atol=1e-9, err_msg=key)


def test_cost_and_gradients_of_a_share_are_those_of_all_examples(shares):
    starts, m = shares
    neuron, start = sharing.neuron_of("numpy"), sharing.Parameters.random(18, seed=1)
    X, Y = sharing.examples(m)
    dW, db = neuron.gradients(start, X, Y)
    found = starts[0][-1]
    np.testing.assert_allclose(found["cost"], neuron.cost(start, X, Y), rtol=1e-14)
    np.testing.assert_allclose(found["dW"], dW, rtol=1e-11)
    np.testing.assert_allclose(found["db"], db, rtol=1e-11)


def test_shares_cover_all_examples_once_and_are_alike():
    for count in range(1, 9):
        for m in range(30):
            shares = [Pretended(rank, count).share(m) for rank in range(count)]
            assert [share.start for share in shares] == [0, *(share.stop for share in shares[:-1])]
            assert shares[-1].stop == m
            sizes = [share.stop - share.start for share in shares]
            assert max(sizes) - min(sizes) <= 1


def test_a_batch_of_a_share_is_what_of_the_batch_is_here():
    X, Y = sharing.examples(10)
    neuron, numbers = backends.load("numpy")(), np.array([9, 5, 0, 3])

    def placed(processes, seen=lambda X: X):
        X_here, Y_here = (V[:, processes.share(10)] for V in (X, Y))
        seen = seen(shared(X_here, processes))
        return neuron.place(seen, np.tile(Y_here, len(seen.views)))

    for rank, here in enumerate([[0], [5, 3], [9]]):
        examples = together(3, placed)[rank]
        batch = examples.batch(numbers)
        ((x, (y,), _),) = batch.parts
        np.testing.assert_array_equal(x, X[:, here])
        np.testing.assert_array_equal(y, Y[:, here])
        assert (examples.m, examples.total, batch.m, batch.total) == (10, 10, 4, 4)
        assert len(examples.batch(np.array([4])).parts) == (rank == 1)
    both = together(3, lambda processes: placed(processes, lambda X: mirrored(X, sharing.SIZE)))[1]
    assert (both.shape, both.m, both.total) == ((18, 3), 10, 20)


def test_each_process_predicts_its_share_and_the_accuracy_is_that_of_all():
    X, Y = sharing.examples(11)
    neuron, P = backends.load("numpy")(input_scale=1 / 255), sharing.Parameters.random(18, seed=1)

    def predicted(processes):
        mine = processes.share(11)
        here = shared(X[:, mine], processes)
        return neuron.predict(P, here), neuron.accuracy(P, here, Y[:, mine])

    classes, accuracies = zip(*together(3, predicted), strict=True)
    np.testing.assert_array_equal(np.concatenate(classes, axis=1), neuron.predict(P, X))
    assert set(accuracies) == {neuron.accuracy(P, X, Y)}


def test_a_share_that_cannot_be_added_is_refused():
    X, Y = sharing.examples(4)
    with pytest.raises(DataError, match="4 examples for 3 processes"):
        together(3, lambda processes: shared(X[:, : 0 if processes.rank else 4], processes))
    with pytest.raises(DataError, match="18, 17 features"):
        together(2, lambda processes: shared(X[processes.rank :], processes))
    with pytest.raises(UsageError, match="a share; the span takes X whole"):
        together(
            2,
            lambda processes: backends.load("numpy")().fit(
                shared(X, processes), Y, epochs=1, learning_rate=0.1, span=True
            ),
        )


def test_a_process_that_is_alone_has_all():
    X, Y = sharing.examples(4)
    neuron = backends.load("numpy")()
    found, expected = (neuron.fit(of, Y, epochs=3, learning_rate=1e-3)[0] for of in (shared(X, ALONE), X))
    np.testing.assert_array_equal(found.W, expected.W)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Enough to train on for a while: 101 photographs of noise, 41 of them to validate on."""
    folder = tmp_path_factory.mktemp("processes")
    rng = np.random.default_rng(0)
    for split, m in ("train", 60), ("valid", 41):
        (folder / "arrays").mkdir(exist_ok=True)
        X = rng.integers(0, 256, (m, 8, 8, 3), np.uint8)
        np.savez(folder / "arrays" / f"{split}.npz", X=X, Y=(X[:, 0, 0, 0] > 127).astype(np.uint8))
    assert command(["prepare", str(folder / "arrays"), str(folder / "data")]) == 0
    return folder / "data"


def history_of(run):
    with (run / "history.csv").open(newline="") as file:
        return [row[:3] for row in csv.reader(file)]


def rank_of(process):
    """The rank of a process, from its environment; None for torchrun."""
    environment = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
    return next((int(entry[5:]) for entry in environment if entry.startswith(b"RANK=")), None)


def children(process):
    """Ranks and numbers of the processes that a torchrun has started."""
    numbers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return {rank: int(number) for number in numbers if (rank := rank_of(number)) is not None}


def wait_for(path, process):
    begun = time.monotonic()
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() - begun < TIMEOUT
        time.sleep(0.05)


EPOCHS = 300
"""Of a training that is killed or stopped within the first of them, while `odd` lets it sleep."""

OPTIONS = ["--validation-every", 2, "--l2", 0.01, "--checkpoint-every", 0]


@pytest.mark.parametrize(("backend", "processes"), [("torch", 3), ("jax", 2)])
def test_a_run_is_written_once_and_says_what_that_of_one_process_says(data, tmp_path, backend, processes):
    pytest.importorskip(backend)
    arguments = ["train", data, "--backend", backend, "--epochs", 30, "--mirror", "--standardize", *OPTIONS, "--json"]
    arguments += ["--learning-rate", "auto", "--run"]
    code, out, err = ended(torchrun(processes, *arguments, tmp_path / "several"))
    assert (code, said(err)) == (0, [])
    assert command([str(word) for word in (*arguments, tmp_path / "one")]) == 0
    several, one = json.loads(out), json.loads((tmp_path / "one" / "run.json").read_text())
    assert sorted(path.name for path in (tmp_path / "several").iterdir()) == [
        "history.csv",
        "model.safetensors",
        "run.json",
    ]
    assert several["learning_rate"] == pytest.approx(one["learning_rate"], rel=1e-5)
    for found, expected in zip(several["sets"], one["sets"], strict=True):
        assert (found["set"], found["examples"]) == (expected["set"], expected["examples"])
        assert found["cost"] == pytest.approx(expected["cost"], rel=1e-5)
        assert found["accuracy"] == pytest.approx(expected["accuracy"], abs=1 / 60)
    np.testing.assert_allclose(
        load_model(tmp_path / "several").parameters.W, load_model(tmp_path / "one").parameters.W, rtol=1e-3, atol=1e-6
    )


@pytest.fixture(scope="module")
def training(data):
    """A training, and what came out of it where nobody was killed."""
    kept = {}

    def of(backend):
        arguments = ["train", data, "--epochs", EPOCHS, *OPTIONS, "--no-span", "--backend", backend, "--run"]
        whole = data.parent / f"whole {backend}"
        if backend not in kept:
            code, _, err = ended(torchrun(2, *arguments, whole))
            assert code == 0, err
        return kept.setdefault(backend, (arguments, whole))

    return of


in_proc = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for the processes in /proc")


@in_proc
@pytest.mark.parametrize(
    ("backend", "victim", "restarts"),
    [("numpy", 0, 0), ("jax", 1, 1)],
    ids=["started again by hand", "by torchrun"],
)
def test_when_a_process_is_killed_all_end_with_its_name_and_a_restart_comes_to_the_same_weights(
    training, tmp_path, backend, victim, restarts
):
    pytest.importorskip(backend)
    (arguments, whole), run = training(backend), tmp_path / "run"
    killed = torchrun(2, *arguments, run, restarts=restarts, script=ODD, SLOW="yes")
    wait_for(run / "checkpoint.safetensors", killed)
    os.kill(children(killed)[victim], signal.SIGKILL)
    begun = time.monotonic()
    code, _, err = ended(killed)
    assert len(said(err)) == 1
    assert f"rank {victim} of 2" in said(err)[0]
    assert (code == 0) == (restarts > 0), err
    if not restarts:
        assert time.monotonic() - begun < PATIENCE
        assert [path.name for path in run.iterdir() if path.suffix] == ["checkpoint.safetensors"]
        code, _, err = ended(torchrun(2, *arguments, run))
        assert (code, said(err)) == (0, [])
    assert_same(whole, run)
    if not restarts:
        code, out, err = ended(torchrun(2, *arguments, run))
        assert (code, said(err)) == (0, []), "what is finished is said again"
        assert f"{EPOCHS} epochs" in out


def assert_same(one, other):
    for V, W in zip(load_model(one).parameters, load_model(other).parameters, strict=True):
        np.testing.assert_array_equal(V, W)
    assert history_of(one) == history_of(other)


@in_proc
def test_a_process_that_was_stopped_is_named_and_a_request_to_end_stops_all(data, tmp_path):
    arguments = ["train", data, *OPTIONS, "--no-span", "--run"]
    hanging = torchrun(2, *arguments, tmp_path / "hanging", "--epochs", 10**7)
    wait_for(tmp_path / "hanging" / "checkpoint.safetensors", hanging)
    stopped = children(hanging)[1]
    os.kill(stopped, signal.SIGSTOP)
    begun, told = time.monotonic(), []

    def first_told():
        line = next((line for line in hanging.stderr if line.startswith("error")), "ended without a word")
        told.append((line, time.monotonic()))

    listener = threading.Thread(target=first_told)
    listener.start()

    slowly = {"script": ODD, "SLOW": "yes"}
    interrupted = torchrun(2, *arguments, tmp_path / "interrupted", "--epochs", EPOCHS, **slowly)
    wait_for(tmp_path / "interrupted" / "checkpoint.safetensors", interrupted)
    for process in (interrupted.pid, *children(interrupted).values()):  # as Slurm does, before torchrun does so too
        os.kill(process, signal.SIGTERM)
    code, out, err = ended(interrupted)
    assert (code != 0, out) == (True, "")
    assert len(said(err)) == 1
    assert "go on with: handgrad train --resume" in said(err)[0]
    code, _, err = ended(torchrun(3, "train", "--resume", tmp_path / "interrupted"))
    assert code == 0, err
    assert len(history_of(tmp_path / "interrupted")) == 1 + EPOCHS
    assert said(err) == ["warning: processes was 2, and is 3; the last bits may differ"]

    listener.join()
    ((line, at),) = told
    assert "rank 1 of 2" in line
    assert at - begun < PATIENCE
    os.kill(stopped, signal.SIGKILL)
    assert ended(hanging)[0] != 0


@pytest.mark.parametrize(
    ("arguments", "odd", "code", "message"),
    [
        ([], {"DAMAGED": "1"}, 3, r"error: .*pixels.npy: cannot be read.* \(rank 1 of 2, on .*\)"),
        ([], {"OTHER": "1"}, 3, "error: .*: is another data set for rank 1 than for rank 0; .*"),
        (["--epoch", 1], {}, 2, "Usage: handgrad train"),
    ],
)
def test_a_mistake_is_told_once_and_leaves_nothing(data, tmp_path, arguments, odd, code, message):
    words = ["train", data, "--run", tmp_path / "run", "--backend", "torch", *arguments]
    found, out, err = ended(torchrun(2, *words, script=ODD, **odd))
    assert found != 0
    assert out == ""
    assert f"exitcode  : {code}" in err
    lines = said(err)
    assert len(lines) == 2 if lines[0].startswith("Usage") else len(lines) == 1
    assert re.fullmatch(message + ".*", lines[0])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("cuda", "device is 'cuda', and this machine has 0 GPUs for 2 processes; start one"),
        ("cuda:0", "device is 'cuda:0' for 2 processes; expected 'cuda', of which each has its own"),
    ],
)
def test_a_device_that_each_process_cannot_have_is_named(data, device, message):
    if device == "cuda" and Path("/proc/driver/nvidia").exists():
        pytest.skip("there is a GPU")
    for rank in range(2):
        processes = Pretended(rank, 2)
        processes.rank_here, processes.count_here = rank, 2
        with pytest.raises(UsageError, match=message):
            opened(Settings(str(data), "torch", device=device), processes)


def test_what_one_process_began_in_the_span_is_not_gone_on_with_by_several(data, tmp_path):
    one = [*map(str, ("train", data, "--epochs", 10**6, *OPTIONS, "--span", "--run", tmp_path / "run"))]
    process = subprocess.Popen([sys.executable, "-m", "handgrad", *one], stderr=subprocess.DEVNULL)
    wait_for(tmp_path / "run" / "checkpoint.safetensors", process)
    process.kill()
    process.wait()
    code, _, err = ended(torchrun(2, "train", "--resume", tmp_path / "run"))
    assert code != 0
    assert "was begun in the span of its examples, by one process" in said(err)[-1]


@pytest.mark.parametrize("rank", range(2))
def test_torchrun_is_for_training(data, rank, monkeypatch, capsys):
    """Each of the processes ends; the first says why, and the others wait for that."""
    waited = []
    for name, value in ("TORCHELASTIC_RUN_ID", "none"), ("WORLD_SIZE", "2"), ("RANK", str(rank)):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("time.sleep", lambda seconds: waited.append(seconds))  # in which torchrun ends it
    assert command(["evaluate", "run", str(data)]) == 2
    out, err = capsys.readouterr()
    expected = ["Error: torchrun: found handgrad evaluate; it is for handgrad train"] if rank == 0 else []
    assert (out, said(err)[1:], bool(err), len(waited)) == ("", expected, rank == 0, rank)


def test_a_descent_that_diverges_ends_in_all_and_is_kept_once(data, tmp_path):
    arguments = ["train", data, "--activation", "identity", "--loss", "squared_error", "--learning-rate", 50]
    code, _, err = ended(torchrun(2, *arguments, "--run", tmp_path / "run", "--epochs", 500))
    assert code != 0
    assert "exitcode  : 4" in err
    assert [line.split(":")[0] for line in said(err)] == ["warning", "error"]
    assert json.loads((tmp_path / "run" / "run.json").read_text())["diverged"]


def test_memory_is_that_of_the_share(tmp_path):
    from handgrad.benchmarks import scaling

    scaling.write(tmp_path / "pixels.npy", m=8192)  # 100 MB
    for processes in 1, 2:
        found = scaling.launch(processes, "memory", str(tmp_path / "pixels.npy"), "numba")
        share = found["X"] / processes
        for more in found["more"]:
            assert 0.9 * share < more < 1.1 * share + 10e6
