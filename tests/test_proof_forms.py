"""Code in the shapes in which people write it: understood without an adapter, judged, and left as it was."""

import contextlib
import io
import math
import sys
import time
from collections import Counter, namedtuple

import numpy as np
import pytest

import planted
from conftest import SEED
from handgrad import UsageError
from handgrad.proof import check
from handgrad.testing import assert_gradients

PROGRAMS = {program.name: program for program in planted.programs()}


def wrongs(report):
    return {finding.name[1:] for finding in report.findings if finding.verdict != "right"}


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_program_is_understood_and_right(name):
    module = PROGRAMS[name].module
    subject, inputs = planted.made(module, 0)
    _, truth = planted.called(module, *planted.made(module, 0), 0)
    report = check(*subject, inputs, **module.OPTIONS)
    assert report.ok, f"\n{report}"
    assert set(truth) <= {finding.name[1:] for finding in report.findings}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_planted_fault_is_found_in_the_gradients_that_it_spoils(name):
    """One of each program's, of every fifth; all of them: ``python -m handgrad.benchmarks.shapes``."""
    planted.verify(PROGRAMS[name])
    faults = planted.faults(PROGRAMS[name])
    assert len(faults) > 5
    fault = faults[::5][SEED % len(faults[::5])]
    module = fault.load()
    subject, inputs = planted.made(module, 0)
    report = check(*subject, inputs, seconds=0.0, **module.OPTIONS)
    assert not report.ok, f"{fault}\n{report}"
    assert wrongs(report) == set(fault.wrong), f"{fault}\n{report}"


def test_the_faulty_line_is_named_and_hardly_ever_another():
    """Of one fault in every ninth program; all of them: ``python -m handgrad.benchmarks.shapes``."""
    count = Counter()
    for number, program in enumerate(list(PROGRAMS.values())[SEED % 9 :: 9]):
        faults = planted.faults(program)
        fault = faults[number % len(faults)]
        module = fault.load()
        subject, inputs = planted.made(module, 0)
        report = check(*subject, inputs, **module.OPTIONS)
        lines = {place.line for place in report.lines}
        count["faults"] += 1
        count["named"] += lines == {fault.line}
        count["misled"] += bool(lines - {fault.line})
        count["said"] += any(place.diagnosis for place in report.lines)
    assert count["named"] >= 0.8 * count["faults"], count
    assert count["misled"] <= 0.1 * count["faults"], count
    assert count["said"] >= 0.6 * count["faults"], count


# how a subject is read


def test_a_cost_among_several_numbers_is_asked_for():
    def evaluate(w, X):
        return np.sum(w**2), np.sum(X), 2 * w

    with pytest.raises(UsageError, match=r"may be the cost: .*name it by cost="):
        check(evaluate, dict(w=np.ones(3), X=np.ones(2)))
    assert check(evaluate, dict(w=np.ones(3), X=np.ones(2)), cost=0).ok


def test_a_gradient_that_may_be_of_two_inputs_is_asked_for():
    def evaluate(u, v):
        return np.sum(u**2 * v), 2 * u * v

    with pytest.raises(UsageError, match=r"may be the gradient of any of u, v; say which by gradients="):
        check(evaluate, dict(u=np.arange(1.0, 4), v=np.ones(3)), cost=0)
    report = check(evaluate, dict(u=np.arange(1.0, 4), v=np.ones(3)), cost=0, gradients={"u": 1})
    assert report.ok, f"\n{report}"


def test_gradients_side_by_side_are_those_of_the_arguments_in_their_order(rng):
    def forward(x, g, b):
        return x * g + b, (x, g)

    def backward(dout, cache):
        x, g = cache
        dx, dg, db = dout * g, (dout * x).sum(axis=0), dout.sum(axis=0)
        return dx, db, dg

    report = check(forward, backward, dict(x=rng.normal(size=(3, 4)), g=rng.normal(size=4), b=rng.normal(size=4)))
    assert wrongs(report) == {"g", "b"}
    assert {finding.kind for finding in report.findings} == {"", "exchanged"}


def test_gradients_given_back_in_another_order_are_read_by_name_unless_a_caller_says_otherwise(rng):
    source = (
        "def cost(x, u, v):\n    return (x * u * v).sum() + (u**3).sum() + (2 * v).sum()\n"
        "def gradient(x, u, v):\n    du, dv = x * v + 3 * u**2, x * u + 2\n    return dv, du\n"
    )
    inputs = {name: rng.normal(size=4) for name in ("x", "u", "v")}
    alone = planted.load(source, "alone")
    report = check(alone.cost, alone.gradient, inputs)
    assert report.ok, f"\n{report}"
    assert any("in another order than that of the arguments: the gradients of v, u" in note for note in report.notes)
    for targets, wrong in ("dv, du", set()), ("du, dv", {"u", "v"}), ("a, b", set()):
        module = planted.load(f"{source}def step(x, u, v):\n    {targets} = gradient(x, u, v)\n", "called")
        report = check(module.cost, module.gradient, inputs)
        assert wrongs(report) == wrong, f"{targets}\n{report}"


def test_three_gradients_of_a_layer_in_another_order_are_read_by_name(rng):
    def forward(x, w, b):
        return x @ w + b, (x, w)

    def backward(dout, cache):
        x, w = cache
        dw, db, dx = x.T @ dout, dout.sum(axis=0), dout @ w.T
        return dw, db, dx

    report = check(forward, backward, dict(x=rng.normal(size=(3, 4)), w=rng.normal(size=(4, 2)), b=rng.normal(size=2)))
    assert report.ok, f"\n{report}"


