"""How far more machines help: a model of the step, its constants measured here, and what it says of larger data.

The time of a step over m examples of n bytes each, on P processes::

    t(m, n, P) = m n / (P B) + T(n, P)            T(n, P) = k alpha + 2 (P - 1) / P 8 (n + 2) / w

reading each process' share of X once, at B bytes a second (that of the disk, where the share does not fit into memory),
and the all-reduce of n + 2 numbers of 8 bytes in k messages one after the other, each alpha seconds late, at w bytes a
second between two processes. gloo sends round a ring, k = 2 (P - 1) (Patarasuk and Yuan, "Bandwidth Optimal All-reduce
Algorithms for Clusters of Workstations", 2009), NCCL up and down trees, k = 2 ceil(log2 P) (Sanders, Speck and Traeff,
"Two-tree Algorithms for Full Bandwidth Broadcast, Reduction and Scan", 2009). T(n, 1) = 0.

``python -m handgrad.benchmarks.scaling`` measures B, alpha and w with one and two processes, checks the model against
the step of two, measures what memory each process holds, and prints a table for machines and data that are not here.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import click
import numpy as np

from handgrad import backends, memory
from handgrad.checkpoint import cores, processor
from handgrad.table import table

FEATURES = 12_288
"""Of a photograph of 64 x 64 pixels."""

EPOCHS = 500
TIMEOUT = 1800
"""Seconds after which processes that were started hang."""


@dataclass(frozen=True)
class Machine:
    """What a step depends on, of a kind of process.

    Attributes:
        name: of the kind.
        bandwidth: B, bytes a second of X that one process reads from its memory, and computes with.
        storage: bytes a second that it reads from a disk, where its share does not fit.
        memory: bytes of X that it can hold.
        latency: alpha, seconds a message between two.
        network: w, bytes a second between two.
        tree: whether an all-reduce goes up and down trees, in place of round a ring.
    """

    name: str
    bandwidth: float
    storage: float
    memory: float
    latency: float
    network: float
    tree: bool = False

    def holds(self, m: int, n: int, P: int) -> bool:
        """Whether the shares of P processes fit into their memories."""
        return m * n / P <= self.memory

    def read(self, m: int, n: int, P: int) -> float:
        """Seconds to read a share."""
        return m * n / P / (self.bandwidth if self.holds(m, n, P) else min(self.storage, self.bandwidth))

    def exchange(self, n: int, P: int) -> float:
        """Seconds of an all-reduce, T(n, P)."""
        messages = 2 * math.ceil(math.log2(P)) if self.tree else 2 * (P - 1)
        return messages * self.latency + 2 * (P - 1) / P * 8 * (n + 2) / self.network

    def step(self, m: int, n: int, P: int) -> float:
        """Seconds of a step, t(m, n, P)."""
        return self.read(m, n, P) + self.exchange(n, P)

    def fewest(self, m: int, n: int) -> int:
        """The fewest processes whose memories hold X."""
        return math.ceil(m * n / self.memory)

    def pays(self, m: int, n: int) -> int | None:
        """The fewest processes, above one, whose step is shorter than that of one; None if there are none."""
        return next((P for P in powers(2, 2**30) if self.step(m, n, P) < self.step(m, n, 1)), None)

    def half(self, m: int, n: int) -> int:
        """The most processes, a power of two, that spend at least half of a step reading."""
        return max((P for P in powers(1, 2**30) if self.read(m, n, P) >= self.exchange(n, P)), default=1)


def powers(least: int, most: int) -> list[int]:
    """Of two, from one to the other."""
    return [2**k for k in range(int(math.log2(least)), int(math.log2(most)) + 1)]


SERVER = Machine("server, 2 sockets", 400e9, 6e9, 400e9, 25e-6, 12.5e9)
"""Assumed, not measured: two thirds of 16 channels of DDR5-4800, one NVMe disk, 512 GB, TCP over 100 Gb/s Ethernet."""

H100 = Machine("H100", 2.7e12, 6e9, 72e9, 15e-6, 50e9, tree=True)
"""Assumed, not measured: 80 % of the data sheet's 3.35 TB/s, 72 of 80 GB, NCCL over 400 Gb/s InfiniBand."""


def measured(found: dict[str, Any]) -> Machine:
    """The constants of a process here, from what `handgrad.benchmarks.processes` found of two."""
    n, m = found["n"], found["m"]
    one, number, sums = (statistics.median(found[name]) for name in ("one", "number", "sums"))
    room = memory.total() / 2 / cores()
    here = Machine("core of this one", m * n / one, math.inf, room, number / 2, math.inf)
    return replace(here, network=8 * (n + 1) / max(sums - number, 1e-9))


def storage(path: Path) -> float:
    """Bytes a second at which a file is read that is not in memory."""
    with path.open("rb", buffering=0) as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        buffer, begun = bytearray(2**24), perf_counter()
        while file.readinto(buffer):
            pass
        return path.stat().st_size / (perf_counter() - begun)


