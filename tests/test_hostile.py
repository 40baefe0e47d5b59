"""Files made to do harm: each is refused in one line, at once, and takes next to no memory."""

import io
import os
import pickle
import struct
import time
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save

from handgrad import DataError, HandgradError
from handgrad.commands import run
from handgrad.data import Dataset, read_photograph
from handgrad.data.arrays import open_arrays
from handgrad.run import load_model
from handgrad.sealed import _checksum, sealed

h5py = pytest.importorskip("h5py")


def npy(header, content=b"", version=(1, 0)):
    text = header.encode("latin1") + b"\n"
    length = struct.pack("<H" if version == (1, 0) else "<I", len(text))
    return b"\x93NUMPY" + bytes(version) + length + text + content


def declared(shape, dtype="|u1", content=b""):
    return npy(f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}", content)


def npz(folder, X, Y=None, method=zipfile.ZIP_STORED):
    """A folder whose train.npz holds these bytes as X and Y, and whose valid.npz is honest."""
    good = declared("(2, 1, 1, 3)", content=bytes(6)), declared("(1, 2)", content=b"\0\1")
    for name, members in ("train", (X, good[1] if Y is None else Y)), ("valid", good):
        with zipfile.ZipFile(folder / f"{name}.npz", "w", method) as archive:
            for array, content in zip("XY", members, strict=True):
                archive.writestr(f"{array}.npy", content)


def lying_about_its_size(folder):
    """A member of a few hundred bytes of which the archive says, as its header does, that they swell to 4 GB."""
    size = 2**32 - 2
    header = declared(f"({size // 3}, 1, 1, 3)")
    npz(folder, header, declared(f"({size // 3},)"), zipfile.ZIP_DEFLATED)
    replaced(folder / "train.npz", struct.pack("<I", len(header)), struct.pack("<I", size))


def swelling(folder):
    """A quarter of a gigabyte of labels, and of pixels, from half a megabyte; they are honest about it."""
    m = 2**28 + 1
    npz(
        folder,
        declared(f"({m}, 1, 1, 1)", content=bytes(m)),
        declared(f"({m},)", content=bytes(m)),
        zipfile.ZIP_DEFLATED,
    )


def large_examples(folder):
    """Two examples of a third of a gigabyte each in half a megabyte: read one at a time, and still too much."""
    npz(folder, b"")
    path = folder / "train.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("Y.npy", declared("(1, 2)", content=b"\0\1"))
        with archive.open("X.npy", "w", force_zip64=True) as file:
            file.write(declared("(2, 16384, 20480, 1)"))
            for _ in range(40):
                file.write(bytes(2**24))


def pickled(folder):
    file = io.BytesIO()
    np.lib.format.write_array(file, np.array([[{"a": 1}]], object), allow_pickle=True)
    npz(folder, file.getvalue())


def replaced(path, old, new):
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))


def h5(folder, write):
    for prefix in "train", "test":
        with h5py.File(folder / f"{prefix}_x.h5", "w") as file:
            arrays = {
                f"{prefix}_set_x": np.zeros((2, 1, 1, 3), np.uint8),
                f"{prefix}_set_y": np.array([0, 1]),
                "list_classes": np.array([b"a", b"b"]),
            }
            if prefix == "train":
                write(folder, file, arrays)
            for name, array in arrays.items():
                file[name] = array


def external_link(folder, file, arrays):
    with h5py.File(folder / "elsewhere.h5", "w") as other:
        other["x"] = arrays.pop("train_set_x")
    file["train_set_x"] = h5py.ExternalLink(str(folder / "elsewhere.h5"), "/x")


def soft_link(folder, file, arrays):
    file["x"] = arrays.pop("train_set_x")
    file["train_set_x"] = h5py.SoftLink("/x")


def link_to_itself(folder, file, arrays):
    del arrays["train_set_x"]
    file["train_set_x"] = h5py.SoftLink("/train_set_x")


def external_storage(folder, file, arrays):
    del arrays["train_set_x"]
    file.create_dataset("train_set_x", (2, 1, 1, 3), np.uint8, external=[("/etc/passwd", 0, 6)])


