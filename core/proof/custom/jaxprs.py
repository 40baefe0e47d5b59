"""JAX's programs, one operation after the other: rules taken off, rounded visibly, or in float64 whatever is asked.

A program is what `jax.make_jaxpr` makes of a function. Its evaluation can be traced, so it can be differentiated and
compiled as the function itself.
"""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core as jexcore

from handgrad.proof.custom.protocol import VISIBLE, Edge, InexactError

LOOPS = {"scan", "while", "cond"}
INLINE = {"jit", "pjit", "closed_call", "core_call", "remat2", "checkpoint", "remat", "custom_lin"}
"""Calls of a program within a program."""
CUSTOM = {"custom_vjp_call", "custom_jvp_call", "custom_vjp_call_jaxpr"}
OPAQUE = {
    "pallas_call", "triton_kernel_call", "pure_callback", "io_callback", "ffi_call", "bitcast_convert_type",
    "custom_linear_solve", "linear_solve", "run_state",
}  # fmt: skip
"""What can't be done in another dtype than it was written for."""
MOVES = {
    "abs", "and", "argmax", "argmin", "broadcast_in_dim", "ceil", "clamp", "concatenate", "copy", "copy_p", "cummax",
    "cummin", "dynamic_slice", "dynamic_update_slice", "eq", "expand_dims", "floor", "gather", "ge", "gt", "imag",
    "iota", "is_finite", "le", "lt", "max", "min", "ne", "neg", "not", "optimization_barrier", "or", "pad",
    "random_bits", "random_fold_in", "random_seed", "random_unwrap", "random_wrap", "real", "reduce_and",
    "reduce_max", "reduce_min", "reduce_or", "reduce_window_max", "reshape", "rev", "round", "scatter",
    "select_and_gather_add", "select_n", "sign", "slice", "sort", "split", "squeeze", "stop_gradient", "threefry2x32",
    "top_k", "transpose",
}  # fmt: skip
"""Operations that give numbers on as they are."""
SUMS = {
    "dot_general", "conv_general_dilated", "fft", "reduce_sum", "cumsum", "reduce_window_sum", "scatter-add",
}  # fmt: skip
"""Operations within which much is added: their operands are moved too, where these have 24 bits or more."""
TURNS = 64
"""Loops of more turns are not unrolled."""
LONG, NOISY = 100_000, 1_000
"""Turns after which a loop is ended whose end depends on values: in few bits, or moved by rounding made visible, an
iteration to convergence may never be there."""
WITH_DTYPE = ("new_dtype", "preferred_element_type", "dtype", "out_dtype")


@jax.custom_jvp
def _moving(x: Any) -> Any:
    """0, with the derivative 1; where x is infinite, too."""
    return jnp.zeros_like(x)


@_moving.defjvp
def _(primals: Any, tangents: Any) -> Any:
    return _moving(primals[0]), tangents[0]


