"""The vote of those who only run forward: extrapolated differences along one random direction."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace as replace_field
from typing import Any

import numpy as np

from handgrad.errors import UsageError
from handgrad.proof.custom.protocol import Framework, How, InexactError
from handgrad.proof.inputs import LARGE
from handgrad.proof.judge import SLACK
from handgrad.proof.numerical import Numerical
from handgrad.proof.problem import Run, leaves, replace
from handgrad.proof.wide import WIDE, Array

COST = "the sum of cotangents times outputs"
NOISY = 2
"""Times that differences are taken of a forward whose rounding is made visible, where they disagree."""


class Forward:
    """The forward of a rule, as `Numerical` runs it: its cost is the sum of cotangents times outputs.

    Args:
        rule: whose forward it is.
        cotangents: of its outputs.
        how: it is run.
        seeds: of the rounding that is made visible, another for each run; none by default.
    """

    forward_may_be_cut = False
    forward = None

    def __init__(
        self, rule: Framework, cotangents: Sequence[Array], how: How, seeds: Iterator[int] | None = None
    ) -> None:
        self.rule, self.cotangents, self.how, self.seeds = rule, cotangents, how, seeds

    def run_forward(self, inputs: Mapping[str, Any], forward: Any = None) -> dict[str, Any]:
        """The terms of the cost, of which `Numerical` takes the sum."""
        del forward
        if any(np.iscomplexobj(v) for _, v in leaves(inputs)):
            raise UsageError("complex numbers")
        how = self.how if self.seeds is None else replace_field(self.how, noise=next(self.seeds))
        outputs = self.rule.pull(inputs, None, how).outputs
        return {COST: _parts(outputs, self.cotangents)}


class Differences:
    """What differences of the rule's own forward say.

    Args:
        rule: whose forward is run, in exact arithmetic or in the finest precision in which it runs.
        precision: the finest in which it runs.
        exact: whether it runs in exact arithmetic.
    """

    def __init__(self, rule: Framework, precision: str, exact: bool) -> None:
        self.rule = rule
        self.how = How(precision, exact=exact)
        self.dtype = np.float64 if exact or precision == "float64" else np.float32

    @property
    def name(self) -> str:
        """For the report."""
        return f"extrapolated differences with {53 if self.dtype is np.float64 else 24} bits"

    def agrees(
        self, inputs: Mapping[str, Any], cotangents: Sequence[Array], gradients: Mapping[str, Array | None]
    ) -> bool | None:
        """Whether the slope along a random direction of all inputs is that of these gradients; None: can't be told."""
        rng = np.random.default_rng(0)
        names = list(self.rule.wrt)
        shapes = {n: np.shape(v) for n, v in leaves(inputs)}
        gradients = {n: np.zeros(shapes[n]) if (g := gradients.get(n)) is None else g for n in names}
        numerical, run = self._numerical(inputs, cotangents, gradients, names)
        directions, slope, scale = {}, 0.0, 0.0
        for name in names:
            value, gradient = np.asarray(run.values[name], float), np.asarray(gradients[name], float)
            usual = float(np.sqrt(np.mean(np.square(value)))) if value.size else 1.0
            size = np.where(np.abs(value) > usual / 16, np.abs(value), usual or 1.0)
            directions[name] = (rng.choice([-1, 1], value.shape) * size).astype(self.dtype)
            parts = gradient * directions[name]
            slope, scale = slope + float(parts.sum()), scale + float(np.abs(parts).sum())
        if not np.isfinite(slope) or not directions:
            return None
        if slope != 0 and sum(d.size for d in directions.values()) > LARGE:
            near = self._once(inputs, cotangents, directions)
            if near is not None and abs(near - slope) <= 1e-4 * abs(slope):
                return True
        try:
            found, error = numerical.slopes(run, directions)["differences"]
            allowed = 64 * float(error) + 1e-9 * scale * (1 if self.dtype is np.float64 else 1e6)
            if abs(float(found) - slope) > allowed:  # is it rounding within forward, which extrapolation can't see?
                for seeds in self._seeds():
                    noisy, _ = self._numerical(inputs, cotangents, gradients, names, seeds)
                    again = noisy.slopes(run, directions)["differences"][0]
                    error = max(float(error), abs(float(again) - float(found)))
        except (UsageError, InexactError, KeyError):
            return None
        if not np.isfinite(found) or not error <= 1e-3 * max(abs(float(found)), abs(slope), 1e-3 * scale):
            return None
        return bool(abs(float(found) - slope) <= max(allowed, SLACK * float(error)))

    def _seeds(self) -> list[Iterator[int]]:
        return [itertools.count(1000 * (i + 1)) for i in range(NOISY)]

    def _once(
        self, inputs: Mapping[str, Any], cotangents: Sequence[Array], directions: Mapping[str, Array]
    ) -> float | None:
        """The slope by one step to either side: enough where millions of numbers agree on it."""
        step = 2.0**-17 if self.dtype is np.float64 else 2.0**-9
        total = 0.0
        for sign in (1, -1):

            def move(name: str, value: Any, sign: int = sign) -> Any:
                return value + sign * step * directions[name] if name in directions else value

            try:
                outputs = self.rule.pull(replace(inputs, move), None, self.how).outputs
            except (UsageError, InexactError):
                return None
            total += sign * float(sum(np.vdot(o, c) for o, c in zip(outputs, cotangents, strict=True)))
        return total / (2 * step)

    def gradients(
        self, inputs: Mapping[str, Any], cotangents: Sequence[Array], hands: Mapping[str, Array | None]
    ) -> tuple[dict[str, Array | None], dict[str, Array]]:
        """The gradients by differences, by entry or by halving, and their errors."""
        shapes = {n: np.shape(v) for n, v in leaves(inputs)}
        given = {n: h for n, h in hands.items() if h is not None and h.shape == shapes[n]}
        given |= {n: np.zeros(shapes[n]) for n in self.rule.wrt if n not in given}
        numerical, run = self._numerical(inputs, cotangents, given, list(given))
        expected = numerical.total(run)
        values = {n: np.asarray(v, float) for n, v in expected.values.items()}
        errors = {n: np.asarray(v, float) for n, v in expected.errors.items()}
        for seeds in self._seeds():
            again = self._numerical(inputs, cotangents, given, list(given), seeds)[0].total(run).values
            for n, value in values.items():
                with np.errstate(all="ignore"):
                    errors[n] = np.fmax(errors[n], np.abs(np.asarray(again[n], float) - value))
        return {**values}, errors

    def _numerical(
        self,
        inputs: Mapping[str, Any],
        cotangents: Sequence[Array],
        gradients: Mapping[str, Array | None],
        names: list[str],
        seeds: Iterator[int] | None = None,
    ) -> tuple[Numerical, Run]:
        forward: Any = Forward(self.rule, cotangents, self.how, seeds)
        numerical = Numerical(forward, names, self.dtype)

        def change(_: str, value: Any) -> Any:
            return value.astype(self.dtype) if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value

        cost = _parts(list(cotangents), cotangents)
        return numerical, Run(replace(inputs, change), {COST: cost}, {f"d{n}": g for n, g in gradients.items()})


def _parts(outputs: Sequence[Array], cotangents: Sequence[Array]) -> Array:
    parts = [(o.astype(WIDE) * c).ravel() for o, c in zip(outputs, cotangents, strict=True)]
    return np.concatenate(parts) if parts else np.zeros(0, WIDE)
