"""What a backend owes, law by law: a small function each, that `handgrad.testing.check_backend` calls.

A check takes the backend's `Neuron`, and raises an AssertionError where its law is broken, in words for the person who
wrote the backend: which method, which array, what was found and what was expected. Numbers are held against
`handgrad.exact`, in extended precision, and may be off by what `handgrad.rounding` derives; there is no other tolerance.
"""

from __future__ import annotations

import itertools
import math
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from handgrad.backend import DTYPES, Array, Configuration, Parameters, Sums
from handgrad.descent import BLOCK_EPOCHS, DivergedError
from handgrad.errors import UsageError
from handgrad.exact import CONFIGURATIONS, exact
from handgrad.neuron import Neuron as AnyNeuron
from handgrad.rounding import ELEMENTARY, bounds, descent_bounds

Backend: TypeAlias = type[AnyNeuron]
Check: TypeAlias = Callable[[Backend, int], None]

SCALE, L2, RATE = 1 / 255, 0.5, 0.5
"""Of the neurons that are tried, unless a law is about them."""

LOGITS = (0.0, 1e-30, 1.0, 17.0, 37.43, 88.0, 104.0, 709.0, 745.0, 1e4, 1e30)
"""Where a sigmoid rounds to 1, or an exponential overflows, in one of the dtypes; beside the largest finite number."""


# What the checks are made of.


class Problem(NamedTuple):
    """W, b, X and Y, which are the same numbers in every dtype."""

    parameters: Parameters
    X: npt.NDArray[Any]
    Y: npt.NDArray[Any]


def problem(seed: int, n: int = 12, m: int = 50) -> Problem:
    """Pixels as a data set holds them, an example contiguous in memory; as many of either class; W and b not 0."""
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 256, (m, n), np.uint8).T
    Y = rng.permutation(m).reshape(1, -1) % 2
    W = Parameters.random(n, seed).W.astype(np.float32).astype(np.float64)
    return Problem(Parameters(W, np.asarray(0.5)), X, Y)


def neurons(Neuron: Backend) -> Iterator[AnyNeuron]:
    """Of every loss, activation and dtype."""
    for (loss, activation), dtype in itertools.product(CONFIGURATIONS, DTYPES):
        yield Neuron(activation, loss, L2, SCALE, dtype)


def expect(neuron: AnyNeuron, truth: object, message: str) -> None:
    """Raise with the message, and of which neuron it is said, unless it is true."""
    if not truth:
        raise AssertionError(f"{message} [{neuron.loss}, {neuron.activation}, {neuron.dtype}]")


def kind(V: object) -> str:
    """What a person calls the type of V."""
    of = type(V)
    return f"{of.__module__}.{of.__name__}".replace("builtins.", "")


def judge(
    neuron: AnyNeuron,
    what: str,
    found: Array,
    expected: Any,
    allowed: Any,
    places: str | list[str] = "",
    suspects: dict[str, Any] | None = None,
) -> None:
    """Raise where a result is off by more than is allowed, with the worst place, and the fault that would explain it.

    Args:
        neuron: that computed.
        what: the method and the result.
        found: of the backend; `get` brings it.
        expected: in extended precision, whose own roundings are allowed too.
        allowed: the bound.
        places: what the last axis counts, or the name of each place on it.
        suspects: what would have been found for a fault, by its words.
    """
    found = np.asarray(neuron.get(found)).astype(np.longdouble)
    expected, allowed = np.asarray(expected), np.asarray(allowed)
    expect(neuron, found.shape == expected.shape, f"{what} has shape {found.shape}; expected {expected.shape}")
    own = np.finfo(np.longdouble).eps / np.finfo(neuron.dtype).eps
    off = np.nan_to_num(abs(found - expected), nan=np.inf) / (allowed * (1 + own))
    if np.all(off <= 1):
        return
    worst = np.unravel_index(np.argmax(off), off.shape)
    where = "" if not (places and worst) else f"{places} {worst[-1]}" if isinstance(places, str) else places[worst[-1]]
    numbers = f"found {found[worst]:.9g}, expected {expected[worst]:.9g}"
    if np.isfinite(found[worst]):
        largest = f"largest at {where}: " if where else ""
        words = f"{what} is off by {off[worst]:.3g} times what rounding in {neuron.dtype} explains ({largest}{numbers})"
    else:
        words = f"{what}{f' of {where}' if where else ''} is {found[worst]}; expected {expected[worst]:.9g}"
    for fault, value in (suspects or {}).items():
        if np.all(abs(found - value) <= allowed + abs(np.asarray(value)) / 1000):
            words += f", as if {fault}"
            break
    expect(neuron, False, words)


def on_device(neuron: AnyNeuron, what: str, V: Array, shape: tuple[int, ...]) -> None:
    """Raise unless V is an array like those that `put` gives."""
    like = neuron.put(np.zeros(shape))
    scalar = isinstance(V, np.generic) and isinstance(like, np.ndarray)  # NumPy's sums of an array are such
    expect(neuron, scalar or type(V) is type(like), f"{what} is a {kind(V)}; expected a {kind(like)}, as put gives")
    expect(neuron, tuple(V.shape) == shape, f"{what} has shape {tuple(V.shape)}; expected {shape}")
    dtype, places = neuron.get(V).dtype, [getattr(of, "device", None) for of in (V, like)]
    expect(neuron, dtype == neuron.dtype, f"{what} has dtype {dtype}; expected {neuron.dtype}")
    expect(neuron, places[0] == places[1], f"{what} is on device {places[0]}; expected {places[1]}")


