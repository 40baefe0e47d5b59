"""JAX's rules, as `handgrad.proof.custom.protocol` asks for them."""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import contextlib
import functools
import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from handgrad.errors import UsageError
from handgrad.proof.custom.calling import CodeError, directions, named, narrowed, passed, quietly
from handgrad.proof.custom.jaxprs import Evaluation, Probe, calls_rule, in_a_hurry, put
from handgrad.proof.custom.protocol import PRECISIONS, Edge, Flow, How, InexactError, Pulled
from handgrad.proof.noise import rounding_of
from handgrad.proof.problem import leaves, replace
from handgrad.proof.wide import Array

DTYPES = {name: jnp.dtype(name) for name in PRECISIONS}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
AT_ONCE = 32
"""Edges of a program that are moved in one call; all of some hundreds would take gigabytes."""
LOOKED_AT = How("float64", plain=True, exact=True)
"""How the plain program goes when its operations are looked at."""


class Jax:
    """A rule of JAX's and its plain program.

    Args:
        subject: a ``custom_vjp``, a ``custom_jvp``, or any function that contains one, under ``jit`` or not.
        inputs: by argument, or in order: arrays of NumPy or JAX, or lists and dictionaries of them; other things are
            passed on as they are.
        reference: the same function written plainly; by default the function inside the rule.
        order: 2 for the gradient as a function of inputs and cotangents, whose own gradient is judged.
        mode: "jvp" for what flows forward: the change of all outputs along one direction of one input.

    Raises:
        UsageError: inputs that the subject doesn't take, or none of floating point.
    """

    compiles = True
    undifferentiated = ""

    def __init__(self, subject: Any, inputs: Any, reference: Any = None, order: int = 1, mode: str = "vjp") -> None:
        self.subject, self.reference = subject, reference
        self.parameters: Mapping[str, Any] = _parameters(subject)
        self.who = str(getattr(subject, "__qualname__", getattr(subject, "__name__", type(subject).__name__))).split(
            "<locals>."
        )[-1]
        self.oracle = (
            "the reference, differentiated by JAX in float64"
            if reference is not None
            else "the rule taken off: the function inside, differentiated by JAX in float64"
        )
        given = named(inputs, self.parameters, self.who)
        floats = [
            NAMES[v.dtype] for _, v in leaves(given) if isinstance(v, jax.Array | np.ndarray) and v.dtype in NAMES
        ]
        self.lowest = max(floats, key=PRECISIONS.index, default="float64")
        self.structure: dict[str, Any] = replace(
            given, lambda _, v: _numpy(v) if isinstance(v, jax.Array | np.ndarray | np.floating) else v
        )
        self.wrt = [n for n, v in leaves(self.structure) if isinstance(v, np.ndarray) and v.dtype.kind == "f"]
        if not self.wrt:  # then numbers of Python's are not settings
            self.structure = replace(self.structure, lambda _, v: np.asarray(v) if type(v) is float else v)
            self.wrt = [n for n, v in leaves(self.structure) if isinstance(v, np.ndarray) and v.dtype.kind == "f"]
        if not self.wrt:
            raise UsageError(
                "inputs holds no array of floating point, so there is no gradient; give np.array(..., float)"
            )
        self._programs: dict[Any, Any] = {}
        self._compiled: dict[int, Any] = {}
        self._moving: dict[Any, Any] = {}
        self._loops: dict[Any, Any] = {}
        self.mode, self.order = mode, 1
        self.first = len(self.wrt)
        """How many of the inputs the first gradient is taken by."""
        self.asked = "the gradients of" if mode == "vjp" else "the tangents along"
        if order == 2:
            rng = np.random.default_rng(0)
            outputs = self.pull(self.structure, None, How("float32")).outputs
            more = {f"cotangent{i or ''}": rng.standard_normal(o.shape) for i, o in enumerate(outputs)}
            self.base, self.order = dict(self.structure), 2
            self.structure |= more
            self.wrt = [*self.wrt, *more]
            self.asked = "the second gradients, of"

    base: Mapping[str, Any] = {}

    def pull(self, inputs: Mapping[str, Any], cotangents: Sequence[Array] | None, how: How) -> Pulled:
        """Outputs, and gradients where there are cotangents."""
        with self.settings(how):
            arrays = self.arrays(inputs, how)
            key = None if how.noise is None else np.random.default_rng(how.noise)
            if cotangents is None:
                outputs = self._evaluated(self._program(inputs, None, how), arrays, how, key)
                return Pulled([_numpy(o) for o in outputs], dict.fromkeys(self.wrt))
            dtype = np.dtype(np.float64) if how.exact else DTYPES[how.precision]
            along = [put(c, dtype) for c in self._along(inputs, cotangents)]
            results = self._evaluated(self._program(inputs, along, how), [*arrays, *along], how, key)
            n = len(cotangents)
            if self.mode == "jvp":
                parts = [results[n * (i + 1) : n * (i + 2)] for i in range(len(self.wrt))]
                found = {
                    name: np.concatenate([np.ravel(_numpy(p)) for p in part])
                    for name, part in zip(self.wrt, parts, strict=True)
                }
            else:
                found = {name: _numpy(r) for name, r in zip(self.wrt, results[n:], strict=True)}
            return Pulled([_numpy(o) for o in results[:n]], {**found})

    def calls_rule(self) -> bool:
        """Whether there is a function with a rule of its own in it, or it doesn't run."""
        how = How(self.lowest)
        with self.settings(how):
            try:
                return calls_rule(self._program(self.structure, None, how).jaxpr)
            except UsageError:
                return True

    def _along(self, inputs: Mapping[str, Any], cotangents: Sequence[Array]) -> Sequence[Array]:
        """What flows in: cotangents, or directions of the inputs."""
        if self.mode == "vjp":
            return cotangents
        rng = directions(cotangents)
        values = dict(leaves(inputs))
        return [rng.standard_normal(np.shape(values[n])) for n in self.wrt]

    def call(self, plain: bool, structure: Mapping[str, Any], arrays: Sequence[Any]) -> list[Any]:
        """The outputs of the subject or the reference, with these arrays at the leaves that can be differentiated."""
        rest = iter(arrays)
        given = replace(
            structure,
            lambda n, v: (
                next(rest)
                if n in self.wrt
                else jnp.asarray(v)
                if isinstance(v, np.ndarray) and v.dtype.kind in "iub"
                else v
            ),
        )
        subject = self.reference if plain and self.reference is not None else self.subject
        wanted = self.parameters if subject is self.subject else _parameters(subject)
        args, kwargs = (
            passed(wanted, given)
            if set(given) <= set(wanted) or subject is self.subject
            else (list(given.values()), {})
        )
        role = "forward" if not plain else "the reference"
        result = quietly(role, lambda: subject(*args, **kwargs))
        found = [v for v in jax.tree.leaves(result) if jnp.issubdtype(jnp.result_type(v), jnp.floating)]
        if not found:
            raise UsageError(f"{self.who} gives no array of floating point, so there is nothing to differentiate")
        return found

    def repair(self) -> bool:
        """JAX looks at gradients before it gives them on, and says what is wrong."""
        return False

    def edges(self, inputs: Mapping[str, Any]) -> list[Edge]:
        """The operands of the plain program's operations."""
        if self.order == 2 or self.mode == "jvp":
            return []
        with self.settings(LOOKED_AT):
            probe = Probe()
            Evaluation(plain=True, exact=True, probe=probe).run(
                self._program(inputs, None, LOOKED_AT), self.arrays(inputs, LOOKED_AT)
            )
            return list(probe.edges.values())

    def varied(
        self, inputs: Mapping[str, Any], cotangents: Sequence[Array], edge: Edge, straight: bool
    ) -> dict[str, Array | None]:
        """The plain program's gradients with an edge cut, or its operation's derivative 1."""
        with self.settings(LOOKED_AT):
            program, arrays = self._program(inputs, None, LOOKED_AT), self.arrays(inputs, LOOKED_AT)
            along = [put(c, np.float64) for c in cotangents]
            key = (id(program), *(np.asarray(a).tobytes() for a in (*arrays, *along)))
            if key not in self._moving:
                self._moving[key] = self._moved(program, arrays, along)
            base, by_edge = self._moving[key]
            if edge.where in by_edge:  # a gradient is linear in each edge that it goes through once
                through, beside = by_edge[edge.where]
                found = [g - t + (b if straight else 0) for g, t, b in zip(base, through, beside, strict=True)]
                return dict(zip(self.wrt, found, strict=True))

            def forward(*arrays: Any) -> Any:
                return Evaluation(plain=True, exact=True, probe=Probe(edge.where, straight)).run(program, arrays)

            _, back = jax.vjp(forward, *arrays)
            return {n: _numpy(g) for n, g in zip(self.wrt, back(along), strict=True)}

    def _moved(self, program: Any, arrays: Sequence[Any], along: Sequence[Any]) -> tuple[list[Array], dict[Any, Any]]:
        """The gradients, and how they change with what flows through each edge, and beside it: all at once."""
        probe = Probe()
        Evaluation(plain=True, exact=True, probe=probe).run(program, arrays)
        edges = [where for where, times in probe.uses.items() if times == 1]

        def gradients(scales: Any) -> Any:
            by_edge = {
                where: (through, beside if probe.edges[where].elementwise else None)
                for where, through, beside in zip(edges, *scales, strict=True)
            }

            def forward(*arrays: Any) -> Any:
                return Evaluation(plain=True, exact=True, probe=Probe(scales=by_edge)).run(program, arrays)

            return jax.vjp(forward, *arrays)[1](list(along))

        # one program, compiled in a hurry: operation by operation, each would be compiled by itself
        none = jnp.zeros((2, len(edges)), np.float64)
        changed = jax.jit(
            jax.vmap(lambda along: jax.jvp(gradients, (none,), (along,))[1]), compiler_options=in_a_hurry()
        )
        every = np.eye(2 * len(edges)).reshape(-1, 2, len(edges))
        every = np.concatenate([every, np.zeros((-len(every) % AT_ONCE, *every.shape[1:]))])
        parts = [changed(every[i : i + AT_ONCE]) for i in range(0, len(every), AT_ONCE)]
        moved = [np.concatenate([np.asarray(p[k]) for p in parts]) for k in range(len(arrays))]
        n = len(edges)
        by_edge = {where: ([c[i] for c in moved], [c[n + i] for c in moved]) for i, where in enumerate(edges)}
        return [_numpy(g) for g in jax.jit(gradients, compiler_options=in_a_hurry())(none)], by_edge

    def flows(self, inputs: Mapping[str, Any], cotangents: Sequence[Array]) -> list[Flow]:
        """The values of the plain program with their adjoints."""
        if self.order == 2 or self.mode == "jvp":
            return []
        with self.settings(LOOKED_AT):
            program, arrays = self._program(inputs, None, LOOKED_AT), self.arrays(inputs, LOOKED_AT)
            probe = Probe()
            Evaluation(plain=True, exact=True, probe=probe).run(program, arrays)

            def forward(arrays: Any, added: Any) -> Any:
                return Evaluation(plain=True, exact=True, probe=Probe(added=added)).run(program, arrays)

            _, back = jax.vjp(forward, arrays, [jnp.zeros_like(value) for _, value in probe.results])
            by_input, by_result = back([put(c, np.float64) for c in cotangents])
            found = [Flow(n, _numpy(v), _numpy(g)) for n, v, g in zip(self.wrt, arrays, by_input, strict=True)]
            return found + [Flow(s, _numpy(v), _numpy(g)) for (s, v), g in zip(probe.results, by_result, strict=True)]

    def arrays(self, inputs: Mapping[str, Any], how: How) -> list[Any]:
        """The leaves that can be differentiated, in the precision asked for."""
        dtype = np.dtype(np.float64) if how.exact else DTYPES[how.precision]
        values = dict(leaves(inputs))
        return [put(values[name], dtype) for name in self.wrt]

    def _forward(self, inputs: Mapping[str, Any], how: How) -> Any:
        """The program of forward, as it goes for a precision; at order 2, that of the gradient."""
        values = dict(leaves(inputs))
        shapes = [jax.ShapeDtypeStruct(np.shape(values[n]), DTYPES[how.precision]) for n in self.wrt]
        if self.order == 1:
            return quietly("forward", lambda: jax.make_jaxpr(lambda *a: self.call(how.plain, inputs, a))(*shapes))
        n = self.first
        given = {k: v for k, v in inputs.items() if k in self.base}

        def forward(*arrays: Any) -> Any:
            return self.call(how.plain, given, arrays)

        program = jax.make_jaxpr(forward)(*shapes[:n]) if how.plain else None

        def gradient(*arrays: Any) -> Any:
            call = forward if program is None else lambda *a: Evaluation(plain=True).run(program, a)
            outputs, pull = jax.vjp(call, *arrays[:n])
            return list(pull([c.astype(o.dtype) for c, o in zip(arrays[n:], outputs, strict=True)]))

        return quietly("backward", lambda: jax.make_jaxpr(gradient)(*shapes))

    def _program(self, inputs: Mapping[str, Any], along: Sequence[Any] | None, how: How) -> Any:
        """Forward, or forward and its derivative, as one program; traced once for the same shapes."""
        fixed = tuple(
            (n, v.tobytes() if isinstance(v, np.ndarray) else repr(v)) for n, v in leaves(inputs) if n not in self.wrt
        )
        shapes = tuple(np.shape(v) for n, v in leaves(inputs) if n in self.wrt)
        key = (how.precision, how.plain, how.exact, along is None, fixed, shapes)
        if key not in self._programs:
            forward = self._forward(inputs, how) if how.plain or along is None or self.order == 2 else None
            self._programs[key] = forward if along is None else self._derived(forward, inputs, along, how)
        return self._programs[key]

    def _derived(self, forward: Any, inputs: Mapping[str, Any], along: Sequence[Any], how: How) -> Any:
        """Forward and what flows back, or forth, as one program: outputs first."""

        def call(*arrays: Any) -> Any:
            if how.plain:
                return Evaluation(plain=True, exact=how.exact).run(forward, arrays)
            if forward is not None:
                return jax.extend.core.jaxpr_as_fun(forward)(*arrays)
            return self.call(False, inputs, arrays)

        def both(*given: Any) -> Any:
            arrays, flows = given[: len(self.wrt)], given[len(self.wrt) :]
            if self.mode == "vjp":
                outputs, pull = jax.vjp(call, *arrays)
                return [*outputs, *pull([c.astype(o.dtype) for c, o in zip(flows, outputs, strict=True)])]
            outputs, tangents = call(*arrays), []
            for i in range(len(arrays)):
                some = [f if i == j else jnp.zeros_like(a) for j, (a, f) in enumerate(zip(arrays, flows, strict=True))]
                tangents += jax.jvp(call, arrays, tuple(some))[1]
            return [*outputs, *tangents]

        dtype = np.dtype(np.float64) if how.exact and how.plain else DTYPES[how.precision]
        values = dict(leaves(inputs))
        structs = [jax.ShapeDtypeStruct(np.shape(values[n]), dtype) for n in self.wrt]
        structs += [jax.ShapeDtypeStruct(np.shape(c), dtype) for c in along]
        role = "the reference's derivative" if how.plain else "backward" if self.mode == "vjp" else "forward mode"
        try:
            return quietly(role, lambda: jax.make_jaxpr(both)(*structs))
        except CodeError as error:
            if not how.plain or self.reference is not None or self.order == 2 or self.mode == "jvp":
                raise
            try:
                self._evaluated(forward, self.arrays(inputs, LOOKED_AT), LOOKED_AT, None)
            except InexactError:  # a kernel: by differences, entry by entry, it would take minutes
                raise error from None
            self.undifferentiated = str(error)
            return jax.make_jaxpr(lambda *g: [*call(*g[: len(self.wrt)]), *map(jnp.zeros_like, g[: len(self.wrt)])])(
                *structs
            )

    def _evaluated(self, program: Any, arrays: Sequence[Any], how: How, key: Any) -> list[Any]:
        """What a program gives; the rule as it is runs compiled, as people run it."""
        if how.exact or how.plain or key is not None:
            evaluation = Evaluation(plain=how.plain, exact=how.exact, key=key, kept=self._loops)
            return quietly("the rule", lambda: evaluation.run(program, arrays))
        if id(program) not in self._compiled:
            run = Evaluation().run  # as it is, but for loops that never end
            self._compiled[id(program)] = jax.jit(lambda *given: run(program, given))
        return list(quietly("the rule", lambda: self._compiled[id(program)](*arrays)))

    @contextlib.contextmanager
    def settings(self, how: How) -> Iterator[None]:
        """With all digits, without a word."""
        precision = jax.default_matmul_precision("highest") if how.plain or how.exact else contextlib.nullcontext()
        with warnings.catch_warnings(), jax.enable_x64(True), precision:
            warnings.simplefilter("ignore")
            try:
                yield
            except InexactError:
                raise
            except (CodeError, TypeError, ValueError, NotImplementedError, AttributeError) as error:
                if how.exact:
                    raise InexactError(str(error)) from error
                raise


