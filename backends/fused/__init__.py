"""The loss and its gradient in one read of X on a GPU: derived by hand, and given to autodiff as a custom derivative.

A full-batch gradient is a sum over examples, and each example needs its pixels twice: for Z = W s x + b, and for its
share of dW = dZ s x^T. So each program of the GPU owns some consecutive examples; it fetches a tile of a few rows of X
(m, n), which stays on the chip until both are done, and adds to a dW in its registers. At the end it writes one row
(dW, loss, db), and these rows are added in a fixed order. The derivation is that of `handgrad.backends.numpy`.

Bytes stay bytes: a step on m examples takes the time in which m n bytes are read.
"""

from typing import NamedTuple

WIDTH = 4096
"""Features in a tile, at the most: 16 bytes, the widest load, for each thread of `WARPS`."""

HEIGHT = 32
"""Examples in a tile, at the most, which bounds the registers and the memory for their labels and losses."""

LARGEST = 4 * WIDTH
"""Features, at the most: a program keeps W and dW of all of them in its registers."""

ELEMENTS = 6 * WIDTH
"""Elements of X that are in the registers beside them at a time, at the most; half as many where X holds floats."""

PROGRAMS = 132
"""Programs, at the most: one for each multiprocessor of an H100; elsewhere too, so that the sums are the same."""

WARPS = 8

STAGES = 3
"""Tiles, of which one is worked on while the others are on their way from memory."""


class Tiling(NamedTuple):
    """How X (m, n) is cut: `programs` of `rows` examples; tiles (height, width), of which `tiles` make the n."""

    programs: int
    rows: int
    height: int
    width: int
    tiles: int


def fits(n: int) -> bool:
    """Whether an example of n features fits on the chip."""
    return n <= LARGEST


def tiling(m: int, n: int, itemsize: int) -> Tiling:
    """How X (m, n), of `itemsize` bytes an element, is cut; into powers of two, as the kernels' compilers want it."""
    width = min(WIDTH, 1 << (n - 1).bit_length())
    tiles = -(-n // width)
    room = ELEMENTS if itemsize == 1 else ELEMENTS // 2
    height = min(HEIGHT, 1 << max(1, room // (width * tiles)).bit_length() - 1)
    rows = height * -(-m // (height * PROGRAMS))
    return Tiling(-(-m // rows), rows, height, width, tiles)
