"""A folder that appears whole or not at all."""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from handgrad.data.example import reason_of
from handgrad.errors import UsageError


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
        temporary.replace(target)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {reason_of(error)}; expected a folder with free space") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
