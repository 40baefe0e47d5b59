"""What JAX's rules get wrong besides numbers: under jit and vmap, for no cotangent, called again. Each is tried."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from handgrad.errors import UsageError
from handgrad.proof.custom.jax import Jax
from handgrad.proof.custom.jaxprs import put
from handgrad.proof.custom.protocol import MANY, SAME, How, Trouble, rounding
from handgrad.proof.problem import leaves
from handgrad.proof.wide import Array


def troubles(rule: Jax, inputs: Mapping[str, Any], cotangents: Sequence[Array]) -> list[Trouble]:
    """All that are found, in the finest precision in which the rule runs."""
    if rule.order == 2 or rule.mode == "jvp" or sum(np.size(v) for _, v in leaves(inputs)) > MANY:
        return []
    for precision in ("float64", "float32", rule.lowest):
        how = How(precision)
        with rule.settings(how):
            try:
                return list(_tried(rule, inputs, cotangents, how))
            except UsageError:
                continue
    return []


def _tried(rule: Jax, inputs: Mapping[str, Any], cotangents: Sequence[Array], how: How) -> Iterator[Trouble]:
    arrays = rule.arrays(inputs, how)
    back = [put(c, how.precision) for c in cotangents]

    def gradients(arrays: Any, back: Any) -> Any:
        outputs, pull = jax.vjp(lambda *a: rule.call(False, inputs, a), *arrays)
        found = pull([b.astype(o.dtype) for b, o in zip(back, outputs, strict=True)])
        return [g if hasattr(g, "dtype") else jnp.asarray(g) for g in found]  # a rule may give a number of Python's

    off = cache(lambda: rounding(rule, inputs, cotangents, how))
    base = gradients(arrays, back)
    yield from _compared(rule, off, base, lambda: gradients(arrays, back), "called again on the same inputs", "again")
    under_jit = list(_compared(rule, off, base, lambda: jax.jit(gradients)(arrays, back), "under jit", "jit"))
    yield from under_jit
    zero = gradients(arrays, [put(np.zeros(b.shape), b.dtype) for b in back])
    for name, gradient in zip(rule.wrt, zero, strict=True):
        if gradient.dtype != jax.dtypes.float0 and np.any(np.asarray(gradient)):
            yield Trouble("where the cotangent is 0, the gradient is not", "zero", (name,))
    scaled = [[s * np.asarray(a, np.float64) for s in (1.0, 0.5, 1.5)] for a in arrays]
    each = [gradients([put(v, how.precision) for v in some], back) for some in zip(*scaled, strict=True)]
    stacked = [put(np.stack(some), how.precision) for some in scaled]
    apart = [np.stack(parts) for parts in zip(*each, strict=True)]
    every: Any = jax.vmap(lambda a: gradients(a, back))
    if not under_jit:  # then as one program, which takes no longer to compile than each of its operations
        every = jax.jit(every)
    yield from _compared(rule, off, apart, lambda: every(stacked), "under vmap", "vmap")


def _compared(
    rule: Jax, off: Callable[[], Mapping[str, float]], base: Any, run: Any, said: str, kind: str
) -> Iterator[Trouble]:
    try:
        found = run()
    except Exception as error:
        line = str(error).splitlines()[0] if str(error) else ""
        yield Trouble(f"{said}, it raised {type(error).__name__}: {line}", kind, tuple(rule.wrt))
        return
    for name, before, now in zip(rule.wrt, base, found, strict=True):
        if before.dtype == jax.dtypes.float0:
            continue
        was, is_now = np.asarray(before, np.float64), np.asarray(now, np.float64)
        with np.errstate(all="ignore"):
            gap = float(np.max(np.abs(was - is_now), initial=0, where=np.isfinite(was) & np.isfinite(is_now)))
            size = float(np.max(np.abs(was), initial=0, where=np.isfinite(was)))
        odd = not np.array_equal(np.isfinite(was), np.isfinite(is_now))
        if odd or (gap > SAME * size and gap > SAME * size + off().get(name, 0.0)):
            share = f"{gap / size:.0%} of its largest entry" if size else "all of it"
            yield Trouble(f"{said}, the gradient is off by {share}", kind, (name,))
