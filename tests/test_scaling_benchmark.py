"""The model of the step on several processes, and the command that measures it."""

import math
from dataclasses import replace

import pytest
from click.testing import CliRunner

from handgrad.benchmarks import scaling
from handgrad.benchmarks.scaling import H100, SERVER, Machine

MACHINE = Machine("of a test", bandwidth=10e9, storage=1e9, memory=20e9, latency=100e-6, network=1e9)


def test_a_step_takes_the_time_to_read_a_share_and_to_add():
    n, m = 12_288, 1_000_000  # 12.288 GB
    assert MACHINE.step(m, n, 1) == pytest.approx(1.2288)
    exchange = 2 * 100e-6 + 2 * 1 / 2 * 8 * 12_290 / 1e9
    assert MACHINE.step(m, n, 2) == pytest.approx(0.6144 + exchange)
    assert MACHINE.exchange(n, 5) == pytest.approx(8 * 100e-6 + 2 * 4 / 5 * 8 * 12_290 / 1e9)
    tree = replace(MACHINE, tree=True)
    assert tree.exchange(n, 5) == pytest.approx(6 * 100e-6 + 2 * 4 / 5 * 8 * 12_290 / 1e9)


def test_what_does_not_fit_is_read_from_the_disk_until_there_are_enough():
    n, m = 12_288, 10_000_000  # 122.88 GB
    assert MACHINE.fewest(m, n) == 7
    assert MACHINE.read(m, n, 6) == pytest.approx(122.88 / 6 / 1)
    assert MACHINE.read(m, n, 7) == pytest.approx(122.88 / 7 / 10)


@pytest.mark.parametrize("machine", [MACHINE, SERVER, H100], ids=lambda machine: machine.name)
@pytest.mark.parametrize("m", [1, 20_000, 20_000_000])
def test_it_pays_from_the_first_and_up_to_the_last_number_of_processes_that_are_said(machine, m):
    n = 12_288
    pays, half = machine.pays(m, n), machine.half(m, n)
    if pays is None:
        assert all(machine.step(m, n, 2**k) >= machine.step(m, n, 1) for k in range(1, 20))
    else:
        assert machine.step(m, n, pays) < machine.step(m, n, 1)
        assert all(machine.step(m, n, 2**k) >= machine.step(m, n, 1) for k in range(1, int(math.log2(pays))))
    assert machine.read(m, n, 2 * half) < machine.exchange(n, 2 * half)
    assert half == 1 or machine.read(m, n, half) >= machine.exchange(n, half)


def test_the_constants_are_those_of_what_was_measured():
    n, m = 12_288, 20_000
    found = {"n": n, "m": m, "one": [0.02] * 3, "number": [200e-6] * 3, "sums": [400e-6] * 3}
    here = scaling.measured(found)
    assert here.bandwidth == pytest.approx(n * m / 0.02)
    assert here.exchange(n, 2) == pytest.approx(400e-6, rel=1e-3)


def test_the_tables_are_printed():
    pytest.importorskip("torch")
    options = ["--examples", "512", "--gigabytes", "0.02", "--processes", "2", "--rounds", "1"]
    options += ["--backends", "numpy"]
    done = CliRunner().invoke(scaling.main, options, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    for word in "numpy", "Measured here: B = ", "H100", "20,000,000,000", "246 TB":
        assert word in done.output