def launch(processes: int, *arguments: str) -> dict[str, Any]:
    """What rank 0 of so many processes, of one thread each, found."""
    with tempfile.TemporaryFile() as log:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
        done = subprocess.run(
            [*command, "-m", "--", "handgrad.benchmarks.processes", *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        if done.returncode:
            log.seek(0)
            raise click.ClickException(f"the processes failed:\n{log.read().decode()}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def write(path: Path, m: int, n: int = FEATURES) -> None:
    """A file of random bytes (m, n)."""
    rng = np.random.default_rng(0)
    file = np.lib.format.open_memmap(path, "w+", np.uint8, (m, n))
    for i in range(0, m, 4096):
        file[i : i + 4096] = rng.integers(0, 256, file[i : i + 4096].shape, np.uint8)


def steps(path: Path, names: list[str], rounds: int) -> tuple[list[list[str]], Machine]:
    """A row for each backend; and the constants on the fastest of them."""
    rows, fastest = [], None
    for name in names:
        found = launch(2, "step", str(path), name, str(rounds))
        here = measured(found)
        one, both = (statistics.median(found[of]) for of in ("one", "all"))
        ratio = statistics.median(both / one for one, both in zip(found["one"], found["all"], strict=True))
        model = here.step(found["m"], found["n"], 2)
        exchange = 1e6 * statistics.median(found["sums"])
        row = [name, f"{1e3 * one:.2f}", f"{1e3 * both:.2f}", f"{ratio:.0%}", f"{exchange:.0f}"]
        rows.append([*row, f"{1e3 * model:.2f}", f"{both / model:.2f}"])
        if fastest is None or here.bandwidth > fastest.bandwidth:
            fastest = here
    assert fastest is not None
    return rows, fastest


def scaling(machines: list[Machine], counts: list[int], n: int = FEATURES) -> list[list[str]]:
    """Rows, for each number of examples and kind of machine: with one, with as many as hold X, with as many as help."""
    rows = []
    for m in counts:
        for of in machines:
            for P in sorted({1, of.fewest(m, n), max(of.half(m, n), of.fewest(m, n))}):
                read, exchange = of.read(m, n, P), of.exchange(n, P)
                step = read + exchange
                where = "network" if exchange > read else "memory" if of.holds(m, n, P) else "storage"
                hours = P * EPOCHS * step / 3600
                times = time(read), time(exchange), time(step), f"{of.step(m, n, 1) / step:,.3g} x"
                pays = str(of.pays(m, n) or "never")
                rows.append([f"{m:,}", size(m * n), of.name, f"{P:,}", *times, where, f"{hours:,.3g}", pays])
    return rows


def time(seconds: float) -> str:
    """In the unit that suits it."""
    for unit, length in ("h", 3600.0), ("min", 60.0), ("s", 1.0), ("ms", 1e-3):
        if seconds >= length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"


def size(number: float) -> str:
    """Of so many bytes."""
    for unit in "TB", "GB", "MB":
        length = {"TB": 1e12, "GB": 1e9, "MB": 1e6}[unit]
        if number >= length:
            break
    return f"{number / length:.3g} {unit}"


@click.command()
@click.option("--backends", "names", default="numba,numpy,torch", show_default=True)
@click.option("--examples", "m", default=20_000, show_default=True, help="Of 12,288 bytes each, in the step.")
@click.option("--gigabytes", default=1.0, show_default=True, help="Of the file for the memory; 0 leaves it out.")
@click.option(
    "--processes", "counts", multiple=True, type=click.IntRange(1), default=(1, 2, 4), show_default=True,
    help="That share the file for the memory; may be given again.",
)  # fmt: skip
@click.option("--rounds", default=10, show_default=True)
def main(names: str, m: int, gigabytes: float, counts: tuple[int, ...], rounds: int) -> None:
    """Print the tables."""
    chosen = names.split(",")
    for name in chosen:
        backends.load(name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pixels.npy"
        write(path, m)
        rows, here = steps(path, chosen, rounds)
        here = replace(here, storage=storage(path))
        click.echo(f"A step at n = {FEATURES:,}, m = {m:,}, one thread a process, by turns; {processor()}\n")
        header = ["backend", "one process, ms", "two, ms", "of one", "exchange, us", "model of two, ms", "two / model"]
        click.echo(table(header, *rows))
        if gigabytes:
            write(path, round(gigabytes * 1e9 / FEATURES))
            click.echo(f"\nMemory of each process, more than before it had a share of {gigabytes:g} GB of bytes, MB\n")
            rows = []
            for name in chosen:
                for P in counts:
                    found = launch(P, "memory", str(path), name)
                    share = found["X"] / P / 1e6
                    more = [f"{held / 1e6:,.0f}" for held in found["more"]]
                    rows.append([name, str(P), f"{share:,.0f}", " ".join(more)])
            click.echo(table(["backend", "processes", "share of the file", "held"], *rows))
    click.echo(
        f"\nMeasured here: B = {here.bandwidth / 1e9:.1f} GB/s, alpha = {1e6 * here.latency:.0f} us, "
        f"w = {here.network / 1e9:.2f} GB/s, and {here.storage / 1e9:.1f} GB/s from the disk\n"
    )
    header = ["photographs", "X", "process", "P", "read", "exchange", "step", "faster", "bound by"]
    header += [f"process hours, {EPOCHS} epochs", "pays from P ="]
    click.echo(table(header, *scaling([here, SERVER, H100], [20_000, 20_000_000, 20_000_000_000])))


if __name__ == "__main__":
    main()
