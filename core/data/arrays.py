"""Examples that are arrays already, with their own size and split: article 1's .npz files and its HDF5 files.

Nothing is unpickled, no size in a header is believed before the bytes are there, and pixels are read in blocks.
"""

import io
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from handgrad.data.example import SPLITS, Example, Split, composed
from handgrad.data.photograph import MAX_BYTES
from handgrad.errors import DataError, MissingExtraError, printable, reason_of

BLOCK_BYTES = 1 << 20

HEADER_BYTES = 1 << 12
"""Bytes that an .npy file may take to say its shape and dtype: an array of numbers takes 128."""

MOST_SWELLING = 1032
"""Bytes that one compressed byte can stand for: deflate's limit, 1032 to 1 ("zlib Technical Details")."""

_HEADERS: dict[tuple[int, int], Callable[..., tuple[tuple[int, ...], bool, np.dtype[Any]]]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


@dataclass(frozen=True)
class _Array:
    """An array in a file: ``read(rows)`` gives it from its start, so many rows at a time."""

    where: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[int], Iterator[NDArray[Any]]]

    def blocks(self) -> Iterator[NDArray[Any]]:
        return self.read(max(1, BLOCK_BYTES // (prod(self.shape[1:]) * self.dtype.itemsize)))


class _Pair(NamedTuple):
    file_name: str
    X: _Array
    Y: NDArray[np.uint8]


@dataclass(frozen=True)
class Arrays:
    """A source of arrays: names of class 0 and 1, size (h, w, c), and how many examples of each both splits hold."""

    kind: Literal["npz", "hdf5"]
    classes: tuple[str, str]
    size: tuple[int, int, int]
    found: tuple[int, int]
    _pairs: dict[Split, _Pair]

    def examples(self) -> Iterator[Example]:
        """Every example: those of train, then those of valid, in the order of the files.

        Raises:
            DataError: a pixel that is no byte and no 255th of one, naming file, array and example.
        """
        # Floats up to 1 are 255ths. It takes all of them to tell: one block may hold nothing but 0 and 1.
        floats = [pair.X for pair in self._pairs.values() if pair.X.dtype.kind == "f"]
        scaled = all((block <= 1).all() for X in floats for block in X.blocks())
        height, width, _ = self.size
        for split, (file_name, X, Y) in self._pairs.items():
            row = 0
            for block in X.blocks():
                for pixels in _as_bytes(block, X, scaled and X.dtype.kind == "f", row):
                    yield Example(f"{file_name}[{row}]", pixels, int(Y[row]), split, width, height)
                    row += 1


def holds_arrays(source: Path) -> bool:
    """Whether a source is a folder of arrays rather than of photographs."""
    return source.is_dir() and bool(_npz_files(source) or _hdf5_files(source))


@contextmanager
def open_arrays(source: Path) -> Iterator[Arrays]:
    """The arrays of a folder, which can be read until the context ends.

    Args:
        source: a folder with train.npz and valid.npz (X (m, h, w, c) and Y (1, m) or (m,); classes "0" and "1"), or
            with train_*.h5 and test_*.h5 (train_set_x, train_set_y, test_set_x, test_set_y and list_classes).
            Channels come last. Pixels are whole numbers 0..255 of any number type, or floats k / 255.

    Raises:
        DataError: a file or array is missing, damaged, or of a wrong shape or type; a label is not 0 or 1.
        MissingExtraError: h5py is not installed.
    """
    with ExitStack() as files:
        if _npz_files(source):
            kind: Literal["npz", "hdf5"] = "npz"
            classes, pairs = _open_npz(source, files)
        else:
            kind = "hdf5"
            classes, pairs = _open_hdf5(source, files)
        sizes = [pair.X.shape[1:] for pair in pairs.values()]
        if sizes[0] != sizes[1]:
            raise DataError(f"{source}: train has examples {sizes[0]} and valid {sizes[1]}; expected one (h, w, c)")
        height, width, channels = sizes[0]
        ones = sum(int(pair.Y.sum()) for pair in pairs.values())
        zeros = sum(len(pair.Y) for pair in pairs.values()) - ones
        yield Arrays(kind, classes, (height, width, channels), (zeros, ones), pairs)


def write_npz(pixels: Path, labels: Path, path: Path) -> None:
    """Writes article 1's arrays to an .npz, uncompressed, a block at a time: X (m, h, w, c) and Y (1, m), both uint8.

    Args:
        pixels: an .npy file (m, h, w, c) uint8.
        labels: an .npy file (m,) uint8.
        path: the .npz file to create.
    """
    X, Y = np.load(pixels, mmap_mode="r"), np.load(labels)[np.newaxis]
    rows = max(1, BLOCK_BYTES // prod(X.shape[1:]))
    with zipfile.ZipFile(path, "x") as archive:
        for name, array in (("X", X), ("Y", Y)):
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
                header = {"descr": "|u1", "fortran_order": False, "shape": array.shape}
                np.lib.format.write_array_header_1_0(file, header)
                for first in range(0, len(array), rows):
                    file.write(array[first : first + rows].tobytes())


def _npz_files(source: Path) -> list[Path]:
    return [path for path in (source / "train.npz", source / "valid.npz") if path.is_file()]


def _hdf5_files(source: Path) -> list[Path]:
    return [path for pattern in ("train_*.h5", "test_*.h5") for path in sorted(source.glob(pattern))]


def _open_npz(source: Path, files: ExitStack) -> tuple[tuple[str, str], dict[Split, _Pair]]:
    pairs = {}
    for split in SPLITS:
        path = source / f"{split}.npz"
        with _naming(str(path)):
            archive = files.enter_context(zipfile.ZipFile(path))
        pairs[split] = _pair(path.name, _npz_array(path, archive, "X"), _npz_array(path, archive, "Y"))
    return ("0", "1"), pairs


def _npz_array(path: Path, archive: zipfile.ZipFile, name: str) -> _Array:
    where = f"{path}: {name}"
    if f"{name}.npy" not in archive.namelist():
        raise DataError(f"{where} is missing; found {_listed(archive.namelist())}; expected X and Y")
    if archive.namelist().count(f"{name}.npy") > 1:
        raise DataError(f"{where} is twice in the zip; expected one; save both arrays again with numpy.savez")
    with _naming(where):
        member = archive.getinfo(f"{name}.npy")
        with archive.open(member) as file:
            header = io.BytesIO(file.read(HEADER_BYTES))
        version = np.lib.format.read_magic(header)
        if version not in _HEADERS:
            raise DataError(f"{where} has .npy version {version}; expected numbers, saved by numpy.savez")
        shape, fortran_order, dtype = _HEADERS[version](header)
        start = header.tell()
    if member.file_size > MOST_SWELLING * member.compress_size + BLOCK_BYTES:
        raise DataError(
            f"{where} says that {member.compress_size:,} bytes swell to {member.file_size:,}; no honest file does so"
        )
    if dtype.kind in "buif" and member.file_size - start != prod(shape) * dtype.itemsize:
        raise DataError(
            f"{where} says {shape} {dtype} and holds {member.file_size - start:,} bytes; "
            f"expected {prod(shape) * dtype.itemsize:,}"
        )
    if fortran_order and len(shape) > 1 and sorted(shape)[-2] > 1:
        raise DataError(f"{where} is in Fortran order; expected C order; save numpy.ascontiguousarray({name})")

    def read(rows: int) -> Iterator[NDArray[Any]]:
        row_bytes = prod(shape[1:]) * dtype.itemsize
        with _naming(where), archive.open(member) as file:
            file.read(start)
            for first in range(0, shape[0], rows):
                count = min(rows, shape[0] - first)
                yield np.frombuffer(file.read(count * row_bytes), dtype).reshape(count, *shape[1:])

    return _Array(where, shape, dtype, read)


def _open_hdf5(source: Path, files: ExitStack) -> tuple[tuple[str, str], dict[Split, _Pair]]:
    try:
        import h5py
    except ImportError:
        raise MissingExtraError("h5py", "h5") from None
    classes, pairs = ("0", "1"), {}
    for split, prefix in zip(SPLITS, ("train", "test"), strict=True):
        paths = sorted(source.glob(f"{prefix}_*.h5"))
        if len(paths) != 1:
            found = _listed([path.name for path in _hdf5_files(source)])
            raise DataError(f"{source}: found {found}; expected one train_*.h5 and one test_*.h5")
        with _naming(str(paths[0])):
            file = files.enter_context(h5py.File(paths[0], "r"))
            X, Y, listed = (
                _hdf5_array(paths[0], file, name) for name in (f"{prefix}_set_x", f"{prefix}_set_y", "list_classes")
            )
            if listed.shape != (2,) or listed.dtype.kind not in "SO":
                raise DataError(f"{listed.where} has {listed.shape} {listed.dtype}; expected the names of two classes")
            names = [printable(composed(bytes(name).decode())) for name in next(listed.read(2))]
        if names[0] == names[1]:
            raise DataError(f"{listed.where} has {names[0]} twice; expected the names of two classes")
        if split == "valid" and tuple(names) != classes:
            raise DataError(f"{listed.where} has {_listed(names)}; expected {_listed(classes)}, as in the train file")
        classes = (names[0], names[1])
        pairs[split] = _pair(paths[0].name, X, Y)
    return classes, pairs


def _hdf5_array(path: Path, file: Any, name: str) -> _Array:
    import h5py

    where = f"{path}: {name}"
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        missing = name not in file.keys()  # noqa: SIM118  # `in file` follows links
        raise DataError(
            f"{where} is missing; found {_listed(list(file))}" if missing else f"{where} is a link; expected an array"
        )
    array = file[name]
    if getattr(array, "shape", None) is None:
        raise DataError(f"{where} is missing; found {_listed(list(file))}")
    if array.is_virtual or array.external:
        raise DataError(f"{where} lies in other files; expected an array that lies in this one")
    if array.nbytes > MOST_SWELLING * array.id.get_storage_size() + BLOCK_BYTES:
        raise DataError(
            f"{where} says {array.shape} {array.dtype} and holds {array.id.get_storage_size():,} bytes; "
            f"expected {array.nbytes:,}"
        )

    def read(rows: int) -> Iterator[NDArray[Any]]:
        with _naming(where):
            for first in range(0, array.shape[0], rows):
                yield array[first : first + rows]

    return _Array(where, array.shape, array.dtype, read)


def _pair(file_name: str, X: _Array, Y: _Array) -> _Pair:
    if len(X.shape) != 4 or min(X.shape[1:]) < 1 or X.shape[0] < 0 or X.dtype.kind not in "uif":
        raise DataError(f"{X.where} has {X.shape} {X.dtype}; expected numbers (m, h, w, c)")
    if X.shape[1] <= 4 < min(X.shape[2:]):
        raise DataError(f"{X.where} has {X.shape}, channels first; expected (m, h, w, c); save X.transpose(0, 2, 3, 1)")
    m, row = X.shape[0], prod(X.shape[1:]) * X.dtype.itemsize
    if row > MAX_BYTES:
        raise DataError(f"{X.where} has examples of {row:,} bytes; expected at most {MAX_BYTES:,}")
    if Y.shape not in ((m,), (1, m)) or Y.dtype.kind not in "buif":
        raise DataError(f"{Y.where} has {Y.shape} {Y.dtype}; expected numbers (1, {m}) or ({m},), one per example of X")
    if m * Y.dtype.itemsize > MAX_BYTES:
        raise DataError(f"{Y.where} has {m * Y.dtype.itemsize:,} bytes of labels; expected at most {MAX_BYTES:,}")
    labels = np.concatenate([np.zeros(0, Y.dtype), *(block.ravel() for block in Y.read(max(1, m)))])
    wrong = np.flatnonzero((labels != 0) & (labels != 1))
    if wrong.size:
        raise DataError(f"{Y.where} holds {labels[wrong[0]]} for example {wrong[0]}; expected 0 or 1")
    return _Pair(file_name, X, labels.astype(np.uint8))


def _as_bytes(block: NDArray[Any], X: _Array, scaled: bool, first: int) -> NDArray[np.uint8]:
    """The pixels of a block (m, h, w, c) as uint8; ``first`` is the number of its first example in the file."""
    if X.dtype == np.uint8:
        return block
    # k / 255 was rounded once or twice (k times 1 / 255), each time by up to half an eps of its type.
    slack = 255 * max(np.finfo(X.dtype).eps, np.finfo(np.float32).eps) if scaled else 0
    with np.errstate(invalid="ignore", over="ignore"):
        values = block.astype(np.float64) * (255 if scaled else 1)
        whole = np.rint(values)
        good = (np.abs(values - whole) <= slack) & (whole >= 0) & (whole <= 255)
    if not good.all():
        bad = np.argwhere(~good)[0]
        raise DataError(
            f"{X.where} holds {block[tuple(bad)]} in example {first + bad[0]}; "
            "expected whole numbers 0 to 255, or fractions k / 255 from 0 to 1"
        )
    return whole.astype(np.uint8)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(printable, names[:10])) or "nothing"


@contextmanager
def _naming(where: str) -> Iterator[None]:
    """Turns what zipfile, NumPy and h5py raise for a file into one error that names it."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # damaged archives raise nearly anything
        raise DataError(f"{where} cannot be read: {reason_of(error)}; expected a whole .npz or HDF5 file") from None
