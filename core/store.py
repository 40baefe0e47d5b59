"""Files and folders that are whole or absent, whatever stops the program or the machine."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from handgrad.errors import UsageError, reason_of

try:
    import fcntl
except ModuleNotFoundError:  # pragma: no cover  # not on Windows
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"


def write(path: Path, content: bytes) -> None:
    """Make or replace a file, so that at any moment, and after a crash, it is what it was or what it is to be.

    The content goes to a file beside it, to the disk, and then to its name; one writer at a time (`locked`).

    Raises:
        UsageError: it cannot be written; what was there before is there still.
    """
    temporary = partly(path)
    kept = "what was there before is kept" if path.exists() else "nothing was written"
    try:
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
    """Raise a UsageError where the file exists already."""
    if path.exists():
        raise UsageError(f"{path}: exists already; expected a new file; name another or remove it")


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
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise UsageError(f"{path}: exists already; expected a new or empty folder; name another or remove it")
    temporary = target.parent / f".{target.name[:80]}.{secrets.token_hex(4)}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
        yield temporary
        for file in temporary.rglob("*"):
            _sync(file)
        _sync(temporary)
        temporary.replace(target)
        _sync(target.parent)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {reason_of(error)}; expected a folder with free space") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
