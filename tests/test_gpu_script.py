"""The script for a machine with a GPU, where there is none."""

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu.sh"


def test_the_script_for_a_gpu_says_that_there_is_none(tmp_path):
    if subprocess.run(["bash", "-c", "nvidia-smi"], capture_output=True, check=False).returncode == 0:
        pytest.skip("there is one")
    done = subprocess.run(["bash", SCRIPT, tmp_path / "new"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("no GPU: nvidia-smi finds none")
    assert not (tmp_path / "new").exists()
