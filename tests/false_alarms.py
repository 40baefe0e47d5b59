"""Right gradients, checked over and over: random cases, shapes, values, dtypes and seeds. An alarm is a false one.

`python tests/false_alarms.py --checks 20000 --seed 0` runs as many as asked and prints what was found; with `--shapes`,
of the programs in `written`, in all the shapes in which people write them; with `--structures`, of the programs in
`structured`, each of which relies on what its inputs have (symmetry, an order, ...); with `--rules`, of the rules for
PyTorch and JAX in `rules`, at four precisions; with `--tensors`, of gradients by hand in functions of their tensors.
"""

import collections
import inspect
import re
import sys
import time
import warnings

import click
import numpy as np
import rules
import structured
import tensors

import planted
from cases import RIGHT
from handgrad.proof import check
from handgrad.proof.checker import Checker
from handgrad.proof.problem import Problem

LARGEST = 5


def drawn(case, rng):
    """Inputs of a case: random sizes from 1 to 5, values stretched by up to 3 or shrunk to a tenth, either dtype."""
    letters = sorted(set(re.findall(r"\b[a-z]\b", " ".join(part.split(":")[1] for part in case.SHAPES.split(";")))))
    sizes = {letter: int(rng.integers(1, LARGEST + 1)) for letter in letters}
    dtype = rng.choice([np.float32, np.float64])
    stretch = 10 ** rng.uniform(-1, 0.5)
    inputs = case.inputs(int(rng.integers(2**31)), **sizes)
    return {name: _cast(value, dtype, stretch) for name, value in inputs.items()}, sizes


def _cast(value, dtype, stretch):
    value = np.asarray(value)
    if value.dtype.kind != "f":
        return value
    labels = np.isin(value, (-1, 0, 1)).all()
    return (value if labels else value * stretch).astype(dtype)


def alarms(checks, seed, progress=False):
    """How often each verdict was given over that many checks, and the checks in which a line was called wrong."""
    rng = np.random.default_rng(seed)
    checkers = {name: Checker(Problem(case.forward, case.backward), shapes=case.SHAPES) for name, case in RIGHT.items()}
    counts, found, start = collections.Counter(), [], time.perf_counter()
    for i in range(checks):
        name = str(rng.choice(sorted(RIGHT)))
        inputs, sizes = drawn(RIGHT[name], rng)
        trial = int(rng.integers(2**31))
        report = checkers[name].check(inputs, seed=trial, explain=False)
        counts.update(finding.verdict for finding in report.findings)
        if any(finding.verdict in ("wrong", "inherited") for finding in report.findings) or report.problems:
            found.append(
                (i, name, sizes, trial, [(f.name, f.verdict, f.where, f.hand, f.expected) for f in report.findings])
            )
        if progress and (i + 1) % 1000 == 0:
            click.echo(f"{i + 1} checks, {len(found)} alarms, {time.perf_counter() - start:.0f} s")
    return counts, found


def alarms_of_shapes(checks, seed, progress=False):
    """As `alarms`, of the programs in `written`: their inputs and parameters drawn anew, and stretched."""
    rng = np.random.default_rng(seed)
    counts, found, start = collections.Counter(), [], time.perf_counter()
    programs = planted.programs()
    for i in range(checks):
        program = programs[int(rng.integers(len(programs)))]
        drawn_with, trial = int(rng.integers(2**31)), int(rng.integers(2**31))
        subject, inputs = planted.made(program.module, drawn_with)
        stretch = 10 ** rng.uniform(-1, 0.3)
        for name, value in inputs.items():
            real = isinstance(value, np.ndarray) and value.dtype.kind == "f" and np.any(value != np.rint(value))
            if real and np.any(value < 0):  # probabilities stay what they are
                inputs[name] = value * stretch
        report = check(*subject, inputs, seed=trial, seconds=0.0, **program.module.OPTIONS)
        counts.update(finding.verdict for finding in report.findings)
        if any(finding.verdict in ("wrong", "inherited") for finding in report.findings) or report.problems:
            found.append((i, program.name, drawn_with, trial, [(f.name, f.verdict, f.size) for f in report.findings]))
        if progress and (i + 1) % 500 == 0:
            click.echo(f"{i + 1} checks, {len(found)} alarms, {time.perf_counter() - start:.0f} s")
    return counts, found


def alarms_of_structures(checks, seed, progress=False):
    """As `alarms`, of the programs in `structured`: sizes from 1 to 6, values and dtypes drawn anew."""
    rng = np.random.default_rng(seed)
    counts, found, start = collections.Counter(), [], time.perf_counter()
    programs = structured.programs()
    names = sorted({name.split("/")[0] for name in programs})
    for i in range(checks):
        name = names[i % len(names)]
        name = str(rng.choice([key for key in programs if key.startswith(f"{name}/")]))
        program, (n, m) = programs[name], rng.integers(1, 7, 2)
        drawn_with, trial = int(rng.integers(2**31)), int(rng.integers(2**31))
        inputs = structured_inputs(program, drawn_with, int(n), int(m))
        report = check(*program["subject"], inputs, seed=trial, seconds=0.0, **program.get("options", {}))
        counts.update(finding.verdict for finding in report.findings)
        counts[f"{report.inputs_tried} sets of inputs"] += 1
        if any(finding.verdict in ("wrong", "inherited") for finding in report.findings) or report.problems:
            seen = [(f.name, f.verdict, f.size, f.diagnosis) for f in report.findings]
            found.append((i, name, (int(n), int(m)), drawn_with, trial, seen, report.problems))
        if progress and (i + 1) % 100 == 0:
            click.echo(f"{i + 1} checks, {len(found)} alarms, {time.perf_counter() - start:.0f} s")
    return counts, found