def on_host(neuron: AnyNeuron, what: str, V: Any, shape: tuple[int, ...]) -> None:
    """Raise unless V is a NumPy array in the neuron's dtype, that can be written to."""
    expect(neuron, type(V) is np.ndarray, f"{what} is a {kind(V)}; expected a numpy.ndarray")
    expect(neuron, V.shape == shape, f"{what} has shape {V.shape}; expected {shape}")
    expect(neuron, V.dtype == neuron.dtype, f"{what} has dtype {V.dtype}; expected {neuron.dtype}")
    expect(neuron, V.flags.writeable, f"{what} is read-only; expected an array of the caller's own")


def placed(neuron: AnyNeuron, of: Problem) -> Problem:
    """The problem on the device."""
    return Problem(neuron.put_parameters(of.parameters), neuron.put_inputs(of.X), neuron.put(of.Y))


def exact_sums(configuration: Configuration, of: Problem) -> Sums:
    """Loss, dW and db, summed."""
    m = of.X.shape[1]
    cost, (dW, db), _ = exact(replace(configuration, l2=0.0), *of)
    return Sums(cost * m, dW * m, db * m, m)


def allowed_sums(neuron: AnyNeuron, of: Problem) -> Sums:
    """How far sums may be off."""
    m = of.X.shape[1]
    cost, dW, db, _ = bounds(replace(neuron, l2=0.0), *of)
    return Sums(cost * m, dW * m, db * m, m)


def suspected_sums(neuron: AnyNeuron, of: Problem) -> dict[str, Sums]:
    """What the faults that people make would have given."""
    c, (P, X, Y) = neuron.configuration, of
    right, half, m = exact_sums(c, of), c.l2 / 2 * (P.W**2).sum(), X.shape[1]
    return {
        "it were the mean over the examples and not the sum": (1 / m) * right,
        "it had the other sign": -1 * right,
        "it were counted twice": 2 * right,
        "input_scale were forgotten": exact_sums(replace(c, input_scale=1.0), of),
        "input_scale were forgotten in dW": right._replace(dW=right.dW / c.input_scale),
        "the penalty were added to the sums": right + (half, c.l2 * P.W, 0, 0),
        "the penalty were added for each example": right + (half * m, c.l2 * P.W * m, 0, 0),
        "the labels were -1 and 1": exact_sums(c, of._replace(Y=2 * Y - 1)),
        "class 0 were class 1": exact_sums(c, of._replace(Y=1 - Y)),
        "b were 0": exact_sums(c, of._replace(parameters=P._replace(b=np.zeros(())))),
    }


def judge_sums(neuron: AnyNeuron, what: str, found: Sums, of: Problem) -> None:
    """Raise unless these are the sums of the problem."""
    n, m = of.X.shape
    for name, shape in ("loss", ()), ("dW", (1, n)), ("db", ()):
        on_device(neuron, f"{what}: {name}", getattr(found, name), shape)
    expect(neuron, found.m == m, f"{what}: m is {found.m}; expected {m}, the examples in X")
    expected, allowed, suspected = (f(neuron, of) for f in (exact_sums, allowed_sums, suspected_sums))
    for name in "loss", "dW", "db":
        suspects = {fault: getattr(sums, name) for fault, sums in suspected.items()}
        values = (getattr(V, name) for V in (found, expected, allowed))
        judge(neuron, f"{what}: {name}", *values, "feature", suspects)


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
    neuron: AnyNeuron,
    what: str,
    after: Parameters,
    costs: tuple[Array, Array],
    of: Problem,
    validation: Problem,
    epochs: range,
    every: int,
) -> None:
    """Raise unless parameters and costs are those of so many epochs, with a validation cost in every k-th."""
    c, k = neuron.configuration, len(epochs)
    right, more, plain = (
        exact_descent(*run) for run in ((c, of, k), (c, of, k + 1), (replace(c, l2=0.0), of, k))
    )
    for name, V in zip(("train", "validation"), costs, strict=True):
        expect(neuron, len(V) == k, f"{what}: {len(V)} costs on {name} for {k} epochs; expected one for each")
    offs = [descent_bounds(neuron, right.path[: i + 1], of.X, of.Y, RATE) for i in range(k + 1)]
    for i, epoch in enumerate(epochs):
        P, off = right.path[i], offs[i]
        allowed = bounds(neuron, P, of.X, of.Y, within=off).cost
        suspects = {"the penalty were forgotten": plain.costs[i], "it were that after the epoch": more.costs[i + 1]}
        judge(neuron, f"{what}: the cost before epoch {epoch}", costs[0][i], right.costs[i], allowed, "", suspects)
        taken = neuron.get(costs[1][i])
        if epoch % every:
            expect(neuron, np.isnan(taken), f"{what}: the validation cost in epoch {epoch}, of every {every}th, is "
                   f"{taken}; expected NaN, as it is not taken there")  # fmt: skip
            continue
        unpenalised = replace(neuron, l2=0.0)
        expected = exact(unpenalised, P, *validation[1:])[0]
        allowed = bounds(unpenalised, P, *validation[1:], within=off).cost
        suspects = {"the penalty were added": exact(c, P, *validation[1:])[0], "it were that on train": right.costs[i]}
        judge(neuron, f"{what}: the validation cost before epoch {epoch}", taken, expected, allowed, "", suspects)
    for name in "W", "b":
        suspects = {f"{e} epochs were taken": getattr(more.path[e], name) for e in (*range(k), k + 1)}
        suspects["the penalty were forgotten"] = getattr(plain.path[-1], name)
        values = (getattr(P, name) for P in (after, right.path[-1], offs[-1]))
        judge(neuron, f"{what}: {name} after {k} epochs", *values, "feature", suspects)


