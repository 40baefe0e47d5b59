"""Which photographs a folder or a zip holds, and the class of each; nothing is decoded here."""

import io
import os
import re
import shlex
import stat
import threading
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

from handgrad.data.example import Skipped, composed
from handgrad.data.photograph import too_large
from handgrad.errors import DataError, printable, reason_of

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp"})

LAYOUTS = "expected cat.0.jpg dog.0.jpg ... in one folder, or one subfolder of photographs per class"
_SPLIT = re.compile(  # as in Train, test1, training_set, trainA, cats-val; not in trains, invalid, testament
    r"(?<![^\W\d_])(?i:(train(?:ing)?|test(?:ing)?|val(?:id(?:ation)?)?|dev|eval(?:uation)?|holdout)(?:set|data)?)(?![a-z])"
)
_LINK = "a link: not followed; put the files themselves in its place"
_NO_IMAGE = "not named as an image"
_LEADS_OUT = re.compile(r"/|[A-Za-z]:/|(.*/)?\.\.(/|$)", re.DOTALL)


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


def photographs(folder: Path) -> tuple[list[Path], list[DataError]]:
    """The files in a folder, and in the folders in it, that are named as photographs, in order of name; and why others
    are not taken, as `prepare` does not take them either: links, what is too large, folders that cannot be listed.
    """
    found, errors = [], []
    for entry in sorted(_walk(folder), key=lambda entry: entry.name):
        is_folder = not entry.name or entry.name.endswith("/")
        if entry.fault and (is_folder or _named_so(entry.name)):
            errors.append(DataError(f"{folder / entry.name}: {entry.fault}"))
        elif _named_so(entry.name):
            found.append(folder / entry.name)
    if not (found or errors):
        endings = ", ".join(sorted(SUFFIXES))
        errors.append(DataError(f"{folder}: found no photographs; expected files that end in {endings}"))
    return found, errors


@contextmanager
def open_source(source: Path, positive: str | None = None) -> Iterator[Found]:
    """The photographs of a folder or a zip, which can be opened until the context ends.

    Args:
        source: a folder or zip of ``class.anything.jpg`` files, or of one subfolder per class; folders around
            all of the photographs are seen through. Names with a part that starts with a dot are ignored.
        positive: a class, if known; subfolders that look like splits, of which it is one, are classes then.

    Raises:
        DataError: not a folder or zip, no photographs, both layouts mixed, not exactly two classes, or splits.
    """
    if source.is_dir():
        yield _found(source, "folder", _walk(source), positive)
        return
    try:
        archive = zipfile.ZipFile(source)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise DataError(f"{source}: neither a folder nor a zip that can be read: {reason_of(error)}") from None
    with archive:
        yield _found(source, "zip", _members(archive), positive)


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
                if item.is_symlink():
                    fault: str | None = _LINK
                elif item.is_file(follow_symlinks=False):
                    fault = too_large(item.stat(follow_symlinks=False).st_size)
                else:
                    fault = "not a regular file"
            except OSError as error:
                fault = f"cannot be read: {reason_of(error)}"
            yield _Entry(name, partial(_open, path), fault)


def _members(archive: zipfile.ZipFile) -> Iterator[_Entry]:
    lock = threading.Lock()  # ZipFile counts its open members without one

    def read(member: zipfile.ZipInfo) -> BinaryIO:
        with lock:
            return io.BytesIO(archive.read(member))

    members = [(member.filename.replace("\\", "/"), member) for member in archive.infolist() if not member.is_dir()]
    # Of a name that comes twice, unpacking would leave the last.
    last = {tuple(_parts(name)): member for name, member in members if not _LEADS_OUT.match(name)}
    for name, member in members:
        fault, kind = too_large(member.file_size), stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            fault = _LINK if kind == stat.S_IFLNK else "not a regular file"
        elif _LEADS_OUT.match(name):
            fault = "its name leads out of the zip"
        elif last[tuple(_parts(name))] is not member:
            fault = "twice in the zip; the last counts"
        yield _Entry(name, partial(read, member), fault)


def _found(source: Path, kind: Literal["folder", "zip"], entries: Iterable[_Entry], positive: str | None) -> Found:
    photographs: list[_Entry] = []
    skipped: list[Skipped] = []
    for entry in sorted(entries, key=lambda entry: entry.name):
        name = printable(entry.name)
        if any(_hidden(part) and part != ".." for part in _parts(name)):
            continue
        if entry.fault:
            skipped.append(Skipped(name, entry.fault))
        elif not _named_so(name):
            skipped.append(Skipped(name, _NO_IMAGE))
        else:
            photographs.append(entry._replace(name=name))
    if not photographs:
        instead = f" but {skipped[0].name} ({skipped[0].reason})" if skipped else ""
        raise DataError(f"{source}: found no photographs{instead}; {_to_do(source, kind, skipped) or LAYOUTS}")

    classes = classes_of([entry.name for entry in photographs])
    if classes is None:
        raise DataError(f"{source}: found photographs both beside the subfolders and in them; {LAYOUTS}")
    files = []
    for entry, class_name in zip(photographs, classes, strict=True):
        if class_name is None:
            skipped.append(Skipped(entry.name, "no class in its name"))
        else:
            files.append(File(entry.name, class_name, entry.open))
    counts = Counter(file.class_name for file in files)
    names = sorted(counts)
    if not names:
        to_do = _to_do(source, kind, skipped) or LAYOUTS
        raise DataError(f"{source}: found no class in any photograph's name; {to_do}")
    if positive not in names:
        _must_not_be_splits(source, kind, files, counts)
    if len(names) != 2:
        shown = _counted(counts, names[:10])
        more = f" and {len(names) - 10:,} more" if len(names) > 10 else ""
        plural = "class" if len(names) == 1 else "classes"
        one = f"add photographs of what is no {names[0]}, as other.0.jpg ..., or in a folder beside its own"
        to_do = _to_do(source, kind, skipped) or ("keep the photographs of two" if len(names) > 1 else one)
        raise DataError(f"{source}: found {len(names):,} {plural}: {shown}{more}; expected exactly two; {to_do}")
    return Found(kind, files, skipped, (names[0], names[1]))


