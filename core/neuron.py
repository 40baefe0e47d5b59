"""One neuron: the mathematics, what a backend writes, and what every backend shares.

The neuron maps an example x of n features to one activation::

    Z = W (s X) + b        A = f(Z)                 X (n, m), one column per example; s is input_scale
    J = (1 / m) sum_i L(A_i, Y_i) + (l2 / 2) W W^T  the cost: the mean loss and a penalty on W, never on b

with the loss L one of::

    cross_entropy   L = -(Y log A + (1 - Y) log(1 - A))     f the sigmoid; then dL/dZ = A - Y
    squared_error   L = (A - Y)^2 / 2                       any f;         then dL/dZ = (A - Y) f'(Z)

so that, for every backend::

    dW = (1 / m) sum_i dL/dZ_i s x_i^T + l2 W               db = (1 / m) sum_i dL/dZ_i

A full-batch gradient is a sum over examples. A backend therefore writes `sums` (loss, dW and db summed over the
examples that it is given), `forward`, and the way in and out, `put` and `get`. The rest is here, once.
"""

from __future__ import annotations

import functools
import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from handgrad import descent, memory
from handgrad import span as spans
from handgrad.blocks import VALUES, Blocks, Joined, Parts, in_a_file
from handgrad.checks import array, count, examples, number
from handgrad.descent import History, State, Task
from handgrad.errors import DataError, HandgradError, UsageError
from handgrad.optimizers import GradientDescent, Optimizer
from handgrad.processes import Processes
from handgrad.share import Share
from handgrad.views import View, Views
from handgrad.weights import Weighted

Array: TypeAlias = Any
"""A backend's own array (`numpy.ndarray`, `torch.Tensor`, `jax.Array`); where it is an argument, a NumPy array too."""

ACTIVATIONS = ("sigmoid", "tanh", "relu", "identity")
LOSSES = ("cross_entropy", "squared_error")
DTYPES = ("float32", "float64")
ALL = ":all"
"""After the kind of a device: all of them, of all processes."""


class Parameters(NamedTuple):
    """What the neuron learns: W (1, n) and b (). A value: passed in and returned, never changed in place."""

    W: Array
    b: Array

    @classmethod
    def zeros(cls, n: int) -> Parameters:
        """The start of the articles: W = 0 and b = 0, for n features, float64."""
        return cls(np.zeros((1, n)), np.zeros(()))

    @classmethod
    def random(cls, n: int, seed: int = 0) -> Parameters:
        """W from a normal distribution of variance 1 / n and b = 0, float64: the same numbers for every backend.

        The variance keeps Z near 1 for inputs near 1 (LeCun et al., "Efficient BackProp", 1998, section 4.6).

        Raises:
            UsageError: seed is negative.
        """
        if seed < 0:
            raise UsageError(f"seed is {seed}; expected at least 0")
        return cls(np.random.default_rng(seed).standard_normal((1, n)) / math.sqrt(n), np.zeros(()))


class Gradients(NamedTuple):
    """dJ/dW (1, n) and dJ/db (), of the dtype of the neuron."""

    dW: Array
    db: Array


class Sums(NamedTuple):
    """Loss (), dL/dW (1, n) and dL/db (), summed over m examples, or over examples whose weights add up to m.

    Sums over parts of the examples add.
    """

    loss: Array
    dW: Array
    db: Array
    m: float

    def __add__(self, other: Sums) -> Sums:  # type: ignore[override]  # a tuple's + would join the two
        """The sums over the examples of both."""
        return Sums(*(mine + others for mine, others in zip(self, other, strict=True)))


