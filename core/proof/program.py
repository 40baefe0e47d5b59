"""Forward as JAX traced it: the equations of the program, and which of its variables the named values are.

All uses of a named value V whose adjoint backward returns see an independent copy of it. Then, with c_U the adjoint of
U that the user supplied (and 1 for the cost),

    expected dV = d/d(copy of V) of  sum_U <c_U, U(copies)>

is what dV should be *given the later adjoints as supplied*; no other line's fault reaches it. One vector-Jacobian
product gives it for all V at once, and no Jacobian is ever formed.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from handgrad.proof.evaluate import WIDE, Array
from handgrad.proof.instrument import NoSourceError, instrument
from handgrad.proof.problem import Problem, Run, is_array, leaves, replace
from handgrad.proof.rebinding import Namespace, rebind


class UntraceableError(Exception):
    """The program cannot be traced, and why."""

    @classmethod
    def of(cls, error: Exception) -> UntraceableError:
        """With the first sentence of what JAX says."""
        said = " ".join(str(error).split("The error occurred")[0].split()).split(". ")[0].split("; ")[0]
        return cls(f"{type(error).__name__}: {said[:160].rstrip('.')}")


class Program:
    """Forward as JAX traced it for one set of shapes and dtypes, cut at the named values.

    Attributes:
        names: the leaves that forward returns, in order.
        cost: the last of them.
        wrt: the leaves whose adjoints are judged.
        traced: the inputs that may vary; the others are part of the program.
    """

    def __init__(self, problem: Problem, run: Run, wrt: list[str], fixed: set[str]) -> None:
        import jax
        import jax.numpy as jnp

        inputs = dict(leaves(run.inputs))
        self.traced = [name for name, value in inputs.items() if is_array(value) and name not in fixed]
        self.wrt = wrt
        self.names: list[str] = []
        forward = rebind(self._told_apart(problem, run), Namespace(jnp, _jax_names(jnp)))

        def call(*arrays: Any) -> list[Any]:
            given = dict(zip(self.traced, arrays, strict=True))
            known = {n: self.argument(v, n) for n, v in inputs.items() if isinstance(v, np.ndarray | np.generic)}
            known |= given
            structured = replace(run.inputs, lambda name, value: known.get(name, value))
            args, kwargs = problem.arguments(problem.forward, "forward", structured)
            named = dict(leaves(forward(*args, **kwargs)))
            self.names[:] = named
            return [jnp.asarray(value) for value in named.values()]

        with jax.enable_x64(True), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                self.closed = jax.make_jaxpr(call)(*(self.argument(inputs[name], name) for name in self.traced))
                self.closed = jax.make_jaxpr(lambda *a: _inlined(self.closed.jaxpr, self.closed.consts, a))(
                    *self.closed.in_avals
                )
            except Exception as error:
                raise UntraceableError.of(error) from error
        self.cost = self.names[-1]
        self._find_cuts()

    @staticmethod
    def _told_apart(problem: Problem, run: Run) -> Any:
        """Forward, rewritten to copy a value that is another one under a second name, so that their uses differ."""
        seen: list[Array] = []
        for _, value in leaves({**run.inputs, **run.named}):
            if isinstance(value, np.ndarray):
                if any(np.may_share_memory(value, other) and value.shape == other.shape for other in seen):
                    try:
                        return instrument(problem.forward, lambda _, value: value.copy())
                    except NoSourceError:
                        return problem.forward
                seen.append(value)
        return problem.forward

    def argument(self, value: Any, name: str) -> Any:
        """An input as the program takes it: float64, or the integers that it is."""
        array = np.asarray(value)
        return array.astype(np.float64) if array.dtype.kind == "f" or name in self.wrt else array

    def _find_cuts(self) -> None:
        """Which variable of the program each name is."""
        jaxpr = self.closed.jaxpr
        made = [variable for equation in jaxpr.eqns for variable in equation.outvars]
        copies = {id(e.outvars[0]): e.invars[0] for e in jaxpr.eqns if e.primitive.name == "copy"}
        used = {id(atom) for equation in jaxpr.eqns for atom in equation.invars}
        self.variable: dict[str, Any] = dict(zip(self.traced, jaxpr.invars, strict=True))
        self.lowest = max(
            (float(np.finfo(v.aval.dtype).eps) for v in made if np.dtype(v.aval.dtype).kind == "f" and v.aval.size),
            default=0.0,
        )
        for name, atom in zip(self.names, jaxpr.outvars, strict=True):
            while id(atom) in copies and id(atom) not in used:
                atom = copies[id(atom)]  # returned as Z.copy(): the uses are those of Z
            self.variable[name] = atom
        self.chains: dict[Any, list[str]] = {}
        for name in self.names:
            if name in self.wrt and name != self.cost and not hasattr(self.variable[name], "val"):
                self.chains.setdefault(self.variable[name], []).append(name)
        self.cuts = [name for chain in self.chains.values() for name in chain]
        self.ends = [*self.cuts, self.cost]
        self.inputs_wrt = [name for name in self.wrt if name in self.traced]
        self.judged = [*self.inputs_wrt, *self.cuts]
        self.work = sum(_work(equation) for equation in jaxpr.eqns)

    def arguments(self, run: Run, dtype: Any) -> tuple[list[Any], list[Any]]:
        """The traced inputs and the copies of a run, with float64 in `dtype`."""
        values = run.values

        def argument(name: str) -> Any:
            array = np.asarray(values[name])
            aval = self.variable[name].aval
            if np.dtype(aval.dtype).kind != "f":
                return array.astype(aval.dtype)
            return array.astype(dtype if aval.dtype == np.float64 else aval.dtype)

        return [argument(name) for name in self.traced], [argument(name) for name in self.cuts]

    def cotangents(self, given: Mapping[str, Array]) -> list[Array]:
        """Those of `ends`: as given; else 1 for the cost, and 0."""
        return [
            np.broadcast_to(np.asarray(given.get(name, name == self.cost), WIDE), self.variable[name].aval.shape)
            for name in self.ends
        ]

    def walk(self, arrays: Mapping[str, Any], at: Any, weigh: Any = None) -> dict[str, Any]:
        """Evaluate the program with JAX; ``at(name, computed)`` is what later uses of a cut value see.

        Args:
            arrays: the traced inputs by name.
            at: as said.
            weigh: ``weigh(number, operands, apply)`` in the place of ``apply(operands)`` for each equation.

        Returns:
            What was computed for each cut, before `at`, and for the cost.
        """
        from jax.extend import core

        jaxpr = self.closed.jaxpr
        values: dict[Any, Any] = dict(zip(jaxpr.constvars, self.closed.consts, strict=True))
        computed: dict[str, Any] = {}

        def store(variable: Any, value: Any) -> None:
            for name in self.chains.get(variable, ()):
                computed[name] = value
                value = at(name, value)
            values[variable] = value

        def read(atom: Any) -> Any:
            return atom.val if isinstance(atom, core.Literal) else values[atom]

        for name, variable in zip(self.traced, jaxpr.invars, strict=True):
            store(variable, arrays[name])
        for index, equation in enumerate(jaxpr.eqns):
            given = [read(atom) for atom in equation.invars]
            apply = partial(_bind, equation)
            results = apply(given) if weigh is None else weigh(index, given, apply)
            results = results if equation.primitive.multiple_results else [results]
            for variable, value in zip(equation.outvars, results, strict=True):
                store(variable, value)
        return computed | {self.cost: read(self.variable[self.cost])}

    def local(self, arrays: list[Any], copies: list[Any], cotangents: list[Any]) -> tuple[list[Any], list[Any]]:
        """For JAX: the expected adjoint of each of `judged` given those of `ends`, and what was computed at `ends`."""
        import jax

        given = dict(zip(self.traced, arrays, strict=True))

        def ends(inputs: list[Any], copied: list[Any]) -> list[Any]:
            at = dict(zip(self.cuts, copied, strict=True))
            computed = self.walk(given | dict(zip(self.inputs_wrt, inputs, strict=True)), lambda name, _: at[name])
            return [computed[name] for name in self.ends]

        computed, pull = jax.vjp(ends, [given[name] for name in self.inputs_wrt], copies)
        inputs, copied = pull([_like(c, value) for c, value in zip(cotangents, computed, strict=True)])
        return [*inputs, *copied], computed

    def total(self, arrays: list[Any]) -> list[Any]:
        """For JAX: the adjoint of each of `judged` in the program as a whole."""
        import jax
        import jax.numpy as jnp

        given = dict(zip(self.traced, arrays, strict=True))

        def cost(inputs: list[Any], moves: list[Any]) -> Any:
            by = dict(zip(self.cuts, moves, strict=True))
            computed = self.walk(given | dict(zip(self.inputs_wrt, inputs, strict=True)), lambda n, v: v + by[n])
            return computed[self.cost].astype(np.float64).sum()

        still = [jnp.zeros(self.variable[name].aval.shape, self.variable[name].aval.dtype) for name in self.cuts]
        inputs, moves = jax.grad(cost, (0, 1))([given[name] for name in self.inputs_wrt], still)
        return [*inputs, *moves]


def _bind(equation: Any, given: list[Any]) -> Any:
    parameters = equation.primitive.get_bind_params(equation.params)
    functions, parameters = parameters if isinstance(parameters, tuple) else ((), parameters)  # a pair before JAX 0.10
    return equation.primitive.bind(*functions, *given, **parameters)


def _inlined(jaxpr: Any, constants: Any, arguments: Any) -> list[Any]:
    """The same program without inner programs that JAX only compiles apart: every equation is seen."""
    values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*constants, *arguments], strict=True))

    def read(atom: Any) -> Any:
        return atom.val if hasattr(atom, "val") else values[atom]

    for equation in jaxpr.eqns:
        given = [read(atom) for atom in equation.invars]
        if equation.primitive.name in ("jit", "pjit"):
            inner = equation.params["jaxpr"]
            results = _inlined(inner.jaxpr, inner.consts, given)
        else:
            results = _bind(equation, given)
            results = results if equation.primitive.multiple_results else [results]
        values.update(zip(equation.outvars, results, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _like(cotangent: Any, value: Any) -> Any:
    import jax
    import jax.numpy as jnp

    if not jnp.issubdtype(value.dtype, jnp.floating):
        return np.zeros(value.shape, jax.dtypes.float0)
    return jnp.asarray(cotangent, value.dtype).reshape(value.shape)


def _work(equation: Any) -> float:
    if equation.primitive.name != "dot_general":
        return 0.0
    (left, _), _ = equation.params["dimension_numbers"]
    summed = [equation.invars[0].aval.shape[axis] for axis in left]
    return float(np.prod([*summed, *equation.outvars[0].aval.shape], dtype=float))


def _jax_names(jnp: Any) -> dict[str, Any]:
    return {"ascontiguousarray": jnp.asarray, "asfarray": jnp.asarray, "float_": jnp.float64, "longdouble": jnp.float64}