NETWORK = (
    "import numpy as np\n"
    "def forward(X, W):\n    A = np.tanh(X @ W)\n    return A, (X, A)\n"
    "def loss(A, Y):\n    return np.sum((A - Y) ** 2) / 2\n"
    "def backward(A, Y, cache):\n    X, A = cache\n    dZ = (A - Y) * (1 - A{square})\n    return {{'dW': X.T @ dZ}}\n"
)


@pytest.mark.parametrize("square", ["**2", ""])
def test_forward_cost_and_backward_are_a_network_in_whatever_order_they_come(square, rng):
    module = planted.load(NETWORK.format(square=square), "trio")
    inputs = dict(X=rng.normal(size=(5, 3)), W=rng.normal(size=(3, 2)), Y=rng.normal(size=(5, 2)))
    forward, loss, backward = module.forward, module.loss, module.backward
    reports = [
        check(forward, loss, backward, inputs),
        check(forward, backward, loss, inputs),
        check([forward, loss, backward], inputs),
        check(forward, backward, inputs, cost=loss),
        check(forward, backward, inputs, cost=lambda A, Y: np.sum((A - Y) ** 2) / 2),
    ]
    for report in reports:
        assert wrongs(report) == (set() if square else {"W"}), f"\n{report}"
        assert {place.line for place in report.lines} == (set() if square else {9})
    said = "forward, loss and backward: J is the cost; ['dW'] the gradient of W"
    assert [report.understood for report in reports[:4]] == [said] * 4
    if not square:
        assert ".forward, planted" in reports[0].counterexample().source
        assert ".backward, inputs, cost=planted" in reports[3].counterexample().source


@pytest.mark.parametrize(
    ("cost", "said"),
    [
        (lambda prediction, Y: np.sum(prediction - Y), None),
        (lambda prediction, truth: np.sum(prediction - truth), "takes 'truth', which is no input"),
        (lambda A, Y: A - Y, "no single number that could be the cost"),
        (lambda A: A.nothing, "AttributeError"),
    ],
)
def test_what_a_cost_takes_is_found_or_asked_for(cost, said, rng):
    module = planted.load(NETWORK.format(square="**2").replace("(A - Y) * (1", "(1"), "cost")
    inputs = dict(X=rng.normal(size=(5, 3)), W=rng.normal(size=(3, 2)), Y=rng.normal(size=(5, 2)))
    if said is None:
        assert check(module.forward, module.backward, inputs, cost=cost).ok
        return
    with pytest.raises(UsageError, match=said):
        check(module.forward, module.backward, inputs, cost=cost)


def test_a_cost_of_several_values_is_asked_which(rng):
    def forward(X, W):
        return X @ W, np.tanh(X @ W)

    def backward(X, Y, Z):
        return {"dW": X.T @ (Z - Y)}

    inputs = dict(X=rng.normal(size=(5, 3)), W=rng.normal(size=(3, 2)), Y=rng.normal(size=(5, 2)))
    with pytest.raises(UsageError, match=r"takes 'prediction', which may be any of"):
        check(forward, backward, inputs, cost=lambda prediction, Y: np.sum((prediction - Y) ** 2) / 2)


def test_layers_take_no_cost_from_outside(rng):
    class Double:
        def forward(self, x):
            return 2 * x

        def backward(self, dout):
            return 2 * dout

    with pytest.raises(UsageError, match="layers do not take"):
        check([Double(), Double()], dict(x=rng.normal(size=3)), cost=np.sum)
    with pytest.raises(UsageError, match="expected \\('forward', 'backward'\\)"):
        check(Double(), dict(x=rng.normal(size=3)), methods=("forward",), cost=np.sum)


class Remembering:
    """Leaves its output, and its gradients, in itself; takes a step on its weights where it is given a rate."""

    def __init__(self, weights, slip=1.0):
        self.weights, self.slip, self.count = weights, slip, np.zeros(2)

    def forward(self, inputs):
        self.inputs = inputs
        self.half = inputs / 2
        self.output = inputs @ self.weights

    def backward(self, dvalues, learning_rate=0.0):
        self.dinputs = dvalues @ self.weights.T
        self.weights -= learning_rate * self.slip * (self.inputs.T @ dvalues)
        self.count += 1


@pytest.mark.parametrize("slip", [1.0, 2.0])
def test_a_step_on_the_weights_is_their_gradient_times_the_rate(slip, rng):
    inputs = dict(inputs=rng.normal(size=(5, 3)), learning_rate=0.1)
    for layers in ([Remembering(rng.normal(size=(3, 2)), slip)], [Remembering(rng.normal(size=(3, 3)), slip)] * 1):
        layer = layers[0]
        before = layer.weights.copy()
        report = check(layer, inputs)
        assert wrongs(report) == ({"weights"} if slip == 2 else set()), f"\n{report}"
        assert "(weights before - after) / learning_rate the gradient of weights" in report.understood
        assert "count" not in report.understood  # which the cost does not depend on
        np.testing.assert_array_equal(layer.weights, before)


