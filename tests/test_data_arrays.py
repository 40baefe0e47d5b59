"""Sources that are arrays already: article 1's .npz files and its HDF5 files."""

import io
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest
from PIL import Image

from handgrad.data import Dataset, prepare
from handgrad.data.arrays import BLOCK_BYTES
from handgrad.errors import DataError, MissingExtraError, UsageError

h5py = pytest.importorskip("h5py")

GENERATOR = np.random.default_rng(0)
X = {split: GENERATOR.integers(0, 256, (m, 3, 5, 2), dtype=np.uint8) for split, m in (("train", 8), ("valid", 4))}
Y = {"train": np.arange(8) % 2, "valid": np.array([1, 1, 0, 1])}


def save_npz(folder, convert=lambda X: X, labels=None, **changed):
    folder.mkdir(exist_ok=True)
    labels = labels or Y
    for split in X:
        arrays = {"X": convert(X[split]), "Y": labels[split][np.newaxis]}
        np.savez(folder / f"{split}.npz", **(arrays | changed if split == "valid" else arrays))
    return folder


def save_hdf5(folder, convert=lambda X: X, classes=(b"non-cat", b"cat")):
    folder.mkdir(exist_ok=True)
    for prefix, split in (("train", "train"), ("test", "valid")):
        with h5py.File(folder / f"{prefix}_catvnoncat.h5", "w") as file:
            file[f"{prefix}_set_x"] = convert(X[split])
            file[f"{prefix}_set_y"] = Y[split]
            file["list_classes"] = np.array(classes)
    return folder


def assert_holds_the_arrays(data):
    for split in X:
        examples = getattr(data, split)
        np.testing.assert_array_equal(examples.X, X[split].reshape(len(X[split]), -1).T)
        np.testing.assert_array_equal(examples.Y, Y[split][np.newaxis])


def test_npz_arrays_keep_their_size_split_and_order(tmp_path):
    summary = prepare(save_npz(tmp_path / "source"), tmp_path / "data")
    data = Dataset.open(tmp_path / "data")
    assert_holds_the_arrays(data)
    assert data.size == (3, 5, 2)
    assert data.classes == ("0", "1")
    assert data.names("valid") == [f"valid.npz[{i}]" for i in range(4)]
    assert summary.found == (5, 7)
    assert summary.source == "npz"


CONVERSIONS = {
    "int64": lambda X: X.astype(np.int64),
    "int16, other byte order": lambda X: X.astype(">i2"),
    "float64, whole": lambda X: X.astype(np.float64),
    "float32, whole": lambda X: X.astype(np.float32),
    "float64, 255ths": lambda X: X / 255,
    "float32, 255ths": lambda X: X.astype(np.float32) / np.float32(255),
    "float32, times 1/255": lambda X: X.astype(np.float32) * np.float32(1 / 255),
    "float32 255ths as float64": lambda X: (X / 255).astype(np.float32).astype(np.float64),
    "float16, 255ths": lambda X: (X / 255).astype(np.float16),
}


@pytest.mark.parametrize("convert", CONVERSIONS.values(), ids=CONVERSIONS)
@pytest.mark.parametrize("save", [save_npz, save_hdf5])
def test_pixels_of_any_number_type_become_the_same_bytes(tmp_path, save, convert):
    prepare(save(tmp_path / "source", convert), tmp_path / "data")
    assert_holds_the_arrays(Dataset.open(tmp_path / "data"))


def test_whether_floats_are_255ths_is_told_by_all_of_them(tmp_path):
    scaled = {split: np.zeros((4, 1, 1, 1)) for split in X}
    scaled["train"][2] = 1
    scaled["valid"][3] = 51 / 255
    labels = np.array([[0, 1, 0, 1]])
    for split, value in scaled.items():
        np.savez(tmp_path / f"{split}.npz", X=value, Y=labels)
    prepare(tmp_path, tmp_path / "data")
    data = Dataset.open(tmp_path / "data")
    assert data.train.X.tolist() == [[0, 0, 255, 0]]
    assert data.valid.X.tolist() == [[0, 0, 0, 51]]


def test_floats_of_which_some_are_above_1_are_whole_bytes_in_both_files(tmp_path):
    for split, value in (("train", 200.0), ("valid", 1.0)):
        np.savez(tmp_path / f"{split}.npz", X=np.full((2, 1, 1, 1), value), Y=np.arange(2))
    prepare(tmp_path, tmp_path / "data")
    data = Dataset.open(tmp_path / "data")
    assert data.train.X.tolist() == [[200, 200]]
    assert data.valid.X.tolist() == [[1, 1]]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -1, 256, 0.5, 127.3])