def structured_inputs(program, seed, n, m):
    """Inputs of a program in `structured`: floating point of either dtype, whole numbers of any that holds them."""
    rng = np.random.default_rng(seed)
    inputs = program["inputs"](rng, n, m)
    real = rng.choice([np.float32, np.float64])
    whole = rng.choice([np.int64, np.int32, np.int16, np.uint8])

    def made(value):
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
            return value
        if value.dtype.kind == "f":
            return value.astype(real)
        return value.astype(np.int8 if whole == np.uint8 and np.any(value < 0) else whole)

    return {name: made(value) for name, value in inputs.items()}


def alarms_of_rules(checks, seed, progress=False, names=None):
    """As `alarms`, of the rules in `rules`: sizes, values, dtypes and layouts drawn anew.

    JAX compiles each program for each set of sizes, so its sizes are all the usual ones or all small, and of twenty
    rules 19 are PyTorch's.
    """
    rng = np.random.default_rng(seed)
    counts, found, start = collections.Counter(), [], time.perf_counter()
    modules = {name: rules.load(name) for name in names or rules.NAMES}
    for i in range(checks):
        framework = "jax_" if rng.random() < 0.05 else "torch_"
        name = str(rng.choice([n for n in modules if n.startswith(framework)] or list(modules)))
        module, compiled = modules[name], name.startswith("jax_")
        usual = {n: p.default for n, p in inspect.signature(module.inputs).parameters.items() if n != "rng"}
        small = rng.random() < 0.5
        sizes = {n: int(rng.choice([1, 2, 3, 7, size])) for n, size in usual.items()}
        if compiled:
            sizes = dict.fromkeys(usual, 3) if small else usual
        drawn_with, trial = int(rng.integers(2**31)), int(rng.integers(2**31))
        dtype = str(rng.choice(["float64", "float32", "bfloat16", "float16"]))
        layout = str(rng.choice(["contiguous", "transposed", "strided"]))
        inputs = module.inputs(np.random.default_rng(drawn_with), **sizes)
        inputs = {n: _made(v, compiled, dtype, layout) for n, v in inputs.items()}
        options = {"seed": trial, "trials": int(rng.integers(3)), "seconds": 0.0, **getattr(module, "OPTIONS", {})}
        report = check(module.RULE, inputs, **options)
        counts.update(finding.verdict for finding in report.findings)
        if any(finding.verdict in ("wrong", "imprecise") for finding in report.findings) or report.problems:
            seen = [(f.name, f.verdict, f.diagnosis) for f in report.findings if f.verdict != "right"]
            found.append((i, name, sizes, drawn_with, dtype, layout, options, seen, report.problems))
            if progress:
                click.echo(f"check {i}: {found[-1]}")
        if progress and (i + 1) % 100 == 0:
            click.echo(f"{i + 1} checks, {len(found)} alarms, {time.perf_counter() - start:.0f} s")
    return counts, found


def alarms_of_tensors(checks, seed, progress=False):
    """The same of gradients by hand in functions of tensors; one in eight of JAX's, which compiles for each shape."""
    import jax.numpy as jnp
    import torch

    counts, found, start = collections.Counter(), [], time.perf_counter()
    rng = np.random.default_rng(seed)
    for i in range(checks):
        xp = jnp if i % 8 == 7 else torch
        name = list(tensors.programs(xp))[int(rng.integers(len(tensors.programs(xp))))]
        subject, shapes = tensors.programs(xp)[name]
        report = check(*subject, tensors.inputs(xp, name, shapes, rng), seed=i, seconds=0.0)
        counts.update(finding.verdict for finding in report.findings)
        if any(finding.verdict == "wrong" for finding in report.findings):
            found.append((i, name, xp.__name__, {f.name: (f.hand, f.expected, f.size) for f in report.findings}))
        if progress and (i + 1) % 100 == 0:
            click.echo(f"{i + 1} checks, {len(found)} alarms, {time.perf_counter() - start:.0f} s")
    return counts, found


def _made(value, jax, dtype, layout):
    """An array of JAX's or PyTorch's, of a dtype; in PyTorch with other strides than those of a new one, if asked."""
    real = value.dtype.kind == "f"
    if jax:
        import jax.numpy as jnp

        return jnp.asarray(value, dtype if real and dtype != "float64" else "float32") if real else value
    import torch

    tensor = torch.tensor(value, dtype=getattr(torch, dtype) if real else None)
    if layout == "transposed" and tensor.ndim > 1:
        return tensor.transpose(0, -1).contiguous().transpose(0, -1)
    return tensor.repeat_interleave(2, -1)[..., ::2] if layout == "strided" and tensor.ndim else tensor


@click.command()
@click.option("--tensors", "of_tensors", is_flag=True, help="gradients by hand in functions of tensors, in `tensors`")
@click.option("--rules", "of_rules", is_flag=True, help="the rules for PyTorch and JAX in `rules`")
@click.option("--shapes", is_flag=True, help="the programs in `written`")
@click.option("--structures", is_flag=True, help="the programs in `structured`")
@click.option("--checks", default=20_000, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(of_tensors, of_rules, shapes, structures, checks, seed):
    """Check right gradients and count the alarms."""
    call, what = (
        (alarms_of_tensors, "functions of tensors")
        if of_tensors
        else (alarms_of_rules, "rules")
        if of_rules
        else (alarms_of_shapes, "programs in shapes")
        if shapes
        else (alarms_of_structures, "programs that rely on a structure")
        if structures
        else (alarms, "backward passes")
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        counts, found = call(checks, seed, progress=True)
    for alarm in found[:20]:
        click.echo(f"ALARM {alarm}")
    click.echo(f"{checks} checks (seed {seed}) of {what} that are right: {len(found)} false alarms")
    click.echo(f"lines: {dict(counts)}")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
