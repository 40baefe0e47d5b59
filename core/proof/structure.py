"""Structure that the given inputs have, as symmetry, and that those which are drawn must have too.

A right gradient may rely on what its author knows of an input: `Q.T` for an inverse, `A - Y` for labels that are
one-hot, ``dx[i] = dy`` for indices that are distinct. On an input that nobody would give, such a gradient is no fault.

What is drawn is mended, one structure after the other, until all hold. Where that does not come about (a matrix that
is symmetric, orthogonal and of whole numbers), the given entries are exchanged among themselves, or are left as given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from handgrad.proof.problem import leaves, replace
from handgrad.proof.wide import Array

Values = dict[str, Array]

ROUNDS = 20
"""How often what is drawn is mended, where one structure undoes another."""
LARGEST = 1500
"""Larger matrices are not looked at for what takes a product or eigenvalues."""
CHANCE = 0.4
"""Numbers that are in order by chance as often as this are not meant to be."""


@dataclass(frozen=True)
class Structure:
    """One thing that is true of one input, or of some together.

    Attributes:
        names: of the leaves.
        said: what is true of them, "symmetric"; "" where it goes without saying.
        holds: whether it is true of other values.
        mend: the values, changed so that it is; None where nothing but the given ones is known to have it.
        sure: False where it may be chance, as of a single number that is 1 or of two numbers in order.
        rounded: whether it is true up to rounding only, so that in more digits the given values are mended too.
    """

    names: tuple[str, ...]
    said: str
    holds: Callable[[Values], bool]
    mend: Callable[[Values], Values] | None
    sure: bool = True
    rounded: bool = False


@dataclass(frozen=True)
class Structures:
    """All that is seen of the given inputs."""

    given: Values
    seen: tuple[Structure, ...]

    @classmethod
    @np.errstate(all="ignore")
    def of(cls, inputs: Mapping[str, Any], differentiated: set[str]) -> Structures:
        """What is true of these inputs; of whole numbers of which an adjoint is returned less is sure."""
        given = {name: np.asarray(value) for name, value in leaves(inputs) if _numbers(value)}
        sizes = {int(n) for value in given.values() for n in value.shape}
        sizes |= {value for _, value in leaves(inputs) if type(value) is int}
        seen: list[Structure] = []
        for name, array in given.items():
            seen += _of_one(name, array, name in differentiated, sizes)
        seen += _of_several(given)
        return cls(given, tuple(seen))

    @property
    def doubtful(self) -> bool:
        """Whether something is true that may be chance."""
        return any(not structure.sure for structure in self.seen)

    def said(self) -> str:
        """What is true for sure, in words: "S symmetric; Q orthogonal"."""
        return _listed(s for s in self.seen if s.sure)

    def broken(self, inputs: Mapping[str, Any]) -> str:
        """What is not true of these inputs, in words."""
        values = {n: np.asarray(v) for n, v in leaves(inputs) if n in self.given}
        return _listed(s for s in self.seen if not _hold([s], values))

    def kept(self, drawn: Values, rng: np.random.Generator, loose: bool = False) -> Values:
        """What was drawn, with the structure of the given values; `loose` without that which may be chance."""
        found = dict(drawn)
        for group in _together([s for s in self.seen if s.sure or not loose]):
            names = tuple(dict.fromkeys(name for s in group for name in s.names))
            if all(name in drawn for name in names):
                found |= self._group(group, names, drawn, rng)
        return found

    def _group(self, group: list[Structure], names: tuple[str, ...], drawn: Values, rng: np.random.Generator) -> Values:
        given = {name: self.given[name] for name in names}
        values = {name: drawn[name].astype(float) if drawn[name].dtype.kind == "f" else drawn[name] for name in names}
        if all(s.mend is not None for s in group):
            for _ in range(ROUNDS):
                try:
                    for s in group:
                        values |= s.mend(values)  # type: ignore[misc]
                except np.linalg.LinAlgError:
                    break
                if _hold(group, values):
                    return {n: v.astype(given[n].dtype) for n, v in values.items()}
        return next((values for values in _exchanged(given, rng) if _hold(group, values)), given)

    def rounded(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values in more digits than they were given in, with the structure to those digits."""
        arrays = {n: np.asarray(v) for n, v in leaves(values) if _numbers(v)}
        changed: Values = {}
        for group in _together([s for s in self.seen if s.rounded]):
            names = {name for s in group for name in s.names}
            if any(arrays[n].dtype.kind != "f" or arrays[n].dtype.itemsize < 8 for n in names):
                continue
            mended = {n: arrays[n] for n in names}
            for _ in range(1 if len(group) == 1 else ROUNDS):
                for s in group:
                    mended |= s.mend(mended)  # type: ignore[misc]
            if all(np.all(np.abs(mended[n] - arrays[n]) <= 1e-5 * np.max(np.abs(arrays[n]))) for n in names):
                changed |= mended

        def change(name: str, value: Any) -> Any:
            new = changed.get(name)
            return value if new is None or type(value) is float else new if isinstance(value, np.ndarray) else new[()]

        return replace(values, change)


