"""Whether there is anybody to show a progress bar to."""

import sys


def hidden(progress: bool = True) -> bool | None:
    """What tqdm is told as ``disable``: None, by which it looks for a terminal, if there is a standard error at all."""
    return None if progress and sys.stderr is not None else True
