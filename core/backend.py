"""What a backend writes, and the values that go in and out of it: all else is built on these.

A full-batch gradient is a sum over examples. So a backend is four methods: the way to its device and back, `put` and
`get`; the activations, `forward`; and `sums`, the loss and the gradients summed over the examples that it is given.
`handgrad.neuron` has the mathematics, and makes of them everything that a neuron does.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from handgrad.checks import count, number, one_of, shown
from handgrad.errors import UsageError
from handgrad.processes import ALONE, Processes

Array: TypeAlias = Any
"""A backend's own array (`numpy.ndarray`, `torch.Tensor`, `jax.Array`); where it is an argument, a NumPy array too."""

ACTIVATIONS = ("sigmoid", "tanh", "relu", "identity")
LOSSES = ("cross_entropy", "squared_error")
DTYPES = ("float32", "float64")

MOST = np.iinfo(np.intp).max // 8
"""The most numbers in an array of float64."""


class VectorSpace:
    """Values as a vector: plus, minus, scalar times and inner product, by operators, on any backend's arrays."""

    __slots__ = ()
    __array_ufunc__ = None  # NumPy's numbers, too, leave the product with them to us

    def __add__(self, other: Iterable[Array]) -> Self:
        return self._of(a + b for a, b in zip(self, other, strict=True))  # type: ignore[call-overload]  # all are tuples

    def __sub__(self, other: Iterable[Array]) -> Self:
        return self._of(a - b for a, b in zip(self, other, strict=True))  # type: ignore[call-overload]

    def __mul__(self, scalar: Any) -> Self:
        return self._of(scalar * V for V in self)  # type: ignore[attr-defined]

    __rmul__ = __mul__

    def __abs__(self) -> Self:
        return self._of(map(abs, self))  # type: ignore[call-overload]

    def _of(self, values: Iterable[Array]) -> Self:
        return type(self)(*values)

    def __matmul__(self, other: Iterable[Array]) -> Array:
        """The inner product, over all entries."""
        return sum((a * b).sum() for a, b in zip(self, other, strict=True))  # type: ignore[call-overload]


class Parameters(VectorSpace, NamedTuple("Parameters", [("W", Array), ("b", Array)])):
    """What the neuron learns: W (1, n) and b (). A value: passed in and returned, never changed in place."""

    __slots__ = ()

    @classmethod
    def zeros(cls, n: int) -> Parameters:
        """The start of the articles: W = 0 and b = 0, for n features, float64.

        Raises:
            UsageError: n is no number of features.
        """
        return cls(np.zeros((1, count("n", n, 1, MOST))), np.zeros(()))

    @classmethod
    def random(cls, n: int, seed: int = 0) -> Parameters:
        """W from a normal distribution of variance 1 / n and b = 0, float64: the same numbers for every backend.

        The variance keeps Z near 1 for inputs near 1 (LeCun et al., "Efficient BackProp", 1998, section 4.6).

        Raises:
            UsageError: n is no number of features, or seed is negative.
        """
        rng, n = np.random.default_rng(count("seed", seed, 0)), count("n", n, 1, MOST)
        return cls(rng.standard_normal((1, n)) / math.sqrt(n), np.zeros(()))


class Gradients(VectorSpace, NamedTuple("Gradients", [("dW", Array), ("db", Array)])):
    """dJ/dW (1, n) and dJ/db (), of the dtype of the neuron."""

    __slots__ = ()


class Sums(VectorSpace, NamedTuple("Sums", [("loss", Array), ("dW", Array), ("db", Array), ("m", float)])):
    """Loss (), dL/dW (1, n) and dL/db (), summed over m examples, or over examples whose weights add up to m.

    Sums over parts of the examples add.
    """

    __slots__ = ()


@dataclass(frozen=True)
class Configuration:
    """What a neuron computes, and in which numbers; not where. Arguments and errors: see `handgrad.neuron.Neuron`."""

    activation: str = "sigmoid"
    loss: str = "cross_entropy"
    l2: float = 0.0
    input_scale: float = 1.0
    dtype: str = "float32"

    def __post_init__(self) -> None:
        for name, choices in ("activation", ACTIVATIONS), ("loss", LOSSES), ("dtype", DTYPES):
            object.__setattr__(self, name, one_of(name, getattr(self, name), choices))
        if self.loss == "cross_entropy" and self.activation != "sigmoid":
            raise UsageError(
                f"loss 'cross_entropy' needs activation 'sigmoid', found {self.activation!r}; "
                "use loss 'squared_error' or the sigmoid"
            )
        # As Python's floats, which take on the dtype of the arrays that they meet; NumPy's would impose theirs.
        object.__setattr__(self, "l2", number("l2", self.l2, zero=True))
        object.__setattr__(self, "input_scale", number("input_scale", self.input_scale))

    @property
    def configuration(self) -> Configuration:
        """This alone, of a neuron that has a device."""
        return Configuration(*(getattr(self, field.name) for field in fields(Configuration)))


