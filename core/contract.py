"""What a backend owes, law by law: a small function each, that `handgrad.testing.check_backend` calls.

A check takes the backend's `Neuron`, and raises an AssertionError where the law in its first line is broken, in words
for the person who wrote the backend: which method, which array, what was found and what was expected. `CHECKS` has them
in the order in which a backend is written; `handgrad.verdicts` judges.
"""

# ruff: noqa: ARG001  # every check takes a seed

import itertools
import math
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from handgrad.backend import DTYPES, Array, Parameters, Sums
from handgrad.descent import BLOCK_EPOCHS, DivergedError
from handgrad.errors import RisingCostWarning, UsageError
from handgrad.exact import exact
from handgrad.neuron import Neuron as AnyNeuron
from handgrad.optimizers import SGD
from handgrad.pieces import MANY
from handgrad.rounding import ELEMENTARY, bounds, descent_bounds
from handgrad.verdicts import (
    L2,
    RATE,
    SCALE,
    BrokenLawError,
    Problem,
    allowed_sums,
    both,
    every,
    exact_descent,
    exact_sums,
    expect,
    expect_on_device,
    expect_on_host,
    judge,
    judge_descent,
    judge_sums,
    kind,
    placed,
    problem,
    suspected_sums,
)
from handgrad.views import mirrored, weighted

Backend: TypeAlias = type[AnyNeuron]
Check: TypeAlias = Callable[[Backend, int], None]

LOGITS = (1e30, 1e4, 745.0, 709.0, 104.0, 88.0, 37.43, 17.0, 8.0, 3.0, 1.0, 0.5, 0.1, 1e-30, 0.0)
"""Where an exponential overflows, or a sigmoid rounds to 1, in one of the dtypes; and ordinary ones."""


def one() -> Parameters:
    """With which a logit is the input itself, exactly, in the input scale 1."""
    return Parameters(np.ones((1, 1)), np.zeros(()))


# The configuration, and the way to the device and back.


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
            expect(neuron, False, f"a neuron of {wrong} could be made; expected a UsageError: there is no such thing")


def kinds(X: npt.NDArray[Any], folder: str) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """X of bytes, in every kind of array, and what kind that is."""
    for dtype in np.uint8, np.float16, np.float32, np.float64, np.longdouble, ">f4", ">f8", np.int64, np.uint64, ">i8":
        yield f"of {np.dtype(dtype)}", X.astype(dtype)
    yield "of float64, in Fortran's order", np.asfortranarray(X.astype(np.float64))
    yield "of float32, in C's order", np.ascontiguousarray(X.astype(np.float32))
    yield "with negative strides", X[:, ::-1].copy()[:, ::-1]
    yield "with every second column", np.repeat(X, 2, axis=1)[:, ::2]
    np.save(path := Path(folder) / "X.npy", X)
    yield "in a read-only memory-mapped file", np.load(path, mmap_mode="r")


def check_put(Neuron: Backend, seed: int = 0) -> None:
    """`put` keeps numbers and shape of every kind of array, and gives them in the neuron's dtype; it changes none."""
    _, X, Y = problem(seed)
    for neuron in both(Neuron):
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            arrays = [*kinds(X, folder), ("of bool", Y.astype(bool)), ("of no axis", np.asarray(0.5))]
            arrays += [("of large integers", np.array([[5_000_000_001, -1]]))]
            if neuron.dtype == "float64":
                arrays += [("below the smallest normal float32", np.array([[1e-45]], np.float32))]
            for words, V in arrays:
                what, before = f"put: an array {words}", V.copy()
                found = neuron.get(neuron.put(V))
                right = f"expected {neuron.dtype}, {V.shape}"
                expect(neuron, found.dtype == neuron.dtype, f"{what} came out with dtype {found.dtype}; {right}")
                expect(neuron, found.shape == V.shape, f"{what} came out with shape {found.shape}; {right}")
                expect(neuron, np.array_equal(found, V.astype(neuron.dtype)), f"{what} came out with other numbers")
                expect(neuron, np.array_equal(V, before), f"{what} was changed in place")
            del arrays, V


def is_copy(neuron: AnyNeuron, V: Array, of: Array) -> bool:
    """Whether they are not the same memory, as far as it can be seen from the host."""
    return V is not of and not np.shares_memory(neuron.get(V), neuron.get(of))


