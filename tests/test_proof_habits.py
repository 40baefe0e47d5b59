"""Habits of courses and blogs: what is given back is read as its author meant it, or refused in a sentence."""

import numpy as np
import pytest

import planted
from handgrad import UsageError
from handgrad.proof import check, check_file

DESCENT = """
import numpy as np
def compute_cost(X, y, theta):
    return np.sum((X @ theta - y) ** 2) / (2 * y.size)
def gradient_descent(X, y, theta, alpha, num_iters):
    m = y.size
    history = []
    for _ in range(num_iters):
        slope = X.T @ (X @ theta - y) / m
        theta = theta - alpha * slope
        history.append(compute_cost(X, y, theta))
    return theta, history
def inputs(rng):
    return {"X": rng.normal(size=(7, 2)), "y": rng.normal(size=7), "theta": rng.normal(size=2), "alpha": 0.1,
            "num_iters": 1}
"""

ONE_STEP = """
import numpy as np
def sgd_step(w, X, y, lr=0.1):
    r = X @ w - y
    loss = 0.5 * np.mean(r ** 2)
    g = X.T @ r / len(y)
    return w - lr * g, loss
def inputs(rng):
    return {"w": rng.normal(size=3), "X": rng.normal(size=(5, 3)), "y": rng.normal(size=5)}
"""

OPTIMIZE = """
import numpy as np
def propagate(w, b, X, Y):
    m = X.shape[1]
    A = 1 / (1 + np.exp(-(w.T @ X + b)))
    cost = -np.sum(Y * np.log(A) + (1 - Y) * np.log(1 - A)) / m
    grads = {"dw": X @ (A - Y).T / m, "db": np.sum(A - Y) / m}
    return grads, cost
def optimize(w, b, X, Y, num_iterations=30, learning_rate=0.1):
    costs = []
    for i in range(num_iterations):
        grads, cost = propagate(w, b, X, Y)
        w = w - learning_rate * grads["dw"]
        b = b - learning_rate * grads["db"]
        if i % 100 == 0:
            costs.append(cost)
    return {"w": w, "b": b}, grads, costs
def inputs(rng):
    return {"w": rng.normal(size=(3, 1)), "b": 0.2, "X": rng.normal(size=(3, 5)), "Y": np.array([[1, 0, 1, 1, 0]])}
"""

ONE_LABEL = """
import numpy as np
class Softmax:
    def __init__(self, nodes):
        self.W = np.random.randn(4, nodes)
    def forward(self, x):
        self.x = x
        self.e = np.exp(x @ self.W)
        return self.e / self.e.sum()
    def backprop(self, d_L_d_out, learn_rate):
        for i, gradient in enumerate(d_L_d_out):
            if gradient == 0:
                continue
            S = self.e.sum()
            d_out_d_t = -self.e[i] * self.e / S ** 2
            d_out_d_t[i] = self.e[i] * (S - self.e[i]) / S ** 2
            d_L_d_t = gradient * d_out_d_t
            d_x = self.W @ d_L_d_t
            self.W -= learn_rate * np.outer(self.x, d_L_d_t)
            return d_x
def inputs(rng):
    return {"nodes": 3, "x": rng.normal(size=4), "learn_rate": 0.1}
"""

BUFFERS = """
import numpy as np
def rnn_forward(Wh, xs, h0):
    hs = np.zeros((len(xs) + 1,) + h0.shape, dtype=np.float32)
    hs[0] = h0
    for t in range(len(xs)):
        hs[t + 1] = np.tanh(xs[t] + hs[t] @ Wh)
    loss = 0.5 * np.sum(hs[1:] ** 2)
    return loss, hs
def rnn_backward(Wh, xs, hs):
    dWh = np.zeros_like(Wh)
    dh = np.zeros_like(hs[0])
    for t in reversed(range(len(xs))):
        da = (dh + hs[t + 1]) * (1 - hs[t + 1] ** 2)
        dWh += hs[t].T @ da
        dh = da @ Wh.T
    return dWh
def inputs(rng):
    return {"Wh": rng.normal(size=(3, 3)), "xs": rng.normal(size=(3, 2, 3)), "h0": rng.normal(size=(2, 3))}
"""