def _numbers(value: Any) -> bool:
    """Whether a leaf is of numbers that are drawn."""
    if not isinstance(value, float | np.ndarray | np.floating):
        return False
    array = np.asarray(value)
    return array.dtype.kind in "fiub" and array.size > 0 and bool(np.all(np.isfinite(array)))


def _listed(structures: Iterable[Structure]) -> str:
    found: dict[str, list[str]] = {}
    for s in structures:
        if s.said:
            found.setdefault(s.names[0] if len(s.names) == 1 else "", []).append(s.said)
    return "; ".join(f"{name} {', '.join(dict.fromkeys(said))}".lstrip() for name, said in found.items())


def _hold(group: list[Structure], values: Values) -> bool:
    with np.errstate(all="ignore"):
        return all(s.holds(values) for s in group)


def _together(structures: list[Structure]) -> list[list[Structure]]:
    """The structures by the inputs that they have in common."""
    groups: list[list[Structure]] = []
    for s in structures:
        touching = [g for g in groups if any(set(s.names) & set(other.names) for other in g)]
        groups = [g for g in groups if g not in touching] + [[*(other for g in touching for other in g), s]]
    return groups


def _exchanged(given: Values, rng: np.random.Generator) -> Iterator[Values]:
    """The given numbers in other places, as far as all of them may be put there; at last as they are."""
    arrays = list(given.values())
    if all(a.ndim > 1 and a.shape[-1] == a.shape[-2] == arrays[0].shape[-1] for a in arrays):
        order = rng.permutation(arrays[0].shape[-1])
        yield {n: a[..., order, :][..., :, order] for n, a in given.items()}
    for axis in (0, -1):
        if all(a.ndim and a.shape[axis] == arrays[0].shape[axis] for a in arrays):
            order = rng.permutation(arrays[0].shape[axis])
            yield {n: np.take(a, order, axis) for n, a in given.items()}
    yield {n: a.copy() for n, a in given.items()}


def _close(a: Any, b: Any, tolerance: float = 1e-6) -> bool:
    """Whether two arrays are the same but for what rounding to single precision does to each number."""
    a, b = np.asarray(a), np.asarray(b)
    if a.dtype.kind == "b" or b.dtype.kind == "b":
        return bool(np.array_equal(a, b))
    tolerance = max(tolerance, *(4 * _eps(v) for v in (a, b)))
    size = np.maximum(np.abs(a), np.abs(b))
    least = 16 * max(_eps(a), _eps(b)) * float(np.max(size))
    return bool(np.all(np.abs(a - b) <= tolerance * size + least))


def _eps(array: Array) -> float:
    return float(np.finfo(array.dtype).eps) if array.dtype.kind == "f" else 0.0


def is_whole(array: Array) -> bool:
    """Whether the numbers are whole, as labels and counts are."""
    return array.dtype.kind != "f" or bool(np.all(array == np.rint(array)))


