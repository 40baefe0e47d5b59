"""How the contract judges a backend: what it is tried on, what is right, how far off is allowed, and the words for it.

What is right comes from `handgrad.exact`, in extended precision; how far a result may be off from `handgrad.rounding`.
There is no other tolerance. A result that is wrong is held against what the faults that people make would have given.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from handgrad.backend import DTYPES, Array, Configuration, Parameters, Sums
from handgrad.exact import CONFIGURATIONS, exact
from handgrad.neuron import Neuron
from handgrad.rounding import bounds, descent_bounds

SCALE, L2, RATE = 1 / 255, 0.5, 0.5
"""The input scale, penalty and learning rate, unless a law is about them."""


class BrokenLawError(AssertionError):
    """What a backend does is not what it owes; the message says what was found, and what was expected."""


class Problem(NamedTuple):
    """W, b, X and Y, which are the same numbers in every dtype."""

    parameters: Parameters
    X: npt.NDArray[Any]
    Y: npt.NDArray[Any]

    def floats(self) -> Problem:
        """With X and Y of float64."""
        return self._replace(X=self.X.astype(np.float64), Y=self.Y.astype(np.float64))

    def named(self) -> dict[str, Any]:
        """Each array by its name."""
        return dict(zip("WbXY", (*self.parameters, self.X, self.Y), strict=True))


def problem(seed: int, n: int = 12, m: int = 50) -> Problem:
    """Pixels as a data set holds them, an example contiguous in memory; as many of either class; W and b not 0."""
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 256, (m, n), np.uint8).T
    Y = rng.permutation(m).reshape(1, -1) % 2
    W = Parameters.random(n, seed).W.astype(np.float32).astype(np.float64)
    return Problem(Parameters(W, np.asarray(0.5)), X, Y)


def placed(neuron: Neuron, of: Problem) -> Problem:
    """A copy of the problem, on the device."""
    W, b, X, Y = (V.copy("K") for V in of.named().values())
    return Problem(neuron.put_parameters(Parameters(W, b)), neuron.put_inputs(X), neuron.put(Y))


def every(Neuron: type[Neuron]) -> Iterator[Neuron]:
    """Neurons of every loss, activation and dtype."""
    for (loss, activation), dtype in itertools.product(CONFIGURATIONS, DTYPES):
        yield Neuron(activation, loss, L2, SCALE, dtype)


def both(Neuron: type[Neuron], **configuration: Any) -> Iterator[Neuron]:
    """Neurons of both dtypes."""
    for dtype in DTYPES:
        yield Neuron(**{"l2": L2, "input_scale": SCALE, "dtype": dtype, **configuration})


def expect(neuron: Neuron, truth: object, message: str) -> None:
    """Raise with the message, and of which neuron it is said, unless it is true."""
    if not truth:
        raise BrokenLawError(f"{message} [{neuron.loss}, {neuron.activation}, {neuron.dtype}]")


def kind(V: object) -> str:
    """What a person calls the type of V."""
    return f"{type(V).__module__}.{type(V).__name__}".removeprefix("builtins.")


def expect_on_device(neuron: Neuron, what: str, V: Array, shape: tuple[int, ...]) -> None:
    """Raise unless V is an array like those that `put` gives."""
    like = neuron.put(np.zeros(shape))
    scalar = isinstance(V, np.generic) and isinstance(like, np.ndarray)  # as NumPy's own sums are
    expect(neuron, scalar or type(V) is type(like), f"{what} is a {kind(V)}; expected a {kind(like)}, as put gives")
    expect(neuron, tuple(V.shape) == shape, f"{what} has shape {tuple(V.shape)}; expected {shape}")
    dtype, places = neuron.get(V).dtype, [getattr(of, "device", None) for of in (V, like)]
    expect(neuron, dtype == neuron.dtype, f"{what} has dtype {dtype}; expected {neuron.dtype}")
    expect(neuron, places[0] == places[1], f"{what} is on device {places[0]}; expected {places[1]}")


def expect_on_host(neuron: Neuron, what: str, V: Any, shape: tuple[int, ...]) -> None:
    """Raise unless V is a NumPy array in the neuron's dtype, that can be written to."""
    expect(neuron, type(V) is np.ndarray, f"{what} is a {kind(V)}; expected a numpy.ndarray")
    expect(neuron, V.shape == shape, f"{what} has shape {V.shape}; expected {shape}")
    expect(neuron, V.dtype == neuron.dtype, f"{what} has dtype {V.dtype}; expected {neuron.dtype}")
    expect(neuron, V.flags.writeable, f"{what} is read-only; expected an array of the caller's own")