@dataclass
class Probe:
    """Looks at the operations of a program; changes one of them in its derivative, and not in its value.

    Attributes:
        where: an operation and the number of its operand, or None.
        straight: the operation's derivative is 1; else nothing flows back through that operand.
        added: zeros to add to the results, whose derivatives are the adjoints; or None.
        scales: by edge two zeros, by whose derivatives all edges can be changed at once: what flows back through it is
            multiplied by 1 + the one, and flows past its operation with the other; or None.
        uses: how often each edge was met.
        edges: all operands.
        results: the values of all operations, with what they are.
    """

    where: tuple[int, int] | None = None
    straight: bool = False
    added: Sequence[Any] | None = None
    scales: Mapping[tuple[int, int], Any] | None = None
    uses: Counter[tuple[int, int]] = field(default_factory=Counter)
    edges: dict[tuple[int, int], Edge] = field(default_factory=dict)
    results: list[tuple[str, Any]] = field(default_factory=list)

    def operation(self, eqn: Any, args: list[Any], bound: Callable[[Any, list[Any]], list[Any]]) -> list[Any]:
        """One operation, done by `bound`."""
        if self.where is not None and self.where[0] == id(eqn):
            i = self.where[1]
            operand, cut = args[i], jax.lax.stop_gradient(args[i])
            results = bound(eqn, [*args[:i], cut, *args[i + 1 :]])
            return [r + _moving(operand) for r in results] if self.straight else results
        past: Any = None
        if self.scales is not None:
            for i in range(len(args)):
                if (id(eqn), i) in self.scales:
                    through, beside = self.scales[id(eqn), i]
                    moved = _moving(args[i])
                    args[i] = args[i] + through * moved
                    past = beside * moved if beside is not None else past
        results = bound(eqn, args)
        if not _real(results[0]):
            return results
        if past is not None:
            results = [results[0] + past, *results[1:]]
        name = eqn.primitive.name
        said = f"{name}{_line(eqn)}"
        for i, arg in enumerate(args):
            if _real(arg) and not isinstance(eqn.invars[i], jexcore.Literal):
                alike = np.shape(arg) == np.shape(results[0]) and name not in ("add", "sub", "neg", "copy", "add_any")
                self.uses[id(eqn), i] += 1
                self.edges[id(eqn), i] = Edge((id(eqn), i), name, said, alike)
        if self.added is not None:
            results = [results[0] + self.added[len(self.results)], *results[1:]]
        self.results.append((said, results[0]))
        return results