def virtual_storage(folder, file, arrays):
    with h5py.File(folder / "elsewhere.h5", "w") as other:
        other["x"] = arrays.pop("train_set_x")
    layout = h5py.VirtualLayout((2, 1, 1, 3), np.uint8)
    layout[:] = h5py.VirtualSource(str(folder / "elsewhere.h5"), "x", (2, 1, 1, 3))
    file.create_virtual_dataset("train_set_x", layout)


def nothing_stored(folder, file, arrays):
    del arrays["train_set_x"]
    file.create_dataset("train_set_x", (2**30, 64, 64, 3), np.uint8, chunks=(1, 64, 64, 3))


def labels_not_stored(folder, file, arrays):
    del arrays["train_set_y"]
    file.create_dataset("train_set_y", (2**40,), np.uint8, chunks=(2**20,))


def a_group(folder, file, arrays):
    del arrays["train_set_x"]
    file.create_group("train_set_x")


def objects(folder, file, arrays):
    del arrays["train_set_x"]
    file.create_dataset("train_set_x", (2, 1, 1, 3), h5py.vlen_dtype(np.uint8))


def model(content):
    def write(folder):
        (folder / "model.safetensors").write_bytes(content)

    return write


def header(text, content=b"", length=None):
    text = text.encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + content


ONE = '{"W":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[],"data_offsets":[4,8]}'

ARRAYS = {
    "an .npz that asks for 72 TiB": lambda folder: npz(folder, declared(f"({72 * 2**40 // 3}, 1, 1, 3)")),
    "an .npz whose directory asks for it too": lying_about_its_size,
    "an .npz whose labels swell": swelling,
    "an .npz of which an example swells": large_examples,
    "an .npz with pickled objects": pickled,
    "an .npz with a negative shape": lambda folder: npz(folder, declared("(-1, 1, 1, 3)")),
    "an .npz with a shape whose product overflows": lambda folder: npz(folder, declared(f"({2**62}, 4, 4, 3)")),
    "an .npz with a shape of text": lambda folder: npz(folder, declared("('2', 1, 1, 3)", content=bytes(6))),
    "an .npz with a header that is code": lambda folder: npz(folder, npy("__import__('os').system('true')")),
    "an .npz with a header nested deep": lambda folder: npz(folder, npy("(" * 4000 + ")" * 4000)),
    "an .npz whose header swells": lambda folder: npz(
        folder, npy(" " * 2**27, version=(2, 0)), method=zipfile.ZIP_DEFLATED
    ),
    "an .npz with a structured dtype": lambda folder: npz(
        folder, npy("{'descr': [('a', 'u1'), ('b', 'O')], 'fortran_order': False, 'shape': (2, 1, 1, 3), }", bytes(54))
    ),
    "an .npz with a .npy of version 9": lambda folder: npz(folder, npy("{}", version=(9, 0))),
    "an .npz with unknown compression": lambda folder: (
        npz(folder, declared("(2, 1, 1, 3)", content=bytes(6))),
        replaced(folder / "train.npz", b"PK\x01\x02\x14\x03\x14\0\0\0\0\0", b"PK\x01\x02\x14\x03\x14\0\0\0\x63\0"),
    ),
    "an HDF5 file with an external link": lambda folder: h5(folder, external_link),
    "an HDF5 file with a soft link": lambda folder: h5(folder, soft_link),
    "an HDF5 file with a link to itself": lambda folder: h5(folder, link_to_itself),
    "an HDF5 file whose array lies in /etc/passwd": lambda folder: h5(folder, external_storage),
    "an HDF5 file with a virtual array": lambda folder: h5(folder, virtual_storage),
    "an HDF5 file with 12 TiB of nothing": lambda folder: h5(folder, nothing_stored),
    "an HDF5 file with 1 TiB of labels that are nowhere": lambda folder: h5(folder, labels_not_stored),
    "an HDF5 file with a group for an array": lambda folder: h5(folder, a_group),
    "an HDF5 file with arrays of arrays": lambda folder: h5(folder, objects),
}  # fmt: skip


def told(**about):
    """A model whose checksum is right."""
    honest = dict(activation="sigmoid", loss="cross_entropy", l2=0.0, input_scale=1.0, dtype="float32",
                  classes=["a", "b"], size=[1, 1, 3], data="", versions={})  # fmt: skip
    tensors = {"W": np.zeros((1, 3), np.float32), "b": np.zeros((), np.float32)}
    return model(sealed(tensors, 1, honest | about))


