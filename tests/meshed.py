"""A program that is run over a mesh, alone or beside others of its kind, and writes what it found as JSON.

What it finds are claims, each with a number that has to be at most 1: how far results are from those of one device, in
units of how far they may be.

    python meshed.py OUT PROGRAM                             # alone
    python meshed.py OUT PROGRAM PORT PROCESSES NUMBER       # one of several processes
"""

import ctypes
import dataclasses
import itertools
import json
import math
import mmap
import re
import sys
from pathlib import Path

import jax
import numpy as np

from handgrad import DataError, Parameters
from handgrad.backends.inputs import Rows, Sharded, own_columns
from handgrad.backends.jax import Neuron
from handgrad.exact import CONFIGURATIONS
from handgrad.examples import Stored
from handgrad.optimizers import LBFGS, SGD
from handgrad.rounding import bounds, descent_bounds
from handgrad.views import mirrored, standardised, weighted

N, EPOCHS, RATE = 6, 50, 0.03
DTYPES = "float32", "float64"
KINDS = ("bytes", 0.0), ("floats", 0.1), ("floats", 0.0), ("bytes", 0.1)


def pair(*configuration, **options):
    """A neuron on one device, and the same on all."""
    return [Neuron(*configuration, device=device, **options) for device in ("cpu", "cpu:all")]


def problem(m, kind="floats"):
    """X (6, m), Y and the input scale."""
    rng = np.random.default_rng(m)
    Y = rng.integers(0, 2, (1, m))
    if kind == "bytes":
        return rng.integers(0, 256, (m, N), np.uint8).T, Y, 1 / 255
    return rng.standard_normal((N, m)) / 2, Y, 1.0


def apart(P, Q, allowed):
    return max(float(np.max(abs(a.astype(np.float64) - b) / bound)) for a, b, bound in zip(P, Q, allowed, strict=True))


def path(neuron, X, Y):
    """The parameters before and after every epoch on one device."""
    P = neuron.put_parameters(Parameters.random(N, 1))
    X, Y = neuron.put_inputs(X), neuron.put(Y)
    found = [neuron.get_parameters(P)]
    for epoch in range(EPOCHS):
        P = neuron.descend(P, (X, Y), None, RATE, range(epoch, epoch + 1), 1)[0]
        found.append(neuron.get_parameters(P))
    return found


def descents(sizes, configurations=CONFIGURATIONS):
    """Every loss, dtype and number of examples: a fit over the mesh and the epochs on one device."""
    claims, results = {}, {}
    cases = itertools.product(configurations, DTYPES, sizes)
    for ((loss, activation), dtype, m), (kind, l2) in zip(cases, itertools.cycle(KINDS), strict=False):
        X, Y, scale = problem(m, kind)
        one, mesh = pair(activation, loss, l2, scale, dtype)
        alone = path(one, X, Y)
        P, history = mesh.fit(X, Y, epochs=EPOCHS, learning_rate=RATE, initial=alone[0])
        name = f"{loss} {activation} {dtype} m={m} {kind} l2={l2}"
        claims[name] = apart(P, alone[-1], descent_bounds(one, alone, X, Y, RATE))
        results[name] = [P.W.tobytes().hex(), P.b.tobytes().hex(), history.train_cost.tobytes().hex()]
    return claims, results


def faults():
    """The same with a fault planted: the rest left out, or counted twice; the shares of the bound are far above 1."""
    right, found = Sharded.total, {}
    for fault, sign in ("left out", -1), ("twice", 1):

        def wrong(X, sums, parameters, Y, sign=sign):
            rest = dataclasses.replace(X, even=None)
            besides = right(rest, sums, parameters, Y[:, -rest.shape[1] :])
            return jax.tree.map(lambda V, U: V + sign * U, right(X, sums, parameters, Y), besides)

        Sharded.total = wrong
        jax.clear_caches()
        claims, _ = descents((9, 1003), CONFIGURATIONS[:1])
        found |= {f"{fault}: {name}": ratio for name, ratio in claims.items()}
    Sharded.total = right
    jax.clear_caches()
    return found


def same(a, b, rtol=0.0):
    """0 where two results are the same, to rtol of the largest; else infinite."""
    pairs = zip(a if isinstance(a, tuple) else (a,), b if isinstance(b, tuple) else (b,), strict=True)
    near = all(
        np.allclose(V, U, rtol=0, atol=rtol * np.nanmax(abs(np.asarray(U)), initial=0), equal_nan=True)
        for V, U in pairs
    )
    return 0.0 if near else math.inf