# The laws.


def check_configuration(Neuron: Backend, seed: int = 0) -> None:
    """A neuron is a value: equal and hashed by its configuration, never changed; no device that is not there."""
    neuron, same = Neuron(l2=0.5), Neuron(l2=0.5)
    expect(neuron, neuron == same and hash(neuron) == hash(same), "two neurons of one configuration are not equal")
    expect(neuron, neuron != Neuron(l2=0.25), "two neurons that differ in l2 are equal")
    try:
        neuron.l2 = 0.25  # type: ignore[misc]
    except AttributeError:
        pass
    else:
        expect(neuron, False, "l2 of a neuron could be set; expected an AttributeError: a neuron is frozen")
    for wrong in {"device": "abacus"}, {"dtype": "float16"}, {"loss": "hinge"}:
        try:
            Neuron(**wrong)  # type: ignore[arg-type]
        except UsageError as error:
            expect(neuron, "\n" not in str(error), f"the error for {wrong} has several lines: {error}")
        else:
            expect(neuron, False, f"a neuron of {wrong} could be made; expected a UsageError: there is none such")


def kinds(X: npt.NDArray[Any], folder: str) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """X of bytes, in every kind of array, and what kind that is."""
    for dtype in np.uint8, np.float16, np.float32, np.float64, np.longdouble, ">f4", ">f8", np.int64, np.uint64, ">i8":
        yield str(np.dtype(dtype)), X.astype(dtype)
    yield "Fortran order", np.asfortranarray(X.astype(np.float64))
    yield "C order", np.ascontiguousarray(X.astype(np.float32))
    yield "negative strides", X[..., ::-1].copy()[..., ::-1]
    yield "every second column", np.repeat(X, 2, axis=-1)[..., ::2]
    np.save(path := Path(folder) / "X.npy", X)
    yield "a read-only memory-mapped file", np.load(path, mmap_mode="r")


def check_put(Neuron: Backend, seed: int = 0) -> None:
    """`put` keeps numbers and shape of every kind of array, and gives them in the neuron's dtype; it changes none."""
    _, X, Y = problem(seed)
    for dtype in DTYPES:
        neuron = Neuron(dtype=dtype)
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            arrays = [*kinds(X, folder), ("bool", Y.astype(bool)), ("no axis", np.asarray(0.5))]
            arrays += [("64-bit integers", np.array([[5_000_000_000, -1]]))]
            if dtype == "float64":
                arrays += [("float32 below its smallest normal", np.array([[1e-45]], np.float32))]
            for words, V in arrays:
                before = V.copy()
                found = neuron.get(neuron.put(V))
                what = f"put: an array ({words}) of dtype {V.dtype}"
                expect(neuron, found.dtype == dtype, f"{what} came out with dtype {found.dtype}; expected {dtype}")
                expect(neuron, found.shape == V.shape, f"{what} came out with shape {found.shape}; expected {V.shape}")
                expect(neuron, np.array_equal(found, V.astype(dtype)), f"{what} came out with other numbers")
                expect(neuron, np.array_equal(V, before), f"{what} was changed in place")
                del V


def check_put_again(Neuron: Backend, seed: int = 0) -> None:
    """`put` returns an array that is on the device already, in the neuron's dtype, as it is: there is one copy."""
    for dtype in DTYPES:
        neuron = Neuron(dtype=dtype)
        for name, V in problem(seed)._asdict().items():
            once = neuron.put(V.W if name == "parameters" else V)
            again = neuron.put(once)
            same = again is once or np.shares_memory(neuron.get(again), neuron.get(once))
            expect(neuron, same, "put: a second put of its own array made a copy; expected the array as it is")


def check_get(Neuron: Backend, seed: int = 0) -> None:
    """`get` gives the same numbers as a NumPy array, and a NumPy array as it is."""
    X = problem(seed).X.astype(np.float32)
    for dtype in DTYPES:
        neuron = Neuron(dtype=dtype)
        found = neuron.get(neuron.put(X))
        expect(neuron, type(found) is np.ndarray, f"get: gave a {kind(found)}; expected a numpy.ndarray")
        expect(neuron, np.array_equal(found, X), "get: gave other numbers than were put")
        given = neuron.get(X)
        same = type(given) is np.ndarray and np.shares_memory(given, X) and given.dtype == X.dtype
        expect(neuron, same, "get: of a NumPy array it gave another one; expected the array as it is")