def nested_metadata(folder):
    tensors, deep = {"W": np.zeros((1, 3), np.float32), "b": np.zeros((), np.float32)}, "[" * 100_000 + "]" * 100_000
    metadata = {"format": "1", "size": deep}
    (folder / "model.safetensors").write_bytes(save(tensors, metadata | {"sha256": _checksum(tensors, metadata)}))


MODELS = {
    "a model with a size of four": told(size=[1, 1, 3, 1]),
    "a model with a negative size": told(size=[-1, -1, 3]),
    "a model with a size of floats": told(size=[1.0, 1.0, 3.0]),
    "a model with a class that colours the terminal": told(classes=["a", "b\x1b[31m"]),
    "a model with a class that is a number": told(classes=["a", 1]),
    "a model with metadata nested deep": nested_metadata,
    "a model whose header asks for 2^63 bytes": model(header("{}", length=2**63)),
    "a model whose header is longer than the file": model(header(ONE + "}", length=10**6)),
    "a model whose header is over 100 MB": model(header(" " * 101_000_000)),
    "a model whose tensors overlap": model(
        header(
            '{"W":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}',
            bytes(4),
        )
    ),
    "a model whose tensor lies outside": model(header(ONE.replace("[4,8]", "[400,404]") + "}", bytes(8))),
    "a model with offsets that run backwards": model(header(ONE.replace("[4,8]", "[8,4]") + "}", bytes(8))),
    "a model with a shape whose product overflows": model(
        header(ONE.replace("[1,1]", "[4611686018427387904,4611686018427387904]") + "}", bytes(8))
    ),
    "a model with names twice": model(header(ONE.replace('"b"', '"W"') + "}", bytes(8))),
    "a model with bytes after its end": model(header(ONE + "}", bytes(800))),
    "a model with a header nested deep": model(header("[" * 100_000 + "]" * 100_000)),
    "a model with no text in its header": model(header("") + b"\xff" * 64),
    "a model without a checksum": model(save({"W": np.zeros((1, 1)), "b": np.zeros(())}, {"format": "1"})),
    "a pickle": model(pickle.dumps({"W": [0.0]})),
}  # fmt: skip


def at_once(function, aside=0):
    """The error, which has to come within a second of the processor and, the file itself aside, 64 MiB."""
    tracemalloc.start()
    start = time.thread_time()  # not of the process: JAX's and PyTorch's threads may still be spinning
    try:
        with pytest.raises(DataError) as caught:
            function()
        assert time.thread_time() - start < 1
        assert tracemalloc.get_traced_memory()[1] < 64 * 2**20 + aside
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000
    return str(caught.value)


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_that_would_do_harm_are_refused_at_once(name, tmp_path):
    ARRAYS[name](tmp_path)

    def read():
        with open_arrays(tmp_path) as arrays:
            for _ in arrays.examples():
                pass

    assert str(tmp_path) in at_once(read)


@pytest.mark.parametrize("name", MODELS)
def test_models_that_would_do_harm_are_refused_at_once(name, tmp_path):
    MODELS[name](tmp_path)
    size = (tmp_path / "model.safetensors").stat().st_size
    assert str(tmp_path / "model.safetensors") in at_once(lambda: load_model(tmp_path), size)


def png(width, height, *chunks):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    start = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + start + b"".join(chunk(*one) for one in chunks) + chunk(b"IEND", b"")


def picture(kind, **options):
    file = io.BytesIO()
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3)).save(file, kind, **options)
    return file.getvalue()


def deep_tiff(kind):
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, kind)
    return file.getvalue()