GLOBALS = """
import numpy as np
X = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1.0]])
y = np.array([[0, 1, 1, 0.0]]).T
W = np.array([[0.3], [-0.2], [0.5]])
b = np.zeros(1)
def loss_and_grads():
    p = 1 / (1 + np.exp(-(X @ W + b)))
    loss = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
    dW = X.T @ (p - y) / len(y)
    db = (p - y).mean(0)
    return loss, dW, db
def inputs():
    return {}
"""

IN_PLACE = """
import numpy as np
X = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1.0]])
y = np.array([[0, 1, 1, 0.0]]).T
syn0 = np.array([[0.3], [-0.2], [0.5]])
def step():
    global syn0
    out = 1 / (1 + np.exp(-(X @ syn0)))
    error = y - out
    loss = 0.5 * np.sum(error ** 2)
    delta = error * out * (1 - out)
    syn0 += X.T @ delta
    return loss
def inputs():
    return {}
"""

SLOPE = """
import numpy as np
class Softplus:
    def __call__(self, x):
        return np.log1p(np.exp(x))
    def gradient(self, x):
        return 1 / (1 + np.exp(-x))
def inputs(rng):
    return {"x": rng.normal(size=(3, 2))}
"""

PRIME = """
import numpy as np
class Network:
    def __init__(self):
        self.W = np.array([[0.3, -0.2], [0.5, 0.1], [-0.4, 0.7]])
    def forward(self, X):
        return np.tanh(X @ self.W)
    def costFunction(self, X, y):
        J = 0.5 * sum(((y - self.forward(X)) ** 2).ravel())
        return J
    def costFunctionPrime(self, X, y):
        out = self.forward(X)
        delta = -(y - out) * (1 - out ** 2)
        return np.dot(X.T, delta)
def inputs(rng):
    return {"X": rng.normal(size=(4, 3)), "y": rng.normal(size=(4, 2))}
"""

PLAIN_NUMBERS = """
import math
def loss_and_grad(w, b, xs, ys):
    n = len(xs)
    loss, db = 0.0, 0.0
    dw = [0.0] * len(w)
    for x, y in zip(xs, ys):
        z = b + sum(wi * xi for wi, xi in zip(w, x))
        p = 1.0 / (1.0 + math.exp(-z))
        loss -= y * math.log(p) + (1 - y) * math.log(1 - p)
        for j in range(len(w)):
            dw[j] += (p - y) * x[j]
        db += p - y
    return loss / n, [d / n for d in dw], db / n
def inputs():
    return {"w": [0.3, -0.2], "b": 0.1, "xs": [[1.0, 2.0], [0.5, -1.0], [-1.5, 0.2]], "ys": [1, 0, 1]}
"""

OTHER_NAME = """
import numpy as np
def quadratic(y, out):
    return 0.5 * np.sum((out - y) ** 2)
class Network:
    def __init__(self):
        self.W = np.array([[0.3, -0.2, 0.5], [0.5, 0.1, 0.2]])
    def feedforward(self, a):
        return 1 / (1 + np.exp(-(self.W @ a)))
    def backprop(self, x, y):
        out = self.feedforward(x)
        delta = (out - y) * out * (1 - out)
        return delta @ x.T
OPTIONS = {"cost": quadratic}
def inputs(rng):
    return {"x": rng.normal(size=(3, 1)), "y": rng.normal(size=(2, 1))}
"""

NO_RATE = """
import numpy as np
def nonlin(x, deriv=False):
    if deriv:
        return x * (1 - x)
    return 1 / (1 + np.exp(-x))
def loss(syn0, syn1, X, y):
    return 0.5 * np.sum((y - nonlin(nonlin(X @ syn0) @ syn1)) ** 2)
def train_step(syn0, syn1, X, y):
    l1 = nonlin(X @ syn0)
    l2 = nonlin(l1 @ syn1)
    l2_delta = (y - l2) * nonlin(l2, deriv=True)
    l1_delta = (l2_delta @ syn1.T) * nonlin(l1, deriv=True)
    syn1 = syn1 + l1.T @ l2_delta
    syn0 = syn0 + X.T @ l1_delta
    return syn0, syn1
def inputs(rng):
    return {"syn0": rng.normal(size=(3, 4)), "syn1": rng.normal(size=(4, 1)), "X": rng.normal(size=(5, 3)),
            "y": np.array([[0], [1], [1], [0], [1.0]])}
"""

