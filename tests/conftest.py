"""What all tests share: every installed backend through one fixture, one seed, the photographs."""

import importlib
import os
import tempfile
from pathlib import Path

import filelock
import hypothesis
import hypothesis.core
import numpy as np
import pytest
from PIL import Image

import documents
from handgrad import MissingExtraError, backends

SEED = int(os.environ.get("HANDGRAD_SEED", "0"))
PHOTOGRAPHS = Path(__file__).parents[2] / "shared" / "data" / "dogs-vs-cats" / "train"

hypothesis.settings.register_profile(
    "handgrad",
    deadline=None,
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.function_scoped_fixture],
)
hypothesis.settings.load_profile("handgrad")


FASTER = {
    # what JAX compiled for one test is ready for the next, in the folder that is named first
    "JAX_COMPILATION_CACHE_DIR": "",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    # memory that was freed is kept: some machines take longer to give a page than to fill it
    "MALLOC_MMAP_THRESHOLD_": str(2**32),
    "MALLOC_TRIM_THRESHOLD_": str(2**34),
}
"""What the environment of all processes of the tests has besides, but where memory is measured."""


def pytest_configure(config: pytest.Config) -> None:
    hypothesis.core.global_force_seed = SEED
    if "PYTEST_XDIST_WORKER" not in os.environ:
        folder = tempfile.TemporaryDirectory(prefix="handgrad-tests-")
        config.add_cleanup(folder.cleanup)
        os.environ |= FASTER | {"JAX_COMPILATION_CACHE_DIR": folder.name}


def plain_environment() -> dict[str, str]:
    """As it is where people run a program."""
    return {name: value for name, value in os.environ.items() if name not in FASTER}


def pytest_report_header() -> str:
    return f"seed: {SEED} (set HANDGRAD_SEED to change it)"


def pictures(folder, rng, names=("cat", "dog"), m=30):
    """A folder of noise, a little brighter for the second class: some are taken for the other."""
    folder.mkdir()
    for i in range(m):
        for name, low in zip(names, (0, 12), strict=True):
            values = rng.integers(low, low + 60, (9, 12, 3)).astype(np.uint8)
            Image.fromarray(values).save(folder / f"{name}.{i}.png")
    return folder


def trained(folder, rng, prepared, options, **named):
    """(run, data): of a folder of noise, by the commands; `named` as for `pictures`."""
    from handgrad.commands import run

    made, data, source = folder / "run", folder / "data", pictures(folder / "pictures", rng, **named)
    assert run(["prepare", str(source), str(data), *prepared]) == 0
    assert run(["train", str(data), "--run", str(made), *options]) == 0
    return made, data


@pytest.fixture(params=backends.names())
def backend(request):
    """The Neuron of each backend; every test that takes it is part of the contract."""
    try:
        return backends.load(request.param)
    except MissingExtraError as error:
        pytest.skip(str(error))


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return request.param


@pytest.fixture
def rng():
    return np.random.default_rng(SEED)


@pytest.fixture(scope="session")
def photographs():
    if not PHOTOGRAPHS.is_dir():
        pytest.skip(f"the photographs are not at {PHOTOGRAPHS}")
    return PHOTOGRAPHS


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The documentation, built offline, once for all processes of pytest; its folder."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    with filelock.FileLock(shared / "site.lock"):
        if not (shared / "site.txt").exists():
            outcome = documents.built(Path(__file__).parents[1] / "docs", shared / "site")
            (shared / "site.txt").write_text("" if outcome.returncode == 0 else outcome.stderr or "no reason said")
    assert not (shared / "site.txt").read_text()
    return shared / "site"


@pytest.fixture
def without(monkeypatch):
    """Make packages look as if they were not installed, for the length of a test."""

    def hide(*packages: str) -> None:
        import sys

        for package in packages:
            monkeypatch.setitem(sys.modules, package, None)
        for name in backends.names():
            monkeypatch.delitem(sys.modules, f"handgrad.backends.{name}", raising=False)
            monkeypatch.delattr(backends, name, raising=False)
        importlib.invalidate_caches()

    return hide