def test_a_step_without_a_rate_is_the_gradient(rng):
    class Net:
        def __init__(self, x, y):
            self.x, self.y, self.w = x, y, np.linspace(-1, 1, x.shape[1])

        def feedforward(self):
            self.output = self.x @ self.w

        def backprop(self):
            self.w += self.x.T @ (self.y - self.output)

    inputs = dict(x=rng.normal(size=(5, 3)), y=rng.normal(size=5))
    report = check(Net, inputs, cost=lambda output, y: np.sum((output - y) ** 2) / 2)
    assert report.ok, f"\n{report}"
    assert "(w before - after) the gradient of w" in report.understood
    report = check(Net, inputs, cost=lambda output, y: np.sum((output - y) ** 2))
    assert wrongs(report) == {"w"}, f"\n{report}"


def test_an_output_that_may_be_any_of_several_attributes_is_asked_for(rng):
    class Layer:
        def forward(self, x):
            self.first, self.second = 2 * x, 3 * x

        def backward(self, dout):
            return 2 * dout

    with pytest.raises(UsageError, match="forward returns nothing and sets first, second: which is the output"):
        check(Layer(), dict(x=rng.normal(size=3)))


def test_an_array_that_an_object_holds_and_no_gradient_is_given_of_is_said(rng):
    class Layer:
        def __init__(self):
            self.W, self.b, self.unused = rng.normal(size=(3, 2)), rng.normal(size=2), rng.normal(size=2)

        def forward(self, x):
            self.x = x
            return x @ self.W + self.b

        def backward(self, dout):
            self.db = dout.sum(axis=0)
            return dout @ self.W.T

    notes = check(Layer(), dict(x=rng.normal(size=(4, 3)))).notes
    assert any(note == "not judged, since no gradient of them is given back: W" for note in notes), notes


def test_a_gradient_that_is_a_part_of_another_array_is_judged(rng):
    class Layer:
        def __init__(self):
            self.w = rng.normal(size=(3, 2))

        def forward(self, x):
            self.x = x
            return np.sum(x * self.w)

        def backward(self):
            self.both = np.stack([self.x.T, self.w.T])
            self.dw = self.both[0].T * 1.0
            self.dx = self.both[0].T  # which is to be that of w

    report = check(Layer(), dict(x=rng.normal(size=(3, 2))))
    assert wrongs(report) == {"x"}, f"\n{report}"


def test_two_lines_at_fault_are_both_named():
    """As in a notebook that thousands have copied: both biases are summed over units, too."""
    source = (
        "import numpy as np\n"
        "def forward(W1, b1, W2, b2, X):\n"
        "    Z1 = W1 @ X + b1\n    A1 = np.maximum(Z1, 0)\n    Z2 = W2 @ A1 + b2\n"
        "    E = np.exp(Z2 - Z2.max(axis=0))\n    return Z1, A1, E / E.sum(axis=0)\n"
        "def cost(A2, Y):\n    return -np.mean(np.log(A2[Y, np.arange(Y.size)]))\n"
        "def backward(Z1, A1, A2, W2, X, Y):\n"
        "    m = Y.size\n    dZ2 = A2.copy()\n    dZ2[Y, np.arange(m)] -= 1\n"
        "    dW2 = dZ2 @ A1.T / m\n    db2 = np.sum(dZ2) / m\n    dZ1 = W2.T @ dZ2 * (Z1 > 0)\n"
        "    dW1 = dZ1 @ X.T / m\n    db1 = np.sum(dZ1) / m\n    return dW1, db1, dW2, db2\n"
    ).replace("E / E.sum(axis=0)", "E / E.sum(axis=0)")
    module = planted.load(source, "two")
    rng = np.random.default_rng(0)
    sizes = dict(W1=(4, 5), b1=(4, 1), W2=(3, 4), b2=(3, 1), X=(5, 8))
    inputs = {name: rng.normal(size=size) for name, size in sizes.items()} | {"Y": np.arange(8) % 3}
    report = check(module.forward, module.cost, module.backward, inputs)
    assert wrongs(report) == {"b1", "b2"}
    assert {place.source: place.diagnosis for place in report.lines} == {
        f"db{i} = np.sum(dZ{i}) / m": f"it is right with `np.sum(dZ{i}, axis=1, keepdims=True)` for `np.sum(dZ{i})`"
        for i in (1, 2)
    }


@pytest.mark.parametrize("handed", ["w", "dout", "db", "dX"])
def test_what_is_handed_back_in_the_place_of_a_gradient_is_taken_for_it(handed, rng):
    layer = planted.load(
        "def forward(X, w, b):\n"
        "    return X * w + b, (X, w)\n"
        "def backward(dout, cache):\n"
        "    X, w = cache\n"
        "    dX, dw, db = dout * w, dout * X, dout.copy()\n"
        f"    return dX, {handed}, db\n",
        "handed",
    )
    inputs = {name: rng.normal(size=(2, 3)) for name in ("X", "w", "b")}
    report = check(layer.forward, layer.backward, inputs)
    assert wrongs(report) == {"w"}, f"\n{report}"


