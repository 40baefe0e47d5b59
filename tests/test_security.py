"""SECURITY.md names the test of each promise."""

import re
from pathlib import Path

HERE = Path(__file__).parent


def test_every_test_that_is_named_is_there():
    named = set(re.findall(r"`(test_\w+)`", (HERE.parent / "SECURITY.md").read_text(encoding="utf-8")))
    there = {name for path in HERE.glob("test_*.py") for name in re.findall(r"^def (test_\w+)", path.read_text(), re.M)}
    assert len(named) > 25
    assert named - there == set()