@dataclass(frozen=True)
class Neuron(ABC):
    """One neuron's configuration; its parameters are passed in and returned.

    Args:
        activation: f, one of "sigmoid", "tanh", "relu" (f'(0) = 0), "identity".
        loss: "cross_entropy" (with the sigmoid only) or "squared_error".
        l2: weight of the penalty (l2 / 2) W W^T in the cost, >= 0.
        input_scale: s, which multiplies the inputs: 1 / 255 for pixels, so that they can stay bytes.
        dtype: "float32" or "float64", in which everything is computed.
        device: "cpu", or what the backend calls its accelerator: "cuda", "cuda:1"; on JAX, "cuda:all" for all of them.

    Raises:
        UsageError: an argument is not one of the above.
    """

    activation: str = "sigmoid"
    loss: str = "cross_entropy"
    l2: float = 0.0
    input_scale: float = 1.0
    dtype: str = "float32"
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name, choices in ("activation", ACTIVATIONS), ("loss", LOSSES), ("dtype", DTYPES):
            if getattr(self, name) not in choices:
                raise UsageError(f"{name} is {getattr(self, name)!r}; expected one of {', '.join(choices)}")
        if self.loss == "cross_entropy" and self.activation != "sigmoid":
            raise UsageError(
                f"loss 'cross_entropy' needs activation 'sigmoid', found {self.activation!r}; "
                "use loss 'squared_error' or the sigmoid"
            )
        # As Python's floats, which take on the dtype of the arrays that they meet; NumPy's would impose theirs.
        object.__setattr__(self, "l2", number("l2", self.l2, zero=True))
        object.__setattr__(self, "input_scale", number("input_scale", self.input_scale))
        self._check_device()

    reads_bytes: ClassVar[bool] = False
    """Whether `sums` reads X of bytes as it is; else `put_inputs` copies it, in the neuron's dtype."""

    # What a backend writes.

    @abstractmethod
    def put(self, array: Array) -> Array:
        """Host to device, in the neuron's dtype: the one place where data crosses, and the one copy that is made.

        An array that is there already is returned as it is. Arrays keep their shape.
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

    # What a backend may override, for speed only.

    def put_inputs(self, X: Array) -> Array:
        """X to the device: as `put`, or as bytes where the backend reads them."""
        return self.put(X)

    def loss_sum(self, parameters: Parameters, X: Array, Y: Array) -> Array:
        """The loss alone, summed over the examples of X: what a validation set needs."""
        return self.sums(parameters, X, Y).loss

    @np.errstate(over="ignore", invalid="ignore")  # what overflows is found in the costs
    def descend(
        self,
        parameters: Parameters,
        train: tuple[Array, Array],
        validation: tuple[Array, Array] | None,
        learning_rate: float,
        epochs: range,
        validation_every: int,
    ) -> tuple[Parameters, Any, Any]:
        """Some consecutive epochs of gradient descent, W := W - alpha dW and b := b - alpha db, without a stop.

        Args:
            parameters: W and b before the first of the epochs; on the device, as are all arrays here.
            train: X and Y to descend on; X may be `Blocks`, here and below, of which every sum is that over the blocks.
            validation: X and Y to watch, or None.
            learning_rate: alpha.
            epochs: which ones; they count from 0 over the whole of the training.
            validation_every: the validation cost is taken at epochs that this divides.

        Returns:
            The parameters after the last one, and the cost on train and the mean loss on validation before each epoch's
            update (NaN where not taken). Costs are scalars of the backend, not yet waited for.
        """
        task = Task(self, train, validation, epochs.stop, validation_every)
        costs, validation_costs = [], []
        for epoch in epochs:
            validation_costs.append(task.validation_cost(parameters, epoch))
            sums = self._sums_of(parameters, *train)
            costs.append(self._cost(parameters, sums.loss, sums.m))
            dW, db = self._gradients(parameters, sums)
            parameters = Parameters(parameters.W - learning_rate * dW, parameters.b - learning_rate * db)
        return parameters, costs, validation_costs

    @classmethod
    def _device_among(cls, processes: Processes, device: str) -> str:  # noqa: ARG003
        """Of a device of that name, the one of this process, which makes no neuron before it has asked for that."""
        return device

    def _holders(self) -> int:
        """Processes that hold a part of an X each, where it is put on the device whole."""
        return 1

    def _largest(self, X: Array, values: list[float]) -> list[float]:
        """Of each number the largest that any process has which takes part in the sums over X."""
        return X.processes.largest(values) if isinstance(X, Share) else values

    def _arithmetic(self) -> AbstractContextManager[Any]:
        """Within it, the backend's arrays are computed with, by operators, in the neuron's dtype."""
        return nullcontext()

    def _check_device(self) -> None:
        """Raise a UsageError where `device` does not exist."""
        if self.device != "cpu":
            raise UsageError(f"device is {self.device!r}; this backend runs on 'cpu' only")

    # What every backend shares.

    def cost(self, parameters: Parameters, X: Array, Y: Array) -> float:
        """J: the mean loss over the examples of X, and the penalty.

        Args:
            parameters: W (1, n), b ().
            X: (n, m), of bytes, integers or floats.
            Y: (1, m), 0 or 1.

        Raises:
            DataError: a shape does not fit, a label is not 0 or 1, or a value is not finite.
        """
        with self._arithmetic():
            return float(self.get(self._cost_on(*self._checked(parameters, X, Y))))

    def gradients(self, parameters: Parameters, X: Array, Y: Array) -> Gradients:
        """dJ/dW (1, n) and dJ/db () as NumPy arrays. Arguments and errors as for `cost`."""
        parameters, X, Y = self._checked(parameters, X, Y)
        with self._arithmetic():
            loss, dW, db, m = self._sums_of(parameters, X, Y)
        return self._gradients(self._host(parameters), Sums(self.get(loss), self.get(dW), self.get(db), m))

    def step(self, parameters: Parameters, X: Array, Y: Array, learning_rate: float) -> Parameters:
        """One epoch: W - alpha dW and b - alpha db, on the device. Arguments and errors as for `cost`."""
        learning_rate = number("learning_rate", learning_rate)
        parameters, X, Y = self._checked(parameters, X, Y)
        return self.descend(parameters, (X, Y), None, learning_rate, range(1), 1)[0]

    def fit(
        self,
        X: Array,
        Y: Array,
        *,
        epochs: int,
        learning_rate: float | None = None,
        optimizer: Optimizer | None = None,
        initial: Parameters | None = None,
        validation: tuple[Array, Array] | None = None,
        validation_every: int = 1,
        patience: int | None = None,
        span: bool | None = None,
        block: int | None = None,
        progress: bool = False,
        resume: State | None = None,
        watch: Callable[[Callable[[], State]], bool] | None = None,
    ) -> tuple[Parameters, History]:
        """Train, by full-batch gradient descent unless told otherwise: W := W - alpha dW, b := b - alpha db.

        Args:
            X: (n, m), of bytes, integers or floats, which is put on the device once; or `handgrad.blocks.Joined` arrays
                of bytes; or `handgrad.views` of such; or, with its Y, what `handgrad.weights` makes of both; or this
                process' `handgrad.share` of such, in which case all processes train together and return the same.
            Y: (1, m), 0 or 1.
            epochs: how many steps, at least 0.
            learning_rate: alpha, above 0.
            optimizer: what to train with instead, of `handgrad.optimizers`: SGD(learning_rate), LBFGS().
            initial: the parameters to start from; zeros by default.
            validation: X and Y on which to take the mean loss as well.
            validation_every: take it in every k-th epoch, counted from 0.
            patience: end when the lowest validation cost is so many epochs old, and return the parameters that had it;
                by default, the last ones after all epochs are returned.
            span: descend in the span of the examples (`handgrad.span`), which is the same but for rounding; by default,
                in gradient descent where it takes less work: there are fewer examples than features, and epochs enough.
            block: leave X, NumPy's or `Joined`, where it is, in memory or in memory-mapped files, and put so many
                examples at a time on the device; 0: never; by default, where a copy of all would not fit in half of
                the memory.
            progress: show a bar with the costs on standard error, if that is a terminal.
            resume: go on from there, to the bits of a training that did not stop; all else has to be as it was.
            watch: called now and then, between epochs, with a function that gives the state, to keep and resume from.
                Training ends early when it returns True.

        Returns:
            The parameters after the last epoch that was taken, or of the best, as NumPy arrays in the neuron's dtype,
            and the history.

        Raises:
            UsageError: an argument is out of its range, or `initial` does not fit X.
            DataError: as for `cost`, for the training or the validation set.
            DivergedError: the cost stopped being finite; it carries the last good parameters and the history.
        """
        epochs = count("epochs", epochs, 0)
        validation_every = count("validation_every", validation_every, 1)
        if (learning_rate is None) == (optimizer is None):
            raise UsageError("expected either a learning_rate, of gradient descent, or an optimizer")
        optimizer = optimizer or GradientDescent(learning_rate)  # type: ignore[arg-type]
        if not isinstance(optimizer, Optimizer):
            raise UsageError(f"optimizer is {optimizer!r}; expected one of handgrad.optimizers, as LBFGS()")
        if patience is not None:
            patience = count("patience", patience, 1)
            if validation is None:
                raise UsageError(f"patience is {patience} and there is no validation; expected X and Y to judge by")
        if initial is None:
            initial = Parameters.zeros(np.shape(X)[0] if np.ndim(X) else 0)
        if resume is not None:
            span, block = resume.span, resume.block
        if block is not None:
            block = count("block", block, 0)
        parameters, X, Y = self._checked(initial, X, Y, block)
        block = _block(X)
        if validation is not None:
            try:
                validation = self._checked(parameters, *validation, block)[1:]
            except HandgradError as error:
                raise type(error)(f"validation: {error}") from None
        if span is None:
            span = isinstance(optimizer, GradientDescent) and self.device == "cpu" and spans.pays(X, validation, epochs)
        if span and isinstance(X, Parts):
            kinds = {Views: "X is a view", Weighted: "X is weighted", Share: "X is a share"}
            what = kinds.get(type(X), f"block is {block}")
            raise UsageError(f"span is True and {what}; the span takes X whole and as it is; expected one of the two")
        train = spans.train if span else descent.train
        return train(
            Task(self, (X, Y), validation, epochs, validation_every),
            optimizer,
            parameters,
            patience=patience,
            progress=progress,
            resume=resume,
            watch=watch and (lambda state: watch(lambda: state()._replace(span=span, block=block))),
        )

    def predict_proba(self, parameters: Parameters, X: Array) -> npt.NDArray[Any]:
        """A (1, m) as a NumPy array; with the sigmoid, the probability of class 1. Errors as for `cost`."""
        parameters, X, _ = self._checked(parameters, X)
        return self._activations(parameters, X)

    def predict(self, parameters: Parameters, X: Array, threshold: float = 0.5) -> npt.NDArray[np.uint8]:
        """(1, m) of 0 and 1, uint8: class 1 where A > threshold. Errors as for `cost`."""
        return (self.predict_proba(parameters, X) > threshold).astype(np.uint8)

    def accuracy(self, parameters: Parameters, X: Array, Y: Array, threshold: float = 0.5) -> float:
        """The share of the examples whose class `predict` gives, from 0 to 1. Errors as for `cost`."""
        parameters, X, Y = self._checked(parameters, X, Y)
        predicted = self._activations(parameters, X) > threshold
        return float(np.mean(predicted == self.get(Y)))

    # From sums to means; written with operators only, so that they run on every backend's arrays.

    @np.errstate(over="ignore", invalid="ignore")
    def _cost(self, parameters: Parameters, loss: Array, m: float) -> Array:
        if self.l2 == 0:
            return loss / m
        return loss / m + self.l2 / 2 * (parameters.W * parameters.W).sum()

    @np.errstate(over="ignore", invalid="ignore")
    def _gradients(self, parameters: Parameters, sums: Sums) -> Gradients:
        dW = sums.dW / sums.m
        return Gradients(dW if self.l2 == 0 else dW + self.l2 * parameters.W, sums.db / sums.m)

    def _host(self, parameters: Parameters) -> Parameters:
        return Parameters(np.array(self.get(parameters.W)), np.array(self.get(parameters.b)))

    def _parameters(self, W: Array, b: Array) -> Parameters:
        return Parameters(self.put(W), self.put(b))

    # Of X whole, in blocks, in views, weighted, or shared among processes.

    def _cost_on(self, parameters: Parameters, X: Array, Y: Array) -> Array:
        return self._cost(parameters, self._loss_sum_of(parameters, X, Y), _total(X))

    @np.errstate(over="ignore", invalid="ignore")
    def _mean_loss(self, parameters: Parameters, X: Array, Y: Array) -> Array:
        return self._loss_sum_of(parameters, X, Y) / _total(X)

    def _sums_of(self, parameters: Parameters, X: Array, Y: Array) -> Sums:
        if isinstance(X, Share):
            here = self._sums_of(parameters, X.X, Y)[:3] if X.shape[1] else (0, self.put(np.zeros((1, X.shape[0]))), 0)
            loss, dW, db = map(self.put, X.processes.add(*here))
            return Sums(loss, dW, db, X.total)
        if isinstance(X, Weighted):
            groups = (Sums(*(w * V for V in self._sums_of(parameters, x, Y[:, which]))) for w, x, which in X)
            return functools.reduce(operator.add, groups)._replace(m=X.total)
        if isinstance(X, Views):
            return functools.reduce(
                operator.add,
                (
                    view.unfold(self._sums_of(self._folded(view, parameters), X.X, Y[:, which]), self.input_scale)
                    for view, which in X
                ),
            )
        if not isinstance(X, Blocks):
            return self.sums(parameters, X, Y)
        total = None
        for x, which in X:
            sums = self.sums(parameters, x, Y[:, which])
            total = sums if total is None else total + sums
            self.get(total.loss)  # waits for it: blocks in a queue would fill the memory
        assert total is not None
        return total

    def _loss_sum_of(self, parameters: Parameters, X: Array, Y: Array) -> Array:
        if isinstance(X, Share):
            return self.put(X.processes.add(self._loss_sum_of(parameters, X.X, Y))[0])
        if isinstance(X, Weighted):
            return sum(w * self._loss_sum_of(parameters, x, Y[:, which]) for w, x, which in X)
        if isinstance(X, Views):
            return sum(self._loss_sum_of(self._folded(view, parameters), X.X, Y[:, which]) for view, which in X)
        if not isinstance(X, Blocks):
            return self.loss_sum(parameters, X, Y)
        return sum(self.get(self.loss_sum(parameters, x, Y[:, which])) for x, which in X)

    def _activations(self, parameters: Parameters, X: Array) -> npt.NDArray[Any]:
        if isinstance(X, Weighted):
            raise UsageError("X is weighted; expected an array: weights belong to costs and gradients")
        if isinstance(X, Share):
            raise UsageError("X is a share; expected an array: predict the examples that are here, X.X")
        if isinstance(X, Views):
            with self._arithmetic():
                return np.concatenate([self._activations(self._folded(view, parameters), X.X) for view, _ in X], axis=1)
        if not isinstance(X, Blocks):
            return self.get(self.forward(parameters, X))
        return np.concatenate([self.get(self.forward(parameters, x)) for x, _ in X], axis=1)

    def _folded(self, view: View, parameters: Parameters) -> Parameters:
        return view.fold(parameters, self.input_scale)

    def _placed(self, X: Array, block: int | None) -> Array:
        """X on the device, or in blocks where that is asked for or a copy would take more than half of the memory."""
        if not isinstance(X, np.ndarray | Joined):
            return self.put_inputs(X)
        if self.reads_bytes and X.dtype == np.uint8:
            whole = X.size <= VALUES or not (isinstance(X, Joined) or in_a_file(X))
        else:
            share = 2 * X.size * np.dtype(self.dtype).itemsize / self._holders() / memory.total()
            whole = self._largest(X, [share])[0] <= 1
        if block or (block is None and not whole):
            return Blocks(X, block)
        return self.put_inputs(X if self.device.endswith(ALL) else np.asarray(X))

    def _checked(
        self, parameters: Parameters, X: Array, Y: Array | None = None, block: int | None = None
    ) -> tuple[Parameters, Array, Array]:
        """All on the device, after their shapes were found good, and their values.

        Values of X that lie on an accelerator already are taken as they are, since looking would cost a transfer.
        """
        if isinstance(X, Share):
            placed, stored, labels = self._checked(parameters, X.X, Y, block)
            width = int(X.processes.largest([_block(stored)])[0])
            if width != _block(stored):  # shares differ by one example, and memories may differ too
                placed, stored, labels = self._checked(parameters, X.X, Y, width)
            return placed, X.holding(stored), labels
        if isinstance(X, Views):
            placed, stored, _ = self._checked(parameters, X.X, None, block)
            Y = None if Y is None else self._labels(Y, X.shape[1])
            return placed, Views(stored, [view.placed(self) for view in X.views]), Y
        if isinstance(X, Weighted):
            if block:
                raise UsageError(f"block is {block} and X is weighted; weighted examples are whole; expected block 0")
            checked = [self._checked(parameters, x, None, 0) for _, x, _ in X]
            groups = [group._replace(X=x) for group, (_, x, _) in zip(X, checked, strict=True)]
            return checked[0][0], Weighted(groups), None if Y is None else self._labels(Y, X.shape[1])
        X = examples(X)
        n, m = X.shape
        if not (isinstance(parameters, tuple) and len(parameters) == 2):
            raise UsageError(f"parameters are {type(parameters).__name__}; expected Parameters(W, b)")
        W, b = (array(name, V, UsageError) for name, V in zip(("W", "b"), parameters, strict=True))
        if tuple(W.shape) != (1, n) or tuple(b.shape) != ():
            raise UsageError(
                f"W and b have shapes {tuple(W.shape)} and {tuple(b.shape)}; expected (1, {n}) and () for X {(n, m)}"
            )
        labels = None if Y is None else self._labels(Y, m)
        if isinstance(X, np.ndarray) or (self.device == "cpu" and not isinstance(X, Joined)):
            self._check_inputs(X)
        for name, V in ("W", W), ("b", b):
            _check_values(name, self.get(V), self.dtype, UsageError)
        return self._parameters(W, b), self._placed(X, block), labels

    def _check_inputs(self, X: Array) -> None:
        """Raise a DataError where a value of X is not finite."""
        _check_values("X", self.get(X), self.dtype, DataError)

    def _labels(self, Y: Array, m: int) -> Array:
        """Y on the device, after it was found to be (1, m) of 0 and 1."""
        Y = array("Y", Y, DataError)
        if tuple(Y.shape) != (1, m):
            raise DataError(
                f"Y has shape {tuple(Y.shape)}; expected (1, {m}), one label per column of X; try Y.reshape(1, -1)"
            )
        _check_labels(self.get(Y))
        return self.put(Y)


def _total(X: Array) -> float:
    return X.total if isinstance(X, Parts) else int(X.shape[1])


def _block(X: Array) -> int:
    """Examples in a block of X; 0 where it is whole."""
    if isinstance(X, Share | Views):
        return _block(X.X)
    return X.width if isinstance(X, Blocks) else 0


def portable(array: Array, dtype: str) -> Array:
    """A NumPy array that frameworks take as it is: no copy, unless they would refuse or change its numbers.

    They know no foreign byte order, long double or negative strides; of JAX's own conversions, 64-bit integers come out
    with 32 bits and the float32 numbers below the smallest normal one as 0.
    """
    if not isinstance(array, np.ndarray):
        return array
    changed = array.dtype != dtype if array.dtype.kind == "f" else array.dtype.itemsize > 4
    if changed or not array.dtype.isnative or any(stride < 0 for stride in array.strides):
        return np.array(array, dtype, order="C")
    return array


def _check_values(name: str, V: npt.NDArray[Any], dtype: str, error: type[HandgradError]) -> None:
    """One read of V and no copy, unless something is wrong; none at all for integers, which are always finite."""
    if V.dtype.kind != "f":
        return
    with np.errstate(over="ignore", invalid="ignore"):
        total = V.sum()  # a value that is not finite makes the sum so; an overflow of the sum is looked into
    largest = np.finfo(dtype).max
    if abs(total) <= largest and V.dtype.itemsize <= np.dtype(dtype).itemsize:
        return
    if -largest <= V.min() and V.max() <= largest:
        return
    at = tuple(int(i) for i in np.argwhere(~(abs(V) <= largest))[0])
    where = f"{name}[{', '.join(map(str, at))}]" if at else name
    example = f" (example {at[1]})" if name == "X" else ""
    raise error(f"{where} is {V[at]}{example}; expected finite numbers within {dtype}")


def _check_labels(Y: npt.NDArray[Any]) -> None:
    wrong = np.argwhere(~((Y == 0) | (Y == 1)))
    if len(wrong):
        i = int(wrong[0, 1])
        raise DataError(f"Y[0, {i}] is {Y[0, i]}; expected labels 0 and 1 ({len(wrong)} of {Y.shape[1]} are not)")
