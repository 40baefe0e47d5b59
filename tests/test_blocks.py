"""Examples that are read a block at a time: the same sums, the same bits from a file, and no more memory than that."""

import mmap
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import plain_environment
from handgrad import DataError, Parameters, UsageError, backends, host, memory
from handgrad.curvature import curvature
from handgrad.examples import VALUES, Joined, Stored, columns, in_blocks
from handgrad.optimizers import SGD
from handgrad.views import mirrored, standardised, weighted


@pytest.fixture
def file(tmp_path, rng):
    """(path of X^T (m, n), Y)"""
    X = rng.integers(0, 256, (37, 500), np.uint8)
    np.save(tmp_path / "pixels.npy", X)
    return tmp_path / "pixels.npy", rng.integers(0, 2, (1, 37)).astype(np.uint8)


def test_blocks_are_all_of_the_examples_in_order_and_views_of_them(file):
    X = np.load(file[0]).T
    found = list(in_blocks(X, 10))
    assert [(x.shape, which.start, which.stop) for x, which in found] == [
        ((500, 10), 0, 10),
        ((500, 10), 10, 20),
        ((500, 10), 20, 30),
        ((500, 7), 30, 37),
    ]
    assert all(np.shares_memory(x, X) for x, _ in found)
    np.testing.assert_array_equal(np.concatenate([x for x, _ in found], axis=1), X)
    assert [x.shape[1] for x, _ in in_blocks(np.broadcast_to(np.uint8(0), (VALUES // 20, 47)))] == [20, 20, 7]
    assert [x.shape[1] for x, _ in in_blocks(np.broadcast_to(np.uint8(0), (2 * VALUES, 3)))] == [1, 1, 1]


@pytest.mark.parametrize("width", [1, 10, 36, 37, 100])
def test_every_sum_is_that_over_the_blocks(backend, dtype, file, width):
    X, Y = np.load(file[0]).T, file[1]
    neuron = backend(input_scale=1 / 255, dtype=dtype, l2=0.01)
    options = dict(epochs=7, learning_rate=0.05, initial=Parameters.random(500, 2), validation=(X, Y))
    P, history = neuron.fit(X, Y, **options)
    Q, in_blocks = neuron.fit(X, Y, block=width, **options)
    u = np.finfo(dtype).eps
    np.testing.assert_allclose(in_blocks.train_cost, history.train_cost, rtol=50 * u)
    np.testing.assert_allclose(in_blocks.validation_cost, history.validation_cost, rtol=50 * u)
    np.testing.assert_allclose(Q.W, P.W, atol=100 * u * abs(P.W).max())


def test_from_a_file_and_from_memory_come_the_same_bits(backend, dtype, file):
    neuron = backend(input_scale=1 / 255, dtype=dtype)
    found = []
    for mode in None, "r":
        X = np.load(file[0], mmap_mode=mode).T
        found.append(neuron.fit(X, file[1], epochs=9, learning_rate=0.05, block=8, validation=(X, file[1])))
    (P, history), (Q, from_file) = found
    np.testing.assert_array_equal(Q.W, P.W)
    np.testing.assert_array_equal(from_file.train_cost, history.train_cost)
    np.testing.assert_array_equal(from_file.validation_cost, history.validation_cost)


def test_what_does_not_fit_in_memory_is_read_in_blocks_by_every_method(backend, file, monkeypatch):
    X, Y = np.load(file[0], mmap_mode="r").T, file[1]
    neuron, P = backend(input_scale=1 / 255), Parameters.random(500, 3)
    with_room = [neuron.cost(P, X, Y), neuron.accuracy(P, X, Y), neuron.predict_proba(P, X), neuron.gradients(P, X, Y)]
    monkeypatch.setattr(memory, "total", lambda: 1000.0)
    monkeypatch.setattr("handgrad.placing.VALUES", 5000)  # ten examples
    taken = []
    monkeypatch.setattr("handgrad.examples.in_blocks", lambda X, width: taken.append(width) or in_blocks(X, width))
    without = [neuron.cost(P, X, Y), neuron.accuracy(P, X, Y), neuron.predict_proba(P, X), neuron.gradients(P, X, Y)]
    assert taken == [10] * 4
    np.testing.assert_allclose(without[0], with_room[0], rtol=1e-6)
    assert without[1] == with_room[1]
    np.testing.assert_allclose(without[2], with_room[2], rtol=1e-5)
    np.testing.assert_allclose(without[3].dW, with_room[3].dW, atol=1e-5 * abs(with_room[3].dW).max())


def test_the_next_block_of_a_file_is_asked_for_before_this_one_is_given(file, monkeypatch):
    X = np.load(file[0], mmap_mode="r").T
    assert host._mapping(X) is not None
    assert host._mapping(X[:, 3:9]) is not None
    assert host._mapping(np.array(X)) is None
    asked = []
    monkeypatch.setattr(host, "_ask_for", lambda block, _: asked.append(block.shape[1]))
    seen = [(which.start, list(asked)) for _, which in in_blocks(X, 15)]
    assert seen == [(0, [15]), (15, [15, 7]), (30, [15, 7])]
    list(in_blocks(np.array(X), 15))
    assert asked == [15, 7]
    seen = [(which.start, list(asked[2:])) for _, which in in_blocks(Joined([X[:, :20], np.array(X), X[:, 20:]]), 15)]
    assert seen == [(0, [5]), (15, [5]), (20, [5]), (35, [5]), (50, [5, 15]), (57, [5, 15, 2]), (72, [5, 15, 2])]


def test_what_is_asked_for_lies_within_the_file(tmp_path, monkeypatch):
    np.save(tmp_path / "big.npy", np.zeros((40, 5000), np.uint8))
    X = np.load(tmp_path / "big.npy", mmap_mode="r").T
    found = in_blocks(X[:, 2:], 7)
    asked = []

    class File:
        def madvise(self, advice, start, length):
            asked.append((advice, start, length))
            found_file.madvise(advice, start, length)

    mapping = host._mapping(X)
    found_file = mapping.file
    monkeypatch.setattr(host, "_mapping", lambda block: None if block is None else mapping._replace(file=File()))
    for _, which in found:
        if which.stop < 38:
            advice, start, length = asked[-1]
            first = (tmp_path / "big.npy").stat().st_size - 40 * 5000 + (which.stop + 2) * 5000
            assert advice == mmap.MADV_WILLNEED
            assert start % mmap.PAGESIZE == 0
            assert start <= first < start + mmap.PAGESIZE
            assert start + length == first + 5000 * min(7, 38 - which.stop)


NUMBERS = st.shared(st.lists(st.integers(0, 5), min_size=1, max_size=5), key="widths")
"""Of examples in each of the arrays that are joined."""


@st.composite
def some_of(draw, m):
    """What may stand in X[:, which]."""
    inside = st.integers(0, m - 1) if m else st.nothing()
    slices = st.slices(m)
    return draw(
        st.one_of(slices, st.lists(inside, max_size=9).map(lambda i: np.array(i, np.intp)), inside) if m else slices
    )


@given(widths=NUMBERS, which=NUMBERS.flatmap(lambda widths: some_of(sum(widths))))
def test_joined_arrays_have_the_examples_of_one(widths, which):
    X = np.arange(3 * sum(widths), dtype=np.uint8).reshape(-1, 3).T
    parts = np.split(X, np.cumsum(widths[:-1]), axis=1)
    joined = Joined(parts)
    assert (joined.shape, joined.ndim, joined.dtype, joined.size) == (X.shape, 2, X.dtype, X.size)
    np.testing.assert_array_equal(np.asarray(joined), X)
    found = joined[:, which]
    assert found.shape == X[:, which].shape
    np.testing.assert_array_equal(np.asarray(found), X[:, which])
    if isinstance(which, slice) and which.step in (None, 1):
        views = found.arrays if isinstance(found, Joined) else [found]
        assert all(view.base is not None and np.may_share_memory(view, X) for view in views if view.size)


def test_joined_arrays_are_copied_with_each_example_contiguous(rng):
    joined = Joined([rng.integers(0, 256, (m, 7), np.uint8).T for m in (4, 3)])
    assert np.asarray(joined).T.flags.c_contiguous
    assert columns(joined, np.array([5, 1, 3])).T.flags.c_contiguous
    assert np.asarray(joined, np.float32).dtype == np.float32
    with pytest.raises(ValueError, match="leave to copy"):
        np.asarray(joined, copy=False)


@pytest.mark.parametrize("which", [7, -1, [0, 7], [True] * 7, [0.0]], ids=str)
def test_of_joined_arrays_only_whole_examples_that_are_there_are_given(which):
    joined = Joined([np.zeros((5, 4), np.uint8), np.zeros((5, 3), np.uint8)])
    with pytest.raises(IndexError, match="expected numbers of examples, from 0 to 6"):
        joined[:, which]
    with pytest.raises(IndexError, match=r"expected X\[:, which\]"):
        joined[2:, 0]


def test_no_block_lies_in_two_arrays(rng):
    parts = [rng.integers(0, 256, (m, 6), np.uint8).T for m in (5, 0, 1, 4)]
    found = list(in_blocks(Joined(parts), 2))
    assert [(which.start, which.stop) for _, which in found] == [(0, 2), (2, 4), (4, 5), (5, 6), (6, 8), (8, 10)]
    assert all(any(np.shares_memory(x, part) for part in parts) for x, _ in found)
    np.testing.assert_array_equal(np.concatenate([x for x, _ in found], axis=1), np.concatenate(parts, axis=1))


@pytest.fixture
def joined(file, tmp_path):
    """X of `file` in three files, one of which is empty."""
    X = np.load(file[0])
    for k, rows in enumerate((X[:11], X[:0], X[11:])):
        np.save(tmp_path / f"{k}.npy", rows)
    return Joined([np.load(tmp_path / f"{k}.npy", mmap_mode="r").T for k in range(3)])


def test_joined_arrays_give_the_bits_of_one(backend, dtype, file, joined):
    X, Y = np.load(file[0]).T, file[1]
    neuron, P = backend(input_scale=1 / 255, dtype=dtype, l2=0.01), Parameters.random(500, 2)
    for method in neuron.cost, neuron.accuracy, neuron.gradients, lambda P, X, _: neuron.predict_proba(P, X):
        np.testing.assert_equal(method(P, joined, Y), method(P, X, Y))
    for options in {"learning_rate": 0.05}, {"learning_rate": 0.05, "span": True}, {"optimizer": SGD(0.05, batch=8)}:
        (A, of_joined), (B, of_one) = (neuron.fit(x, Y, epochs=5, validation=(x, Y), **options) for x in (joined, X))
        np.testing.assert_array_equal(A.W, B.W)
        np.testing.assert_array_equal(of_joined.validation_cost, of_one.validation_cost)
    weights = np.where(np.arange(37) % 3, 1.0, 2.0)
    np.testing.assert_equal(*(neuron.cost(P, weighted(x, weights), Y) for x in (joined, X)))
    assert curvature(neuron, joined) == curvature(neuron, X)


def test_joined_arrays_can_be_mirrored_and_standardised(backend, file, joined):
    X, Y, found = np.load(file[0]).T, np.tile(file[1], 2), []
    for x in joined, X:
        seen = standardised(mirrored(x, (10, 10, 5)))
        found.append(backend().fit(seen, Y, epochs=5, learning_rate=0.05, validation=(seen.of(x), file[1])))
    (A, of_joined), (B, of_one) = found
    np.testing.assert_allclose(A.W, B.W, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(of_joined.validation_cost, of_one.validation_cost, rtol=1e-5)


@pytest.mark.parametrize("width", [1, 10, 36])
def test_joined_arrays_in_blocks_give_the_sums_of_one(backend, dtype, file, joined, width, monkeypatch):
    X, Y = np.load(file[0]).T, file[1]
    neuron = backend(input_scale=1 / 255, dtype=dtype)
    options = dict(epochs=7, learning_rate=0.05, initial=Parameters.random(500, 2))
    P, history = neuron.fit(X, Y, validation=(X, Y), **options)
    monkeypatch.setattr(Joined, "__array__", never_copied)
    Q, in_blocks = neuron.fit(joined, Y, validation=(joined, Y), block=width, **options)
    u = np.finfo(dtype).eps
    np.testing.assert_allclose(in_blocks.train_cost, history.train_cost, rtol=50 * u)
    np.testing.assert_allclose(in_blocks.validation_cost, history.validation_cost, rtol=50 * u)
    np.testing.assert_allclose(Q.W, P.W, atol=100 * u * abs(P.W).max())


def never_copied(self, *_, **__):
    raise AssertionError("joined arrays were copied into one")


def test_many_bytes_in_several_files_are_never_copied_where_bytes_are_read(file, joined, monkeypatch):
    neuron = pytest.importorskip("handgrad.backends.numba").Neuron(input_scale=1 / 255)
    Y, P = file[1], Parameters.random(500, 3)
    copied = neuron.gradients(P, joined, Y)
    monkeypatch.setattr("handgrad.placing.VALUES", 5000)
    monkeypatch.setattr(Joined, "__array__", never_copied)
    np.testing.assert_allclose(neuron.gradients(P, joined, Y).dW, copied.dW, rtol=1e-4)


@pytest.mark.parametrize("mode", ["r", None], ids=["in a file", "in memory"])
def test_bytes_are_whole_where_they_fit_in_memory_and_so_may_be_seen_in_their_span(mode, backend, file, monkeypatch):
    monkeypatch.setattr("handgrad.placing.VALUES", 5000)
    monkeypatch.setattr("handgrad.pieces.MANY", 0)
    X, Y = np.load(file[0], mmap_mode=mode).T, file[1]
    assert backend().reads_bytes(X)
    for room, whole in (2 * X.size, True), (2 * X.size - 1, False):
        monkeypatch.setattr(memory, "total", lambda room=room: float(room))
        assert (backend().place(X, Y).whole is not None) == whole


def test_a_block_of_fewer_than_no_examples_is_refused(file):
    with pytest.raises(UsageError, match="block is -1; expected a whole number from 0"):
        backends.load("numpy")().place(np.load(file[0]).T, block=-1)


PROGRAM = """
import sys
import numpy as np
from handgrad import backends
from handgrad.benchmarks.training import _most_memory

neuron = backends.load(sys.argv[1])(input_scale=1 / 255)
X = np.load(sys.argv[2], mmap_mode="r").T
Y = (np.arange(X.shape[1]) % 2).astype(np.uint8)[np.newaxis]
neuron.fit(X[:, :1024], Y[:, :1024], epochs=2, learning_rate=0.05, block=512)
with _most_memory() as most:
    neuron.fit(X, Y, epochs=2, learning_rate=0.05, block=512)
print(most() / 2**20)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
@pytest.mark.parametrize("name", backends.names())
def test_training_on_a_file_takes_the_memory_of_blocks_and_not_of_the_file(name, tmp_path):
    pytest.importorskip(name)
    path, (m, n) = tmp_path / "pixels.npy", (20_000, 12_288)
    file = np.lib.format.open_memmap(path, "w+", np.uint8, (m, n))
    file[:] = np.random.default_rng(0).integers(0, 256, (1, n), np.uint8)
    del file
    words = [sys.executable, "-c", PROGRAM, name, path]
    found = subprocess.run(words, env=plain_environment(), capture_output=True, text=True, check=True)
    block = 512 * n * 4 / 2**20  # as float32; the file is 234 MiB, and would be 938 as float32
    blocks = 8 if name == "jax" else 6  # JAX frees them a little later than it is done with them: 3 to 6 are seen
    assert float(found.stdout) < blocks * block


def test_the_memory_that_there_is(monkeypatch):
    assert 2**20 < memory.total() < 2**50
    limit = ["60000\n"]
    monkeypatch.setattr("os.sysconf", {"SC_PHYS_PAGES": 100, "SC_PAGE_SIZE": 1024}.get)
    monkeypatch.setattr("pathlib.Path.read_text", lambda *_: limit[0])
    assert memory.total() == 60_000
    limit[0] = "max\n"
    assert memory.total() == 100 * 1024
    monkeypatch.delattr("os.sysconf")
    assert memory.total() == float("inf")


class Pairs(Stored):
    """Two images beside each other, of some that are stored once: a kind of examples of this test's own."""

    def __init__(self, images, left, right):
        self.images, self.left, self.right = images, left, right
        self.shape, self.dtype = (2 * len(images), len(left)), images.dtype

    def take(self, numbers):
        return np.concatenate([self.images.T[of[numbers]] for of in (self.left, self.right)], axis=1).T


@pytest.fixture(params=[np.uint8, np.float64], ids=["bytes", "floats"])
def pairs(request, rng):
    images = rng.integers(0, 256, (9, 60), np.uint8).T.astype(request.param)
    return Pairs(images, rng.integers(0, 9, 37), rng.integers(0, 9, 37))


def test_another_kind_of_examples_is_one_class(backend, dtype, pairs, file, monkeypatch):
    """By every method and view, whole and in blocks, to the bits of the same examples as an array."""
    X, Y, P = np.asarray(pairs), file[1], Parameters.random(120, 2)
    np.testing.assert_array_equal(X[:, 3], np.r_[pairs.images[:, pairs.left[3]], pairs.images[:, pairs.right[3]]])
    neuron = backend(input_scale=1 / 255, dtype=dtype, l2=0.01)
    for method in neuron.cost, neuron.accuracy, neuron.gradients, lambda P, X, _: neuron.predict_proba(P, X):
        np.testing.assert_equal(method(P, pairs, Y), method(P, X, Y))
    weights = np.where(np.arange(37) % 3, 1.0, 2.0)
    np.testing.assert_equal(*(neuron.cost(P, weighted(x, weights), Y) for x in (pairs, X)))
    assert curvature(neuron, pairs) == curvature(neuron, X)
    fitted = [
        (lambda x: x, Y, {"block": 0}),
        (lambda x: x, Y, {"block": 8}),
        (lambda x: x, Y, {"optimizer": SGD(0.05, batch=8), "learning_rate": None}),
        (lambda x: standardised(mirrored(x, (10, 6, 2))), np.tile(Y, 2), {}),
    ]
    for see, labels, options in fitted:
        options = {"epochs": 5, "learning_rate": 0.05, "validation": (X, Y)} | options
        (A, of_pairs), (B, of_one) = (neuron.fit(see(x), labels, **options) for x in (pairs, X))
        np.testing.assert_array_equal(A.W, B.W)
        np.testing.assert_array_equal(of_pairs.train_cost, of_one.train_cost)
    # where a copy of all would not fit, some are copied at a time
    monkeypatch.setattr(memory, "total", lambda: 1000.0)
    monkeypatch.setattr("handgrad.placing.VALUES", 1200)
    assert neuron.place(pairs, Y).block == 10


def test_of_another_kind_of_examples_the_value_that_is_wrong_is_named(backend, pairs, monkeypatch):
    monkeypatch.setattr("handgrad.examples.VALUES", 1200)  # ten examples in a block
    if pairs.dtype.kind == "f":
        pairs.images[7, 4], pairs.right[:] = np.inf, 0
        pairs.left[:], pairs.left[25] = 0, 4
        with pytest.raises(DataError, match=r"X\[7, 25\] is inf \(example 25\)"):
            backend().place(pairs)
        pairs.images[7, 4] = 0
    with pytest.raises(UsageError, match="block is 3 and X is weighted"):
        backend().place(weighted(pairs, np.ones(37)), block=3)
    pairs.take = lambda numbers: Pairs.take(pairs, numbers).T
    with pytest.raises(
        DataError, match=r"Pairs\.take gave ndarray \((\d+), 120\) \w+ of \1 examples; expected an array \(120"
    ):
        backend().place(pairs, block=0)


@pytest.mark.parametrize(
    ("arrays", "found"),
    [
        ([], "found no arrays"),
        ([np.ones((2, 3)), np.ones((3, 3))], r"found \(2, 3\) float64, \(3, 3\) float64"),
        ([np.ones((2, 3)), np.ones((2, 3), np.uint8)], r"found \(2, 3\) float64, \(2, 3\) uint8"),
    ],
)
def test_what_cannot_be_joined_is_named(arrays, found):
    with pytest.raises(DataError, match=rf"{found}; expected arrays \(n, m_p\) with one n, and of one dtype"):
        Joined(arrays)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (lambda x: x.tolist(), "list of"),
        (lambda x: np.ma.masked_equal(x, 3), r"MaskedArray \(120, \d+\) uint8 of"),
        (lambda x: x.astype(np.float32), r"ndarray \(120, \d+\) float32 of"),
    ],
)
def test_a_kind_of_examples_that_gives_something_else_is_told(given, found):
    pairs = Pairs(np.arange(180, dtype=np.uint8).reshape(60, 3), np.arange(3), np.arange(3))
    pairs.take = lambda numbers: given(Pairs.take(pairs, numbers))
    for use in np.asarray, lambda X: X[:, 1:], lambda X: X[:, [0, 2]], backends.load("numpy")().place:
        with pytest.raises(
            DataError, match=rf"Pairs\.take gave {found} \d examples; expected an array \(120, \d\) of uint8"
        ):
            use(pairs)
    for wrong in 0, (slice(None), None), (0, 0):
        with pytest.raises(IndexError, match="found no colon; expected"):
            pairs[wrong]
    assert Pairs.__getitem__(Joined([pairs.images]), (slice(None), [])).shape == (60, 0)
