"""Kill a training, again and again, and see that nothing is lost: ``python tests/crash.py --backend numpy --kills 50``.

At random moments, from outside, and at every step of the writer, from within. After each death what was kept must be
readable; at the end the run must have the parameters and costs of one that nobody stopped.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np

from handgrad.checkpoint import load_checkpoint
from handgrad.commands import run as command
from handgrad.run import load_model

WITHIN = """
import os, pathlib, signal, sys

left = int(sys.argv[1])


def tick():
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)


def around(function):
    def stepped(*given, **named):
        tick()
        result = function(*given, **named)
        tick()
        return result

    return stepped


class Half:
    def __init__(self, file):
        self.file = file

    def __enter__(self):
        return self

    def __exit__(self, *raised):
        self.file.close()

    def __getattr__(self, name):
        return getattr(self.file, name)

    def write(self, content):
        self.file.write(content[: len(content) // 2])
        self.file.flush()
        tick()
        return self.file.write(content[len(content) // 2 :])


def opened(path, mode="r", *given, **named):
    file = open_path(path, mode, *given, **named)
    if mode != "wb":
        return file
    tick()
    return Half(file)


open_path, pathlib.Path.open = pathlib.Path.open, opened
os.fsync, os.replace, os.unlink, os.mkdir = map(around, (os.fsync, os.replace, os.unlink, os.mkdir))

from handgrad.commands import run

code = run(sys.argv[2:])
print(left)
sys.exit(code)
"""


def words(backend, data, run, epochs):
    if (run / "checkpoint.safetensors").exists() or (run / "run.json").exists():
        return ["train", "--resume", str(run), "--checkpoint-every", "0"]
    about = ["--backend", backend, "--epochs", str(epochs), "--learning-rate", "0.05"]
    return ["train", str(data), "--run", str(run), *about, "--checkpoint-every", "0"]


def readable(run):
    """What a death has left: a checkpoint that is whole, or none; a model that is whole, or none."""
    if run.is_dir():
        load_checkpoint(run)
        if (run / "model.safetensors").exists():
            load_model(run)


def finished(backend, data, run, epochs):
    """Whatever was left, it can be gone on with, or begun again where nothing had been kept."""
    assert command(words(backend, data, run, epochs)) == 0
    assert {path.name for path in run.iterdir()} - {".lock"} == {"model.safetensors", "history.csv", "run.json"}
    return outcome(run)


def outcome(run):
    costs = [line.split(",")[:3] for line in (run / "history.csv").read_text().splitlines()]
    return [V.tobytes() for V in load_model(run).parameters], costs


def at_random_moments(backend, data, folder, kills, epochs, seed, longest=1.0):
    """Kill from outside, once a checkpoint of this process is there; how many deaths came after it had gone on."""
    moments, killed, further, runs = random.Random(seed), 0, 0, 0
    expected = finished(backend, data, folder / "whole", epochs)
    while killed < kills:
        run = folder / f"run{runs}"
        while killed < kills:
            before = kept(run)
            arguments = [sys.executable, "-m", "handgrad", *words(backend, data, run, epochs)]
            process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            until = time.monotonic() + 60
            while kept(run) == before and process.poll() is None and time.monotonic() < until:
                time.sleep(0.002)  # what comes before, imports, is nothing to lose
            try:
                process.wait(moments.uniform(0, longest))
                break
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                killed += 1
                readable(run)
                further += kept(run) > before
        if not (run / "run.json").exists() or (run / "checkpoint.safetensors").exists():
            finished(backend, data, run, epochs)
        assert outcome(run) == expected
        runs += 1
    return further


def kept(run):
    """When the checkpoint was written; 0 where there is none."""
    try:
        return (run / "checkpoint.safetensors").stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def at_every_step(backend, data, folder, epochs):
    """Kill before and after every open, half of a write, sync, rename, removal; how many steps there were."""
    expected = finished(backend, data, folder / "whole", epochs)
    script = folder / "within.py"
    script.write_text(WITHIN)
    step = 0
    while True:
        step += 1
        run = folder / f"step{step}"
        process = subprocess.run(
            [sys.executable, script, str(step), *words(backend, data, run, epochs)], capture_output=True, text=True
        )
        if process.returncode == 0:
            return step - 1
        assert process.returncode == -signal.SIGKILL, process.stderr
        readable(run)
        assert finished(backend, data, run, epochs) == expected, step


def pictures(folder):
    """A small data set."""
    from PIL import Image

    rng = np.random.default_rng(0)
    (folder / "pictures").mkdir()
    for i in range(20):
        for name, low in ("a", 0), ("b", 120):
            pixels = rng.integers(low, low + 130, (10, 12, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "pictures" / f"{name}.{i}.png")
    assert command(["prepare", str(folder / "pictures"), str(folder / "data"), "--size", "4"]) == 0
    return folder / "data"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--backend", default="numpy")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--epochs", type=int, default=60_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = pictures(Path(folder))
        steps = at_every_step(options.backend, data, Path(folder), 3)
        click.echo(f"{options.backend}: killed at each of {steps} steps of the writer, nothing lost")
        (Path(folder) / "random").mkdir()
        further = at_random_moments(
            options.backend, data, Path(folder) / "random", options.kills, options.epochs, options.seed
        )
        said = f"{further} of them after it had gone on, nothing lost"
        click.echo(f"{options.backend}: killed {options.kills} times at random, seed {options.seed}, {said}")


if __name__ == "__main__":
    os.environ.setdefault("TQDM_DISABLE", "1")
    main()
