"""The full-batch step of every arm: the same work, checked; interleaved; against what the machine can do."""

from __future__ import annotations

import json
import math
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from handgrad import memory, store
from handgrad.backend import Parameters
from handgrad.backends.numpy import Neuron
from handgrad.bars import hidden
from handgrad.benchmarks import arms, machine, paired
from handgrad.benchmarks.arms import Arm, Work
from handgrad.benchmarks.settings import Settings
from handgrad.benchmarks.worker import ArmError, Placed, Worker
from handgrad.data import Dataset
from handgrad.errors import DataError, MissingExtraError, UsageError, reason_of
from handgrad.examples import columns
from handgrad.jsonable import jsonable
from handgrad.rounding import bounds
from handgrad.table import table

Array = npt.NDArray[Any]

SCHEMA = 1
TURN = 0.01
"""Seconds that a turn of an arm lasts at least; of short steps, several are taken in it."""
MOST_STEPS = 100
BLOCK = 2**26
"""Bytes of X that the reference looks at at a time, as float64."""


@dataclass(frozen=True)
class Reference:
    """J, dW and db in float64, and how far an arm of a dtype may be from them by rounding."""

    result: tuple[Array, Array, Array]
    bound: tuple[Any, Any, Any]


def run(settings: Settings, keep: Any = None) -> dict[str, Any]:
    """Run it all; the result is the JSON document that `schema.json` describes.

    Args:
        settings: what to do.
        keep: called with the result each time it has grown; it is a whole document each time.

    Raises:
        UsageError: no arm can run, or an argument is out of its range.
        DataError: the data set cannot be read.

    An interrupt ends it: the result that `keep` saw last holds the finished rounds.
    """
    keep = keep or (lambda _: None)
    if settings.device == "cuda":
        machine.has_cuda()
    chosen, left_out = _available(settings)
    result: dict[str, Any] = {
        "schema": SCHEMA,
        "finished": False,
        "settings": jsonable(vars(settings)),
        "environment": machine.environment(settings.threads),
        "bandwidth": None,
        "left_out": left_out,
        "sizes": [],
        "scaling": [],
    }
    keep(result)
    with _worker("numpy", settings.threads) as worker:
        kernels = worker.read_bandwidth(settings.device)
    result["bandwidth"] = {"bytes_per_second": max(kernels.values()), "kernels": kernels}
    sizes = [(n, m) for n in settings.features for m in settings.examples]
    total = len(sizes) * settings.rounds
    with tempfile.TemporaryDirectory() as folder, tqdm(total=total, disable=hidden(), leave=False, unit="round") as bar:
        for n, m in sizes:
            bar.set_description(f"n = {n:,}, m = {m:,}: placing")
            size: dict[str, Any] = {"features": n, "examples": m, "arms": [], "pairs": []}
            work, path = _work(settings, n, m, Path(folder))
            try:
                for rounds in _rounds(settings, chosen, work, path, size):
                    bar.set_description(f"n = {n:,}, m = {m:,}")
                    bar.update()
                    if rounds == 1:
                        result["sizes"].append(size)
            finally:
                _summarise(size, result["bandwidth"]["bytes_per_second"], work)
                keep(result)
            _peaks(settings, size, work, path, bar)
            path.unlink()
    result["scaling"] = _scaling(result["sizes"])
    result["finished"] = True
    keep(result)
    return result


def _available(settings: Settings) -> tuple[dict[str, type[Arm]], list[dict[str, str]]]:
    chosen, left_out = {}, []
    for name in dict.fromkeys(settings.arms):
        try:
            arm = arms.load(name)
        except MissingExtraError as error:
            left_out.append({"arm": name, "reason": str(error)})
            continue
        if settings.device not in arm.devices:
            left_out.append({"arm": name, "reason": f"runs on {' and '.join(arm.devices)} only"})
        else:
            chosen[name] = arm
    if not chosen:
        reasons = "; ".join(f"{row['arm']}: {row['reason']}" for row in left_out)
        raise UsageError(f"no arm is left to time ({reasons})")
    return chosen, left_out