PICTURES = {
    "empty": b"",
    "one byte": b"\xff",
    "text": b"hello",
    "a page of the web": b"<!doctype html><title>not found</title>",
    "a vector picture": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "zeros": bytes(1000),
    "noise": np.random.default_rng(0).bytes(5000),
    "a TIFF": deep_tiff("TIFF"),
    "an icon": deep_tiff("ICO"),
    "a PPM": deep_tiff("PPM"),
    "a TGA": deep_tiff("TGA"),
    "an EPS, which would run Ghostscript": deep_tiff("EPS"),
    "a PDF": deep_tiff("PDF"),
    "a zip": b"PK\x05\x06" + bytes(18),
    "a gzip": b"\x1f\x8b\x08" + bytes(20),
    "a JPEG without an end": picture("JPEG")[:-200],
    "the start of a JPEG": b"\xff\xd8\xff\xe0",
    "half a PNG": picture("PNG")[:45],
    "a PNG of 50,000 x 50,000": png(50_000, 50_000, (b"IDAT", zlib.compress(bytes(100)))),
    "a PNG of 2^31 x 2^31": png(2**31 - 1, 2**31 - 1, (b"IDAT", b"")),
    "a PNG of no width": png(0, 5, (b"IDAT", b"")),
    "a PNG with no pixels": png(5, 5),
    "a PNG with too few pixels": png(500, 500, (b"IDAT", zlib.compress(bytes(100)))),
    "a PNG with a wrong checksum": picture("PNG").replace(b"IDAT", b"IDAU"),
    "a PNG whose text swells": png(5, 5, (b"zTXt", b"a\0\0" + zlib.compress(bytes(2**26))), (b"IDAT", b"")),
    "a PNG with a profile that swells": png(5, 5, (b"iCCP", b"a\0\0" + zlib.compress(bytes(2**26))), (b"IDAT", b"")),
    "a GIF without a frame": b"GIF89a" + struct.pack("<HH", 5, 5) + b"\0\0\0;",
    "half a GIF": picture("GIF")[:20],
    "a BMP of 2^31 x 2^31": b"BM"
    + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 2**31 - 1, 2**31 - 1, 1, 24, 0, 0, 0, 0, 0, 0),
    "half a BMP": picture("BMP")[:70],
    "half a WEBP": picture("WEBP")[:30],
    "a WEBP of nothing": b"RIFF" + struct.pack("<I", 4) + b"WEBP",
}  # fmt: skip


@pytest.mark.parametrize("name", PICTURES)
def test_what_is_no_photograph_is_refused_at_once(name):
    at_once(lambda: read_photograph(PICTURES[name], 8, name="p.jpg"))


def good(folder):
    for i in range(4):
        for name in "ab":
            (folder / f"{name}.{i}.jpg").write_bytes(picture("PNG"))


def test_all_of_them_in_one_folder_are_skipped_named_and_counted(tmp_path, capsys):
    source = tmp_path / "photographs"
    source.mkdir()
    good(source)
    for i, content in enumerate(PICTURES.values()):
        (source / f"a.bad{i}.jpg").write_bytes(content)
    (source / "a.folder.jpg").mkdir()
    (source / "a.link.jpg").symlink_to(source / "a.0.jpg")
    (source / "a.loop.jpg").symlink_to("a.loop.jpg")
    os.mkfifo(source / "a.pipe.jpg")
    with (source / "a.sparse.jpg").open("wb") as file:
        file.truncate(2**40)
    (source / "a.odd\nname\x1b[31m.jpg").write_bytes(b"no")
    (source / os.fsdecode(b"a.\xff\xfe.jpg")).write_bytes(b"no")
    (source / ("a." + "n" * 200 + ".jpg")).write_bytes(b"no")
    (source / "notes.txt").write_text("notes")
    before = {path: path.lstat().st_mtime_ns for path in source.iterdir()}
    start = time.process_time()
    assert run(["prepare", str(source), str(tmp_path / "data"), "--size", "4"]) == 0
    assert time.process_time() - start < 5
    assert {path: path.lstat().st_mtime_ns for path in source.iterdir()} == before
    manifest = (tmp_path / "data" / "manifest.jsonl").read_text().splitlines()
    reasons = [line for line in manifest if '"skipped"' in line]
    assert len(reasons) == len(PICTURES) + 8  # the empty folder has no photograph to skip
    assert len(manifest) - len(reasons) == 8
    out = capsys.readouterr().out
    assert f"skipped     {len(PICTURES) + 8}" in out
    assert "\x1b" not in out


