"""Gradient checkers beside each other: the same faults and the same right gradients, through each of them.

python -m handgrad.benchmarks.checkers

The function is one sigmoid neuron of n features and 3 examples with the squared error; each fault is planted in its
gradient. A checker is asked in the way its documentation shows, with the tolerances that it comes with, in float64.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from handgrad.jsonable import dumps
from handgrad.table import table

Array = npt.NDArray[Any]

EXAMPLES = 3
SIZES = (1, 10, 100, 1_000, 10_000, 100_000)
PATIENCE = 20.0
"""Seconds for one check, beyond which a checker is not asked for larger sizes: what it would take is known by then."""


def forward(W: Any, X: Any, Y: Any) -> dict[str, Any]:
    """The cost, with its intermediates: Z = W X, A = 1 / (1 + e^-Z), J = sum (A - Y)^2 / 2; W (1, n), X (n, m)."""
    Z = W @ X
    A = 1 / (1 + np.exp(-Z))
    J = np.sum((A - Y) ** 2) / 2
    return dict(Z=Z, A=A, J=J)


def backward(X: Any, Y: Any, A: Any) -> dict[str, Any]:
    """Its gradient by hand."""
    dZ = (A - Y) * A * (1 - A)
    return dict(dZ=dZ, dW=dZ @ X.T)


def spoil_sign(dW: Array) -> Array:
    """The wrong sign."""
    return -dW


def spoil_factor(dW: Array) -> Array:
    """A factor, m."""
    return dW * EXAMPLES


def spoil_slightly(dW: Array) -> Array:
    """A factor of 1 + 1e-6."""
    return dW * (1 + 1e-6)


def spoil_entry(dW: Array) -> Array:
    """One entry is zero."""
    out = dW.copy()
    out[..., dW.shape[-1] // 2] = 0
    return out


def spoil_entry_slightly(dW: Array) -> Array:
    """One entry is off by a thousandth of itself."""
    out = dW.copy()
    out[..., dW.shape[-1] // 2] *= 1.001
    return out


def spoil_all(dW: Array) -> Array:
    """All entries are zero."""
    return 0 * dW


def spoil_shift(dW: Array) -> Array:
    """Shifted by one entry."""
    return np.roll(dW, 1, -1) if dW.shape[-1] > 1 else 2 * dW


FAULTS: dict[str, Callable[[Array], Array]] = {
    function.__name__.removeprefix("spoil_"): function
    for function in (
        spoil_sign,
        spoil_factor,
        spoil_slightly,
        spoil_entry,
        spoil_entry_slightly,
        spoil_all,
        spoil_shift,
    )
}


def examples(n: int, seed: int) -> dict[str, Array]:
    """W, X and Y, float64, with Z of order 1."""
    rng = np.random.default_rng(seed)
    return dict(
        W=rng.standard_normal((1, n)) / np.sqrt(n),
        X=rng.standard_normal((n, EXAMPLES)),
        Y=rng.integers(0, 2, (1, EXAMPLES)).astype(float),
    )


def _gradient(W: Array, X: Array, Y: Array) -> Array:
    return np.asarray(backward(X, Y, forward(W, X, Y)["A"])["dW"])


@dataclass(frozen=True)
class Answer:
    """What a checker said: whether the gradient is right, and the line that it named, if any."""

    right: bool
    line: str | None = None


Checker = Callable[[dict[str, Array], Callable[[Array], Array]], Answer]


def ours(inputs: dict[str, Array], spoil: Callable[[Array], Array]) -> Answer:
    """`handgrad.check`."""
    from handgrad.proof import check

    def spoilt(X: Array, Y: Array, A: Array) -> dict[str, Array]:
        adjoints = backward(X, Y, A)
        return adjoints | dict(dW=spoil(adjoints["dW"]))

    report = check(forward, spoilt, inputs)
    return Answer(report.ok, report.first_wrong)


def torch_gradcheck(fast: bool) -> Checker:
    """`torch.autograd.gradcheck` of a `torch.autograd.Function` with this gradient."""

    def run(inputs: dict[str, Array], spoil: Callable[[Array], Array]) -> Answer:
        import torch

        X, Y = inputs["X"], inputs["Y"]

        class Cost(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, W: Any) -> Any:
                ctx.save_for_backward(W)
                return torch.tensor(float(forward(W.detach().numpy(), X, Y)["J"]), dtype=torch.float64)

            @staticmethod
            def backward(ctx: Any, *adjoints: Any) -> Any:
                (W,) = ctx.saved_tensors
                return adjoints[0] * torch.from_numpy(spoil(_gradient(W.detach().numpy(), X, Y)))

        W = torch.tensor(inputs["W"], requires_grad=True)
        return Answer(torch.autograd.gradcheck(Cost.apply, (W,), fast_mode=fast, raise_exception=False))

    return run


def jax_check_grads(inputs: dict[str, Array], spoil: Callable[[Array], Array]) -> Answer:
    """`jax.test_util.check_grads` of a `jax.custom_vjp` with this gradient, in reverse mode."""
    import jax
    import jax.numpy as jnp
    from jax.test_util import check_grads

    with jax.enable_x64(True):
        X, Y = jnp.asarray(inputs["X"]), jnp.asarray(inputs["Y"])

        @jax.custom_vjp
        def cost(W: Any) -> Any:
            return jnp.sum((1 / (1 + jnp.exp(-(W @ X))) - Y) ** 2) / 2

        def ahead(W: Any) -> Any:
            return cost(W), W

        def back(W: Any, adjoint: Any) -> Any:
            return (adjoint * jnp.asarray(spoil(_gradient(np.asarray(W), inputs["X"], inputs["Y"]))),)

        cost.defvjp(ahead, back)
        try:
            judge: Any = check_grads  # which has no types
            judge(cost, (jnp.asarray(inputs["W"]),), order=1, modes=["rev"])
        except AssertionError:
            return Answer(right=False)
        return Answer(right=True)


def scipy_check_grad(inputs: dict[str, Array], spoil: Callable[[Array], Array]) -> Answer:
    """`scipy.optimize.check_grad`, which returns a number: small, by the rule of its documentation, is below 1e-6."""
    from scipy.optimize import check_grad

    X, Y = inputs["X"], inputs["Y"]
    error = check_grad(
        lambda w: float(forward(w[None], X, Y)["J"]), lambda w: spoil(_gradient(w[None], X, Y))[0], inputs["W"][0]
    )
    return Answer(bool(error < 1e-6))


CHECKERS: dict[str, Checker] = {
    "handgrad.check": ours,
    "torch gradcheck": torch_gradcheck(fast=False),
    "torch gradcheck, fast": torch_gradcheck(fast=True),
    "jax check_grads": jax_check_grads,
    "scipy check_grad": scipy_check_grad,
}


@dataclass(frozen=True)
class Row:
    """One checker at one size.

    Attributes:
        checker, n: which.
        found, missed: of the planted faults.
        false_alarms, right: of the right gradients, how many were called wrong, and how many there were.
        line_named: of the faults found, for how many the faulty line was named.
        seconds: the median of one check; None where it was not asked.
    """

    checker: str
    n: int
    found: int
    missed: int
    false_alarms: int
    right: int
    line_named: int
    seconds: float | None


def compare(sizes: tuple[int, ...], checkers: dict[str, Checker], rights: int) -> Iterator[Row]:
    """Each checker at each size, smallest first; one that has lost patience is not asked again."""
    for name, checker in checkers.items():
        last = 0.0
        for n in sizes:
            if last * (n / max(1, sizes[max(0, sizes.index(n) - 1)])) > PATIENCE:
                yield Row(name, n, 0, 0, 0, 0, 0, None)
                continue
            row = _row(name, checker, n, rights)
            last = row.seconds or 0.0
            yield row


def _row(name: str, checker: Checker, n: int, rights: int) -> Row:
    seconds = []
    answers: list[Answer] = []
    for number, spoil in enumerate([*FAULTS.values(), *[lambda dW: dW] * rights]):
        inputs = examples(n, number)
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answers.append(checker(inputs, spoil))
        seconds.append(time.perf_counter() - start)
    faulty, right = answers[: len(FAULTS)], answers[len(FAULTS) :]
    found = [answer for answer in faulty if not answer.right]
    return Row(
        name,
        n,
        len(found),
        len(faulty) - len(found),
        sum(not answer.right for answer in right),
        rights,
        sum(answer.line == "dW" for answer in found),
        float(np.median(seconds)),
    )


def installed(checkers: dict[str, Checker]) -> dict[str, Checker]:
    """Those whose package is there."""
    from importlib.util import find_spec

    return {name: checker for name, checker in checkers.items() if find_spec(name.split(" ")[0].split(".")[0])}


@click.command()
@click.option("--sizes", default=",".join(map(str, SIZES)), show_default=True, help="Features n, with commas.")
@click.option("--rights", default=5, show_default=True, help="Right gradients at each size.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(sizes: str, rights: int, as_json: bool) -> None:
    """Planted faults and right gradients through handgrad's checker and those of PyTorch, JAX and SciPy."""
    rows = list(compare(tuple(map(int, sizes.split(","))), installed(CHECKERS), rights))
    if as_json:
        click.echo(dumps([asdict(row) for row in rows]))
        return
    lines = [
        [
            row.checker,
            f"{row.n:,}",
            str(row.found),
            str(row.missed),
            str(row.false_alarms),
            str(row.line_named),
            f"{row.seconds:.2g} s",
        ]
        if row.seconds is not None
        else [row.checker, f"{row.n:,}", "", "", "", "", f"> {PATIENCE:g} s"]
        for row in rows
    ]
    click.echo(table(["checker", "n", "found", "missed", "false alarms", "line named", "one check"], *lines))
    click.echo(f"\n{len(FAULTS)} faults ({', '.join(FAULTS)}) and {rights} right gradients at each n.")


if __name__ == "__main__":
    main()