def _of_one(name: str, array: Array, differentiated: bool, sizes: set[int]) -> Iterator[Structure]:
    """What is true of one input."""
    whole = is_whole(array)
    free = differentiated and whole  # numbers as one writes them to try something
    constant = bool(np.all(array == array.flat[0]))
    binary = bool(np.all((array == 0) | (array == 1)))

    def structure(
        said: str,
        holds: Callable[[Array], bool],
        mend: Callable[[Array], Array] | None,
        *,
        sure: bool = True,
        rounded: bool = False,
    ) -> Structure:
        return Structure(
            (name,),
            said,
            lambda v: holds(v[name]),
            None if mend is None else lambda v: {name: mend(v[name])},
            sure,
            rounded and array.dtype.kind == "f",
        )

    if array.dtype.kind == "f":
        yield from _ranges(structure, array)
    if array.ndim == 0:
        return
    if array.dtype.kind == "f" and 1 in array.shape and np.all(np.abs(array) == 1):
        yield structure("of ones", lambda v: bool(np.all(np.abs(v) == 1)), _signs(array), sure=False)
    if constant and whole:
        return
    one_hot = _one_hot_axes(array) if binary else []
    for axis in one_hot:
        yield structure("one-hot", _is_one_hot(axis), _to_one_hot(axis), sure=not free)
    square = list(_square(structure, array, sure=not free, labels=bool(one_hot)))
    yield from square
    if binary and not differentiated:
        seen = array.astype(bool).any(axis=-1)
        yield structure("", lambda v: bool(np.all(v.astype(bool).any(axis=-1) == seen)), lambda v: v)
    along = distinct_along(array) if array.dtype.kind in "iu" else None
    if along is not None:
        yield structure("", lambda v: _is_distinct(v, along), lambda v: v)
    if not one_hot or array.ndim == 1:
        yield from _ordered(structure, array, free)
    if one_hot:
        return
    if array.dtype.kind in "iu" and array.ndim == 1 and array.min() >= 0 and int(array.sum()) in sizes:
        total = int(array.sum())
        if array.size > 1:
            yield structure(f"adds up to {total}", _permutes(array), _permuted(array))
    if array.dtype.kind == "f":
        yield from _sums(structure, array, whole, any("ortho" in s.said for s in square))


Make = Callable[..., Structure]


def _ranges(structure: Make, array: Array) -> Iterator[Structure]:
    """Of which sign numbers are, or that they are between 0 and 1; of one or two it may be chance."""
    few = array.size < 3
    if np.all((array > 0) & (array < 1)):
        said = "between 0 and 1" if few else ""
        yield structure(said, lambda v: bool(np.all((v > 0) & (v < 1))), _between, sure=not few)
    elif np.all(array > 0) and not few:
        yield structure("", lambda v: bool(np.all(v > 0)), np.abs)
    elif np.all(array >= 0) and not few:
        yield structure("", lambda v: bool(np.all(v >= 0)), np.abs)


def _between(v: Array) -> Array:
    return np.where((v > 0) & (v < 1), v, 1 / (1 + np.exp(-np.clip(v, -20, 20))))


def _square(structure: Make, array: Array, sure: bool, labels: bool) -> Iterator[Structure]:
    """What is true of square matrices, or of each in a stack, and of what has orthonormal columns or rows."""
    n = array.shape[-1]
    square = array.ndim > 1 and array.shape[-2] == n
    matrix = array.astype(float)
    eye = square and bool(np.all(matrix == np.eye(n)))
    constant = bool(np.all(array == array.flat[0]))
    sure = not labels and not constant and (sure or not eye)
    if square and n > 1 and np.any(array):
        filled = _filled(array)
        triangle = not (np.tril(filled, -1).any() and np.triu(filled, 1).any())
        symmetric = _close(matrix, np.swapaxes(matrix, -1, -2))
        if symmetric:
            yield structure("symmetric", _is_symmetric(1), _mirrored(1), sure=sure, rounded=True)
        elif array.dtype.kind != "b" and _close(matrix, -np.swapaxes(matrix, -1, -2)):
            yield structure("antisymmetric", _is_symmetric(-1), _mirrored(-1), sure=sure, rounded=True)
        if not filled.all():
            yield structure(
                _shape_of(filled),
                lambda v: not np.any(v * ~filled),
                lambda v: np.where(filled, v, v.dtype.type(0)),
                sure=sure,
            )
        diagonal = np.diagonal(matrix, axis1=-2, axis2=-1)
        if np.all(diagonal == 1) and not constant:
            yield structure("1 on the diagonal", _has_unit_diagonal, _unit_diagonal(symmetric), sure=sure)
        elif np.all(diagonal > 0) and triangle and array.dtype.kind == "f":
            yield structure("positive on the diagonal", _has_positive_diagonal, _positive_diagonal, sure=sure)
        if symmetric and n <= LARGEST and array.dtype.kind != "b":
            whole = is_whole(array)
            if np.all(diagonal > 0) and _is_definite(1e-9)(array):
                yield structure("positive definite", _is_definite(1e-9), _definite(0.1, whole), sure=sure)
            elif np.all(diagonal >= 0) and _is_definite(-1e-6)(array):
                yield structure("positive semidefinite", _is_definite(-1e-6), _definite(0.0, whole), sure=sure)
            if _close(matrix @ matrix, matrix) and not constant:
                yield structure("idempotent", lambda v: _close(v @ v, v), None, sure=sure)
    elif square and array.dtype.kind == "f" and np.all(array > 0):
        yield structure("positive", lambda v: bool(np.all(v > 0)), np.abs, sure=False)
    if array.ndim > 1 and array.dtype.kind == "f" and max(array.shape[-2:]) <= LARGEST and min(array.shape[-2:]) > 1:
        tall = array.shape[-2] >= n
        if _is_orthogonal(tall)(array):
            said = "orthogonal" if square else f"of orthonormal {'columns' if tall else 'rows'}"
            turn = np.linalg.det(matrix) if square else np.ones(())
            yield structure(
                said,
                lambda v: _is_orthogonal(tall)(v) and (not square or _close(np.linalg.det(v.astype(float)), turn)),
                _orthogonal(tall, turn),
                sure=sure and not is_whole(array),
                rounded=True,
            )


