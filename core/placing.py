"""X and Y, checked once, and put where a neuron sums over them, as it is done best."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from handgrad import memory
from handgrad.backend import Array, Backend
from handgrad.checks import check_values, checked_labels
from handgrad.errors import DataError, UsageError
from handgrad.examples import VALUES, Examples, Part, in_blocks, is_placed, on_host, stored
from handgrad.processes import ALONE, Processes
from handgrad.views import Seen, seen


def place(backend: Backend, X: Array | Seen | Examples, Y: Array | None, block: int | None) -> Examples:
    """Examples of X and Y; arguments and errors as for `handgrad.neuron.Neuron.place`."""
    if is_placed(X):
        return _placed(backend, X, Y, block)
    X = seen(X)
    if X.processes.apart and backend.processes.count > 1:
        raise UsageError(f"X is a share, and device {backend.device!r} is that of all processes; give X whole")
    processes = X.processes if X.processes.apart else backend.processes
    (n, m), k = X.X.shape, len(X.views)
    if Y is not None:
        Y = checked_labels(Y, (n, m * k), backend.get)
    _check_inputs(backend, X.X)
    part = Part(X.X, tuple(Y if Y is None or k == 1 else Y[:, v * m : (v + 1) * m] for v in range(k)), (1.0,) * k)
    parts: Iterable[Part] = [part]
    where, mean, width = None, 1.0, 0
    if X.weights is None:
        width = _width(backend, X.X, block, processes)
    elif block:
        raise UsageError(f"block is {block} and X is weighted; weighted examples are whole; expected block 0")
    else:
        parts, where, m, mean = _alike(part, X.weights.reshape(k, m), processes)
    placed = tuple(_put(backend, part, width) for part in parts)
    views, counts = tuple(view.placed(backend) for view in X.views), tuple(processes.everyones(m))
    return Examples(backend, placed, (n, m), views, processes, counts, sum(counts), mean, where, width)


def _placed(backend: Backend, X: Examples, Y: Array | None, block: int | None) -> Examples:
    """Examples as they are, if all is as it was when they were placed."""
    if Y is not None:
        raise UsageError("Y: found it beside examples, which have their labels; leave it out, and name what follows")
    if block is not None and block != X.block:
        raise UsageError(f"block is {block}, and X was placed with block {X.block}; place it with the other one")
    mine, theirs = ((type(of), of.dtype, of.device) for of in (backend, X.backend))
    if mine != theirs:
        found, expected = (
            f"{of.__module__}.{of.__qualname__}, {dtype} on {device}" for of, dtype, device in (theirs, mine)
        )
        raise UsageError(f"X was placed by {found}; expected {expected}: place it with this neuron")
    return X


def _put(backend: Backend, part: Part, block: int) -> Part:
    """The part on the device; its x only if it is not taken in blocks."""
    x = part.x
    if not block:
        # A mesh of several processes takes from files what each is to hold; elsewhere what lies in several is joined.
        x = backend.put_inputs(np.asarray(x) if on_host(x) and backend.processes is ALONE else x)
    return Part(x, tuple(None if y is None else backend.put(y) for y in part.labels), part.weights)


def _alike(
    part: Part, w: npt.NDArray[np.float64], processes: Processes
) -> tuple[Iterable[Part], npt.NDArray[np.intp], int, float]:
    """Of weights w (k, m) a part for all examples that count alike, where each is, how many, and the mean weight."""
    largest = processes.largest([float(w.max())])[0]
    if not largest:
        raise DataError("the weights are all zero; expected some that are above 0")
    counted = np.flatnonzero(w.any(axis=0))
    distinct, of, sizes = np.unique(w[:, counted], axis=1, return_inverse=True, return_counts=True)
    of, ends = of.ravel(), np.cumsum(sizes)
    order = np.argsort(of, kind="stable")
    where = np.stack([of, np.empty_like(of)])
    where[1, order] = np.arange(len(of)) - np.repeat(ends - sizes, sizes)
    weights = [tuple(map(float, column)) for column in (distinct / largest).T]  # of the largest: no sum overflows
    groups = (counted[order[end - size : end]] for end, size in zip(ends, sizes, strict=True))
    parts = (part.some(group)._replace(weights=v) for group, v in zip(groups, weights, strict=True))
    total, m = processes.add(sum(sum(v) * int(size) for v, size in zip(weights, sizes, strict=True)), len(counted))
    return parts, where, len(counted), float(total) / float(m) / len(w)


def _width(backend: Backend, X: Array, block: int | None, processes: Processes) -> int:
    """Examples in a block, as asked for; 0 for all, where X lies on the device or takes at most half of memory there.

    Shares may differ by one example, and memories by more: so in blocks, where they are too large for one process.
    """
    whole = block == 0 or not on_host(X) or (block is None and _fits(backend, X))
    return int(processes.largest([0 if whole else block or max(1, VALUES // X.shape[0])])[0])


def _fits(backend: Backend, X: Array) -> bool:
    copied = stored(X) is X  # into one array
    if copied and backend.reads_bytes(X):
        return bool(X.size <= VALUES)
    # Of bytes that are read, one a value: as it is, or copied where the backend reads it otherwise.
    itemsize = 1 if backend.reads_bytes(X) else np.dtype(backend.dtype).itemsize
    if copied:
        itemsize += np.dtype(X.dtype).itemsize
    share = 2 * X.size * itemsize / backend.processes.count / memory.total()
    return backend.processes.largest([share])[0] <= 1


def _check_inputs(backend: Backend, X: Array) -> None:
    """Raise a DataError where a value is not finite; the same in all processes, each of which looks at what it holds.

    Values that lie on an accelerator already are taken as they are, since looking would cost a transfer.
    """
    near = backend.device.partition(":")[0] == "cpu" and backend.processes.count == 1
    if not (on_host(X) or near):
        return
    values = X if on_host(X) else backend.get(X)
    if np.dtype(values.dtype).kind != "f":
        return
    wrong = 0.0
    try:
        for piece in backend.held(values):
            _check_blocks(backend, piece)
    except DataError:
        wrong = 1.0
    if backend.processes.largest([wrong])[0]:
        _check_blocks(backend, values)


def _check_blocks(backend: Backend, X: Array) -> None:
    for block, which in in_blocks(X):
        check_values("X", block, backend.dtype, DataError, which.start)
