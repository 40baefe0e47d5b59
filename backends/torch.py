"""The neuron in PyTorch: the forward pass is written, the gradients are `torch.autograd`'s."""

import functools
import importlib.util
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, final

import numpy as np
import numpy.typing as npt

from handgrad import neuron
from handgrad.backend import Parameters, Sums
from handgrad.backends import fused
from handgrad.errors import MissingExtraError, UsageError
from handgrad.host import portable
from handgrad.pieces import added, in_pieces, many, of_bytes
from handgrad.processes import Processes
from handgrad.threads import Held

try:
    import torch
except ModuleNotFoundError:
    raise MissingExtraError("PyTorch", "torch") from None

if hasattr(os, "register_at_fork"):
    # the threads that PyTorch has started are not in a child, which would wait for them for ever
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))

ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "identity": lambda Z: Z,
}


@final
class Neuron(neuron.Neuron):
    __doc__ = neuron.Neuron.__doc__

    devices = ("cpu", "cuda")
    own_threads = True

    def put(self, array: Any) -> torch.Tensor:
        return self._placed_as_is(array).to(getattr(torch, self.dtype))

    def reads_bytes(self, X: Any) -> bool:
        return many(X, self.device) or (self._fuses(X.shape[0]) and of_bytes(X))

    def put_inputs(self, X: Any) -> torch.Tensor:
        """As `put`; or with contiguous examples, where X (n, m) is read by the fused step, or of many bytes."""
        if not (self._fuses(X.shape[0]) or many(X, self.device)):
            return self.put(X)
        placed = self._placed_as_is(X)
        if not of_bytes(placed):
            placed = placed.to(torch.float32)
        return placed.T.contiguous().T

    @torch.inference_mode(False)
    def _placed_as_is(self, array: Any) -> torch.Tensor:
        if not isinstance(array, torch.Tensor):
            with warnings.catch_warnings():  # a memory-mapped data set is read-only, and is only read here
                warnings.filterwarnings("ignore", "The given NumPy array is not writable")
                array = torch.as_tensor(portable(array, self.dtype), device="cpu")
        if array.is_inference():  # autograd takes none of those
            array = array.clone()
        placed: torch.Tensor = array.detach().to(self.device)
        return placed

    def get(self, array: Any) -> npt.NDArray[Any]:
        return array.detach().cpu().numpy() if isinstance(array, torch.Tensor) else np.asarray(array)

    @in_pieces(lambda A: torch.cat(list(A), dim=1), torch.from_numpy)
    @torch.no_grad()
    def forward(self, parameters: Parameters, X: Any) -> torch.Tensor:
        return ACTIVATIONS[self.activation](self._logits(self.put_parameters(parameters), self.put(X)))

    @in_pieces(added, torch.from_numpy)
    @torch.no_grad()
    def loss_sum(self, parameters: Parameters, X: Any, Y: Any) -> torch.Tensor:
        return self._loss(self.put_parameters(parameters), self.put_inputs(X), self.put(Y))

    @torch.inference_mode(False)
    @in_pieces(added, torch.from_numpy)
    def sums(self, parameters: Parameters, X: Any, Y: Any) -> Sums:
        X, Y = self.put_inputs(X), self.put(Y)
        leaves = Parameters(*(V.detach().requires_grad_() for V in self.put_parameters(parameters)))
        with torch.enable_grad(), full_precision(X.device.type):
            loss = self._loss(leaves, X, Y)
            dW, db = torch.autograd.grad(loss, leaves)
        return Sums(loss.detach(), dW, db, X.shape[1])

    def _logits(self, parameters: Parameters, X: torch.Tensor) -> torch.Tensor:
        with full_precision(X.device.type):
            Z: torch.Tensor = (self.input_scale * parameters.W) @ X + parameters.b
        return Z

    def _loss(self, parameters: Parameters, X: torch.Tensor, Y: torch.Tensor) -> torch.Tensor:
        """L summed over the examples: by the fused step where it can be, else as it is written here."""
        if self._fuses(X.shape[0]):
            from handgrad.backends.fused.triton import loss_sum

            return loss_sum(*parameters, X, Y, self.input_scale, self.activation, self.loss)
        Z = self._logits(parameters, X)
        if self.loss == "cross_entropy":
            # -log(A) for class 1, -log(1 - A) for class 0. Above 40 log(1 + e^S) is S in float64 too; not above 20.
            return torch.nn.functional.softplus((1 - 2 * Y) * Z, threshold=40).sum()
        return ((ACTIVATIONS[self.activation](Z) - Y) ** 2 / 2).sum()

    def _fuses(self, n: int) -> bool:
        """Whether n features are read by the fused step: on a GPU, in float32, if Triton is there and can compile."""
        on_gpu = torch.device(self.device).type == "cuda" and self.dtype == "float32"
        return on_gpu and fused.fits(n) and compiles(self.device)

    @classmethod
    def device_among(cls, processes: Processes, device: str) -> str:
        if processes.count == 1 or not device.startswith("cuda"):
            return device
        if device != "cuda":
            raise UsageError(
                f"device is {device!r} for {processes.count} processes; expected 'cuda', of which each has its own"
            )
        found = torch.cuda.device_count()
        if found < processes.count_here:
            raise UsageError(
                f"device is 'cuda', and this machine has {found} GPUs for {processes.count_here} processes; "
                "start one for each GPU"
            )
        torch.cuda.set_device(processes.rank_here)
        return f"cuda:{processes.rank_here}"

    def check_device(self) -> None:
        try:
            device = torch.device(self.device)
            if device.type not in ("cpu", "cuda"):
                raise RuntimeError("it is neither cpu nor cuda")
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError, TypeError) as error:
            reason = str(error).splitlines()[0]
            raise UsageError(f"device is {self.device!r}, which PyTorch cannot use: {reason}") from None


@functools.cache
def compiles(device: str) -> bool:
    """Whether Triton is installed, knows the device, and finds the compiler that it needs: by a step that is tried."""
    if importlib.util.find_spec("triton") is None:
        return False
    try:
        from handgrad.backends.fused.triton import loss_sum

        W, b, X, Y = (torch.zeros(shape, device=device) for shape in ((1, 1), (), (1, 1), (1, 1)))
        return bool(loss_sum(W, b, X, Y, 1.0, "sigmoid", "cross_entropy").isfinite())
    except Exception:  # Triton raises of its own, the driver and the compiler of theirs
        return False


@contextmanager
def full_precision(device: str) -> Iterator[None]:
    """Products in the neuron's dtype, whatever the caller allows (TF32, bfloat16, autocast), which is then restored."""
    with _highest(), torch.autocast(device, enabled=False):
        yield


def _to_highest() -> Callable[[], object]:
    allowed = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    return functools.partial(torch.set_float32_matmul_precision, allowed)


_highest = Held(_to_highest)
