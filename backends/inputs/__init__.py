"""How X (n, m) lies on the devices of JAX: as columns or rows of one array, in bytes, or over a mesh of devices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Self, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from handgrad.backend import Parameters
from handgrad.examples import Stored, on_host
from handgrad.host import portable
from handgrad.pieces import width

AXIS = "examples"
"""Of a mesh: over what X is cut."""

WHOLE = PartitionSpec()  # type: ignore[no-untyped-call]

_T = TypeVar("_T")

matmul = partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
"""In full float32, also where the device has a shorter, faster product (TF32)."""


def in_jit(*arrays: str, fixed: Sequence[str] = ()) -> Callable[[type[_T]], type[_T]]:
    """A decorator of a dataclass that compiled functions take and give: of its fields, which are arrays."""
    return partial(jax.tree_util.register_dataclass, data_fields=arrays, meta_fields=fixed)


class Inputs:
    """X (n, m) on the devices of JAX, as one array or several: what is to be summed is written for one.

    Attributes:
        where: the device, or the mesh.
    """

    ndim = 2
    shape: Any
    dtype: Any
    where: Any

    def total(self, sums: Callable[..., Any], parameters: Parameters, Y: jax.Array) -> Any:
        """sums(parameters, X, Y), arrays that are sums over the examples."""
        return sums(parameters, self, Y)

    def joined(self, activations: Callable[..., Any], parameters: Parameters) -> Any:
        """activations(parameters, X) (1, m)."""
        return activations(parameters, self)

    def settled(self, results: Any) -> Any:
        """The results of a call, waited for where they have to be."""
        return results


@dataclass(frozen=True)
class One(Inputs):
    """X (n, m) as one array on one device.

    Attributes:
        array: X, or its transpose.
        over_mesh: how the array is cut where it lies over a mesh.
        by_rows: whether the features of an example lie beside each other, as the fused step reads them.
    """

    array: jax.Array
    over_mesh: ClassVar[PartitionSpec]
    by_rows: ClassVar[bool] = False

    @property
    def dtype(self) -> Any:
        return self.array.dtype

    @property
    def where(self) -> Any:
        return self.array.device


@in_jit("array")
@dataclass(frozen=True)
class Columns(One):
    """X (n, m), as it is written."""

    over_mesh = PartitionSpec(None, AXIS)  # type: ignore[no-untyped-call]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    def product(self, W: jax.Array) -> jax.Array:
        """W X (1, m)."""
        return matmul(W, self.array)

    def only(self, here: jax.Array) -> Self:
        """The same with 0 for all examples but those that are `here` (m,)."""
        return type(self)(jnp.where(here, self.array, 0))

    def __getitem__(self, columns: tuple[slice, Any]) -> Self:
        """X[:, which]: some of the examples."""
        return type(self)(self.array[columns])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.asarray(self.array, dtype)


@in_jit("array")
@dataclass(frozen=True)
class Rows(One):
    """X (n, m), held as its contiguous rows (m, n), since JAX keeps no transposed views: what the fused step reads."""

    over_mesh = PartitionSpec(AXIS)  # type: ignore[no-untyped-call]
    by_rows = True

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape[::-1]

    def product(self, W: jax.Array) -> jax.Array:
        """W X (1, m), as X^T W^T, since X^T is there: XLA on a CPU takes ten times as long for W X of it."""
        return matmul(self.array.astype(W.dtype), W[0])[np.newaxis]

    def only(self, here: jax.Array) -> Self:
        """The same with 0 for all examples but those that are `here` (m,)."""
        return type(self)(jnp.where(here[:, np.newaxis], self.array, 0))

    def __getitem__(self, columns: tuple[slice, Any]) -> Self:
        """X[:, which]: some of the examples."""
        return type(self)(self.array[columns[1]])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.asarray(self.array.T, dtype)


@in_jit("array")
@dataclass(frozen=True)
class Bytes(Rows):
    """X of many bytes, of which a few examples at a time, as `Rows`, are made numbers of (`handgrad.pieces`)."""

    def total(self, sums: Callable[..., Any], parameters: Parameters, Y: jax.Array) -> Any:
        k, whole, m = self._cut(parameters)

        def piece(i: Any) -> Any:
            return sums(parameters, self._some(i * k, k), jax.lax.dynamic_slice_in_dim(Y, i * k, k, axis=1))

        def add(so_far: tuple[Any, Any], found: Any) -> tuple[Any, Any]:
            """The sum, and what it has too much by rounding: the error does not grow with how many pieces there are.

            Kahan, "Further Remarks on Reducing Truncation Errors", 1965.
            """
            total, excess = so_far
            some = ravel_pytree(found)[0] - excess
            after = total + some
            return after, jnp.where(jnp.isfinite(after), (after - total) - some, 0)

        zero, apart = ravel_pytree(jax.tree.map(lambda V: jnp.zeros(V.shape, V.dtype), jax.eval_shape(piece, 0)))
        so_far = jax.lax.fori_loop(0, whole // k, lambda i, so_far: add(so_far, piece(i)), (zero, zero))
        if whole < m:
            so_far = add(so_far, sums(parameters, Rows(self.array[whole:]), Y[:, whole:]))
        return apart(so_far[0])

    def joined(self, activations: Callable[..., Any], parameters: Parameters) -> Any:
        k, whole, m = self._cut(parameters)
        A = jax.lax.map(lambda start: activations(parameters, self._some(start, k))[0], jnp.arange(0, whole, k))
        rest = [] if whole == m else [activations(parameters, Rows(self.array[whole:]))]
        return jnp.concatenate([A.reshape(1, whole), *rest], axis=1)

    def _cut(self, parameters: Parameters) -> tuple[int, int, int]:
        """Examples in a piece, in all pieces that are whole, and in all."""
        n, m = self.shape
        k = min(m, width(n, parameters.W.dtype))
        return k, m - m % k, m

    def _some(self, start: Any, k: int) -> Rows:
        return Rows(jax.lax.dynamic_slice_in_dim(self.array, start, k))


@in_jit("even", "rest", fixed=["mesh"])
@dataclass(frozen=True)
class Sharded(Inputs):
    """X (n, m) on a mesh of D devices, of which each has k = m // D examples of its own, and all have the rest.

    A sum over the examples is that of each device over its own, added by one reduction over the devices, and that over
    the rest, which every device takes alike. So no example is moved, and none is made up to have as many everywhere.

    Attributes:
        mesh: the devices, along one axis.
        even: the first D k examples, `Columns` or `Rows`; None where k is 0.
        rest: the others, on every device; None where there are none.
    """

    mesh: Mesh
    even: Any
    rest: Any

    @property
    def shape(self) -> tuple[int, int]:
        """(n, m)."""
        parts = self._parts()
        return parts[0].shape[0], sum(part.shape[1] for part in parts)

    @property
    def dtype(self) -> Any:
        return self._parts()[0].dtype

    @property
    def where(self) -> Mesh:
        return self.mesh

    def _parts(self) -> list[Any]:
        return [part for part in (self.even, self.rest) if part is not None]

    def total(self, sums: Callable[..., Any], parameters: Parameters, Y: jax.Array) -> Any:
        """The same on every device, by one reduction: all that is summed is one array for it."""

        def on_one(even: Any, rest: Any, parameters: Parameters, Y: jax.Array) -> Any:
            added: Any = 0.0
            if even is not None:
                k = even.shape[1]
                own = jax.lax.dynamic_slice_in_dim(Y, jax.lax.axis_index(AXIS) * k, k, axis=1)
                here, apart = ravel_pytree(sums(parameters, even, own))
                added += _added(here)
            if rest is not None:
                here, apart = ravel_pytree(sums(parameters, rest, Y[:, Y.shape[1] - rest.shape[1] :]))
                added += here
            return apart(added)

        return self.on_each(on_one, parameters, Y)

    def joined(self, activations: Callable[..., Any], parameters: Parameters) -> Any:
        """The same on every device."""

        def on_one(even: Any, rest: Any, parameters: Parameters) -> Any:
            A = [] if even is None else [jax.lax.all_gather(activations(parameters, even), AXIS, axis=1, tiled=True)]
            return jnp.concatenate(A if rest is None else [*A, activations(parameters, rest)], axis=1)

        return self.on_each(on_one, parameters)

    def on_each(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """function(even, rest, *arguments) on each device, with its own of the even part; it is the same on all."""
        specs = (WHOLE if self.even is None else self.even.over_mesh, WHOLE, *(WHOLE for _ in arguments))
        # Unchecked, since a kernel does not say which of its results are the same on all devices.
        on_each = jax.shard_map(function, mesh=self.mesh, in_specs=specs, out_specs=WHOLE, check_vma=False)
        return on_each(self.even, self.rest, *arguments)

    def settled(self, results: Any) -> Any:
        """Waited for on CPUs: there, a device that waits for the others holds a thread, and calls in a queue can hold
        all that there are.
        """
        on_cpus = self.mesh.devices.flat[0].platform == "cpu"
        return jax.block_until_ready(results) if on_cpus else results  # type: ignore[no-untyped-call]

    def __getitem__(self, columns: tuple[slice, Any]) -> Sharded:
        """X[:, which]: some of the examples, on every device."""
        with jax.enable_x64(True):
            return Sharded(self.mesh, None, self.settled(_taken(self, np.arange(self.shape[1])[columns[1]])))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.asarray(self[:, :].rest, dtype)


@jax.jit
def _taken(X: Sharded, which: jax.Array) -> Any:
    """The examples of these numbers: each comes from the one device that has it, where the others add zeros."""

    def some(part: Any, j: jax.Array) -> Any:
        here = (j >= 0) & (j < part.shape[1])
        return part[:, jnp.where(here, j, 0)].only(here)

    def on_one(even: Any, rest: Any, which: jax.Array) -> Any:
        if even is None:
            return some(rest, which)
        k = even.shape[1]
        found = _added(some(even, which - jax.lax.axis_index(AXIS) * k))
        return found if rest is None else jax.tree.map(jnp.add, found, some(rest, which - X.mesh.size * k))

    return X.on_each(on_one, which)


def _added(V: Any) -> Any:
    """The sum over the devices."""
    return jax.lax.psum(V, AXIS)  # type: ignore[no-untyped-call]


def spread(V: Any, mesh: Mesh, dtype: str) -> jax.Array:
    """V whole on every device of a mesh, as dtype."""
    if not (isinstance(V, jax.Array) and V.is_fully_replicated and V.sharding.device_set == set(mesh.devices.flat)):
        source: Any = V if on_host(V) else np.asarray(V)
        sharding = NamedSharding(mesh, WHOLE)
        V = jax.make_array_from_callback(source.shape, sharding, lambda at: portable(np.asarray(source[at]), dtype))
    placed: jax.Array = V
    return placed.astype(dtype)


def sharded(X: npt.NDArray[Any] | Stored, mesh: Mesh, dtype: str, *, rows: bool) -> Sharded:
    """X (n, m) over a mesh, as dtype; or, with `rows`, as `Rows`, with bytes as they are; each process reads its
    own examples.
    """
    n, m = X.shape
    even = m - m % mesh.size
    kind = Rows if rows else Columns

    def part(first: int, last: int, spec: PartitionSpec) -> Any:
        if first == last:
            return None

        def read(at: Any) -> Any:
            which = range(first, last)[at[0] if rows else at[1]]
            x = np.asarray(X[:, which.start : which.stop])
            return portable(x.T if rows else x, dtype)

        shape = (last - first, n) if rows else (n, last - first)
        placed = jax.make_array_from_callback(shape, NamedSharding(mesh, spec), read)
        return kind(placed if rows and placed.dtype == np.uint8 else placed.astype(dtype))

    return Sharded(mesh, part(0, even, kind.over_mesh), part(even, m, WHOLE))


def own_columns(X: npt.NDArray[Any], mesh: Mesh) -> list[slice]:
    """Which columns of X (n, m) this process has on a mesh: those of its devices, and the rest."""
    n, m = X.shape
    even = m - m % mesh.size
    at = NamedSharding(mesh, Columns.over_mesh).addressable_devices_indices_map((n, even)) if even else {}
    columns = [index[1] for index in at.values() if index is not None]
    return columns if m == even else [*columns, slice(even, m)]
