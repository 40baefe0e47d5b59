"""Which photographs a folder or a zip holds, and the class of each; nothing is decoded here."""

import io
import os
import stat
import threading
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

from handgrad.data.example import Skipped
from handgrad.data.photograph import too_large
from handgrad.errors import DataError, printable, reason_of

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp"})

LAYOUTS = "expected cat.0.jpg dog.0.jpg ... in one folder, or one subfolder of photographs per class"
_SPLIT_NAMES = frozenset({"train", "training", "valid", "validation", "val", "test"})


class File(NamedTuple):
    """A photograph that was found: its name relative to the source, its class, and how to open it."""

    name: str
    class_name: str
    open: Callable[[], BinaryIO]


class Found(NamedTuple):
    """What a source holds: photographs in order of name, what was skipped, and the two classes in order of name."""

    kind: Literal["folder", "zip"]
    files: list[File]
    skipped: list[Skipped]
    classes: tuple[str, str]


class _Entry(NamedTuple):
    name: str
    open: Callable[[], BinaryIO]
    fault: str | None = None


@contextmanager
def open_source(source: Path) -> Iterator[Found]:
    """The photographs of a folder or a zip, which can be opened until the context ends.

    Args:
        source: a folder or zip of ``class.anything.jpg`` files, or of one subfolder per class; folders around
            all of the photographs are seen through. Names with a part that starts with a dot are ignored.

    Raises:
        DataError: not a folder or zip, no photographs, both layouts mixed, or not exactly two classes.
    """
    if source.is_dir():
        yield _found(source, "folder", _walk(source))
        return
    try:
        archive = zipfile.ZipFile(source)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise DataError(f"{source}: neither a folder nor a zip that can be read: {reason_of(error)}") from None
    with archive:
        yield _found(source, "zip", _members(archive))


def _walk(source: Path) -> Iterator[_Entry]:
    folders = [(source, "")]
    while folders:  # not by recursion, for a folder may be deeper than Python's stack
        folder, prefix = folders.pop()
        try:
            with os.scandir(folder) as found:
                items = list(found)
        except OSError as error:
            yield _Entry(prefix, partial(_open, folder), f"cannot be listed: {reason_of(error)}")
            continue
        for item in items:
            name, path = prefix + item.name, folder / item.name
            if _hidden(item.name):
                continue
            try:
                if item.is_dir(follow_symlinks=False):
                    folders.append((path, name + "/"))
                    continue
                regular = item.is_file(follow_symlinks=False)
                fault = too_large(item.stat(follow_symlinks=False).st_size) if regular else "not a regular file"
            except OSError as error:
                fault = f"cannot be read: {reason_of(error)}"
            yield _Entry(name, partial(_open, path), fault)


def _members(archive: zipfile.ZipFile) -> Iterator[_Entry]:
    lock = threading.Lock()  # ZipFile counts its open members without one

    def read(member: zipfile.ZipInfo) -> BinaryIO:
        with lock:
            return io.BytesIO(archive.read(member))

    for member in archive.infolist():
        name, fault = member.filename.replace("\\", "/"), too_large(member.file_size)
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
            fault = "not a regular file"
        elif name.startswith("/") or ":" in name.split("/")[0] or ".." in name.split("/"):
            fault = "its name leads out of the zip"
        if not member.is_dir():
            yield _Entry(name, partial(read, member), fault)


def _found(source: Path, kind: Literal["folder", "zip"], entries: Iterable[_Entry]) -> Found:
    photographs: list[_Entry] = []
    skipped: list[Skipped] = []
    for entry in sorted(entries, key=lambda entry: entry.name):
        name = printable(entry.name)
        if any(_hidden(part) and part != ".." for part in _parts(name)):
            continue
        if entry.fault:
            skipped.append(Skipped(name, entry.fault))
        elif Path(name).suffix.lower() not in SUFFIXES:
            skipped.append(Skipped(name, "not named as an image"))
        else:
            photographs.append(entry._replace(name=name))
    if not photographs:
        instead = f" but {skipped[0].name} ({skipped[0].reason})" if skipped else ""
        raise DataError(f"{source}: found no photographs{instead}; {LAYOUTS}")

    classes = classes_of([entry.name for entry in photographs])
    if classes is None:
        raise DataError(f"{source}: found photographs both beside the subfolders and in them; {LAYOUTS}")
    files = []
    for entry, class_name in zip(photographs, classes, strict=True):
        if class_name is None:
            skipped.append(Skipped(entry.name, "no class in its name"))
        else:
            files.append(File(entry.name, class_name, entry.open))
    return Found(kind, files, skipped, _two_classes(source, files))


def classes_of(names: Sequence[str]) -> list[str | None] | None:
    """The class of each photograph, from the names alone.

    Args:
        names: "/"-separated names of all photographs, relative to the source; at least one.

    Returns:
        Of each name its class, or None where a flat folder's file has none ("cat.jpg"); None where photographs
        lie both beside subfolders and in them.
    """
    paths = [_parts(name) for name in names]
    while len({path[0] for path in paths}) == 1 and min(map(len, paths)) > 1:
        inside = [path[1:] for path in paths]
        if all(len(path) == 1 and _class_in(path[0]) is None for path in inside):
            break  # this folder is no wrapping: it is the only thing that names a class
        paths = inside
    flat = {len(path) == 1 for path in paths}
    if flat == {True}:
        return [_class_in(path[0]) for path in paths]
    if flat == {False}:
        return [path[0] for path in paths]
    return None


def _two_classes(source: Path, files: Iterable[File]) -> tuple[str, str]:
    counts = Counter(file.class_name for file in files)
    names = sorted(counts)
    if not names:
        raise DataError(f"{source}: found no class in any photograph's name; {LAYOUTS}")
    if len(names) != 2:
        shown = ", ".join(f"{name} ({counts[name]:,})" for name in names[:10])
        more = f" and {len(names) - 10:,} more" if len(names) > 10 else ""
        plural = "class" if len(names) == 1 else "classes"
        raise DataError(
            f"{source}: found {len(names):,} {plural}: {shown}{more}; expected exactly two; keep the photographs of two"
        )
    if _SPLIT_NAMES.issuperset(names):
        raise DataError(
            f"{source}: found subfolders {names[0]} and {names[1]}, which are splits and no classes; "
            "give the one to learn from as the source"
        )
    return names[0], names[1]


def _class_in(file_name: str) -> str | None:
    parts = file_name.split(".")
    return parts[0] if len(parts) > 2 else None


def _open(path: Path) -> BinaryIO:
    return path.open("rb")


def _parts(name: str) -> list[str]:
    return [part for part in name.split("/") if part not in ("", ".")]


def _hidden(part: str) -> bool:
    return part.startswith(".") or part == "__MACOSX"
