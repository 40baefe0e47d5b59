"""What a file holds and how it is checked: every shape, from the command line's point of view."""

import json

import numpy as np
import pytest

from handgrad import UsageError
from handgrad.commands import run
from handgrad.proof import check_file
from handgrad.testing import assert_gradients

DICTIONARIES = """
import numpy as np

def inputs():
    return dict(W=np.arange(3.0) + 1)

def forward(W):
    J = np.sum(W**2)
    return dict(J=J)

def backward(W):
    return dict(dW={factor} * W)
"""
FUNCTION = """
import numpy as np

inputs = {{"w": np.array([0.5, -1.0, 2.0]), "x": np.array([[1.0, 2.0, 0.5], [0.3, -1.0, 1.0]])}}

def mean(x):
    return x.mean()

def quadratic(w, x):
    z = x @ w
    cost = np.sum(z**2)
    return cost, {{"dw": {factor} * x.T @ z}}

def descend(w, x):
    for _ in range(10):
        cost, grads = quadratic(w, x)
        w = w - grads["dw"]
    return w
"""
PAIR = """
import numpy as np

def inputs(rng):
    return {{"x": rng.normal(size=(5, 3)), "w": rng.normal(size=(3, 2))}}

def affine_forward(x, w):
    out = x @ w
    return out, (x, w)

def affine_backward(dout, cache):
    x, w = cache
    return dout @ w.T, x.T @ dout * {factor} / 2
"""
CLASS = """
import numpy as np

def inputs(rng):
    return {{"W": rng.normal(size=(3, 2)), "x": rng.normal(size=(5, 3))}}

class Dense:
    def __init__(self, W):
        self.W = W

    def forward(self, x):
        self.x = x
        return x @ self.W

    def backward(self, dout):
        self.dW = {factor} * self.x.T @ dout / 2
        return dout @ self.W.T
"""
OBJECT = (
    CLASS.replace('"W": rng.normal(size=(3, 2)), ', "")
    + """
layer = Dense(np.arange(6.0).reshape(3, 2))
"""
)
LAYERS = (
    CLASS.replace('"W": rng.normal(size=(3, 2)), ', "")
    + """
class Tanh:
    def forward(self, x):
        self.y = np.tanh(x)
        return self.y

    def backward(self, dout):
        return dout * (1 - self.y**2)

net = [Dense(np.arange(6.0).reshape(3, 2) / 10), Tanh()]
"""
)
SHAPES = {
    "forward,backward": DICTIONARIES,
    "quadratic": FUNCTION,
    "affine_forward,affine_backward": PAIR,
    "Dense": CLASS,
    "layer": OBJECT,
    "net": LAYERS,
}
BACKEND = """
from handgrad.backends.numpy import Neuron as Base

class Neuron(Base):
    pass
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """Write mine.py in the current folder."""
    monkeypatch.chdir(tmp_path)
    return lambda source, **values: (tmp_path / "mine.py").write_text(source.format(**values) if values else source)


@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("name", SHAPES)
def test_a_file_of_one_thing_is_checked_with_and_without_its_name(mine, name, factor, capsys):
    mine(SHAPES[name], factor=factor)
    assert run(["check", f"mine.py:{name}"]) == (factor != 2)
    named = capsys.readouterr().out.split("next:")[0]
    assert run(["check", "mine.py"]) == (factor != 2)
    assert capsys.readouterr().out.split("next:")[0] == named


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("factor", [2, 3])
def test_what_is_next_is_about_the_same_file(mine, name, factor, capsys):
    mine(SHAPES[name], factor=factor)
    run(["check", f"mine.py:{name}"])
    for line in capsys.readouterr().out.splitlines():
        if line.startswith("next: "):
            _, *command = line.removeprefix("next: ").split()
            assert command[:2] == ["check", f"mine.py:{name}"]
            assert run(command) == (factor != 2)


def test_the_options_are_those_of_check(mine, capsys):
    mine(
        "def inputs(rng): return {'a': rng.normal(size=3), 'c': rng.normal(size=3)}\n"
        "def f(a, c):\n"
        "    J, K, one, two = (a * c).sum(), (a**2).sum(), 2 * a, a\n"
        "    return J, K, one, two\n"
    )
    options = ["--cost", "J", "--gradients", "a=one,c=two"]
    assert run(["check", "mine.py:f", *options]) == 1
    said = capsys.readouterr().out
    assert "next: handgrad check mine.py:f --cost J --gradients a=one,c=two --counterexample" in said
    assert run(["check", "mine.py:f", "--cost", "1", "--gradients", "a=one", "--wrt", "a", "--trials", "1"]) == 0


def test_methods_are_named_on_the_command_line(mine):
    mine(
        "class Model:\n"
        "    def there(self, x): self.x = x; return (x**2).sum()\n"
        "    def back(self): return self.x * 2\n"
        "def inputs(rng): return {'x': rng.normal(size=3)}\n"
    )
    assert run(["check", "mine.py:Model", "--methods", "there,back"]) == 0
    assert run(["check", "mine.py:Model", "--methods", "there,none"]) == 2


def test_options_stand_in_the_file_too(mine):
    mine(
        "OPTIONS = {'gradients': {'x': 'slope'}}\n"
        "def inputs(rng): return {'x': rng.normal(size=3)}\n"
        "def f(x):\n    cost, slope, other = (x**2).sum(), 2 * x, 3 * x\n    return cost, slope, other\n"
    )
    assert check_file("mine.py").ok


@pytest.mark.parametrize("name", SHAPES)
def test_inputs_that_are_missing_are_asked_for_with_an_example_that_runs(mine, name, capsys, tmp_path):
    source = SHAPES[name].format(factor=2).replace("inputs =", "others =").replace("def inputs", "def others")
    mine(source)
    assert run(["check", f"mine.py:{name}"]) == 2
    said = capsys.readouterr().err
    assert "has no inputs()" in said
    mine(f"{source}\n{said[said.index('def inputs') :]}")
    assert run(["check", f"mine.py:{name}"]) == 0


def test_a_file_in_a_package_imports_as_the_package_does(tmp_path):
    folder = tmp_path / "mine_as_a_package"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "other.py").write_text("factor = 2")
    source = PAIR.format(factor="factor").replace(
        "import numpy", "from mine_as_a_package.other import factor\nimport numpy"
    )
    (folder / "pair.py").write_text(source)
    assert check_file(folder / "pair.py").ok


NETWORK = """
import numpy as np

