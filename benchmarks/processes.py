"""What one of several processes does to be measured; `handgrad.benchmarks.scaling` has torchrun start them.

``step FILE BACKEND ROUNDS`` takes turns, in the same processes: a step of one process alone over all examples, a step
of all over their shares, and exchanges between them. ``memory FILE BACKEND`` trains on shares, and looks at what each
process then holds. Rank 0 prints what was found as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from handgrad import backends
from handgrad.benchmarks.machine import held
from handgrad.neuron import Parameters
from handgrad.processes import Processes, joined
from handgrad.share import shared

EXCHANGES = 100
STEPS = 20


def step(path: Path, backend: str, rounds: int, processes: Processes) -> dict[str, Any]:
    """Seconds, in each round: of a step of one process, of one of all, and of exchanging one number, and all."""
    X, Y = examples(path)
    n, m = X.shape
    neuron, start = backends.load(backend)(input_scale=1 / 255), Parameters.zeros(n)
    mine = processes.share(m)
    _, here, labels = neuron._checked(start, shared(X[:, mine], processes), Y[:, mine])
    everything, all_labels = neuron._checked(start, X, Y)[1:] if processes.rank == 0 else (None, None)

    def steps(X: Any, Y: Any) -> Callable[[], Any]:
        placed = neuron._parameters(*start)
        return lambda: neuron.get(neuron.descend(placed, (X, Y), None, 0.003, range(STEPS), 1)[0].W)

    def exchange(k: int) -> Callable[[], Any]:
        numbers = np.zeros(k)
        return lambda: [processes.add(numbers) for _ in range(EXCHANGES)]

    def seconds(act: Callable[[], Any], times: int) -> float:
        processes.largest([0.0])
        begun = time.perf_counter()
        act()
        return (time.perf_counter() - begun) / times

    found: dict[str, list[float]] = {"one": [], "all": [], "number": [], "sums": []}
    for _ in range(rounds + 1):
        alone = steps(everything, all_labels) if processes.rank == 0 else lambda: None
        found["one"].append(seconds(alone, STEPS))
        found["all"].append(seconds(steps(here, labels), STEPS))
        found["number"].append(seconds(exchange(1), EXCHANGES))
        found["sums"].append(seconds(exchange(n + 2), EXCHANGES))
    return {"n": n, "m": m, **{name: times[1:] for name, times in found.items()}}


def memory(path: Path, backend: str, processes: Processes) -> dict[str, Any]:
    """Bytes: of X, and that each process holds, in training on its share, more than in training on next to nothing."""
    X, Y = examples(path)
    neuron = backends.load(backend)(input_scale=1 / 255)

    def most_held(X: Any, Y: Any) -> int:
        mine, most = processes.share(Y.shape[1]), [0]

        def look(_: Any) -> bool:
            most.append(held("VmRSS"))
            return False

        here = shared(X[:, mine], processes), Y[:, mine]
        neuron.fit(*here, epochs=3, learning_rate=0.003, span=False, watch=look)
        return max(most)

    few = 8 * processes.count
    before = most_held(np.array(X[:, :few].T).T, Y[:, :few])  # with all that is imported and compiled
    return {"X": X.size, "more": processes.everyones(most_held(X, Y) - before)}


def examples(path: Path) -> tuple[Any, Any]:
    """X (n, m) of bytes, mapped, and labels."""
    X = np.load(path, mmap_mode="r").T
    return X, np.random.default_rng(0).integers(0, 2, (1, X.shape[1]), np.uint8)


def main() -> None:
    """Measure, as the arguments say."""
    what, path, backend, *rounds = sys.argv[1:]
    with joined() as processes:
        found = (
            step(Path(path), backend, int(rounds[0]), processes)
            if what == "step"
            else memory(Path(path), backend, processes)
        )
        if processes.rank == 0:
            print(json.dumps(found))  # noqa: T201


if __name__ == "__main__":
    main()
