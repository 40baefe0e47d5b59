"""A table for people: the first column to the left, the others to the right."""

from collections.abc import Sequence


def table(*rows: Sequence[str]) -> str:
    """Lines of text, in columns as wide as they need to be.

    Args:
        rows: the header and then the rows, all of the same length.

    >>> print(table(["backend", "cost"], ["numpy", "0.6931"], ["jax", "0.69"]))
    backend    cost
    numpy    0.6931
    jax        0.69
    """
    first, *others = (max(map(len, column)) for column in zip(*rows, strict=True))
    return "\n".join("  ".join([row[0].ljust(first), *map(str.rjust, row[1:], others)]) for row in rows)