def _sums(structure: Make, array: Array, whole: bool, orthogonal: bool) -> Iterator[Structure]:
    """What adds up to 1, or to 0, and what has the norm 1: along an axis or as a whole."""
    axes: list[int | None] = [axis for axis in range(array.ndim) if array.shape[axis] > 1]
    if array.ndim > 1 and len(axes) > 1:
        axes.append(None)
    matrix = array.astype(float)
    positive = bool(np.all(matrix >= 0))
    symmetric = array.ndim == 2 and array.shape[0] == array.shape[1] and _close(matrix, matrix.T)
    for axis in axes:
        along = "as a whole" if axis is None else f"along axis {axis}" if array.ndim > 1 else ""
        for one in (1, 0):
            if np.any(matrix) and _adds_up(one, axis, positive)(array):
                chance = whole and array.ndim == 1
                yield structure(
                    f"adds up to {one} {along}".rstrip(),
                    _adds_up(one, axis, positive),
                    _to_sum(one, axis, positive, symmetric),
                    sure=not chance,
                    rounded=not whole,
                )
        if not whole and _has_norm(axis)(array):
            said = "" if orthogonal else f"of norm 1 {along}".rstrip()
            yield structure(said, _has_norm(axis), _to_norm(axis), rounded=True)


def _ordered(structure: Make, array: Array, free: bool) -> Iterator[Structure]:
    """What is sorted along an axis."""
    for axis in range(array.ndim):
        length = array.shape[axis]
        if length < 2:
            continue
        first = np.diff(_signed(array[(0,) * axis + (slice(None),) + (0,) * (array.ndim - axis - 1)]))
        if np.any(first > 0) and np.any(first < 0):
            continue
        lines = array.size // length
        steps = np.diff(_signed(array), axis=axis)
        for sign in (1, -1):
            if not np.all(sign * steps >= 0) or not np.any(steps):
                continue
            strict = bool(np.all(sign * steps > 0))
            ends = array.dtype.kind in "iu" and array.ndim == 1
            chance = 2 * math.exp(-lines * math.lgamma(length + 1))
            said = "sorted" if sign > 0 else "sorted, the largest first"
            yield structure(
                said if array.ndim == 1 or np.any((array != 0) & (array != 1)) else "",  # a mask
                _is_sorted(axis, sign, strict),
                _sorted(axis, sign, array if ends else None),
                sure=not free and chance < CHANCE,
            )


def _of_several(given: Values) -> Iterator[Structure]:
    """What is true of two inputs together."""
    names = list(given)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            A, B = given[a], given[b]
            if A.shape == B.shape:
                yield from _pair(a, A, b, B)
            else:
                yield from _told(a, A, b, B)
                yield from _told(b, B, a, A)


