"""The tables that the commands print, and the numbers in them, for people."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from handgrad.scores import wilson
from handgrad.table import table

if TYPE_CHECKING:
    from handgrad import comparison, validation


def table_of_sets(sets: list[dict[str, Any]], classes: tuple[str, str]) -> str:
    """Of each set the cost, the accuracy with its interval, and the ROC area; as `measure.measured` gives them.

    Below it, where the last accuracy does not show that anything was learned, that it does not.
    """
    rows = [
        [
            s["set"],
            f"{s['examples']:,}",
            cost(s["cost"]),
            percent(s["accuracy"]),
            interval(s["accuracy_interval"]),
            area(s["roc_area"]),
        ]
        for s in sets
    ]
    said = table(["set", "examples", "cost", "accuracy", "95 % interval", "ROC area"], *rows)
    return said + "".join(f"\n\n{line}" for line in _beside_chance(sets[-1], classes))


def _beside_chance(s: dict[str, Any], classes: tuple[str, str]) -> list[str]:
    counts = [sum(row) for row in s["confusion"]]
    if 0 in counts:
        return [
            f"{s['set']} holds no {classes[counts.index(0)]}: its accuracy does not show that the two are told apart"
        ]
    usual = max(counts) / sum(counts)
    if s["accuracy_interval"][0] > usual:
        return []
    return [
        f"{percent(s['accuracy'])} of {sum(counts):,} in {s['set']} does not show that anything was learned: "
        f"{classes[counts.index(max(counts))]} for all of them is right for {percent(usual)}"
    ]


def table_of_confusion(s: dict[str, Any], classes: tuple[str, str]) -> str:
    """What each class was taken for, on one of these sets, and how rightly."""
    rows = [
        [name, *(f"{count:,}" for count in counts), interval(wilson(counts[i], sum(counts)))]
        for i, (name, counts) in enumerate(zip(classes, s["confusion"], strict=True))
    ]
    return table(["true class", *(f"taken for {name}" for name in classes), "right, 95 %"], *rows)


def table_of_reliability(s: dict[str, Any]) -> str:
    """Of one of these sets, tenth by tenth, what was predicted and what came."""
    rows = [
        [
            f"{found['low']:.1f} to {found['high']:.1f}",
            f"{found['examples']:,}",
            f"{found['predicted']:.3f}",
            f"{found['observed']:.3f}",
            f"{found['interval'][0]:.3f} to {found['interval'][1]:.3f}",
        ]
        for found in s["reliability"]
    ]
    return table(["probability", "examples", "predicted", "observed", "95 % interval"], *rows)


def table_of_backends(rows: list[comparison.Row]) -> str:
    """One backend a row, as `comparison.compare` gives them."""
    header = ["backend", "train cost", "valid. cost", "train acc.", "valid. acc."]
    return table(
        [*header, "W differs", "A differs", "ms/epoch", "of the bound"],
        *(
            [
                row.backend,
                cost(row.train_cost),
                cost(row.validation_cost),
                percent(row.train_accuracy),
                percent(row.validation_accuracy),
                f"{row.W_difference:.1e}",
                f"{row.A_difference:.1e}",
                ms(row.seconds_per_epoch),
                f"{max(row.ratios.values()):.1e}",
            ]
            for row in rows
        ),
    )


def agreement(rows: list[comparison.Row], dtype: str) -> str:
    """In words, that these backends agree, how nearly, and why not to the last bit."""
    explained = max(ratio for row in rows for ratio in row.ratios.values())
    apart, rounding = max(row.A_difference for row in rows), float(np.finfo(dtype).eps) / 2
    return (
        f"{', '.join(row.backend for row in rows)} agree\n"
        f"They add the same numbers in other orders, and each sum is rounded to {dtype}. At the same parameters they\n"
        f"are at most {explained:.1%} as far apart as that can drive them; after the training A differs by up to\n"
        f"{apart:.1e}, {apart / rounding:,.0f} roundings of a number near 1."
    )


def table_of_folds(rows: list[validation.Row], chosen: validation.Row) -> str:
    """One penalty a row, as `validation.cross_validate` gives them."""
    return table(
        ["l2", "accuracy", "std. error", "95 % interval", "cost", "std. error", ""],
        *(
            [
                f"{row.l2:g}",
                percent(row.accuracy.mean),
                percent(row.accuracy.error),
                interval(row.interval),
                f"{row.cost.mean:.4f}",
                f"{row.cost.error:.4f}",
                "chosen" if row is chosen else "",
            ]
            for row in rows
        ),
    )


def cost(cost: float | None) -> str:
    """Six digits; a dash for none."""
    if cost is None or math.isnan(cost):
        return "-"
    return f"{cost:.6f}" if cost < 1e6 else f"{cost:.6g}"


def percent(share: float) -> str:
    """A share, 0 to 1, in percent; a dash for none."""
    return "-" if math.isnan(share) else f"{share:.2%}"


def interval(shares: tuple[float, float]) -> str:
    """Two shares, in percent."""
    return f"{shares[0]:.1%} to {shares[1]:.1%}"


def area(share: float | None) -> str:
    """Under the ROC curve; a dash for none."""
    return "-" if share is None else f"{share:.3f}"


def ms(seconds: float | None) -> str:
    """Seconds, in milliseconds; a dash for none."""
    return "-" if seconds is None or math.isnan(seconds) else f"{1000 * seconds:.3g}"
