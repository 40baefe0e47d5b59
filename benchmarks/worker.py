"""The far end: one arm in a process of its own, with its own threads, asked by messages and timed where it runs."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from handgrad.benchmarks import machine
from handgrad.benchmarks.arms import Work, load
from handgrad.errors import HandgradError, reason_of

Array = npt.NDArray[Any]

POOLS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
)

PR_SET_PDEATHSIG = 1


class ArmError(Exception):
    """What went wrong in an arm, in one line."""


@dataclass(frozen=True)
class Placed:
    """What was seen of an arm before it is timed.

    Attributes:
        transfer, compile, first: seconds, each its own.
        cached: of the arm.
        steady: seconds of a later step, one sample.
        late: seconds that the result kept one waiting after the arm said it was there.
        result: J, dW, db.
        results: their dtypes and devices, as the arm returned them.
        held: the same of the arrays that the arm holds, by name.
        settings: threads and matmul precision, as the libraries tell them.
    """

    transfer: float
    compile: float
    cached: bool | None
    first: float
    steady: float
    late: float
    result: tuple[Array, Array, Array]
    results: list[tuple[str, str]]
    held: dict[str, tuple[str, str, int]]
    settings: dict[str, Any]


class Worker:
    """A process that serves one arm.

    Args:
        arm: its name.
        threads: for every library in it; the process runs on as many cores.

    While it is not asked, the process is stopped: threads that spin after their work is done, as those of BLAS and
    OpenMP do for a while, would take the cores of the arm whose turn it is.

    Every method raises an ArmError where the arm fails.
    """

    def __init__(self, arm: str, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, far = context.Pipe()
        self.process = context.Process(target=_serve, args=(far, arm, os.getpid()), daemon=True)
        with _confined(threads):
            self.process.start()
        far.close()
        # Stopped as it may be, it would not take the signal by which multiprocessing ends it when this process ends.
        weakref.finalize(self, self.process.kill)

    def place(self, work: Work, X: Path | None = None) -> Placed:
        """Place the work and take its first steps; X from a file where that is given."""
        placed: Placed = self._ask("place", work, X)
        return placed

    def time(self, steps: int, call: str | None = None) -> list[float]:
        """Seconds of each of some steps, after one that is not timed; of a backend, of another call than the arm's."""
        seconds: list[float] = self._ask("time", steps, call)
        return seconds

    def peak(self) -> int:
        """Bytes that the last placing and stepping have added to what the process and its libraries held before it."""
        peak: int = self._ask("peak")
        return peak

    def read_bandwidth(self, device: str) -> dict[str, float]:
        """Bytes per second that were read, by the kernel that read them."""
        found: dict[str, float] = self._ask("read_bandwidth", device)
        return found

    def close(self) -> None:
        """End the process, whatever it does."""
        self.process.kill()
        self.process.join()
        self.connection.close()

    def _ask(self, *message: Any) -> Any:
        try:
            self._signal("SIGCONT")
            self.connection.send(message)
            ok, answer = self.connection.recv()
            self._signal("SIGSTOP")
        except (EOFError, OSError) as error:
            self.process.join(1)
            raise ArmError(f"its process died (exit code {self.process.exitcode})") from error
        if not ok:
            raise ArmError(answer)
        return answer

    def _signal(self, name: str) -> None:
        """Stop the process, or let it go on; where the system can."""
        if self.process.is_alive() and self.process.pid is not None and hasattr(signal, name):
            os.kill(self.process.pid, getattr(signal, name))


@contextmanager
def _confined(threads: int) -> Iterator[None]:
    """A process started within inherits the cores, the sizes of thread pools, and a deaf ear for Ctrl-C."""
    before = {name: os.environ.get(name) for name in POOLS}
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    deaf = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    os.environ.update(dict.fromkeys(POOLS, str(threads)))
    if cores:
        os.sched_setaffinity(0, sorted(cores)[:threads])
    try:
        yield
    finally:
        if cores:
            os.sched_setaffinity(0, cores)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        signal.pthread_sigmask(signal.SIG_SETMASK, deaf)


