"""Examples where a neuron sums over them, and the one formula that adds; `handgrad.placing` puts them there.

A full-batch gradient is a sum over examples, and sums over parts of them add. So whatever the examples are, whole or in
blocks of a file, with weights, seen in several views, shared among processes, the sums are one formula::

    sums(P) = sum over processes, views v and parts (x, y_v, w_v) of  w_v unfold_v(sums(fold_v(P), x, y_v))

with fold and unfold of `handgrad.affine`. A part is what one call of the backend sums: an array on the device, a block,
or the examples that count alike.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from handgrad.affine import View
from handgrad.backend import Array, Backend, Parameters, Sums
from handgrad.blocks import Blocks, columns
from handgrad.errors import UsageError
from handgrad.processes import Processes


class Part(NamedTuple):
    """Examples that are summed by one call: x (n, k); in each view their labels (1, k), and how much each counts."""

    x: Array
    labels: tuple[Array, ...]
    weights: tuple[float, ...]

    def some(self, which: Any, x: Array = None) -> Part:
        """Those of these columns, which are x, if they have been taken already."""
        labels = tuple(None if y is None else y[:, which] for y in self.labels)
        return Part(columns(self.x, which) if x is None else x, labels, self.weights)


@dataclass(frozen=True, eq=False, repr=False)
class Examples:
    """What `Neuron.place` gives, and every method of a neuron takes for X and Y.

    Attributes:
        backend: that placed them; any neuron of its kind, dtype and device takes them.
        parts: one that lies on the device whole; or one for each distinct weight; or, where `block` is not 0, one that
            stays on the host, of which so many examples at a time are put on the device.
        shape: (n, m) of the examples here, each counted once.
        views: of every example, one or more.
        processes: of which each has parts of its own.
        counts: examples in each process.
        m: examples in all processes; of a batch, fewer.
        mean: that of the weights.
        where: of each example here (2, m) in which part it is, and where in it; None where there is one part.
        block: examples in a block; 0 where they are whole.
    """

    backend: Backend
    parts: tuple[Part, ...]
    shape: tuple[int, int]
    views: tuple[View, ...]
    processes: Processes
    counts: tuple[int, ...]
    m: int
    mean: float = 1.0
    where: npt.NDArray[np.intp] | None = None
    block: int = 0

    @property
    def total(self) -> float:
        """By what sums are divided to be means: the sum of the weights, in all views and processes."""
        return self.m * len(self.views) * self.mean

    @property
    def labelled(self) -> bool:
        """Whether there are labels."""
        return all(part.labels[0] is not None for part in self.parts)

    @property
    def parted(self) -> str:
        """Why they are not all in one array on the device, as it is seen, in words; empty where they are."""
        if self.processes.apart:
            return "X is a share"
        if self.where is not None:
            return "X is weighted"
        return f"block is {self.block}" if self.block else "" if all(v.as_stored for v in self.views) else "X is a view"

    @property
    def whole(self) -> tuple[Array, Array] | None:
        """X and Y, where they are."""
        if self.parted:
            return None
        ((x, (y,), _),) = self.parts
        return x, y

    def sums(self, backend: Backend, parameters: Parameters) -> Sums:
        """Loss, dL/dW and dL/db, summed, on the device; m is `total`."""
        here: tuple[Array, ...] = 0, np.zeros((1, self.shape[0])), 0  # of a batch that has no example here
        if self.parts:
            of_views = zip(self.views, self._over_parts(backend, backend.sums, parameters), strict=True)
            unfolded = (view.unfold(sums, backend.input_scale) for view, sums in of_views)
            here = functools.reduce(operator.add, unfolded)[:3]
        loss, dW, db = self._over_processes(backend, *here)
        return Sums(loss, dW, db, self.total)

    def loss_sum(self, backend: Backend, parameters: Parameters) -> Array:
        """The loss alone, summed, on the device."""
        return self._over_processes(backend, sum(self._over_parts(backend, backend.loss_sum, parameters)))[0]

    def activations(self, backend: Backend, parameters: Parameters) -> npt.NDArray[Any]:
        """A (1, k m) of the examples here, view after view, on the host."""
        if self.where is not None:
            raise UsageError("X is weighted; expected an array: weights belong to costs and gradients")
        A = self._on_parts(backend, lambda P, x, _: backend.get(backend.forward(P, x)), parameters)
        return np.concatenate([a for of_view in zip(*A, strict=True) for a in of_view], axis=1)

    def labels(self) -> npt.NDArray[Any]:
        """Y (1, k m) of `activations`, on the host."""
        return np.concatenate([self.backend.get(y) for y in self.parts[0].labels], axis=1)

    def unlabelled(self) -> Examples:
        """The same with labels that are all 0, so that what is summed depends on X alone."""

        def of(part: Part) -> Part:
            y = self.backend.put(np.zeros((1, part.x.shape[1]), np.uint8))
            return part._replace(labels=(y,) * len(part.labels))

        return replace(self, parts=tuple(map(of, self.parts)))

    def batch(self, numbers: npt.NDArray[np.intp]) -> Examples:
        """Those of these numbers, which count from 0 to m - 1; of several processes, each has those that are its."""
        first = sum(self.counts[: self.processes.rank])
        here = numbers[(numbers >= first) & (numbers < first + self.shape[1])] - first
        of, at = (np.zeros_like(here), here) if self.where is None else self.where[:, here]
        parts = tuple(self.parts[part].some(at[of == part]) for part in np.unique(of))
        return replace(self, parts=parts, shape=(self.shape[0], len(here)), m=len(numbers), block=0)

    def sample(self, k: int, input_scale: float) -> npt.NDArray[np.float64]:
        """Of up to k examples, drawn by chance, in all views: sqrt(w) (s x, 1), in rows (r, n + 1), on the host.

        Those of one view, and then those of the next; the same in all processes.
        """
        n, views = self.shape[0], len(self.views)
        numbers = np.sort(np.random.default_rng(0).choice(self.m, min(max(1, k // views), self.m), replace=False))
        start = int(np.searchsorted(numbers, sum(self.counts[: self.processes.rank])))
        rows = np.zeros((views, len(numbers), n + 1))
        for x, _, weights in self.batch(numbers).parts:
            here = self.backend.get(x).astype(np.float64)
            which = slice(start, start := start + here.shape[1])
            for of_view, view, w in zip(rows, self.views, weights, strict=True):
                of_view[which, :-1] = np.sqrt(w) * input_scale * view.of(here, self.backend).T
                of_view[which, -1] = np.sqrt(w)
        if self.processes.apart:
            (rows,) = self.processes.add(rows)
        return rows.reshape(-1, n + 1)

    def _blocks(self) -> Iterable[Part]:
        """The parts as they are put on the device, one at a time."""
        if not self.block:
            return self.parts
        (part,) = self.parts
        return (part.some(which, self.backend.put_inputs(x)) for x, which in Blocks(part.x, self.block))

    def _on_parts(self, backend: Backend, call: Callable[..., Any], parameters: Parameters) -> Iterator[list[Any]]:
        """Of each part, put on the device once for all views, w call(P, x, y) in each view."""
        folded = [view.fold(parameters, backend.input_scale) for view in self.views]
        for x, labels, weights in self._blocks():
            found = [call(P, x, y) for P, y in zip(folded, labels, strict=True)]
            yield [of if w == 1 else w * of for of, w in zip(found, weights, strict=True)]  # 1 costs nothing

    def _over_parts(self, backend: Backend, sums: Callable[..., Any], parameters: Parameters) -> list[Any]:
        """Of each view, sums(P, x, y) added over the parts."""
        total: list[Any] = []
        for found in self._on_parts(backend, sums, parameters):
            total = list(map(operator.add, total, found)) if total else found
            if self.block:
                backend.get(getattr(total[0], "loss", total[0]))  # waits: blocks in a queue would fill the memory
        return total

    def _over_processes(self, backend: Backend, *sums: Array) -> tuple[Array, ...]:
        """Added over the processes, all on one kind of device in each, also where a process has none of a batch."""
        if not self.processes.apart:
            return sums
        return tuple(map(backend.put, self.processes.add(*map(backend.put, sums))))
