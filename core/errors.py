"""What can go wrong, as one family: each error is one line for a person and one exit code for a script."""

import inspect
import warnings

MOST_REASON = 400
"""Characters of another library's message that are told."""


class HandgradError(Exception):
    """Any error that handgrad raises on purpose.

    The message names the file or argument, what was found, what was expected and what to do.
    ``exit_code`` is what the command line ends with: 2 usage, 3 data, 4 diverged.
    """

    exit_code = 2


class UsageError(HandgradError, ValueError):
    """An argument that cannot be used: its name, the value found and the values that can be."""


class DataError(HandgradError, ValueError):
    """Data that cannot be used: a file that does not hold what it should, a wrong shape, a label that is not 0 or 1."""

    exit_code = 3


class MissingExtraError(HandgradError, ImportError):
    """An optional package that is not installed, with the command that installs it.

    Args:
        package: what people call it, as "PyTorch".
        extra: the extra of handgrad that brings it, as "torch".
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed; install it with: pip install 'handgrad[{extra}]'")


class RisingCostWarning(UserWarning):
    """The cost of a training rises: its learning rate is above what these data bear, and what they bear is said."""


def warn(message: str, category: type[Warning]) -> None:
    """Warn of the line that called handgrad, whatever within it has called what."""
    level, frame = 1, inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "handgrad":
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


def printable(name: str) -> str:
    """The name itself, or with what cannot be printed (line ends, bytes that are no UTF-8) escaped."""
    return name if name.isprintable() else name.encode("unicode_escape").decode()


def reason_of(error: BaseException) -> str:
    """What an exception of another library says, in one line, which a file's own content cannot make endless."""
    message = " ".join((getattr(error, "strerror", None) or str(error)).split()) or type(error).__name__
    return message if len(message) <= MOST_REASON else f"{message[:MOST_REASON]}..."
