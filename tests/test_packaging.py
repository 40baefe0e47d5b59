"""What is shipped, and that all of it is formatted, linted, typed and true to the examples in its docstrings."""

import doctest
import importlib
import os
import pkgutil
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import handgrad

ROOT = Path(__file__).parents[1]
ROOMS = {"core": "handgrad", "backends": "handgrad/backends", "benchmarks": "handgrad/benchmarks"}


def python(*words, cwd=ROOT):
    return subprocess.run([sys.executable, *words], cwd=cwd, capture_output=True, text=True, timeout=900)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of a copy of the project, beside which a file lies that must not get into it."""
    copy = tmp_path_factory.mktemp("wheel") / "project"
    ignored = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, copy, ignore=ignored)
    (copy / "core" / "notes.txt").write_text("not to be shipped")
    outcome = python("-m", "build", "--wheel", "--no-isolation", cwd=copy)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    (path,) = (copy / "dist").glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_the_wheel_holds_the_three_rooms_and_nothing_else(wheel):
    expected = {
        f"{package}/{file.relative_to(ROOT / room)}"
        for room, package in ROOMS.items()
        for file in (ROOT / room).rglob("*")
        if file.suffix == ".py" or file.name in ("py.typed", "schema.json")
    }
    names = [name for name in wheel.namelist() if ".dist-info/" not in name]
    assert set(names) == expected
    assert len(names) == len(set(names))
    assert {"handgrad/py.typed", "handgrad/backends/numpy.py", "handgrad/data/prepare.py"} <= expected


def test_the_wheel_states_its_licence_its_command_and_its_extras(wheel):
    (info,) = {name.split("/")[0] for name in wheel.namelist() if ".dist-info/" in name}
    metadata = wheel.read(f"{info}/METADATA").decode()
    assert "License-Expression: BSD-3-Clause" in metadata
    assert {"torch", "jax", "numba", "h5", "sklearn", "all"} <= set(
        re.findall(r"^Provides-Extra: (.*)$", metadata, re.MULTILINE)
    )
    required = re.findall(r"^Requires-Dist: ([\w.-]+)[^;\n]*$", metadata, re.MULTILINE)
    assert sorted(required) == ["click", "numpy", "pillow", "safetensors", "tqdm"]
    assert "handgrad = handgrad.commands:main" in wheel.read(f"{info}/entry_points.txt").decode()
    assert f"{info}/licenses/LICENSE" in wheel.namelist()


def required(extra):
    """The packages that an extra names, by way of others too."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    found = set()
    for requirement in extras[extra]:
        name, others = re.match(r"([\w-]+)(?:\[([\w,]+)\])?", requirement).groups()
        found |= set().union(*map(required, others.split(","))) if name == "handgrad" else {name}
    return found


def test_the_demo_needs_nothing_that_only_the_tests_need():
    assert {"torch", "jax", "scikit-learn"} <= required("demo") < required("all")
    assert "triton" in required("test") - required("all")


@pytest.mark.parametrize("order", [("demo", "test"), ("test", "demo")])
def test_make_installs_once_what_each_needs_in_either_order(order, tmp_path):
    """With a Python that only notes how it is called."""
    for name in "Makefile", "pyproject.toml", "constraints.txt", "README.md":
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "py.typed").touch()
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for name in "python", "handgrad":
        (tmp_path / ".venv" / "bin" / name).write_text(f'#!/bin/sh\necho {name} "$@" >> called\n')
        (tmp_path / ".venv" / "bin" / name).chmod(0o755)

    def called(goal):
        (tmp_path / "called").write_text("")
        words = ["make", "PYTHON=.venv/bin/python", goal]
        with (tmp_path / "said").open("w") as said:  # no pipe: what ticks holds it open for some seconds
            subprocess.run(words, cwd=tmp_path, env={"PATH": os.environ["PATH"]}, stdout=said, check=True, timeout=60)
        return (tmp_path / "called").read_text()

    first, second = map(called, order)
    assert ".[demo]" in first
    assert ".[demo]" not in second
    assert [".[test]" in said for said in (first, second)] == [goal == "test" for goal in order]
    assert called("demo") == "handgrad demo\n"
    assert called("test") == "python -m pytest --numprocesses auto --dist worksteal\n"


