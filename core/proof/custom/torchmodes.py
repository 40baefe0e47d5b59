"""PyTorch's operations, one by one as they are dispatched: rounded visibly, or done in float64 whatever is asked.

`Noisy` moves each result by a random unit of its own last place (Monte Carlo arithmetic, as `handgrad.proof.noise` does
for NumPy). `Exactly` lets a program see tensors of its own dtype, bfloat16 say, behind each of which stands one of
float64 that all arithmetic is done with: casts change nothing but what the program sees.
"""

# mypy: disable-error-code="no-untyped-call,override"

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from handgrad.proof.custom.protocol import VISIBLE, InexactError

WIDER = {torch.complex32: torch.complex128, torch.complex64: torch.complex128, torch.complex128: torch.complex128}
MOVES = {
    "abs", "alias", "amax", "amin", "arange", "as_strided", "bernoulli", "bernoulli_", "cat", "ceil", "clamp",
    "clamp_max", "clamp_min", "clone", "conj", "constant_pad_nd", "contiguous", "copy", "copy_", "detach",
    "diag_embed", "diagonal_copy", "embedding", "empty", "empty_like", "empty_strided", "fill", "fill_", "flip",
    "floor", "full", "full_like", "gather", "hardtanh", "index", "index_put", "index_put_", "index_select",
    "lift_fresh", "masked_fill", "masked_fill_", "masked_scatter", "max", "max_pool2d_with_indices", "maximum", "min",
    "minimum", "neg", "neg_", "new_empty", "new_empty_strided", "new_full", "new_ones", "new_zeros", "ones",
    "ones_like", "permute", "rand", "rand_like", "randn", "randn_like", "relu", "relu_", "repeat", "roll", "round",
    "scalar_tensor", "scatter", "select_backward", "sgn", "sign", "slice_backward", "sort", "stack",
    "threshold_backward", "topk", "tril", "triu", "trunc", "unfold_backward", "where", "zero_", "zeros", "zeros_like",
}  # fmt: skip
"""Operations that give numbers on as they are."""
SUMS = {
    "_log_softmax", "_softmax", "addbmm", "addmm", "addmv", "addr", "baddbmm", "bmm", "convolution",
    "convolution_backward", "cumsum", "dot", "index_add", "index_add_", "linalg_vector_norm", "logsumexp", "mean",
    "mm", "mv", "native_batch_norm", "native_layer_norm", "native_layer_norm_backward", "scatter_add", "std", "sum",
    "var", "var_mean",
}  # fmt: skip
"""Operations within which much is added: their operands are moved too, where the sum has no more digits than they."""


def each(change: Callable[[Any], Any], value: Any) -> Any:
    """What an operation is given or gives, each value in it changed; `tree_map` would take several times as long."""
    if isinstance(value, tuple | list):
        return type(value)([each(change, v) for v in value])
    if isinstance(value, dict):
        return {key: each(change, v) for key, v in value.items()}
    return change(value)


def values_in(value: Any) -> list[Any]:
    """The values in it."""
    found: list[Any] = []
    each(found.append, value)
    return found


def name_of(func: Any) -> str:
    """``mul`` of ``aten.mul.Tensor``."""
    return str(func.overloadpacket.__name__)


