"""A result of `handgrad bench` as one HTML page that needs no network: the verdict, charts, tables, the machine."""

from __future__ import annotations

import html
import shlex
from typing import Any

from handgrad.benchmarks.bench import HEADER, against_fastest, cells_of, name_of, refusals, timed
from handgrad.chart import Hit, Scale, Series, bars, chart
from handgrad.sheet import TOUCH, beside, figure, section, sheet, table, terms

COLUMNS = {
    "ms": "milliseconds that a step takes: the median over the rounds",
    "95 % interval": "where that median would lie in 95 of 100 such runs",
    "against the fastest": "how many times as long as the fastest arm, in the same rounds: slower (or faster) where "
    "the 95 % interval of this ratio lies beyond 5 %, the same where it lies within, else nobody can tell",
    "GB/s": "10^9 bytes of X that the arm reads in a second, as it holds X; (L3) and the like: all of it is in that "
    "cache",
    "of 1 read": "the time in which memory delivers X once, as a share of the step: 100 % is as fast as memory allows "
    "where X is in no cache",
    "of 2": "the same for reading X twice, as a step does that computes Z first and dW then",
    "place s": "seconds to bring X to where the arm wants it, once",
    "compile s": "seconds that the first call spent on compiling; - for none, cached for what was loaded from disk",
    "first ms": "milliseconds of the first step after that",
    "peak MB": "10^6 bytes of memory at most, beyond the libraries",
}
"""What the columns of `bench.HEADER` are."""


def page(result: dict[str, Any]) -> str:
    """The page."""
    s, env = result["settings"], result["environment"]
    command = shlex.join(["handgrad", *env["command"][1:]])
    about = (
        f"<p>A step is what one epoch of gradient descent takes: the cost J and its gradients dW and db over all m "
        f"examples of n features, here of {html.escape(s['loss'].replace('_', ' '))} in {s['dtype']}, X given as "
        f"{s['input']}. An arm is whatever does that: a backend of handgrad, or <em>article</em>, the step that the "
        "articles published, in float64, or others' code. Each was checked against float64 before it was timed.</p>"
    )
    return sheet(
        "handgrad bench",
        '<h1>How long does a step take?</h1>',
        f'<p class="lead">{html.escape(verdict(result))}</p>',
        about,
        section("Time of a step", step_time(result)) if any(map(timed, result["sizes"])) else "",
        section("Against the machine", beside(roofline(result), memory(result))) if result["bandwidth"] else "",
        section("All numbers", _tables(result)),
        section("As it grows", _scaling(result)) if result["scaling"] else "",
        section("Not timed", _list([*refusals(result), *(f"{r['arm']}: {r['reason']}" for r in result["left_out"])]))
        if refusals(result) or result["left_out"]
        else "",
        section("The machine", _machine(result)),
        section(
            "How to repeat it",
            f"<p>With handgrad {env['versions'].get('handgrad', '')} installed from its source by "
            "<code>pip install '.[all]'</code>, on a machine that does nothing else:</p>"
            f"<pre>{html.escape(command)}</pre><p>Every arm lives in a process of its own, with {s['threads']} "
            f"thread{'s' * (s['threads'] != 1)}, and takes its turn in each of {s['rounds']} rounds, in random order "
            f"(seed {s['seed']}). <code>--json</code> keeps every sample, and <code>handgrad bench --compare OLD.json "
            "NEW.json</code> says what has changed.</p>",
        ),
    )  # fmt: skip


