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
from handgrad.backend import Parameters
from handgrad.benchmarks.machine import held
from handgrad.examples import Examples
from handgrad.objective import Objective
from handgrad.optimizers import GradientDescent, Place, Task
from handgrad.processes import Processes
from handgrad.torchrun import joined
from handgrad.views import shared

EXCHANGES = 100
STEPS = 20


def step(path: Path, backend: str, rounds: int, processes: Processes) -> dict[str, Any]:
    """Seconds, in each round: of a step of one process, of one of all, and of exchanging one number, and all."""
    X, Y = examples(path)
    n, m = X.shape
    neuron, start = backends.load(backend)(input_scale=1 / 255), Parameters.zeros(n)
    mine = processes.share(m)
    here = neuron.place(shared(X[:, mine], processes), Y[:, mine])
    everything = neuron.place(X, Y) if processes.rank == 0 else None

    def steps(examples: Examples) -> Callable[[], Any]:
        task, place = Task(Objective(neuron, examples), None, STEPS, 1), Place(0, neuron.put_parameters(start), {})
        return lambda: neuron.get(GradientDescent(0.003).take(task, place, range(STEPS)).parameters.W)

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
        alone = (lambda: None) if everything is None else steps(everything)
        found["one"].append(seconds(alone, STEPS))
        found["all"].append(seconds(steps(here), STEPS))
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
        neuron.fit(*here, epochs=3, learning_rate=0.001, span=False, watch=look)
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