def test_a_pixel_that_is_no_byte_is_named_with_its_file_array_and_example(tmp_path, bad):
    wrong = X["valid"].astype(np.float64)
    wrong[2, 1, 1, 0] = bad
    save_npz(tmp_path / "source", X=wrong)
    with pytest.raises(DataError, match=r"valid\.npz: X holds .* in example 2; expected whole numbers 0 to 255"):
        prepare(tmp_path / "source", tmp_path / "data")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("save", [save_npz, save_hdf5])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_first_are_refused_with_the_transpose_that_puts_them_last(tmp_path, save, channels):
    def channels_first(X):
        return np.zeros((len(X), channels, 6, 5), np.uint8)

    with pytest.raises(DataError, match=r"(x|X) has .*, channels first; .* save X\.transpose\(0, 2, 3, 1\)"):
        prepare(save(tmp_path / "first", channels_first), tmp_path / "data")
    prepare(save(tmp_path / "last", lambda X: channels_first(X).transpose(0, 2, 3, 1)), tmp_path / "data")
    assert Dataset.open(tmp_path / "data").size == (6, 5, channels)


@pytest.mark.parametrize("shape", [(3, 5, 2), (3, 3, 3), (1, 8, 3), (4, 4, 4), (2, 64, 1)])
def test_few_rows_of_pixels_are_not_taken_for_channels(tmp_path, shape):
    prepare(save_npz(tmp_path / "source", lambda X: np.zeros((len(X), *shape), np.uint8)), tmp_path / "data")
    assert Dataset.open(tmp_path / "data").size == shape


@pytest.mark.parametrize("name", ["X", "Y"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_array_that_is_twice_in_an_npz_is_refused(tmp_path, name):
    with zipfile.ZipFile(save_npz(tmp_path / "source") / "valid.npz", "a") as archive:
        archive.writestr(f"{name}.npy", archive.read(f"{name}.npy"))
    with pytest.raises(DataError, match=rf"valid\.npz: {name} is twice in the zip; expected one"):
        prepare(tmp_path / "source", tmp_path / "data")


@pytest.mark.parametrize("classes", [("cat", "cat"), ("caf\u00e9", "cafe\u0301")])
def test_two_classes_of_one_name_are_refused(tmp_path, classes):
    save_hdf5(tmp_path / "source", classes=[name.encode() for name in classes])
    with pytest.raises(DataError, match=f"list_classes has {classes[0]} twice"):
        prepare(tmp_path / "source", tmp_path / "data")


@pytest.mark.parametrize("written", ["caf\u00e9", "cafe\u0301"])
def test_an_accent_in_the_name_of_class_1_may_be_written_in_two_ways(tmp_path, written):
    for given in "caf\u00e9", "cafe\u0301":
        save_hdf5(tmp_path / given, classes=[given.encode(), b"the"])
        assert prepare(tmp_path / given, tmp_path / f"data {given}", positive=written).classes == ("the", "caf\u00e9")


def test_the_bad_example_is_counted_across_blocks(tmp_path):
    m = 3 * BLOCK_BYTES // (64 * 8)
    many = np.zeros((m, 8, 8, 1), np.int64)
    many[m - 2, 7, 7] = 300
    np.savez(tmp_path / "train.npz", X=many, Y=np.arange(m) % 2)
    np.savez(tmp_path / "valid.npz", X=many[:2], Y=np.arange(2))
    with pytest.raises(DataError, match=rf"train\.npz: X holds 300 in example {m - 2};"):
        prepare(tmp_path, tmp_path / "data")


@pytest.mark.parametrize(
    "convert", [lambda X: X / 256, lambda X: -(X + 1.0) / 255, lambda X: np.where(X > 0, -1e307, 0)]
)
def test_a_fraction_that_is_no_255th_is_an_error(tmp_path, convert):
    save_npz(tmp_path / "source", convert)
    with pytest.raises(DataError, match=r"train\.npz: X holds .* in example 0"):
        prepare(tmp_path / "source", tmp_path / "data")


@pytest.mark.parametrize("bad", [2, -1, 0.5, np.nan])
def test_a_label_that_is_not_0_or_1_is_named(tmp_path, bad):
    labels = np.array([[1, 0, bad, 1]])
    save_npz(tmp_path / "source", Y=labels)
    with pytest.raises(DataError, match=r"valid\.npz: Y holds .* for example 2; expected 0 or 1"):
        prepare(tmp_path / "source", tmp_path / "data")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"Y": np.zeros(3)}, r"Y has \(3,\) float64; expected numbers \(1, 4\) or \(4,\)"),
        ({"Y": np.zeros((4, 1))}, r"Y has \(4, 1\)"),
        ({"Y": np.array(["a"] * 4)}, r"Y has \(4,\) <U1"),
        ({"X": np.zeros((4, 30))}, r"X has \(4, 30\) float64; expected numbers \(m, h, w, c\)"),
        ({"X": np.zeros((4, 3, 0, 2))}, r"X has \(4, 3, 0, 2\)"),
        ({"X": np.zeros((4, 3, 5, 2), complex)}, r"X has \(4, 3, 5, 2\) complex128"),
        ({"X": np.zeros((4, 3, 5, 1), np.uint8)}, r"train has examples \(3, 5, 2\) and valid \(3, 5, 1\)"),
        ({"X": np.asfortranarray(X["valid"])}, r"X is in Fortran order.*numpy\.ascontiguousarray\(X\)"),
    ],
)
def test_arrays_of_wrong_shape_or_type_are_named(tmp_path, changed, message):
    save_npz(tmp_path / "source", **changed)
    with pytest.raises(DataError, match=message):
        prepare(tmp_path / "source", tmp_path / "data")


