"""A result of `handgrad bench` as one HTML page that needs no network: plots and the table."""

from __future__ import annotations

import base64
import html
import io
from typing import Any

from handgrad.benchmarks.bench import report
from handgrad.errors import MissingExtraError

try:
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter
except ModuleNotFoundError as error:
    raise MissingExtraError("Matplotlib", "plot") from error


def page(result: dict[str, Any]) -> str:
    """The page."""
    plots = {"Step time": step_time(result), "Roofline": roofline(result), "Peak memory": memory(result)}
    images = "\n".join(
        f'<figure><img alt="{title}" src="data:image/svg+xml;base64,{base64.b64encode(svg(figure).encode()).decode()}">'
        f"<figcaption>{title}</figcaption></figure>"
        for title, figure in plots.items()
    )
    environment = html.escape(" ".join(result["environment"]["command"]))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>handgrad bench</title>'
        '<link rel="icon" href="data:,"><style>body{font:16px/1.5 system-ui;margin:2rem auto;max-width:75rem;padding:0 '
        "1rem}pre{overflow-x:auto;background:#f5f5f5;padding:1rem;font-size:13px}figure{display:inline-block;margin:0 "
        "1rem 1rem 0}img{max-width:100%}</style></head><body>\n"
        f"<h1>One full-batch step</h1>\n<p><code>{environment}</code></p>\n{images}\n"
        f"<pre>{html.escape(report(result))}</pre>\n</body></html>\n"
    )


def svg(figure: Figure) -> str:
    """The figure as SVG, the same each time."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None}, bbox_inches="tight")
    return text.getvalue()


def step_time(result: dict[str, Any]) -> Figure:
    """Step time of each arm over the bytes of X, both logarithmic, with 95 % intervals and the one-read bound."""
    figure = Figure(figsize=(6.5, 4.5))
    axes = figure.add_subplot()
    for name, rows in _by_arm(result).items():
        rows = sorted(rows, key=lambda pair: pair[0]["input_bytes"])
        x = [size["features"] * size["examples"] for size, _ in rows]
        y = [1000 * row["step_seconds"] for _, row in rows]
        low = [1000 * (row["step_seconds"] - row["interval_seconds"][0]) for _, row in rows]
        high = [1000 * (row["interval_seconds"][1] - row["step_seconds"]) for _, row in rows]
        axes.errorbar(x, y, yerr=[low, high], marker="o", capsize=3, label=name)
    sizes = sorted(result["sizes"], key=lambda size: size["input_bytes"])
    x = [size["features"] * size["examples"] for size in sizes]
    axes.plot(x, [1000 * s["one_read_seconds"] for s in sizes], "k--", label=f"one read, {result['settings']['input']}")
    axes.set(xscale="log", yscale="log", xlabel="numbers in X (n m)", ylabel="ms a step")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.legend()
    axes.grid(alpha=0.3, which="both")
    return figure


def roofline(result: dict[str, Any]) -> Figure:
    """Arithmetic speed over arithmetic per byte, at the largest size: the roof is what memory can feed.

    Williams, Waterman and Patterson, "Roofline: An Insightful Visual Performance Model", 2009. A step is 4 n m
    operations.
    """
    figure = Figure(figsize=(6.5, 4.5))
    axes = figure.add_subplot()
    bandwidth = result["bandwidth"]["bytes_per_second"]
    axes.plot([0.1, 10], [0.1 * bandwidth / 1e9, 10 * bandwidth / 1e9], "k--", label=f"{bandwidth / 1e9:.3g} GB/s")
    for name, rows in _by_arm(result).items():
        size, row = max(rows, key=lambda pair: pair[0]["input_bytes"])
        operations = 4 * size["features"] * size["examples"]
        axes.plot(operations / row["bytes_per_step"], operations / row["step_seconds"] / 1e9, "o", label=name)
    axes.set(xscale="log", yscale="log", xlabel="operations per byte read", ylabel="10$^9$ operations a second")
    axes.legend()
    axes.grid(alpha=0.3, which="both")
    return figure


def memory(result: dict[str, Any]) -> Figure:
    """Peak memory of each arm at the largest size, as a multiple of the bytes of X as given."""
    figure = Figure(figsize=(6.5, 3))
    axes = figure.add_subplot()
    names, shares = [], []
    for name, rows in _by_arm(result).items():
        size, row = max(rows, key=lambda pair: pair[0]["input_bytes"])
        if row["peak_bytes"] is not None:
            names.append(name)
            shares.append(row["peak_bytes"] / size["input_bytes"])
    axes.barh(names, shares)
    axes.set(xlabel=f"peak memory / bytes of X as {result['settings']['input']}")
    return figure


def _by_arm(result: dict[str, Any]) -> dict[str, list[tuple[dict[str, Any], dict[str, Any]]]]:
    found: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {}
    for size in result["sizes"]:
        for row in size["arms"]:
            if row.get("rounds"):
                found.setdefault(row["arm"], []).append((size, row))
    return found