def _pair(a: str, A: Array, b: str, B: Array) -> Iterator[Structure]:
    """Of two arrays of one shape."""
    kinds = A.dtype.kind + B.dtype.kind
    whole = is_whole(A) and is_whole(B)
    constant = bool(np.all(A.flat[0] == A) and np.all(B.flat[0] == B))
    if kinds == "ff" and np.all(np.abs(np.square(A, dtype=float) + np.square(B, dtype=float) - 1) <= 2 * _tolerance(A)):

        def turned(v: Values) -> Values:
            length = np.hypot(v[a], v[b])
            lost = length == 0
            length = np.where(lost, 1, length)
            return {a: np.where(lost, 1, v[a] / length), b: v[b] / length}

        yield Structure(
            (a, b),
            f"{a}**2 + {b}**2 = 1",
            lambda v: _close(v[a] ** 2 + v[b] ** 2, np.ones(A.shape)),
            turned,
            not whole,
            True,
        )
    if "u" not in kinds and kinds in ("ff", "ii", "bb") and np.all(np.abs(_whole(A) + _whole(B) - 1) <= _tolerance(A)):

        def complement(v: Values) -> Values:
            return {b: ~v[a] if kinds == "bb" else 1 - v[a]}

        yield Structure(
            (a, b),
            f"{a} + {b} = 1",
            lambda v: _close(_whole(v[a]) + _whole(v[b]), np.ones(A.shape)),
            complement,
            not constant or (A.size > 1 and not whole),
            kinds == "ff",
        )
    if A.dtype.kind in "iu" and B.dtype.kind in "iu" and A.ndim == 1 and A.size > 1:
        pairs = len(set(zip(A.tolist(), B.tolist(), strict=True)))
        if pairs == A.size and len(np.unique(A)) < A.size and len(np.unique(B)) < A.size:
            yield Structure(
                (a, b),
                f"{a} and {b} distinct as pairs",
                lambda v: len(set(zip(v[a].tolist(), v[b].tolist(), strict=True))) == A.size,
                None,
            )


def _told(a: str, A: Array, b: str, B: Array) -> Iterator[Structure]:
    """Where one input is computed from another: labels from one-hot columns, lengths from a mask."""
    if A.dtype.kind not in "iu" or A.ndim + 1 != B.ndim or not np.all((B == 0) | (B == 1)):
        return
    for axis in range(B.ndim):
        if B.shape[:axis] + B.shape[axis + 1 :] != A.shape:
            continue
        for said, tell in (("labels", np.argmax), ("lengths", np.sum)):
            if np.array_equal(tell(B, axis=axis), A) and (said == "lengths" or np.all(B.sum(axis=axis) == 1)):

                def agree(v: Values, axis: int = axis, tell: Any = tell) -> bool:
                    return bool(np.array_equal(tell(v[b], axis=axis), v[a]))

                yield Structure((a, b), f"{a} are the {said} of {b}", agree, None)


def distinct_along(array: Array) -> int | None:
    """The last axis along which no number comes twice, as indices do not."""
    for axis in reversed(range(array.ndim)):
        if array.shape[axis] > 1 and _is_distinct(array, axis):
            return axis
    return None


def _is_distinct(array: Array, axis: int) -> bool:
    if int(array.max()) - int(array.min()) + 1 < array.shape[axis]:
        return False
    return bool(np.all(np.diff(np.sort(array, axis=axis), axis=axis)))


def _whole(array: Array) -> Array:
    return array.astype(int) if array.dtype.kind == "b" else array


def _tolerance(array: Array) -> float:
    return 4e-3 if array.dtype == np.float16 else 1e-6


def _signs(array: Array) -> Callable[[Array], Array]:
    """Numbers as ones, of their signs where there are both, or but one number."""
    either = array.size == 1 or bool(np.any(array != array.flat[0]))
    return lambda v: np.where(v < 0, -1.0, 1.0) if either else np.full(array.shape, array.flat[0], float)


def _one_hot_axes(array: Array) -> list[int]:
    return [axis for axis in range(array.ndim) if array.shape[axis] > 1 and np.all(_whole(array).sum(axis=axis) == 1)]