def test_labels_may_be_flat(tmp_path):
    save_npz(tmp_path / "source", Y=Y["valid"])
    prepare(tmp_path / "source", tmp_path / "data")
    assert_holds_the_arrays(Dataset.open(tmp_path / "data"))


def test_nothing_is_ever_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (print, ("unpickled",))

    wrong = np.empty((4, 3, 5, 2), object)
    wrong[0, 0, 0, 0] = Bomb()
    save_npz(tmp_path / "source", X=wrong)
    with pytest.raises(DataError, match=r"X has \(4, 3, 5, 2\) object"):
        prepare(tmp_path / "source", tmp_path / "data")


def npy(shape, data):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return file.getvalue() + data


@pytest.mark.parametrize("shape", [(10**9, 64, 64, 3), (4, 3, 5, 3), (2**40, 2**40, 1, 1), (-4, -3, 5, 2)])
def test_a_header_that_promises_other_bytes_is_not_believed(tmp_path, shape):
    save_npz(tmp_path / "source")
    with zipfile.ZipFile(tmp_path / "source" / "valid.npz", "w") as archive:
        archive.writestr("X.npy", npy(shape, bytes(120)))
        archive.writestr("Y.npy", npy((1, 4), b"\0\1\0\1"))
    with pytest.raises(DataError, match=r"valid\.npz: X"):
        prepare(tmp_path / "source", tmp_path / "data")


@pytest.mark.parametrize("content", [b"", b"no zip", npy((4,), bytes(4))])
def test_a_file_that_is_no_npz_is_named(tmp_path, content):
    save_npz(tmp_path / "source")
    (tmp_path / "source" / "valid.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"valid\.npz cannot be read"):
        prepare(tmp_path / "source", tmp_path / "data")


def test_a_damaged_npz_is_named(tmp_path):
    path = save_npz(tmp_path / "source") / "valid.npz"
    content = bytearray(path.read_bytes())
    content[content.index(X["valid"].tobytes())] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"valid\.npz: X cannot be read: Bad CRC"):
        prepare(tmp_path / "source", tmp_path / "data")


def test_a_missing_array_or_file_is_named(tmp_path):
    save_npz(tmp_path / "source")
    np.savez(tmp_path / "source" / "valid.npz", x=1)
    with pytest.raises(DataError, match=r"valid\.npz: X is missing; found x\.npy"):
        prepare(tmp_path / "source", tmp_path / "data")
    (tmp_path / "source" / "valid.npz").unlink()
    with pytest.raises(DataError, match=r"valid\.npz cannot be read: No such file"):
        prepare(tmp_path / "source", tmp_path / "data")


@pytest.mark.parametrize(("name", "value"), [("size", 64), ("validation", 0.2), ("limit", 3)])
def test_what_applies_to_photographs_only_is_a_usage_error(tmp_path, name, value):
    save_npz(tmp_path / "source")
    with pytest.raises(UsageError, match=f"^{name}: found {value}"):
        prepare(tmp_path / "source", tmp_path / "data", **{name: value})


