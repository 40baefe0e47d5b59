"""Whether there is anybody to show a progress bar to."""

import sys

from tqdm import tqdm


def hidden(progress: bool = True) -> bool | None:
    """What tqdm is told as ``disable``: None, by which it looks for a terminal, if there is a standard error at all."""
    return None if progress and sys.stderr is not None else True


def tell(line: str) -> None:
    """A line on standard error, above the bars, where there is somebody to show them to."""
    if sys.stderr is not None and sys.stderr.isatty():
        tqdm.write(line, file=sys.stderr)