@pytest.mark.parametrize("handed", ["hs[-1]", "hprev"])
def test_a_state_that_is_handed_on_after_the_gradients_is_no_gradient(handed, rng):
    network = planted.load(
        "import numpy as np\n"
        "def step(Wx, Wh, hprev, xs):\n"
        "    h0, hs = hprev, [hprev]\n"
        "    for x in xs:\n"
        "        hprev = np.tanh(x @ Wx + hprev @ Wh)\n"
        "        hs.append(hprev)\n"
        "    J = np.sum(hs[-1] ** 2)\n"
        "    dh, dWx, dWh = 2 * hs[-1], np.zeros_like(Wx), np.zeros_like(Wh)\n"
        "    for t in reversed(range(len(xs))):\n"
        "        da = dh * (1 - hs[t + 1] ** 2)\n"
        "        dWx += np.outer(xs[t], da)\n"
        "        dWh += np.outer(hs[t], da)\n"
        "        dh = Wh @ da\n"
        f"    return J, dWx, dWh, {handed}\n",
        "handed_on",
    )
    inputs = dict(Wx=rng.normal(size=(2, 3)), Wh=rng.normal(size=(3, 3)), hprev=rng.normal(size=3))
    report = check(network.step, inputs | dict(xs=rng.normal(size=(4, 2))))
    assert report.ok, f"\n{report}"
    assert {finding.name for finding in report.findings} == {"dWx", "dWh"}


def test_a_list_of_gradients_beside_others_is_that_of_a_list(rng):
    network = planted.load(
        "def loss(w, b, x, t):\n"
        "    e = w[0] * x[0] + w[1] * x[1] + b - t\n"
        "    db = 2 * e\n"
        "    return e**2, [2 * e * xi for xi in x], db\n"
        "def wrong(w, b, x, t):\n"
        "    e = w[0] * x[0] + w[1] * x[1] + b - t\n"
        "    db = 2 * e\n"
        "    return e**2, [7 * xi for xi in x], db\n",
        "listed",
    )
    inputs = dict(w=[0.5, -0.3], b=0.1, x=[1.0, 2.0], t=1.0)
    report = check(network.loss, inputs, cost=0)
    assert report.ok, f"\n{report}"
    assert {finding.name for finding in report.findings} == {"dw[0]", "dw[1]", "db"}
    assert wrongs(check(network.wrong, inputs, cost=0)) == {"w[0]", "w[1]"}


def test_what_is_given_back_and_not_read_is_said(rng):
    def loss(W, b, X, y):
        r = X @ W + b - y
        db = 2 * r.mean()
        return (r**2).mean(), db, 7 * X.T @ r / len(y)

    inputs = dict(W=rng.normal(size=3), b=0.1, X=rng.normal(size=(8, 3)), y=rng.normal(size=8))
    report = check(loss, inputs, cost=0)
    assert any("W, X, y" in note and "not read: [2] (3,)" in note for note in report.notes), report.notes
    assert wrongs(check(loss, inputs, cost=0, gradients=dict(W=2))) == {"W"}


def test_fields_of_a_named_tuple_are_names(rng):
    Answer = namedtuple("Answer", "predictions accuracy loss grads")

    def step(w, X, y):
        p = X @ w
        return Answer(p, float(np.mean(p > 0)), np.sum((p - y) ** 2) / 2, {"w": X.T @ (p - y)})

    report = check(step, dict(w=rng.normal(size=3), X=rng.normal(size=(8, 3)), y=rng.normal(size=8)))
    assert report.ok, f"\n{report}"
    assert "loss is the cost" in report.understood


def test_gradients_by_their_place_are_judged_in_that_order():
    w, b = np.array([1.0, 2.0]), np.array([3.0, 4.0])

    def step(X):
        J = np.sum((X * w + b) ** 2)
        dw, db = 2 * (X * w + b) * X, 2 * (X * w + b)
        return J, db, dw

    assert check(step, dict(X=np.array([5.0, 6.0]))).ok
    report = check(step, dict(X=np.array([5.0, 6.0])), gradients=dict(w=1, b=2))
    assert wrongs(report) == {"w", "b"}
    assert check(step, dict(X=np.array([5.0, 6.0])), gradients=dict(b=1, w=2)).ok
    with pytest.raises(UsageError, match=r"gradients=\{'w': 3\}: there is none"):
        check(step, dict(X=np.array([5.0, 6.0])), gradients=dict(w=3))


def test_a_list_shifted_by_one_layer_is_no_list_in_order(rng):
    def cost_and_gradients(layers, x):
        a, inputs = x, []
        for layer in layers:
            inputs.append(a)
            a = a @ layer["W"]
        delta, grads = a, [None] * len(layers)
        for k in reversed(range(len(layers))):
            grads[k - 1] = {"W": inputs[k].T @ delta}
            delta = delta @ layers[k]["W"].T
        return 0.5 * np.sum(a**2), grads

    layers = [{"W": rng.normal(size=size)} for size in ((3, 4), (4, 2), (2, 5))]
    report = check(cost_and_gradients, dict(layers=layers, x=rng.normal(size=(6, 3))))
    assert wrongs(report) == {f"layers[{k}]['W']" for k in range(3)}


def test_what_must_be_there_is_asked_for_by_name():
    def evaluate(w, b):
        return np.sum(w**2) + b**2, {"dw": 2 * w}

    report = check(evaluate, dict(w=np.ones(3), b=np.ones(1)), cost=0)
    assert report.ok
    assert "not judged, since no gradient of them is given back: b" in report.notes
    with pytest.raises(UsageError, match="no gradient of b is given back"):
        check(evaluate, dict(w=np.ones(3), b=np.ones(1)), cost=0, wrt=("w", "b"))