RATE_IN_THE_CODE = """
import numpy as np
def cost(w, X, y):
    return np.sum((X @ w - y) ** 2) / 2
def step(w, X, y):
    r = X @ w - y
    slope = X.T @ r
    new_w = w - 0.05 * slope
    return new_w
def inputs(rng):
    return {"w": rng.normal(size=3), "X": rng.normal(size=(5, 3)), "y": rng.normal(size=5)}
"""

DERIVATIVE = """
import numpy as np
from math import pi
def rosen(x, a=1.0, b=100.0):
    return np.sum(b * (x[1:] - x[:-1] ** 2) ** 2 + (a - x[:-1]) ** 2)
def rosen_der(x, a=1.0, b=100.0):
    der = np.zeros_like(x)
    inner = x[1:] - x[:-1] ** 2
    der[:-1] = -4 * b * x[:-1] * inner - 2 * (a - x[:-1])
    der[1:] += 2 * b * inner
    return der
def inputs():
    return {"x": np.array([1.3, 0.7, 0.8, 1.9, 1.2])}
"""

LIBRARY_LOSS = """
import numpy as np
class Loss:
    def calculate(self, output, y):
        return np.mean(self.forward(output, y))
class CrossEntropy(Loss):
    def forward(self, y_pred, y_true):
        return -np.log(np.sum(y_pred * y_true, axis=1))
    def backward(self, dvalues, y_true):
        self.dinputs = -y_true / dvalues
        self.dinputs = self.dinputs / len(dvalues)
def inputs(rng):
    return {"y_pred": rng.uniform(0.1, 0.9, size=(5, 3)), "y_true": np.eye(3)[[0, 2, 1, 1, 0]]}
"""

AFFIX = """
import numpy as np
def loss(P, Q, bu, bi, ratings):
    total = 0.0
    for u, i, r in ratings:
        total += (r - bu[u] - bi[i] - P[u] @ Q[i]) ** 2
    return total
def gradients(P, Q, bu, bi, ratings):
    gP, gQ = np.zeros_like(P), np.zeros_like(Q)
    gbu, gbi = np.zeros_like(bu), np.zeros_like(bi)
    for u, i, r in ratings:
        e = r - bu[u] - bi[i] - P[u] @ Q[i]
        gP[u] += -2 * e * Q[i]
        gQ[i] += -2 * e * P[u]
        gbu[u] += -2 * e
        gbi[i] -= 2 * e
    return gP, gQ, gbu, gbi
def inputs(rng):
    ratings = [(0, 1, 4.0), (1, 1, 2.0), (2, 3, 5.0), (0, 2, 1.0)]
    return {"P": rng.normal(size=(3, 2)), "Q": rng.normal(size=(4, 2)), "bu": rng.normal(size=3),
            "bi": rng.normal(size=4), "ratings": ratings}
"""

DIFF = """
import numpy as np
class Node:
    def __init__(self, wg, bg):
        self.wg, self.bg = wg, bg
        self.wg_diff, self.bg_diff = np.zeros_like(wg), np.zeros_like(bg)
    def forward(self, x):
        self.x = x
        self.g = np.tanh(self.wg @ x + self.bg)
        return self.g
    def backward(self, top_diff):
        dz = (1 - self.g ** 2) * top_diff
        self.wg_diff += np.outer(dz, self.x)
        self.bg_diff += dz
        return self.wg.T @ dz
def inputs(rng):
    return {"wg": rng.normal(size=(3, 2)), "bg": rng.normal(size=3), "x": rng.normal(size=2)}
"""

RESIDUAL = """
import numpy as np
class Model:
    def __init__(self, w):
        self.w = w
    def loss(self, X, y):
        self.X = X
        self.err = X @ self.w - y
        return np.mean(self.err ** 2) / 2
    def backward(self):
        return {"w": self.X.T @ self.err / len(self.err)}
OPTIONS = {"methods": "loss,backward"}
def inputs(rng):
    return {"w": rng.normal(size=3), "X": rng.normal(size=(5, 3)), "y": rng.normal(size=5)}
"""

