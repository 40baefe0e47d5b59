"""PyTorch's rules, as `handgrad.proof.custom.protocol` asks for them."""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import contextlib
import functools
import inspect
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.autograd import Function, forward_ad
from torch.utils._pytree import tree_leaves, tree_map

from handgrad.errors import UsageError
from handgrad.proof.custom.calling import CodeError, directions, named, narrowed, passed, quietly
from handgrad.proof.custom.protocol import PRECISIONS, Edge, Flow, How, InexactError, Pulled
from handgrad.proof.custom.torchlook import Look
from handgrad.proof.custom.torchmodes import Exact, Exactly, Jitter, Noisy
from handgrad.proof.custom.torchoff import taken_off, watched
from handgrad.proof.noise import rounding_of
from handgrad.proof.problem import leaves, replace
from handgrad.proof.wide import Array

DTYPES = {name: getattr(torch, name) for name in PRECISIONS}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
_LOCK = threading.RLock()


class Torch:
    """A rule of PyTorch's and its plain program.

    Args:
        subject: a Function or its ``apply``, a ``custom_op``, a module, or any callable of tensors.
        inputs: by argument, or in order: NumPy arrays or tensors, or lists and dictionaries of them; other things are
            passed on as they are. The parameters of a module are inputs besides.
        reference: the same function written plainly; by default the rule's forward, followed by autograd.
        order: 2 for the gradient as a function of inputs and grad_output, whose own gradient is judged.
        mode: "jvp" for what flows forward: the change of all outputs along one direction of one input.

    Raises:
        UsageError: inputs that the subject doesn't take, or none of floating point.
    """

    compiles = False
    undifferentiated = ""

    def __init__(self, subject: Any, inputs: Any, reference: Any = None, order: int = 1, mode: str = "vjp") -> None:
        if inspect.ismethod(subject) and subject.__name__ == "apply":
            subject = subject.__self__
        self.subject = subject
        self.function = subject if isinstance(subject, type) and issubclass(subject, Function) else None
        self.parameters: Mapping[str, Any] = _parameters(subject, self.function)
        self.who = _who(subject)
        self.reference = reference
        self.oracle = (
            "the reference, differentiated by PyTorch in float64"
            if reference is not None
            else "the rule taken off: its forward, differentiated by PyTorch in float64"
        )
        given = named(inputs, self.parameters, self.who)
        held = dict(subject.named_parameters()) if isinstance(subject, torch.nn.Module) else {}
        self.held = [name for name in held if name not in given]
        given |= {name: held[name] for name in self.held}
        tensors = {n: v for n, v in leaves(given) if isinstance(v, torch.Tensor)}
        floats = [v.dtype for v in tensors.values() if v.dtype in NAMES]
        floats += [
            getattr(torch, v.dtype.name) for _, v in leaves(given) if isinstance(v, np.ndarray) and v.dtype.kind == "f"
        ]
        self.lowest = min(
            (NAMES.get(d, "float64") for d in floats), key=lambda n: -PRECISIONS.index(n), default="float64"
        )
        self.device = next((v.device for v in tensors.values()), torch.device("cpu"))
        asking = [n for n, v in tensors.items() if v.requires_grad]
        self.structure: dict[str, Any] = replace(
            given, lambda _, v: numpy_of(v) if isinstance(v, torch.Tensor) else _array(v)
        )
        if not any(isinstance(v, np.ndarray) and v.dtype.kind == "f" for _, v in leaves(self.structure)):
            self.structure = replace(self.structure, lambda _, v: np.asarray(v) if type(v) is float else v)
        floating = [n for n, v in leaves(self.structure) if isinstance(v, np.ndarray) and v.dtype.kind == "f"]
        self.wrt = [n for n in floating if n in asking] if [n for n in asking if n not in self.held] else floating
        if not self.wrt:
            raise UsageError(
                "inputs holds no array of floating point, so there is no gradient; give np.array(..., float)"
            )
        self.mode, self.order = mode, 1
        self.misshapen: dict[str, Array] = {}
        """What backward gave back in a shape that is not the input's, and PyTorch does not take."""
        self.repairing = False
        self.asked = "the gradients of" if mode == "vjp" else "the tangents along"
        self.first: list[str] = []
        """At order 2, the inputs by which the first gradient is taken."""
        self.cotangents: list[str] = []
        if order == 2:
            self._twice()

    def _twice(self) -> None:
        """From here on the outputs are the gradients, and what they are gradients for is an input."""
        outputs = self.pull(self.structure, None, How("float32")).outputs
        rng = np.random.default_rng(0)
        more = {f"grad_output{i or ''}": rng.standard_normal(o.shape) for i, o in enumerate(outputs)}
        self.first, self.order, self.cotangents = list(self.wrt), 2, list(more)
        self.structure |= more
        self.wrt = [*self.wrt, *more]
        self.asked = "the second gradients, of"

    def pull(self, inputs: Mapping[str, Any], cotangents: Sequence[Array] | None, how: How) -> Pulled:
        """Outputs, and gradients where there are cotangents."""
        with _LOCK, self.settings(how):
            if self.mode == "jvp" and cotangents is not None:
                return self._pushed(inputs, cotangents, how)
            tensors, asked = self.tensors(inputs, how)
            outputs = self.outputs(tensors, how.plain)
            found: dict[str, Array | None] = dict.fromkeys(self.wrt)
            if cotangents is not None:
                along = [(o, c) for o, c in zip(outputs, cotangents, strict=True) if o.requires_grad]
                if along:
                    with self._repaired(tensors) if self.repairing and not how.plain else contextlib.nullcontext():
                        gradients = self._backward(along, asked, how)
                    found |= {n: None if g is None else numpy_of(g) for n, g in zip(asked, gradients, strict=True)}
                    found |= self.misshapen if not how.plain else {}
            return Pulled([numpy_of(o) for o in outputs], found)

    def calls_rule(self) -> bool:
        """Whether a Function or a custom op is called, or it doesn't run."""
        how = How(self.lowest)
        with _LOCK, self.settings(how), taken_off() as met:
            try:
                self.call(self.tensors(self.structure, how)[0])
            except Exception:
                return True
        return bool(met)

    def repair(self) -> bool:
        """From here on gradients that PyTorch does not take are kept from it; whether that can be done."""
        self.repairing = self.function is not None and self.mode == "vjp" and self.order == 1
        return self.repairing

    def _repaired(self, tensors: Mapping[str, Any]) -> Any:
        names = [n for n, p in self.parameters.items() if p.kind is not p.KEYWORD_ONLY]

        def see(_: Any, gave: Any) -> Any:
            values = list(gave) if isinstance(gave, tuple) else [gave]
            count = len(passed(self.parameters, tensors)[0])
            values = [*values[:count], *[None] * (count - len(values))]
            for i, (name, value) in enumerate(zip(names, values, strict=False)):
                if not isinstance(value, torch.Tensor) or name not in self.wrt:
                    continue
                if tuple(value.shape) != tuple(tensors[name].shape):
                    self.misshapen[name] = numpy_of(value)
                    values[i] = torch.zeros_like(tensors[name])
            return tuple(values)

        return watched(self.function, see)

    def _pushed(self, inputs: Mapping[str, Any], cotangents: Sequence[Array], how: How) -> Pulled:
        """The change of all outputs, one after the other, along a direction of each input."""
        if how.exact:
            raise InexactError("PyTorch's forward mode knows its own tensors only")
        rng = directions(cotangents)
        found: dict[str, Array | None] = {}
        outputs: list[torch.Tensor] = []
        for name in self.wrt:
            tensors, asked = self.tensors(inputs, how)
            along = self.tensor(rng.standard_normal(tuple(asked[name].shape)), how)
            if how.noise is not None:  # forward mode takes no modes; then what goes in is moved, not each result
                tensors, along = tree_map(Jitter(how.noise).moved, (_detached(tensors), along))

            def forward(name: str = name, tensors: Any = tensors, along: Any = along) -> Any:
                with forward_ad.dual_level():
                    dual = forward_ad.make_dual(dict(leaves(tensors))[name].detach(), along)
                    given = replace(tensors, lambda n, v: dual if n == name else v.detach() if n in self.wrt else v)
                    outputs = self.outputs(given, how.plain)
                    tangents = [forward_ad.unpack_dual(o).tangent for o in outputs]
                    return outputs, [
                        numpy_of(torch.zeros_like(o) if t is None else t)
                        for o, t in zip(outputs, tangents, strict=True)
                    ]

            outputs, tangents = quietly("forward mode", forward)
            found[name] = np.concatenate([np.ravel(t) for t in tangents])
        return Pulled([numpy_of(o) for o in outputs], found)

    def outputs(self, tensors: Mapping[str, Any], plain: bool) -> list[torch.Tensor]:
        """Those of floating point, in order; at order 2 the gradients."""
        if self.order == 1:
            return self._outputs(tensors, plain)
        back = [tensors[name] for name in self.cotangents]
        given = {n: v for n, v in tensors.items() if n not in self.cotangents}
        outputs = self._outputs(given, plain)
        asked = dict(leaves(given))
        along = [(o, c) for o, c in zip(outputs, back, strict=True) if o.requires_grad]

        def differentiate() -> Any:
            with taken_off() if plain else contextlib.nullcontext():
                return torch.autograd.grad(
                    [o for o, _ in along], [asked[n] for n in self.first], [c for _, c in along],
                    create_graph=True, allow_unused=True,
                )  # fmt: skip

        gradients = quietly("backward", differentiate)
        return [torch.zeros_like(asked[n]) if g is None else g for n, g in zip(self.first, gradients, strict=True)]

    def _outputs(self, tensors: Mapping[str, Any], plain: bool) -> list[torch.Tensor]:
        call = self.call if not plain or self.reference is None else self.call_reference
        with taken_off() if plain else contextlib.nullcontext():
            result = quietly("the reference" if plain else "forward", lambda: call(tensors))
        found = [v for v in tree_leaves(result) if isinstance(v, torch.Tensor) and v.is_floating_point()]
        if not found:
            raise UsageError(f"{self.who} gives no tensor of floating point, so there is nothing to differentiate")
        return found

    def call(self, tensors: Mapping[str, Any]) -> Any:
        """The subject, called with tensors."""
        if isinstance(self.subject, torch.nn.Module):
            held = {name: tensors[name] for name in self.held}
            like = next(iter(held.values()), None)
            if like is not None:
                held |= {n: b.to(like.dtype) for n, b in self.subject.named_buffers() if b.is_floating_point()}
            rest = {n: v for n, v in tensors.items() if n not in self.held}
            args, kwargs = passed(self.parameters, rest)
            return torch.func.functional_call(self.subject, held, tuple(args), kwargs)
        args, kwargs = passed(self.parameters, tensors)
        return self.function.apply(*args, **kwargs) if self.function is not None else self.subject(*args, **kwargs)

    def call_reference(self, tensors: Mapping[str, Any]) -> Any:
        """The reference, called with tensors: by name where its arguments are named as the inputs, else in order."""
        wanted = _parameters(self.reference, None)
        if set(tensors) <= set(wanted):
            args, kwargs = passed(wanted, tensors)
        else:
            args, kwargs = list(tensors.values()), {}
        return self.reference(*args, **kwargs)

    def edges(self, inputs: Mapping[str, Any]) -> list[Edge]:
        """The operands of the plain program's operations."""
        if self.order == 2 or self.mode == "jvp":
            return []
        how = How("float64", plain=True, exact=True)
        with _LOCK, self.settings(how):
            tensors, _ = self.tensors(inputs, how)
            with Look() as look:
                self.outputs(tensors, plain=True)
            return list(look.edges.values())

    def varied(
        self, inputs: Mapping[str, Any], cotangents: Sequence[Array], edge: Edge, straight: bool
    ) -> dict[str, Array | None]:
        """The plain program's gradients with an edge cut, or its operation's derivative 1."""
        how = How("float64", plain=True, exact=True)
        with _LOCK, self.settings(how):
            tensors, asked = self.tensors(inputs, how)
            with Look(edge.where, straight):
                outputs = self.outputs(tensors, plain=True)
            along = [(o, c) for o, c in zip(outputs, cotangents, strict=True) if o.requires_grad]
            found: dict[str, Array | None] = {name: np.zeros(tuple(v.shape)) for name, v in asked.items()}
            if along:
                gradients = self._backward(along, asked, how)
                found |= {n: numpy_of(g) for n, g in zip(asked, gradients, strict=True) if g is not None}
            return found

    def flows(self, inputs: Mapping[str, Any], cotangents: Sequence[Array]) -> list[Flow]:
        """The values of the plain program with their adjoints."""
        if self.order == 2 or self.mode == "jvp":
            return []
        how = How("float64", plain=True, exact=True)
        with _LOCK, self.settings(how):
            tensors, asked = self.tensors(inputs, how)
            with Look() as look:
                outputs = self.outputs(tensors, plain=True)
            along = [(o, c) for o, c in zip(outputs, cotangents, strict=True) if o.requires_grad]
            values = [*asked.items(), *look.results]
            adjoints = self._backward(along, {str(i): v for i, (_, v) in enumerate(values)}, how)
            return [
                Flow(said, numpy_of(v), None if g is None else numpy_of(g))
                for (said, v), g in zip(values, adjoints, strict=True)
                if not v.is_complex()
            ]

    @contextlib.contextmanager
    def settings(self, how: How) -> Iterator[None]:
        """Reproducible, with all digits, without a word."""
        mode: Any = contextlib.nullcontext()
        if how.exact:
            mode = Exactly(how.noise)
        elif how.noise is not None and self.mode == "vjp":
            mode = Noisy(how.noise)
        precision = torch.get_float32_matmul_precision()
        with warnings.catch_warnings(), torch.random.fork_rng(), torch.enable_grad(), mode:
            warnings.simplefilter("ignore")
            seed()
            try:
                torch.set_float32_matmul_precision("highest" if how.plain else precision)
                yield
            except InexactError:
                raise
            except (CodeError, RuntimeError, TypeError, NotImplementedError, AttributeError) as error:
                if how.exact:
                    raise InexactError(str(error)) from error
                raise
            finally:
                torch.set_float32_matmul_precision(precision)

    def tensors(self, inputs: Mapping[str, Any], how: How) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        """The inputs as the program is given them, and those of them that ask for a gradient."""
        asked: dict[str, torch.Tensor] = {}

        def change(name: str, value: Any) -> Any:
            if not isinstance(value, np.ndarray):
                return value
            if value.dtype.kind != "f":
                return torch.from_numpy(np.array(value, order="C")).to(self.device)
            tensor = self.tensor(value, how)
            if name in self.wrt:
                tensor.requires_grad_()
                asked[name] = tensor
            return tensor

        return replace(inputs, change), asked

    def tensor(self, value: Array, how: How) -> torch.Tensor:
        """An array of float64 as a tensor of the precision asked for."""
        dtype = torch.float64 if how.exact else DTYPES[how.precision]
        with torch.utils._python_dispatch._disable_current_modes():  # a copy of our own, which the code may change
            own = np.array(value, np.float64, order="C", copy=None if dtype is not torch.float64 else True)
            made = torch.from_numpy(own).to(self.device, dtype)
        return Exact(made, DTYPES[how.precision]) if how.exact else made

    def _backward(
        self, along: Sequence[tuple[torch.Tensor, Array]], asked: Mapping[str, torch.Tensor], how: How
    ) -> Sequence[torch.Tensor | None]:
        cotangents = []
        for output, cotangent in along:
            precision = NAMES.get(output.dtype, "float64")
            cotangents.append(self.tensor(np.asarray(cotangent), How(precision, how.plain, how.exact)))
        role = "the reference's derivative" if how.plain else "backward"

        gradients: Sequence[torch.Tensor | None] = quietly(
            role,
            lambda: torch.autograd.grad([o for o, _ in along], list(asked.values()), cotangents, allow_unused=True),
        )
        return gradients