def check_put_inputs(Neuron: Backend, seed: int = 0) -> None:
    """`put_inputs` keeps the shape of X and copies it once; bytes stay bytes where `reads_bytes` says so."""
    X = problem(seed).X
    for neuron in (Neuron(dtype=dtype) for dtype in DTYPES):
        for V in X, X.astype(np.float64):
            once = neuron.put_inputs(V)
            expect(neuron, tuple(once.shape) == V.shape, f"put_inputs: X has shape {once.shape}; expected {V.shape}")
            again = neuron.put_inputs(once)
            same = again is once or np.shares_memory(neuron.get(again), neuron.get(once))
            expect(neuron, same, "put_inputs: a second call with its own X made a copy; expected X as it is")
        if Neuron.reads_bytes:
            dtype = neuron.get(neuron.put_inputs(X)).dtype
            expect(neuron, dtype == np.uint8, f"put_inputs: reads_bytes is True, and bytes came out as {dtype}")


def check_forward(Neuron: Backend, seed: int = 0) -> None:
    """`forward` gives A = f(W (s X) + b), (1, m), on the device, for every activation and dtype."""
    of = problem(seed)
    for neuron in neurons(Neuron):
        A = neuron.forward(*placed(neuron, of)[:2])
        on_device(neuron, "forward: A", A, of.Y.shape)
        c = neuron.configuration
        suspects = {"input_scale were forgotten": exact(replace(c, input_scale=1.0), *of)[2]}
        suspects["b were 0"] = exact(c, of.parameters._replace(b=np.zeros(())), *of[1:])[2]
        judge(neuron, "forward: A", A, exact(c, *of)[2], bounds(neuron, *of).A, "example", suspects)


def check_sums(Neuron: Backend, seed: int = 0) -> None:
    """`sums` gives loss (), dL/dW (1, n) and dL/db (), summed, on the device; without the penalty, for every neuron."""
    of = problem(seed)
    for neuron in neurons(Neuron):
        judge_sums(neuron, "sums", neuron.sums(*placed(neuron, of)), of)


def check_loss_sum(Neuron: Backend, seed: int = 0) -> None:
    """`loss_sum` is the loss of `sums`, alone."""
    of = problem(seed)
    for neuron in neurons(Neuron):
        loss = neuron.loss_sum(*placed(neuron, of))
        on_device(neuron, "loss_sum", loss, ())
        suspects = {fault: sums.loss for fault, sums in suspected_sums(neuron, of).items()}
        judge(neuron, "loss_sum", loss, exact_sums(neuron, of).loss, allowed_sums(neuron, of).loss, "", suspects)


def check_labels(Neuron: Backend, seed: int = 0) -> None:
    """Other labels give another loss and other gradients."""
    of = problem(seed)
    for dtype in DTYPES:
        neuron = Neuron(input_scale=SCALE, dtype=dtype)
        others = of._replace(Y=np.ones_like(of.Y))
        one, other = (neuron.sums(*placed(neuron, p)) for p in (of, others))
        pairs = zip(Sums._fields[:3], one, other, strict=False)
        same = ", ".join(name for name, V, U in pairs if np.array_equal(neuron.get(V), neuron.get(U)))
        expect(neuron, not same, f"sums: the labels make no difference to {same}")
        same = neuron.cost(*of) == neuron.cost(*others)
        expect(neuron, not same, "cost: the labels make no difference")


def check_bytes(Neuron: Backend, seed: int = 0) -> None:
    """Bytes are numbers from 0 to 255, in the input scale 1 too: nothing wraps around."""
    of = problem(seed)
    for dtype in DTYPES:
        neuron = Neuron("identity", "squared_error", dtype=dtype)
        whole = Parameters(np.rint(of.parameters.W * 4), np.asarray(1.0))
        P, X, Y = placed(neuron, bytes_ := of._replace(parameters=whole))
        how = "as bytes, which reads_bytes claims to read" if Neuron.reads_bytes else "of bytes"
        A, expected = neuron.forward(P, X), exact(neuron, *bytes_)[2]
        judge(neuron, f"forward of X {how}: A", A, expected, bounds(neuron, *bytes_).A, "example")
        judge_sums(neuron, f"sums of X {how}", neuron.sums(P, X, Y), bytes_)


