"""Would the tests notice? ``python tests/mutants.py core/store.py`` changes one thing at a time and runs them.

Each mutant differs from the file in one place of its syntax tree: an operator, a comparison, a number, a condition, a
statement left out. It lives in a copy of the package, on which the tests that concern the file are run; a mutant that
none of them notices has survived and is printed.
"""

import ast
import copy
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import click
from tqdm import tqdm

ROOT = Path(__file__).parents[1]
PLACES = {"core": "", "backends": "backends", "benchmarks": "benchmarks"}
NUMPY, OTHERS = ["-k", "numpy"], ["-k", "not torch and not jax and not numba"]
HEART = [
    ["test_contract.py", *NUMPY],
    ["test_neuron.py"],
    ["test_examples.py"],
    ["test_span.py", *OTHERS],
    ["test_blocks.py", "-k", "not torch and not jax"],
    ["test_sklearn.py", "-k", "weight and numpy and not check_estimator"],
    ["test_views.py", "-k", "numpy and not memory"],
    ["test_optimizers.py", "-k", "numpy or names or patience or takes or another"],
    ["test_training.py", "-k", "(numpy and stopped) or (numpy and lies)"],
]
TESTS = {
    **{f"core/{name}.py": HEART for name in ("neuron", "examples", "placing", "objective", "views", "affine")},
    "core/host.py": [["test_blocks.py", "-k", "not torch and not jax"]],
    "core/data/merge.py": [["test_data_merge.py", "-k", "not torch and not jax and not numba and not any_number"]],
    "backends/numpy.py": [["test_contract.py", *NUMPY], ["test_gradients.py"]],
    "core/store.py": [
        ["test_training.py", "-k", "disk or share or begin or lock"],
        ["test_run.py", "-k", "permissions or written or synced"],
        ["test_cli.py", "-k", "figures_are"],
        ["test_data_prepare.py", "-k", "exist or fail or made or filled or ctrl"],
    ],
}
SWAPS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.Add: ast.Sub, ast.Sub: ast.Add,
    ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult, ast.FloorDiv: ast.Div, ast.MatMult: ast.Mult,
    ast.And: ast.Or, ast.Or: ast.And, ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr,
}  # fmt: skip


def changes(node: ast.AST) -> Iterator[ast.AST]:
    """What may stand in a node's place."""
    for name in "op", "ops":
        operators = getattr(node, name, None)
        for i, operator in enumerate(operators if isinstance(operators, list) else [operators]):
            if type(operator) in SWAPS:
                changed = copy.deepcopy(node)
                swapped = SWAPS[type(operator)]()
                if name == "ops":
                    changed.ops[i] = swapped
                else:
                    changed.op = swapped
                yield changed
    match node:
        case ast.UnaryOp(ast.Not() | ast.USub(), operand):
            yield operand
        case ast.Constant(bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(int() | float() as value):
            yield ast.Constant(value + 1)
        case ast.If() | ast.IfExp() | ast.While():
            changed = copy.deepcopy(node)
            changed.test = ast.UnaryOp(ast.Not(), changed.test)
            yield changed
        case ast.Return(value) if value is not None:
            yield ast.Return(ast.Constant(None))
        case ast.Assign() | ast.AugAssign() | ast.Raise():
            yield ast.Pass()
        case ast.Expr(ast.Call()):
            yield ast.Pass()


def mutants(source: str) -> Iterator[tuple[int, str, str]]:
    """Line, what stands there instead, and the whole source, of each mutant; types and texts stay as they are."""
    tree = ast.parse(source)

    def places(node: ast.AST) -> Iterator[tuple[ast.AST, Callable[[ast.AST], None]]]:
        """Each node below this one, with what puts another in its place."""
        for field, value in ast.iter_fields(node):
            if field in ("annotation", "returns", "decorator_list", "bases", "type_params"):
                continue
            if isinstance(value, ast.AST):
                yield value, partial(setattr, node, field)
                yield from places(value)
            elif isinstance(value, list):
                for i, item in enumerate(value):
                    if isinstance(item, ast.AST):
                        yield item, partial(value.__setitem__, i)
                        yield from places(item)

    for node, put in list(places(tree)):
        for changed in changes(node):
            put(changed)
            said = ast.unparse(ast.fix_missing_locations(changed)).splitlines()[0]
            yield getattr(node, "lineno", 0), said, ast.unparse(ast.fix_missing_locations(tree))
        put(node)


def survives(package: Path, file: str, source: str) -> bool:
    """Whether no test notices; in a copy of the package of its own."""
    with tempfile.TemporaryDirectory() as folder:
        copied = Path(folder) / "handgrad"
        shutil.copytree(package, copied)
        room, _, name = file.partition("/")
        (copied / PLACES[room] / name).write_text(source)
        environment = os.environ | {"PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
        for words in TESTS[file]:
            command = [
                sys.executable,
                "-m",
                "pytest",
                "-x",
                "-q",
                "-o",
                "pythonpath=.",
                "-p",
                "no:cacheprovider",
                *words,
            ]
            try:
                done = subprocess.run(
                    command, cwd=ROOT / "tests", env=environment, capture_output=True, timeout=180, check=False
                )
            except subprocess.TimeoutExpired:
                return False
            if done.returncode != 0:
                return False
    return True


@click.command()
@click.argument("file", type=click.Choice(list(TESTS)))
@click.option("--every", default=1, help="Only each k-th mutant.")
@click.option("--lines", help="Only those of these lines of FILE, with commas.")
def main(file: str, every: int, lines: str | None) -> None:
    """Count the mutants of FILE that the tests notice."""
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "handgrad"
        for room, place in PLACES.items():
            shutil.copytree(
                ROOT / room, package / place, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True
            )
        source = (ROOT / file).read_text()
        if survives(package, file, source) is False:
            raise click.ClickException("the tests fail without any mutant")
        chosen = {int(line) for line in lines.split(",")} if lines else None
        found = [mutant for mutant in mutants(source) if chosen is None or mutant[0] in chosen][::every]
        killed = 0
        with ThreadPoolExecutor(2) as pool, tqdm(total=len(found), unit="mutant", disable=None) as bar:
            lived = pool.map(lambda mutant: survives(package, file, mutant[2]), found)
            for (line, said, _), alive in zip(found, lived, strict=True):
                killed += not alive
                bar.update()
                if alive:
                    tqdm.write(f"{file}:{line}: {said}")
    click.echo(f"{file}: {killed} of {len(found)} mutants killed ({killed / len(found):.1%})")


if __name__ == "__main__":
    main()