def verdict(result: dict[str, Any]) -> str:
    """Which arm is fastest, in a sentence."""
    sizes = [size for size in result["sizes"] if timed(size)]
    arms = {row["arm"] for size in sizes for row in timed(size)}
    if len(arms) < 2:
        return f"Only {arms.pop()} was timed, so there is nothing to compare it with." if arms else "No arm was timed."
    said: dict[tuple[str, ...], list[str]] = {}
    ahead: list[tuple[float, str]] = []
    for size in sizes:
        others = against_fastest(size)
        best = tuple(row["arm"] for row in timed(size) if others.get(row["arm"], (1, ""))[1] != "slower")
        said.setdefault(best, []).append(_of(size, sizes))
        ahead += [min((ratio, arm) for arm, (ratio, _) in others.items())] if others else []
    if len(said) > 1:
        return "A" + "; a".join(f"t {' and '.join(at)} {_ahead(best)}" for best, at in said.items()) + "."
    (best,) = said
    everywhere = "at every size" if len(sizes) > 1 else ""
    if len(best) > 1:
        return f"{_ahead(best)}{everywhere and f', {everywhere}'}."
    ratios, nexts = [ratio for ratio, _ in ahead], {arm for _, arm in ahead}
    times = " to ".join(dict.fromkeys(f"{ratio:.1f}" for ratio in (min(ratios), max(ratios))))
    following = f"{nexts.pop()}, the next" if len(nexts) == 1 else "the next"
    return f"{_ahead(best)}{everywhere and f' {everywhere}'}: {times} times as fast as {following}."


def _ahead(best: tuple[str, ...]) -> str:
    if len(best) == 1:
        return f"{best[0]} is the fastest"
    return f"{' and '.join(best)} are too near to each other to call one the fastest"


def step_time(result: dict[str, Any]) -> str:
    """Step time of each arm over the numbers in X, both logarithmic, with 95 % intervals and the one-read bound."""
    sizes = sorted(result["sizes"], key=lambda size: size["features"] * size["examples"])
    x = [size["features"] * size["examples"] / 1e6 for size in sizes]
    bound = [1000 * size["one_read_seconds"] for size in sizes]
    series = [Series("one read of X", x, bound)]
    for i, (name, rows) in enumerate(_by_arm(result).items()):
        low, high = ([1000 * row["interval_seconds"][end] for _, row in rows] for end in (0, 1))
        at = [size["features"] * size["examples"] / 1e6 for size, _ in rows]
        series.append(Series(name, at, [1000 * row["step_seconds"] for _, row in rows], i, low, high, dots=True))
    said = [
        f"{_named(size)}: "
        + ", ".join(
            f"{name_of(row, result['settings']['dtype'])} {1000 * row['step_seconds']:.3g} ms" for row in timed(size)
        )
        for size in sizes
    ]
    reached = [v for s in series for values in (s.y, s.low or [], s.high or []) for v in values]
    drawn = chart(
        "Step time of each arm over the size of X",
        Scale.over("numbers in X (n m), in millions", x, log=True),
        Scale.over("milliseconds a step", reached, log=True),
        series,
        [Hit(at, words) for at, words in zip(x, said, strict=True)],
    )
    caption = "Lower is faster; bars are 95 % intervals. Dashed is the time in which memory delivers X once."
    return figure(drawn, caption, TOUCH)


def roofline(result: dict[str, Any]) -> str:
    """Arithmetic speed over arithmetic per byte, at the largest size: the roof is what memory can feed.

    Williams, Waterman and Patterson, "Roofline: An Insightful Visual Performance Model", 2009. A step is 4 n m
    operations.
    """
    bandwidth = result["bandwidth"]["bytes_per_second"] / 1e9
    series, said = [], dict[float, str]()
    for i, (name, rows) in enumerate(_by_arm(result).items()):
        size, row = rows[-1]
        operations = 4 * size["features"] * size["examples"]
        x, y = operations / row["bytes_per_step"], operations / row["step_seconds"] / 1e9
        series.append(Series(name, [x], [y], i, line=False, dots=True))
        said[x] = f"{said[x]}, {name} {y:.3g}" if x in said else f"{x:g} operations a byte: {name} {y:.3g}"
    ends = [min(said, default=1) / 2, max(said, default=1) * 2]
    roof = Series("", ends, [end * bandwidth for end in ends])
    drawn = chart(
        "Operations in a second over operations per byte read, at the largest size",
        Scale("operations for each byte of X read", ends[0], ends[1], True),
        Scale.over("10^9 operations a second", [*roof.y, *(s.y[0] for s in series)], log=True),
        [roof, *series],
        [Hit(x, said[x]) for x in sorted(said)],
    )
    caption = (
        f"At the largest size. On the dashed line, all time goes into reading memory, at {bandwidth:.3g} GB/s; above "
        "it are only arms whose X is in a cache. Further to the right, each byte that was read is used for more."
    )
    return figure(drawn, caption, TOUCH)


