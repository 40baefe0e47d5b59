"""Faults in what people write: ``python tests/planted.py`` verifies the programs of `written`, then plants faults.

A fault differs from its program in one line of what is named as ``BACKWARD``: in one place of the syntax tree, with a
slip that people make. It runs, its cost is what it was, and it gives wrong gradients, of the same names for several
draws of the inputs; what raises, changes the cost or is right after all is no fault. Lines keep their numbers.
"""

import ast
import atexit
import contextlib
import difflib
import importlib
import importlib.util
import itertools
import random
import shutil
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import numpy as np

FOLDER = Path(__file__).parent / "written"
SEEDS = (0, 1, 2)
WRONG = 1e-6  # of the largest entry
STEP = 2e-4
OPERATORS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.MatMult: "@", ast.Pow: "**"}
TURNED = {"+": "-", "-": "+", "*": "/", "/": "*"}
COMPARED = {
    ast.Lt: ("<", ">"), ast.LtE: ("<=", ">="), ast.Gt: (">", "<"), ast.GtE: (">=", "<="),
    ast.Eq: ("==", "!="), ast.NotEq: ("!=", "=="),
}  # fmt: skip
CONSTANTS = {2: ("1",), 1: ("0",), 0: ("1",), 0.5: ("1",)}
MEANS = {"sum": "mean", "mean": "sum"}
LOW = (ast.BinOp, ast.UnaryOp, ast.Compare, ast.IfExp, ast.BoolOp, ast.Lambda)


@dataclass(frozen=True)
class Program:
    name: str
    source: str = field(repr=False)
    module: ModuleType = field(repr=False)

    @property
    def shape(self) -> int:
        return self.module.SHAPE

    @property
    def written(self) -> list[str]:
        """The lines of the program itself, without what is there for the tests."""
        lines = self.source.splitlines()
        return lines[: next(i for i, line in enumerate(lines) if line.startswith("SHAPE = "))]


@dataclass(frozen=True)
class Candidate:
    line: int
    original: str
    mutated: str
    kind: str
    source: str = field(repr=False)


@dataclass(frozen=True)
class Fault:
    program: str
    line: int
    original: str
    mutated: str
    kind: str
    wrong: tuple[str, ...]
    source: str = field(repr=False)

    def load(self) -> ModuleType:
        """The faulty program as a module, in a file of its own."""
        return load(self.source, self.program)


@cache
def programs() -> tuple[Program, ...]:
    names = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")
    return tuple(
        Program(name, (FOLDER / f"{name}.py").read_text(encoding="utf-8"), importlib.import_module(f"written.{name}"))
        for name in names
    )


