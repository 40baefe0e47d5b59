"""The neuron in JAX: the forward pass is written, the gradients are `jax.value_and_grad`'s, compiled by XLA.

On ``device="cuda:all"`` (or "cpu:all") X lies over all devices, of all processes where `jax.distributed` has been
initialised: each device adds over its own examples, and one reduction a step adds over the devices.
"""

import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, final

import numpy as np
import numpy.typing as npt

from handgrad import neuron
from handgrad.backend import Parameters, Sums
from handgrad.backends import fused
from handgrad.descent import BLOCK_EPOCHS
from handgrad.errors import MissingExtraError, UsageError
from handgrad.examples import on_host
from handgrad.host import portable
from handgrad.objective import means
from handgrad.pieces import many, of_bytes
from handgrad.processes import ALONE, Processes

try:
    import jax
    import jax.numpy as jnp
    from jax._src import xla_bridge
    from jax.experimental import multihost_utils
    from jax.sharding import Mesh

    from handgrad.backends.inputs import AXIS, Bytes, Columns, Inputs, Rows, own_columns, sharded, spread
except ModuleNotFoundError:
    raise MissingExtraError("JAX", "jax") from None

ALL = ":all"
"""After the kind of a device: all of them, of all processes."""

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "identity": lambda Z: Z,
}