def test_the_installed_package_is_this_source():
    """Otherwise all that is tested here is something else."""
    for room, package in ROOMS.items():
        for file in (ROOT / room).rglob("*.py"):
            installed = Path(handgrad.__file__).parents[1] / package / file.relative_to(ROOT / room)
            assert installed.read_bytes() == file.read_bytes(), f"{file} is not what is installed; run make install"


def test_the_code_is_formatted():
    outcome = python("-m", "ruff", "format", "--check", ".")
    assert outcome.returncode == 0, outcome.stdout


def test_the_code_is_linted():
    outcome = python("-m", "ruff", "check", ".")
    assert outcome.returncode == 0, outcome.stdout


def test_the_linter_bans_the_folders_names_as_imports(tmp_path):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "wrong.py").write_text("from core.neuron import Neuron\nimport backends\n\nprint(Neuron, backends)\n")
    outcome = python("-m", "ruff", "check", "--select", "TID251", "wrong.py", cwd=tmp_path)
    assert outcome.returncode == 1
    assert "import handgrad" in outcome.stdout


def linted_imports(folder=ROOT):
    """The outcome of holding the imports of the package, that in the folder if there is one, against its layers."""
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    return python("-c", program, "--config", str(ROOT / "pyproject.toml"), "--no-cache", cwd=folder)


def test_no_import_runs_upward_and_no_rooms_form_a_circle():
    outcome = linted_imports()
    assert outcome.returncode == 0, outcome.stdout
    assert "2 kept, 0 broken" in outcome.stdout


@pytest.fixture
def planted(tmp_path):
    """A copy of the installed package, in which a line is added to a file."""
    shutil.copytree(Path(handgrad.__file__).parent, tmp_path / "handgrad", ignore=shutil.ignore_patterns("__pycache__"))

    def plant(file, line):
        path = tmp_path / "handgrad" / file
        path.write_text(f"{path.read_text(encoding='utf-8')}\n\n{line}\n", encoding="utf-8")
        return tmp_path

    return plant


@pytest.mark.parametrize(
    ("file", "line", "said"),
    [
        (
            "examples.py",
            "from handgrad.neuron import Neuron",
            "examples is not allowed to import handgrad.neuron",
        ),
        (
            "neuron.py",
            "from handgrad.backends import numpy",
            "neuron is not allowed to import handgrad.backends",
        ),
        ("proof/noise.py", "from handgrad.proof import judge", "No rooms form a circle BROKEN"),
    ],
)
def test_the_layers_see_a_planted_import(planted, file, line, said):
    outcome = linted_imports(planted(file, line))
    assert outcome.returncode == 1
    assert said in outcome.stdout


def test_the_linter_sees_a_planted_private_use(planted):
    folder = planted("descent.py", "def peek(backend):\n    return backend._arrays")
    shutil.copy(ROOT / "pyproject.toml", folder)
    outcome = python("-m", "ruff", "check", "--select", "SLF", "handgrad", cwd=folder)
    assert outcome.returncode == 1
    assert "Private member accessed: `_arrays`" in outcome.stdout


def test_the_installed_package_is_strictly_typed_and_a_users_mistake_is_seen(tmp_path):
    """py.typed is shipped: a program that uses handgrad is checked against it."""
    mypy = "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(ROOT / ".mypy_cache")
    outcome = python(*mypy, "-p", "handgrad", cwd=tmp_path)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    (tmp_path / "user.py").write_text('from handgrad.backends.numpy import Neuron\nNeuron(l2="much")\n')
    outcome = python(*mypy, "user.py", cwd=tmp_path)
    assert outcome.returncode == 1
    assert 'Argument "l2" to "Neuron" has incompatible type "str"; expected "float"' in outcome.stdout


def modules():
    found = (module.name for module in pkgutil.walk_packages(handgrad.__path__, "handgrad."))
    return ["handgrad", *(name for name in found if not name.endswith("__main__"))]


@pytest.mark.parametrize("name", modules())
def test_examples_in_docstrings_are_true(name):
    try:
        module = importlib.import_module(name)
    except handgrad.MissingExtraError as error:
        pytest.skip(str(error))
    assert doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE).failed == 0
    assert module.__doc__, f"{name} does not say what it is"
