"""What PyTorch's rules get wrong besides numbers: layouts, needs, buffers, aliases, sizes, vmap. Each is tried."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch.utils._pytree import tree_leaves

from handgrad.errors import UsageError
from handgrad.proof.custom.calling import quietly
from handgrad.proof.custom.protocol import MANY, SAME, How, Trouble, rounding
from handgrad.proof.custom.torch import Torch, numpy_of, seed
from handgrad.proof.custom.torchoff import watched
from handgrad.proof.problem import leaves, replace
from handgrad.proof.wide import Array

Layout = Callable[[torch.Tensor], torch.Tensor]
Gradients = dict[str, torch.Tensor | None]


@dataclass
class Went:
    """One run, with what one may look at afterwards."""

    outputs: list[torch.Tensor]
    gradients: Gradients
    tensors: dict[str, Any]
    cotangents: list[torch.Tensor]
    drew: bool
    """Whether random numbers were drawn: in the order of memory, so that in another layout each entry gets others."""


def troubles(rule: Torch, inputs: Mapping[str, Any], cotangents: Sequence[Array]) -> list[Trouble]:
    """All that are found, in the finest precision in which the rule runs."""
    if rule.order == 2 or rule.mode == "jvp":
        return []
    for precision in ("float64", "float32", rule.lowest):
        with rule.settings(How(precision)):
            tries = Tries(rule, inputs, cotangents, How(precision))
            try:
                tries.base = tries.run()
            except UsageError:
                continue
            return list(tries.all())
    return []


class Tries:
    """The rule, run as people will run it, and compared with itself."""

    def __init__(self, rule: Torch, inputs: Mapping[str, Any], cotangents: Sequence[Array], how: How) -> None:
        self.rule, self.inputs, self.how = rule, inputs, how
        self.cotangents = [rule.tensor(np.asarray(c), how) for c in cotangents]
        self.base: Went
        self.small = sum(np.size(v) for _, v in leaves(inputs) if isinstance(v, np.ndarray)) <= MANY

    @cached_property
    def rounding(self) -> dict[str, float]:
        """How far rounding may take a gradient, where most of it cancels."""
        return rounding(self.rule, self.inputs, [numpy_of(c) for c in self.cotangents], self.how)

    def all(self) -> Iterator[Trouble]:
        """One after another."""
        yield from self.changed()
        yield from self.again()
        if not self.small:
            return
        yield from self.layouts()
        yield from self.zero()
        yield from self.alone()
        yield from self.used()
        yield from self.raw()
        yield from self.sizes()
        yield from self.vmapped()

    def run(
        self,
        layout: Layout | None = None,
        cotangent_layout: Layout | None = None,
        cotangents: Sequence[torch.Tensor] | None = None,
        only: str | None = None,
        used: int | None = None,
        twice: bool = False,
    ) -> Went:
        """Forward and backward, in a layout, with a gradient for `only` one input, from the one output that is used."""
        rule = self.rule
        tensors, asked = rule.tensors(self.inputs, self.how)
        if layout is not None or only is not None:
            asked = {}

            def change(name: str, value: Any) -> Any:
                if not isinstance(value, torch.Tensor):
                    return value
                value = value.detach()
                value = layout(value) if layout is not None else value
                if name in rule.wrt and only in (None, name):
                    asked[name] = value.requires_grad_()
                return value

            tensors = replace(tensors, change)
        seed()
        before = torch.random.get_rng_state()
        outputs = rule.outputs(tensors, plain=False)
        back = [c.clone() for c in (cotangents if cotangents is not None else self.cotangents)]
        back = [cotangent_layout(c) for c in back] if cotangent_layout is not None else back
        pairs = enumerate(zip(outputs, back, strict=True))
        along = [(o, c.to(o.dtype)) for i, (o, c) in pairs if o.requires_grad and used in (None, i)]
        found: Gradients = dict.fromkeys(asked)
        if along:
            for _ in range(2 if twice else 1):
                gradients = quietly(
                    "backward",
                    lambda: torch.autograd.grad(
                        [o for o, _ in along], list(asked.values()), [c for _, c in along],
                        allow_unused=True, retain_graph=twice,
                    ),
                )  # fmt: skip
            found = dict(zip(asked, gradients, strict=True))
        drew = not torch.equal(before, torch.random.get_rng_state())
        return Went(outputs, found, tensors, [c for _, c in along], drew)

    def differs(self, went: Went, base: Went | None = None, exactly: bool = False) -> dict[str, float]:
        """The inputs whose gradients are others than in the base, and by how much of the largest entry."""
        found = {}
        for name, gradient in went.gradients.items():
            before = (base or self.base).gradients.get(name)
            if before is None or gradient is None:
                if (before is None) != (gradient is None) and _any(before if gradient is None else gradient):
                    found[name] = 1.0
                continue
            before, gradient = _dense(before), _dense(gradient)
            if before.shape != gradient.shape:
                found[name] = 1.0
                continue
            gap = float((before - gradient).abs().nan_to_num(0).max()) if before.numel() else 0.0
            odd = bool((before.isfinite() != gradient.isfinite()).any())
            size = float(before.abs().nan_to_num(0).max()) if before.numel() else 0.0
            if odd or (gap > 0 if exactly else gap > size * SAME and gap > size * SAME + self.rounding.get(name, 0.0)):
                found[name] = gap / size if size else float("inf")
        return found

    def tried(self, said: str, kind: str, run: Callable[[], Went], base: Went | None = None) -> Iterator[Trouble]:
        """A run that should give what the base gives."""
        try:
            went = run()
        except UsageError as error:
            yield Trouble(f"{said}, {error}", kind, tuple(self.rule.wrt))
            return
        for name, size in self.differs(went, base).items():
            yield Trouble(f"{said}, the gradient is off by {_share(size)}", kind, (name,))

    def layouts(self) -> Iterator[Trouble]:
        """Tensors that are not contiguous, or one number many times."""
        if self.base.drew:
            return
        yield from self.first_of("where grad_output is not contiguous", "cotangent_layout")
        ones = [torch.ones_like(c) for c in self.cotangents]
        with contextlib.suppress(UsageError):
            whole = self.run(cotangents=ones)
            yield from self.tried(
                "where grad_output is expanded, as by sum()",
                "contiguity",
                lambda: self.run(cotangents=ones, cotangent_layout=lambda c: c.new_ones(()).expand(c.shape)),
                whole,
            )
        yield from self.first_of("where inputs are not contiguous", "layout")

    def first_of(self, said: str, argument: str) -> list[Trouble]:
        """What goes wrong in the first layout in which something does."""
        for layout in _strided, _transposed:
            how: Any = {argument: layout}
            found = list(self.tried(said, "contiguity", partial(self.run, **how)))
            if found:
                return found
        return []

    def zero(self) -> Iterator[Trouble]:
        """Nothing comes of nothing."""
        try:
            went = self.run(cotangents=[torch.zeros_like(c) for c in self.cotangents])
        except UsageError as error:
            yield Trouble(f"where grad_output is 0, {error}", "zero", tuple(self.rule.wrt))
            return
        for name, gradient in went.gradients.items():
            if gradient is not None and _any(gradient):
                yield Trouble("where grad_output is 0, the gradient is not", "zero", (name,))

    def alone(self) -> Iterator[Trouble]:
        """Only one of the inputs needs a gradient."""
        if len(self.rule.wrt) < 2:
            return
        for name in self.rule.wrt[:8]:
            if self.base.gradients.get(name) is not None:
                yield from self.tried(f"where only {name} needs a gradient", "needs", partial(self.run, only=name))

    def used(self) -> Iterator[Trouble]:
        """Only one of several outputs is used: nothing flows in through the others, and not even zeros, if so asked."""
        several = [i for i, output in enumerate(self.base.outputs) if output.requires_grad]
        for i in several[:4] if len(several) > 1 else []:
            zeros = [c if i == k else torch.zeros_like(c) for k, c in enumerate(self.cotangents)]
            with contextlib.suppress(UsageError):
                base = self.run(cotangents=zeros)
                said = f"where only output {i} is used"
                yield from self.tried(said, "unused", partial(self.run, used=i), base)

    def again(self) -> Iterator[Trouble]:
        """The same once more."""
        try:
            went = self.run()
        except UsageError as error:
            yield Trouble(f"called again, {error}", "again", tuple(self.rule.wrt))
            return
        sizes = self.differs(went)
        for name, size in sizes.items():
            yield Trouble(
                f"called again on the same inputs, the gradient is another by {_share(size)}", "again", (name,)
            )
        little = {n: s for n, s in self.differs(went, exactly=True).items() if n not in sizes}
        for name, size in little.items():
            yield Trouble(
                f"d{name} is not deterministic: two runs differ by {size:.0e}", "nondeterministic", (name,), True
            )
        if not sizes:
            try:
                yield from self.tried("gone back through a second time", "again", lambda: self.run(twice=True))
            except RuntimeError:
                return

    def changed(self) -> Iterator[Trouble]:
        """What the code has written to though it is not its own."""
        before, _ = self.rule.tensors(self.inputs, self.how)
        for (name, was), (_, now) in zip(leaves(before), leaves(self.base.tensors), strict=True):
            if isinstance(was, torch.Tensor) and not torch.equal(was.nan_to_num(0), now.nan_to_num(0)):
                yield Trouble(f"{name} is changed in place", "in_place", (name,) if name in self.rule.wrt else ())
        for was, now in zip(self.cotangents, self.base.cotangents, strict=False):
            if was.shape == now.shape and not torch.equal(was.to(now.dtype), now):
                yield Trouble("grad_output is changed in place, which others may still need", "in_place")

    def raw(self) -> Iterator[Trouble]:
        """What backward itself gives back, before PyTorch casts and adds."""
        function = self.rule.function
        if function is None:
            return
        given: list[tuple[Any, Any]] = []

        def see(got: Any, gave: Any) -> Any:
            given.append((got, gave))
            return gave

        with watched(function, see), contextlib.suppress(UsageError):
            self.run()
        for got, gave in given:
            values = gave if isinstance(gave, tuple) else (gave,)
            for name, value in zip(self.rule.parameters, values, strict=False):
                if not isinstance(value, torch.Tensor) or name not in self.rule.wrt:
                    continue
                if any(isinstance(g, torch.Tensor) and _shared(g, value) for g in got):
                    yield Trouble(f"d{name} is grad_output itself, not a copy", "alias", (name,), True)
                if value.shape != self.base.tensors[name].shape:
                    said = f"backward gives d{name} in the shape {tuple(value.shape)}; PyTorch sums it to {name}'s"
                    yield Trouble(said, "shape", (name,), True)
                asked = self.base.tensors[name].dtype
                if value.is_floating_point() and value.dtype != asked:
                    narrower = torch.finfo(value.dtype).eps > torch.finfo(asked).eps
                    said = f"backward gives d{name} as {_dtype(value.dtype)} for an input of {_dtype(asked)}"
                    yield Trouble(said, "dtype", (name,), not narrower)

    def sizes(self) -> Iterator[Trouble]:
        """Batches of one example, and of none."""
        names = [n for n in self.rule.wrt if n in self.rule.structure]
        first = {n: np.shape(self.inputs[n])[0] for n in names if np.ndim(self.inputs[n]) > 1}
        outputs = self.base.outputs
        m = next(iter(first.values()), 0)
        if m < 2 or any(o.ndim == 0 or o.shape[0] != m for o in outputs):
            return
        batched = {
            n: v for n, v in self.inputs.items()
            if isinstance(v, np.ndarray) and v.ndim and v.shape[0] == m and (v.ndim > 1 or v.dtype.kind != "f")
        }  # fmt: skip
        for size in (1, 0):
            inputs = {n: v[:size] if n in batched else v for n, v in self.inputs.items()}
            how, plain = How(self.how.precision), How(self.how.precision, plain=True)
            cotangents = [np.ones((size, *o.shape[1:])) for o in outputs]
            try:
                expected = self.rule.pull(inputs, cotangents, plain)
            except Exception:  # the function itself takes no such batch
                continue
            said = f"for a batch of {'one' if size else 'no'} example{'' if size else 's'}"
            try:
                found = self.rule.pull(inputs, cotangents, how)
            except Exception as error:
                yield Trouble(f"{said}, {error}", "size", tuple(names) if size else ())
                continue
            for name in names:
                hand, right = found.gradients[name], expected.gradients[name]
                if hand is None or right is None or self.base.gradients.get(name) is None:
                    continue
                far = SAME * np.max(np.abs(right), initial=0)
                if hand.shape == right.shape and not np.all(np.abs(hand - right) <= far):
                    far += sum(rounding(self.rule, inputs, cotangents, either)[name] for either in (how, plain))
                if hand.shape != right.shape or not np.all(np.abs(hand - right) <= far):
                    yield Trouble(f"{said}, the gradient is not what it should be: {_summary(right)}", "size", (name,))

    def vmapped(self) -> Iterator[Trouble]:
        """A rule that says that it can be vmapped."""
        function = self.rule.function
        if function is None or not (
            getattr(function, "generate_vmap_rule", False)
            or function.vmap is not torch.autograd.function._SingleLevelFunction.__dict__.get("vmap", Function_vmap)
        ):
            return
        names = [n for n in self.rule.wrt if n in self.inputs]
        tensors, _ = self.rule.tensors(self.inputs, self.how)
        tensors = {n: v.detach() if isinstance(v, torch.Tensor) else v for n, v in tensors.items()}
        scales = next(iter(tensors[n] for n in names)).new_tensor([1.0, 0.5, 1.5])

        def gradients(*values: torch.Tensor) -> Any:
            given = {**tensors, **dict(zip(names, values, strict=True))}
            outputs = [
                v for v in tree_leaves(self.rule.call(given)) if isinstance(v, torch.Tensor) and v.is_floating_point()
            ]
            return sum((o * c).sum() for o, c in zip(outputs, self.cotangents, strict=True))

        stacked = [torch.stack([s * tensors[n] for s in scales]) for n in names]
        places = tuple(range(len(names)))
        try:
            each = [torch.func.grad(gradients, places)(*(v[i] for v in stacked)) for i in range(3)]
        except Exception:
            return
        try:
            together = torch.func.vmap(torch.func.grad(gradients, places))(*stacked)
        except Exception as error:
            yield Trouble(
                f"under vmap, it raised {type(error).__name__}: {str(error).splitlines()[0]}", "vmap", tuple(names)
            )
            return
        for i, name in enumerate(names):
            apart = torch.stack([e[i] for e in each])
            gap, size = float((apart - together[i]).abs().max()), float(apart.abs().max())
            if not gap <= SAME * size:
                yield Trouble(
                    f"under vmap, the gradient is off by {_share(gap / size if size else 1)}", "vmap", (name,)
                )


Function_vmap = torch.autograd.Function.vmap


def _strided(tensor: torch.Tensor) -> torch.Tensor:
    """The same numbers, every second one in memory."""
    if not tensor.ndim or not tensor.numel():
        return tensor
    room = tensor.new_full((*tensor.shape, 2), 7)
    room[..., 0] = tensor
    return room[..., 0]


def _transposed(tensor: torch.Tensor) -> torch.Tensor:
    """The same numbers, the last axis outermost in memory."""
    return tensor.transpose(0, -1).contiguous().transpose(0, -1) if tensor.ndim > 1 else tensor


def _shared(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a is b or (a.numel() > 0 and a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr())


def _dense(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.detach()
    return tensor if tensor.layout is torch.strided else tensor.to_dense()


def _any(tensor: torch.Tensor | None) -> bool:
    return tensor is not None and bool(_dense(tensor).nan_to_num(1).any())


def _dtype(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _share(size: float) -> str:
    return f"{size:.0%} of its largest entry" if 0.01 <= size < 100 else f"{size:.0e} of its largest entry"


def _summary(array: Array) -> str:
    return f"{'zeros' if not array.any() else 'numbers'} of shape {array.shape}"