def check_logits(Neuron: Backend, seed: int = 0) -> None:
    """A, the loss and its derivative are right to the last digits, for every logit up to the largest finite number."""
    one = Parameters(np.ones((1, 1)), np.zeros(()))
    for neuron in (replace(neuron, l2=0.0, input_scale=1.0) for neuron in neurons(Neuron)):
        numbers = np.finfo(neuron.dtype)
        u, tiny, most = float(numbers.eps) / 2, float(numbers.tiny), float(numbers.max)
        extreme = np.array([*LOGITS, most])
        Z = np.concatenate([extreme, -extreme, np.linspace(-30, 30, 2001)]).astype(neuron.dtype)[np.newaxis]
        P, X, _ = placed(neuron, Problem(one, Z, Z))
        right = exact(neuron, one, Z, 0 * Z)[2]
        places = [f"logit {z:.6g}" for z in Z[0]]
        judge(neuron, "forward: A", neuron.forward(P, X), right, ELEMENTARY * u * abs(right) + tiny, places)
        for z, y in itertools.product(Z[0, : 2 * len(extreme)], (0.0, 1.0)):
            of = Problem(one, np.full((1, 1), z), np.full((1, 1), y))
            with np.errstate(over="ignore"):  # in the products of the largest
                loss, dW, dZ, _ = exact_sums(neuron, of)
                found = neuron.sums(*placed(neuron, of))
            A = exact(neuron, *of)[2][0, 0]
            # The logit is exact here: of the bounds' table, what is left where it is. Cross-entropy cancels nothing.
            if neuron.loss == "cross_entropy":
                allowed = Sums(abs(loss), abs(dW), abs(dZ), 1)
            else:
                in_dZ = abs(A) + y
                allowed = Sums(loss + (abs(A - y) + ELEMENTARY * u * in_dZ) * in_dZ, abs(z) * in_dZ, in_dZ, 1)
            for name in "loss", "dW", "db":
                value, expected, bound = (getattr(V, name) for V in (found, Sums(loss, dW, dZ, 1), allowed))
                if np.all(abs(expected) < most / 2):  # else the right answer, too, is none of the dtype's
                    bound = ELEMENTARY * u * bound + tiny * max(1, abs(float(z)))
                    judge(neuron, f"sums: {name} of logit {z:.6g}, label {y:g},", value, expected, bound)


def check_finite(Neuron: Backend, seed: int = 0) -> None:
    """Finite input never gives inf or nan where the logit is finite: the scale comes before the sum."""
    for dtype in DTYPES:
        most, least = float(np.finfo(dtype).max), float(np.finfo(dtype).smallest_subnormal)
        for W, x, s in ((10, -10), most / 4, 1e-3), ((least, least), most, 1.0):
            neuron = Neuron(input_scale=s, dtype=dtype)
            P = Parameters(np.array([W], dtype), np.zeros((), dtype))
            A = neuron.predict_proba(P, np.full((2, 1), x, dtype))
            expect(neuron, np.isfinite(A).all(), f"forward: A is {A[0, 0]} of W {W}, s {s:g} and X {x:g}; expected a "
                   "finite number: multiply W by s first, and then by X")  # fmt: skip


def check_sums_add(Neuron: Backend, seed: int = 0) -> None:
    """Sums over parts of the examples, of one or of many, add up to those over all."""
    of = problem(seed, 3, 1031)
    for dtype in DTYPES:
        neuron = Neuron(input_scale=SCALE, dtype=dtype)
        total, allowed = Sums(0, 0, 0, 0), Sums(0, 0, 0, 0)
        for part in slice(0, 1), slice(1, 18), slice(18, 1031):
            some = Problem(of.parameters, of.X[:, part], of.Y[:, part])
            found = neuron.sums(*placed(neuron, some))
            judge_sums(neuron, f"sums of examples {part.start} to {part.stop}", found, some)
            with neuron.arithmetic():
                total = total + found
            allowed = allowed + allowed_sums(neuron, some)
        expect(neuron, total.m == 1031, f"sums: m of the parts adds up to {total.m}; expected 1031")
        whole, more = exact_sums(neuron, of), float(np.finfo(dtype).eps)
        for name in "loss", "dW", "db":
            value, expected, bound = (getattr(V, name) for V in (total, whole, allowed))
            rounding = 3 * more * abs(expected) + bound * (1 + 3 * more)  # of two additions
            judge(neuron, f"sums of parts, added: {name}", value, expected, rounding, "feature")


def check_arguments(Neuron: Backend, seed: int = 0) -> None:
    """`forward`, `sums` and `loss_sum` take each argument from the host, too, in any dtype, and put it themselves."""
    of = problem(seed)
    for dtype in DTYPES:
        neuron = Neuron(input_scale=SCALE, dtype=dtype)
        here, there = (dict(zip("WbXY", (*p.parameters, *p[1:]), strict=True)) for p in (of, placed(neuron, of)))
        for name in "WbXY":
            W, b, X, Y = (there | {name: here[name].astype(np.float64)}).values()
            for method in "forward", "sums", "loss_sum":
                what = f"{method}: {name} was given as a NumPy array of float64 and was not put on the device"
                try:
                    found = getattr(neuron, method)(Parameters(W, b), *((X,) if method == "forward" else (X, Y)))
                    if method == "sums":
                        judge_sums(neuron, method, found, of)
                    else:
                        on_device(neuron, method, found, of.Y.shape if method == "forward" else ())
                except Exception as error:
                    said = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
                    raise AssertionError(f"{what}: {said}") from error


def check_unchanged(Neuron: Backend, seed: int = 0) -> None:
    """No method changes an argument in place, be it on the host or on the device."""
    for dtype in DTYPES:
        neuron, of = Neuron(input_scale=SCALE, dtype=dtype), problem(seed)
        of = of._replace(parameters=Parameters(*(V.astype(dtype) for V in of.parameters)), X=of.X.astype(dtype))
        of = of._replace(Y=of.Y.astype(dtype))
        for method in "forward", "sums", "loss_sum":
            for where, p in ("on the host", of), ("on the device", placed(neuron, of)):
                given = dict(zip("WbXY", (*p.parameters, *p[1:]), strict=True))
                before = {name: np.array(neuron.get(V)) for name, V in given.items()}
                getattr(neuron, method)(*(p[:2] if method == "forward" else p))
                for name, V in given.items():
                    same = np.array_equal(neuron.get(V), before[name])
                    expect(neuron, same, f"{method} changed its argument {name}, {where}, in place")