def test_positive_swaps_the_labels_of_arrays(tmp_path):
    summary = prepare(save_hdf5(tmp_path / "source"), tmp_path / "data", positive="non-cat")
    data = Dataset.open(tmp_path / "data")
    assert data.classes == ("cat", "non-cat")
    np.testing.assert_array_equal(data.train.Y, 1 - Y["train"][np.newaxis])
    assert summary.found == (7, 5)
    with pytest.raises(UsageError, match="positive: found 'dog'; expected 'non-cat' or 'cat'"):
        prepare(tmp_path / "source", tmp_path / "other", positive="dog")


def test_hdf5_files_keep_their_class_names(tmp_path):
    summary = prepare(save_hdf5(tmp_path / "source"), tmp_path / "data")
    data = Dataset.open(tmp_path / "data")
    assert_holds_the_arrays(data)
    assert data.classes == ("non-cat", "cat")
    assert data.names("valid")[3] == "test_catvnoncat.h5[3]"
    assert summary.source == "hdf5"


def test_hdf5_faults_are_named(tmp_path):
    source = save_hdf5(tmp_path / "source")
    with h5py.File(source / "test_catvnoncat.h5", "a") as file:
        del file["test_set_y"]
    with pytest.raises(DataError, match=r"test_catvnoncat\.h5: test_set_y is missing; found list_classes, test_set_x"):
        prepare(source, tmp_path / "data")
    (source / "test_catvnoncat.h5").write_text("no HDF5")
    with pytest.raises(DataError, match=r"test_catvnoncat\.h5 cannot be read"):
        prepare(source, tmp_path / "data")
    (source / "test_catvnoncat.h5").unlink()
    with pytest.raises(DataError, match=r"found train_catvnoncat\.h5; expected one train_\*\.h5 and one test_\*\.h5"):
        prepare(source, tmp_path / "data")


def test_hdf5_files_must_name_two_classes(tmp_path):
    with pytest.raises(DataError, match=r"list_classes has \(3,\) .*; expected the names of two classes"):
        prepare(save_hdf5(tmp_path / "source", classes=(b"a", b"b", b"c")), tmp_path / "data")


def test_hdf5_files_must_name_the_same_classes(tmp_path):
    source = save_hdf5(tmp_path / "source")
    other = save_hdf5(tmp_path / "other", classes=(b"a", b"c"))
    path = next(source.glob("test_*.h5"))
    path.write_bytes((other / path.name).read_bytes())
    with pytest.raises(DataError, match=r"expected .*, as in the train file"):
        prepare(source, tmp_path / "data")


def test_without_h5py_the_error_tells_how_to_install_it(tmp_path, monkeypatch):
    source = save_hdf5(tmp_path / "source")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'handgrad\[h5\]'"):
        prepare(source, tmp_path / "data")


def test_an_npz_written_by_prepare_is_article_1s_and_reads_back_as_the_same_data_set(tmp_path):
    for i in range(10):
        image = Image.fromarray(GENERATOR.integers(0, 256, (9, 9, 3), dtype=np.uint8))
        (tmp_path / "pictures").mkdir(exist_ok=True)
        image.save(tmp_path / "pictures" / f"{'cat' if i % 2 else 'dog'}.{i}.png")
    first = prepare(tmp_path / "pictures", tmp_path / "first", size=4, npz=True)
    with np.load(tmp_path / "first" / "train.npz", allow_pickle=False) as arrays:
        assert sorted(arrays) == ["X", "Y"]
        assert (arrays["X"].shape, arrays["X"].dtype) == ((8, 4, 4, 3), np.uint8)
        assert (arrays["Y"].shape, arrays["Y"].dtype) == ((1, 8), np.uint8)
    assert prepare(tmp_path / "first", tmp_path / "second", npz=True).hash == first.hash
    for split in X:
        name = f"{split}.npz"
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_memory_does_not_grow_with_the_arrays(tmp_path):
    m = 1000
    many = np.zeros((m, 32, 32, 3))
    np.savez(tmp_path / "train.npz", X=many, Y=np.arange(m) % 2)
    np.savez(tmp_path / "valid.npz", X=many[:2], Y=np.arange(2))
    assert many.nbytes > 24e6
    del many
    tracemalloc.start()
    try:
        prepare(tmp_path, tmp_path / "data", npz=True)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10 * BLOCK_BYTES
