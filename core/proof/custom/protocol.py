"""What the judge of rules asks of a framework, and the precisions that it asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from handgrad.proof.wide import Array

PRECISIONS = ("float64", "float32", "bfloat16", "float16")
"""From the finest to the coarsest by exponent and digits; a rule is tried in those in which it runs."""
DIGITS = {"float64": 53, "float32": 24, "bfloat16": 8, "float16": 11}
"""The bits of a significand, the hidden one included."""
LARGEST = {"float64": 2.0**1023, "float32": 2.0**127, "bfloat16": 2.0**127, "float16": 65504.0}
SMALLEST = {"float64": 5e-324, "float32": 2.0**-149, "bfloat16": 2.0**-133, "float16": 2.0**-24}
"""The distance of numbers next to 0."""

VISIBLE = 2.0**-50
"""The rounding that is shown of programs in float64: more than they have, since both sides of a comparison have it."""

SAME = 2.0**-5
"""Of the largest entry: what another order of adding may change in a rule that works in few bits."""
ROUNDED = 16
"""Times the visible rounding by which two runs may differ: where most of a gradient cancels, that is all there is."""
MANY = 1_000_000
"""Of inputs of more numbers only what costs one or two runs is tried besides the numbers."""


def unit(precision: str) -> float:
    """Half the distance from 1 to the next number: 2^-53, 2^-24, 2^-8, 2^-11."""
    return float(2.0 ** -DIGITS[precision])


def rounded(array: Array, precision: str) -> Array:
    """Numbers of float64 rounded to those of fewer bits (ties to even), and to its range."""
    if precision == "float64":
        return array
    with np.errstate(all="ignore"):
        near = np.clip(array, -LARGEST[precision], LARGEST[precision]).astype(
            np.float16 if precision == "float16" else np.float32
        )
    if precision == "bfloat16":  # the upper half of a float32
        bits = near.view(np.uint32)
        near = ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)
    return np.asarray(near.astype(np.float64))


@dataclass(frozen=True)
class How:
    """How a program is run.

    Attributes:
        precision: the dtype of the inputs, as the program sees it.
        plain: the reference, or the rule taken off; else the rule as it is.
        exact: every number is computed in float64, whatever its dtype is said to be.
        noise: the seed of the rounding that is made visible, or None: every result is off by a random unit, of the last
            place of its own dtype, or of float64 where `exact`.
    """

    precision: str
    plain: bool = False
    exact: bool = False
    noise: int | None = None


@dataclass(frozen=True)
class Pulled:
    """What a program gave: all in float64.

    Attributes:
        outputs: of forward, those of floating point.
        gradients: by the name of an input; None where nothing was given back.
    """

    outputs: list[Array]
    gradients: dict[str, Array | None]


@dataclass(frozen=True)
class Trouble:
    """What is wrong with a rule besides its numbers, or with its numbers under some condition.

    Attributes:
        said: a sentence.
        kind: a word for programs.
        names: the inputs whose gradients it spoils; none where it is the rule as a whole.
        harmless: a reader should know it, but no number is wrong by it.
    """

    said: str
    kind: str
    names: tuple[str, ...] = ()
    harmless: bool = False


class InexactError(Exception):
    """A program that cannot be run in exact arithmetic: a kernel, a library, other arrays."""


@dataclass(frozen=True)
class Edge:
    """One use of a value in the plain program: the operand of an operation, through which part of a gradient flows.

    In a loop the same operand of the same operation is one edge, however often it is done.

    Attributes:
        where: which, for `Framework.varied`.
        operation: its name.
        said: the operation and the line that it stands on.
        elementwise: whether the operation has a derivative of its own, entry by entry.
    """

    where: Any
    operation: str
    said: str
    elementwise: bool = False


@dataclass(frozen=True)
class Flow:
    """A value of the plain program, and what flows back to it.

    Attributes:
        said: the operation that it is the result of, and the line; or the name of an input.
        value: in float64.
        adjoint: the derivative of the sum of cotangents times outputs by it; None where nothing flows.
    """

    said: str
    value: Array
    adjoint: Array | None


class Framework(Protocol):
    """PyTorch or JAX.

    Attributes:
        who: what the subject is, for messages.
        asked: what is judged, as "the gradients of".
        oracle: what the expected gradients come from.
        undifferentiated: why forward could not be differentiated, so that its gradients are zeros; else empty.
        compiles: whether other integers among the inputs make it another program.
        parameters: the arguments of the subject, in order.
        structure: the inputs by argument, NumPy arrays in float64 at the leaves that can be differentiated.
        wrt: the leaves whose gradients are judged.
        lowest: the precision of the inputs as they were given.
    """

    who: str
    asked: str
    oracle: str
    undifferentiated: str
    compiles: bool
    parameters: Mapping[str, Any]
    structure: dict[str, Any]
    wrt: list[str]
    lowest: str

    def pull(self, inputs: Mapping[str, Any], cotangents: Sequence[Array] | None, how: How) -> Pulled:
        """Outputs, and gradients where there are cotangents.

        Raises:
            InexactError: it cannot be run exactly.
            UsageError: the code raised.
        """

    def calls_rule(self) -> bool:
        """Whether there is a rule in it; so it is said where it doesn't run."""

    def repair(self) -> bool:
        """Keep gradients of a wrong count or shape from the framework, which raises; whether that can be done."""

    def edges(self, inputs: Mapping[str, Any]) -> list[Edge]:
        """The uses of values in the plain program; none where it cannot be looked into."""

    def varied(
        self, inputs: Mapping[str, Any], cotangents: Sequence[Array], edge: Edge, straight: bool
    ) -> dict[str, Array | None]:
        """The plain program's gradients with an edge cut; or with its operation's derivative 1, if `straight`."""

    def flows(self, inputs: Mapping[str, Any], cotangents: Sequence[Array]) -> list[Flow]:
        """The values of the plain program with their adjoints; none where it cannot be looked into."""


def rounding(rule: Framework, inputs: Mapping[str, Any], cotangents: Sequence[Array], how: How) -> dict[str, float]:
    """How far rounding may take the gradients of a rule that is run so: `ROUNDED` times what it does made visible."""
    here = rule.pull(inputs, cotangents, how).gradients
    found = dict.fromkeys(here, 0.0)
    for noise in range(4):
        there = rule.pull(inputs, cotangents, replace(how, noise=noise)).gradients
        for name, gradient in here.items():
            other = there.get(name)
            if gradient is not None and other is not None and gradient.shape == other.shape:
                with np.errstate(all="ignore"):
                    gap = np.abs(gradient - other)
                far = ROUNDED * float(np.max(gap, initial=0, where=np.isfinite(gap)))
                found[name] = max(found[name], far)
    return found