def check_cost(Neuron: Backend, seed: int = 0) -> None:
    """`cost` is the mean loss and (l2 / 2) W W^T, a float, without b; log 2 for W = 0 and b = 0."""
    of = problem(seed)
    for neuron in neurons(Neuron):
        cost = neuron.cost(*of)
        expect(neuron, type(cost) is float, f"cost is a {kind(cost)}; expected a float")
        c, (_, X, Y) = neuron.configuration, of
        suspects = {
            "the penalty were forgotten": exact(replace(c, l2=0.0), *of)[0],
            "b were penalised too": exact(c, *of)[0] + c.l2 / 2 * of.parameters.b**2,
            "the losses were summed": exact_sums(c, of).loss + c.l2 / 2 * (of.parameters.W**2).sum(),
        }
        judge(neuron, "cost", cost, exact(c, *of)[0], bounds(neuron, *of).cost, "", suspects)
        if neuron.loss == "cross_entropy":
            zeros = Parameters.zeros(len(X))
            first = neuron.cost(zeros, X, Y)
            judge(neuron, "cost for W = 0 and b = 0", first, np.log(np.longdouble(2)), bounds(neuron, zeros, X, Y).cost)


def check_gradients(Neuron: Backend, seed: int = 0) -> None:
    """`gradients` gives dJ/dW and dJ/db as NumPy arrays; l2 W is part of dW, and no penalty of db."""
    of = problem(seed)
    for neuron in neurons(Neuron):
        found, c = neuron.gradients(*of), neuron.configuration
        right, plain = exact(c, *of)[1], exact(replace(c, l2=0.0), *of)[1]
        for name, penalty in ("dW", c.l2 * of.parameters.W), ("db", c.l2 * of.parameters.b):
            V, expected, without, bound = (getattr(G, name) for G in (found, right, plain, bounds(neuron, *of)))
            on_host(neuron, f"gradients: {name}", V, expected.shape)
            suspects = {"the penalty were forgotten": without, "the penalty were added": expected + penalty}
            judge(neuron, f"gradients: {name}", V, expected, bound, "feature", suspects)


def check_inputs(Neuron: Backend, seed: int = 0) -> None:
    """Cost and gradients are those of the numbers, whatever kind of array X and Y come in, and wherever they are."""
    of = problem(seed)
    for dtype in DTYPES:
        neuron = Neuron(l2=L2, input_scale=SCALE, dtype=dtype)
        cost, gradients, _ = exact(neuron, *of)
        allowed = bounds(neuron, *of)
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            arrays = zip(kinds(of.X, folder), itertools.cycle([of.Y, of.Y.astype(bool), of.Y.astype(">f8")]))
            tried = [(words, X, Y) for (words, X), Y in arrays]
            for words, X, Y in [*tried, ("on the device", neuron.put(of.X), neuron.put(of.Y))]:
                judge(neuron, f"cost of X ({words})", neuron.cost(of.parameters, X, Y), cost, allowed.cost)
                dW, db = neuron.gradients(neuron.put_parameters(of.parameters), X, Y)
                judge(neuron, f"gradients of X ({words}): dW", dW, gradients.dW, allowed.dW, "feature")
                judge(neuron, f"gradients of X ({words}): db", db, gradients.db, allowed.db)
            del tried, X


def check_numbers(Neuron: Backend, seed: int = 0) -> None:
    """Settings of any type of number leave the dtype of results alone."""
    P, X, Y = problem(seed)
    for dtype, scalar in itertools.product(DTYPES, (np.float64, np.float32)):
        neuron = Neuron(l2=scalar(L2), input_scale=scalar(0.25), dtype=dtype)
        fitted, _ = neuron.fit(X, Y, epochs=3, learning_rate=scalar(0.001))
        on_host(neuron, "fit: W", fitted.W, P.W.shape)
        on_host(neuron, "fit: b", fitted.b, ())
        on_host(neuron, "gradients: dW", neuron.gradients(P, X, Y).dW, P.W.shape)
        on_host(neuron, "predict_proba: A", neuron.predict_proba(P, X), Y.shape)


def check_step(Neuron: Backend, seed: int = 0) -> None:
    """`step` gives W - alpha dW and b - alpha db, on the device."""
    of = problem(seed)
    for neuron in neurons(Neuron):
        after, right = neuron.step(*of, RATE), exact_descent(neuron, of, 1).path
        off = descent_bounds(neuron, right, of.X, of.Y, RATE)
        for name in "W", "b":
            V, start, expected, bound = (getattr(P, name) for P in (after, *right, off))
            on_device(neuron, f"step: {name}", V, expected.shape)
            judge(neuron, f"step: {name}", V, expected, bound, "feature", {"it went uphill": 2 * start - expected})