def test_a_folder_deeper_than_pythons_stack_is_no_trouble(tmp_path):
    source = tmp_path / "photographs"
    source.mkdir()
    good(source)
    here = Path.cwd()
    try:
        os.chdir(source)
        for _ in range(1200):
            Path("d").mkdir()
            os.chdir("d")
        assert run(["prepare", str(source), str(tmp_path / "data"), "--size", "4"]) == 0
        for _ in range(1200):  # or whoever cleans up would run out of stack
            os.chdir("..")
            Path("d").rmdir()
    finally:
        os.chdir(here)
    assert Dataset.open(tmp_path / "data").train.X.shape[1] == 8


def test_members_of_a_zip_that_would_do_harm_are_skipped_and_listed(tmp_path):
    with zipfile.ZipFile(tmp_path / "p.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(4):
            for name in "ab":
                archive.writestr(f"{name}.{i}.jpg", picture("PNG"))
        archive.writestr("/a.absolute.jpg", picture("PNG"))
        archive.writestr("../a.above.jpg", picture("PNG"))
        archive.writestr("C:/a.drive.jpg", picture("PNG"))
        archive.writestr("..\\a.windows.jpg", picture("PNG"))
        archive.writestr("a.bomb.jpg", bytes(2**28 + 1))
        link = zipfile.ZipInfo("a.link.jpg")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    assert run(["prepare", str(tmp_path / "p.zip"), str(tmp_path / "data"), "--size", "4"]) == 0
    manifest = (tmp_path / "data" / "manifest.jsonl").read_text()
    assert manifest.count('"used"') == 8
    assert manifest.count("its name leads out of the zip") == 4
    assert manifest.count("too large: 268,435,457 bytes") == 1
    assert manifest.count('"a link: not followed') == 1
    assert not (tmp_path / "a.above.jpg").exists()


def test_a_file_over_the_limit_is_not_opened_as_a_photograph(tmp_path):
    with (tmp_path / "p.jpg").open("wb") as file:
        file.truncate(2**28 + 1)
    assert "too large: 268,435,457 bytes" in at_once(lambda: read_photograph(tmp_path / "p.jpg", 8))


def test_the_same_photograph_in_both_sets_is_reported(tmp_path, capsys):
    source = tmp_path / "photographs"
    source.mkdir()
    rng = np.random.default_rng(0)
    for i in range(10):
        for name in "ab":
            Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8)).save(source / f"{name}.{i}.png")
    assert run(["prepare", str(source), str(tmp_path / "one"), "--size", "4", "--validation", "0.5"]) == 0
    assert "duplicates" not in capsys.readouterr().out
    names = Dataset.open(tmp_path / "one").names
    train, valid = names("train")[0], names("valid")[0]
    (source / valid).write_bytes((source / train).read_bytes())
    assert run(["prepare", str(source), str(tmp_path / "two"), "--size", "4", "--validation", "0.5"]) == 0
    out = capsys.readouterr().out
    assert "duplicates  1 pairs" in out
    assert f"{train} = {valid}" in out


def every(content):
    """Every place to cut short, or every 64th of a long file."""
    return range(0, len(content), 64 if len(content) > 4096 else 1)


def test_a_file_cut_short_anywhere_is_refused(tmp_path):
    npz(tmp_path, declared("(2, 1, 1, 3)", content=bytes(6)))
    whole = (tmp_path / "train.npz").read_bytes()
    for end in every(whole):
        (tmp_path / "train.npz").write_bytes(whole[:end])
        with pytest.raises(HandgradError, match=r"train\.npz"), open_arrays(tmp_path) as arrays:
            list(arrays.examples())


def test_an_hdf5_file_cut_short_anywhere_is_refused(tmp_path):
    h5(tmp_path, lambda *_: None)
    whole = (tmp_path / "train_x.h5").read_bytes()
    for end in every(whole):
        (tmp_path / "train_x.h5").write_bytes(whole[:end])
        with pytest.raises(HandgradError, match=r"train_x\.h5"), open_arrays(tmp_path) as arrays:
            list(arrays.examples())


def test_a_jpeg_cut_short_anywhere_is_refused_or_whole_pixels():
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)).save(file, "JPEG")
    whole = file.getvalue()
    pixels = read_photograph(whole, 8)
    for end in every(whole):
        try:
            found = read_photograph(whole[:end], 8)
        except DataError:
            continue
        np.testing.assert_array_equal(found, pixels)  # cut within the mark of the end