def classes_of(names: Sequence[str]) -> list[str | None] | None:
    """The class of each photograph, from the names alone.

    Args:
        names: "/"-separated names of all photographs, relative to the source; at least one.

    Returns:
        Of each name its class, or None where a flat folder's file has none ("cat.jpg"); None where photographs
        lie both beside subfolders and in them.
    """
    paths = _seen_through(names)
    flat = {len(path) == 1 for path in paths}
    if flat == {True}:
        return [_class_in(path[0]) for path in paths]
    if flat == {False}:
        return [path[0] for path in paths]
    return None


def _seen_through(names: Sequence[str]) -> list[list[str]]:
    """The parts of each name, without the folders around all of them that name no class."""
    paths = [_parts(composed(name)) for name in names]
    while len({path[0] for path in paths}) == 1 and min(map(len, paths)) > 1:
        inside = [path[1:] for path in paths]
        if all(len(path) == 1 and _class_in(path[0]) is None for path in inside):
            break  # this folder is no wrapping: it is the only thing that names a class
        paths = inside
    return paths


def _must_not_be_splits(source: Path, kind: str, files: Sequence[File], counts: Counter[str]) -> None:
    """Raise a DataError where what should be classes are splits or sources, by their names or by what they hold."""
    paths, names = _seen_through([file.name for file in files]), sorted(counts)
    inside: dict[str, list[str]] = {name: [] for name in names}
    for path in paths:
        if len(path) > 1:
            inside[path[0]].append("/".join(path[1:]))
    shared = sorted(set.intersection(*map(_would_be_classes, inside.values())))
    if _are_splits(names):
        seen = "which are splits by their names"
    elif len(names) > 1 and len(shared) > 1 and not _are_splits(shared):
        seen = f"which all hold {', '.join(shared[:10])}: splits or sources"
    else:
        return
    found = f"{source}: found {_counted(counts, names[:10])}, {seen}, and no classes"
    if len(paths[0]) == 1:
        raise DataError(f"{found}; {LAYOUTS}")
    learnt = max(names, key=lambda name: (_to_learn_from(name), counts[name]))
    depth = len(_parts(files[0].name)) - len(paths[0]) + 1
    folder = next("/".join(_parts(file.name)[:depth]) for file in files if file.class_name == learnt)
    or_else = f"; if they are classes, say so: --positive {shlex.quote(names[1])}" if len(names) == 2 else ""
    raise DataError(f"{found}; give one of them: {_type(source, kind, folder)}{or_else}")


def _would_be_classes(names: Sequence[str]) -> set[str]:
    """The classes that a subfolder would have, given as the source; numbers that begin files' names are none."""
    paths = _seen_through(names) if names else []
    prefixes = {prefix for path in paths if len(path) == 1 and (prefix := _class_in(path[0]))}
    return {path[0] for path in paths if len(path) > 1} | {name for name in prefixes if not re.search(r"\d", name)}


def _to_do(source: Path, kind: str, skipped: Sequence[Skipped]) -> str | None:
    """What to do where there are no two classes, for they may be in a zip inside or behind a link."""
    inner = [each.name for each in skipped if each.reason == _NO_IMAGE and each.name.lower().endswith(".zip")]
    if inner:
        name = max(inner, key=_to_learn_from)
        return f"{name} is a zip of its own; give that: {_type(source, kind, name)}"
    link = next((each.name for each in skipped if each.reason == _LINK), None)
    if link is None:
        return None
    if kind == "zip":
        return f"{link} is a link, which is not followed; zip the files themselves"
    copy = f"cp -rL {shlex.quote(str(source))} COPY; handgrad prepare COPY DATA"
    return f"{link} is a link, which is not followed; give a copy that has the files themselves: {copy}"


def _type(source: Path, kind: str, name: str) -> str:
    """The commands that prepare a folder or a file of a source."""
    if kind == "folder":
        return f"handgrad prepare {shlex.quote(str(source / name))} DATA"
    return f"unzip {shlex.quote(str(source))} -d FOLDER; handgrad prepare {shlex.quote('FOLDER/' + name)} DATA"


def _are_splits(names: Iterable[str]) -> bool:
    return len({found[1].casefold() for name in names if (found := _SPLIT.search(name))}) > 1


def _to_learn_from(name: str) -> bool:
    found = _SPLIT.search(name)
    return found is not None and found[1].casefold().startswith("train")


def _counted(counts: Counter[str], names: Iterable[str]) -> str:
    return ", ".join(f"{name} ({counts[name]:,})" for name in names)


def _class_in(file_name: str) -> str | None:
    parts = file_name.split(".")
    return parts[0] if len(parts) > 2 else None


def _open(path: Path) -> BinaryIO:
    return path.open("rb")


def _parts(name: str) -> list[str]:
    return [part for part in name.split("/") if part not in ("", ".")]


def _named_so(name: str) -> bool:
    return Path(name).suffix.lower() in SUFFIXES


def _hidden(part: str) -> bool:
    return part.startswith(".") or part == "__MACOSX"