def check_fit(Neuron: Backend, seed: int = 0) -> None:
    """`fit` is so many steps; its costs are those before each, on validation without the penalty, in every k-th."""
    of, epochs = problem(seed), range(8)
    validation = Problem(of.parameters, of.X[:, ::2], of.Y[:, ::2])
    for neuron in neurons(Neuron):
        options = {"epochs": len(epochs), "learning_rate": RATE, "initial": of.parameters, "span": False}
        before = [V.copy() for V in (*of.parameters, *of[1:])]
        after, history = neuron.fit(*of[1:], validation=validation[1:], validation_every=3, **options)  # type: ignore[arg-type]
        for name, V, was in zip("WbXY", (*of.parameters, *of[1:]), before, strict=True):
            expect(neuron, np.array_equal(V, was), f"fit changed its argument {name} in place")
        on_host(neuron, "fit: W", after.W, of.parameters.W.shape)
        on_host(neuron, "fit: b", after.b, ())
        costs = history.train_cost, history.validation_cost
        judge_descent(neuron, "fit", after, costs, of, validation, epochs, 3)


def check_descend(Neuron: Backend, seed: int = 0) -> None:
    """`descend`, where it is offered, is the same as step by step; epochs count from 0 over the whole training."""
    of = problem(seed)
    validation = Problem(of.parameters, of.X[:, ::2], of.Y[:, ::2])
    for neuron in neurons(Neuron):
        (P, *train), (_, *watched) = placed(neuron, of), placed(neuron, validation)

        def descend(epochs: range, validation: Any) -> Any:
            with neuron.arithmetic():  # noqa: B023
                return neuron.descend(P, tuple(train), validation, RATE, epochs, 4)  # type: ignore[arg-type]  # noqa: B023

        for epochs in range(BLOCK_EPOCHS - 3, BLOCK_EPOCHS + 6), range(1):
            found = descend(epochs, tuple(watched))
            if found is not None:
                on_device(neuron, "descend: W", found[0].W, of.parameters.W.shape)
                on_device(neuron, "descend: b", found[0].b, ())
                judge_descent(neuron, "descend", found[0], found[1:], of, validation, epochs, 4)
        if neuron.loss == "cross_entropy" and (found := descend(range(5, 5 + BLOCK_EPOCHS), None)) is not None:
            train_costs, watched_costs = (np.array([float(neuron.get(V)) for V in costs]) for costs in found[1:])
            expect(neuron, len(train_costs) == len(watched_costs) == BLOCK_EPOCHS and np.isfinite(train_costs).all(),
                   f"descend: {BLOCK_EPOCHS} epochs did not give so many costs that are finite")  # fmt: skip
            expect(neuron, np.isnan(watched_costs).all(), "descend: there is a validation cost without validation")


def check_fit_from_files(Neuron: Backend, seed: int = 0) -> None:
    """`fit` reads a read-only memory-mapped file, and blocks of it, and finds the same."""
    of = problem(seed)
    for dtype in DTYPES:
        neuron = Neuron(l2=L2, input_scale=SCALE, dtype=dtype)
        right = exact_descent(neuron, of, 5).path
        off = descent_bounds(neuron, right, of.X, of.Y, RATE)
        options = {"epochs": 5, "learning_rate": RATE, "initial": of.parameters, "span": False}
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            np.save(path := Path(folder) / "pixels.npy", of.X.T)
            X = np.load(path, mmap_mode="r").T
            for block, words in (0, "of a file"), (25, "in blocks of a file"):
                after, _ = neuron.fit(X, of.Y, block=block, **options)  # type: ignore[arg-type]
                judge(neuron, f"fit {words}: W after 5 epochs", after.W, right[-1].W, off.W, "feature")
                judge(neuron, f"fit {words}: b after 5 epochs", after.b, right[-1].b, off.b)
            del X


def check_diverging(Neuron: Backend, seed: int = 0) -> None:
    """What overflows becomes inf or nan, in silence: `fit` finds it, and returns to the last good parameters."""
    X, Y = np.array([[1e8, -1e8, 2e8]]), np.array([[0, 1, 1]])
    for dtype in DTYPES:
        neuron = Neuron("identity", "squared_error", dtype=dtype)
        start = Parameters(np.full((1, 1), 1e12), np.zeros(()))
        for words, initial, inputs, late in ("a late", None, X, True), ("an early", start, X * 1e142, False):
            if not late and dtype == "float32":
                inputs = X * 1e25
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("error")
                    neuron.fit(inputs, Y, epochs=500, learning_rate=1e6, initial=initial)
            except DivergedError as error:
                what = f"fit of {words} overflow: the error says epoch {error.epoch}"
                expect(neuron, (0 < error.epoch < 500) if late else error.epoch == 0, what)
                finite = all(np.isfinite(V).all() for V in (*error.parameters, error.history.train_cost))
                expect(neuron, finite, f"{what}, and its parameters or costs are not finite")
                on_host(neuron, f"{what}, and W", error.parameters.W, (1, 1))
                cost = neuron.cost(error.parameters, inputs, Y) if late else 0.0
                expect(neuron, math.isfinite(cost), f"{what}, and the cost of its parameters is {cost}")
            else:
                expect(neuron, False, f"fit of {words} overflow ended well; expected a DivergedError")