@cache
def folder() -> Path:
    made = Path(tempfile.mkdtemp(prefix="planted-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


_numbers = itertools.count()


def load(source: str, name: str) -> ModuleType:
    """A new module of this source, in a file, so that its functions can be read."""
    name = f"planted_{name}_{next(_numbers)}"
    path = folder() / f"{name}.py"
    path.write_text(source, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        exec(compile(source, str(path), "exec"), vars(module))
    except BaseException:
        forget(module)
        raise
    return module


def forget(module: ModuleType) -> None:
    """Removes a module that `load` made, and its file."""
    sys.modules.pop(module.__name__, None)
    Path(module.__file__).unlink(missing_ok=True)


def made(module: ModuleType, seed: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
    rng = np.random.default_rng(seed)
    g = module.inputs(rng)
    return module.subject(rng), g


def called(module: ModuleType, subject: tuple[Any, ...], g: dict[str, Any], seed: int) -> tuple[float, dict[str, Any]]:
    """The cost and the gradients, copied, with the same cotangents whenever the seed is the same."""
    cost, gradients = module.truth(subject, g, np.random.default_rng(seed + 1000))
    return float(cost), {name: np.array(value, dtype=float) for name, value in gradients.items()}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without warnings; and what np.empty makes is no number until it is written to."""
    kept = np.empty, np.empty_like

    def unwritten(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            array = function(*args, **options)
            array.fill(np.nan if array.dtype.kind == "f" else 0)
            return array

        return call

    np.empty, np.empty_like = map(unwritten, kept)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    finally:
        np.empty, np.empty_like = kept


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return set(one) == set(other) and all(np.array_equal(one[name], other[name], equal_nan=True) for name in one)


def answers(module: ModuleType) -> list[tuple[float, dict[str, Any]]] | None:
    """What the program answers for each of the seeds; None if it writes to what it reads or, asked again, differs."""
    given = []
    for seed in SEEDS:
        subject, g = made(module, seed)
        before = {name: np.array(value) for name, value in module.parameters(subject, g).items()}
        cost, gradients = called(module, subject, g, seed)
        again, twice = called(module, subject, g, seed)
        if cost != again or not same(gradients, twice) or not same(before, module.parameters(subject, g)):
            return None
        given.append((cost, gradients))
    return given


def verify(program: Program, seeds: tuple[int, ...] = (0, 1, 2)) -> None:
    """Central differences of the cost agree with what the program says, for each name, or it raises."""
    module = program.module
    for seed in seeds:
        subject, g = made(module, seed)
        cost, gradients = called(module, subject, g, seed)
        again, twice = called(module, subject, g, seed)
        assert cost == again, f"{program.name}: cost {cost}, then {again}"
        live = dict(module.parameters(subject, g))
        scale = max(np.max(np.abs(gradient)) for gradient in gradients.values())
        assert set(live) <= set(gradients), f"{program.name}: {set(live) - set(gradients)}"
        for name, gradient in gradients.items():
            assert np.array_equal(gradient, twice[name]), f"{program.name}: {name} changes when called again"
            numerical = np.zeros(gradient.shape)
            if name in live:
                array = live[name]
                assert array.shape == gradient.shape, f"{program.name}: {name} {array.shape}, {gradient.shape}"
            else:  # a number of Python
                assert isinstance(g[name], float), f"{program.name}: {name}"
                array = np.array(g[name])
            for index in np.ndindex(array.shape):
                kept = array[index]
                costs = []
                for step in STEP, -STEP, STEP / 2, -STEP / 2:
                    array[index] = kept + step
                    given = g if name in live else g | {name: float(array)}
                    costs.append(called(module, subject, given, seed)[0])
                array[index] = kept
                coarse = (costs[0] - costs[1]) / (2 * STEP)
                fine = (costs[2] - costs[3]) / STEP
                numerical[index] = (4 * fine - coarse) / 3
            difference = np.max(np.abs(numerical - gradient), initial=0)
            largest = np.max(np.abs(numerical), initial=1e-4 * scale)  # a bias before a batch norm: its gradient is 0
            assert difference <= 1e-6 * largest, f"{program.name}: {name} differs by {difference / largest:.1e}"


def functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            if isinstance(node, ast.FunctionDef):
                yield prefix + node.name, node
            yield from functions(node, f"{prefix}{node.name}.")


def backward(program: Program) -> list[tuple[str, ast.FunctionDef, int]]:
    """The functions that hold backward lines, each with the first of those."""
    lines = program.source.splitlines()
    known = dict(functions(ast.parse(program.source)))
    found = []
    for entry in program.module.BACKWARD:
        name, _, text = entry.partition(":")
        function = known[name]
        rows = range(function.body[0].lineno, function.end_lineno + 1)
        found.append((name, function, next(row for row in rows if text.strip() in lines[row - 1])))
    return found


def kind_of(value: Any) -> Any:
    """What must agree for one variable to be taken for another."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.ndarray | np.number):
        return None
    return np.asarray(value).dtype.kind, np.shape(value)


def locals_of(program: Program) -> dict[str, dict[str, Any]]:
    """By function, what kind its variables (and the attributes of self, as ``self.x``) are when it returns."""
    module = program.module
    found: dict[str, dict[str, Any]] = {}

    def trace(frame, event, argument):
        if frame.f_code.co_filename != module.__file__:
            return None
        if event == "return":
            values = dict(frame.f_locals)
            held = getattr(values.get("self"), "__dict__", {})
            values |= {f"self.{name}": value for name, value in held.items()}
            kinds = {name: kind_of(value) for name, value in values.items()}
            found.setdefault(frame.f_code.co_qualname, {}).update({k: v for k, v in kinds.items() if v is not None})
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        called(module, *made(module, 0), 0)
    finally:
        sys.settrace(before)
    return found


class Slips:
    """The slips that a function's backward lines allow: of a node of the tree, what may stand in its place."""

    def __init__(self, source: str, function: ast.FunctionDef, kinds: dict[str, Any]) -> None:
        self.lines = source.splitlines()
        self.kinds = kinds
        self.parents = {child: node for node in ast.walk(function) for child in ast.iter_child_nodes(node)}
        keys = [n.slice.value for n in ast.walk(function) if isinstance(n, ast.Subscript) and self.is_text(n.slice)]
        self.keys = list(dict.fromkeys(keys))

    def is_text(self, node: ast.AST) -> bool:
        return isinstance(node, ast.Constant) and isinstance(node.value, str)

    def text(self, node: ast.AST) -> str:
        """The node's source, on one line."""
        return self.lines[node.lineno - 1][node.col_offset : node.end_col_offset]

    def safe(self, node: ast.AST) -> str:
        return f"({self.text(node)})" if isinstance(node, LOW) else self.text(node)

    def alone(self, node: ast.AST, part: ast.AST) -> str:
        """A part of a node in the node's place, in parentheses where it needs them and has none."""
        line = self.lines[node.lineno - 1]
        inside = line[: node.col_offset].endswith("(") and line[node.end_col_offset :].startswith(")")
        operand = isinstance(self.parents[node], ast.expr) and not isinstance(self.parents[node], ast.Call)
        return self.safe(part) if operand and not inside else self.text(part)

    def indexes(self, node: ast.AST) -> bool:
        """Whether the node is part of an index."""
        parent = self.parents.get(node)
        while isinstance(parent, ast.expr):
            if isinstance(parent, ast.Subscript):
                return node is parent.slice
            node, parent = parent, self.parents.get(parent)
        return False

    def written_to(self, node: ast.AST) -> bool:
        """Whether the node is an array into which the statement writes."""
        parent = self.parents.get(node)
        if isinstance(parent, ast.Call) and self.text(parent.func) == "np.add.at":
            return node is parent.args[0]
        return isinstance(parent, ast.Subscript) and parent.value is node and isinstance(parent.ctx, ast.Store)

    def like(self, name: str) -> list[str]:
        """The nearest other names that stand for values of the same kind."""
        kind = self.kinds.get(name)
        attribute = name.startswith("self.")
        others = [n for n, k in self.kinds.items() if k == kind and n != name and n.startswith("self.") == attribute]
        near = sorted(others, key=lambda other: -difflib.SequenceMatcher(None, name, other).ratio())
        return near[:3] if kind is not None else []

    def of(self, node: ast.AST) -> Iterator[tuple[str, str]]:
        """Kinds of slips and what the node's source would be."""
        method = getattr(self, type(node).__name__, None)
        if method is not None:
            yield from method(node)
        if isinstance(node, ast.expr):
            yield from self.transposed(node)

    def between(self, node: ast.AST, left: ast.AST, right: ast.AST, old: str, new: str) -> str:
        """The node with the operator between two of its operands replaced."""
        line = self.lines[node.lineno - 1]
        middle = line[left.end_col_offset : right.col_offset].replace(old, new, 1)
        return line[node.col_offset : left.end_col_offset] + middle + line[right.col_offset : node.end_col_offset]

    def BinOp(self, node: ast.BinOp) -> Iterator[tuple[str, str]]:
        sign = OPERATORS.get(type(node.op))
        if sign in TURNED:
            kind = "+ and -" if sign in "+-" else "* and /"
            yield kind, self.between(node, node.left, node.right, sign, TURNED[sign])
        if sign == "**":
            yield "power dropped", self.alone(node, node.left)
        elif sign is not None:
            kind = "term dropped" if sign in "+-" else "factor dropped"
            yield kind, self.alone(node, node.left)
            if sign != "/":
                yield kind, f"-{self.safe(node.right)}" if sign == "-" else self.alone(node, node.right)
        if sign in ("@", "-"):
            yield "operands exchanged", f"{self.safe(node.right)} {sign} {self.safe(node.left)}"

    def UnaryOp(self, node: ast.UnaryOp) -> Iterator[tuple[str, str]]:
        if isinstance(node.op, ast.USub):
            yield "sign", self.text(node.operand)

    def Assign(self, node: ast.Assign) -> Iterator[tuple[str, str]]:
        target = self.lines[node.lineno - 1][node.col_offset : node.value.col_offset]
        if isinstance(node.value, ast.BinOp | ast.Call | ast.Name) and not target.rstrip("= ").endswith(")"):
            line = self.lines[node.lineno - 1]
            start = line.index("=", node.targets[-1].end_col_offset) + 1
            value = line[start : node.end_col_offset].strip()
            yield "sign", f"{line[node.col_offset : start]} -{f'({value})' if isinstance(node.value, LOW) else value}"
        if isinstance(node.targets[0], ast.Subscript):
            yield "statement dropped", "pass"

    def AugAssign(self, node: ast.AugAssign) -> Iterator[tuple[str, str]]:
        sign = OPERATORS[type(node.op)]
        if sign in "+-":
            yield "accumulation", self.between(node, node.target, node.value, f"{sign}=", "=")
        if sign in TURNED:
            kind = "+ and -" if sign in "+-" else "* and /"
            yield kind, self.between(node, node.target, node.value, f"{sign}=", f"{TURNED[sign]}=")
        yield "statement dropped", "pass"

    def Expr(self, node: ast.Expr) -> Iterator[tuple[str, str]]:
        if isinstance(node.value, ast.Call):
            yield "statement dropped", "pass"
            if self.text(node.value.func) == "np.add.at":
                into, where, what = (self.text(argument) for argument in node.value.args)
                yield "repeated indices", f"{into}[{where}] += {what}"

    def Compare(self, node: ast.Compare) -> Iterator[tuple[str, str]]:
        if len(node.ops) == 1 and type(node.ops[0]) in COMPARED:
            old, new = COMPARED[type(node.ops[0])]
            yield "comparison", self.between(node, node.left, node.comparators[0], old, new)

    def Call(self, node: ast.Call) -> Iterator[tuple[str, str]]:
        function = self.text(node.func)
        rest = self.text(node)[len(function) :]
        name = function.rpartition(".")[2]
        if name in MEANS and function != name:
            yield "sum and mean", f"{function[: -len(name)]}{MEANS[name]}{rest}"
        if name == "reversed":
            yield "order of steps", self.text(node.args[0])
        if name in ("transpose", "swapaxes") and isinstance(node.func, ast.Attribute):
            yield "transposition", self.text(node.func.value)
        if name == "zeros_like":
            yield "start", f"{function.replace('zeros', 'ones')}{rest}"
        if name == "where" and len(node.args) == 3:
            condition, one, other = (self.text(argument) for argument in node.args)
            yield "branches exchanged", f"{function}({condition}, {other}, {one})"
        if name in ("dot", "matmul", "outer") and len(node.args) == 2:
            one, other = (self.text(argument) for argument in node.args)
            yield "operands exchanged", f"{function}({other}, {one})"
        if name == "dot" and len(node.args) == 1 and isinstance(node.func, ast.Attribute):
            yield "operands exchanged", f"{self.safe(node.args[0])}.dot({self.text(node.func.value)})"
        if name in ("sqrt", "exp", "sign", "square", "tanh"):
            yield "function dropped", self.safe(node.args[0])

    def keyword(self, node: ast.keyword) -> Iterator[tuple[str, str]]:
        if node.arg == "keepdims":
            yield "keepdims", "keepdims=False"
        if node.arg == "axis":
            for axis in "0", "1", "2", "-1", "None":
                if self.text(node.value) != axis:
                    yield "axis", f"axis={axis}"

    def Constant(self, node: ast.Constant) -> Iterator[tuple[str, str]]:
        parent = self.parents.get(node)
        if isinstance(parent, ast.keyword | ast.UnaryOp) or isinstance(node.value, bool | None | type(...)):
            return
        if isinstance(node.value, str):
            if isinstance(parent, ast.Subscript) and isinstance(parent.ctx, ast.Load):
                for key in self.keys:
                    if key != node.value:
                        yield "another key", f'"{key}"'
            return
        for value in CONSTANTS.get(node.value, (repr(node.value * 2),)):
            yield "constant", value
        if isinstance(node.value, int) and self.indexes(node):
            yield "index", str(node.value + 1)

    def Subscript(self, node: ast.Subscript) -> Iterator[tuple[str, str]]:
        head = self.lines[node.lineno - 1][node.col_offset : node.value.end_col_offset]
        if isinstance(node.slice, ast.Name) and self.kinds.get(node.slice.id) == ("i", ()):
            yield "index", f"{head}[{node.slice.id} - 1]"
            yield "index", f"{head}[{node.slice.id} + 1]"

    def Slice(self, node: ast.Slice) -> Iterator[tuple[str, str]]:
        lower = self.text(node.lower) if node.lower else ""
        upper = self.text(node.upper) if node.upper else ""
        if node.step is not None:
            if self.text(node.step) == "-1":
                yield "order of steps", ":"
            return
        if lower and not upper:
            yield "slice", f":{lower}"
        if upper and not lower:
            yield "slice", f"{upper}:"
        if lower and upper:
            yield "slice", f"{lower} - 1 : {upper} - 1"
            yield "slice", f"{lower} + 1 : {upper} + 1"

    def Tuple(self, node: ast.Tuple | ast.List) -> Iterator[tuple[str, str]]:
        parent = self.parents.get(node)
        if isinstance(node.ctx, ast.Load) and isinstance(parent, ast.Return | ast.Call) and len(node.elts) > 1:
            elements = [self.text(element) for element in node.elts]
            for i in range(len(elements) - 1):
                swapped = [*elements[:i], elements[i + 1], elements[i], *elements[i + 2 :]]
                inside = ", ".join(swapped)
                opening, closing = self.text(node)[0], self.text(node)[-1]
                yield "order", f"{opening}{inside}{closing}" if opening in "([" and closing in ")]" else inside

    List = Tuple

    def Name(self, node: ast.Name) -> Iterator[tuple[str, str]]:
        if isinstance(node.ctx, ast.Load) and not self.written_to(node):
            for other in self.like(node.id):
                yield "another name", other

    def Attribute(self, node: ast.Attribute) -> Iterator[tuple[str, str]]:
        if node.attr == "T":
            yield "transposition", self.text(node.value)
        if isinstance(node.ctx, ast.Load) and not self.written_to(node):
            for other in self.like(self.text(node)):
                yield "another name", other

    def transposed(self, node: ast.expr) -> Iterator[tuple[str, str]]:
        """A factor of a product, transposed."""
        parent = self.parents.get(node)
        product = isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.MatMult)
        product |= isinstance(parent, ast.Call) and self.text(parent.func).rpartition(".")[2] == "dot"
        if product and isinstance(node, ast.Name | ast.Subscript):
            yield "transposition", f"{self.text(node)}.T"


def candidates(program: Program) -> list[Candidate]:
    """The program with one slip each, whatever that does."""
    lines = program.source.splitlines(keepends=True)
    found: dict[str, Candidate] = {}
    kinds = locals_of(program)
    for name, function, first in backward(program):
        slips = Slips(program.source, function, kinds.get(name, {}))
        for node in ast.walk(function):
            row = getattr(node, "lineno", 0)
            if row < first or node.end_lineno != row or (isinstance(node, ast.Expr) and slips.is_text(node.value)):
                continue
            line = lines[row - 1]
            if line.strip().startswith("assert "):
                continue
            for kind, text in slips.of(node):
                changed = line[: node.col_offset] + text + line[node.end_col_offset :]
                source = "".join([*lines[: row - 1], changed, *lines[row:]])
                if source != program.source and source not in found:
                    found[source] = Candidate(row, line.strip(), changed.strip(), kind, source)
    return sorted(found.values(), key=lambda c: (c.line, c.kind, c.mutated))


def wrongs(right: list[tuple[float, dict[str, Any]]], module: ModuleType) -> tuple[str, ...] | None:
    """The names whose gradients are wrong, the same for each of the seeds; None where that does not make a fault."""
    try:
        with quiet():
            given = answers(module)
    except Exception:
        return None
    if given is None:
        return None
    sets = []
    for (cost, gradients), (other, others) in zip(right, given, strict=True):
        if abs(cost - other) > 1e-12 * max(1, abs(cost)) or set(gradients) != set(others):
            return None
        wrong = []
        noise = 1e-9 * max(np.max(np.abs(gradient)) for gradient in gradients.values())
        for name, gradient in gradients.items():
            value = others[name]
            if not np.all(np.isfinite(value)):
                return None
            if value.shape == gradient.shape:
                limit = WRONG * max(np.max(np.abs(gradient)), np.max(np.abs(value))) + noise
                if np.max(np.abs(value - gradient)) > limit:
                    wrong.append(name)
            elif value.size == gradient.size and np.allclose(value.ravel(), gradient.ravel()):
                return None  # the same numbers in another shape: no matter of taste is a fault
            else:
                wrong.append(name)
        sets.append(tuple(wrong))
    return sets[0] if sets[0] and len(set(sets)) == 1 else None


@cache
def faults(program: Program, most: int | None = 10) -> tuple[Fault, ...]:
    """Up to so many faults of a program, on as many lines and of as many kinds as there are; the same each time."""
    right = answers(program.module)
    waiting = candidates(program)
    random.Random(program.name).shuffle(waiting)
    on, of = Counter(), Counter()
    found = []
    while waiting and (most is None or len(found) < most):
        candidate = min(waiting, key=lambda c: (on[c.line] + of[c.kind], on[c.line]))  # the first of the least
        waiting.remove(candidate)
        try:
            module = load(candidate.source, program.name)
        except Exception:
            continue
        wrong = wrongs(right, module)
        forget(module)
        if wrong is not None:
            c = candidate
            found.append(Fault(program.name, c.line, c.original, c.mutated, c.kind, wrong, c.source))
            on[c.line] += 1
            of[c.kind] += 1
    return tuple(sorted(found, key=lambda f: (f.line, f.kind, f.mutated)))


@click.command()
@click.option("--every", is_flag=True, help="Prints each of the faults.")
@click.argument("names", nargs=-1)
def main(every: bool, names: tuple[str, ...]) -> None:
    """Verifies the programs and prints how many faults each of them takes."""
    chosen = [program for program in programs() if not names or program.name in names]
    count: Callable[[Program], int] = lambda program: len(list(functions(ast.parse("\n".join(program.written)))))  # noqa: E731
    total = Counter()
    click.echo(f"{'program':24} shape  functions  lines  faults")
    for program in chosen:
        verify(program)
        planted = faults(program)
        row = len([line for line in program.written if line.strip()])
        click.echo(f"{program.name:24} {program.shape:5} {count(program):10} {row:6} {len(planted):7}")
        total.update(programs=1, lines=row, faults=len(planted))
        if every:
            for fault in planted:
                click.echo(f"    {fault.line}: {fault.original}  ->  {fault.mutated}  ({fault.kind}: {fault.wrong})")
    click.echo(f"{total['programs']} programs of {total['lines']} lines, {total['faults']} faults; all gradients right")


if __name__ == "__main__":
    main()
