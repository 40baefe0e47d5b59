"""The expected adjoint of one value, taken apart: what each use of it contributes, and each derivative on the way.

The traced program is differentiated once with two numbers for every place where V, or what is computed from it, is
used: `scale`, by which that use counts (0 drops its term, 2 doubles it, -1 turns its sign), and `power`, to which the
derivative of an elementwise operation is raised there (0 forgets it, 2 applies it twice). Each slip is then one
setting of numbers.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from handgrad.proof.evaluate import WIDE, Array
from handgrad.proof.problem import Run
from handgrad.proof.program import Program

Use = tuple[int, int]
"""An equation of the program, and which of its operands."""

STRUCTURAL = {
    "dot_general", "conv_general_dilated", "reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "argmax", "argmin",
    "broadcast_in_dim", "reshape", "transpose", "squeeze", "expand_dims", "rev", "pad", "concatenate", "stack", "split",
    "slice", "dynamic_slice", "dynamic_update_slice", "gather", "scatter", "scatter-add", "sort", "iota", "copy",
    "convert_element_type", "stop_gradient", "cumsum", "cumprod", "cummax", "cumlogsumexp", "scan", "while", "cond",
}  # fmt: skip
ADDITIVE = {"add", "sub", "neg", "add_any"}


class Terms:
    """The uses of V between it and the next named values.

    Args:
        program: what is taken apart.
        call: evaluates a closed jaxpr on arguments.
        run: of the shapes of the program.
        name: V.

    Attributes:
        uses: all of them, in the order of the program.
        first: those of V itself.
        elementwise: those with a derivative of their own, by entry, other than 1 or -1.
    """

    def __init__(self, program: Program, call: Callable[[Any, list[Any]], list[Any]], run: Run, name: str) -> None:
        import jax

        self.program = program
        self.call = call
        self.name = name
        self._find_uses()
        arrays, copies = program.arguments(run, np.float64)
        ends = [np.ones(program.variable[n].aval.shape) for n in program.ends]
        ones = np.ones(len(self.uses))
        with jax.enable_x64(True), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.closed = jax.make_jaxpr(self._adjoint)(arrays, copies, ends, ones, ones)

    def _find_uses(self) -> None:
        program = self.program
        jaxpr = program.closed.jaxpr
        ends = {id(program.variable[name]) for name in program.cuts}
        reached = {id(program.variable[self.name])}
        self.uses: list[Use] = []
        self.first: list[Use] = []
        self.elementwise: list[Use] = []
        self.reads: set[str] = set()
        names = {id(variable): name for name, variable in program.variable.items()}
        for index, equation in enumerate(jaxpr.eqns):
            touched = False
            for position, atom in enumerate(equation.invars):
                if hasattr(atom, "val") or id(atom) not in reached:
                    continue
                touched = True
                if np.dtype(atom.aval.dtype).kind != "f":
                    continue
                self.uses.append((index, position))
                if id(atom) == id(program.variable[self.name]):
                    self.first.append((index, position))
                shapes = {atom.aval.shape, *(variable.aval.shape for variable in equation.outvars)}
                if equation.primitive.name not in STRUCTURAL and len(shapes) == 1 and len(equation.outvars) == 1:
                    self.elementwise.append((index, position))
            if touched:
                self.reads.update(names[id(a)] for a in equation.invars if not hasattr(a, "val") and id(a) in names)
                reached.update(id(v) for v in equation.outvars if id(v) not in ends)
        self.number = {use: i for i, use in enumerate(self.uses)}

    def operation(self, use: Use) -> str:
        """What the program does there, as "exp"."""
        return str(self.program.closed.jaxpr.eqns[use[0]].primitive.name)

    def chains(self) -> Iterator[list[Use]]:
        """Runs of elementwise operations, each fed by the one before: the parts of one activation."""
        jaxpr = self.program.closed.jaxpr
        made = {id(v): i for i, equation in enumerate(jaxpr.eqns) for v in equation.outvars}
        by_source: dict[int, list[Use]] = {}
        for use in self.elementwise:
            source = made.get(id(jaxpr.eqns[use[0]].invars[use[1]]), -1)
            by_source.setdefault(source, []).append(use)
        ends = {id(self.program.variable[name]) for name in self.program.cuts}

        def grow(chain: list[Use]) -> Iterator[list[Use]]:
            if any(self.operation(use) not in {*ADDITIVE, "select_n"} for use in chain):
                yield chain
            last = jaxpr.eqns[chain[-1][0]]
            if len(chain) < 10 and id(last.outvars[0]) not in ends:
                for use in by_source.get(chain[-1][0], []):
                    yield from grow([*chain, use])

        for use in self.elementwise:
            yield from grow([use])

    def _adjoint(self, arrays: list[Any], copies: list[Any], cotangents: list[Any], scale: Any, power: Any) -> Any:
        import jax
        import jax.numpy as jnp

        program = self.program
        given = dict(zip(program.traced, arrays, strict=True))
        at = dict(zip(program.cuts, copies, strict=True))
        own = self.name in at

        def ends(value: Any) -> list[Any]:
            copied = at | ({self.name: value} if own else {})
            inputs = given if own else given | {self.name: value}
            computed = program.walk(inputs, lambda name, _: copied[name], self._weighted(scale, power))
            return [computed[name] for name in program.ends]

        computed, pull = jax.vjp(ends, at[self.name] if own else given[self.name])
        return pull([jnp.asarray(c, v.dtype).reshape(v.shape) for c, v in zip(cotangents, computed, strict=True)])[0]

    def _weighted(self, scale: Any, power: Any) -> Any:
        """How one equation is evaluated, if V reaches it: the value as it is, the derivative as scale and power say."""
        import jax
        import jax.numpy as jnp

        def weigh(index: int, given: list[Any], apply: Any) -> Any:
            places = [(use, self.number[use]) for use in self.uses if use[0] == index]
            if not places:
                return apply(given)
            elementwise = [use for use, _ in places if use in self.elementwise]
            still = [jax.lax.stop_gradient(v) for v in given]
            if len(elementwise) < len(places):
                leaning = list(given)
                for (_, position), i in places:
                    leaning[position] = still[position] + scale[i] * (given[position] - still[position])
                return apply(leaning)
            out = jax.lax.stop_gradient(apply(still))
            for (_, position), i in places:

                def alone(x: Any, position: int = position) -> Any:
                    return apply([x if j == position else v for j, v in enumerate(still)])

                _, slope = jax.jvp(alone, (still[position],), (jnp.ones_like(still[position]),))
                slope = jax.lax.stop_gradient(slope)
                raised = jnp.where(power[i] == 0, 1.0, jnp.where(power[i] == 2, slope * slope, slope))
                out = out + scale[i] * raised * (given[position] - still[position])
            return out

        return weigh

    def adjoint(
        self,
        run: Run,
        cotangents: Mapping[str, Array],
        scale: Mapping[Use, float] | None = None,
        power: Mapping[Use, float] | None = None,
    ) -> Array:
        """The expected adjoint with some uses counted otherwise."""
        arrays, copies = self.program.arguments(run, WIDE)
        ends = self.program.cotangents(cotangents)
        scales = np.array([(scale or {}).get(use, 1.0) for use in self.uses], WIDE)
        powers = np.array([(power or {}).get(use, 1.0) for use in self.uses], WIDE)
        return np.asarray(self.call(self.closed, [*arrays, *copies, *ends, scales, powers])[0], WIDE)
