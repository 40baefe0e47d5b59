"""An .npy file of bytes that grows row by row, so that no more than a megabyte is in memory; and what its rows are."""

import hashlib
from collections.abc import Generator
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from handgrad.data.parallel import ordered_map

BLOCK_BYTES = 1 << 20


class GrowingNpy:
    """Writes rows of shape ``row_shape`` to an array (m, ...) uint8 whose m is known only at the end.

    NumPy pads the header for the first dimension to grow, so the final one, as long as the first, replaces it.

    Attributes:
        rows: how many were written.
        sha256: of the sha256 of each row.
    """

    def __init__(self, path: Path, row_shape: tuple[int, ...]) -> None:
        self.rows = 0
        self.row_shape = row_shape
        self.sha256 = hashlib.sha256()
        self._file = path.open("wb", BLOCK_BYTES)
        self._write_header()

    def append(self, row: NDArray[np.uint8]) -> bytes:
        """Adds one row, of shape ``row_shape``, and returns its sha256."""
        if row.shape != self.row_shape or row.dtype != np.uint8:
            raise ValueError(f"found a row {row.shape} {row.dtype}; expected {self.row_shape} uint8")
        data = row.tobytes()
        self._file.write(data)
        digest = hashlib.sha256(data).digest()
        self.sha256.update(digest)
        self.rows += 1
        return digest

    def __enter__(self) -> "GrowingNpy":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            if kind is None:
                self._file.seek(0)
                self._write_header()

    def _write_header(self) -> None:
        header = {"descr": "|u1", "fortran_order": False, "shape": (self.rows, *self.row_shape)}
        np.lib.format.write_array_header_1_0(self._file, header)


def row_digests(rows: NDArray[np.uint8]) -> Generator[bytes]:
    """The sha256 of each row of an array (m, ...), on all cores."""
    width = max(1, BLOCK_BYTES * len(rows) // max(1, rows.nbytes))

    def digests(start: int) -> list[bytes]:
        return [hashlib.sha256(row.tobytes()).digest() for row in rows[start : start + width]]

    for _, some in ordered_map(digests, range(0, len(rows), width)):
        yield from some