def judge(
    neuron: Neuron,
    what: str,
    found: Array,
    expected: Any,
    allowed: Any,
    *,
    places: str | list[str] = "",
    suspects: dict[str, Any] | None = None,
) -> None:
    """Raise where a result is off by more than is allowed, with the worst place, and a fault that would explain it.

    Args:
        neuron: that computed.
        what: the method and the result.
        found: the result; `get` brings it.
        expected: in extended precision, whose own roundings are allowed too.
        allowed: the bound.
        places: what the last axis counts, or the name of each place on it.
        suspects: what each fault would have given, by its words.
    """
    found = np.asarray(neuron.get(found)).astype(np.longdouble)
    expected, allowed = np.asarray(expected), np.asarray(allowed)
    expect(neuron, found.shape == expected.shape, f"{what} has shape {found.shape}; expected {expected.shape}")
    own = np.finfo(np.longdouble).eps / np.finfo(neuron.dtype).eps
    off = abs(found - expected) / (allowed * (1 + own))
    if np.all(off <= 1):
        return
    worst = np.unravel_index(np.argmax(np.where(np.isnan(off), np.inf, off)), off.shape)
    digits = np.finfo(neuron.dtype).precision + 3
    where = "" if not (places and worst) else f"{places} {worst[-1]}" if isinstance(places, str) else places[worst[-1]]
    if np.isfinite(found[worst]):
        numbers = f"found {found[worst]:.{digits}g}, expected {expected[worst]:.{digits}g}"
        largest = f"largest at {where}: " if where else ""
        words = f"{what} is off by {off[worst]:.3g} times what rounding in {neuron.dtype} explains ({largest}{numbers})"
    else:
        words = f"{what}{f' of {where}' if where else ''} is {found[worst]}; expected {expected[worst]:.{digits}g}"
    for fault, value in (suspects or {}).items():
        if np.all(abs(found - value) <= allowed + abs(np.asarray(value)) / 1000):  # a likeness, not a verdict
            words += f", as if {fault}"
            break
    else:
        for rougher in "float32", "float16":
            if np.all(64 * off * float(np.finfo(neuron.dtype).eps) <= float(np.finfo(rougher).eps)):
                words += f", well within what rounding in {rougher} explains"
                break
    expect(neuron, False, words)


def exact_sums(configuration: Configuration, of: Problem) -> Sums:
    """Loss, dW and db, summed."""
    m = of.X.shape[1]
    cost, (dW, db), _ = exact(replace(configuration, l2=0.0), *of)
    return Sums(cost * m, dW * m, db * m, m)


def allowed_sums(neuron: Neuron, of: Problem) -> Sums:
    """How far sums may be off."""
    m = of.X.shape[1]
    cost, dW, db, _ = bounds(replace(neuron, l2=0.0), *of)
    return Sums(cost * m, dW * m, db * m, m)


def suspected_sums(neuron: Neuron, of: Problem) -> dict[str, Sums]:
    """What the faults that people make would have given."""
    c, (P, X, Y) = neuron.configuration, of
    right, m = exact_sums(c, of), X.shape[1]
    penalty = Sums(c.l2 / 2 * (P.W**2).sum(), c.l2 * P.W, 0, 0)
    return {
        "it were the mean over the examples and not the sum": (1 / m) * right,
        "it had the other sign": -1 * right,
        "it were counted twice": 2 * right,
        "input_scale were forgotten": exact_sums(replace(c, input_scale=1.0), of),
        "input_scale were forgotten in dW": right._replace(dW=right.dW / c.input_scale),
        "the penalty were added to the sums": right + penalty,
        "the penalty were added for each example": right + m * penalty,
        "the labels were -1 and 1": exact_sums(c, of._replace(Y=2 * Y - 1)),
        "class 0 were class 1": exact_sums(c, of._replace(Y=1 - Y)),
        "all labels were 0": exact_sums(c, of._replace(Y=0 * Y)),
        "b were 0": exact_sums(c, of._replace(parameters=P._replace(b=np.zeros(())))),
    }


