"""The command line, with something odd in one of several processes, whose rank the environment says: for a test."""

import os
import shutil
from pathlib import Path

from handgrad import cli
from handgrad.data import Dataset

rank, opened = os.environ["RANK"], Dataset.open.__func__


def odd(cls, path):
    if rank == os.environ.get("DAMAGED"):
        path = shutil.copytree(path, Path(path).with_name(f"damaged-{os.getpid()}"))
        os.truncate(path / "train" / "pixels.npy", 200)
    dataset = opened(cls, path)
    if rank == os.environ.get("OTHER"):
        object.__setattr__(dataset, "hash", "other")
    return dataset


Dataset.open = classmethod(odd)
cli.main()
