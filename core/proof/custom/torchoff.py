"""PyTorch's rules taken off: their forward is run as any code, with autograd on; or their backward is watched."""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch.autograd import Function
from torch.utils._pytree import tree_map


@contextlib.contextmanager
def watched(function: Any, see: Callable[[Any, Any], Any]) -> Iterator[None]:
    """The backward of a Function, with ``see(grad_outputs, gradients)`` given what it gets and gives."""
    own = function.__dict__.get("backward")
    original = function.backward

    def backward(ctx: Any, *cotangents: Any) -> Any:
        return see(cotangents, original(ctx, *cotangents))

    function.backward = staticmethod(backward)
    try:
        yield
    finally:
        if own is None:
            del function.backward
        else:
            function.backward = own


@contextlib.contextmanager
def taken_off() -> Iterator[list[Any]]:
    """Rules by hand are not used: the forward of a Function or of a custom op is run as any code, with autograd on.

    Gives those that were met, as they are.
    """
    single: Any = Function.__mro__[1]
    met: list[Any] = []

    def apply(cls: Any, *args: Any, **kwargs: Any) -> Any:
        forward = cls.forward
        op = _generated(cls)
        if op is None and cls.__module__.partition(".")[0] == "torch":
            return torch._C._FunctionBase.__dict__["apply"].__get__(None, cls)(*args, **kwargs)
        met.append(cls)
        if op is not None:
            return op(*args[:-1])  # the last one is what PyTorch keeps
        own = [a.view_as(a) if isinstance(a, torch.Tensor) and a.requires_grad and a.is_leaf else a for a in args]
        ctx = Ctx(args)
        split = cls.setup_context is not torch.autograd.function._SingleLevelFunction.setup_context
        result = forward(*own, **kwargs) if split else forward(ctx, *own, **kwargs)
        if split:
            cls.setup_context(ctx, tuple(own), result)
        silent = ctx.silent
        return tree_map(lambda v: v.detach() if id(v) in silent else v, result)

    before = single.__dict__.get("apply")
    single.apply = classmethod(apply)
    try:
        yield met
    finally:
        if before is None:
            del single.apply
        else:
            single.apply = before


def _generated(cls: Any) -> Callable[..., Any] | None:
    """The function behind the class that PyTorch makes for the gradient of a custom op."""
    if cls.__module__ != "torch._library.autograd":
        return None
    from torch._library.custom_ops import OPDEFS

    cells = dict(zip(cls.forward.__code__.co_freevars, cls.forward.__closure__ or (), strict=True))
    if "op" not in cells:
        return None
    found = OPDEFS.get(str(cells["op"].cell_contents._name).partition(".")[0])
    return None if found is None else found._init_fn


class Ctx:
    """What forward is given in the place of autograd's context."""

    def __init__(self, args: Sequence[Any]) -> None:
        self.needs_input_grad = tuple(isinstance(a, torch.Tensor) and a.requires_grad for a in args)
        self.saved_tensors: tuple[Any, ...] = ()
        self.silent: set[int] = set()

    def save_for_backward(self, *tensors: Any) -> None:
        """Kept, for a forward that reads them."""
        self.saved_tensors = tensors

    save_for_forward = save_for_backward

    def mark_dirty(self, *tensors: Any) -> None:
        """Nothing: autograd sees what is changed."""

    def mark_non_differentiable(self, *tensors: Any) -> None:
        """These have no gradient."""
        self.silent |= {id(t) for t in tensors}

    def set_materialize_grads(self, value: bool) -> None:
        """Nothing: there is no backward."""
