"""How X (n, m) lies on the devices of JAX, where it is no plain array: as rows, and over a mesh of devices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from handgrad.backend import Parameters
from handgrad.blocks import Joined, on_host, portable
from handgrad.pieces import width

AXIS = "examples"
"""Of a mesh: over what X is cut."""

WHOLE = PartitionSpec()  # type: ignore[no-untyped-call]
COLUMNS = PartitionSpec(None, AXIS)  # type: ignore[no-untyped-call]
ROWS = PartitionSpec(AXIS)  # type: ignore[no-untyped-call]


@partial(jax.tree_util.register_dataclass, data_fields=["rows"], meta_fields=[])
@dataclass(frozen=True)
class Inputs:
    """X (n, m), held as its contiguous rows (m, n), since JAX keeps no transposed views: what the fused step reads."""

    rows: jax.Array

    ndim = 2

    @property
    def shape(self) -> tuple[int, int]:
        """(n, m)."""
        m, n = self.rows.shape
        return n, m

    @property
    def dtype(self) -> Any:
        return self.rows.dtype

    def __getitem__(self, columns: tuple[slice, Any]) -> Self:
        """X[:, which]: some of the examples."""
        return type(self)(self.rows[columns[1]])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.asarray(self.rows.T, dtype)


@partial(jax.tree_util.register_dataclass, data_fields=["rows"], meta_fields=[])
@dataclass(frozen=True)
class Bytes(Inputs):
    """X of many bytes, of which a few examples at a time, as `Inputs`, are made numbers of (`handgrad.pieces`)."""

    def total(self, sums: Callable[..., Any], parameters: Parameters, Y: jax.Array) -> Any:
        """sums(parameters, X, Y), an array that is a sum over the examples."""
        k, whole, m = self._cut(parameters)

        def piece(i: Any) -> Any:
            return sums(parameters, self._some(i * k, k), jax.lax.dynamic_slice_in_dim(Y, i * k, k, axis=1))

        of_one = jax.eval_shape(piece, 0)
        zero = jnp.zeros(of_one.shape, of_one.dtype)
        added: Any = jax.lax.fori_loop(0, whole // k, lambda i, so_far: so_far + piece(i), zero)
        return added if whole == m else added + sums(parameters, Inputs(self.rows[whole:]), Y[:, whole:])

    def joined(self, activations: Callable[..., Any], parameters: Parameters) -> Any:
        """activations(parameters, X) (1, m)."""
        k, whole, m = self._cut(parameters)
        A = jax.lax.map(lambda start: activations(parameters, self._some(start, k))[0], jnp.arange(0, whole, k))
        rest = [] if whole == m else [activations(parameters, Inputs(self.rows[whole:]))]
        return jnp.concatenate([A.reshape(1, whole), *rest], axis=1)

    def _cut(self, parameters: Parameters) -> tuple[int, int, int]:
        """Examples in a piece, in all pieces that are whole, and in all."""
        m, n = self.rows.shape
        k = min(m, width(n, parameters.W.dtype))
        return k, m - m % k, m

    def _some(self, start: Any, k: int) -> Inputs:
        return Inputs(jax.lax.dynamic_slice_in_dim(self.rows, start, k))


@partial(jax.tree_util.register_dataclass, data_fields=["even", "rest"], meta_fields=["mesh"])
@dataclass(frozen=True)
class Sharded:
    """X (n, m) on a mesh of D devices, of which each has k = m // D examples of its own, and all have the rest.

    A sum over the examples is that of each device over its own, added by one reduction over the devices, and that over
    the rest, which every device takes alike. So no example is moved, and none is made up to have as many everywhere.

    Attributes:
        mesh: the devices, along one axis.
        even: the first D k examples, an array (n, D k) or `Inputs`; None where k is 0.
        rest: the others, on every device; None where there are none.
    """

    mesh: Mesh
    even: Any
    rest: Any

    ndim = 2

    @property
    def shape(self) -> tuple[int, int]:
        """(n, m)."""
        parts = self._parts()
        return parts[0].shape[0], sum(part.shape[1] for part in parts)

    @property
    def dtype(self) -> Any:
        return self._parts()[0].dtype

    def _parts(self) -> list[Any]:
        return [part for part in (self.even, self.rest) if part is not None]

    def total(self, sums: Callable[..., Any], parameters: Parameters, Y: jax.Array) -> Any:
        """sums(parameters, X, Y), an array that is a sum over the examples; the same on every device."""

        def on_one(even: Any, rest: Any, parameters: Parameters, Y: jax.Array) -> Any:
            added: Any = 0.0
            if even is not None:
                k = even.shape[1]
                own = jax.lax.dynamic_slice_in_dim(Y, jax.lax.axis_index(AXIS) * k, k, axis=1)
                added += _added(sums(parameters, even, own))
            if rest is not None:
                added += sums(parameters, rest, Y[:, Y.shape[1] - rest.shape[1] :])
            return added

        return self.on_each(on_one, parameters, Y)

    def joined(self, activations: Callable[..., Any], parameters: Parameters) -> Any:
        """activations(parameters, X) (1, m), on every device."""

        def on_one(even: Any, rest: Any, parameters: Parameters) -> Any:
            A = [] if even is None else [jax.lax.all_gather(activations(parameters, even), AXIS, axis=1, tiled=True)]
            return jnp.concatenate(A if rest is None else [*A, activations(parameters, rest)], axis=1)

        return self.on_each(on_one, parameters)

    def on_each(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """function(even, rest, *arguments) on each device, with its own of the even part; it is the same on all."""
        specs = (ROWS if isinstance(self.even, Inputs) else COLUMNS, WHOLE, *(WHOLE for _ in arguments))
        # Unchecked, since a kernel does not say which of its results are the same on all devices.
        on_each = jax.shard_map(function, mesh=self.mesh, in_specs=specs, out_specs=WHOLE, check_vma=False)
        return on_each(self.even, self.rest, *arguments)

    def __getitem__(self, columns: tuple[slice, Any]) -> Sharded:
        """X[:, which]: some of the examples, on every device."""
        with jax.enable_x64(True):
            return Sharded(self.mesh, None, settled(_taken(self, np.arange(self.shape[1])[columns[1]]), self))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.asarray(self[:, :].rest, dtype)


@jax.jit
def _taken(X: Sharded, which: jax.Array) -> Any:
    """The examples of these numbers: each comes from the one device that has it, where the others add zeros."""

    def some(part: Any, j: jax.Array) -> Any:
        here = (j >= 0) & (j < part.shape[1])
        found = part[:, jnp.where(here, j, 0)]
        return jax.tree.map(lambda V: jnp.where(here[:, None] if isinstance(part, Inputs) else here, V, 0), found)

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


def spread(V: Any, mesh: Mesh, dtype: str, spec: PartitionSpec = WHOLE) -> jax.Array:
    """V on a mesh, as dtype: of a NumPy array each process reads what its own devices hold."""
    if not (isinstance(V, jax.Array) and V.is_fully_replicated and V.sharding.device_set == set(mesh.devices.flat)):
        source: Any = V if on_host(V) else np.asarray(V)
        sharding = NamedSharding(mesh, spec)
        V = jax.make_array_from_callback(source.shape, sharding, lambda at: portable(np.asarray(source[at]), dtype))
    placed: jax.Array = V
    return placed.astype(dtype)


def spread_rows(X: Any, mesh: Mesh, dtype: str, spec: PartitionSpec) -> Inputs:
    """X (n, m) of NumPy on a mesh, as the rows of `Inputs`, with bytes as they are; each process reads its own."""

    def rows(at: Any) -> Any:
        return portable(np.asarray(X[:, at[0]]).T, dtype)

    placed = jax.make_array_from_callback(X.shape[::-1], NamedSharding(mesh, spec), rows)
    return Inputs(placed if placed.dtype == np.uint8 else placed.astype(dtype))


def sharded(X: npt.NDArray[Any] | Joined, mesh: Mesh, dtype: str, *, rows: bool) -> Sharded:
    """X (n, m) over a mesh, as dtype; or, with `rows`, as `Inputs`, with bytes as they are."""
    even = X.shape[1] - X.shape[1] % mesh.size

    def part(x: Any, *, cut: bool) -> Any:
        if not x.size:
            return None
        if rows:
            return spread_rows(x, mesh, dtype, ROWS if cut else WHOLE)
        return spread(x, mesh, dtype, COLUMNS if cut else WHOLE)

    return Sharded(mesh, part(X[:, :even], cut=True), part(X[:, even:], cut=False))


def settled(results: Any, X: Any) -> Any:
    """The results of a call on X, waited for where it added over CPUs.

    There, a device that waits for the others holds a thread, and calls in a queue can hold all that there are.
    """
    on_cpus = isinstance(X, Sharded) and X.mesh.devices.flat[0].platform == "cpu"
    return jax.block_until_ready(results) if on_cpus else results  # type: ignore[no-untyped-call]


def own_columns(X: npt.NDArray[Any], mesh: Mesh) -> list[slice]:
    """Which columns of X (n, m) this process has on a mesh: those of its devices, and the rest."""
    n, m = X.shape
    even = m - m % mesh.size
    at = NamedSharding(mesh, COLUMNS).addressable_devices_indices_map((n, even)) if even else {}
    columns = [index[1] for index in at.values() if index is not None]
    return columns if m == even else [*columns, slice(even, m)]