class Jitter:
    """Moves tensors by random parts of a unit.

    Args:
        seed: of the random numbers.
        unit: relative; else that of each tensor's own dtype.
    """

    def __init__(self, seed: int, unit: float | None = None) -> None:
        self.generator = torch.Generator("cpu").manual_seed(seed)
        self.unit = unit

    def moved(self, value: Any) -> Any:
        """The same, each entry off by up to a unit; what holds no real or complex numbers as it is."""
        if not isinstance(value, torch.Tensor) or not (value.is_floating_point() or value.is_complex()):
            return value
        if value.layout is not torch.strided:
            return value
        unit = self.unit or torch.finfo(value.dtype).eps / 2
        wide = (
            value.to(WIDER.get(value.dtype, torch.float64))
            if value.dtype not in (torch.float32, torch.float64)
            else value
        )
        spread = torch.rand(value.shape, generator=self.generator, dtype=torch.float32, device="cpu")
        spread = spread.to(value.device).sub_(0.5)
        if self.unit is not None:  # never next to nothing, since it is all that a tolerance is made of
            spread.add_(spread.sign() / 2)
        factor = spread.mul_(unit if self.unit is not None else 2 * unit)
        moved = torch.addcmul(wide, wide, factor.to(wide.dtype))
        return torch.where(torch.isfinite(wide), moved, wide).to(value.dtype)

    def operands(self, func: Any, args: Any) -> Any:
        """What an operation is given, moved where it sums it up with no more digits than it has."""
        if name_of(func) not in SUMS:
            return args
        return each(lambda v: self.moved(v) if _fine(v) else v, args)

    def results(self, func: Any, result: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
        """What an operation gives, moved; in place where it writes in place. Views and copies are as they are."""
        if name_of(func) in MOVES or not _rounds(func, result, args):
            return result
        if not func._schema.is_mutable:
            return each(self.moved, result) if not _views(func) else result
        for argument, value in zip(func._schema.arguments, _placed(func, args, kwargs), strict=False):
            if argument.alias_info is not None and argument.alias_info.is_write and isinstance(value, torch.Tensor):
                value.copy_(self.moved(value))
        return result


def _fine(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.dtype in (torch.float32, torch.float64, torch.complex128)


def _views(func: Any) -> bool:
    return any(r.alias_info is not None for r in func._schema.returns)


def _rounds(func: Any, result: Any, args: Any) -> bool:
    """Whether a result has fewer digits than what it is made of, where the operation is only a cast."""
    if name_of(func) not in ("_to_copy", "convert_element_type"):
        return True
    given = args[0]
    return not given.is_floating_point() or torch.finfo(result.dtype).eps > torch.finfo(given.dtype).eps


def _placed(func: Any, args: Any, kwargs: Mapping[str, Any]) -> list[Any]:
    names = [a.name for a in func._schema.arguments]
    return [*args, *(kwargs.get(name) for name in names[len(args) :])]


class Noisy(TorchDispatchMode):
    """Rounding, made visible."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.jitter = Jitter(seed)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = (
            func(*self.jitter.operands(func, args), **kwargs) if not func._schema.is_mutable else func(*args, **kwargs)
        )
        return self.jitter.results(func, result, args, kwargs)


class Exact(torch.Tensor):
    """What a program sees as a tensor of its dtype; `value` is the same in float64."""

    value: torch.Tensor

    @staticmethod
    def __new__(cls, value: torch.Tensor, dtype: torch.dtype) -> Exact:
        """A tensor that looks like one of `dtype`."""
        made: Exact = torch.Tensor._make_wrapper_subclass(
            cls, value.size(), strides=value.stride(), storage_offset=value.storage_offset(), dtype=dtype,
            device=value.device,
        )  # fmt: skip
        return made

    def __init__(self, value: torch.Tensor, dtype: torch.dtype) -> None:
        del dtype
        self.value = value

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return exactly(func, args, kwargs or {}, None)


class Exactly(TorchDispatchMode):
    """All arithmetic in float64.

    Args:
        seed: of rounding that is made visible, in units of float64; none by default.
    """

    def __init__(self, seed: int | None = None) -> None:
        super().__init__()
        self.jitter = None if seed is None else Jitter(seed, VISIBLE)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        inside = within(func)
        if inside is not None:
            with self:
                return inside(*args, **(kwargs or {}))
        return exactly(func, args, kwargs or {}, self.jitter)


def within(func: Any) -> Any:
    """The function that a custom op was made of, whose operations are looked at one by one."""
    if func.namespace in ("aten", "prims", "prim"):
        return None
    from torch._library.custom_ops import OPDEFS

    found = OPDEFS.get(str(func._name).partition(".")[0])
    return None if found is None else found._init_fn


def exactly(func: Callable[..., Any], args: Any, kwargs: Any, jitter: Jitter | None) -> Any:
    """One operation on what stands behind its operands.

    Raises:
        InexactError: it reads the bits of a number.
    """
    name = name_of(func)
    if name == "view" and func._overloadname == "dtype":  # type: ignore[attr-defined]
        raise InexactError("a tensor is read as one of another dtype, bit by bit")
    func = AT_ONCE.get(name, func)
    inner, named = each(_behind, (args, kwargs))
    given = jitter.operands(func, inner) if jitter is not None and not func._schema.is_mutable else inner  # type: ignore[attr-defined]
    result = func(*given, **named)
    if jitter is not None:
        result = jitter.results(func, result, inner, named)
    if func._schema.is_mutable:  # type: ignore[attr-defined]
        for argument, value in zip(func._schema.arguments, _placed(func, args, kwargs), strict=False):  # type: ignore[attr-defined]
            written = argument.alias_info is not None and argument.alias_info.is_write
            if written and isinstance(value, torch.Tensor) and _behind(value) is not getattr(value, "value", value):
                raise InexactError("a tensor from outside is written to")
        back = {id(i): o for i, o in zip(values_in((inner, named)), values_in((args, kwargs)), strict=True)}
        return each(lambda v: back.get(id(v), v), result)
    dtypes = iter(_dtypes(func, args, kwargs, result))
    return each(lambda v: _before(v, next(dtypes)) if isinstance(v, torch.Tensor) else v, result)


AT_ONCE = {"_conj": torch.ops.aten._conj_physical.default, "_neg_view": torch.ops.aten.neg.default}
"""Views that PyTorch resolves in a layer above this one."""


def _behind(value: Any) -> Any:
    if isinstance(value, Exact):
        return value.value
    if isinstance(value, torch.dtype):
        return _wider(value)
    if isinstance(value, torch.Tensor) and _wider(value.dtype) != value.dtype:
        return value.to(_wider(value.dtype))
    return value


def _before(value: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return Exact(value, dtype) if value.is_floating_point() or value.is_complex() else value


def _wider(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype.is_floating_point else WIDER.get(dtype, dtype)


def _dtypes(func: Any, args: Any, kwargs: Any, result: Any) -> list[torch.dtype]:
    """What the results would be if each operand had the dtype that the program sees."""
    tensors = [v for v in values_in(result) if isinstance(v, torch.Tensor)]
    if not any(v.is_floating_point() or v.is_complex() for v in tensors):
        return [v.dtype for v in tensors]
    given = values_in((args, kwargs))
    operands = [v for v in given if isinstance(v, torch.Tensor)]
    asked = [v for v in given if isinstance(v, torch.dtype)]
    seen = {v.dtype for v in operands if v.is_floating_point() or v.is_complex()}
    if not operands:
        low = func(*args, **kwargs)
    elif len(seen) == 1 and not asked and name_of(func) not in MIXED and not any(v.is_complex() for v in tensors):
        (dtype,) = seen
        if dtype.is_floating_point:
            return [dtype if v.is_floating_point() else v.dtype for v in tensors]
        low = func(*each(_sketch, args), **each(_sketch, kwargs))
    else:
        try:
            low = func(*each(_sketch, args), **each(_sketch, kwargs))
        except Exception:  # an operation that knows no tensors without numbers
            low = func(*each(_seen, args), **each(_seen, kwargs))
    return [v.dtype for v in values_in(low) if isinstance(v, torch.Tensor)]


MIXED = {
    "native_layer_norm", "native_batch_norm", "native_group_norm", "cumsum", "var_mean", "_fft_r2c", "_fft_c2r",
    "view_as_real", "view_as_complex", "complex", "polar", "real", "imag",
}  # fmt: skip
"""Operations whose results have other dtypes than what they are given."""


def _sketch(value: Any) -> Any:
    if not isinstance(value, torch.Tensor):
        return torch.device("meta") if isinstance(value, torch.device) else value
    return torch.empty_strided(value.size(), value.stride(), dtype=value.dtype, device="meta")


def _seen(value: Any) -> Any:
    return value.value.to(value.dtype) if isinstance(value, Exact) else value