EXPRESSIONS = """
import numpy as np
def fwd(x, w, b):
    return x.reshape(len(x), -1) @ w + b, (x, w)
def bwd(dout, cache):
    x, w = cache
    dxt = w @ dout.T
    dw = dout.T @ x.reshape(len(x), -1)
    return dxt.T.reshape(x.shape), np.transpose(dw), dout.sum(0)
def inputs(rng):
    return {"x": rng.normal(size=(5, 2, 3)), "w": rng.normal(size=(6, 4)), "b": rng.normal(size=4)}
"""

MADE_IN_EACH_CALL = """
import numpy as np
def calibrate(AB, F, T):
    def objective(AB):
        P = 1 / (1 + np.exp(AB[0] * F + AB[1]))
        return -np.sum(T * np.log(P) + (1 - T) * np.log(1 - P))
    def grad(AB):
        P = 1 / (1 + np.exp(AB[0] * F + AB[1]))
        dA = np.dot(T - P, F)
        dB = np.sum(T - P)
        return np.array([dA, dB])
    return objective(AB), grad(AB)
def inputs(rng):
    return {"AB": np.array([-0.8, 0.2]), "F": rng.normal(size=6), "T": np.array([0.8, 0.2, 0.8, 0.8, 0.2, 0.2])}
"""

SCALARS = """
import numpy as np
class Value:
    def __init__(self, data, children=()):
        self.data, self.grad, self.children, self._backward = data, 0.0, children, lambda: None
    def __add__(self, other):
        out = Value(self.data + other.data, (self, other))
        def _backward():
            self.grad += out.grad
            other.grad += out.grad
        out._backward = _backward
        return out
    def __mul__(self, other):
        out = Value(self.data * other.data, (self, other))
        def _backward():
            self.grad += other.data * out.grad
            other.grad += self.data * out.grad
        out._backward = _backward
        return out
    def backward(self):
        order = []
        def build(v):
            if v not in order:
                for child in v.children:
                    build(child)
                order.append(v)
        build(self)
        self.grad = 1.0
        for v in reversed(order):
            v._backward()
def f(a, b, c):
    a, b, c = Value(a), Value(b), Value(c)
    loss = (a * b + c) * a + b * c
    loss.backward()
    return loss.data, a.grad, b.grad, c.grad
def inputs():
    return {"a": 0.5, "b": -0.7, "c": 0.3}
"""