def test_what_nobody_takes_is_said():
    with pytest.raises(UsageError, match=r"inputs has 'typo', which .* does not take"):
        check(lambda w: (np.sum(w), np.ones_like(w)), dict(w=np.ones(2), typo=np.ones(5)))


@pytest.mark.parametrize(
    ("subject", "inputs", "said"),
    [
        (lambda w: np.sum(w**2), dict(w=np.ones(3)), "gives back no gradient, neither as a value nor in an attribute"),
        (lambda w: (np.sum(w**2), 2 * w), dict(w=np.arange(3)), "is of type int64; expected floating point"),
        (3, dict(w=np.ones(3)), "3 is int; expected a function"),
        ([], dict(w=np.ones(3)), "the list of layers is empty"),
        (lambda w: (np.sum(w), w), [1.0], "expected a dictionary of arrays by argument"),
        (lambda w, v: (np.sum(w * v), w), dict(w=np.ones(3)), "takes an argument 'v'"),
        (lambda w: w @ {}, dict(w=np.ones(3)), "raised TypeError"),
    ],
)
def test_what_cannot_be_read_is_said(subject, inputs, said):
    with pytest.raises(UsageError, match=said):
        check(subject, inputs)


@pytest.mark.parametrize("form", ["loop", "math", "numbers", "recursion", "fft"])
def test_arithmetic_of_any_kind_is_followed_or_run(form, rng):
    """A Python loop over numbers, `math`, NumPy imported within, recursion: by the tape; the rest by differences."""

    def power(n, w):
        return w if n == 0 else power(n - 1, w) * w

    def loop(w):
        return sum(v**2 for v in w), np.array([2 * v for v in w])

    def by_math(w):
        total, gradient = 0.0, [0.0] * len(w)
        for i, v in enumerate(w):
            total += math.exp(v) * v
            gradient[i] = math.exp(v) * (1 + v)
        return float(total), np.array(gradient)

    def numbers(w):
        import numpy as within

        out = within.zeros(len(w))
        out[:] = within.sin(w)
        return out.sum(), np.cos(w)

    def fft(w):
        return np.sum(np.abs(np.fft.fft(w)) ** 2), 2 * len(w) * w

    subject = dict(loop=loop, math=by_math, numbers=numbers, fft=fft, recursion=lambda w: (power(3, w).sum(), 4 * w**3))
    report = check(subject[form], dict(w=rng.normal(size=3)), cost=0)
    assert report.ok, f"\n{report}"
    twice = check(
        lambda w: (subject[form](w)[0], 2 * np.asarray(subject[form](w)[1])),
        dict(w=rng.normal(size=3)),
        cost=0,
        seconds=0.0,
    )
    assert wrongs(twice) == {"w"}


def test_what_is_true_of_the_given_inputs_is_true_of_those_that_are_drawn(rng):
    def quadratic(x, A):
        return 0.5 * x @ A @ x, A @ x

    def projected(c, U, x):
        r = x - U @ c
        return 0.5 * r @ r, c - U.T @ x

    def entropy(s, P):  # P is symmetric, 0 on the diagonal, and sums to 1
        e = np.exp(s)
        return np.log(e.sum()) - np.sum(P @ s), e / e.sum() - P.sum(axis=0)

    whole = np.array([[2.0, 1, 0], [1, 3, -1], [0, -1, 2]])
    assert check(quadratic, dict(x=rng.normal(size=3), A=whole)).ok
    U = np.linalg.qr(rng.normal(size=(4, 2)))[0]
    assert check(projected, dict(c=rng.normal(size=2), U=U, x=rng.normal(size=4))).ok
    P = rng.random((5, 5))
    P = (P + P.T) * (1 - np.eye(5))
    assert check(entropy, dict(s=rng.normal(size=5), P=P / P.sum())).ok
    lopsided = check(quadratic, dict(x=rng.normal(size=3), A=whole + np.triu(np.ones((3, 3)), 1)))
    assert wrongs(lopsided) == {"x"}


def test_systems_of_equations_are_solved_well_conditioned_or_not(rng):
    def solved(K, y):
        s = np.linalg.solve(K, y)
        dy = np.linalg.solve(K.T, np.ones(len(y)))
        return np.sum(s), -np.outer(dy, s), dy

    hilbert = 1 / (1.0 + np.add.outer(np.arange(6), np.arange(6)))
    for K, trials in ((3 * np.eye(3) + rng.normal(size=(3, 3)), 3), (hilbert, 0)):
        report = check(solved, dict(K=K, y=rng.normal(size=len(K))), trials=trials)
        assert report.ok, f"\n{report}"
        assert {finding.name for finding in report.findings} == {"dK", "dy"}


def test_a_branch_that_is_not_run_is_no_hindrance_and_the_cost_is_not_mended(rng):
    module = planted.load(
        "import numpy as np\n"
        "def loss(w, X, y):\n"
        "    if len(y) == 0:\n"
        "        return 0.0, np.zeros_like(w)\n"
        "    r = X @ w - y\n"
        "    return np.mean(r**2), X.T @ r / len(y)\n"
        "def mixture(logits, L):\n"
        "    w = np.exp(logits) / np.exp(logits).sum()\n"
        "    p = w * L\n"
        "    resp = p / p.sum(1, keepdims=True)\n"
        "    dlogits = w - resp.sum(0)\n"
        "    return -np.log(p.sum(1)).sum(), dlogits\n",
        "branches",
    )
    report = check(module.loss, dict(w=rng.normal(size=3), X=rng.normal(size=(8, 3)), y=rng.normal(size=8)))
    assert [place.line for place in report.lines] == [6], f"\n{report}"
    report = check(module.mixture, dict(logits=rng.normal(size=3), L=rng.random((6, 3))))
    assert [place.line for place in report.lines] == [11], f"\n{report}"