def memory(result: dict[str, Any]) -> str:
    """Peak memory of each arm at the largest size, as a multiple of the bytes of X as given."""
    rows = []
    for name, of in _by_arm(result).items():
        size, row = of[-1]
        if row["peak_bytes"] is not None:
            share = row["peak_bytes"] / size["input_bytes"]
            rows.append((name, share, f"{share:.1f} x, {row['peak_bytes'] / 1e6:,.0f} MB"))
    if not rows:
        return ""
    words = f"peak memory, in sizes of X as {result['settings']['input']}"
    caption = "At the largest size, beyond the libraries: shorter is better."
    return figure(bars("Peak memory of each arm at the largest size", words, rows), caption)


def _tables(result: dict[str, Any]) -> str:
    found = [
        table(HEADER, cells_of(size, result["settings"]["dtype"]), _named(size), "wide")
        for size in result["sizes"]
        if timed(size)
    ]
    return terms(COLUMNS) + "".join(found)


def _scaling(result: dict[str, Any]) -> str:
    rows = [
        [p["arm"], p["over"], f"{p['exponent']:.2f}", f"{p['interval'][0]:.2f} to {p['interval'][1]:.2f}"]
        for p in result["scaling"]
    ]
    return (
        "<p>With p below, twice as many examples (or features) take 2<sup>p</sup> times as long: 1 is in proportion, "
        "less is better.</p>" + table(["arm", "more of", "p", "95 % interval"], rows)
    )


def _machine(result: dict[str, Any]) -> str:
    env = result["environment"]
    kernels = result["bandwidth"]["kernels"] if result["bandwidth"] else {}
    said = {
        "processor": f"{env['cpu']}, {env['cores']} cores",
        "threads": f"{env['threads']} for each arm",
        "caches": ", ".join(f"{name} {size / 2**10:,.0f} KiB" for name, size in env["caches"].items()),
        "memory": env["memory_bytes"] and f"{env['memory_bytes'] / 2**30:.3g} GiB",
        "read from memory": ", ".join(f"{name} {speed / 1e9:.3g} GB/s" for name, speed in kernels.items()),
        "GPU": env["gpu"],
        "system": env.get("system"),
        "versions": ", ".join(
            f"{name} {v}" for name, v in {"python": env.get("python"), **env["versions"]}.items() if v
        ),
        "BLAS": env["blas"],
        "revision": env["revision"],
    }
    return terms({name: str(value) for name, value in said.items() if value})


def _list(lines: list[str]) -> str:
    return "<ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in lines) + "</ul>"


def _named(size: dict[str, Any]) -> str:
    return f"n = {size['features']:,}, m = {size['examples']:,}"


def _of(size: dict[str, Any], sizes: list[dict[str, Any]]) -> str:
    """A size by that in which it differs from others."""
    named = ("n", "features"), ("m", "examples")
    return ", ".join(f"{n} = {size[key]:,}" for n, key in named if len({other[key] for other in sizes}) > 1)


def _by_arm(result: dict[str, Any]) -> dict[str, list[tuple[dict[str, Any], dict[str, Any]]]]:
    """Of each arm that was timed, by its name, (size, row), the smallest X first."""
    found: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {}
    for size in sorted(result["sizes"], key=lambda size: size["features"] * size["examples"]):
        for row in timed(size):
            found.setdefault(name_of(row, result["settings"]["dtype"]), []).append((size, row))
    return found