def check_put_again(Neuron: Backend, seed: int = 0) -> None:
    """`put` returns an array that is on the device already, in the neuron's dtype, as it is: there is one copy."""
    for neuron in both(Neuron):
        for V in problem(seed).named().values():
            once = neuron.put(V)
            copied = is_copy(neuron, neuron.put(once), once)
            expect(neuron, not copied, "put: a second put of its own array made a copy; expected the array as it is")


def check_get(Neuron: Backend, seed: int = 0) -> None:
    """`get` gives the same numbers as a NumPy array, and a NumPy array as it is."""
    X = problem(seed).X.astype(np.float32)
    for neuron in both(Neuron):
        found = neuron.get(neuron.put(X))
        expect(neuron, type(found) is np.ndarray, f"get: gave a {kind(found)}; expected a numpy.ndarray")
        expect(neuron, np.array_equal(found, X), "get: gave other numbers than were put")
        given = neuron.get(X)
        same = type(given) is np.ndarray and given.dtype == X.dtype and not is_copy(neuron, given, X)
        expect(neuron, same, "get: of a NumPy array it gave another one; expected the array as it is")


def check_put_inputs(Neuron: Backend, seed: int = 0) -> None:
    """`put_inputs` keeps numbers and shape of X, and copies it once; bytes stay bytes where `reads_bytes` says so."""
    X = problem(seed).X
    for neuron in both(Neuron):
        for V in X, X.astype(np.float64), np.array([[5_000_000_001, 1]]):
            once = neuron.put_inputs(V)
            same = np.array_equal(neuron.get(once), V.astype(neuron.dtype))
            expect(neuron, same, f"put_inputs: X of {V.dtype} came out with other numbers")
            expect(neuron, tuple(once.shape) == V.shape, f"put_inputs: X has shape {once.shape}; expected {V.shape}")
            copied = is_copy(neuron, neuron.put_inputs(once), once)
            expect(neuron, not copied, "put_inputs: a second call with its own X made a copy; expected X as it is")
        for V in X, np.zeros((4096, MANY // 4096), np.uint8):
            dtype = neuron.get(neuron.put_inputs(V)).dtype if neuron.reads_bytes(V) else np.uint8
            expect(neuron, dtype == np.uint8, f"put_inputs: reads_bytes is True, and bytes came out as {dtype}")


# The sums.


METHODS = {"forward": "A", "sums": "loss dW db", "loss_sum": "loss"}
"""What takes the arrays of a problem, and gives."""


def results(neuron: AnyNeuron, method: str, arrays: dict[str, Any]) -> dict[str, Array]:
    """What a method gives, by name."""
    W, b, X, Y = arrays.values()
    found = getattr(neuron, method)(Parameters(W, b), *((X,) if method == "forward" else (X, Y)))
    return dict(zip(METHODS[method].split(), found if method == "sums" else (found,), strict=False))


def check_unchanged(Neuron: Backend, seed: int = 0) -> None:
    """No method changes an argument in place, be it on the host or on the device."""
    for neuron in both(Neuron):
        (W, b), X, Y = problem(seed)
        (W, b), X, Y = of = Problem(Parameters(W.astype(neuron.dtype), b.astype(neuron.dtype)), X, Y)
        floats = of._replace(X=X.astype(neuron.dtype), Y=Y.astype(neuron.dtype))
        for method, (where, given) in itertools.product(METHODS, (("host", floats), ("device", placed(neuron, of)))):
            before = {name: np.array(neuron.get(V)) for name, V in given.named().items()}
            results(neuron, method, given.named())
            for name, V in given.named().items():
                same = np.array_equal(neuron.get(V), before[name])
                expect(neuron, same, f"{method} changed its argument {name}, on the {where}, in place")


def check_forward(Neuron: Backend, seed: int = 0) -> None:
    """`forward` gives A = f(W (s X) + b), (1, m), on the device, for every activation and dtype."""
    P, X, Y = of = problem(seed).floats()
    for neuron in every(Neuron):
        A = neuron.forward(*placed(neuron, of)[:2])
        expect_on_device(neuron, "forward: A", A, Y.shape)
        suspects = {
            "input_scale were forgotten": exact(replace(neuron, input_scale=1.0), *of)[2],
            "b were 0": exact(neuron, P._replace(b=np.zeros(())), X, Y)[2],
        }
        allowed = bounds(neuron, *of).A
        judge(neuron, "forward: A", A, exact(neuron, *of)[2], allowed, places="example", suspects=suspects)


def check_sums(Neuron: Backend, seed: int = 0) -> None:
    """`sums` gives loss (), dL/dW (1, n) and dL/db (), summed, without the penalty, on the device."""
    of = problem(seed).floats()
    for neuron in every(Neuron):
        judge_sums(neuron, "sums", neuron.sums(*placed(neuron, of)), of)


def check_loss_sum(Neuron: Backend, seed: int = 0) -> None:
    """`loss_sum` is the loss of `sums`, alone."""
    of = problem(seed).floats()
    for neuron in every(Neuron):
        loss = neuron.loss_sum(*placed(neuron, of))
        expect_on_device(neuron, "loss_sum", loss, ())
        suspects = {fault: sums.loss for fault, sums in suspected_sums(neuron, of).items()}
        right, allowed = exact_sums(neuron, of), allowed_sums(neuron, of)
        judge(neuron, "loss_sum", loss, right.loss, allowed.loss, suspects=suspects)


def check_labels(Neuron: Backend, seed: int = 0) -> None:
    """Other labels give another loss and other gradients."""
    of = problem(seed)
    ones = of._replace(Y=np.ones_like(of.Y))
    for neuron in both(Neuron):
        pairs = zip(Sums._fields, *(neuron.sums(*placed(neuron, labelled)) for labelled in (of, ones)), strict=True)
        same = ", ".join(name for name, V, U in pairs if name != "m" and np.array_equal(neuron.get(V), neuron.get(U)))
        expect(neuron, not same, f"sums: the labels make no difference to {same}")
        expect(neuron, neuron.cost(*of) != neuron.cost(*ones), "cost: the labels make no difference")


def check_bytes(Neuron: Backend, seed: int = 0) -> None:
    """Bytes are numbers from 0 to 255, and nothing that is made of them wraps around."""
    of = problem(seed)
    for neuron in every(Neuron):
        P, X, Y = placed(neuron, of)
        how = "as bytes, which reads_bytes claims to read" if neuron.reads_bytes(of.X) else "of bytes"
        A, right = neuron.forward(P, X), exact(neuron, *of)[2]
        judge(neuron, f"forward of X {how}: A", A, right, bounds(neuron, *of).A, places="example")
        judge_sums(neuron, f"sums of X {how}", neuron.sums(P, X, Y), of)


@np.errstate(over="ignore", invalid="ignore")  # in products of the largest
def check_logits(Neuron: Backend, seed: int = 0) -> None:
    """A, L and dL/dZ are right to the last digits for every logit, from which they come, up to the largest number."""
    for neuron in (replace(neuron, l2=0.0, input_scale=1.0) for neuron in every(Neuron)):
        numbers = np.finfo(neuron.dtype)
        u, tiny, largest = float(numbers.eps) / 2, float(numbers.tiny), float(numbers.max)
        extreme = [largest, *LOGITS, -largest, *(-z for z in LOGITS)]
        Z = np.array([[*extreme, *np.linspace(-30, 30, 2001)]], neuron.dtype)
        A, (P, X, _) = exact(neuron, one(), Z, 0 * Z)[2], placed(neuron, Problem(one(), Z, Z))
        names = [f"logit {z:.6g}" for z in Z[0]]
        judge(neuron, "forward: A", neuron.forward(P, X), A, ELEMENTARY * u * abs(A) + tiny, places=names)
        for i, y in itertools.product(range(len(extreme)), (0, 1)):
            of = Problem(one(), Z[:, i : i + 1], np.array([[y]]))
            right, found = exact_sums(neuron, of), neuron.sums(*placed(neuron, of))
            # What is left of the table of bounds where the logit is exact. In cross-entropy nothing cancels.
            if neuron.loss == "cross_entropy":
                allowed = abs(right)
            else:
                a, z = A[0, i], abs(Z[0, i]).astype(np.longdouble)
                dZ = abs(a) + y
                allowed = Sums(right.loss + (abs(a - y) + ELEMENTARY * u * dZ) * dZ, z * dZ, dZ, 1)
            for name in "loss", "dW", "db":
                V, expected, bound = (getattr(sums, name) for sums in (found, right, allowed))
                if np.all(abs(expected) < largest / 2):  # else the dtype has no such number
                    bound = ELEMENTARY * u * bound + tiny * max(1, abs(float(Z[0, i])))
                    judge(neuron, f"sums: {name} of {names[i]}, label {y},", V, expected, bound)


def check_finite(Neuron: Backend, seed: int = 0) -> None:
    """Finite input never gives inf or nan where the logit is finite: the scale comes before the sum."""
    for dtype in DTYPES:
        largest, least = float(np.finfo(dtype).max), float(np.finfo(dtype).smallest_subnormal)
        for W, x, s in ((10, -10), largest / 4, 1e-3), ((least, least), largest, 1.0):
            neuron = Neuron(input_scale=s, dtype=dtype)
            A = neuron.predict_proba(Parameters(np.array([W]), np.zeros(())), np.full((2, 1), x, dtype))
            given = f"W {W}, input_scale {s:g} and X {x:g}"
            expect(neuron, np.isfinite(A).all(), f"forward: A is {A[0, 0]} for {given}; multiply W by the scale first")


def check_sums_add(Neuron: Backend, seed: int = 0) -> None:
    """Sums over parts of the examples, of one or of many, add up to those over all."""
    P, X, Y = of = problem(seed, 3, 1031)
    for neuron in both(Neuron):
        total = allowed = Sums(0, 0, 0, 0)
        for first, last in (0, 1), (1, 18), (18, 1031):
            part = Problem(P, X[:, first:last], Y[:, first:last])
            found = neuron.sums(*placed(neuron, part))
            judge_sums(neuron, f"sums of examples {first} to {last}", found, part)
            with neuron.arithmetic():
                total = total + found
            allowed = allowed + allowed_sums(neuron, part)
        right, rounding = exact_sums(neuron, of), 3 * float(np.finfo(neuron.dtype).eps)  # of the additions
        expect(neuron, total.m == right.m, f"sums: m of the parts adds up to {total.m}; expected {right.m}")
        allowed = (1 + rounding) * allowed + rounding * abs(right)
        for name in "loss", "dW", "db":
            values = (getattr(sums, name) for sums in (total, right, allowed))
            judge(neuron, f"sums of parts, added: {name}", *values, places="feature")


def check_arguments(Neuron: Backend, seed: int = 0) -> None:
    """`forward`, `sums` and `loss_sum` take each argument from the host, too, in any dtype, and put it themselves."""
    of = problem(seed)
    for neuron in both(Neuron):
        there = placed(neuron, of).named()
        allowed = {**allowed_sums(neuron, of)._asdict(), "A": bounds(neuron, *of).A}
        for method, (name, V) in itertools.product(METHODS, of.named().items()):
            what = f"{method}: {name} was given as a NumPy array of float64 and was not put on the device"
            right = results(neuron, method, there)
            try:
                found = results(neuron, method, {**there, name: V.astype(np.float64)})
            except Exception as error:
                raise BrokenLawError(f"{what}: {type(error).__name__}: {error}") from error
            for result, U in right.items():
                here, expected = ((kind(R), neuron.get(R).dtype) for R in (found[result], U))
                words = f"{what}: {result} is a {here[0]} of {here[1]}; expected {expected[0]} of {expected[1]}"
                expect(neuron, here == expected, words)
                judge(neuron, f"{what}: {result}", found[result], neuron.get(U), 2 * allowed[result])


# What all backends share, on this one.


def check_cost(Neuron: Backend, seed: int = 0) -> None:
    """`cost` is the mean loss and (l2 / 2) W W^T, a float, without b; log 2 for W = 0 and b = 0."""
    (W, b), X, Y = of = problem(seed)
    for neuron in every(Neuron):
        cost, right = neuron.cost(*of), exact(neuron, *of)[0]
        expect(neuron, type(cost) is float, f"cost is a {kind(cost)}; expected a float")
        suspects = {
            "the penalty were forgotten": exact(replace(neuron, l2=0.0), *of)[0],
            "b were penalised too": right + neuron.l2 / 2 * b**2,
            "the losses were summed": exact_sums(neuron, of).loss + neuron.l2 / 2 * (W**2).sum(),
        }
        judge(neuron, "cost", cost, right, bounds(neuron, *of).cost, suspects=suspects)
        if neuron.loss == "cross_entropy":
            zeros = Parameters.zeros(len(X))
            first, log_2 = neuron.cost(zeros, X, Y), np.log(np.longdouble(2))
            judge(neuron, "cost for W = 0 and b = 0", first, log_2, bounds(neuron, zeros, X, Y).cost)


def check_gradients(Neuron: Backend, seed: int = 0) -> None:
    """`gradients` gives dJ/dW and dJ/db as NumPy arrays; l2 W is part of dW, and no penalty of db."""
    (W, b), _, _ = of = problem(seed)
    for neuron in every(Neuron):
        found, right, plain = neuron.gradients(*of), exact(neuron, *of)[1], exact(replace(neuron, l2=0.0), *of)[1]
        for name, V in ("dW", W), ("db", b):
            dV, expected, without, allowed = (getattr(of, name) for of in (found, right, plain, bounds(neuron, *of)))
            expect_on_host(neuron, f"gradients: {name}", dV, V.shape)
            suspects = {"the penalty were forgotten": without, "it were penalised": expected + neuron.l2 * V}
            judge(neuron, f"gradients: {name}", dV, expected, allowed, places="feature", suspects=suspects)


def check_inputs(Neuron: Backend, seed: int = 0) -> None:
    """Cost and gradients are those of the numbers, whatever kind of array X and Y come in, and wherever they are."""
    P, X, Y = of = problem(seed)
    for neuron in both(Neuron):
        (cost, right, _), allowed = exact(neuron, *of), bounds(neuron, *of)
        there = placed(neuron, of)
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            labels = itertools.cycle([Y, Y.astype(bool), Y.astype(">f8"), Y[:, ::-1].copy()[:, ::-1]])
            arrays = [(words, x, y) for (words, x), y in zip(kinds(X, folder), labels, strict=False)]
            for words, x, y in [*arrays, ("on the device", neuron.put(X), there.Y)]:
                judge(neuron, f"cost of X {words}", neuron.cost(P, x, y), cost, allowed.cost)
                dW, db = neuron.gradients(there.parameters, x, y)
                judge(neuron, f"gradients of X {words}: dW", dW, right.dW, allowed.dW, places="feature")
                judge(neuron, f"gradients of X {words}: db", db, right.db, allowed.db)
            del arrays, x


def check_descend(Neuron: Backend, seed: int = 0) -> None:
    """`descend`, where it is offered, is the same as step by step; epochs count from 0 over the whole training."""
    (W, b), X, Y = of = problem(seed)
    watched = Problem(of.parameters, X[:, ::2], Y[:, ::2])
    border, full = range(BLOCK_EPOCHS - 3, BLOCK_EPOCHS + 6), range(5, BLOCK_EPOCHS + 5)
    for neuron in every(Neuron):
        (P, *train), (_, *validation) = placed(neuron, of), placed(neuron, watched)
        cases: list[tuple[range, list[Any] | None]] = [(border, validation), (range(1), validation)]
        if neuron.loss == "cross_entropy":  # that there is nothing to watch is the same for all
            cases.append((full, None))
        for epochs, others in cases:
            rate = RATE if others else RATE / 1000  # of many, so that none diverges
            with neuron.arithmetic():
                found = neuron.descend(P, (*train,), others and (*others,), rate, epochs, 4)  # type: ignore[arg-type]
            if found is None:
                continue
            expect_on_device(neuron, "descend: W", found[0].W, W.shape)
            expect_on_device(neuron, "descend: b", found[0].b, b.shape)
            for name, costs in zip(("train", "validation"), found[1:], strict=True):
                words = f"descend: there are {len(costs)} costs on {name} for {len(epochs)} epochs"
                expect(neuron, len(costs) == len(epochs), words)
            if others:
                judge_descent(neuron, "descend", found, of, watched, 4, epochs.start)
            else:
                taken = np.isfinite([[float(neuron.get(cost)) for cost in costs] for costs in found[1:]])
                expect(neuron, taken[0].all(), f"descend: costs of {len(epochs)} epochs are not finite")
                expect(neuron, not taken[1].any(), "descend: there are validation costs, and no validation examples")


def check_step(Neuron: Backend, seed: int = 0) -> None:
    """`step` gives W - alpha dW and b - alpha db, on the device."""
    of = problem(seed)
    for neuron in every(Neuron):
        after, path = neuron.step(*of, RATE), exact_descent(neuron, of, 1).path
        within = descent_bounds(neuron, path, of.X, of.Y, RATE)
        for name in "W", "b":
            V, start, right, allowed = (getattr(P, name) for P in (after, *path, within))
            expect_on_device(neuron, f"step: {name}", V, right.shape)
            suspects = {"it went uphill": 2 * start - right}
            judge(neuron, f"step: {name}", V, right, allowed, places="feature", suspects=suspects)


def check_fit(Neuron: Backend, seed: int = 0) -> None:
    """`fit` is so many steps; its costs are those before each, on validation without the penalty, in every k-th."""
    P, X, Y = of = problem(seed)
    watched = Problem(P, X[:, ::2], Y[:, ::2])
    for neuron in every(Neuron):
        before = {name: V.copy() for name, V in of.named().items()}
        validation: Any = watched[1:]
        after, history = neuron.fit(
            X, Y, epochs=8, learning_rate=RATE, initial=P, validation=validation, validation_every=3, span=False
        )
        for name, V in of.named().items():
            expect(neuron, np.array_equal(V, before[name]), f"fit changed its argument {name} in place")
        expect_on_host(neuron, "fit: W", after.W, P.W.shape)
        expect_on_host(neuron, "fit: b", after.b, ())
        expect(neuron, len(history) == 8, f"fit: there are {len(history)} costs for 8 epochs")
        judge_descent(neuron, "fit", (after, history.train_cost, history.validation_cost), of, watched, 3, 0)


def check_numbers(Neuron: Backend, seed: int = 0) -> None:
    """Settings of any type of number leave the dtype of results alone."""
    P, X, Y = problem(seed)
    scalars: tuple[Any, ...] = np.float64, np.asarray
    for scalar in scalars:
        for neuron in both(Neuron, l2=scalar(L2), input_scale=scalar(SCALE)):
            (W, b), _ = neuron.fit(X, Y, epochs=3, learning_rate=scalar(0.001))
            dW, A = neuron.gradients(P, X, Y).dW, neuron.predict_proba(P, X)
            for what, V, shape in ("W", W, P.W.shape), ("b", b, ()), ("dW", dW, P.W.shape), ("A", A, Y.shape):
                expect_on_host(neuron, f"{what}, with l2 and learning rate of {scalar.__name__},", V, shape)


def check_fit_from_files(Neuron: Backend, seed: int = 0) -> None:
    """`fit` reads a read-only memory-mapped file, and blocks of it, and finds the same."""
    P, X, Y = of = problem(seed)
    for neuron in both(Neuron):
        path = exact_descent(neuron, of, 5).path
        within = descent_bounds(neuron, path, X, Y, RATE)
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            np.save(file := Path(folder) / "pixels.npy", X.T)
            mapped = np.load(file, mmap_mode="r").T
            for block, words in (0, "of a file"), (25, "in blocks of a file"):
                after, _ = neuron.fit(mapped, Y, epochs=5, learning_rate=RATE, initial=P, span=False, block=block)
                judge(neuron, f"fit {words}: W", after.W, path[-1].W, within.W, places="feature")
                judge(neuron, f"fit {words}: b", after.b, path[-1].b, within.b)
            del mapped


def check_kept(Neuron: Backend, seed: int = 0) -> None:
    """What a call gave stays as it is when the next call is made: no buffer is used again."""
    of = problem(seed)
    for neuron in both(Neuron):
        device = placed(neuron, of)
        other = Parameters(-of.parameters.W, of.parameters.b)
        A = neuron.forward(device.parameters, device.X)
        sums = neuron.sums(*device)
        before = [np.array(neuron.get(V)) for V in (A, *sums[:3])]
        neuron.forward(neuron.put_parameters(other), device.X)
        neuron.sums(neuron.put_parameters(other), device.X, device.Y)
        for name, V, was in zip(
            ("forward: A", "sums: loss", "sums: dW", "sums: db"), (A, *sums[:3]), before, strict=True
        ):
            same = np.array_equal(neuron.get(V), was)
            expect(neuron, same, f"{name} was changed by the next call; expected an array of its own for each call")


def check_large(Neuron: Backend, seed: int = 0) -> None:
    """`sums` are right where there are more features, and more examples, than a tile or a chunk holds."""
    for n, m in (700, 3), (3, 2_500):
        of = problem(seed, n, m)
        for neuron in both(Neuron):
            judge_sums(neuron, f"sums of {m} examples of {n} features", neuron.sums(*placed(neuron, of)), of)


def check_examples(Neuron: Backend, seed: int = 0) -> None:
    """Examples in blocks, mirrored, weighted and in batches give what copies of them give."""
    P, X, Y = problem(seed)
    order, w = np.arange(12).reshape(2, 3, 2)[:, ::-1].ravel(), np.arange(2 * X.shape[1]) % 3
    copies = np.concatenate([X, X[order]], axis=1).repeat(w, axis=1), np.tile(Y, 2).repeat(w, axis=1)
    for neuron in both(Neuron):
        found = neuron.gradients(P, weighted(mirrored(X, (2, 3, 2)), w), np.tile(Y, 2)).dW
        expected, allowed = exact(neuron, P, *copies)[1].dW, 2 * bounds(neuron, P, *copies).dW
        judge(neuron, "gradients of weighted mirror images: dW", found, expected, allowed, places="feature")
        A = neuron.predict_proba(P, neuron.place(X, block=7))
        judge(
            neuron,
            "predict_proba in blocks: A",
            A,
            exact(neuron, P, X, Y)[2],
            bounds(neuron, P, X, Y).A,
            places="example",
        )
        fitted, _ = neuron.fit(X, Y, epochs=1, optimizer=SGD(RATE, momentum=0, batch=X.shape[1]), initial=P)
        expected = P.W - RATE * exact(neuron, P, X, Y)[1].dW
        allowed = descent_bounds(neuron, [P, P - RATE * exact(neuron, P, X, Y)[1]], X, Y, RATE).W
        judge(neuron, "fit by one batch of all examples: W", fitted.W, expected, allowed, places="feature")


def check_diverging(Neuron: Backend, seed: int = 0) -> None:
    """What overflows becomes inf or nan, in silence: `fit` finds it, and returns to the last good parameters."""
    Y = np.array([[0, 1, 1]])
    for neuron in both(Neuron, activation="identity", loss="squared_error", l2=0.0, input_scale=1.0):
        root = math.sqrt(float(np.finfo(neuron.dtype).max))
        for late, W, x in (True, 0.0, 1e8), (False, 10.0, root):
            X, start = np.array([[x, -x, x / 2]]), Parameters(np.full((1, 1), W), np.zeros(()))
            what = f"fit that overflows {'after some epochs' if late else 'at its start'}"
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("error")
                    warnings.simplefilter("ignore", RisingCostWarning)
                    neuron.fit(X, Y, epochs=500, learning_rate=1e6, initial=start)
            except DivergedError as error:
                P, history = error.parameters, error.history
                expect(neuron, (0 < error.epoch < 500) is late, f"{what}: the error is of epoch {error.epoch}")
                expect_on_host(neuron, f"{what}: W of the error", P.W, (1, 1))
                expect(neuron, np.isfinite(history.train_cost).all(), f"{what}: a cost in the history is not finite")
                good = all(np.isfinite(V).all() for V in P) and (not late or math.isfinite(neuron.cost(P, X, Y)))
                expect(neuron, good, f"{what}: the last good parameters, or their cost, are not finite")
            else:
                expect(neuron, False, f"{what} ended well; expected a DivergedError")


def check_quiet(Neuron: Backend, seed: int = 0) -> None:
    """Nothing warns, however large the logits: what underflows is no fault, and nothing needs to overflow."""
    (W, b), X, Y = problem(seed)
    start, watched = Parameters(255 * W, b), (X[:, ::2], Y[:, ::2])
    for neuron in every(Neuron):
        Z = np.array([[-1e4, 1e4, -300, 300]]) / neuron.input_scale
        try:
            with np.errstate(all="raise"), warnings.catch_warnings():
                warnings.simplefilter("error")
                neuron.predict_proba(one(), Z)
                neuron.gradients(one(), Z, np.array([[0, 1, 1, 0]]))
                neuron.fit(X, Y, epochs=5, learning_rate=1e-6, initial=start, validation=watched, validation_every=2)
        except (ArithmeticError, Warning) as error:
            raise BrokenLawError(f"logits up to 1e4 set off an alarm: {type(error).__name__}: {error}") from error


def check_predict(Neuron: Backend, seed: int = 0) -> None:
    """`predict` is class 1 where A is above the threshold, not at it; `accuracy` is the share that it gets right."""
    Z = np.array([[-1.0, 0.0, 1.0]])
    for neuron in both(Neuron, input_scale=1.0):
        A = neuron.predict_proba(one(), Z)
        expect_on_host(neuron, "predict_proba: A", A, Z.shape)
        judge(neuron, "predict_proba: A", A, exact(neuron, one(), Z, Z)[2], bounds(neuron, one(), Z, abs(Z)).A)
        for threshold, right in (0.5, [[0, 0, 1]]), (0.2, [[1, 1, 1]]):
            found = neuron.predict(one(), Z, threshold)
            good = type(found) is np.ndarray and found.dtype == np.uint8
            expect(neuron, good, f"predict gave a {kind(found)} of {found.dtype}; expected a numpy.ndarray of uint8")
            words = f"predict: logits -1, 0 and 1 are of classes {found[0]} by the threshold {threshold}"
            expect(neuron, found.tolist() == right, f"{words}; expected {right[0]}")
        share = neuron.accuracy(one(), Z, np.array([[0, 1, 1]]))
        expect(neuron, share == 2 / 3, f"accuracy is {share} where two of three are right; expected 2 / 3")


def check_results(Neuron: Backend, seed: int = 0) -> None:
    """Results are the caller's own: written to, they change no argument and no later result."""
    (W, b), X, Y = problem(seed)
    for neuron in both(Neuron, activation="identity", loss="squared_error"):
        start = Parameters(W.astype(neuron.dtype), b.astype(neuron.dtype))
        for where, P in ("host", start), ("device", neuron.put_parameters(start)):

            def found(neuron: AnyNeuron = neuron, P: Parameters = P) -> dict[str, tuple[Any, ...]]:
                fitted, _ = neuron.fit(X, Y, epochs=0, learning_rate=RATE, initial=P)
                A = neuron.predict_proba(P, X)
                return {"fit of no epochs": fitted, "gradients": neuron.gradients(P, X, Y), "predict_proba": (A,)}

            before = {name: np.array(neuron.get(V)) for name, V in Problem(P, X, Y).named().items()}
            first = {what: [V.copy() for V in values] for what, values in found().items()}
            same = np.array_equal(first["fit of no epochs"][0], start.W)
            expect(neuron, same, "fit of no epochs did not return the parameters that it started from")
            for what, values in found().items():
                for V in values:
                    expect_on_host(neuron, what, V, V.shape)
                    V[...] = 7.0
                for name, V in Problem(P, X, Y).named().items():
                    same = np.array_equal(neuron.get(V), before[name])
                    expect(neuron, same, f"{what}: the result shares memory with the argument {name}, on the {where}")
            for what, values in found().items():
                same = all(map(np.array_equal, values, first[what]))
                expect(neuron, same, f"{what}: a result that was written to changed that of the next call")


def check_relu(Neuron: Backend, seed: int = 0) -> None:
    """A relu does not learn where its logit is 0: f'(0) = 0."""
    for neuron in both(Neuron, activation="relu", loss="squared_error", l2=0.0):
        dW, db = neuron.gradients(Parameters.zeros(2), np.ones((2, 3)), np.array([[0, 1, 1]]))
        words = f"gradients: dW is {dW[0]} and db {db} where all logits are 0; expected 0"
        expect(neuron, not dW.any() and db == 0, words)


CHECKS: tuple[Check, ...] = tuple(law for name, law in globals().items() if name.startswith("check_"))
"""In the order in which a backend is written."""