def test_an_object_without_the_usual_methods_says_which_it_has():
    class Odd:
        def ahead(self, x):
            self.x = x
            return x**2

        def behind(self, dout):
            return 2 * self.x * dout

    with pytest.raises(UsageError, match=r"ahead, behind: which compute the cost .* methods="):
        check(Odd(), dict(x=np.ones(3)))
    assert check(Odd(), dict(x=np.arange(3.0)), methods=("ahead", "behind")).ok


def test_the_report_says_how_the_code_was_read(rng):
    report = check(
        lambda w, X: (np.sum((X @ w) ** 2), {"dw": 2 * X.T @ (X @ w)}), dict(w=np.ones(2), X=np.ones((3, 2)))
    )
    assert report.understood.endswith("['dw'] the gradient of w")
    assert str(report).startswith(report.understood)


def test_for_pytest_the_same_is_an_assertion(rng):
    def forward(x):
        return np.tanh(x), x

    assert_gradients(forward, lambda dout, x: dout * (1 - np.tanh(x) ** 2), dict(x=rng.normal(size=3)))
    with pytest.raises(AssertionError, match="dx"):
        assert_gradients(forward, lambda dout, x: dout * (1 - np.tanh(x)), dict(x=rng.normal(size=3)))


def test_the_upstream_gradient_forgotten_has_a_name(rng):
    report = check(lambda x: (x**2, x), lambda dout, cache: 2 * cache + 0 * dout, dict(x=rng.normal(size=4)))
    assert [finding.kind for finding in report.findings] == ["upstream"]
    assert "the upstream gradient dout is forgotten" in str(report)


def test_clipping_has_a_name(rng):
    def evaluate(w):
        return np.sum(w**3), np.clip(3 * w**2, -1, 1)

    assert check(evaluate, dict(w=np.linspace(-2, 2, 7)), cost=0).findings[0].kind == "clipped"


# what is right, and looks wrong


def test_an_epsilon_in_the_loss_is_said_and_not_blamed(rng):
    def evaluate(w, X, Y):
        A = 1 / (1 + np.exp(-(w @ X)))
        loss = -np.mean(Y * np.log(A + 1e-7) + (1 - Y) * np.log(1 - A + 1e-7))
        return loss, {"w": (A - Y) @ X.T / Y.size}

    inputs = dict(w=rng.normal(size=(1, 3)), X=rng.normal(size=(3, 8)), Y=rng.integers(0, 2, (1, 8)).astype(float))
    report = check(evaluate, inputs)
    assert report.ok, f"\n{report}"
    assert "dw is right but for the 1e-07 that forward adds" in report.notes[-1]
    twice = check(lambda w, X, Y: (evaluate(w, X, Y)[0], {"w": 2 * evaluate(w, X, Y)[1]["w"]}), inputs)
    assert wrongs(twice) == {"w"}


def test_a_gradient_that_cancels_to_nothing_is_right_and_one_that_does_not_is_wrong(rng):
    def forward(x, b):
        z = x + b
        return (z - z.mean(axis=0)) / z.std(axis=0), (z - z.mean(axis=0), z.std(axis=0))

    def backward(dout, cache, spoilt=False):
        away, std = cache
        h = away / std
        dz = (dout - dout.mean(axis=0) - h * (dout * h).mean(axis=0)) / std
        return dz, dout.sum(axis=0) if spoilt else dz.sum(axis=0)

    inputs = dict(x=rng.normal(size=(6, 3)), b=rng.normal(size=3))
    report = check(forward, backward, inputs)
    assert report.ok, f"\n{report}"
    assert wrongs(check(forward, lambda dout, cache: backward(dout, cache, True), inputs)) == {"b"}


def test_a_forward_that_returns_a_variable_keeps_its_right_lines(rng):
    def forward(x, W, R):
        z = x @ W
        a = np.zeros_like(z)
        a[:] = np.tanh(z)
        out = dict(z=z, a=a, J=np.sum(a * R))
        return out  # noqa: RET504

    def backward(x, W, R, a):
        dz = R * (1 - a**2)
        return dict(da=R, dz=dz, dW=x.T @ dz, dx=dz @ W.T)

    inputs = dict(x=rng.normal(size=(3, 2)), W=rng.normal(size=(2, 2)), R=rng.normal(size=(3, 2)))
    report = check(forward, backward, inputs)
    assert report.ok, f"\n{report}"


def test_a_step_taken_inside_backward_before_a_use_is_a_fault(rng):
    def forward(W1, W2, X, y):
        h = np.tanh(X @ W1)
        p = h @ W2
        J = ((p - y) ** 2).mean()
        return dict(h=h, p=p, J=J)

    def backward(W1, W2, X, y, h, p):
        dp = 2 * (p - y) / y.size
        dW2 = h.T @ dp
        W2 -= 1.0 * dW2
        dh = dp @ W2.T
        return dict(dp=dp, dW2=dW2, dh=dh, dW1=X.T @ (dh * (1 - h**2)))

    inputs = dict(
        W1=rng.normal(size=(3, 4)), W2=rng.normal(size=(4, 2)), X=rng.normal(size=(5, 3)), y=rng.normal(size=(5, 2))
    )
    report = check(forward, backward, inputs)
    assert {f.name: f.verdict for f in report.findings} == dict(dp="right", dW2="right", dh="wrong", dW1="inherited")
    assert "backward changes W2 in place; on a copy" in report.notes


