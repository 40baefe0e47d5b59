"""X and Y, checked once, and put where a neuron sums over them, as it is done best."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from handgrad import memory
from handgrad.backend import Array, Backend
from handgrad.blocks import VALUES, in_files, on_host
from handgrad.checks import check_values, checked_labels
from handgrad.errors import DataError, UsageError
from handgrad.examples import Examples, Part
from handgrad.processes import ALONE, Processes
from handgrad.views import Seen, seen


def place(backend: Backend, X: Array | Seen, Y: Array | None, block: int | None) -> Examples:
    """Examples of X and Y; arguments and errors as for `handgrad.neuron.Neuron.place`."""
    X = seen(X)
    (n, m), k = X.X.shape, len(X.views)
    processes = X.processes if X.processes.apart else backend.processes
    if Y is not None:
        Y = checked_labels(Y, m * k, backend.get)
    _check_inputs(backend, X.X)
    part = Part(X.X, tuple(Y if Y is None or k == 1 else Y[:, v * m : (v + 1) * m] for v in range(k)), (1.0,) * k)
    parts: tuple[Part, ...] = (part,)
    which, mean, whole = None, 1.0, block == 0 or not on_host(X.X)
    if X.weights is not None:
        if block:
            raise UsageError(f"block is {block} and X is weighted; weighted examples are whole; expected block 0")
        parts, which, m, mean = _alike(part, X.weights.reshape(k, m), processes)
        whole = True
    elif block is None:
        whole = whole or _fits(backend, X.X)
    # Shares may differ by one example, and memories by more: in blocks, where they are too large for one of them.
    width = int(processes.largest([0 if whole else block or max(1, VALUES // n)])[0])
    placed = tuple(_put(backend, part, width) for part in parts)
    views, counts = tuple(view.placed(backend) for view in X.views), tuple(processes.everyones(m))
    return Examples(backend, placed, (n, m), views, processes, counts, sum(counts), mean, which, width)


def _put(backend: Backend, part: Part, block: int) -> Part:
    """The part on the device; its x only if it is not taken in blocks."""
    x = part.x
    if not block:
        # A mesh of several processes takes from files what each is to hold; elsewhere what lies in several is joined.
        x = backend.put_inputs(np.asarray(x) if on_host(x) and backend.processes is ALONE else x)
    return Part(x, tuple(None if y is None else backend.put(y) for y in part.labels), part.weights)


def _alike(
    part: Part, w: npt.NDArray[np.float64], processes: Processes
) -> tuple[tuple[Part, ...], tuple[npt.NDArray[np.intp], ...], int, float]:
    """Of examples with weights w (k, m): a part for all that count alike, which they are, how many, the mean weight."""
    largest = processes.largest([float(w.max())])[0]
    if not largest:
        raise DataError("the weights are all zero; expected some that are above 0")
    counted = np.flatnonzero(w.any(axis=0))
    distinct, of, sizes = np.unique(w[:, counted], axis=1, return_inverse=True, return_counts=True)
    which = tuple(np.split(np.argsort(of.ravel(), kind="stable"), np.cumsum(sizes)[:-1])) if len(counted) else ()
    shares = [tuple(map(float, column)) for column in (distinct / largest).T]  # so that no sum overflows
    parts = tuple(part.some(counted[g])._replace(weights=v) for g, v in zip(which, shares, strict=True))
    added = processes.add(sum(sum(v) * len(g) for g, v in zip(which, shares, strict=True)), len(counted))
    return parts, which, len(counted), float(added[0]) / float(added[1]) / len(w)


def _fits(backend: Backend, X: Array) -> bool:
    """Whether X is put on the device whole, unless told otherwise: if a copy takes at most half of the memory."""
    if backend.reads_bytes and X.dtype == np.uint8:
        return X.size <= VALUES or not in_files(X)
    share = 2 * X.size * np.dtype(backend.dtype).itemsize / backend.processes.count / memory.total()
    return backend.processes.largest([share])[0] <= 1


def _check_inputs(backend: Backend, X: Array) -> None:
    """Raise a DataError where a value is not finite; the same in all processes, each of which looks at what it holds.

    Values that lie on an accelerator already are taken as they are, since looking would cost a transfer.
    """
    if not (on_host(X) or backend.device == "cpu"):
        return
    values = X if on_host(X) else backend.get(X)
    if values.dtype.kind != "f":
        return
    wrong = 0.0
    try:
        for piece in backend.held(values):
            check_values("X", piece, backend.dtype, DataError)
    except DataError:
        wrong = 1.0
    if backend.processes.largest([wrong])[0]:
        check_values("X", values, backend.dtype, DataError)