def check_quiet(Neuron: Backend, seed: int = 0) -> None:
    """Nothing warns, whatever the logits: what underflows is no fault, and a loss is taken where nothing overflows."""
    P, X, Y = problem(seed)
    far = np.array([[-1e4, 1e4, -300.0, 300.0]])
    one = Parameters(np.ones((1, 1)), np.zeros(()))
    for neuron in (replace(neuron, input_scale=1.0) for neuron in neurons(Neuron)):
        try:
            with np.errstate(all="raise"), warnings.catch_warnings():
                warnings.simplefilter("error")
                neuron.predict_proba(one, far)
                neuron.gradients(one, far, np.array([[0, 1, 1, 0]]))
                options = {"epochs": 5, "learning_rate": 1e-6, "initial": P, "validation": (X, Y)}
                neuron.fit(X, Y, validation_every=2, **options)  # type: ignore[arg-type]
        except (ArithmeticError, Warning) as error:
            raise AssertionError(f"logits up to 1e4 set off an alarm: {type(error).__name__}: {error}") from error


def check_predict(Neuron: Backend, seed: int = 0) -> None:
    """`predict` is class 1 where A is above the threshold, not at it; `accuracy` is the share that it gets right."""
    P, X = Parameters(np.ones((1, 1)), np.zeros(())), np.array([[-1.0, 0.0, 1.0]])
    for dtype in DTYPES:
        neuron = Neuron(dtype=dtype)
        A = neuron.predict_proba(P, X)
        on_host(neuron, "predict_proba: A", A, (1, 3))
        right = exact(neuron, P, X, X)[2]
        judge(neuron, "predict_proba: A", A, right, bounds(neuron, P, X, abs(X)).A, [f"logit {z:g}" for z in X[0]])
        for threshold, expected in (0.5, [[0, 0, 1]]), (0.2, [[1, 1, 1]]):
            found = neuron.predict(P, X, threshold)
            expect(neuron, type(found) is np.ndarray and found.dtype == np.uint8, f"predict gave a {kind(found)} of "
                   f"{found.dtype}; expected a numpy.ndarray of uint8")  # fmt: skip
            words = f"predict: classes of logits -1, 0, 1 above {threshold} are {found.tolist()}; expected {expected}"
            expect(neuron, found.tolist() == expected, words)
        share = neuron.accuracy(P, X, np.array([[0, 1, 1]]))
        expect(neuron, share == 2 / 3, f"accuracy of two right ones of three is {share}; expected 2 / 3")


def check_results(Neuron: Backend, seed: int = 0) -> None:
    """Results are the caller's own: written to, they change no argument and no later result."""
    for dtype in DTYPES:
        neuron, of = Neuron("identity", "squared_error", dtype=dtype), problem(seed)
        start = Parameters(*(V.astype(dtype) for V in of.parameters))
        for where, P in ("on the host", start), ("on the device", neuron.put_parameters(start)):
            given = dict(zip("WbXY", (*P, *of[1:]), strict=True))
            before = {name: np.array(neuron.get(V)) for name, V in given.items()}
            results = {
                "fit of no epochs": lambda P=P: neuron.fit(*of[1:], epochs=0, learning_rate=1.0, initial=P)[0],  # noqa: B023
                "gradients": lambda P=P: neuron.gradients(P, *of[1:]),  # noqa: B023
                "predict_proba": lambda P=P: (neuron.predict_proba(P, of.X),),  # noqa: B023
            }
            for what, result in results.items():
                first = [V.copy() for V in result()]
                for V in result():
                    on_host(neuron, what, V, V.shape)
                    V[...] = 7.0
                for name, V in given.items():
                    same = np.array_equal(neuron.get(V), before[name])
                    expect(neuron, same, f"{what}: its result shares memory with the argument {name}, {where}")
                same = all(map(np.array_equal, first, result()))
                expect(neuron, same, f"{what}: its result is not the caller's own; another call gave it changed")
            if what == "fit of no epochs":
                expect(neuron, np.array_equal(first[0], start.W), "fit of no epochs did not return its start")


def check_relu(Neuron: Backend, seed: int = 0) -> None:
    """A relu does not learn where its logit is 0: f'(0) = 0."""
    for dtype in DTYPES:
        neuron = Neuron("relu", "squared_error", dtype=dtype)
        dW, db = neuron.gradients(Parameters.zeros(2), np.ones((2, 3)), np.array([[0, 1, 1]]))
        expect(neuron, not dW.any() and db == 0, f"gradients: dW is {dW.tolist()} and db {db} at logits 0; expected 0")


CHECKS: tuple[Check, ...] = (
    check_configuration,
    check_put,
    check_put_again,
    check_get,
    check_put_inputs,
    check_forward,
    check_sums,
    check_loss_sum,
    check_labels,
    check_bytes,
    check_logits,
    check_finite,
    check_sums_add,
    check_arguments,
    check_unchanged,
    check_cost,
    check_gradients,
    check_inputs,
    check_numbers,
    check_step,
    check_fit,
    check_descend,
    check_fit_from_files,
    check_diverging,
    check_quiet,
    check_predict,
    check_results,
    check_relu,
)
"""In the order in which a backend is written."""