def _is_one_hot(axis: int) -> Callable[[Array], bool]:
    return lambda v: bool(np.all((v == 0) | (v == 1)) and np.all(_whole(v).sum(axis=axis) == 1))


def _to_one_hot(axis: int) -> Callable[[Array], Array]:
    def mend(v: Array) -> Array:
        if _is_one_hot(axis)(v):
            return v
        found = np.zeros(v.shape, v.dtype)
        np.put_along_axis(found, np.expand_dims(np.argmax(v, axis=axis), axis), 1, axis)
        return found

    return mend


def _filled(array: Array) -> Array:
    """A mask of a square matrix that is False on the diagonals which are 0 all along, as in a triangle or a band."""
    n = array.shape[-1]
    some = np.any(array.reshape(-1, n, n), axis=0)
    if some.all() or n > LARGEST:
        return np.ones((n, n), bool)
    i, j = np.nonzero(some)
    return np.isin(np.subtract.outer(np.arange(n), np.arange(n)), np.unique(i - j))


def _shape_of(filled: Array) -> str:
    lower, upper = not np.triu(filled, 1).any(), not np.tril(filled, -1).any()
    return (
        "diagonal" if lower and upper
        else "lower triangular" if lower
        else "upper triangular" if upper
        else "0 on some diagonals"
    )  # fmt: skip


def _is_symmetric(sign: int) -> Callable[[Array], bool]:
    return lambda v: _close(v, np.swapaxes(v, -1, -2) if sign > 0 else -np.swapaxes(v, -1, -2))


def _mirrored(sign: int) -> Callable[[Array], Array]:
    def mend(v: Array) -> Array:
        upper, turned = np.triu(np.ones(v.shape[-2:], bool)), np.swapaxes(v, -1, -2)
        mirrored = np.where(upper, v, turned if sign > 0 else -turned)
        return mirrored if sign > 0 else np.asarray(mirrored * ~np.eye(v.shape[-1], dtype=bool))

    return mend


def _diagonal(v: Array) -> Array:
    return np.diagonal(v, axis1=-2, axis2=-1)


def _with_diagonal(v: Array, diagonal: Any) -> Array:
    found, i = v.copy(), np.arange(v.shape[-1])
    found[..., i, i] = diagonal
    return found


def _has_unit_diagonal(v: Array) -> bool:
    return bool(np.all(_diagonal(v) == 1))


def _unit_diagonal(symmetric: bool) -> Callable[[Array], Array]:
    def mend(v: Array) -> Array:
        diagonal = _diagonal(v)
        if symmetric and v.dtype.kind == "f" and np.all(diagonal > 0):  # of a correlation: it stays definite
            root = np.sqrt(diagonal)
            v = v / root[..., :, None] / root[..., None, :]
        return _with_diagonal(v, 1)

    return mend


def _has_positive_diagonal(v: Array) -> bool:
    return bool(np.all(_diagonal(v) > 0))


def _positive_diagonal(v: Array) -> Array:
    return _with_diagonal(v, np.abs(_diagonal(v)))


def _is_definite(least: float) -> Callable[[Array], bool]:
    def holds(v: Array) -> bool:
        try:
            values = np.linalg.eigvalsh(v.astype(float))
        except np.linalg.LinAlgError:
            return False
        return bool(np.all(values > least * np.max(np.abs(values))))

    return holds


def _definite(least: float, whole: bool) -> Callable[[Array], Array]:
    """As much added to the diagonal as makes the smallest eigenvalue a part of the mean size; zeros stay where they
    are.
    """

    def mend(v: Array) -> Array:
        values = np.linalg.eigvalsh(v.astype(float))
        short = least * np.mean(np.abs(values), axis=-1) - values.min(axis=-1)
        add = np.where(short > 0, short * (1 + 1e-6), 0)[..., None]
        if whole and is_whole(v):
            add = np.ceil(add).astype(v.dtype)
        return _with_diagonal(v, _diagonal(v) + add)

    return mend


def _gram(v: Array, tall: bool) -> Array:
    turned = np.swapaxes(v, -1, -2)
    return np.asarray(turned @ v if tall else v @ turned)


