"""Bytes that nobody thought of, for a while; `tests/fuzz.py` goes on for longer."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="Atheris is not installed")
@pytest.mark.parametrize("target", ["image", "npz", "h5", "model"])
def test_a_reader_gives_a_result_or_an_error_of_ours(target, tmp_path):
    # its resident memory counts from that of the process that started it
    options = ["-runs=1200", "-seed=0", "-timeout=5", "-rss_limit_mb=4096", f"-artifact_prefix={tmp_path}/"]
    command = [sys.executable, HERE / "fuzz.py", target, *options, tmp_path, HERE / "corpus" / target]
    found = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    assert found.returncode == 0, found.stderr[-3000:]
    assert "Done 1200 runs" in found.stderr
    assert f"{target}: " in found.stderr