def test_a_cost_that_does_not_depend_on_an_input_has_the_gradient_zero(rng):
    class Ones:
        def f(self, z):
            return np.ones_like(z)

    ones = Ones()
    inputs = dict(z=rng.normal(size=3), R=rng.normal(size=3))
    right = check(lambda z, R: dict(J=np.sum(ones.f(z) * R)), lambda z: dict(dz=np.zeros_like(z)), inputs)
    assert right.ok, f"\n{right}"
    assert not check(lambda z, R: dict(J=np.sum(ones.f(z) * R)), lambda z: dict(dz=np.ones_like(z)), inputs).ok


def test_a_rule_of_jax_inside_forward_is_not_its_own_oracle():
    jax = pytest.importorskip("jax")
    jnp = jax.numpy

    @jax.custom_vjp
    def f(x, y):
        return jnp.exp(-x * x) * jnp.tanh(y)

    f.defvjp(lambda x, y: (f(x, y), (x, y)), lambda saved, g: (g * saved[0], g * saved[1]))

    def backward(x, y):
        dx, dy = jax.grad(lambda x, y: f(x, y).sum(), (0, 1))(x, y)
        return dict(dx=np.asarray(dx), dy=np.asarray(dy))

    with jax.enable_x64(True):
        report = check(lambda x, y: dict(J=f(x, y).sum()), backward, dict(x=np.array([0.3]), y=np.array([2.0])))
    assert wrongs(report) == {"x", "y"}, f"\n{report}"


class Affine:
    def __init__(self, n_in, n_out, rng):
        self.W, self.b = rng.normal(size=(n_in, n_out)) / np.sqrt(n_in), np.zeros(n_out)

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout):
        self.dW, self.db = self.x.T @ dout, dout.sum(axis=0)
        return dout @ self.W.T


class Relu:
    def forward(self, x):
        self.mask = x <= 0
        out = x.copy()
        out[self.mask] = 0
        return out

    def backward(self, dout):
        dout[self.mask] = 0
        return dout


class TwoLayers:
    def __init__(self, sizes, rng):
        self.layers = [Affine(sizes[0], sizes[1], rng), Relu(), Affine(sizes[1], sizes[2], rng)]

    def loss(self, x, t):
        for layer in self.layers:
            x = layer.forward(x)
        x = x - x.max(axis=1, keepdims=True)
        self.p = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
        self.t = t
        return -np.log(self.p[np.arange(len(t)), t]).mean()

    def backward(self):
        dout = self.p.copy()
        dout[np.arange(len(self.t)), self.t] -= 1
        dout /= len(self.t)
        for layer in reversed(self.layers):
            dout = layer.backward(dout)


def test_a_class_based_network_of_digits_is_checked_in_seconds(rng):
    net = TwoLayers([784, 100, 10], rng)
    start = time.process_time()  # which is the same on a machine that does other things besides
    report = check(net, dict(x=rng.random((64, 784)), t=rng.integers(0, 10, 64)))
    assert time.process_time() - start < 20
    assert report.ok, f"\n{report}"
    assert {finding.name for finding in report.findings} == {f"dlayers[{i}].{n}" for i in (0, 2) for n in "Wb"}


# the user's things are left as they are


class Layer:
    def __init__(self, rng):
        self.W = rng.normal(size=(3, 2))
        self.mean = np.zeros(2)
        self.calls = []

    def forward(self, x):
        self.calls.append(len(x))
        z = x @ self.W
        self.mean = 0.9 * self.mean + 0.1 * z.mean(axis=0)
        self.x, self.mask = x, np.random.random(z.shape) < 0.7  # noqa: NPY002
        print("forward")  # noqa: T201
        return z * self.mask

    def backward(self, dout):
        dout *= self.mask
        self.dW = self.x.T @ dout
        return dout @ self.W.T


params = {"W": np.arange(6.0).reshape(3, 2)}
draws = np.random.default_rng(3)


def with_globals(x, y):
    noise = draws.normal(size=y.shape)
    params["seen"] = params.get("seen", 0) + 1
    out = x @ params["W"] - y + noise
    params["W"] -= 0.0
    return np.sum(out**2), {"W": 2 * x.T @ out}


def test_objects_arrays_generators_modules_and_output_are_as_before(rng):
    layer, x = Layer(rng), rng.normal(size=(4, 3))
    before = {"W": layer.W.copy(), "x": x.copy()}
    np.random.seed(1)  # noqa: NPY002
    state, drawn = np.random.get_state(), draws.bit_generator.state  # noqa: NPY002
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        report = check(layer, dict(x=x))
        of_module = check(with_globals, dict(x=x, y=rng.normal(size=(4, 2))))
    assert report.ok, f"\n{report}"
    assert of_module.ok, f"\n{of_module}"
    assert {f.name for f in of_module.findings} == {"dparams['W']"}
    assert "what it prints is held back" in report.notes
    assert out.getvalue() == ""
    assert np.array_equal(layer.W, before["W"])
    assert np.array_equal(x, before["x"])
    assert set(vars(layer)) == {"W", "mean", "calls"}
    assert not layer.calls
    assert np.array_equal(layer.mean, np.zeros(2))
    assert all(np.array_equal(a, b) for a, b in zip(state, np.random.get_state(), strict=True))  # noqa: NPY002
    assert draws.bit_generator.state == drawn
    assert set(params) == {"W"}
    assert type(params["W"]) is np.ndarray
    assert sys.gettrace() is None or "handgrad" not in str(sys.gettrace())