def judge_sums(neuron: Neuron, what: str, found: Sums, of: Problem) -> None:
    """Raise unless these are the sums of the problem, on the device."""
    n, m = of.X.shape
    for name, shape in ("loss", ()), ("dW", (1, n)), ("db", ()):
        expect_on_device(neuron, f"{what}: {name}", getattr(found, name), shape)
    expect(neuron, found.m == m, f"{what}: m is {found.m}; expected {m}, the examples in X")
    expected, allowed, suspected = exact_sums(neuron, of), allowed_sums(neuron, of), suspected_sums(neuron, of)
    for name in "loss", "dW", "db":
        suspects = {fault: getattr(sums, name) for fault, sums in suspected.items()}
        values = (getattr(V, name) for V in (found, expected, allowed))
        judge(neuron, f"{what}: {name}", *values, places="feature", suspects=suspects)


class Descent(NamedTuple):
    """Gradient descent in extended precision: W and b before each epoch and after the last, J before each."""

    path: list[Parameters]
    costs: list[Any]


def exact_descent(configuration: Configuration, of: Problem, epochs: int) -> Descent:
    """From the parameters of the problem, with the learning rate RATE."""
    P, X, Y = of
    path, costs = [P], []
    for _ in range(epochs):
        cost, gradients, _ = exact(configuration, P, X, Y)
        P = P - RATE * gradients
        path.append(P)
        costs.append(cost)
    return Descent(path, costs)


def judge_descent(
    neuron: Neuron,
    what: str,
    found: tuple[Parameters, Array, Array],
    of: Problem,
    watched: Problem,
    every: int,
    first: int,
) -> None:
    """Raise unless these are the parameters after some epochs, with the costs on train and validation before each.

    Args:
        neuron: that descended, with the learning rate RATE.
        what: the method.
        found: parameters, costs on train, costs on validation.
        of: with the parameters before the first of the epochs.
        watched: the validation examples.
        every: the validation cost is taken at epochs that this divides.
        first: number of the first of the epochs.
    """
    after, *costs = found
    k, c, plain = len(costs[0]), neuron.configuration, replace(neuron, l2=0.0)
    right, unpenalised = exact_descent(c, of, k + 1), exact_descent(plain, of, k)
    for i in range(k):
        P = right.path[i]
        within = descent_bounds(neuron, right.path[: i + 1], of.X, of.Y, RATE)
        suspects = {"it were that after the epoch": right.costs[i + 1]}
        suspects["the penalty were forgotten"] = unpenalised.costs[i]
        allowed = bounds(neuron, P, of.X, of.Y, within=within).cost
        words = f"{what}: the cost before epoch {first + i}"
        judge(neuron, words, costs[0][i], right.costs[i], allowed, suspects=suspects)
        words, cost = f"{what}: the validation cost before epoch {first + i}", neuron.get(costs[1][i])
        if (first + i) % every == 0:
            V = watched._replace(parameters=P)
            suspects = {"the penalty were added": exact(c, *V)[0], "it were that on train": right.costs[i]}
            allowed = bounds(plain, *V, within=within).cost
            judge(neuron, words, cost, exact(plain, *V)[0], allowed, suspects=suspects)
        else:
            expect(neuron, np.isnan(cost), f"{words} is {cost}; expected NaN: it is taken at multiples of {every}")
    within = descent_bounds(neuron, right.path[: k + 1], of.X, of.Y, RATE)
    for name in "W", "b":
        suspects = {f"{e} epochs were taken": getattr(P, name) for e, P in enumerate(right.path) if e != k}
        suspects["the penalty were forgotten"] = getattr(unpenalised.path[-1], name)
        values = (getattr(P, name) for P in (after, right.path[k], within))
        judge(neuron, f"{what}: {name} after {k} epochs", *values, places="feature", suspects=suspects)
