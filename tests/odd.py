"""The command line, with something odd in one of several processes, whose rank the environment says: for a test."""

import os
import shutil
import time
from pathlib import Path

from handgrad import commands, training
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


def slow(*arguments):
    """The first checkpoint, with time to be killed after it."""
    saved(*arguments)
    training.save_checkpoint = saved
    time.sleep(2)


Dataset.open = classmethod(odd)
saved = training.save_checkpoint
if "SLOW" in os.environ:
    training.save_checkpoint = slow
commands.main()