def predict(X, w):
    A = 1 / (1 + np.exp(-(X @ w)))
    return A

def log_loss(A, y):
    return -np.mean(y * np.log(A) + (1 - y) * np.log(1 - A))

def {gradient}(X, y, A):
    return {{"dw": X.T @ (A - y) / len(y)}}

def inputs(rng):
    return dict(X=rng.normal(size=(5, 3)), y=rng.integers(0, 2, 5), w=rng.normal(size=3))
"""


def test_a_gradient_is_read_with_the_cost_and_the_prediction_of_its_file(mine):
    for gradient in ("gradients", "backward"):
        mine(NETWORK, gradient=gradient)
        for name, options in (
            (None, {}),
            (f"predict,log_loss,{gradient}", {}),
            (f"predict,{gradient}", {"cost": "log_loss"}),
        ):
            report = check_file("mine.py", name, **options)
            assert report.ok, f"\n{report}"
            assert report.understood.startswith(f"predict, log_loss and {gradient}: J is the cost")


@pytest.mark.parametrize(
    ("cost", "gradient"),
    [("computeCost", "computeGradient"), ("cost_function", "gradient_function"), ("mean_squared_error", "slopes")],
)
def test_a_cost_and_a_gradient_are_found_however_their_names_are_put_together(mine, cost, gradient):
    mine(
        f"import numpy as np\n"
        f"def {cost}(x, y, m, b):\n    return np.mean((m * x + b - y) ** 2)\n"
        f"def {gradient}(x, y, m, b):\n"
        f"    b_gradient = 2 * np.mean(m * x + b - y)\n"
        f"    m_gradient = 2 * np.mean((m * x + b - y) * x)\n"
        f"    return b_gradient, m_gradient\n"
        f"def inputs(rng):\n    return dict(x=rng.normal(size=5), y=rng.normal(size=5), m=0.7, b=-0.2)\n"
    )
    report = check_file("mine.py")
    assert report.ok, f"\n{report}"
    assert "b_gradient the gradient of b, m_gradient the gradient of m" in report.understood
    assert any("another order than that of the arguments: the gradients of b, m" in note for note in report.notes)


@pytest.mark.parametrize("other", ["affine_backward", "affine_bwd"])
def test_a_function_and_its_backward_are_a_pair(mine, other):
    mine(PAIR.format(factor=2).replace("affine_forward", "affine").replace("affine_backward", other))
    assert check_file("mine.py").ok


def test_several_things_are_listed(mine, capsys):
    mine("def f(x): cost, dx = (x**2).sum(), 2 * x; return cost, dx\n"
         "def g(x): cost, dx = (x**3).sum(), 3 * x**2; return cost, dx\n"
         "inputs = {'x': 1.5}\n")  # fmt: skip
    assert run(["check", "mine.py"]) == 2
    assert "mine.py:f, mine.py:g" in capsys.readouterr().err


def test_a_name_that_is_not_there_is_a_usage_error_with_those_that_are(mine):
    mine(FUNCTION, factor=2)
    with pytest.raises(UsageError, match="has no 'quadrtic'; there are: mean, quadratic, descend"):
        check_file("mine.py", "quadrtic")


def test_inputs_are_drawn_with_the_seed(mine):
    mine(PAIR, factor=3)
    first, again, other = (check_file("mine.py", seed=seed).findings[1].hand for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize("word", ["mine.py", "mine.py:Neuron"])
def test_a_backend_is_sent_to_its_own_option(mine, word, capsys):
    mine(BACKEND)
    assert run(["check", word]) == 2
    assert "handgrad check --backend mine.py:Neuron" in capsys.readouterr().err


def test_json_is_the_report(mine, capsys):
    mine(FUNCTION, factor=3)
    assert run(["check", "mine.py", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert not found["ok"]
    assert found["lines"][0]["source"].startswith("return cost")


def test_a_counterexample_is_written_to_a_new_file_only(mine, capsys, tmp_path):
    mine(PAIR, factor=3)
    assert run(["check", "mine.py", "--counterexample", "test_mine.py"]) == 1
    assert "wrote test_mine.py" in capsys.readouterr().err
    written = (tmp_path / "test_mine.py").read_text()
    assert "def test_dw_is_right" in written
    assert str(tmp_path) not in written
    moved = tmp_path / "moved" / "to"
    moved.mkdir(parents=True)
    for name in "mine.py", "test_mine.py":
        (moved / name).write_bytes((tmp_path / name).read_bytes())
    (moved / "mine.py").write_text(PAIR.format(factor=2))  # mended there
    assert pytest.main(["-q", "-p", "no:cacheprovider", "--noconftest", str(moved / "test_mine.py")]) == 0
    assert run(["check", "mine.py", "--counterexample", "test_mine.py"]) == 2
    assert "exists already" in capsys.readouterr().err
    assert (tmp_path / "test_mine.py").read_text() == written


def test_a_counterexample_is_printed_without_a_file_wherever_the_option_stands(mine, capsys):
    mine(PAIR, factor=3)
    assert run(["check", "mine.py", "--counterexample"]) == 1
    assert "def test_dw_is_right" in capsys.readouterr().out
    assert run(["check", "--counterexample", "mine.py"]) == 1
    assert "def test_dw_is_right" in capsys.readouterr().out


def test_nothing_is_written_where_nothing_is_wrong(mine, tmp_path, capsys):
    mine(PAIR, factor=2)
    assert run(["check", "mine.py", "--counterexample", "test_mine.py"]) == 0
    assert "was not written" in capsys.readouterr().err
    assert not (tmp_path / "test_mine.py").exists()


def test_variants_are_counted_or_listed(mine, capsys):
    mine(PAIR, factor=2)
    assert run(["check", "mine.py", "--variants"]) == 0
    short = capsys.readouterr().out
    assert "0 survived" in short
    assert run(["check", "mine.py", "--variants", "--all"]) == 0
    assert capsys.readouterr().out.count("\n") > short.count("\n")
    assert run(["check", "mine.py", "--variants", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"]


def test_variants_of_what_has_no_backward_function_are_a_usage_error(mine, capsys):
    mine(FUNCTION, factor=2)
    assert run(["check", "mine.py", "--variants"]) == 2
    assert "expected FILE.py:forward,backward" in capsys.readouterr().err


def test_a_cost_and_its_gradient_are_a_pair_and_a_function_and_its_slope_are_none(mine):
    mine(
        "import numpy as np\n"
        "def sigmoid(z):\n    return 1 / (1 + np.exp(-z))\n"
        "def sigmoid_gradient(z):\n    return sigmoid(z) * (1 - sigmoid(z))\n"
        "def cost(w, x):\n    return np.sum(sigmoid(x @ w))\n"
        "def gradient(w, x):\n    return 2 * x.T @ sigmoid_gradient(x @ w)\n"
        "def inputs(rng):\n    return dict(w=rng.normal(size=3), x=rng.normal(size=(4, 3)))\n"
    )
    report = check_file("mine.py")
    assert [(finding.name, finding.verdict) for finding in report.findings] == [("dw", "wrong")]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("x = 1", "found nothing to check"),
        ("1 / 0", "raised ZeroDivisionError"),
        ("def", "SyntaxError"),
        ("def forward(x): pass\ndef backward(x): pass\ninputs = 3", "inputs is 3"),
        ("def forward(x): pass\ndef backward(x): pass\ndef inputs(a, b): pass", "inputs takes a, b"),
        ("OPTIONS = 3\ndef f(x): return x", "OPTIONS is 3"),
        ("def f(w, x):\n    g = x\n    return w @ x, g\n", r"has no inputs\(\) to check f on.*'w': rng.normal"),
        ("def f(w, x):\n    g = x\n    return w @ x, g\ninputs = {'w': 1.0, 'X': 1.0}", "f takes an argument 'x'"),
    ],
)
def test_a_file_that_cannot_be_checked_is_a_usage_error(mine, source, said):
    mine(source)
    with pytest.raises(UsageError, match=said):
        check_file("mine.py")


def test_a_missing_file_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        check_file(tmp_path / "none.py")


class Line:
    def __init__(self, a):
        self.a = a

    def forward(self, x):
        self.x = x
        return self.a * x

    def backward(self, dout):
        self.da = np.sum(dout * self.x)
        return dout * self.a


def test_assert_gradients_takes_what_check_takes():
    def quadratic(x):
        cost, slope = np.sum(x**2), 2 * x
        return cost, slope

    x = np.array([1.5, -2.0])
    assert assert_gradients(quadratic, {"x": x}, gradients={"x": "slope"}).ok
    assert assert_gradients(Line, inputs={"a": 2.0, "x": x}, trials=1).ok
    assert assert_gradients([Line(2.0), Line(np.array(3.0))], {"x": x}).ok


def test_assert_gradients_fails_with_the_report():
    def quadratic(x):
        cost, dx = np.sum(x**2), 3 * x
        return cost, dx

    with pytest.raises(AssertionError, match=r"dx +wrong(?s:.*)The fault is on this line"):
        assert_gradients(quadratic, {"x": np.array([1.5, -2.0])})