def _work(settings: Settings, n: int, m: int, folder: Path) -> tuple[Work, Path]:
    """The work, and the file of X^T (m, n) that every arm reads."""
    rng, size = np.random.default_rng(settings.seed), n * m * np.dtype(settings.input).itemsize
    if size > memory.total():
        raise UsageError(f"features {n:,} and examples {m:,} are {size:,} bytes; expected what fits into memory")
    if settings.data is None:
        X = rng.integers(0, 256, (m, n), np.uint8)
        Y = rng.integers(0, 2, (1, m)).astype(np.uint8)
    else:
        examples = Dataset.open(settings.data).train
        if examples.X.shape[0] != n:
            raise DataError(f"{settings.data}: has {examples.X.shape[0]} features; expected {n}, as --features says")
        chosen = np.arange(m) % examples.X.shape[1]  # repeated to fill
        X, Y = columns(examples.X, chosen).T, np.asarray(examples.Y)[:, chosen]
    scale = 1 / 255
    if settings.input == "float32":
        X, scale = (X / np.float32(255)).astype(np.float32), 1.0
    W = Parameters.random(n, settings.seed).W.astype(np.float32).astype(np.float64)  # the same numbers in both dtypes
    path = folder / "X.npy"
    _ask_for(X.nbytes, folder)
    np.save(path, X)
    return Work(X.T, Y, W, np.asarray(0.25), settings.loss, scale, settings.dtype, settings.device), path


def _ask_for(size: int, folder: Path) -> None:
    if shutil.disk_usage(folder).free < 1.1 * size:
        raise UsageError(f"{folder}: has no room for {size:,} bytes of examples; set TMPDIR to a folder that has")


