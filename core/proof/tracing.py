"""The oracle that reads the program: JAX traces forward once, and one vector-Jacobian product judges every line.

The traced program is evaluated equation by equation, and all uses of a named value V whose adjoint backward returns
see an independent copy of it. Then, with c_U the adjoint of U that the user supplied (and 1 for the cost),

    expected dV = d/d(copy of V) of  sum_U <c_U, U(copies)>

is what dV should be *given the later adjoints as supplied*; no other line's fault reaches it. One vector-Jacobian
product gives it for all V at once, and no Jacobian is ever formed.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from handgrad.proof.evaluate import WIDE, UnsupportedError, evaluate
from handgrad.proof.instrument import NoSourceError, instrument
from handgrad.proof.noise import Rounding
from handgrad.proof.problem import Problem, Run, copied, is_array, leaves, replace
from handgrad.proof.rebinding import Namespace, rebind

Array = npt.NDArray[Any]

WIDE_WORK = 4e8
"""Multiplications in matrix products up to which a program is evaluated in long double, for which there is no BLAS."""


class UntraceableError(Exception):
    """The program cannot be traced, and why."""


@dataclass(frozen=True)
class Expected:
    """What an oracle says, by the name of what it is the adjoint to.

    Attributes:
        values: the expected adjoints, in long double.
        errors: how far rounding or truncation may have moved each entry.
    """

    values: dict[str, Array]
    errors: dict[str, Array]


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
                raise UntraceableError(f"{type(error).__name__}: {_reason(error)}") from error
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
        made = {variable: equation for equation in jaxpr.eqns for variable in equation.outvars}
        used = {id(atom) for equation in jaxpr.eqns for atom in equation.invars}
        self.variable: dict[str, Any] = dict(zip(self.traced, jaxpr.invars, strict=True))
        self.lowest = max(
            (float(np.finfo(v.aval.dtype).eps) for v in made if np.dtype(v.aval.dtype).kind == "f" and v.aval.size),
            default=0.0,
        )
        for name, atom in zip(self.names, jaxpr.outvars, strict=True):
            while (
                not hasattr(atom, "val")
                and atom in made
                and made[atom].primitive.name == "copy"
                and id(atom) not in used
            ):
                atom = made[atom].invars[0]  # returned as Z.copy(): the uses are those of Z
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
        cost = self.variable[self.cost]
        computed[self.cost] = read(cost)
        return computed

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


class Traced:
    """The oracle: JAX's derivative rules on the user's program, in long double where that has them all.

    Args:
        problem: the two functions.
        wrt: the leaves whose adjoints backward returns.

    Raises:
        UntraceableError: at the first use, with the reason.
    """

    def __init__(self, problem: Problem, wrt: list[str]) -> None:
        self.problem = problem
        self.wrt = wrt
        self.programs: dict[Any, tuple[Program, Any, Any]] = {}
        self.compiled: dict[int, Any] = {}
        self.wide = True
        self.static: bool | None = None

    @property
    def name(self) -> str:
        """What the report calls this oracle."""
        bits = np.finfo(WIDE).nmant + 1 if self.wide else 53
        return f"JAX's derivative of forward, evaluated with {bits} bits"

    def program(self, run: Run) -> Program:
        """Forward as traced for the shapes and dtypes of a run."""
        return self._compiled(run)[0]

    def _compiled(self, run: Run) -> tuple[Program, Any, Any]:
        import jax

        attempts = (False, True) if self.static is None else (self.static,)
        for static in attempts:
            inputs = dict(leaves(run.inputs))
            fixed = {name for name in inputs if static and name not in self.wrt}
            key = (static, *((name, _key(value, name in fixed)) for name, value in inputs.items()))
            if key in self.programs:
                return self.programs[key]
            try:
                program = Program(self.problem, run, self.wrt, fixed)
                with jax.enable_x64(True), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    arrays = self._arguments(program, run, np.float64)
                    computed = [np.ones(program.variable[n].aval.shape) for n in program.ends]
                    local = jax.make_jaxpr(program.local)(*arrays, computed)
                    total = jax.make_jaxpr(program.total)(arrays[0])
            except UntraceableError:
                if static is attempts[-1]:
                    raise
                continue
            except Exception as error:
                raise UntraceableError(f"{type(error).__name__}: {_reason(error)}") from error
            finally:
                self.problem.run_forward(copied(run.inputs))  # what forward leaves in its surroundings is ours no more
            self.static = static
            if program.work > WIDE_WORK:
                self.wide = False
            self.programs[key] = program, local, total
            return self.programs[key]
        raise UntraceableError("no attempt")

    @staticmethod
    def _arguments(program: Program, run: Run, dtype: Any) -> tuple[list[Any], list[Any]]:
        values = run.values

        def argument(name: str) -> Any:
            array = np.asarray(values[name])
            aval = program.variable[name].aval
            if np.dtype(aval.dtype).kind != "f":
                return array.astype(aval.dtype)
            return array.astype(dtype if aval.dtype == np.float64 else aval.dtype)

        return [argument(name) for name in program.traced], [argument(name) for name in program.cuts]

    def _call(self, closed: Any, arguments: list[Any]) -> list[Any]:
        if self.wide:
            try:
                return evaluate(closed, arguments)
            except UnsupportedError:
                self.wide = False
        import jax
        from jax.extend import core

        with jax.enable_x64(True), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            narrow = [np.asarray(a, np.float64) if a.dtype == WIDE else np.asarray(a) for a in arguments]
            compiled = self.compiled.setdefault(id(closed), jax.jit(core.jaxpr_as_fun(closed)))
            return [np.asarray(result) for result in compiled(*narrow)]

    def local(
        self,
        run: Run,
        cotangents: Mapping[str, Array],
        samples: int = 0,
        rng: np.random.Generator | None = None,
        values: Mapping[str, Array] | None = None,
        only: str | None = None,
    ) -> Expected:
        """What each adjoint should be, given the later ones.

        Args:
            run: inputs and named values; the copies of these are what later uses see.
            cotangents: the adjoints as supplied; that of the cost is 1 where it is not among them.
            samples: how many noisy evaluations to take the error from.
            rng: for the noise.
            values: other values for some of the leaves.
            only: the one adjoint that is asked for; this oracle takes all at once anyway.
        """
        del only
        program, closed, _ = self._compiled(run)
        arrays, copies = self._arguments(program, run, WIDE)
        if values:
            arrays = [values.get(n, a) for n, a in zip(program.traced, arrays, strict=True)]
            copies = [values.get(n, a) for n, a in zip(program.cuts, copies, strict=True)]
        ends = []
        for name in program.ends:
            cotangent = np.asarray(cotangents.get(name, name == program.cost), WIDE)
            ends.append(np.broadcast_to(cotangent, program.variable[name].aval.shape))
        count = len(arrays)
        rounded = slice(count, count + len(copies))
        return self._expected(program, closed, [*arrays, *copies, *ends], samples, rng, rounded)

    def total(self, run: Run, samples: int = 0, rng: np.random.Generator | None = None) -> Expected:
        """The true gradient, in the program as a whole."""
        program, _, closed = self._compiled(run)
        return self._expected(program, closed, self._arguments(program, run, WIDE)[0], samples, rng)

    def computed(self, run: Run) -> dict[str, Array]:
        """What the traced program computes at its cuts and for the cost, from the named values of the run."""
        program, closed, _ = self._compiled(run)
        arrays, copies = self._arguments(program, run, WIDE)
        ends = [np.zeros(program.variable[name].aval.shape, WIDE) for name in program.ends]
        results = self._call(closed, [*arrays, *copies, *ends])[len(program.judged) :]
        return {name: np.asarray(value, WIDE) for name, value in zip(program.ends, results, strict=True)}

    def _expected(
        self,
        program: Program,
        closed: Any,
        arguments: list[Any],
        samples: int,
        rng: np.random.Generator | None,
        rounded: slice = slice(0),
    ) -> Expected:
        count = len(program.judged)
        exact = [np.asarray(value, WIDE) for value in self._call(closed, arguments)[:count]]
        unit = max(2.0**-53, program.lowest if program.lowest > 1e-12 else 0.0)
        errors = [unit * np.abs(value) for value in exact]
        rng = rng or np.random.default_rng(0)
        for _ in range(samples):
            rounding = Rounding(rng, 2.0**-53, own=True)
            nudged = list(arguments)
            nudged[rounded] = [rounding.nudge(argument) for argument in arguments[rounded]]
            moved = self._noisy(closed, nudged, rounding)[:count]
            with np.errstate(invalid="ignore"):
                errors = [
                    np.fmax(error, np.abs(np.asarray(value, WIDE) - right))
                    for error, value, right in zip(errors, moved, exact, strict=True)
                ]
        known = dict(zip(program.judged, exact, strict=True))
        bounds = dict(zip(program.judged, errors, strict=True))
        for name in self.wrt:  # the cost itself, and constants of which nothing depends on an input
            if name not in known and name in program.names:
                shape = program.variable[name].aval.shape
                known[name] = np.full(shape, 1 if name == program.cost else 0, WIDE)
                bounds[name] = np.zeros(shape, WIDE)
        return Expected(known, bounds)

    def _noisy(self, closed: Any, arguments: list[Any], rounding: Rounding) -> list[Any]:
        if self.wide:
            return self._call(closed, [rounding.wrap(argument) for argument in arguments])
        return self._call(closed, [np.asarray(rounding.jitter(argument)) for argument in arguments])


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


def _reason(error: Exception) -> str:
    """The first sentence of what JAX says."""
    return " ".join(str(error).split("The error occurred")[0].split()).split(". ")[0].split("; ")[0][:160].rstrip(".")


def _key(value: Any, fixed: bool) -> Any:
    if not is_array(value):
        return repr(value)
    array = np.asarray(value)
    return (array.shape, array.dtype.kind, array.tobytes() if fixed else "")


def _like(cotangent: Any, value: Any) -> Any:
    import jax.numpy as jnp

    if not jnp.issubdtype(value.dtype, jnp.floating):
        import jax

        return np.zeros(value.shape, jax.dtypes.float0)
    return jnp.asarray(cotangent, value.dtype).reshape(value.shape)


def _work(equation: Any) -> float:
    if equation.primitive.name != "dot_general":
        return 0.0
    (left, _), _ = equation.params["dimension_numbers"]
    shape = equation.invars[0].aval.shape
    return float(
        np.prod([shape[axis] for axis in left], dtype=float) * np.prod(equation.outvars[0].aval.shape, dtype=float)
    )


def _jax_names(jnp: Any) -> dict[str, Any]:
    return {"ascontiguousarray": jnp.asarray, "asfarray": jnp.asarray, "float_": jnp.float64, "longdouble": jnp.float64}