def in_numpy(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of JAX's arrays as one of NumPy's, in float64 where nothing else is asked for.

    Of noisy arrays, its own rounding is made visible, where JAX can trace it.
    """

    def of_jax(value: Any) -> Any:
        return jnp.asarray(narrowed(value)) if isinstance(value, np.ndarray | np.generic) else value

    @functools.wraps(function)
    def adapted(*args: Any, **kwargs: Any) -> Any:
        rounding = rounding_of((args, kwargs))
        with jax.enable_x64(True):
            args, kwargs = jax.tree_util.tree_map(of_jax, (args, kwargs))
            if rounding is None:
                return jax.tree_util.tree_map(array, function(*args, **kwargs))
            return rounding.wrap(jax.tree_util.tree_map(array, _rounded(function, args, kwargs, rounding.rng)))

    return adapted


def _rounded(function: Callable[..., Any], args: Any, kwargs: Any, rng: np.random.Generator) -> Any:
    """What a function gives where each operation's result is off by a random unit."""
    values, tree = jax.tree_util.tree_flatten((args, kwargs))
    places = [i for i, value in enumerate(values) if isinstance(value, jax.Array)]

    def program(*arrays: Any) -> Any:
        given = list(values)
        for place, value in zip(places, arrays, strict=True):
            given[place] = value
        args, kwargs = jax.tree_util.tree_unflatten(tree, given)
        return function(*args, **kwargs)

    arrays = [values[place] for place in places]
    try:
        closed, shapes = jax.make_jaxpr(program, return_shape=True)(*arrays)
    except (TypeError, ValueError, jax.errors.JAXTypeError):  # it depends on what the numbers are
        return function(*args, **kwargs)
    return jax.tree_util.tree_unflatten(jax.tree_util.tree_structure(shapes), Evaluation(key=rng).run(closed, arrays))


def array(value: Any) -> Any:
    """An array of JAX's as NumPy's; other things as they are."""
    return np.asarray(value) if isinstance(value, jax.Array) else value


def given(value: Any) -> Any:
    """An array of JAX's that is an input, in float64 if of floating point; other things as they are."""
    return _numpy(value) if isinstance(value, jax.Array) else value


def make(subject: Any, inputs: Any, reference: Any, *, order: int, mode: str) -> Jax:
    """The rule, ready to be judged."""
    return Jax(subject, inputs, reference, order, mode)


def _parameters(subject: Any) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(subject).parameters)
    except (TypeError, ValueError):
        return {}


def _numpy(value: Any) -> Any:
    """In float64, if of floating point; what has no gradient, as that of an integer, as zeros."""
    if getattr(value, "dtype", None) == jax.dtypes.float0:
        return np.zeros(np.shape(value))
    return np.asarray(value, np.float64) if jnp.issubdtype(value.dtype, jnp.floating) else np.asarray(value)