def everything(m):
    """All that a neuron does, over the mesh and on one device, in float64."""
    claims = {}
    X, Y, scale = problem(m, "bytes")
    validation = problem(5, "bytes")[:2]
    one, mesh = pair(input_scale=scale, l2=0.01, dtype="float64")
    start = Parameters.random(N, 1)

    def both(name, use, rtol=1e-12):
        claims[f"{name} m={m}"] = same(use(mesh), use(one), rtol)

    def fitted(X, Y, **options):
        options = dict(epochs=12, initial=start, span=False) | options
        if "optimizer" not in options:
            options["learning_rate"] = RATE

        def use(neuron):
            P, history = neuron.fit(X, Y, **options)
            return *P, history.train_cost, history.validation_cost

        return use

    both("activations", lambda neuron: neuron.predict_proba(start, X))
    both("classes", lambda neuron: neuron.predict(start, X).astype(float), 0)
    both("accuracy", lambda neuron: neuron.accuracy(start, X, Y), 0)
    both("cost", lambda neuron: neuron.cost(start, X, Y))
    both("gradients", lambda neuron: tuple(neuron.gradients(start, X, Y)))
    both("inputs that are there and back", lambda neuron: neuron.get(neuron.put_inputs(X)), 0)
    both("inputs of the other neuron", lambda neuron: neuron.cost(start, mesh.put_inputs(X), mesh.put(Y)))
    both("parameters of the other neuron", lambda neuron: neuron.cost(mesh.step(start, X, Y, RATE), X, Y))
    both("examples by index", lambda neuron: neuron.get(neuron.put_inputs(X)[:, np.array([m - 1, 0, 0])]), 0)
    both("early stopping", fitted(X, Y, validation=(X, 1 - Y), patience=4))
    both("blocks", fitted(X, Y, block=11, validation=validation))
    both("stochastic", fitted(X, Y, optimizer=SGD(0.1, batch=4), epochs=3))
    both("L-BFGS", fitted(X, Y, optimizer=LBFGS(), epochs=4), 1e-9)
    both("mirrored", fitted(mirrored(X, (1, 2, 3)), np.tile(Y, 2), validation=validation))
    both("standardised", fitted(standardised(X), Y))
    both("weighted, stochastic", fitted(weighted(X, 1 + np.arange(m) % 2), Y, optimizer=SGD(0.1, batch=5), epochs=2))
    all_seen = weighted(standardised(mirrored(X, (1, 2, 3))), np.arange(2 * m) % 3)
    both("all of these, stochastic", fitted(all_seen, np.append(Y, 1 - Y, 1), optimizer=SGD(0.1, batch=5), epochs=2))
    both("validation", watched := fitted(X, Y, validation=validation, validation_every=3))
    states = []
    options = dict(validation=validation, validation_every=3)
    fitted(X, Y, **options, watch=lambda state: states.append(state()) or True)(mesh)
    claims[f"resumed m={m}"] = same(fitted(X, Y, **options, resume=states[0])(mesh), watched(mesh))
    return claims


def extremes():
    """Logits of 1e4 and numbers near both ends of the range, whose costs and gradients stay within the bounds."""
    claims = {}
    for (loss, activation), dtype in itertools.product(CONFIGURATIONS, DTYPES):
        tiny, rng = float(np.finfo(dtype).smallest_subnormal), np.random.default_rng(0)
        X = rng.choice([0.0, tiny, -1e-30, 1.0, -1e4, 1e4], (N, 19))
        Y = rng.integers(0, 2, (1, 19))
        one, mesh = pair(activation, loss, dtype=dtype)
        for P in Parameters.random(N, 2), Parameters.zeros(N), Parameters(np.full((1, N), 1e3), np.asarray(-1e4)):
            allowed = bounds(one, P, X, Y)
            found, right = ([neuron.get(V) for V in neuron.sums(P, X, Y)[:3]] for neuron in (mesh, one))
            most = [2 * 19 * V for V in (allowed.cost, allowed.dW, allowed.db)]
            claims[f"extremes {loss} {activation} {dtype} W={P.W[0, 0]:g}"] = apart(found, right, most)
    return claims


def collectives():
    """What the compiled epochs move between the devices: of each operation, its name and result."""
    mesh = Neuron(dtype="float64", device="cpu:all")
    X, Y, _ = problem(1003)
    (X, Y), P = (mesh.put_inputs(X), mesh.put(Y)), mesh.put_parameters(Parameters.zeros(N))
    with mesh.arithmetic():
        text = mesh._descend.lower(mesh, None, P, (X, Y), None, RATE, 0, EPOCHS, 1).compile().as_text()
    names = "all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter|collective-broadcast"
    return [f"{name} {shape}" for shape, name in re.findall(rf"= (\S+?)(?:{{\S*}})? ({names})\S*\(", text)]


def fused():
    """The fused kernel on the rows of each device, in its interpreter."""
    claims = {}
    fuses = Neuron._fuses
    Neuron._fuses = lambda self, *_: self.device == "cpu:all"
    for (loss, activation), kind, m in [(of, "bytes", 21) for of in CONFIGURATIONS] + [
        (CONFIGURATIONS[0], "floats", 11)
    ]:
        X, Y, scale = problem(m, kind)
        one, mesh = pair(activation, loss, 0.1, scale)
        held = mesh.put_inputs(X)
        assert {type(part) for part in held._parts()} == {Rows}
        assert held.dtype == (np.uint8 if kind == "bytes" else np.float32)
        alone = path(one, X, Y)
        P, _ = mesh.fit(held, Y, epochs=EPOCHS, learning_rate=RATE, initial=alone[0])
        name = f"fused {loss} {activation} {kind}"
        claims[name] = apart(P, alone[-1], descent_bounds(one, alone, X, Y, RATE))
        A, allowed = one.predict_proba(P, X), 2 * bounds(one, P, X, Y).A
        claims[f"{name} activations"] = float(np.max(abs(mesh.predict_proba(P, held) - A) / allowed))
        claims[f"{name} by index"] = same(held[:, [m - 1, 1]], X[:, [m - 1, 1]].astype(np.float32))
    Neuron._fuses = fuses
    return claims


