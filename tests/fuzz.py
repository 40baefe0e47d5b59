"""Give a reader bytes that nobody thought of: ``python tests/fuzz.py image -runs=50000 -seed=0 tests/corpus/image``.

Atheris changes what it finds in the corpus, led by which lines of the readers it reaches. Whatever the bytes are, a
reader gives a result or raises a HandgradError; anything else ends the run and is kept as a file. The options are
libFuzzer's. ``python tests/fuzz.py image corpus FOLDER`` writes what it begins with.
"""

import io
import logging
import sys
import tempfile
import warnings
from contextlib import suppress
from pathlib import Path

import atheris
import click

logging.disable()  # Atheris tells every module that it instruments
with atheris.instrument_imports(include=["handgrad", "PIL", "zipfile"]):
    import h5py
    import numpy as np
    from PIL import Image

    from handgrad import HandgradError, sealed
    from handgrad.backends.numpy import Neuron
    from handgrad.checkpoint import load_checkpoint
    from handgrad.data import read_photograph
    from handgrad.data.arrays import open_arrays
    from handgrad.run import load_model

sealed._checksum = lambda *_: "0" * 64  # or nothing would get past it
TEMPORARY = tempfile.TemporaryDirectory()
FOLDER = Path(TEMPORARY.name)


def image(content):
    read_photograph(content, 8)


def npz(content):
    (FOLDER / "train.npz").write_bytes(content)
    with open_arrays(FOLDER) as arrays:
        for _ in arrays.examples():
            pass


def h5(content):
    (FOLDER / "train_x.h5").write_bytes(content)
    with open_arrays(FOLDER) as arrays:
        for _ in arrays.examples():
            pass


def model(content):
    (FOLDER / "model.safetensors").write_bytes(content)
    (FOLDER / "checkpoint.safetensors").write_bytes(content)
    with suppress(HandgradError):
        load_checkpoint(FOLDER)
    found = load_model(FOLDER)
    found.neuron(Neuron).predict_proba(found.parameters, np.zeros((found.parameters.W.shape[1], 1)))


def honest_npz():
    file = io.BytesIO()
    np.savez(file, X=np.zeros((2, 1, 1, 3), np.uint8), Y=np.array([[0, 1]], np.uint8))
    return file.getvalue()


def honest_h5(prefix):
    file = io.BytesIO()
    with h5py.File(file, "w") as arrays:
        arrays[f"{prefix}_set_x"] = np.zeros((2, 1, 1, 3), np.uint8)
        arrays[f"{prefix}_set_y"] = np.array([0, 1])
        arrays["list_classes"] = np.array([b"a", b"b"])
    return file.getvalue()


def beginnings(target):
    """Files that a reader takes."""
    pixels = np.random.default_rng(0).integers(0, 256, (6, 6, 3), np.uint8)
    if target == "image":
        for kind in "JPEG", "PNG", "BMP", "GIF", "WEBP":
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, kind)
            yield kind.lower(), file.getvalue()
    elif target == "npz":
        yield "stored.npz", honest_npz()
        file = io.BytesIO()
        np.savez_compressed(file, X=np.zeros((2, 1, 1, 3)), Y=np.array([0.0, 1.0]))
        yield "compressed.npz", file.getvalue()
    elif target == "h5":
        yield "train.h5", honest_h5("train")
    else:
        about = dict(activation="sigmoid", loss="cross_entropy", l2=0.0, input_scale=1.0, dtype="float32",
                     classes=["a", "b"], size=[1, 1, 3], data="", versions={})  # fmt: skip
        yield "model", sealed.sealed({"W": np.zeros((1, 3), np.float32), "b": np.zeros((), np.float32)}, 1, about)
        about |= dict(size=[1, 1, 1], features=["gray", [1, 1]])
        yield "gray", sealed.sealed({"W": np.zeros((1, 1), np.float32), "b": np.zeros((), np.float32)}, 1, about)


def main():
    target = sys.argv[1]
    if sys.argv[2:3] == ["corpus"]:
        for name, content in beginnings(target):
            (Path(sys.argv[3]) / name).write_bytes(content)
        return
    if target == "npz":
        (FOLDER / "valid.npz").write_bytes(honest_npz())
    elif target == "h5":
        (FOLDER / "test_x.h5").write_bytes(honest_h5("test"))
    read, counts = globals()[target], {"read": 0, "refused": 0}

    def one(content):
        try:
            read(content)
            counts["read"] += 1
        except HandgradError as error:
            counts["refused"] += 1
            if "\n" in str(error):
                raise AssertionError(f"more than one line: {error}") from error

    def told(content):
        one(content)
        if sum(counts.values()) % 1000 == 0:
            click.echo(f"{target}: {counts['read']} read, {counts['refused']} refused", err=True)

    warnings.simplefilter("ignore")
    atheris.Setup([sys.argv[0], *sys.argv[2:]], told)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