@final
class Neuron(neuron.Neuron):
    __doc__ = neuron.Neuron.__doc__

    devices = ("cpu", "cuda")
    own_threads = True

    def put(self, array: Any) -> jax.Array:
        where = self._device()
        with self.arithmetic():
            if isinstance(where, Mesh):
                return spread(array, where, self.dtype)
            if not (isinstance(array, jax.Array) and array.is_fully_addressable):
                array = np.asarray(array)  # PyTorch's too
            placed: jax.Array = jax.device_put(portable(array, self.dtype), where).astype(self.dtype)
        return placed

    def reads_bytes(self, X: Any) -> bool:
        kept = many(X, self.device) or (self._fuses(*X.shape) and of_bytes(X))
        return kept and not isinstance(self._device(), Mesh)

    def put_inputs(self, X: Any) -> Inputs:
        """X (n, m) as `handgrad.backends.inputs` has it: `Rows` for the fused step, `Bytes` of many, or over a mesh."""
        where = self._device()
        if isinstance(X, Inputs):
            if X.where == where and X.dtype in (self.dtype, "uint8"):
                return X
            X = self.get(X)
        n, m = X.shape
        if isinstance(where, Mesh):
            with self.arithmetic():
                X = X if on_host(X) else self.get(X)
                return sharded(X, where, self.dtype, rows=self._fuses(n, m // where.size + 1))
        fuses = self._fuses(n, m)
        if not (fuses or many(X, self.device)):
            return Columns(self.put(X))
        X = X if isinstance(X, jax.Array) else np.asarray(X)
        rows = portable(X, self.dtype).T
        held = jax.device_put(rows if of_bytes(rows) else rows.astype(self.dtype), where)
        return Rows(held) if fuses else Bytes(held)

    def get(self, array: Any) -> npt.NDArray[Any]:
        return np.asarray(array)

    def forward(self, parameters: Parameters, X: Any) -> jax.Array:
        X = self.put_inputs(X)
        with self.arithmetic():
            A: jax.Array = X.settled(Neuron._forward(self._summing, self.put_parameters(parameters), X))
        return A

    def loss_sum(self, parameters: Parameters, X: Any, Y: Any) -> jax.Array:
        X = self.put_inputs(X)
        with self.arithmetic():
            loss: jax.Array = X.settled(
                Neuron._loss_sum(self._summing, self.put_parameters(parameters), X, self.put(Y))
            )
        return loss

    def sums(self, parameters: Parameters, X: Any, Y: Any) -> Sums:
        X = self.put_inputs(X)
        with self.arithmetic():
            loss, (dW, db) = X.settled(
                Neuron._loss_and_gradients(self._summing, self.put_parameters(parameters), X, self.put(Y))
            )
        return Sums(loss, dW, db, X.shape[1])

    @property
    def _summing(self) -> "Neuron":
        """The same without a penalty, which is no part of a sum: what was compiled is there for all of them."""
        return _without_penalty(self)

    def descend(
        self,
        parameters: Parameters,
        train: tuple[Any, Any],
        validation: tuple[Any, Any] | None,
        learning_rate: float,
        epochs: range,
        validation_every: int,
    ) -> tuple[Parameters, Any, Any]:
        """All of the epochs in one dispatch."""
        with self.arithmetic():
            parameters, costs = Neuron._descend(
                self._summing,
                self.l2 or None,
                parameters,
                train,
                validation,
                learning_rate,
                epochs.start,
                epochs.stop,
                validation_every,
            )
        train_costs, validation_costs = self.get(costs)[:, : len(epochs)]
        taken = [validation is not None and epoch % validation_every == 0 for epoch in epochs]
        return parameters, train_costs, np.where(taken, validation_costs, np.nan)

    @partial(jax.jit, static_argnums=0)
    def _descend(
        self,
        l2: float | None,
        parameters: Parameters,
        train: tuple[Any, jax.Array],
        validation: tuple[Any, jax.Array] | None,
        learning_rate: float,
        start: int,
        stop: int,
        validation_every: int,
    ) -> tuple[Parameters, jax.Array]:
        X, Y = train
        m = X.shape[1]

        def epoch(i: int, state: tuple[Parameters, jax.Array]) -> tuple[Parameters, jax.Array]:
            parameters, costs = state
            loss, (dW, db) = self._loss_and_gradients(parameters, X, Y)
            J, gradients = means(0.0 if l2 is None else l2, parameters, Sums(loss, dW, db, m))
            costs = costs.at[0, i - start].set(J)
            if validation is not None:
                costs = jax.lax.cond(
                    i % validation_every == 0,
                    lambda: costs.at[1, i - start].set(
                        self._loss_sum(parameters, *validation) / validation[0].shape[1]
                    ),
                    lambda: costs,
                )
            return parameters - learning_rate * gradients, costs

        costs = jnp.zeros((2, BLOCK_EPOCHS), self.dtype)
        state: tuple[Parameters, jax.Array] = jax.lax.fori_loop(start, stop, epoch, (parameters, costs))
        return state

    @partial(jax.jit, static_argnums=0)
    def _forward(self, parameters: Parameters, X: Inputs) -> jax.Array:
        A: jax.Array = X.joined(self._activations, parameters)
        return A

    @partial(jax.jit, static_argnums=0)
    def _loss_sum(self, parameters: Parameters, X: Inputs, Y: jax.Array) -> jax.Array:
        """L summed over the examples."""
        loss: jax.Array = X.total(self._loss, parameters, Y)
        return loss

    @partial(jax.jit, static_argnums=0)
    def _loss_and_gradients(self, parameters: Parameters, X: Inputs, Y: jax.Array) -> tuple[jax.Array, Parameters]:
        found: tuple[jax.Array, Parameters] = X.total(jax.value_and_grad(self._loss), parameters, Y)
        return found

    def _activations(self, parameters: Parameters, X: Columns | Rows) -> jax.Array:
        return ACTIVATIONS[self.activation](self._logits(parameters, X))

    def _loss(self, parameters: Parameters, X: Columns | Rows, Y: jax.Array) -> jax.Array:
        """L summed over the examples of one array: by the fused step where it is held for that, else as it stands."""
        if X.by_rows and self._fuses(*X.shape):
            from handgrad.backends.fused.pallas import loss_sum

            fused_sum: jax.Array = loss_sum(*parameters, X.array, Y, self.input_scale, self.activation, self.loss)
            return fused_sum
        Z = self._logits(parameters, X)
        if self.loss == "cross_entropy":
            return pairwise_sum(jax.nn.softplus((1 - 2 * Y) * Z))  # -log(A) for class 1 and -log(1 - A) for class 0
        return pairwise_sum((ACTIVATIONS[self.activation](Z) - Y) ** 2 / 2)

    def _logits(self, parameters: Parameters, X: Columns | Rows) -> jax.Array:
        Z: jax.Array = X.product(self.input_scale * parameters.W) + parameters.b
        return Z

    def _fuses(self, n: int, m: int) -> bool:
        """Whether X (n, m) is read by the fused step: on a CUDA device, in float32, whose offsets have 32 bits."""
        on_gpu = self.device.startswith(("cuda", "gpu")) and self.dtype == "float32"
        return on_gpu and fused.fits(n) and n * m < 2**31

    def arithmetic(self) -> AbstractContextManager[Any]:
        """Allow float64 for the length of a call, and only for a neuron that asked for it."""
        within = ExitStack()
        within.enter_context(super().arithmetic())
        if self.dtype == "float64":
            within.enter_context(jax.enable_x64(True))
        return within

    @property
    def processes(self) -> Processes:
        where = self._device()
        return OverMesh(where) if isinstance(where, Mesh) else ALONE

    def held(self, X: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        where = self._device()
        several = isinstance(where, Mesh) and where.is_multi_process
        return [X[:, columns] for columns in own_columns(X, where)] if several else [X]

    def _device(self) -> jax.Device | Mesh:
        """One device of this process, or all of that kind, of all processes.

        Raises:
            UsageError: the process was forked from one that had used JAX, whose threads are not in it.
        """
        if _forked:
            raise UsageError(
                "this process was forked from one that had used JAX, which waits for ever here; start it by "
                "multiprocessing.get_context('spawn') or 'forkserver', or use another backend"
            )
        platform, _, index = self.device.partition(":")
        if index == "all":
            return Mesh(np.array(jax.devices(platform)), (AXIS,))
        return jax.local_devices(backend=platform)[int(index or 0)]

    @classmethod
    def device_among(cls, processes: Processes, device: str) -> str:
        """All devices of that kind, of all processes, which are joined by `jax.distributed`."""
        if processes.count == 1:
            return device
        kind = device.removesuffix(ALL)
        if ":" in kind:
            raise UsageError(
                f"device is {device!r} for {processes.count} processes; expected 'cpu' or 'cuda', all of them"
            )
        if not jax.distributed.is_initialized():
            with socket.socket() as free:
                free.bind(("", 0))
                port = processes.first(free.getsockname()[1])
            own = [processes.rank_here] if kind != "cpu" and processes.count_here > 1 else None
            config: Any = jax.config
            config.update("jax_enable_recoverability", True)  # else the others abort without saying who died
            config.update("jax_enable_preemption_service", False)  # which takes SIGTERM for itself
            jax.distributed.initialize(f"{processes.address}:{port}", processes.count, processes.rank, own)
            processes.ends.append(jax.distributed.shutdown)
            with _standard_output_as_error():
                multihost_utils.sync_global_devices("handgrad")
        return f"{kind}{ALL}"

    def check_device(self) -> None:
        try:
            self._device()
        except UsageError:
            raise
        except (RuntimeError, IndexError, ValueError, AssertionError) as error:
            asked = os.environ.get("JAX_PLATFORMS", "")
            reason = str(error).splitlines()[0] if str(error) else f"of JAX_PLATFORMS={asked} this machine has none"
            raise UsageError(f"device is {self.device!r}, which JAX cannot use: {reason}") from None


@lru_cache
def _without_penalty(of: Neuron) -> Neuron:
    return replace(of, l2=0.0)


_forked = False


def _in_a_child() -> None:
    global _forked
    _forked = xla_bridge.backends_are_initialized()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_a_child)


class OverMesh(Processes):
    """Those whose devices are a mesh, over which JAX itself cuts X and adds; each calls the same, at the same time."""

    def __init__(self, mesh: Mesh) -> None:
        super().__init__()
        self.several = mesh.is_multi_process
        self.count = jax.process_count() if self.several else 1

    def largest(self, values: list[float]) -> list[float]:
        if not self.several:
            return values
        with jax.enable_x64(True):
            gathered = multihost_utils.process_allgather(np.array(values, np.float64))
        return [float(value) for value in gathered.max(axis=0)]


@contextmanager
def _standard_output_as_error() -> Iterator[None]:
    """Of the whole process: where JAX's processes first meet on CPUs, a library says so, among the results."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def pairwise_sum(V: jax.Array) -> jax.Array:
    """The sum of V (1, m), by halves: its error grows with log m, where that of XLA's own sum on a CPU grows with m.

    Higham, "The Accuracy of Floating Point Summation", 1993, section 4.
    """
    while V.shape[1] > 1:
        half = V.shape[1] // 2
        V = jnp.concatenate([V[:, :half] + V[:, half : 2 * half], V[:, 2 * half :]], axis=1)
    return V[0, 0]
