"""The benchmark against peers: every arm arrives, where the others do, and what is printed is of it."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from handgrad import backends
from handgrad.benchmarks import peers

SMALL = {"of numbers": peers.Shape(900, 0, 1e-3), "of photographs": peers.Shape(90, 8, 0.01)}


@pytest.fixture
def photographs(tmp_path, rng):
    for i in range(24):
        pixels = rng.integers(60 * (i % 2), 200, (9, 9, 3), np.uint8)
        (tmp_path / "photographs").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "photographs" / f"{'ab'[i % 2]}.{i}.png")
    return tmp_path / "photographs"


@pytest.fixture
def problem(request, photographs, tmp_path, monkeypatch):
    monkeypatch.setattr(peers, "SHAPES", SMALL)
    (tmp_path / "made").mkdir()
    shape = SMALL[request.param]
    peers.made(shape, photographs, tmp_path / "made")
    X, Y = np.load(tmp_path / "made" / "X.npy").T, np.load(tmp_path / "made" / "Y.npy")
    best = peers.optimum(shape, X, Y)
    return shape, X, Y, best, best + peers.NEAR * (np.log(2) - best)


@pytest.mark.filterwarnings("ignore:.*converge")  # a run of a few iterations is asked for
@pytest.mark.parametrize("problem", SMALL, indirect=True)
def test_every_arm_arrives_and_the_optimum_is_one(problem, monkeypatch):
    shape, X, Y, best, target = problem
    assert X.shape == (3 * shape.side**2 or 64, shape.m)
    exact = backends.load("numpy")(l2=shape.l2, input_scale=peers._scale(X), dtype="float64")
    P, _ = exact.fit(X, Y, epochs=2000, optimizer="auto")
    assert exact.cost(P, X, Y) == pytest.approx(best, rel=1e-6)
    pytest.importorskip("sklearn")
    found = peers.arms(shape)
    with monkeypatch.context() as context:
        context.setattr(peers, "EPOCHS", 50)  # saga takes thousands
        assert found.pop("scikit-learn, saga")(shape, X, Y, target) == (np.inf, np.inf)
    for name, arm in found.items():
        seconds, evaluations = arm(shape, X, Y, target)
        assert 0 < seconds < 60, name
        assert 0 < evaluations < 400, name
    assert peers.ours("numpy", shape, X, Y, best - 1)[1] == np.inf


@pytest.mark.parametrize("problem", ["of numbers"], indirect=True)
def test_an_arm_prints_its_figures(problem, tmp_path):
    asked = [str(tmp_path / "made"), "--arm", "handgrad, numpy", "--target", repr(float(problem[4]))]
    with pytest.MonkeyPatch.context() as patch:
        shape = next(option for option in peers.main.params if option.name == "shapes")
        patch.setattr(shape.type, "choices", tuple(SMALL))
        outcome = CliRunner().invoke(peers.main, [*asked, "--shape", "of numbers"], catch_exceptions=False)
    assert outcome.exit_code == 0
    assert set(json.loads(outcome.stdout)) == {"seconds", "evaluations", "memory"}