def reference(work: Work, dtype: str) -> Reference:
    """By NumPy in float64, in blocks of examples."""
    neuron = Neuron(loss=work.loss, input_scale=work.input_scale, dtype="float64")
    parameters = Parameters(*(V.astype(dtype).astype(np.float64) for V in (work.W, work.b)))
    n, m = work.X.shape
    width = max(1, BLOCK // (8 * n))
    parts = [neuron.sums(parameters, work.X[:, i : i + width], work.Y[:, i : i + width]) for i in range(0, m, width)]
    loss, dW, db = (np.sum([part[k] for part in parts], axis=0) / m for k in range(3))
    allowed = bounds(replace(neuron, dtype=dtype), parameters, work.X, work.Y)
    # Inputs scaled beforehand, as users do, are rounded once more than the bound counts; so twice of it.
    return Reference((loss, dW, db), (2 * allowed.cost, 2 * allowed.dW, 2 * allowed.db))


def refusal(placed: Placed, expected: Reference, work: Work, dtype: str, *, on_host: bool = False) -> str | None:
    """Why an arm is not timed; None where nothing is the matter."""
    of_each = zip(("J", "dW", "db"), placed.result, expected.result, expected.bound, strict=True)
    for name, found, right, bound in of_each:
        if found.shape != right.shape:
            return f"{name} has shape {found.shape}; expected {right.shape}"
        with np.errstate(all="ignore"):
            gap = float(np.max(np.abs(found.astype(np.float64) - right) / bound))
        if not gap <= 1:
            return f"{name} is wrong: off by {gap:.3g} times what rounding in {dtype} explains"
    for name, (found_dtype, found_device) in zip(("J", "dW", "db"), placed.results, strict=True):
        if found_dtype != dtype:
            return f"{name} is {found_dtype}; expected {dtype}"
        if found_device != ("cpu" if on_host else work.device) and name == "dW":
            return f"{name} is on {found_device}; expected {work.device}"
    for name, (found_dtype, found_device, size) in placed.held.items():
        if size >= work.W.size and found_device != work.device:
            return f"{name} is on {found_device}; expected {work.device}"
        if size >= work.X.size and "float" in found_dtype and found_dtype != dtype:
            return f"{name} is held as {found_dtype}; expected {dtype}"
    exact = np.mean(placed.result[1] == expected.result[1].astype(dtype))
    if dtype == "float32" and work.W.size >= 64 and exact > 0.9:
        return f"{exact:.0%} of dW is the float64 result, rounded: it computes in float64; expected float32"
    if placed.late > max(2e-4, 0.25 * (placed.steady + placed.late)):
        return f"it does not synchronise: its result came {1000 * placed.late:.3g} ms after it said so"
    return None


def _small(work: Work) -> Work:
    """A few examples and features of the same: there a fault is far above rounding."""
    n, m = min(64, work.X.shape[0]), min(32, work.X.shape[1])
    X = np.ascontiguousarray(work.X[:n, :m].T).T
    return replace(work, X=X, Y=np.ascontiguousarray(work.Y[:, :m]), W=np.ascontiguousarray(work.W[:, :n]))


def _rounds(
    settings: Settings, chosen: dict[str, type[Arm]], work: Work, path: Path, size: dict[str, Any]
) -> Iterator[int]:
    """Place and check all arms, then go round; `size` grows by a whole round at a time, whose number is given."""
    small = _small(work)
    expected: dict[str, tuple[Reference, Reference]] = {}
    workers: dict[str, Worker] = {}
    steps: dict[str, int] = {}
    with ExitStack() as stack:
        for name, arm in chosen.items():
            dtype = arm.dtype or work.dtype
            if dtype not in expected:
                expected[dtype] = reference(small, dtype), reference(work, dtype)
            worker = stack.enter_context(_worker(name, settings.threads))
            row: dict[str, Any] = {"arm": name, "dtype": dtype, "refused": None}
            size["arms"].append(row)
            try:
                found = replace(worker.place(small), late=0.0)
                row["refused"] = refusal(found, expected[dtype][0], small, dtype, on_host=arm.on_host)
                if row["refused"] is None:
                    placed = worker.place(replace(work, X=np.empty((0, 0))), path)
                    row["refused"] = refusal(placed, expected[dtype][1], work, dtype, on_host=arm.on_host)
            except ArmError as error:
                row["refused"] = str(error)
            if row["refused"] is not None:
                worker.close()
                continue
            row |= {
                "placement": {"held": {k: list(v) for k, v in placed.held.items()}, **placed.settings},
                "transfer_seconds": placed.transfer,
                # What is kept on disk was compiled, or loaded, with the small work, and serves every size.
                "compile_seconds": placed.compile if found.cached is None else found.compile,
                "compile_cached": found.cached,
                "first_seconds": placed.first,
                "bytes_per_step": work.X.size * _bytes_a_value(arm, placed),
                "rounds": [],
                "peak_bytes": None,
            }
            workers[name] = worker
            steps[name] = steps_in_a_turn(placed.steady)
        rows = {row["arm"]: row for row in size["arms"] if row["refused"] is None}
        rng = np.random.default_rng(settings.seed)
        for number in range(1, settings.rounds + 1 if rows else 2):
            taken = {name: workers[name].time(steps[name]) for name in rng.permutation(list(workers)).tolist()}
            for name, seconds in taken.items():
                rows[name]["rounds"].append(seconds)
            yield number


def steps_in_a_turn(seconds: float) -> int:
    """How many steps of so many seconds an arm takes when it is its turn."""
    return min(MOST_STEPS, max(1, math.ceil(TURN / seconds)))


def _bytes_a_value(arm: type[Arm], placed: Placed) -> int:
    """Bytes that a step reads of a value of X as the arm holds it, which is the largest array that it holds."""
    held, _, _ = max(placed.held.values(), key=lambda array: array[2])
    size = np.dtype(held).itemsize
    return size if size == 1 else arm.reads * size


@contextmanager
def _worker(name: str, threads: int) -> Iterator[Worker]:
    worker = Worker(name, threads)
    try:
        yield worker
    finally:
        worker.close()


def _summarise(size: dict[str, Any], bandwidth: float, work: Work) -> None:
    """Medians, shares and verdicts, of the rounds that there are."""
    timed = [row for row in size["arms"] if row.get("rounds")]
    rounds = min((len(row["rounds"]) for row in timed), default=0)
    size["rounds"] = rounds
    size["input_bytes"] = work.X.nbytes
    size["one_read_seconds"] = work.X.nbytes / bandwidth
    size["two_reads_seconds"] = 2 * work.X.nbytes / bandwidth
    times = {}
    for row in timed:
        row["rounds"] = row["rounds"][:rounds]
        times[row["arm"]] = _times(row)
        found = paired.median(times[row["arm"]])
        row |= {
            "step_seconds": found.median,
            "interval_seconds": [found.low, found.high],
            "bytes_per_second": row["bytes_per_step"] / found.median,
            "share_of_one_read": size["one_read_seconds"] / found.median,
            "share_of_two_reads": size["two_reads_seconds"] / found.median,
            "fits": _fits(row["bytes_per_step"]),
        }
    size["pairs"] = []
    for one, other in combinations(times, 2):
        ratio = paired.ratio(times[one], times[other])
        size["pairs"].append({
            "arm": one,
            "against": other,
            "ratio": ratio.median,
            "interval": [ratio.low, ratio.high],
            "verdict": paired.verdict(ratio),
        })  # fmt: skip


def _times(row: dict[str, Any]) -> Array:
    """Seconds of a step in each round: the median of those that were taken in it."""
    return np.array([statistics.median(seconds) for seconds in row["rounds"]])


def _fits(bytes_per_step: int) -> str | None:
    """The smallest cache that holds what a step reads; None where none does."""
    return next((name for name, size in sorted(machine.caches().items()) if bytes_per_step <= size), None)


def _peaks(settings: Settings, size: dict[str, Any], work: Work, path: Path, bar: Any) -> None:
    """Peak memory, in a run of its own that nobody times."""
    for row in size["arms"]:
        if row["refused"] is None:
            bar.set_description(f"memory of {row['arm']}")
            with _worker(row["arm"], settings.threads) as worker:
                try:
                    worker.place(_small(work))  # libraries load and compile
                    worker.place(replace(work, X=np.empty((0, 0))), path)
                    worker.time(2)
                    row["peak_bytes"] = worker.peak()
                except ArmError:
                    continue


def _scaling(sizes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The exponent p of time ~ m^p and of time ~ n^p, for each arm, where at least three sizes were timed."""
    found = []
    for over, fixed in ("examples", "features"), ("features", "examples"):
        for value in sorted({size[fixed] for size in sizes}):
            at = [size for size in sizes if size[fixed] == value]
            for name in dict.fromkeys(row["arm"] for size in at for row in size["arms"]):
                rows = [(size[over], row) for size in at for row in size["arms"] if row["arm"] == name]
                rows = [(x, row) for x, row in rows if row.get("rounds")]
                if len(rows) >= 3:
                    p = paired.exponent(np.array([x for x, _ in rows]), [_times(row) for _, row in rows])
                    row = {"arm": name, "over": over, fixed: value, "exponent": p.median, "interval": [p.low, p.high]}
                    found.append(row)
    return found


HEADER = ["arm", "ms", "95 % interval", "against the fastest", "GB/s", "of 1 read", "of 2"]
HEADER += ["place s", "compile s", "first ms", "peak MB"]


def refusals(result: dict[str, Any]) -> list[str]:
    """A line for each arm that was refused."""
    return [
        f"{row['arm']} at m = {size['examples']:,}: refused: {row['refused']}"
        for size in result["sizes"]
        for row in size["arms"]
        if row["refused"]
    ]


def report(result: dict[str, Any]) -> str:
    """The table, and what stands beside it."""
    rows = [[HEADER[0], "n", "m", *HEADER[1:]]]
    for size in result["sizes"]:
        n, m = f"{size['features']:,}", f"{size['examples']:,}"
        rows += [[arm, n, m, *cells] for arm, *cells in cells_of(size, result["settings"]["dtype"])]
    lines = [table(*rows), ""] if len(rows) > 1 else []
    if result["bandwidth"]:
        best = max(result["bandwidth"]["kernels"], key=result["bandwidth"]["kernels"].get)
        gigabytes = result["bandwidth"]["bytes_per_second"] / 1e9
        lines.append(
            f"Memory is read at {gigabytes:.3g} GB/s ({best}); a share is of the time of reading X as "
            f"{result['settings']['input']} once, or twice."
        )
    lines += [
        f"{p['arm']}: time ~ {p['over']}^{p['exponent']:.2f} ({p['interval'][0]:.2f} to {p['interval'][1]:.2f})"
        for p in result["scaling"]
    ]
    lines += refusals(result)
    lines += [f"left out: {row['arm']}: {row['reason']}" for row in result["left_out"]]
    env, s = result["environment"], result["settings"]
    lines.append(
        f"{env['cpu']}, {s['threads']} threads; {s['dtype']} on {s['device']}; {s['rounds']} rounds; seed {s['seed']}"
    )
    return "\n".join(lines)


def timed(size: dict[str, Any]) -> list[dict[str, Any]]:
    """The arms of a size that were timed."""
    return [row for row in size["arms"] if row.get("rounds")]


def name_of(row: dict[str, Any], dtype: str) -> str:
    """What an arm is called: with its dtype, where it is not the one that was asked for."""
    return str(row["arm"]) + ("" if row["dtype"] == dtype else f" ({row['dtype']})")


def cells_of(size: dict[str, Any], dtype: str) -> list[list[str]]:
    """A row below `HEADER` for each arm of a size that was timed."""
    found = []
    ratios = against_fastest(size)
    for row in timed(size):
        low, high = row["interval_seconds"]
        ratio = ratios.get(row["arm"])
        found.append([
            name_of(row, dtype),
            f"{1000 * row['step_seconds']:.4g}",
            f"{1000 * low:.4g} to {1000 * high:.4g}",
            "fastest" if ratio is None else f"{ratio[0]:.2f} x, {ratio[1]}",
            f"{row['bytes_per_second'] / 1e9:.3g}" + (f" ({row['fits']})" if row["fits"] else ""),
            f"{row['share_of_one_read']:.0%}",
            f"{row['share_of_two_reads']:.0%}",
            f"{row['transfer_seconds']:.3g}",
            _compile(row),
            f"{1000 * row['first_seconds']:.4g}",
            "-" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 1e6:,.0f}",
        ])  # fmt: skip
    return found


def _compile(row: dict[str, Any]) -> str:
    """Seconds, or of what was loaded from disk, that it was."""
    if row.get("compile_cached"):
        return "cached"
    return f"{row['compile_seconds']:.3g}" if row["compile_seconds"] > 1e-3 else "-"


def against_fastest(size: dict[str, Any]) -> dict[str, tuple[float, str]]:
    """How many times as long as the fastest each other arm of a size takes, and the verdict."""
    if not timed(size):
        return {}
    fastest = min(timed(size), key=lambda row: row["step_seconds"])["arm"]
    swapped, found = {"slower": "faster", "faster": "slower"}, {}
    for pair in size["pairs"]:
        if pair["against"] == fastest:
            found[pair["arm"]] = pair["ratio"], pair["verdict"]
        elif pair["arm"] == fastest:
            found[pair["against"]] = 1 / pair["ratio"], swapped.get(pair["verdict"], pair["verdict"])
    return found


def write(path: Path, text: str, *, replacing: bool = False) -> None:
    """A file that is whole or absent.

    Raises:
        UsageError: it exists, or cannot be written.
    """
    if not replacing:
        store.must_be_new(path)
    store.write(path, text.encode())


def changes(old: dict[str, Any], new: dict[str, Any]) -> list[dict[str, Any]]:
    """What became faster or slower: new / old for each arm and size that both timed, with its interval."""
    found = []
    before = {(s["features"], s["examples"], row["arm"]): row for s in old["sizes"] for row in s["arms"]}
    for size in new["sizes"]:
        for row in size["arms"]:
            was = before.get((size["features"], size["examples"], row["arm"]))
            if was and was.get("rounds") and row.get("rounds"):
                ratio = paired.ratio_of_medians(_times(row), _times(was))
                found.append({
                    "arm": row["arm"],
                    "features": size["features"],
                    "examples": size["examples"],
                    "ratio": ratio.median,
                    "interval": [ratio.low, ratio.high],
                    "verdict": paired.verdict(ratio),
                })  # fmt: skip
    return found


def load(path: Path) -> dict[str, Any]:
    """A result that was written.

    Raises:
        DataError: it is no such file.
    """
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: {reason_of(error)}; expected a file that handgrad bench --json wrote") from error
    if not isinstance(result, dict) or result.get("schema") != SCHEMA or not isinstance(result.get("sizes"), list):
        raise DataError(f"{path}: is not a result of handgrad bench, schema {SCHEMA}; make it again with --json")
    return result