def hidden(dtype):
    """A fit on X of which the columns of other processes cannot be read: a look at one ends the process."""
    m, page = 19, mmap.PAGESIZE
    memory = mmap.mmap(-1, m * page)
    X = np.frombuffer(memory, dtype).reshape(m, -1).T
    X[:] = np.random.default_rng(0).integers(0, 2, X.shape)  # a page an example
    Y = np.arange(m)[np.newaxis] % 2
    one, mesh = pair("identity", "squared_error", input_scale=0.01)
    alone, _ = one.fit(X, Y, epochs=3, learning_rate=RATE, span=False)
    own = {i for columns in own_columns(X, mesh._device()) for i in range(m)[columns]}
    libc = ctypes.CDLL(None, use_errno=True)
    for i in set(range(m)) - own:
        address = ctypes.c_void_p(X[:, i].ctypes.data)
        assert libc.mprotect(address, ctypes.c_size_t(page), 0) == 0, ctypes.get_errno()
    P, _ = mesh.fit(X, Y, epochs=3, learning_rate=RATE)
    return {
        f"hidden columns {dtype.__name__}": same(tuple(P), tuple(alone), 1e-5),
        f"hidden columns {dtype.__name__}: there are some": 0.0 if len(own) < m else math.inf,
    }


class Asked(Stored):
    """Examples of which it is known who asked for which."""

    def __init__(self, X):
        self.X, self.shape, self.dtype, self.numbers = X, X.shape, X.dtype, set()

    def take(self, numbers):
        self.numbers |= {*map(int, numbers)}
        return self.X.T[numbers].T


def asked(dtype):
    """Of examples of a kind of its own, each process takes those that it holds."""
    X = Asked(np.random.default_rng(0).integers(0, 2, (19, 5)).T.astype(dtype))
    Y = np.arange(19)[np.newaxis] % 2
    one, mesh = pair("identity", "squared_error", input_scale=0.01)
    alone, _ = one.fit(X.X, Y, epochs=3, learning_rate=RATE, span=False)
    P, _ = mesh.fit(X, Y, epochs=3, learning_rate=RATE)
    own = {i for columns in own_columns(X.X, mesh._device()) for i in range(19)[columns]}
    name = f"examples of a kind of its own, {dtype.__name__}"
    return {name: same(tuple(P), tuple(alone), 1e-5), f"{name}: own": 0.0 if X.numbers == own else math.inf}


def refusals():
    """A number that is not finite, in a column of any process, is the same error in all of them."""
    _, mesh = pair()
    X, Y, _ = problem(23)
    claims = {}
    for i in 0, 11, 22:
        bad = X.copy()
        bad[2, i] = np.nan
        try:
            mesh.fit(bad, Y, epochs=1, learning_rate=RATE)
        except DataError as error:
            claims[f"nan in {i}"] = 0.0 if f"X[2, {i}] is nan (example {i})" in str(error) else math.inf
    assert len(claims) == 3
    largest = mesh.processes.largest([float(jax.process_index()), -float(jax.process_index()), 1 / 3])
    claims["largest"] = same(np.array(largest), np.array([jax.process_count() - 1, 0, 1 / 3]))
    return claims


def several(sizes):
    """Every number of examples with one loss, and every loss with the last number, in both dtypes."""
    claims, results = descents(sizes[-1:])
    more = descents(sizes[:-1], CONFIGURATIONS[:1])
    return claims | more[0], results | more[1]


def devices():
    claims, results = several((1, 7, 8, 9, 1003))
    more = descents((9,), CONFIGURATIONS[1:])
    return {"claims": claims | more[0], "results": results | more[1], "faults": faults()}


def methods():
    claims = everything(3) | extremes() | fused()
    return {"claims": claims, "collectives": collectives()}


def processes():
    claims, results = descents((1, 8), CONFIGURATIONS[:1])
    more = descents((1003,), CONFIGURATIONS[:2])
    claims, results = claims | more[0], results | more[1]
    for dtype in np.uint8, np.float32:
        claims |= hidden(dtype) | asked(dtype)
    return {"claims": claims | everything(27) | refusals(), "results": results}


def again():
    claims, results = descents((1003,), CONFIGURATIONS[:1])
    return {"claims": claims, "results": results}


PROGRAMS = {program.__name__: program for program in (devices, methods, processes, again)}

if __name__ == "__main__":
    out, name, *others = sys.argv[1:]
    if others:
        port, count, number = map(int, others)
        jax.distributed.initialize(f"127.0.0.1:{port}", count, number)
    found = PROGRAMS[name]() | {"devices": jax.device_count()}
    Path(out).write_text(json.dumps(found))
