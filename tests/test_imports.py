"""What is imported, and what is not: each proved in a fresh process, and the proof itself shown to be able to fail."""

import re
import subprocess
import sys

import pytest

FRAMEWORKS = (
    "torch",
    "jax",
    "jaxlib",
    "numba",
    "tensorflow",
    "sklearn",
    "skimage",
    "h5py",
    "scipy",
    "matplotlib",
    "onnx",
)

PROGRAM = """
import numpy as np
from handgrad.backends.numpy import Neuron
from handgrad import Parameters

rng = np.random.default_rng(0)
X = rng.integers(0, 256, (300, 20), np.uint8).T
Y = (X[:1] > 127).astype(np.uint8)

neuron = Neuron(input_scale=1 / 255)
parameters, history = neuron.fit(X[:, :200], Y[:, :200], epochs=300, learning_rate=1.0)
test_X, test_Y = X[:, 200:], Y[:, 200:]

print("first cost", round(history.train_cost[0], 6), "accuracy", neuron.accuracy(parameters, test_X, test_Y))
print("".join(map(str, neuron.predict(parameters, test_X)[0])))
"""


def python(program, *, hidden=()):
    """The outcome of a program in a process of its own, in which the hidden packages are not installed."""
    hide = "".join(f"import sys; sys.modules[{name!r}] = None\n" for name in hidden)
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", hide + program], capture_output=True, text=True, timeout=300
    )


def imported(statement):
    """Which frameworks a statement imports."""
    report = f"\nimport sys; print('frameworks:', *(name for name in {FRAMEWORKS!r} if name in sys.modules))"
    outcome = python(statement + report)
    assert outcome.returncode == 0, outcome.stderr
    return set(re.search(r"^frameworks:(.*)$", outcome.stdout, re.MULTILINE)[1].split())


def test_import_handgrad_imports_no_framework():
    assert imported("import handgrad, handgrad.data, handgrad.commands, handgrad.backends") == set()


def test_the_proof_is_imported_once_it_is_asked_for():
    program = "import sys, handgrad, handgrad.sklearn; there = lambda: 'handgrad.proof' in sys.modules\nprint(there())"
    for use in "handgrad.check", "handgrad.proof.Report", "from handgrad import mutate", "handgrad.nothing":
        asked = f"\ntry: {use}; print(there())\nexcept AttributeError as error: print(error)"
        expected = "module 'handgrad' has no attribute 'nothing'" if use == "handgrad.nothing" else "True"
        assert python(program + asked).stdout.splitlines() == ["False", expected]
    assert python("import handgrad; assert {*handgrad.__all__} <= {*dir(handgrad)}").returncode == 0


def test_the_help_of_every_command_imports_no_framework():
    help_of = "for name in ['', *handgrad.commands]: run([*name.split(), '--help'])"
    assert imported(f"from handgrad.commands import run, handgrad\n{help_of}") == set()


@pytest.mark.parametrize(
    ("backend", "its_own"),
    [("numpy", set()), ("numba", {"numba", "scipy"}), ("torch", {"torch"}), ("jax", {"jax", "jaxlib", "scipy"})],
)
def test_a_backend_imports_its_own_framework_and_no_other(backend, its_own):
    pytest.importorskip(backend)
    found = imported(f"import handgrad.backends.{backend}")
    assert found <= its_own
    assert backend == "numpy" or backend in found


def test_the_proof_can_fail():
    """It sees a framework that was imported, directly or through another module."""
    assert imported("import h5py") == {"h5py"}
    assert "jax" in imported("from handgrad import backends; backends.load('jax')")


@pytest.mark.parametrize(
    ("backend", "package", "name"), [("torch", "torch", "PyTorch"), ("jax", "jax", "JAX"), ("numba", "numba", "Numba")]
)
def test_a_missing_framework_is_one_line_with_the_command_that_installs_it(backend, package, name):
    expected = f"{name} is not installed; install it with: pip install 'handgrad[{backend}]'"
    outcome = python(f"import handgrad.backends.{backend}", hidden=[package])
    assert outcome.returncode == 1
    assert outcome.stderr.strip().splitlines()[-1].endswith(f"MissingExtraError: {expected}")
    assert outcome.stderr.count("Traceback") == 1  # and nothing of how it was found out
    outcome = python(
        f"import sys; from handgrad.commands import main; main(['train', 'd', '--run', 'r', '--backend', '{backend}'])",
        hidden=[package],
    )
    assert (outcome.returncode, outcome.stdout, outcome.stderr) == (2, "", f"error: {expected}\n")


@pytest.mark.parametrize("backend", ["torch", "jax", "numba"])
def test_without_a_framework_the_other_backends_still_work(backend):
    other = {"torch": "jax", "jax": "numba", "numba": "torch"}[backend]
    program = f"from handgrad import backends; print(backends.load('{other}')())"
    outcome = python(program, hidden=[backend])
    assert outcome.returncode == 0, outcome.stderr


def test_the_same_program_gives_the_same_predictions_when_one_word_of_its_import_is_changed():
    assert len([line for line in PROGRAM.splitlines() if line]) <= 15
    outputs = {}
    for backend in "numpy", "numba", "torch", "jax":
        pytest.importorskip(backend)
        program = PROGRAM.replace("backends.numpy", f"backends.{backend}")
        outcome = python(program)
        assert outcome.returncode == 0, outcome.stderr
        outputs[backend] = outcome.stdout
    assert len(set(outputs.values())) == 1
    assert outputs["numpy"].startswith("first cost 0.693147 accuracy 0.9")
    assert {"0", "1"} == set(outputs["numpy"].splitlines()[1])