def _is_orthogonal(tall: bool) -> Callable[[Array], bool]:
    def holds(v: Array) -> bool:
        norms = np.sum(np.square(v, dtype=float), axis=-2 if tall else -1)
        if not np.all(np.abs(norms - 1) <= 2 * _tolerance(v)):
            return False
        gram = _gram(v.astype(float), tall)
        return bool(np.all(np.abs(gram - np.eye(gram.shape[-1])) <= 2 * _tolerance(v)))

    return holds


def _orthogonal(tall: bool, turn: Any) -> Callable[[Array], Array]:
    """The nearest matrix of orthonormal columns, or rows; of the determinant that was given."""

    def mend(v: Array) -> Array:
        if not _is_orthogonal(tall)(v):
            U, _, V = np.linalg.svd(v.astype(float), full_matrices=False)
            v = U @ V
            if tall and v.shape[-1] == v.shape[-2]:
                flip = np.sign(np.linalg.det(v)) != np.sign(turn)
                v[..., -1] = np.where(flip[..., None], -v[..., -1], v[..., -1])
        for _ in range(3):  # Newton and Schulz, in however many digits: the error is squared
            gram = _gram(v, tall)
            three = 3 * np.eye(gram.shape[-1], dtype=v.dtype)
            v = (v @ (three - gram) if tall else (three - gram) @ v) / 2
        return v

    return mend


def _adds_up(one: int, axis: int | None, positive: bool) -> Callable[[Array], bool]:
    def holds(v: Array) -> bool:
        off = np.abs(np.sum(v, axis=axis, dtype=float) - one)
        size = np.sum(np.abs(v), axis=axis, dtype=float)
        least = _tolerance(v) + 16 * _eps(v) * size if one else _tolerance(v) * size
        return bool(np.all(off <= least)) and (not positive or bool(np.all(v >= 0)))

    return holds


def _to_sum(one: int, axis: int | None, positive: bool, symmetric: bool) -> Callable[[Array], Array]:
    def mend(v: Array) -> Array:
        total = np.sum(v, axis=axis, keepdims=True)
        count = v.size if axis is None else v.shape[axis]
        if symmetric and axis is not None and not positive:  # as a Laplacian
            return _with_diagonal(v, _diagonal(v) + np.ravel(one - total))
        if not positive:
            return np.asarray(v + (one - total) / count)
        with np.errstate(all="ignore"):
            return np.where(total > 0, v / np.where(total > 0, total, 1), one / count)

    return mend


def _has_norm(axis: int | None) -> Callable[[Array], bool]:
    return lambda v: bool(np.all(np.abs(np.sum(np.square(v, dtype=float), axis=axis) - 1) <= 2 * _tolerance(v)))


def _to_norm(axis: int | None) -> Callable[[Array], Array]:
    def mend(v: Array) -> Array:
        norm = np.sqrt(np.sum(np.square(v), axis=axis, keepdims=True))
        count = v.size if axis is None else v.shape[axis]
        return np.where(norm > 0, v / np.where(norm > 0, norm, 1), 1 / math.sqrt(count))

    return mend


def _is_sorted(axis: int, sign: int, strict: bool) -> Callable[[Array], bool]:
    def holds(v: Array) -> bool:
        steps = sign * np.diff(_signed(v), axis=axis)
        return bool(np.all(steps > 0 if strict else steps >= 0))

    return holds


def _signed(v: Array) -> Array:
    return v.astype(np.int64) if v.dtype.kind in "bu" else v


def _sorted(axis: int, sign: int, ends: Array | None) -> Callable[[Array], Array]:
    """In order; whole numbers, which may be where segments begin, from the first to the last that were given."""

    def mend(v: Array) -> Array:
        found = np.sort(v, axis=axis)
        if sign < 0:
            found = np.flip(found, axis)
        if ends is not None:
            found = np.clip(found, ends.min(), ends.max())
            found[0], found[-1] = ends[0], ends[-1]
        return found

    return mend


def _permutes(array: Array) -> Callable[[Array], bool]:
    given = np.sort(array)
    return lambda v: bool(np.array_equal(np.sort(v), given))


def _permuted(array: Array) -> Callable[[Array], Array]:
    """The given numbers, in the order of what is drawn."""
    given = np.sort(array)

    def mend(v: Array) -> Array:
        found = np.empty_like(array)
        found[np.argsort(v, kind="stable")] = given
        return found

    return mend
