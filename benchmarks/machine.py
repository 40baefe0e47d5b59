"""What the machine is and how fast it reads memory: what a time is to be compared with."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from handgrad.checkpoint import cores as cores
from handgrad.checkpoint import processor
from handgrad.errors import UsageError

READ = 2**29
"""Bytes read by a kernel: far more than any cache of one processor."""
TIMES = 5
PACKAGES = ("handgrad", "numpy", "torch", "jax", "jaxlib", "numba", "scikit-learn")


def read_bandwidth(device: str, size: int = READ) -> dict[str, float]:
    """Bytes per second that are read, by kernel; the best of some runs, with one thread for each core of the process.

    Args:
        device: "cpu", or "cuda", which PyTorch or JAX then reads.
        size: of the array, in bytes.
    """
    if device != "cpu":
        return _on_cuda(size)
    array = np.ones(size // 4, np.float32)
    parts = np.array_split(array, cores())
    kernels: dict[str, Callable[[npt.NDArray[Any]], Any]] = {
        "sum of float32": lambda part: part.sum(),
        "maximum of bytes": lambda part: part.view(np.uint8).max(),
        "dot product": lambda part: np.dot(part, part),
    }
    with ThreadPoolExecutor(len(parts)) as pool:

        def once(kernel: Callable[[npt.NDArray[Any]], Any]) -> float:
            start = time.perf_counter()
            list(pool.map(kernel, parts))
            return time.perf_counter() - start

        return {name: array.nbytes / min(once(kernel) for _ in range(TIMES)) for name, kernel in kernels.items()}


def _on_cuda(size: int) -> dict[str, float]:
    try:
        import torch

        array = torch.ones(size // 4, device="cuda")
        kernels: dict[str, Callable[[], Any]] = {
            "PyTorch's sum": lambda: array.sum().item(),
            "PyTorch's maximum": lambda: array.max().item(),
        }
    except (ImportError, RuntimeError, AssertionError):
        import jax
        import jax.numpy as jnp

        on_device = jax.device_put(np.ones(size // 4, np.float32), jax.devices("cuda")[0])
        total: Any = jax.jit(jnp.sum)
        largest: Any = jax.jit(jnp.max)
        kernels = {"JAX's sum": lambda: float(total(on_device)), "JAX's maximum": lambda: float(largest(on_device))}
    found = {}
    for name, kernel in kernels.items():
        kernel()
        seconds = []
        for _ in range(TIMES):
            start = time.perf_counter()
            kernel()
            seconds.append(time.perf_counter() - start)
        found[name] = size / min(seconds)
    return found


def environment(threads: int) -> dict[str, Any]:
    """Processor, caches, memory, versions, threads, GPU, revision and command line."""
    return {
        "cpu": processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "caches": caches(),
        "memory_bytes": _memory(),
        "gpu": _gpu(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
        "blas": _blas(),
        "revision": _said("git", "-C", str(Path(__file__).resolve().parent), "rev-parse", "HEAD"),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
    }


def held(which: str) -> int:
    """Bytes of memory that this process has, as Linux counts it: "VmRSS", "RssAnon" of it, or most, "VmHWM"."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(which + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"no {which}")


def caches() -> dict[str, int]:
    """Bytes of each cache that holds data, by level; of all its instances that this process may use, L3 once."""
    found: dict[str, int] = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            kind, level, size = ((index / name).read_text().strip() for name in ("type", "level", "size"))
        except OSError:
            continue
        if kind != "Instruction":
            found[f"L{level}"] = int(size.rstrip("KM")) * {"K": 2**10, "M": 2**20}.get(size[-1], 1)
    return found


def _memory() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemTotal:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def _gpu() -> str | None:
    return _said("nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader")


def _said(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _blas() -> str | None:
    built: Any = np.show_config(mode="dicts")
    blas = built.get("Build Dependencies", {}).get("blas", {}) if isinstance(built, dict) else {}
    return f"{blas.get('name')} {blas.get('version')}" if blas else None


def has_cuda() -> None:
    """Raise a UsageError where neither PyTorch nor JAX finds a CUDA device; looked for in a process of its own."""
    program = (
        "import sys\n"
        "try:\n import torch; ok = torch.cuda.is_available()\nexcept ImportError: ok = False\n"
        "if not ok:\n try:\n  import jax; ok = any(d.platform == 'gpu' for d in jax.devices())\n"
        " except Exception: ok = False\nsys.exit(0 if ok else 1)"
    )
    if subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).returncode:
        raise UsageError("device is 'cuda': neither PyTorch nor JAX finds a CUDA device here; use --device cpu")
