"""The oracle that reads the program: JAX traces forward once, and one vector-Jacobian product judges every line."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from handgrad.proof.evaluate import WIDE, Array, UnsupportedError, evaluate
from handgrad.proof.noise import Rounding
from handgrad.proof.oracle import Expected
from handgrad.proof.problem import Problem, Run, copied, is_array, leaves
from handgrad.proof.program import Program, UntraceableError
from handgrad.proof.terms import Terms

WIDE_WORK = 4e8
"""Multiplications in matrix products up to which a program is evaluated in long double, for which there is no BLAS."""


class Traced:
    """The oracle: JAX's derivative rules on the user's program, in long double where that has them all.

    Args:
        problem: the two functions.
        wrt: the leaves whose adjoints backward returns.

    Raises:
        UntraceableError: at the first use, with the reason.
    """

    translates = True
    partial = sees_kinks = False

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
        return f"JAX's derivative of forward, evaluated with {self.bits} bits"

    @property
    def bits(self) -> int:
        """Those of long double, or else of float64."""
        return int(np.finfo(WIDE if self.wide else np.float64).nmant) + 1

    def terms(self, run: Run, name: str) -> Terms:
        """The expected adjoint of V taken apart."""
        return Terms(self._compiled(run)[0], self._call, run, name)

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
                    arrays = program.arguments(run, np.float64)
                    computed = [np.ones(program.variable[n].aval.shape) for n in program.ends]
                    local = jax.make_jaxpr(program.local)(*arrays, computed)
                    total = jax.make_jaxpr(program.total)(arrays[0])
            except UntraceableError:
                if static is attempts[-1]:
                    raise
                continue
            except Exception as error:
                raise UntraceableError.of(error) from error
            finally:
                self.problem.run_forward(copied(run.inputs))  # what forward leaves in its surroundings is ours no more
            self.static = static
            if program.work > WIDE_WORK:
                self.wide = False
            self.programs[key] = program, local, total
            return self.programs[key]
        raise UntraceableError("no attempt")

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
        """What each adjoint should be, given the later ones; all at once, whichever is asked for."""
        del only
        program, closed, _ = self._compiled(run)
        arrays, copies = program.arguments(run, WIDE)
        if values:
            arrays = [values.get(n, a) for n, a in zip(program.traced, arrays, strict=True)]
            copies = [values.get(n, a) for n, a in zip(program.cuts, copies, strict=True)]
        rounded = slice(len(arrays), len(arrays) + len(copies))
        arguments = [*arrays, *copies, *program.cotangents(cotangents)]
        return self._expected(program, closed, arguments, samples, rng, rounded)

    def total(self, run: Run, samples: int = 0, rng: np.random.Generator | None = None) -> Expected:
        """The true gradient, in the program as a whole."""
        program, _, closed = self._compiled(run)
        return self._expected(program, closed, program.arguments(run, WIDE)[0], samples, rng)

    def rounded(
        self, run: Run, cotangents: Mapping[str, Array], name: str, expected: Array, rng: np.random.Generator
    ) -> Array:
        """Nothing more: what rounding does is in the errors."""
        del run, cotangents, name, rng
        return np.zeros(expected.shape, WIDE)

    def computed(self, run: Run) -> dict[str, Array]:
        """What the traced program computes at its cuts and for the cost, from the named values of the run."""
        program, closed, _ = self._compiled(run)
        arrays, copies = program.arguments(run, WIDE)
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


def _key(value: Any, fixed: bool) -> Any:
    if not is_array(value):
        return repr(value)
    array = np.asarray(value)
    return (array.shape, array.dtype.kind, array.tobytes() if fixed else "")