def seed() -> None:
    """Begins random numbers anew; where CUDA has not begun, `torch.manual_seed` notes each call for when it does."""
    torch.default_generator.manual_seed(0)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(0)


def _detached(tensors: Any) -> Any:
    return tree_map(lambda v: v.detach() if isinstance(v, torch.Tensor) else v, tensors)


def _parameters(subject: Any, function: Any) -> dict[str, inspect.Parameter]:
    if function is not None:
        parameters = dict(inspect.signature(function.forward).parameters)
        split = function.setup_context is not torch.autograd.function._SingleLevelFunction.setup_context
        if not split and parameters:
            del parameters[next(iter(parameters))]  # ctx
        return parameters
    if isinstance(subject, torch.nn.Module):
        return dict(inspect.signature(subject.forward).parameters)
    subject = getattr(subject, "_init_fn", subject)
    try:
        return dict(inspect.signature(subject).parameters)
    except (TypeError, ValueError):
        return {}


def _who(subject: Any) -> str:
    name = getattr(subject, "__qualname__", None) or getattr(subject, "__name__", None) or type(subject).__qualname__
    return str(getattr(subject, "_qualname", name)).split("<locals>.")[-1]


def numpy_of(tensor: torch.Tensor) -> Array:
    """In float64, if of floating point; a tensor that is none's but ours."""
    tensor = tensor.value if isinstance(tensor, Exact) else tensor
    with torch.utils._python_dispatch._disable_current_modes():
        tensor = tensor.detach()
        tensor = tensor if tensor.layout is torch.strided else tensor.to_dense()
        wide = tensor.to(torch.float64) if tensor.is_floating_point() else tensor
        wide = wide.clone() if wide is tensor else wide
        return np.asarray(wide.cpu().numpy())


