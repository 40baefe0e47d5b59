"""The operations of a PyTorch program, as the user's code calls them, one of which may be changed in its derivative."""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import linecache
import sys
import types
from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from handgrad.proof.custom.calling import is_users
from handgrad.proof.custom.protocol import Edge

VALUED = {
    "item",
    "tolist",
    "numpy",
    "__bool__",
    "__float__",
    "__int__",
    "__len__",
    "size",
    "dim",
    "stride",
    "is_floating_point",
}


def _logsumexp(x: Any, dim: Any = -1, keepdim: bool = False) -> Any:
    top = x.amax(dim, keepdim=True).detach()
    total = torch.log(torch.exp(x - top).sum(dim, keepdim=True)) + top
    return total if keepdim else total.squeeze(dim)


def _softmax(x: Any, dim: Any = -1, *_: Any, **__: Any) -> Any:
    e = torch.exp(x - x.amax(dim, keepdim=True).detach())
    return e / e.sum(dim, keepdim=True)


INSIDE: dict[str, Callable[..., Any]] = {
    "logsumexp": _logsumexp,
    "softmax": _softmax,
    "log_softmax": lambda x, dim=-1, *_, **__: x - _logsumexp(x, dim, keepdim=True),
    "silu": lambda x, *_, **__: x * torch.sigmoid(x),
}
"""What people derive by hand step by step, in steps."""


class Look(TorchFunctionMode):
    """The operations of a program as they are called; one of them changed in its derivative, and not in its value.

    Args:
        where: the place in the code and the number of a tensor in the arguments; None to list all of them.
        straight: the operation's derivative is 1; else no gradient flows through that operand.
    """

    def __init__(self, where: Any = None, straight: bool = False) -> None:
        super().__init__()
        self.where, self.straight = where, straight
        self.edges: dict[Any, Edge] = {}
        self.results: list[tuple[str, torch.Tensor]] = []

    def __torch_function__(self, func: Any, kinds: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", str(func))
        operands = [v for v in tree_leaves((args, kwargs)) if isinstance(v, torch.Tensor) and v.requires_grad]
        if name in ("__get__", "__set__", "requires_grad_", "detach") or name in VALUED or not operands:
            return func(*args, **kwargs)
        if name in INSIDE:
            try:
                with self:
                    return INSIDE[name](*args, **kwargs)
            except TypeError:  # called in a way of its own
                pass
        place, line = _place()
        if self.where is not None and self.where[0] == (place, name):
            return self._changed(func, args, kwargs, operands)
        result = func(*args, **kwargs)
        if self.where is None and isinstance(result, torch.Tensor) and result.requires_grad:
            self.results.append((f"{name}{line}", result))
            for i, operand in enumerate(operands):
                alike = operand.shape == result.shape and name not in ("add", "sub", "float", "to", "view_as")
                self.edges[(place, name), i] = Edge(((place, name), i), name, f"{name}{line}", alike)
        return result

    def _changed(self, func: Any, args: Any, kwargs: Any, operands: list[torch.Tensor]) -> Any:
        operand = operands[self.where[1]]
        cut = operand.detach()
        seen = iter(range(len(operands)))

        def change(value: Any) -> Any:
            asks = isinstance(value, torch.Tensor) and value.requires_grad
            return cut if asks and next(seen) == self.where[1] else value

        result = func(*tree_map(change, args), **tree_map(change, kwargs))
        if not self.straight:
            return result
        return result + torch.where(torch.isfinite(cut), operand - cut, 0)  # 0, with the derivative 1


def _place() -> tuple[Any, str]:
    """Where in the user's code we are: which instruction, and the line in words."""
    steps: list[Any] = []
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if file == __file__:
            steps.append(frame.f_lasti)  # within what is taken in steps
        elif is_users(file):
            line = linecache.getline(file, frame.f_lineno).strip()
            return (file, frame.f_lasti, frame.f_lineno, *steps[1:-1]), f" in line {frame.f_lineno}: {line}"
        frame = frame.f_back
    return (), ""