@dataclass(frozen=True)
class Backend(Configuration, ABC):
    """A configuration on a device, and how it is computed there."""

    device: str = "cpu"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.device, str):
            raise UsageError(f"device is {shown(self.device)}; expected its name, as 'cpu'")
        self.check_device()

    # What a backend writes.

    @abstractmethod
    def put(self, array: Array) -> Array:
        """Host to device, in the neuron's dtype: the one place where data crosses, and the one copy that is made.

        An array that is there already is returned as it is. Arrays keep their shape. Y, W and b are put; of X, see
        `put_inputs`.
        """

    @abstractmethod
    def get(self, array: Array) -> npt.NDArray[Any]:
        """Device to host: the same numbers as a NumPy array. A NumPy array is returned as it is."""

    @abstractmethod
    def forward(self, parameters: Parameters, X: Array) -> Array:
        """A = f(W (s X) + b), shape (1, m), on the device. Arguments are not checked."""

    @abstractmethod
    def sums(self, parameters: Parameters, X: Array, Y: Array) -> Sums:
        """Loss, dL/dW and dL/db summed over the m examples of X, on the device. Arguments are not checked.

        The penalty is not part of them, since it is not a sum over examples.
        """

    # What a backend may override: where X lies, and what is faster together.

    reads: ClassVar[int] = 2
    """How many times `sums` reads X; of bytes that stay bytes, once."""

    own_threads: ClassVar[bool] = False
    """Whether it computes in threads of its own, and not in those of NumPy's BLAS."""

    devices: ClassVar[tuple[str, ...]] = ("cpu",)
    """The kinds of devices that it runs on."""

    def reads_bytes(self, X: Array) -> bool:
        """Whether X is of bytes that `put_inputs` keeps and `sums` reads; else it is copied, in the neuron's dtype."""
        return False

    def put_inputs(self, X: Array) -> Array:
        """X to the device, as it is read best: as `put`, or as bytes where the backend reads them."""
        return self.put(X)

    def loss_sum(self, parameters: Parameters, X: Array, Y: Array) -> Array:
        """The loss alone, summed over the examples of X: what a cost needs."""
        return self.sums(parameters, X, Y).loss

    def descend(
        self,
        parameters: Parameters,
        train: tuple[Array, Array],
        validation: tuple[Array, Array] | None,
        learning_rate: float,
        epochs: range,
        validation_every: int,
    ) -> tuple[Parameters, Array, Array] | None:
        """Some consecutive epochs of gradient descent in one call: W := W - alpha dW and b := b - alpha db.

        Args:
            parameters: W and b before the first of the epochs; on the device, as are all arrays here.
            train: X and Y to descend on, X as `put_inputs` gives it.
            validation: X and Y to watch, or None.
            learning_rate: alpha.
            epochs: which ones, `handgrad.descent.BLOCK_EPOCHS` at the most; they count from 0 over the whole training.
            validation_every: the validation cost is taken at epochs that this divides.

        Returns:
            The parameters after the last one, and the cost on train and the mean loss on validation before each epoch's
            update (NaN where not taken), which may not be computed yet. None: take them step by step.
        """
        return None

    @property
    def processes(self) -> Processes:
        """Those over whose devices X is cut and summed by `sums` itself, as on a mesh; else this one alone."""
        return ALONE

    @classmethod
    def device_among(cls, processes: Processes, device: str) -> str:
        """Of a device of that name, the one of this process, which makes no neuron before it has asked for that."""
        return device

    def held(self, X: npt.NDArray[Any]) -> Iterable[npt.NDArray[Any]]:
        """What this process will hold of X (n, m), in pieces (n, k)."""
        return [X]

    def arithmetic(self) -> AbstractContextManager[Any]:
        """Within it, the backend's arrays are computed with, by operators, in the neuron's dtype.

        NumPy says nothing of what overflows there: it is found in the costs.
        """
        return np.errstate(over="ignore", invalid="ignore")

    def check_device(self) -> None:
        """Raise a UsageError where `device` does not exist."""
        if self.device != "cpu":
            raise UsageError(f"device is {self.device!r}; this backend runs on 'cpu' only")

    # Of both parameters.

    def put_parameters(self, parameters: Parameters) -> Parameters:
        """W and b on the device."""
        return Parameters(self.put(parameters.W), self.put(parameters.b))

    def get_parameters(self, parameters: Parameters) -> Parameters:
        """W and b as NumPy arrays, which share no memory with them."""
        return Parameters(np.array(self.get(parameters.W)), np.array(self.get(parameters.b)))