def test_a_wrong_layer_too_leaves_all_as_it_was(rng):
    class Wrong(Layer):
        def backward(self, dout):
            dout *= self.mask
            self.dW = self.x.T @ dout / len(self.x)
            return dout @ self.W.T

    code = Wrong.backward.__code__
    layer = Wrong(rng)
    report = check(layer, dict(x=rng.normal(size=(4, 3))))
    assert wrongs(report) == {"W"}
    assert [line.source for line in report.lines] == ["self.dW = self.x.T @ dout / len(self.x)"], f"\n{report}"
    assert Wrong.backward.__code__ is code
    assert set(vars(layer)) == {"W", "mean", "calls"}


def test_the_line_is_found_where_the_cost_is_an_array_of_one_number(rng):
    module = planted.load(
        "def loss(w, X):\n    z = X @ w\n    J = z.T @ z\n    dw = 3 * X.T @ z\n    return J, dw\n", "one"
    )
    report = check(module.loss, dict(w=rng.normal(size=(3, 1)), X=rng.normal(size=(4, 3))))
    assert [place.line for place in report.lines] == [4], f"\n{report}"


@pytest.mark.parametrize(
    ("line", "after"),
    [
        ("(A - Y) * sigmoid(A) * (1 - sigmoid(A))", "`A` for `sigmoid(A)`"),
        ("(A - Y) * sigmoid(Y) * (1 - sigmoid(Y))", "`A` for `sigmoid(Y)`"),
        ("(A - Y) * Z * (1 - Z)", "`A` for `Z`"),
    ],
)
def test_the_derivative_of_the_activation_at_another_place_is_mended_wherever_it_is_read(line, after, rng):
    """The first as article 1 has it: s(A) (1 - s(A)), where A is s(Z) already."""
    module = planted.load(
        "import numpy as np\n"
        "def sigmoid(Z):\n"
        "    return 1 / (1 + np.exp(-Z))\n"
        "def propagate(W, b, X, Y):\n"
        "    m = X.shape[1]\n"
        "    Z = W.T @ X + b\n"
        "    A = sigmoid(Z)\n"
        "    cost = np.sum((A - Y) ** 2) / (2 * m)\n"
        f"    dZ = {line}\n"
        "    return {'dW': X @ dZ.T / m, 'db': np.sum(dZ) / m}, cost\n",
        "elsewhere",
    )
    inputs = dict(W=rng.normal(size=(3, 1)), b=0.5, X=rng.normal(size=(3, 5)), Y=np.arange(5.0)[None] % 2)
    report = check(module.propagate, inputs)
    assert [place.line for place in report.lines] == [9], f"\n{report}"
    assert report.lines[0].diagnosis == f"it is right with {after}"


@pytest.mark.parametrize(("name", "right", "wrong"), [
    ("batch_norm_cache", "dvar = 0.5 * dsqrtvar", "dvar = dsqrtvar"),
    ("batch_norm_layer", "dvar = 0.5 * dstd", "dvar = 1 * dstd"),
])  # fmt: skip
def test_a_factor_of_two_is_blamed_where_it_is_missing_and_not_where_another_would_make_up_for_it(name, right, wrong):
    """The next line but one multiplies by 2: a smaller change, which would leave dvar twice what its name says."""
    source = PROGRAMS[name].source
    module = planted.load(source.replace(right, wrong), f"two_{name}")
    subject, inputs = planted.made(module, 0)
    report = check(*subject, inputs, **module.OPTIONS)
    assert [place.source.startswith(wrong) for place in report.lines] == [True], f"\n{report}"


def test_looking_for_the_line_leaves_all_as_it_was_and_prints_nothing(rng, capsys):
    module = planted.load(
        "import numpy as np\n"
        "calls, count = [], 0\n"
        "def back(d, W):\n"
        "    global count\n"
        "    calls.append(d.shape)\n"
        "    count += 1\n"
        "    print('drawn', np.random.rand())\n"
        "    return d @ W.T\n"
        "def loss(W, X, Y):\n"
        "    d = X @ W - Y\n"
        "    dX = back(d, W)\n"
        "    dW = 3 * X.T @ d\n"
        "    return 0.5 * np.sum(d**2), dW, dX\n",
        "printing",
    )
    state = np.random.get_state()[1].copy()  # noqa: NPY002 - what such code draws from
    report = check(module.loss, dict(W=rng.normal(size=(3, 2)), X=rng.normal(size=(4, 3)), Y=rng.normal(size=(4, 2))))
    assert [place.source for place in report.lines] == ["dW = 3 * X.T @ d"]
    assert capsys.readouterr() == ("", "")
    assert (module.calls, module.count) == ([], 0)
    assert np.array_equal(state, np.random.get_state()[1])  # noqa: NPY002
