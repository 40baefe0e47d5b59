"""JAX over a mesh of devices, and of processes: what one device gives, within the derived bound, and the same bits.

JAX is told how many devices a processor is to be before it starts, so each mesh is in a process of its own.
"""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from handgrad import Parameters, UsageError, backends
from handgrad.backends.numpy import Neuron as ByHand
from handgrad.exact import CONFIGURATIONS
from handgrad.rounding import bounds, descent_bounds

pytest.importorskip("jax")
from handgrad.proof.custom.jaxprs import in_a_hurry

SECONDS = 300
"""After which a program hangs."""


def run(folder, program, devices, processes=1):
    """What each process of the program found; all are ended where one of them fails or hangs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    flags = [f"--xla_force_host_platform_device_count={devices}", "--xla_backend_optimization_level=1"]
    if "xla_cpu_use_fusion_emitters" in in_a_hurry():  # a third less to compile, of what runs for milliseconds
        flags.append("--xla_cpu_use_fusion_emitters=false")
    environment = os.environ | {"XLA_FLAGS": " ".join(flags)}
    started, outs = [], [folder / f"{program}-{number}.json" for number in range(processes)]
    for number, out in enumerate(outs):
        command = [sys.executable, "-W", "error", Path(__file__).with_name("meshed.py"), out, program]
        others = [port, processes, number] if processes > 1 else []
        with out.with_suffix(".txt").open("w") as said:
            started.append(
                subprocess.Popen([*command, *map(str, others)], env=environment, stdout=said, stderr=subprocess.STDOUT)
            )
    end = time.monotonic() + SECONDS
    while any(process.poll() is None for process in started):
        if time.monotonic() > end or any(process.poll() for process in started):
            break
        time.sleep(0.05)
    codes = [process.poll() for process in started]
    for process in started:
        process.kill()
        process.wait()
    said = "\n".join(f"{out.name}:\n{out.with_suffix('.txt').read_text()[-3000:]}" for out in outs)
    assert codes == [0] * processes, f"exit codes {codes} (None: after {SECONDS} s, or when another failed)\n{said}"
    return [json.loads(out.read_text()) for out in outs]


def beyond(claims):
    """Those that do not hold."""
    return {claim: ratio for claim, ratio in claims.items() if not ratio <= 1}


def test_a_descent_over_eight_devices_is_that_on_one_for_every_loss_and_number_of_examples(tmp_path):
    (found,) = run(tmp_path, "devices", devices=8)
    assert found["devices"] == 8
    assert len(found["claims"]) == 26
    assert beyond(found["claims"]) == {}
    # The bound would not hide one example of 1003 that is left out, or counted twice.
    assert len(beyond(found["faults"])) == len(found["faults"]) == 8


def test_over_eight_devices_every_method_holds_and_a_step_is_one_reduction(tmp_path):
    (found,) = run(tmp_path, "methods", devices=8)
    assert beyond(found["claims"]) == {}
    assert found["collectives"] == ["all-reduce f64[8]"]  # dW (6), db and the loss; nothing of X or of Z


def test_two_processes_give_what_one_device_gives_and_the_same_bits_twice(tmp_path):
    one, other = run(tmp_path, "processes", devices=2, processes=2)
    assert one["devices"] == 4
    assert beyond(one["claims"]) == beyond(other["claims"]) == {}
    assert len(one["results"]) == 8
    assert one["results"] == other["results"]
    once, more = run(tmp_path, "again", devices=2, processes=2)
    assert once["results"] == more["results"]
    assert once["results"] == {name: one["results"][name] for name in once["results"]}


def test_a_program_that_fails_or_hangs_ends_the_others_and_says_why(tmp_path, monkeypatch):
    with pytest.raises(AssertionError, match=r"exit codes .*1(.|\n)*KeyError: 'none of them'"):
        run(tmp_path, "none of them", devices=1, processes=2)
    monkeypatch.setattr(f"{__name__}.SECONDS", 0.1)
    with pytest.raises(AssertionError, match=r"exit codes \[None\]"):
        run(tmp_path, "methods", devices=1)


def test_a_mesh_of_one_device_is_that_device(dtype, rng):
    Neuron = backends.load("jax")
    X, Y = rng.integers(0, 256, (31, 7), np.uint8).T, rng.integers(0, 2, (1, 31))
    alone, mesh = (Neuron(input_scale=1 / 255, dtype=dtype, device=device) for device in ("cpu:0", "cpu:all"))
    P, allowed = Parameters.random(7), bounds(alone, Parameters.random(7), X, Y)
    held = mesh.put_inputs(X)
    assert (held.shape, held.dtype, mesh.put_inputs(held) is held) == ((7, 31), dtype, True)
    np.testing.assert_array_equal(mesh.get(held), X)
    assert abs(mesh.cost(P, held, Y) - alone.cost(P, X, Y)) <= 2 * allowed.cost
    assert np.all(abs(mesh.gradients(P, X, Y).dW - alone.gradients(P, X, Y).dW) <= 2 * allowed.dW)
    assert np.all(abs(mesh.predict_proba(P, held) - alone.predict_proba(P, held)) <= 2 * allowed.A)


@pytest.mark.parametrize("name", [name for name in backends.names() if name != "jax"])
def test_other_backends_know_no_mesh(name):
    pytest.importorskip(name)
    with pytest.raises(UsageError, match="device is 'cpu:all'") as caught:
        backends.load(name)(device="cpu:all")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("device", ["cuda:all", "cpu:some", "cpu:7", "abacus:all"])
def test_a_mesh_that_there_is_not_is_one_line(device):
    import jax

    if device == "cuda:all" and jax.default_backend() == "gpu":
        pytest.skip("there is a GPU")
    with pytest.raises(UsageError, match=f"device is '{device}', which JAX cannot use: ") as caught:
        backends.load("jax")(device=device)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("loss", "activation"), CONFIGURATIONS)
def test_descents_in_another_order_stay_within_their_bound_and_a_missing_example_does_not(loss, activation, dtype, rng):
    X, Y = rng.standard_normal((5, 200)) / 2, rng.integers(0, 2, (1, 200))
    neuron = ByHand(activation, loss, l2=0.1, dtype=dtype)

    def path(X, Y):
        found = [neuron.put_parameters(Parameters.random(5))]
        for _ in range(50):
            found.append(neuron.step(found[-1], X, Y, 0.03))
        return found

    one, order = path(X, Y), rng.permutation(200)
    allowed = descent_bounds(neuron, one, X, Y, 0.03)
    for other, within in (path(X[:, order], Y[:, order]), True), (path(X[:, 1:], Y[:, 1:]), False):
        gaps = [abs(a.astype(float) - b) for a, b in zip(one[-1], other[-1], strict=True)]
        assert all(np.all(gap <= bound) for gap, bound in zip(gaps, allowed, strict=True)) == within
    assert descent_bounds(neuron, one[:1], X, Y, 0.03).b == 0
    first = bounds(neuron, one[0], X, Y)
    np.testing.assert_allclose(
        descent_bounds(neuron, one[:2], X, Y, 1e3).W, 2e3 * first.dW, rtol=0.1 if dtype == "float32" else 0.2
    )