@dataclass
class Evaluation:
    """How a program is evaluated.

    Attributes:
        plain: rules of the user's are taken off.
        exact: all real numbers are computed in float64.
        key: of the rounding that is made visible, or None.
        probe: what looks at each operation, and may change its derivative.
        kept: loops that were compiled, of the same programs.
    """

    plain: bool = False
    exact: bool = False
    key: Any = None
    probe: Probe | None = None
    kept: dict[Any, Any] = field(default_factory=dict)

    def run(self, closed: Any, args: Sequence[Any]) -> list[Any]:
        """What a closed program gives."""
        return self._run(closed.jaxpr, closed.consts, args)

    def _run(self, jaxpr: Any, consts: Sequence[Any], args: Sequence[Any]) -> list[Any]:
        values: dict[Any, Any] = {}

        def read(atom: Any) -> Any:
            if not isinstance(atom, jexcore.Literal):
                return self._wide(values[atom])
            value = self._wide(atom.val)
            coarse = self.exact and _real(atom.val) and jnp.result_type(atom.val) != np.float64
            if coarse and self.key is not None and not _short(atom.val):
                return self._moved(value, float(jnp.finfo(jnp.result_type(atom.val)).eps))
            return value

        values.update(zip(jaxpr.constvars, consts, strict=True))
        values.update(zip(jaxpr.invars, args, strict=True))
        for eqn in jaxpr.eqns:
            results = self._equation(eqn, [read(atom) for atom in eqn.invars])
            values.update(zip(eqn.outvars, results, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def _equation(self, eqn: Any, args: list[Any]) -> list[Any]:
        name, params = eqn.primitive.name, eqn.params
        if name in INLINE:
            inner = params.get("jaxpr", params.get("call_jaxpr"))
            return self.run(inner, args) if hasattr(inner, "consts") else self._run(inner, (), args)
        if name in CUSTOM:
            inner = params.get("call_jaxpr", params.get("fun_jaxpr"))
            if not self.plain or not library(inner) or self.probe is not None or self._others(eqn, args):
                return self.run(inner, args)
        if name in LOOPS:
            return self._loop(eqn, args)
        if self.exact and name in OPAQUE:
            raise InexactError(f"{name} is done in one dtype only")
        if self.probe is not None:
            return self.probe.operation(eqn, args, self._bound)
        return self._bound(eqn, args)

    def _bound(self, eqn: Any, args: list[Any]) -> list[Any]:
        name, params = eqn.primitive.name, dict(eqn.params)
        if self.exact:
            if (
                name in ("reduce_precision", "convert_element_type")
                and _real(args[0])
                and _real_dtype(params.get("new_dtype", np.float64))
            ):
                return list(args[:1])
            for key in WITH_DTYPE:
                if key in params and params[key] is not None and _real_dtype(params[key]):
                    params[key] = np.dtype(np.float64)
            if "update_jaxpr" in params and params["update_jaxpr"] is not None:
                params |= _combining(params["update_jaxpr"], params["update_consts"])
            args = [self._wide(a) for a in args]
        if self.key is not None and name in SUMS:
            args = [self._moved(a) if _inexact(a) and jnp.finfo(jnp.result_type(a)).nmant >= 23 else a for a in args]
        results = eqn.primitive.bind(*args, **eqn.primitive.get_bind_params(params))
        results = list(results) if eqn.primitive.multiple_results else [results]
        if self.key is None or name in MOVES or (name == "convert_element_type" and not _narrows(args[0], results[0])):
            return results
        return [self._moved(r) if _inexact(r) else r for r in results]

    def _moved(self, value: Any, unit: float | None = None) -> Any:
        """Each entry off by up to a unit: of its own last place, of float64's where all is exact, or as given."""
        xp: Any = jnp
        if isinstance(self.key, np.random.Generator):
            spread = self.key.random(np.shape(value)) - 0.5
            xp = jnp if isinstance(value, jax.core.Tracer) else np  # JAX would compile each operation, for each shape
        else:
            spread = _spread(self.key, np.shape(value))
            self.key = _next(self.key)
        value = xp.asarray(value)
        if self.exact:  # never next to nothing, since it is all that a tolerance is made of
            spread = spread + xp.sign(spread) / 2
        unit = unit or (VISIBLE if self.exact else float(jnp.finfo(value.dtype).eps))
        wide = value.astype(np.complex128 if _complex(value) else np.float64)
        moved = xp.where(xp.isfinite(wide), wide * (1 + unit * spread), wide)
        return moved.astype(value.dtype) if xp is jnp else put(moved, value.dtype)

    def _wide(self, value: Any) -> Any:
        if not self.exact:
            return value
        if _real(value):
            return value if jnp.result_type(value) == np.float64 else jnp.asarray(value, np.float64)
        return jnp.asarray(value, np.complex128) if _complex(value) else value

    def _loop(self, eqn: Any, args: list[Any]) -> list[Any]:
        """A loop of JAX's, its body evaluated in the same way; compiled, so that JAX draws the rounding."""
        if eqn.primitive.name == "cond" and (index := _known(eqn, args[0])) is not None:
            return self.run(eqn.params["branches"][index], args[1:])
        if self.probe is not None:
            return self._unrolled(eqn, args)
        if any(isinstance(arg, jax.core.Tracer) for arg in args):
            return self._looped(eqn, self._key(), args)
        kept = (id(eqn), self.plain, self.exact, self.key is None)
        if kept not in self.kept:  # or it would be compiled anew each time
            inner = Evaluation(self.plain, self.exact)
            self.kept[kept] = jax.jit(
                lambda key, *args: inner._looped(eqn, key, list(args)), compiler_options=in_a_hurry()
            )
        return list(self.kept[kept](self._key(), *args))

    def _looped(self, eqn: Any, key: Any, args: list[Any]) -> list[Any]:
        name, params = eqn.primitive.name, eqn.params
        if name == "cond":
            index, *operands = args
            branches = [functools.partial(self._again, branch, key) for branch in params["branches"]]
            return list(jax.lax.switch(index, branches, *operands))
        if name == "scan":
            n, c = params["num_consts"], params["num_carry"]
            consts, carry, xs = args[:n], args[n : n + c], args[n + c :]
            body = params["jaxpr"]
            carry = self._like(body.out_avals[:c], carry)

            def step(state: Any, x: Any) -> Any:
                key, inner = state
                out = self._again(body, key, *consts, *inner, *x)
                return (_next(key), self._like(body.out_avals[:c], out[:c])), out[c:]

            (_, carry), ys = jax.lax.scan(
                step, (key, carry), xs, length=params["length"], reverse=params["reverse"], unroll=params["unroll"]
            )
            return [*carry, *ys]
        n, m = params["cond_nconsts"], params["body_nconsts"]
        for_cond, for_body, carry = args[:n], args[n : n + m], self._like(params["body_jaxpr"].out_avals, args[n + m :])
        most = LONG if key is None else NOISY

        def go_on(state: Any) -> Any:
            turn, _, inner = state
            return self._again(params["cond_jaxpr"], None, *for_cond, *inner)[0] & (turn < most)

        def once(state: Any) -> Any:
            turn, key, inner = state
            out = self._again(params["body_jaxpr"], key, *for_body, *inner)
            return turn + 1, _next(key), self._like(params["body_jaxpr"].out_avals, out)

        return list(jax.lax.while_loop(go_on, once, (0, key, carry))[2])

    def _unrolled(self, eqn: Any, args: list[Any]) -> list[Any]:
        """A loop, turn by turn, so that each operation in it is looked at.

        Raises:
            InexactError: it takes too many turns, or as many as depends on what is differentiated.
        """
        name, params = eqn.primitive.name, eqn.params
        if name != "scan" or params["length"] > TURNS:
            raise InexactError(f"{name} is not unrolled")
        n, c = params["num_consts"], params["num_carry"]
        consts, carry, xs = args[:n], args[n : n + c], args[n + c :]
        turns = range(params["length"])
        outs: dict[int, list[Any]] = {}
        for turn in reversed(turns) if params["reverse"] else turns:
            out = self.run(params["jaxpr"], [*consts, *carry, *(x[turn] for x in xs)])
            carry, outs[turn] = out[:c], out[c:]
        return [*carry, *(jnp.stack(parts) for parts in zip(*(outs[t] for t in turns), strict=True))]

    def _key(self) -> Any:
        """Where a loop starts from: a number of 32 bits, since it can't be given a generator."""
        if isinstance(self.key, np.random.Generator):
            return jnp.uint32(self.key.integers(2**32))
        key, self.key = self.key, _next(self.key)
        return key

    def _again(self, closed: Any, key: Any, *args: Any) -> list[Any]:
        return Evaluation(self.plain, self.exact, key).run(closed, args)

    def _like(self, avals: Sequence[Any], values: Sequence[Any]) -> list[Any]:
        """A carry of the types that the body gives."""

        def like(aval: Any, value: Any) -> Any:
            if not hasattr(aval, "dtype") or jnp.issubdtype(aval.dtype, jax.dtypes.extended):
                return value
            return jnp.asarray(value, np.float64 if self.exact and _real_dtype(aval.dtype) else aval.dtype)

        return [like(aval, value) for aval, value in zip(avals, values, strict=True)]

    def _others(self, eqn: Any, args: Sequence[Any]) -> bool:
        """Whether a rule is given other dtypes than it was traced with, which it can't be bound to."""
        return any(
            jnp.result_type(a) != v.aval.dtype
            for a, v in zip(args, eqn.invars, strict=True)
            if hasattr(v.aval, "dtype") and _real(a)
        )


@functools.cache
def in_a_hurry() -> dict[str, Any]:
    """How programs are compiled that run a few times.

    Fused, a value is computed again wherever it is used: a chain of 20 steps takes seconds, and one of 25 hours. What
    the emitters make of a loop takes twice as long to compile; not every XLA can do without them.
    """
    options = {"xla_backend_optimization_level": 0, "xla_disable_hlo_passes": "fusion"}
    without = options | {"xla_cpu_use_fusion_emitters": False}
    try:
        jax.jit(lambda x: x, compiler_options=without)(0.0)
    except jax.errors.JaxRuntimeError:
        return options
    return without


def put(value: Any, dtype: Any) -> Any:
    """A copy of an array of NumPy's, as one of JAX's; `jnp.asarray` would compile a program for each shape."""
    return jax.device_put(np.array(value, dtype))


def _known(eqn: Any, index: Any) -> int | None:
    """Which branch is taken, where that can be told: of a number, or of the platform that the program runs on."""
    platforms = eqn.params.get("branches_platforms")
    if platforms is not None:
        here = jax.default_backend()
        return next(i for i, names in enumerate(platforms) if names is None or here in names)
    if isinstance(index, jax.core.Tracer):
        return None
    return int(np.clip(index, 0, len(eqn.params["branches"]) - 1))


def _next(key: Any) -> Any:
    """The key after this one (Numerical Recipes, 7.1)."""
    return None if key is None else key * np.uint32(1664525) + np.uint32(1013904223)


def _spread(key: Any, shape: tuple[int, ...]) -> Any:
    """Numbers from -0.5 to 0.5, by the finalizer of MurmurHash3: JAX's own take half a second to compile."""
    x = jax.lax.iota(np.uint32, math.prod(shape)) * np.uint32(0x9E3779B9) + key
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        x = (x ^ (x >> np.uint32(shift))) * np.uint32(factor)
    return x.reshape(shape).astype(np.float64) / 2**32 - 0.5


def _combining(jaxpr: Any, consts: Any) -> dict[str, Any]:
    """How a scatter combines two numbers, in float64."""
    two = [jax.ShapeDtypeStruct((), np.float64)] * 2
    closed = jax.make_jaxpr(lambda *a: Evaluation(exact=True).run(jexcore.ClosedJaxpr(jaxpr, consts), a))(*two)
    return {"update_jaxpr": closed.jaxpr, "update_consts": tuple(closed.consts)}


def calls_rule(jaxpr: Any) -> bool:
    """Whether there is a rule in a program, or in one within it."""
    return any(
        eqn.primitive.name in CUSTOM or any(map(calls_rule, jexcore.jaxprs_in_params(eqn.params))) for eqn in jaxpr.eqns
    )


def library(closed: Any) -> bool:
    """Whether a function with a rule of its own is JAX's."""
    info = getattr(getattr(closed, "jaxpr", closed), "debug_info", None)
    source = str(getattr(info, "func_src_info", "") or "")
    return "/jax/_src/" in source or "/jax/nn/" in source or "/jax/scipy/" in source or "/jax/numpy/" in source


def _short(number: Any) -> bool:
    """Whether a number has so many digits fewer than its dtype that it is surely what was written, as 0.5 or 3."""
    mantissa, _ = np.frexp(float(number))
    room = 2.0 ** min(8, int(jnp.finfo(jnp.result_type(number)).nmant) - 3)
    return bool(mantissa * room == np.rint(mantissa * room))


def _real_dtype(dtype: Any) -> bool:
    return bool(jnp.issubdtype(dtype, jnp.floating))


def _real(value: Any) -> bool:
    return _real_dtype(jnp.result_type(value)) if hasattr(value, "dtype") or isinstance(value, float) else False


def _complex(value: Any) -> bool:
    return hasattr(value, "dtype") and bool(jnp.issubdtype(value.dtype, jnp.complexfloating))


def _inexact(value: Any) -> bool:
    return _real(value) or _complex(value)


def _narrows(given: Any, result: Any) -> bool:
    if not (_real(given) and _real(result)):
        return _real(result) and jnp.finfo(jnp.result_type(result)).nmant < 23
    return bool(jnp.finfo(jnp.result_type(result)).eps > jnp.finfo(jnp.result_type(given)).eps)


def _line(eqn: Any) -> str:
    """Where the user's code says so."""
    for frame in frames(eqn):
        return f" in line {frame.start_line}"
    return ""


def frames(eqn: Any) -> Iterator[Any]:
    """The places in the user's code that an operation comes from."""
    from jax._src import source_info_util

    for frame in source_info_util.user_frames(eqn.source_info.traceback):
        if "handgrad" not in frame.file_name:
            yield frame
