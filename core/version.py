"""The version, as the installed distribution states it."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("handgrad")
except PackageNotFoundError:  # the folder is on the path without having been installed
    __version__ = "unknown"
