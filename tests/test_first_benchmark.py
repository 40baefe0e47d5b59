"""The benchmark of the first epoch: caches are empty at first and full the next time, and every backend has a row."""

import pytest
from click.testing import CliRunner

from handgrad.benchmarks import first


def test_the_table_has_a_row_for_each_backend(monkeypatch):
    monkeypatch.setattr(first.backends, "names", lambda: ["numpy", "torch"])
    outcome = CliRunner().invoke(first.main, ["--features", "2", "--examples", "50", "--rounds", "1"])
    assert outcome.exit_code == 0
    rows = [line.split() for line in outcome.stdout.splitlines()]
    assert [row[0] for row in rows[:3]] == ["backend", "numpy", "torch"]
    assert all(float(number) >= 0 for row in rows[1:3] for number in row[1:])


def test_numba_compiles_once_for_the_next_process():
    pytest.importorskip("numba")
    imports, cold, warm = first.measure("numba", 2, 50)
    assert warm < cold / 2  # a tenth, but for a machine that is busy
    assert imports > 0
