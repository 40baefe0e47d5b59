"""The smallest input on which a line is still wrong, as a test that stands alone: shape first, then values."""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import linecache
import os
import random
import re
import sys
import textwrap
import time
import types
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from handgrad.errors import MissingExtraError, UsageError, reason_of
from handgrad.proof.context import Context
from handgrad.proof.forms import Adapted
from handgrad.proof.judge import Judged
from handgrad.proof.problem import cast, is_array, leaves, replace
from handgrad.proof.report import Finding
from handgrad.proof.shapes import axes
from handgrad.proof.spelling import Spelling, keywords, loading
from handgrad.proof.structure import is_whole
from handgrad.proof.tape import UntapeableError
from handgrad.proof.wide import Array

SHAPES_TRIED = 80
VALUES_TRIED = 200
SECONDS = 30
"""After which inputs are not made smaller or simpler any further."""
FEW = 200
"""Inputs of more numbers than this are only rounded, not simplified one by one."""


@dataclass(frozen=True)
class Counterexample:
    """An input on which a line is wrong.

    Attributes:
        name: of the line, "dZ".
        inputs: by argument, as `check` takes them.
        hand: what backward returns there.
        expected: what it should be, given the later adjoints as backward computes them there.
        sizes: of what varies together, by its name in the shapes.
        source: a test for pytest that stands alone; it fails until the line is right.
    """

    name: str
    inputs: dict[str, Any]
    hand: Array
    expected: Array
    sizes: dict[str, int]
    source: str

    def __str__(self) -> str:
        return self.source

    def at(self, path: Path) -> str:
        """The source as it is written to `path`: what it loads is found from there, wherever both are moved."""

        def loaded(found: re.Match[str]) -> str:
            relative = Path(os.path.relpath(ast.literal_eval(found[1]), path.resolve().parent)).as_posix()
            return f"loaded(Path(__file__).resolve().parent.joinpath({relative!r}).resolve())"

        return re.sub(r"(?<= = )loaded\((.+)\)$", loaded, self.source, flags=re.MULTILINE)


def counterexample(context: Context, name: str, findings: tuple[Finding, ...]) -> Counterexample:
    """Shrink the inputs on which `name` was seen to be wrong.

    Raises:
        UsageError: the source of a function is not to be had, an object is checked that no file holds, or `shapes` does
            not fit the inputs.
        MissingExtraError: Hypothesis is not installed.
    """
    try:
        import hypothesis
        from hypothesis import strategies
    except ImportError:
        raise MissingExtraError("Hypothesis", "counterexample") from None
    if isinstance(context.problem, Adapted):
        _written(context.problem)  # or all that follows is for nothing
    shrinking = _Shrinking(context, name[1:])
    settings = hypothesis.settings(
        max_examples=SHAPES_TRIED,
        deadline=None,
        database=None,
        derandomize=False,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink],
    )
    sizes = shrinking.sizes
    symbols = list(sizes)
    if symbols:
        with contextlib.suppress(hypothesis.errors.NoSuchExample):
            found = hypothesis.find(
                strategies.tuples(*(strategies.integers(1, sizes[symbol]) for symbol in symbols)),
                lambda sizes: shrinking.fails_at(dict(zip(symbols, sizes, strict=True))),
                settings=settings,
                random=random.Random(0),
            )
            sizes = dict(zip(symbols, found, strict=True))
    small = inputs = shrinking.failing.get(tuple(sizes.values())) or shrinking.given
    if sum(np.size(v) for n, v in leaves(inputs) if is_array(v) and n not in shrinking.kept) <= FEW:
        with contextlib.suppress(hypothesis.errors.NoSuchExample):
            inputs = hypothesis.find(
                shrinking.strategy(inputs, strategies),
                lambda candidate: shrinking.wrong(candidate) is not None,
                settings=hypothesis.settings(settings, max_examples=VALUES_TRIED),
                random=random.Random(0),
            )
    judged = shrinking.wrong(inputs) or shrinking.seen
    if isinstance(context.problem, Adapted):
        tried = [inputs, small, shrinking.given]
        inputs, source = _checked(context, context.problem, name, tried, findings)
        judged = shrinking.wrong(inputs) or shrinking.seen
        inputs = _given(context.problem, inputs)
    else:
        source = _test(context, name, inputs, judged, findings)
        _stands_alone(source)
    return Counterexample(
        name=name,
        inputs=inputs,
        hand=judged.hand.astype(float),
        expected=judged.local.astype(float),
        sizes=sizes,
        source=source,
    )


