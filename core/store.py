"""Files and folders that are whole or absent, whatever stops the program or the machine."""

import os
import platform
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from handgrad.errors import UsageError, reason_of

try:
    import fcntl
except ModuleNotFoundError:  # pragma: no cover  # not on Windows
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"


def write(path: Path, content: bytes) -> None:
    """Make or replace a file, so that at any moment, and after a crash, it is what it was or what it is to be.

    The content goes to a file beside it, to the disk, and then to its name; one writer at a time (`locked`). Folders
    that are not there yet are made.

    Raises:
        UsageError: it cannot be written; what was there before is there still.
    """
    temporary = partly(path)
    kept = "what was there before is kept" if path.exists() else "nothing was written"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        kept = "it is there, whole, but may not outlast a loss of power"
        _sync(path.parent)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise UsageError(
            f"{path}: cannot be written: {reason_of(error)}; {kept}; free space or name another"
        ) from error


def must_be_new(path: Path) -> None:
    """Raise a UsageError where the file exists already, or cannot be made: before there is anything to write."""
    if path.exists():
        raise UsageError(f"{path}: exists already; expected a new file; name another or remove it")
    _must_take(path)


def must_be_free(folder: Path) -> None:
    """Raise a UsageError where `new_folder` would: it is taken, or cannot be made."""
    if _taken(folder.resolve()):
        raise UsageError(f"{folder}: exists already; expected a new or empty folder; name another or remove it")
    _must_take(folder)


def _must_take(path: Path) -> None:
    """Raise a UsageError where nothing can be made in the folder of a path, or in the one that is to hold that."""
    there = next(parent for parent in path.absolute().parents if parent.exists())
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        found = "may not be written to" if there.is_dir() else "is a file"
        raise UsageError(f"{path}: cannot be written: {there} {found}; name another place")


def partly(path: Path) -> Path:
    """Where the content of a file is while it is written."""
    return path.with_name(f".{path.name}.new")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder for oneself; given up when the process ends, however it ends.

    Where the file system or the system knows no locks (some network file systems, Windows), nothing is held.

    Raises:
        UsageError: another process holds it, or it cannot be written to.
    """
    path = folder / LOCK
    held = UsageError(f"{folder}: another training is at work in it; wait for its end, or name another")
    try:
        file = path.open("ab")
    except OSError as error:
        raise UsageError(
            f"{folder}: cannot be written: {reason_of(error)}; expected a folder with free space"
        ) from error
    with file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(file.fileno()).st_ino != path.stat().st_ino:
                    raise held  # by who made another lock after the holder of this one was done
            except (BlockingIOError, FileNotFoundError):
                raise held from None
            except OSError:
                pass
        try:
            yield
        finally:
            with suppress(OSError):
                path.unlink()


def _sync(path: Path) -> None:
    """A file, or the names in a folder, to the disk, where the system can."""
    if os.name == "posix":
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside ``path``, which becomes ``path`` if all goes well and is removed if not.

    Args:
        path: a folder that does not exist or is empty; its parents are made.

    Raises:
        UsageError: path exists and is not an empty folder, or nothing can be written there.
    """
    target = path.resolve()
    must_be_free(path)
    temporary = target.parent / f".{target.name[:80]}.{secrets.token_hex(4)}"
    parents = [parent for parent in target.parents if not parent.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
        with _at_work_in(temporary) if fcntl is not None else nullcontext():
            yield temporary
            for file in temporary.rglob("*"):
                if file != temporary / LOCK:
                    _sync(file)
            (temporary / LOCK).unlink(missing_ok=True)
            _sync(temporary)
            temporary.replace(target)
        _sync(target.parent)
    except OSError as error:
        if temporary.exists() and _taken(target):
            raise UsageError(
                f"{path}: was made by another process meanwhile, and is left as that made it; use it, or name another"
            ) from error
        raise UsageError(f"{path}: cannot be written: {reason_of(error)}; expected a folder with free space") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        with suppress(OSError):  # which they raise that hold something
            for parent in parents:
                parent.rmdir()


def _taken(target: Path) -> bool:
    return target.exists() and not (target.is_dir() and not any(target.iterdir()))


@contextmanager
def _at_work_in(temporary: Path) -> Iterator[None]:
    """Let others see in a temporary folder on which machine somebody is at work in it, and if they still are."""
    with (temporary / LOCK).open("x", encoding="utf-8") as lock:
        with suppress(OSError):  # where there are no locks, the file stays empty
            fcntl.flock(lock, fcntl.LOCK_EX)
            lock.write(platform.node())
            lock.flush()
        yield


def clear_left(path: Path, made: str) -> Iterator[str]:
    """Remove what processes that were killed left of ``new_folder(path)``, and say in a line each what was found.

    Removed is a folder of its name whose maker, on this machine, is gone, and that holds nothing but what it makes.

    Args:
        path: the folder that was to be made.
        made: a regular expression of what may be in it: files, folders, and files in these.
    """
    target = path.resolve()
    name = re.compile(rf"\.{re.escape(target.name[:80])}\.[0-9a-f]{{8}}")
    try:
        found = [left for left in sorted(target.parent.iterdir()) if name.fullmatch(left.name)]
    except OSError:
        return
    for left in found:
        with suppress(BlockingIOError):  # it is locked: somebody is at work in it
            if left.is_symlink() or not left.is_dir():
                continue
            if _removed(left, re.compile(made)):
                yield f"{left}: was left half made by a process that was killed; it is removed"
            else:
                yield (
                    f"{left}: may be left of a process that was killed, or another is at work in it elsewhere, or it "
                    "holds files of yours; look into it, and remove it if it is not needed"
                )


def _removed(left: Path, made: re.Pattern[str]) -> bool:
    lock = left / LOCK
    try:
        if fcntl is None or lock.is_symlink() or not lock.is_file():
            return False
        with lock.open("r+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not platform.node() or file.read(256) != platform.node():
                return False
            held = [path for path in left.rglob("*") if path != lock]
            if any(path.is_symlink() or not made.fullmatch(path.relative_to(left).as_posix()) for path in held):
                return False
            shutil.rmtree(left)
            return True
    except BlockingIOError:
        raise
    except (OSError, UnicodeDecodeError):
        return False
