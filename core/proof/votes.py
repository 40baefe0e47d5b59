"""What the other oracles say: a second and a third opinion on the first one."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from handgrad.errors import UsageError
from handgrad.proof.context import Context, Sample
from handgrad.proof.evaluate import WIDE
from handgrad.proof.numerical import Numerical
from handgrad.proof.problem import is_array, leaves, replace, wide
from handgrad.proof.rebinding import Namespace, rebind


@dataclass(frozen=True)
class Vote:
    """One oracle on the gradient of the cost along one random direction of the inputs.

    Attributes:
        oracle: who votes.
        agrees: with the first oracle; None is an abstention.
    """

    oracle: str
    agrees: bool | None


def votes(context: Context) -> list[Vote]:
    """Differences always, and PyTorch where it is loaded already or where differences disagree.

    Both look at one number, the slope of the cost along a random direction through all differentiated inputs at once,
    which any wrong entry of the gradient changes.
    """
    sample = context.samples[0]
    names = [n for n in context.wrt if n in dict(leaves(sample.run.inputs))]
    if not names or not context.oracle.translates:
        return []
    rng = np.random.default_rng(context.seed)
    values = sample.run.values
    directions = {n: rng.choice([-1, 1], np.shape(values[n])) * _size(values[n]) for n in names}
    total = context.oracle.total(sample.run, 1, rng)
    with np.errstate(all="ignore"):
        first = sum((total.values[n] * directions[n]).sum() for n in names)
        error = sum((total.errors[n] * np.abs(directions[n])).sum() for n in names)
    if not np.isfinite(first):
        return []
    cast = [_by_differences(context, sample, directions, first, error)]
    if "torch" in sys.modules or cast[0].agrees is False:
        cast.append(_by_torch(context, sample, directions, first, error))
    return cast


def outvoted(cast: list[Vote]) -> bool:
    """Whether all others agree against the first oracle, and there are two of them."""
    return sum(vote.agrees is False for vote in cast) > 1


def said(cast: list[Vote]) -> list[str]:
    """For the report."""
    agreeing = [vote.oracle for vote in cast if vote.agrees]
    against = [vote.oracle for vote in cast if vote.agrees is False]
    return [
        *([f"confirmed by {' and '.join(agreeing)}"] if agreeing else []),
        *(f"{name} disagree" for name in against),
    ]


def _size(value: Any) -> Any:
    array = np.abs(wide(value))
    usual = np.sqrt(np.mean(np.square(array))) if array.size else WIDE(1)
    return np.where(array > 0, array, usual if usual > 0 else 1)


def _by_differences(context: Context, sample: Sample, directions: dict[str, Any], first: Any, error: Any) -> Vote:
    numerical = Numerical(context.problem, context.wrt, context.widest)
    try:
        along = {n: d.astype(numerical.dtype) for n, d in directions.items()}
        slope, off = numerical.slope(sample.run, along)
    except (UsageError, ValueError, TypeError):
        return Vote("differences", None)
    name = "complex step" if numerical.analytic else "differences"
    if not np.isfinite(slope) or not off <= 1e-3 * max(abs(slope), abs(first)):
        return Vote(name, None)
    return Vote(name, bool(abs(slope - first) <= 64 * (off + error) + 1e-9 * abs(first)))


def _by_torch(context: Context, sample: Sample, directions: dict[str, Any], first: Any, error: Any) -> Vote:
    try:
        import torch
    except ImportError:
        return Vote("PyTorch", None)
    tensors: dict[str, Any] = {}

    def tensor(name: str, value: Any) -> Any:
        if not is_array(value) or not isinstance(value, np.ndarray | np.generic):
            return value
        array = np.array(value, np.float64) if np.asarray(value).dtype.kind == "f" else np.array(value)
        tensors[name] = torch.tensor(array, requires_grad=name in directions)
        return tensors[name]

    try:
        given = replace(sample.run.inputs, tensor)
        args, kwargs = context.problem.arguments(context.problem.forward, "forward", given)
        named = rebind(context.problem.forward, Namespace(torch, _torch_names(torch)))(*args, **kwargs)
        cost = list(dict(leaves(named)).values())[-1]
        cost.sum().backward()
        slope = sum(float((tensors[n].grad.numpy() * directions[n]).sum()) for n in directions)
    except Exception:  # it does not run on PyTorch: no vote
        return Vote("PyTorch", None)
    return Vote("PyTorch", bool(abs(slope - first) <= 64 * error + 1e-9 * abs(first)))


def _torch_names(torch: Any) -> dict[str, Any]:
    """NumPy's names for what PyTorch calls otherwise, or takes in another form."""

    def tensors(function: Any) -> Any:
        return lambda *values, **kwargs: function(*(torch.as_tensor(v, dtype=torch.float64) for v in values), **kwargs)

    return {
        "concatenate": lambda arrays, axis=0: torch.cat(list(arrays), axis),
        "max": lambda a, axis=None, keepdims=False: a.max() if axis is None else torch.amax(a, axis, keepdims),
        "min": lambda a, axis=None, keepdims=False: a.min() if axis is None else torch.amin(a, axis, keepdims),
        "maximum": tensors(torch.maximum),
        "minimum": tensors(torch.minimum),
        "logaddexp": tensors(torch.logaddexp),
        "log": tensors(torch.log),
        "sqrt": tensors(torch.sqrt),
        "array": torch.as_tensor,
        "asarray": torch.as_tensor,
        "float64": torch.float64,
        "dot": lambda a, b: a @ b,
        "transpose": lambda a: a.T,
    }