class _Shrinking:
    """The inputs at hand, how their sizes vary, and whether others are wrong too."""

    def __init__(self, context: Context, name: str) -> None:
        self.context = context
        self.name = name
        seen = next(s for s in context.samples if s.judged[name].wrong)
        self.given = cast(seen.run.inputs, np.float64, set(context.wrt))
        self.kept: set[str] = set()
        """The leaves that nobody passes: what an object holds, and cotangents."""
        held: set[str] = set()
        if isinstance(context.problem, Adapted):
            own = _given(context.problem, self.given)
            self.kept = {leaf for leaf, _ in leaves({n: v for n, v in self.given.items() if n not in own})}
            held = {leaf for leaf, _ in leaves({n: self.given[n] for n in context.problem.held})}
        fixed = {str(size) for leaf in held for size in np.shape(dict(leaves(self.given))[leaf])}
        self.axes = {
            leaf: [symbol[1:] if symbol[1:] in fixed and symbol[:1] == "s" else symbol for symbol in symbols]
            for leaf, symbols in axes(context.shapes, self.given).items()
        }
        self.until = time.perf_counter() + SECONDS
        self.sizes: dict[str, int] = {}
        for leaf, value in leaves(self.given):
            for symbol, size in zip(self.axes.get(leaf, ()), np.shape(value), strict=leaf in self.axes):
                if not symbol.isdigit() and self.sizes.setdefault(symbol, size) != size:
                    raise UsageError(f"shapes: {symbol} is {self.sizes[symbol]} and {size} (in {leaf})")
        self.seen = line = seen.judged[name]
        with np.errstate(all="ignore"):
            share = 1 if line.misshapen else np.nanmax(np.abs(line.hand - line.local) / np.abs(line.local), initial=0)
        self.least = min(1e-6, 0.1 * float(share))
        self.failing: dict[tuple[int, ...], dict[str, Any] | None] = {}
        self.judged: dict[tuple[Any, ...], Judged | None] = {}  # Hypothesis asks twice, and the noise differs
        self.rng = np.random.default_rng(0)

    def fails_at(self, sizes: Mapping[str, int]) -> bool:
        """Whether the line is wrong for some values of arrays of these sizes."""
        key = tuple(sizes.values())
        if key not in self.failing:
            candidates = (self.drawn(sizes, attempt) for attempt in range(3))
            self.failing[key] = next((c for c in candidates if self.wrong(c) is not None), None)
        return self.failing[key] is not None

    def drawn(self, sizes: Mapping[str, int], attempt: int) -> dict[str, Any]:
        """The given inputs cut to these sizes; at later attempts, their numbers shuffled first."""

        def cut(name: str, value: Any) -> Any:
            if not isinstance(value, np.ndarray) or not value.ndim:
                return value
            mixed = self.rng.permutation(value.ravel()).reshape(value.shape) if attempt else value
            ends = [int(s) if s.isdigit() else sizes[s] for s in self.axes[name]]
            return mixed[tuple(slice(end) for end in ends)].copy()

        return replace(self.given, cut)

    def wrong(self, candidate: Mapping[str, Any]) -> Judged | None:
        """The line as judged on these inputs if it is wrong there, else None."""
        key = tuple(value.tobytes() if isinstance(value, np.ndarray) else value for _, value in leaves(candidate))
        if key not in self.judged:
            self.judged[key] = self._wrong(candidate) if time.perf_counter() < self.until else None
        return self.judged[key]

    def _wrong(self, candidate: Mapping[str, Any]) -> Judged | None:
        try:
            run = self.context.problem.run(cast(candidate, self.context.widest, set(self.context.wrt)))
            line = self.context.judge.judge(run)[self.name]
        except (UsageError, UntapeableError, ValueError, KeyError, IndexError, TypeError):  # no inputs of this code
            return None
        if not line.wrong or not np.all(np.isfinite(line.local)) or line.misshapen != self.seen.misshapen:
            return None
        if not line.misshapen:
            gap = np.abs(line.hand - line.local)[line.off.astype(bool)]
            scale = np.fmax(np.abs(line.hand), np.abs(line.local))[line.off.astype(bool)]
            if np.all(np.isfinite(gap)) and not np.any(gap > self.least * scale):
                return None
        return line

    def strategy(self, inputs: Mapping[str, Any], strategies: Any) -> Any:
        """Inputs of the same shapes and domain with simple numbers: whole, half, and tenths for probabilities."""

        def numbers(name: str, value: Any) -> Any:
            if not is_array(value) or not isinstance(value, np.ndarray) or name in self.kept:
                return strategies.just(value)
            original = np.asarray(dict(leaves(self.given))[name])
            if value.dtype.kind in "iub" or is_whole(original):
                pool = np.unique(original).tolist()
                one = strategies.sampled_from(sorted(pool, key=abs))
            elif np.all((original > 0) & (original < 1)) and original.size > 2:
                one = strategies.integers(1, 9).map(lambda k: k / 10)
            elif np.all(original > 0) and original.size > 2:
                one = strategies.integers(1, 12).map(lambda k: k / 2)
            else:
                one = strategies.integers(-6, 6).map(lambda k: k / 2)
            count = int(np.prod(value.shape, dtype=int))
            return strategies.lists(one, min_size=count, max_size=count).map(
                lambda found, shape=value.shape, dtype=value.dtype: np.array(found, dtype).reshape(shape)
            )

        parts = {name: numbers(name, value) for name, value in leaves(inputs)}
        return strategies.fixed_dictionaries(parts).map(lambda found: replace(inputs, lambda name, _: found[name]))


