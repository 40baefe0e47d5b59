"""One neuron: the mathematics, over examples of any kind, on any backend.

The neuron maps an example x of n features to one activation::

    Z = W (s X) + b        A = f(Z)                 X (n, m), one column per example; s is input_scale
    J = (1 / m) sum_i L(A_i, Y_i) + (l2 / 2) W W^T  the cost: the mean loss and a penalty on W, never on b

with the loss L one of::

    cross_entropy   L = -(Y log A + (1 - Y) log(1 - A))     f the sigmoid; then dL/dZ = A - Y
    squared_error   L = (A - Y)^2 / 2                       any f;         then dL/dZ = (A - Y) f'(Z)

so that, for every backend::

    dW = (1 / m) sum_i dL/dZ_i s x_i^T + l2 W               db = (1 / m) sum_i dL/dZ_i

A full-batch gradient is a sum over examples. A backend (`handgrad.backend`) writes that sum, and the way in and out;
`handgrad.examples` adds, whatever the examples are; `handgrad.objective` makes means of it. The rest is here, once.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from handgrad import descent, placing
from handgrad import span as spans
from handgrad.backend import MOST, Array, Backend, Gradients, Parameters, Sums
from handgrad.checks import check_values, checked_parameters, count, finite, flag, instance, number, shown
from handgrad.curvature import too_high
from handgrad.descent import History, State
from handgrad.errors import HandgradError, RisingCostWarning, UsageError, warn
from handgrad.examples import Examples, is_placed
from handgrad.objective import Objective, means
from handgrad.optimizers import GradientDescent, Optimizer, Place, Task, best
from handgrad.views import Seen


@dataclass(frozen=True)
class Neuron(Backend):
    """One neuron's configuration; its parameters are passed in and returned.

    Every method takes X and Y as arrays, the backend's own or NumPy's, and checks and places them; or, for X, what
    `place` made of both, which costs nothing, and then no Y.

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

    def place(self, X: Array | Seen | Examples, Y: Array | None = None, block: int | None = None) -> Examples:
        """X and Y where they are summed over, once for many calls, after all their values were found good.

        Args:
            X: (n, m), of bytes, integers or floats, which is put where it is read best: bytes stay bytes where the
                backend reads them; or what is `handgrad.examples.Stored` otherwise; or what `handgrad.views` makes of
                such. Examples that a neuron of this backend, dtype and device has placed are returned as they are.
            Y: (1, m), 0 or 1; None for examples that are only to be predicted.
            block: leave X, NumPy's or `Stored`, where it is, in memory or in memory-mapped files, and put so many
                examples at a time on the device; 0: never; by default, where a copy of all, of bytes where the backend
                reads them, would not fit in half of the memory.

        Raises:
            DataError: a shape does not fit, a label is not 0 or 1, or a value is not finite.
            UsageError: examples were placed for another backend, or there is a Y or a block beside them.
        """
        return placing.place(self, X, Y, None if block is None else count("block", block, 0, MOST))

    def cost(self, parameters: Parameters, X: Array | Examples, Y: Array | None = None) -> float:
        """J = (1 / m) sum_i L(A_i, Y_i) + (l2 / 2) W W^T.

        Args:
            parameters: W (1, n), b ().
            X: (n, m), or examples with their labels.
            Y: (1, m), 0 or 1.

        Raises:
            UsageError: the parameters do not fit X, or are not finite.
            DataError: as for `place`.
        """
        J, parameters = self._objective(parameters, X, Y)
        with self.arithmetic():
            return float(self.get(J.cost(parameters)))

    def gradients(self, parameters: Parameters, X: Array | Examples, Y: Array | None = None) -> Gradients:
        """dJ/dW (1, n) and dJ/db () as NumPy arrays. Arguments and errors as for `cost`."""
        J, parameters = self._objective(parameters, X, Y)
        with self.arithmetic():
            loss, dW, db, m = J.sums(parameters)
            # On the host, where a division by m is one: XLA multiplies by 1 / m.
            sums = Sums(self.get(loss), self.get(dW), self.get(db), m)
            _, gradients = means(self.l2, self.get_parameters(parameters), sums)
        return Gradients(*map(np.asarray, gradients))

    def step(
        self, parameters: Parameters, X: Array | Examples, Y: Array | None = None, learning_rate: float | None = None
    ) -> Parameters:
        """One epoch: W - alpha dW and b - alpha db, on the device. Other arguments and errors as for `cost`.

        Args:
            learning_rate: alpha, above 0; to be named, beside examples.
        """
        J, parameters = self._objective(parameters, X, Y)
        optimizer = GradientDescent(number("learning_rate", learning_rate))
        with self.arithmetic():
            return optimizer.take(Task(J, None, 1, 1), Place(0, parameters, {}), range(1)).parameters

    def fit(
        self,
        X: Array | Examples,
        Y: Array | None = None,
        *,
        epochs: int,
        learning_rate: float | None = None,
        optimizer: Optimizer | str | None = None,
        initial: Parameters | None = None,
        validation: tuple[Array, Array] | Examples | None = None,
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
            X, Y, block: as for `place`. All processes among which X is shared train together and return the same.
            epochs: how many steps, at least 0.
            learning_rate: alpha, above 0.
            optimizer: what to train with instead, of `handgrad.optimizers`: SGD(learning_rate), LBFGS(); "auto" is the
                soonest there (`handgrad.optimizers.best`).
            initial: the parameters to start from; zeros by default.
            validation: X and Y, or examples, on which to take the mean loss as well.
            validation_every: take it in every k-th epoch, counted from 0.
            patience: end when the lowest validation cost is so many epochs old, and return the parameters that had it;
                by default, the last ones after all epochs are returned.
            span: descend in the span of the examples (`handgrad.span`), which is the same but for rounding; by default,
                in gradient descent where it takes less work: there are fewer examples than features, and epochs enough.
            progress: show a bar with the costs on standard error, if that is a terminal.
            resume: go on from there, to the bits of a training that did not stop; all else has to be as it was.
            watch: called now and then, between epochs, with a function that gives the state, to keep and resume from.
                Training ends early when it returns True.

        Returns:
            The parameters after the last epoch that was taken, or of the best, as NumPy arrays in the neuron's dtype,
            and the history.

        Raises:
            UsageError: an argument is out of its range, or `initial` does not fit X.
            DataError: as for `place`, for the training or the validation set.
            DivergedError: the cost stopped being finite; it carries the last good parameters and the history.

        Warns:
            RisingCostWarning: the cost rises, in gradient descent or SGD. It says up to which learning rate it falls on
                these data, and what to try.
        """
        epochs = count("epochs", epochs, 0)
        validation_every = min(count("validation_every", validation_every, 1), epochs + 1)  # the same, and no huge int
        if (learning_rate is None) == (optimizer is None):
            raise UsageError("expected either a learning_rate, of gradient descent, or an optimizer")
        if isinstance(optimizer, str) and optimizer == "auto":
            optimizer = best()
        optimizer = optimizer or GradientDescent(number("learning_rate", learning_rate))
        if not isinstance(optimizer, Optimizer):
            raise UsageError(
                f"optimizer is {shown(optimizer)}; expected one of handgrad.optimizers, as LBFGS(), or 'auto'"
            )
        span, progress = span if span is None else flag("span", span), flag("progress", progress)
        if patience is not None:
            patience = count("patience", patience, 1)
            if validation is None:
                raise UsageError(
                    f"patience is {shown(patience)} and there is no validation; expected X and Y to judge by"
                )
        if not (watch is None or callable(watch)):
            raise UsageError(f"watch is {shown(watch)}; expected a function, or None")
        if resume is not None:
            span, block = instance("resume", resume, State).span, resume.block
        J, parameters = self._objective(initial, X, Y, block, of="initial: ")
        watched, block = None, J.examples.block
        if validation is not None:
            try:
                if not is_placed(validation):
                    if not (isinstance(validation, tuple | list) and len(validation) == 2):
                        raise UsageError(f"found {type(validation).__name__}; expected a pair X, Y, or examples")
                    validation = self.place(*validation, block)
                watched, _ = self._objective(parameters, validation)
            except HandgradError as error:
                raise type(error)(f"validation: {error}") from None
        task = Task(J, watched, epochs, validation_every)
        if span is None:
            span = isinstance(optimizer, GradientDescent) and self.device == "cpu" and spans.pays(task)
        for of, what in (J, ""), (watched, "validation: "):
            if span and of is not None and (parted := of.examples.parted):
                raise UsageError(
                    f"{what}span is True and {parted}; the span takes X whole and as it is; expected one of the two"
                )

        def rising(costs: list[float]) -> None:
            why = too_high(getattr(optimizer, "learning_rate", math.nan), self, J.examples, len(costs))
            if J.examples.processes.rank == 0:
                warn(f"the cost rose from {costs[0]:.4g} to {costs[-1]:.4g}: {why}", RisingCostWarning)

        return (spans.train if span else descent.train)(
            task,
            optimizer,
            parameters,
            patience=patience,
            progress=progress,
            resume=resume,
            watch=watch and (lambda state: watch(lambda: state()._replace(span=span, block=block))),
            rising=rising,
        )

    def predict_proba(self, parameters: Parameters, X: Array | Examples) -> npt.NDArray[Any]:
        """A = f(W (s X) + b), (1, m), a NumPy array; of the sigmoid, how probable class 1 is. Errors as for `cost`."""
        J, parameters = self._objective(parameters, X, labelled=False)
        with self.arithmetic():
            return J.activations(parameters)

    def predict(self, parameters: Parameters, X: Array | Examples, threshold: float = 0.5) -> npt.NDArray[np.uint8]:
        """(1, m) of 0 and 1, uint8: class 1 where A > threshold. Errors as for `cost`."""
        threshold = finite("threshold", threshold, "; Y has no place in a prediction")
        return (self.predict_proba(parameters, X) > threshold).astype(np.uint8)

    def accuracy(
        self, parameters: Parameters, X: Array | Examples, Y: Array | None = None, threshold: float = 0.5
    ) -> float:
        """The share of all examples whose class `predict` gives, from 0 to 1. Errors as for `cost`."""
        threshold = finite("threshold", threshold)
        J, parameters = self._objective(parameters, X, Y)
        with self.arithmetic():
            right = (J.activations(parameters) > threshold) == J.examples.labels()
        counted, m = J.examples.processes.add(float(right.sum()), right.size)
        return float(counted / m)

    def _objective(
        self,
        parameters: Parameters | None,
        X: Array | Examples,
        Y: Array | None = None,
        block: int | None = None,
        *,
        labelled: bool = True,
        of: str = "",
    ) -> tuple[Objective, Parameters]:
        """J on examples, and parameters, or zeros, on the device; after they were found to be finite and to fit."""
        placed = self.place(X, Y, block)
        if labelled and not placed.labelled:
            raise UsageError("Y is None; expected labels (1, m) of 0 and 1, or examples that were placed with theirs")
        n, m = placed.shape
        if parameters is None:
            parameters = Parameters.zeros(n)
        W, b = checked_parameters(parameters, (n, m), of)
        for name, V in ("W", W), ("b", b):
            check_values(f"{of}{name}", self.get(V), self.dtype, UsageError)
        return Objective(self, placed), self.put_parameters(Parameters(W, b))