PROGRAMS = {
    "a function that takes one step down, beside its cost": (
        DESCENT, "(theta before - after) / alpha the gradient of theta", "(X @ theta - y) / m", "(X @ theta - y)",
    ),
    "a step and the loss before it": (ONE_STEP, "(w before - after) / lr the gradient of w", "r / len(y)", "r"),
    "what trains beside what is trained": (OPTIMIZE, "propagate: cost is the cost", "(A - Y).T / m", "A.T / m"),
    "a loop that ends at the label": (ONE_LABEL, "out is multiplied by d_L_d_out", "(S - self", "(S + self"),
    "buffers of float32": (BUFFERS, "loss is the cost", "(1 - hs[t + 1] ** 2)", "(1 - hs[t + 1])"),
    "weights that are globals, and no arguments": (GLOBALS, "dW the gradient of W", "X.T @ (p - y)", "X.T @ p"),
    "a step on globals": (IN_PLACE, "(syn0 before - after) the gradient of syn0", "out * (1 - out)", "(1 - out)"),
    "an activation and its slope": (SLOPE, "the sum of out is the cost", "np.exp(-x)", "np.exp(x)"),
    "costFunction and costFunctionPrime": (PRIME, "J is the cost", "(1 - out ** 2)", "(1 - out)"),
    "plain numbers": (PLAIN_NUMBERS, "loss is the cost", "(p - y) * x[j]", "p * x[j]"),
    "steps without a rate": (
        NO_RATE, "(syn0 before - after) the gradient of syn0", "(y - l2) * nonlin(l2, deriv=True)", "(y - l2)",
    ),
    "a rate that is a number in the code": (RATE_IN_THE_CODE, "/ 0.05 the gradient of w", "r = X @ w - y", "r = X @ w"),
    "a function and its derivative": (DERIVATIVE, "rosen: out is the cost", "- 2 * (a", "+ 2 * (a"),
    "losses of a library": (LIBRARY_LOSS, "dinputs the gradient of y_pred", "-y_true / dvalues", "-y_true * dvalues"),
    "names with one prefix": (AFFIX, "gbu the gradient of bu", "gbi[i] -= 2 * e", "gbi[i] -= e"),
    "names with _diff": (DIFF, "wg_diff the gradient of wg", "+= np.outer(dz", "+= 2 * np.outer(dz"),
    "a residual in an attribute": (RESIDUAL, "['w'] the gradient of w", " / len(self.err)", ""),
    "gradients that are turned in the return": (EXPRESSIONS, "dxt the gradient of x", "w @ dout.T", "-w @ dout.T"),
    "functions made in each call": (MADE_IN_EACH_CALL, "[1] the gradient of AB", "np.dot(T - P", "-np.dot(T - P"),
    "numbers that know their gradients": (
        SCALARS, "a.grad the gradient of a", "self.grad += other.data * out.grad", "self.grad = other.data * out.grad",
    ),
    "an argument of another name": (OTHER_NAME, "J is the cost", "delta = (out - y)", "delta = (y - out)"),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_is_read_as_it_is_meant_and_right(name, tmp_path):
    source, understood, *_ = PROGRAMS[name]
    path = tmp_path / "program.py"
    path.write_text(source)
    report = check_file(path)
    assert report.ok, f"\n{report}"
    assert understood in report.understood


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_slip_in_it_is_found_and_its_line(name, tmp_path):
    source, understood, right, slip = PROGRAMS[name]
    path = tmp_path / "program.py"
    path.write_text(source.replace(right, slip))
    report = check_file(path)
    assert not report.ok
    assert understood in report.understood
    line = source[: source.index(right)].count("\n") + 1
    assert [place.line for place in report.lines] == [line], f"\n{report}"


@pytest.mark.parametrize("seed", range(8))
def test_gradients_that_are_clipped_beyond_what_anybody_gives_are_right(seed, rng):
    """As those of a character RNN, whose draws of our own can pass 5."""
    module = planted.load(
        "import numpy as np\n"
        "def lossFun(xs, Wxh, Whh):\n"
        "    h, hs, loss = np.zeros((4, 1)), [np.zeros((4, 1))], 0\n"
        "    for x in xs:\n"
        "        h = np.tanh(Wxh @ x + Whh @ h)\n"
        "        hs.append(h)\n"
        "        loss += 2 * np.sum(h ** 2)\n"
        "    dWxh, dWhh, dhnext = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros((4, 1))\n"
        "    for t in reversed(range(len(xs))):\n"
        "        dh = 4 * hs[t + 1] + dhnext\n"
        "        draw = (1 - hs[t + 1] ** 2) * dh\n"
        "        dWxh += draw @ xs[t].T\n"
        "        dWhh += draw @ hs[t].T\n"
        "        dhnext = Whh.T @ draw\n"
        "    for dparam in [dWxh, dWhh]:\n"
        "        np.clip(dparam, -5, 5, out=dparam)\n"
        "    return loss, dWxh, dWhh\n",
        "clips",
    )
    x = [0.5 * rng.normal(size=(3, 1)) for _ in range(3)]
    inputs = {"xs": x, "Wxh": 0.3 * rng.normal(size=(4, 3)), "Whh": 0.3 * rng.normal(size=(4, 4))}
    report = check(module.lossFun, inputs, seed=seed)
    assert report.ok, f"\n{report}"
    wrong = check(lambda xs, Wxh, Whh: _scaled(module.lossFun(xs, Wxh, Whh)), inputs, seed=seed, seconds=0)
    assert not wrong.ok


def _scaled(found):
    loss, dWxh, dWhh = found
    return loss, 1.01 * dWxh, dWhh


def test_what_trains_for_several_steps_is_refused(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(OPTIMIZE)
    with pytest.raises(UsageError, match=r"^optimize trains: what it gives back is that after a step or more"):
        check_file(path, "optimize")
    path.write_text(DESCENT.replace('"num_iters": 1', '"num_iters": 3'))
    with pytest.raises(UsageError, match=r"^compute_cost trains"):
        check_file(path, "compute_cost,gradient_descent")


def test_one_entry_at_a_time_is_said_and_a_square_of_what_flows_back_is_no_such_thing(rng, tmp_path):
    path = tmp_path / "program.py"
    path.write_text(ONE_LABEL)
    assert check_file(path).notes[0].startswith("judged where a single entry of d_L_d_out is not 0")

    def forward(x):
        return np.sin(x)

    assert not check(forward, lambda x, dout: dout**2 * np.cos(x), {"x": rng.normal(size=4)}).ok


def test_a_prediction_is_not_taken_for_what_flows_back(rng):
    """Whoever is given labels that forward does not take compares them with its output."""

    def forward(X, w):
        return X @ w

    def backward(X, p, y):
        return X.T @ (p - y)

    inputs = {"X": rng.normal(size=(5, 3)), "w": rng.normal(size=3), "y": rng.normal(size=5)}
    with pytest.raises(UsageError, match="backward takes no upstream gradient, and forward returns out"):
        check(forward, backward, inputs, gradients={"w": 0})
    assert check(forward, backward, inputs, cost=lambda p, y: 0.5 * np.sum((p - y) ** 2)).ok


def test_what_flows_back_into_forward_is_not_its_output(rng):
    """With a cost between them, the argument called dout is neither the output nor drawn: nobody computes it."""
    inputs = {"x": rng.normal(size=4)}
    with pytest.raises(UsageError, match="'dout', the gradient of the cost by what forward returns, which nothing"):
        check(np.tanh, lambda x, dout: dout * x, inputs, cost=lambda out: np.sum(out**2))


@pytest.mark.parametrize("how", ["from scipy.special import {0}", "import scipy.special\n{0} = scipy.special.{0}"])
def test_functions_of_scipy_that_take_no_tape_are_followed(how, rng):
    pytest.importorskip("scipy")
    imports = "\n".join(how.format(name) for name in ("logsumexp", "softmax", "log_softmax"))
    module = planted.load(
        f"import numpy as np\n{imports}\n"
        "def loss(W, X, y):\n"
        "    s = X @ W\n"
        "    m = len(y)\n"
        "    L = -(s - logsumexp(s, axis=1, keepdims=True))[np.arange(m), y].mean() + np.linalg.norm(W) ** 2\n"
        "    L = L - 0.1 * log_softmax(s, axis=1)[np.arange(m), y].mean() + 0 * softmax(s, axis=1).sum()\n"
        "    d = softmax(s, axis=1)\n"
        "    d[np.arange(m), y] -= 1\n"
        "    return L, 1.1 * X.T @ d / m + 2 * W\n",
        "scipys",
    )
    report = check(
        module.loss, {"W": rng.normal(size=(3, 3)), "X": rng.normal(size=(5, 3)), "y": np.array([0, 1, 2, 1, 0])}
    )
    assert report.ok, f"\n{report}"
    assert report.oracle == "the derivative of each operation of forward, with 64 bits"


def test_a_package_that_is_not_followed_is_no_reason_for_doubt(rng):
    """Its functions lose the tape; differences of forward say what is right."""
    pytest.importorskip("scipy")
    module = planted.load(
        "import numpy as np\n"
        "from scipy.spatial.distance import cdist\n"
        "def loss(W, X):\n"
        "    return 0.5 * np.sum(cdist(X, W) ** 2), len(X) * W - X.sum(0)\n",
        "cdists",
    )
    inputs = {"W": rng.normal(size=(3, 2)), "X": rng.normal(size=(5, 2))}
    report = check(module.loss, inputs)
    assert report.ok, f"\n{report}"
    assert any("differences of forward itself disagree" in note for note in report.notes)


@pytest.mark.parametrize(
    ("line", "slip"), [("X.T @ d / m", "X.T @ d"), ("d[np.arange(m), y] -= 1", "d[np.arange(m), y] += 1")]
)
def test_a_line_is_found_where_forward_adds_a_small_number_that_backward_leaves_out(line, slip, rng):
    source = (
        "import numpy as np\n"
        "def loss(W, X, y):\n"
        "    m = len(y)\n"
        "    e = np.exp(X @ W)\n"
        "    p = e / e.sum(1, keepdims=True)\n"
        "    L = -np.mean(np.log(p[np.arange(m), y] + 1e-8))\n"
        "    d = p.copy()\n"
        "    d[np.arange(m), y] -= 1\n"
        "    dW = X.T @ d / m\n"
        "    return L, dW\n"
    )
    module = planted.load(source.replace(line, slip), "small")
    inputs = {"W": rng.normal(size=(3, 3)), "X": rng.normal(size=(5, 3)), "y": np.array([0, 1, 2, 1, 0])}
    report = check(module.loss, inputs)
    assert [place.line for place in report.lines] == [source[: source.index(line)].count("\n") + 1], f"\n{report}"


def test_a_parameter_that_is_forgotten_among_others_is_no_proof(rng):
    """As one that was computed, and left out of the dictionary; an array that the cost does not depend on may be."""

    def loss(P, X, y):
        r = X @ P["W1"] @ P["W2"] + P["b2"] - y
        d = 2 * r / r.size
        return np.mean(r**2), {"W2": (X @ P["W1"]).T @ d, "b2": d.sum(0)}

    P = {"W1": rng.normal(size=(3, 4)), "W2": rng.normal(size=(4, 2)), "b2": rng.normal(size=2)}
    inputs = {"P": P, "X": rng.normal(size=(5, 3)), "y": rng.normal(size=(5, 2))}
    report = check(loss, inputs)
    assert report.problems == ("no gradient of P['W1'] is given back, but of those beside it",)
    assert not report.ok
    assert not report
    assert check(loss, inputs, wrt=["P['W2']", "P['b2']"]).ok

    def whole(P, X, y):
        cost, found = loss(P, X, y)
        r = X @ P["W1"] @ P["W2"] + P["b2"] - y
        return cost, found | {"W1": X.T @ (2 * r / r.size) @ P["W2"].T}

    report = check(whole, inputs | {"P": P | {"W3": rng.normal(size=3)}})
    assert report.ok, f"\n{report}"
    assert report


def test_inputs_that_are_forgotten_are_said_to_be(rng):
    with pytest.raises(UsageError, match=r"inputs are missing; expected check\(subject, inputs\)"):
        check(lambda w: (w.sum(), np.ones_like(w)))


@pytest.mark.parametrize("affix", ["{}_der", "acc_{}", "{}p", "update_{}"])
def test_gradients_are_read_by_whatever_affix_several_share(affix, rng):
    """Two of them have one shape, so that nothing but their names tells them apart."""
    W, b, c = map(affix.format, "Wbc")
    source = (
        "import numpy as np\n"
        "def loss(W, b, c, X):\n"
        "    r = np.tanh(X @ W + b) * c\n"
        f"    {c} = (r * np.tanh(X @ W + b)).sum(0)\n"
        "    dz = r * c * (1 - np.tanh(X @ W + b) ** 2)\n"
        f"    {W} = X.T @ dz\n"
        f"    {b} = dz.sum(0)\n"
        f"    return 0.5 * np.sum(r ** 2), {c}, {W}, {b}\n"
    )
    inputs = {
        "W": rng.normal(size=(3, 2)),
        "b": rng.normal(size=2),
        "c": rng.normal(size=2),
        "X": rng.normal(size=(5, 3)),
    }
    report = check(planted.load(source, "affix").loss, inputs)
    assert report.ok, f"\n{report}"
    assert {finding.name for finding in report.findings} == {"dW", "db", "dc"}
    wrong = check(planted.load(source.replace("dz.sum(0)", "dz.mean(0)"), "affixes").loss, inputs, seconds=0)
    assert [finding.name for finding in wrong.findings if finding.verdict == "wrong"] == ["db"]