def _given(problem: Adapted, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the inputs that the user passed."""
    return {name: inputs[name] for name in problem.given}


def _written(problem: Adapted) -> tuple[str, Spelling]:
    """The call of `check` up to its inputs, and what it needs; the subject is put before the inputs.

    Raises:
        UsageError: the subject cannot be written down.
    """
    things, options = problem.asked
    spelling = Spelling()
    subject = ", ".join(spelling.of(thing) for thing in things)
    return f"check({subject}, inputs{keywords(options, spelling)}", spelling


def _checked(
    context: Context, problem: Adapted, name: str, tried: list[dict[str, Any]], findings: tuple[Finding, ...]
) -> tuple[dict[str, Any], str]:
    """The first of the inputs on which a test by `check` fails as it should, and the test."""
    call, spelling = _written(problem)
    seed = f", seed={context.seed}" if context.seed else ""
    inline = [source.strip("\n") for source in _sources(spelling.inline)] if spelling.inline else []
    head = inline[0].splitlines() if inline else ["import numpy as np", "from numpy import inf, nan"]
    imports = [line for line in head if line.startswith(("import ", "from "))]
    constants = "\n".join(line for line in head if line not in imports).strip()
    if spelling.files:
        imports += ["import importlib.util", "import sys", "from pathlib import Path"]
    imports = sorted({*imports, "from handgrad import check"}, key=lambda line: (line.startswith("from"), line))
    said = next((f.diagnosis for f in findings if f.name == name), "")
    comment = textwrap.indent(textwrap.fill(f"{name}: {said}", 110), "    # ") + "\n" if said else ""
    reason: UsageError | None = None
    for trials in (", trials=0", ""):
        for inputs in tried:
            values = _given(problem, inputs)
            lines = ",\n        ".join(f"{key!r}: {_literal(value)}" for key, value in values.items())
            test = (
                f"def test_{re.sub(r'[^0-9a-zA-Z]+', '_', name).strip('_')}_is_right():\n"
                f"{comment}"
                f"    inputs = {{\n        {lines},\n    }}\n"
                f"    report = {call}{seed}{trials})\n"
                f"    verdicts = {{finding.name: finding.verdict for finding in report.findings}}\n"
                f'    assert verdicts[{name!r}] != "wrong", f"\\n{{report}}"\n'
            )
            before = "\n".join(imports) + (f"\n\n{constants}" if constants else "") + loading(spelling)
            source = "\n\n\n".join([before, *inline[1:], test])
            try:
                _stands_alone(source)
            except UsageError as error:
                reason = error
                continue
            return inputs, source
    assert reason is not None
    raise reason


def _passed(function: Callable[..., Any], where: str, known: Mapping[str, Any]) -> str:
    """The arguments of a call, each taken from the dictionary `where` by its name."""
    parameters = inspect.signature(function).parameters
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return f"**{where}"
    return ", ".join(f"{key}={where}[{key!r}]" for key in parameters if key in known)


def _test(context: Context, name: str, inputs: Mapping[str, Any], judged: Judged, findings: tuple[Finding, ...]) -> str:
    forward, backward = context.problem.forward, context.problem.backward
    said = next((f.diagnosis for f in findings if f.name == name), "")
    sources = _sources([forward, backward])
    given = _passed(forward, "inputs", inputs)
    passed = _passed(backward, "values", {**inputs, **context.given.named})
    title = re.sub(r"\W+", "_", name).strip("_")
    match = re.fullmatch(r"d(\w+)(.*)", name)
    assert match is not None
    base, part = match.groups()
    expected = judged.local.astype(float)
    shape = f"    assert np.shape(adjoint) == {judged.local.shape}\n" if judged.misshapen else ""
    lines = ",\n        ".join(f"{key}={_literal(value)}" for key, value in inputs.items())
    comment = textwrap.indent(textwrap.fill(f"{name}: {said}", 110), "    # ") if said else ""
    body = "\n\n\n".join(source.strip("\n") for source in sources)
    return (
        f"{body}\n\n\n"
        f"def test_{title}_is_right():\n"
        f"{comment}\n"
        f"    inputs = dict(\n        {lines},\n    )\n"
        f"    values = {{**inputs, **{_called(forward)}({given})}}\n"
        f"    adjoint = {_called(backward)}({passed})[{'d' + base!r}]{part}\n"
        f"{shape}"
        f"    expected = {_literal(expected)}\n"
        f"    np.testing.assert_allclose(adjoint, expected, {_tolerances(judged)})\n"
    )


def _stands_alone(source: str) -> None:
    """Raise a UsageError unless the test runs, and fails as it should: by its assertion."""
    scope: dict[str, Any] = {"__name__": "counterexample"}
    path = list(sys.path)
    said = io.StringIO()
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings(), contextlib.redirect_stdout(said):
            warnings.simplefilter("ignore")
            linecache.cache["counterexample"] = len(source), None, source.splitlines(keepends=True), "counterexample"
            exec(compile(source, "counterexample", "exec"), scope)
            next(value for key, value in scope.items() if key.startswith("test_"))()
    except AssertionError:
        return
    except Exception as error:
        reason = f"{type(error).__name__}: {reason_of(error)}"
    else:
        reason = "it passes"
    finally:
        sys.path[:] = path
        linecache.cache.pop("counterexample", None)
    raise UsageError(
        f"no counterexample: as a test of its own the code does not run as it does here ({reason}); expected functions "
        "with def, at the top of a module, which need no class, decorator or enclosing function"
    )


def _tolerances(judged: Judged) -> str:
    """Far above rounding in float64 and far below the fault."""
    share = 1.0
    if not judged.misshapen:
        with np.errstate(all="ignore"):
            gap = np.abs(judged.hand - judged.local) / np.abs(judged.local)
        share = float(np.max(np.where(np.isfinite(gap), gap, 1), initial=0))
    largest = float(np.max(np.abs(judged.local), initial=0))
    return f"rtol={min(1e-7, max(1e-13, share / 10)):.0e}, atol={max(1e-14 * largest, 1e-300):.0e}"


def _called(function: Callable[..., Any]) -> str:
    return str(function.__name__)


def _literal(value: Any) -> str:
    if isinstance(value, np.ndarray):
        kind = "" if value.dtype == np.float64 else f", dtype={value.dtype.name!r}"
        return f"np.array({value.tolist()!r}{kind})"
    if isinstance(value, np.generic):
        return repr(value.item())
    if isinstance(value, tuple | list):
        inner = ", ".join(map(_literal, value))
        return f"[{inner}]" if isinstance(value, list) else f"({inner},)" if value else "()"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {_literal(item)}" for key, item in value.items()) + "}"
    return repr(value)


def _sources(functions: list[Callable[..., Any]]) -> list[str]:
    """The functions, and all that they refer to: imports, constants, functions of the same kind."""
    imports: dict[str, None] = {"import numpy as np": None, "from numpy import inf, nan": None}
    constants: list[str] = []
    made: list[str] = []
    seen: set[int] = set()

    def visit(function: Any) -> None:
        if isinstance(function, types.MethodType):
            function = function.__func__
        if id(function) in seen:
            return
        seen.add(id(function))
        try:
            source = textwrap.dedent(inspect.getsource(function))
        except (OSError, TypeError) as error:
            raise UsageError(f"the source of {getattr(function, '__name__', function)} is not to be had") from error
        scope = dict(function.__globals__) | {
            name: cell.cell_contents
            for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        }
        for name in dict.fromkeys(_referred(function.__code__)):
            if name in scope:
                refer(name, scope[name])
        made.append(source)

    def refer(name: str, value: Any) -> None:
        if isinstance(value, types.ModuleType):
            imports.setdefault(f"import {value.__name__}" + (f" as {name}" if name != value.__name__ else ""))
        elif isinstance(value, types.FunctionType) and not value.__module__.startswith(("numpy", "scipy")):
            visit(value)
        elif isinstance(value, np.ufunc) or callable(value):
            module = getattr(value, "__module__", None) or "numpy"
            called = getattr(value, "__name__", name)
            if isinstance(value, np.ufunc):
                module = "numpy" if getattr(np, called, None) is value else "scipy.special"
            module = "scipy.special" if module.startswith("scipy.special") else module
            imports.setdefault(f"from {module} import {called}" + (f" as {name}" if called != name else ""))
        else:
            line = f"{name} = {_literal(value)}"
            if line not in constants:
                constants.append(line)

    for function in functions:
        visit(function)
    ordered = sorted(imports, key=lambda line: (line.startswith("from"), line))
    head = "\n".join(ordered) + ("\n\n" + "\n".join(constants) if constants else "")
    return [head, *made]


def _referred(code: types.CodeType) -> list[str]:
    names = [*code.co_names, *code.co_freevars]
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names += _referred(constant)
    return names