def _array(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.floating) and value.dtype.kind == "f":
        return np.array(value, np.float64)
    return value


def in_numpy(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of tensors as one of NumPy's arrays, in float64 where nothing else is asked for.

    Of noisy arrays, its own rounding is made visible.
    """

    def tensor(value: Any) -> Any:
        return torch.from_numpy(narrowed(value)) if isinstance(value, np.ndarray | np.generic) else value

    @functools.wraps(function)
    def adapted(*args: Any, **kwargs: Any) -> Any:
        default = torch.get_default_dtype()
        rounding = rounding_of((args, kwargs))
        noise = contextlib.nullcontext() if rounding is None else Noisy(int(rounding.rng.integers(2**31)))
        torch.set_default_dtype(torch.float64)
        try:
            args, kwargs = tree_map(tensor, (args, kwargs))
            with noise:
                result = tree_map(array, function(*args, **kwargs))
        finally:
            torch.set_default_dtype(default)
        return result if rounding is None else rounding.wrap(result)

    return adapted


def array(value: Any) -> Any:
    """A tensor as NumPy's array; other things as they are."""
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value


def given(value: Any) -> Any:
    """A tensor that is an input, in float64 if of floating point; other things as they are."""
    return numpy_of(value) if isinstance(value, torch.Tensor) else value


def make(subject: Any, inputs: Any, reference: Any, *, order: int, mode: str) -> Torch:
    """The rule, ready to be judged."""
    return Torch(subject, inputs, reference, order, mode)
