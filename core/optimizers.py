"""Ways from the gradients of a neuron to better parameters; each takes sums over examples, from any backend.

`GradientDescent` is the articles' own. `SGD` takes a few examples at a time, `LBFGS` learns the curvature as it goes.
All are driven by the one loop of `handgrad.descent`, which fetches costs, keeps the state, and stops in time.
"""

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from handgrad.backend import Array, Backend, Parameters
from handgrad.checks import count, number, one_of
from handgrad.errors import MissingExtraError, UsageError
from handgrad.objective import Objective
from handgrad.sketch import Sketch
from handgrad.threads import one_blas_thread

Vector = npt.NDArray[np.float64]

SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda _: 1.0,
    "linear": lambda done: 1 - done,
    "cosine": lambda done: (1 + math.cos(math.pi * done)) / 2,
}
"""What the learning rate is multiplied by where that share of the epochs is done."""


class Place(NamedTuple):
    """Where a training is before an epoch: its parameters, and what else the optimizer goes on from."""

    epoch: int
    parameters: Parameters
    memory: Mapping[str, Array]


@dataclass(frozen=True)
class Task:
    """What is to be trained, on what.

    Attributes:
        objective: J on the examples to learn from.
        watched: J on those to validate on, or None.
        epochs: how many there are to be in all.
        validation_every: the validation cost is taken at epochs that this divides.
    """

    objective: Objective
    watched: Objective | None
    epochs: int
    validation_every: int

    @property
    def backend(self) -> Backend:
        """That computes."""
        return self.objective.backend

    def validation_cost(self, parameters: Parameters, epoch: int) -> Array:
        """The mean loss on the validation set, on the device; NaN where it is not to be taken."""
        if self.watched is None or epoch % self.validation_every:
            return math.nan
        return self.watched.mean_loss(parameters)


class Taken(NamedTuple):
    """What some epochs gave.

    Attributes:
        parameters, memory: after the last of them; memory is whatever else the next ones depend on.
        costs, validation_costs: before each epoch's update; NaN where not taken. Scalars, perhaps not yet waited for.
        evaluations: of the gradient over all examples, in each epoch.
        done: whether no further epoch would get any further.
    """

    parameters: Parameters
    memory: Mapping[str, Any]
    costs: Any
    validation_costs: Any
    evaluations: list[float]
    done: bool = False


class Optimizer(ABC):
    """How parameters are made better, epoch after epoch: a configuration, which holds no state."""

    @abstractmethod
    def take(self, task: Task, place: Place, epochs: range) -> Taken:
        """Some consecutive epochs from a place, whose memory is empty before the very first one.

        The bits do not depend on how the epochs of a training are divided.
        """


@dataclass(frozen=True)
class GradientDescent(Optimizer):
    """Full-batch gradient descent: W := W - alpha dW, b := b - alpha db.

    Args:
        learning_rate: alpha, above 0.

    Raises:
        UsageError: it is not.
    """

    learning_rate: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "learning_rate", number("learning_rate", self.learning_rate))

    def take(self, task: Task, place: Place, epochs: range) -> Taken:
        """In one call of the backend, where it offers that, and the examples are whole; else step by step."""
        evaluations, parameters = [1.0] * len(epochs), place.parameters
        train, watched = task.objective.examples.whole, None if task.watched is None else task.watched.examples.whole
        if train is not None and (task.watched is None or watched is not None):
            together = task.backend.descend(
                parameters, train, watched, self.learning_rate, epochs, task.validation_every
            )
            if together is not None:
                return Taken(together[0], {}, *together[1:], evaluations)
        costs, validation_costs = [], []
        for epoch in epochs:
            validation_costs.append(task.validation_cost(parameters, epoch))
            J, gradients = task.objective.value_and_gradients(parameters)
            costs.append(J)
            parameters = parameters - self.learning_rate * gradients
        return Taken(parameters, {}, costs, validation_costs, evaluations)


@dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient descent with momentum: in each epoch, all examples in a new order, a few at a time.

    For each batch V := mu V + dW and W := W - alpha V, and likewise for b, with the gradients of the batch
    (Polyak, "Some methods of speeding up the convergence of iteration methods", 1964).

    Args:
        learning_rate: alpha, above 0, at the start.
        momentum: mu, from 0 to below 1.
        batch: examples in a batch, the last one of an epoch perhaps fewer. Mirrored ones come with theirs.
        schedule: of alpha: "constant", "linear" to 0, or "cosine" (Loshchilov and Hutter, "SGDR", 2017).
        seed: of the orders.

    Raises:
        UsageError: an argument is not one of the above.
    """

    learning_rate: float
    momentum: float = 0.9
    batch: int = 64
    schedule: str = "constant"
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "learning_rate", number("learning_rate", self.learning_rate))
        object.__setattr__(self, "momentum", number("momentum", self.momentum, zero=True))
        if self.momentum >= 1:
            raise UsageError(f"momentum is {self.momentum}; expected less than 1")
        object.__setattr__(self, "batch", count("batch", self.batch, 1))
        object.__setattr__(self, "seed", count("seed", self.seed, 0))
        one_of("schedule", self.schedule, SCHEDULES)

    def take(self, task: Task, place: Place, epochs: range) -> Taken:
        J, parameters, m = task.objective, place.parameters, task.objective.examples.m
        still = Parameters(*(np.zeros(np.shape(P)) for P in parameters))
        V = task.backend.put_parameters(Parameters(**place.memory) if place.memory else still)
        costs, validation_costs = [], []
        for epoch in epochs:
            costs.append(J.cost(parameters))
            validation_costs.append(task.validation_cost(parameters, epoch))
            rate = self.learning_rate * SCHEDULES[self.schedule](epoch / task.epochs)
            order = np.random.default_rng((self.seed, epoch)).permutation(m)
            for first in range(0, m, self.batch):
                _, gradients = J.batch(order[first : first + self.batch]).value_and_gradients(parameters)
                V = self.momentum * V + gradients
                parameters = parameters - rate * V
        return Taken(parameters, V._asdict(), costs, validation_costs, [1.0] * len(epochs))


@dataclass(frozen=True)
class LBFGS(Optimizer):
    """L-BFGS: an epoch is a step against the gradient, turned by the curvature that the last steps have met.

    Where they have met none, the curvature is that which a few hundred examples show (`handgrad.sketch`), not the same
    in all directions: W and b are found in some tens of epochs, whatever the means and the scales of the features. The
    line search is SciPy's (`line_search`, for the strong Wolfe conditions); it may look at the cost more than once, and
    never at another cost than the neuron's own. The vectors are float64, whatever the neuron's dtype. Training ends
    before its last epoch when the gradient is small enough, or no step along it lowers the cost by more than rounding.

    Nocedal and Wright, "Numerical Optimization", 2006, algorithms 7.4 and 7.5.

    Args:
        memory: how many steps are remembered, at least 1.
        tolerance: the largest entry of the gradient that is small enough, at least 0.

    Raises:
        UsageError: an argument is out of its range.
        MissingExtraError: SciPy is not installed.
    """

    memory: int = 10
    tolerance: float = 1e-6

    def __post_init__(self) -> None:
        object.__setattr__(self, "memory", count("memory", self.memory, 1))
        object.__setattr__(self, "tolerance", number("tolerance", self.tolerance, zero=True))
        _scipy()

    def take(self, task: Task, place: Place, epochs: range) -> Taken:
        # Beside a backend with threads of its own, both kinds would wait for work by spinning, on the same cores: what
        # the vectors gain, each step would lose tenfold.
        with one_blas_thread() if task.backend.own_threads else nullcontext():
            return self._take(task, place, epochs)

    def _take(self, task: Task, place: Place, epochs: range) -> Taken:
        objective = _OfVectors(task.objective)
        x = objective.vector(place.parameters)
        kept = dict(place.memory) or dict(zip(("J", "gradient"), objective(x), strict=True))
        steps, turns = (list(kept.get(name, ())) for name in ("steps", "turns"))  # of x, and of the gradient
        J, gradient = float(kept["J"]), kept["gradient"]
        objective.last = x, J, gradient
        costs, validation_costs, evaluations, done = [], [], [], False
        for epoch in epochs:
            costs.append(J if np.isfinite(gradient).all() else math.nan)  # nothing leads on from there
            validation_costs.append(task.validation_cost(objective.parameters(x), epoch))
            after = None
            done = abs(gradient).max() <= self.tolerance
            while after is None and not done:
                p = -_turned(gradient, steps, turns, task.objective.sketch())
                after = objective.line_search(x, p, J, gradient)
                done = after is None and not steps
                if after is None:  # what was remembered leads nowhere
                    steps, turns = [], []
            evaluations.append(float(objective.evaluations))
            objective.evaluations = 0
            if after is None:
                break
            J, last = objective(after)
            step, turn = after - x, last - gradient
            x, gradient = after, last
            if step @ turn > np.finfo(task.backend.dtype).eps * np.linalg.norm(step) * np.linalg.norm(turn):
                steps, turns = [*steps, step][-self.memory :], [*turns, turn][-self.memory :]
        memory = {"J": np.asarray(J), "gradient": gradient}
        memory |= {name: np.reshape(V, (-1, x.size)) for name, V in (("steps", steps), ("turns", turns))}
        return Taken(objective.parameters(x), memory, costs, validation_costs, evaluations, done)


def best() -> Optimizer:
    """What ``optimizer="auto"`` is: `LBFGS`, the soonest of these near the optimum on any data, by the evaluations.

    To within 1e-4 of the optimum it takes some tens of reads of X, whatever n, m and the scales of the features are,
    and has no rate to be chosen (``python -m handgrad.benchmarks.peers`` has the figures).

    Raises:
        MissingExtraError: SciPy is not installed.
    """
    return LBFGS()


class _OfVectors:
    """J and its gradient as functions of a vector, W and then b, in float64; it is rounded to the neuron's dtype first.

    Attributes:
        evaluations: how many gradients were taken.
    """

    def __init__(self, objective: Objective) -> None:
        self.objective, self.backend = objective, objective.backend
        self.evaluations = 0
        self.last: tuple[Vector, float, Vector] | None = None

    def __call__(self, x: Vector) -> tuple[float, Vector]:
        x = self.rounded(x)
        if self.last is None or not np.array_equal(self.last[0], x):
            J, gradients = self.objective.value_and_gradients(self.parameters(x))
            self.last = x, float(self.backend.get(J)), self.vector(gradients)
            self.evaluations += 1
        return self.last[1:]

    def vector(self, values: Iterable[Array]) -> Vector:
        return np.concatenate([np.ravel(self.backend.get(V)) for V in values]).astype(np.float64)

    def rounded(self, x: Vector) -> Vector:
        with np.errstate(over="ignore"):
            return x.astype(self.backend.dtype).astype(np.float64)

    def parameters(self, x: Vector) -> Parameters:
        dtype = self.backend.dtype
        return self.backend.put_parameters(Parameters(x[np.newaxis, :-1].astype(dtype), x[-1].astype(dtype)))

    def line_search(self, x: Vector, p: Vector, J: float, gradient: Vector) -> Vector | None:
        """A better point along p; None where rounding hides whether there is one."""
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # that it does not converge is seen from what it returns
            alpha = _scipy().line_search(lambda x: self(x)[0], lambda x: self(x)[1], x, p, gradient, J)[0]
        if alpha is None:
            return None
        after = self.rounded(x + alpha * p)
        return after if self(after)[0] < J else None


def _turned(gradient: Vector, steps: list[Vector], turns: list[Vector], sketch: Sketch) -> Vector:
    """H g, with the inverse Hessian H as L-BFGS estimates it, from a sketch of it (Nocedal and Wright, algorithm 7.4).

    The sketch is scaled to what the last step has met, as a multiple of I would be (7.20).
    """
    pairs = [(step, turn, step @ turn) for step, turn in zip(steps, turns, strict=True)]
    q, alphas = gradient.copy(), []
    for step, turn, bend in reversed(pairs):
        alphas.append(step @ q / bend)
        q -= alphas[-1] * turn
    turned = sketch @ q
    if pairs:
        _, turn, bend = pairs[-1]
        turned *= bend / (turn @ (sketch @ turn))
    for (step, turn, bend), alpha in zip(pairs, reversed(alphas), strict=True):
        turned += (alpha - turn @ turned / bend) * step
    return turned


def _scipy() -> Any:
    try:
        import scipy.optimize
    except ModuleNotFoundError:
        raise MissingExtraError("SciPy", "optimize") from None
    return scipy.optimize
