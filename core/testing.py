"""For tests of one's own: a gradient that is wrong fails the test with the report as its message."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from handgrad.proof import Report, check


def assert_gradients(
    forward: Callable[..., Any], backward: Callable[..., Any], inputs: Mapping[str, Any], **options: Any
) -> Report:
    """Assert that every line of `backward` is right; arguments and errors as for `handgrad.proof.check`.

    Raises:
        AssertionError: a line is wrong, inherits a wrong one, or cannot be decided; the message is the report.
    """
    __tracebackhide__ = True
    report = check(forward, backward, inputs, **options)
    if not report.ok:  # an assert would be gone under python -O
        raise AssertionError(f"\n{report}")
    return report
