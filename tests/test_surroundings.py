"""What people have set around a program: a process that was forked, a default device, platforms that are not there."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
from PIL import Image

from handgrad.proof import check

FORKED = """
import multiprocessing, sys, warnings
import numpy as np
from handgrad import backends
warnings.filterwarnings("ignore")

def fit(name):
    X = np.random.default_rng(0).integers(0, 256, (2000, 700)).astype(np.uint8)
    try:
        neuron = backends.load(name)(input_scale=1 / 255)
        parameters, _ = neuron.fit(X, (X[:1] > 127).astype(np.uint8), epochs=3, learning_rate=0.1)
    except Exception as error:
        return type(error).__name__, str(error)
    return "fit", float(np.abs(neuron.get(parameters.W)).sum())

here = fit(sys.argv[1])
with multiprocessing.get_context("fork").Pool(2) as pool:
    there = pool.map(fit, [sys.argv[1]] * 2)
kind, found = there[0]
print(here[0], *(t[0] for t in there), abs(found - here[1]) < 1e-4 * here[1] if kind == "fit" else found)
"""


@pytest.mark.parametrize("name", ["numpy", "numba", "torch"])
def test_fit_in_a_forked_child_is_as_in_the_parent(name):
    pytest.importorskip(name)
    done = subprocess.run([sys.executable, "-c", FORKED, name], capture_output=True, text=True, timeout=120)
    assert done.stdout == "fit fit fit True\n", done.stderr


def test_jax_in_a_forked_child_says_what_to_do():
    pytest.importorskip("jax")
    done = subprocess.run([sys.executable, "-c", FORKED, "jax"], capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith("fit UsageError UsageError this process was forked from one that had used JAX")
    assert "get_context('spawn')" in done.stdout


def test_a_default_device_of_torch_is_not_where_arrays_go():
    torch = pytest.importorskip("torch")
    from handgrad.backends.torch import Neuron

    X, Y = np.eye(3), np.array([[0, 1, 1]])
    expected = Neuron().fit(X, Y, epochs=2, learning_rate=0.1)[0]
    torch.set_default_device("meta")
    try:
        found = Neuron().fit(X, Y, epochs=2, learning_rate=0.1)[0]
        product = type("Product", (torch.autograd.Function,), {
            "forward": staticmethod(lambda ctx, x: (ctx.save_for_backward(x), x * x)[1]),
            "backward": staticmethod(lambda ctx, g: 2 * g * ctx.saved_tensors[0]),
        })  # fmt: skip
        assert check(product, [np.arange(3.0)]).ok
    finally:
        torch.set_default_device(None)
    assert np.array_equal(found.W, expected.W)


def test_platforms_of_jax_that_are_not_there_are_one_line(tmp_path, monkeypatch):
    pytest.importorskip("jax")
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    for kind in "cat", "dog":
        (tmp_path / "photographs" / kind).mkdir(parents=True)
        for i in range(5):
            Image.new("RGB", (8, 8), (40 * i, 9, 9)).save(tmp_path / "photographs" / kind / f"{i}.png")

    def handgrad(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "handgrad", *map(str, arguments)], capture_output=True, text=True, cwd=tmp_path
        )

    assert handgrad("prepare", "photographs", "data", "--size", "8").returncode == 0
    alone = handgrad("train", "data", "--run", "run", "--backend", "jax")
    assert (alone.returncode, alone.stderr) == (
        2, "error: device is 'cpu', which JAX cannot use: of JAX_PLATFORMS=cuda this machine has none\n"
    )  # fmt: skip
    beside = handgrad("compare", "data", "--epochs", "3")
    assert beside.returncode == 0, beside.stderr
    assert "left out: device is 'cpu', which JAX cannot use" in beside.stdout
    assert "Traceback" not in beside.stderr


def power(x):
    return {"J": np.vdot(np.fft.fft(x), np.fft.fft(x)) / 2}


@pytest.mark.parametrize(
    ("forward", "backward", "x"),
    [
        (lambda x: {"J": np.sum(x**2)}, lambda x: {"dx": 2 * x}, np.array([1e39, 2e39])),
        (lambda x: {"J": np.sum(x**2)}, lambda x: {"dx": 2 * x}, np.array([6e4, 1], np.float16)),
        (power, lambda x: {"dx": len(x) * x}, np.arange(1.0, 7)),
    ],
    ids=["beyond float32", "near the largest of float16", "complex"],
)
def test_a_check_gives_no_warnings_of_its_own(forward, backward, x):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        check(forward, backward, {"x": x})
    assert not said