def _serve(connection: Connection, name: str, parent: int) -> None:
    if sys.platform == "linux":  # while it is stopped, it would not notice that nobody is left to ask it
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            return
    served = _Served(name)
    while True:
        try:
            method, *arguments = connection.recv()
        except EOFError:
            return
        try:
            answer = True, getattr(served, method)(*arguments)
        except HandgradError as error:
            answer = False, str(error)
        except Exception as error:
            answer = False, f"{type(error).__name__}: {reason_of(error)}"
        connection.send(answer)


class _Served:
    def __init__(self, name: str) -> None:
        self.name = name
        self.arm: Any = None

    def place(self, work: Work, X: Path | None) -> Placed:
        arm = load(self.name)()
        self.before = machine.held("VmRSS")
        if X is not None:
            work = replace(work, X=np.load(X).T)
        self.arm = arm
        start = time.perf_counter()
        arm.place(work)
        transfer = time.perf_counter() - start
        start = time.perf_counter()
        arm.compile()
        compiled = time.perf_counter() - start
        first, _, _ = self._step()
        taken = sorted((self._step() for _ in range(5)), key=lambda step: step[1])
        seconds, late, result = taken[2]  # the median, since what else the machine does may hide or feign a delay
        return Placed(
            transfer=transfer,
            compile=max(0.0, compiled - arm.warms * first),
            cached=arm.cached,
            first=first,
            steady=seconds,
            late=late,
            result=(host(result[0]), host(result[1]), host(result[2])),
            results=[where(value)[:2] for value in result],
            held=dict(_held(arm)),
            settings=_settings(),
        )

    def _step(self) -> tuple[float, float, Any]:
        """Seconds of a step as its arm waits for it, seconds that its result is late after that, and the result."""
        start = time.perf_counter()
        result = self.arm.step()
        self.arm.wait(result)
        waited = time.perf_counter()
        for value in result:
            host(value)
        came = time.perf_counter()
        for value in result:
            host(value)
        copied = time.perf_counter() - came
        return waited - start, came - waited - copied, result

    def time(self, steps: int, call: str | None = None) -> list[float]:
        arm, seconds = self.arm, []
        if call is not None:
            arm.call = call
        arm.wait(arm.step())
        for _ in range(steps):
            start = time.perf_counter()
            arm.wait(arm.step())
            seconds.append(time.perf_counter() - start)
        return seconds

    def peak(self) -> int:
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available() and torch.cuda.max_memory_allocated():
            return int(torch.cuda.max_memory_allocated())
        jax = sys.modules.get("jax")
        if jax is not None and (statistics := jax.devices()[0].memory_stats()):
            return int(statistics["peak_bytes_in_use"])
        return machine.held("VmHWM") - self.before

    def read_bandwidth(self, device: str) -> dict[str, float]:
        return machine.read_bandwidth(device)


def host(value: Any) -> Array:
    """A NumPy array of the same numbers, which waits for them."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    return np.asarray(value)


def where(value: Any) -> tuple[str, str, int]:
    """The dtype, the device and the size of an array of any framework."""
    dtype = str(value.dtype if hasattr(value, "dtype") else np.asarray(value).dtype).removeprefix("torch.")
    size = int(np.prod(np.shape(value), dtype=np.int64))
    if hasattr(value, "detach"):
        return dtype, value.device.type, size
    if hasattr(value, "devices"):
        platform = next(iter(value.devices())).platform
        return dtype, {"gpu": "cuda"}.get(platform, platform), size
    return dtype, "cpu", size


def _held(holder: Any) -> Iterator[tuple[str, tuple[str, str, int]]]:
    for name, value in vars(holder).items():
        for part in value if isinstance(value, tuple | list) else [value]:
            if hasattr(part, "dtype") and hasattr(part, "shape"):
                yield name, where(part)


def _settings() -> dict[str, Any]:
    found: dict[str, Any] = {"cores": machine.cores()}
    try:
        import threadpoolctl

        found["pools"] = {p["internal_api"]: p["num_threads"] for p in threadpoolctl.threadpool_info()}
    except ModuleNotFoundError:
        pass
    if torch := sys.modules.get("torch"):
        found["pools"] = found.get("pools", {}) | {"torch": torch.get_num_threads()}
        found["matmul_precision"] = torch.get_float32_matmul_precision()
    if jax := sys.modules.get("jax"):
        found["matmul_precision"] = jax.config.jax_default_matmul_precision or "as the program says"
    return found
