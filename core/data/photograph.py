"""A photograph in, its pixels out: the data set and every later prediction are made by this code."""

import io
import math
import os
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngStream

from handgrad.errors import DataError, UsageError, reason_of

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP")
RESAMPLING = Image.Resampling.BICUBIC
MAX_BYTES = 1 << 28
"""Size of a file above which it is refused, before it is opened as a photograph."""
MAX_PIXELS = 100_000_000
"""Width x height above which a photograph is refused, before its pixels are decoded."""

SPARE = 1.5
"""How many times the pixels that are asked for a photograph has, along each side, before it is resized to these."""

MOST_AVERAGED = 2**16
"""Pixels for one above which they are interpolated: Pillow averages by a reciprocal of 24 bits, and 32 in all."""

_UPRIGHT = {  # EXIF orientation -> what undoes it
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_SIDEWAYS = frozenset(_UPRIGHT[orientation] for orientation in (5, 6, 7, 8))

_AS_ITS_PIXELS: dict[object, Callable[[Any], Any]] = {  # PNG's bits -> a transparent colour as the bytes of its pixels
    "L;2": lambda grey: (grey & 3) * 85,
    "L;4": lambda grey: (grey & 15) * 17,
    "RGB;16B": lambda colour: tuple(value >> 8 for value in colour),
}
_TEXTS = frozenset({b"iCCP", b"tEXt", b"zTXt", b"iTXt"})
_TELL_ORIENTATION = frozenset({b"XML:com.adobe.xmp", b"Raw profile type exif"})


class Photograph(NamedTuple):
    """A decoded photograph: pixels (h, w, 3) uint8 after resizing; width and height upright, before it."""

    pixels: NDArray[np.uint8]
    width: int
    height: int


class Unreadable(Exception):  # noqa: N818 - a finding about a file, which its reader turns into an error or a skip
    """Why a file gives no photograph, in one line without the file's name."""


def read_photograph(
    source: str | os.PathLike[str] | BinaryIO | bytes,
    size: int | tuple[int, int],
    *,
    name: str | None = None,
    exact: bool = False,
) -> NDArray[np.uint8]:
    """Reads one photograph, exactly as ``prepare`` does.

    JPEG, PNG, BMP, GIF or WEBP, recognised by content; the first frame of an animation; turned by its EXIF
    orientation; made RGB; resized to h x w with bicubic interpolation, without keeping the aspect ratio.
    RGB is made so: alpha and transparent palette entries are laid on white; grey is repeated in the three
    channels; 16-bit grey v becomes v / 257, rounded, and of 16-bit colours the upper bytes are taken; CMYK is converted
    by Pillow without a colour profile. Profiles and texts in a PNG, where long, are passed over.

    Of a large photograph, not all pixels are interpolated. A JPEG stores frequencies, and only the low ones are needed:
    it is decoded at a half, a quarter or an eighth of its size where `SPARE` times the pixels asked for are left along
    each side; and then, of whatever format, 2 x 2 or more neighbours are averaged where that leaves as many. This takes
    half the time. The pixels differ then from those of the whole one by 1.4 of 255 on the average of photographs at
    64 x 64; Pillow's bicubic and torchvision's bilinear resizing, both of the whole one, by 1.7.

    Args:
        source: a path, a binary file, or the file's bytes.
        size: the side of a square, or (h, w), in pixels.
        name: what an error calls it; by default the path.
        exact: decode a JPEG at its whole size, and interpolate all pixels, always.

    Returns:
        Pixels (h, w, 3) uint8.

    Raises:
        DataError: it is absent, none of the five formats, damaged, cut short, or over ``MAX_PIXELS``.
        UsageError: size is not positive.
    """
    if isinstance(source, bytes):
        name, source = name or "photograph", io.BytesIO(source)
    elif isinstance(source, str | os.PathLike):
        name, source = name or os.fspath(source), Path(source)
    else:
        name = name or str(getattr(source, "name", "photograph"))
    height, width = size if isinstance(size, tuple) else (size, size)
    if height < 1 or width < 1:
        raise UsageError(f"size: found {size}; expected 1 or more pixels")
    try:
        with quiet_pillow():
            if not isinstance(source, Path):
                return decode(source, (height, width), exact=exact).pixels
            if source.exists() and not source.is_file():
                raise Unreadable("not a file")
            with source.open("rb") as file:
                return decode(file, (height, width), exact=exact).pixels
    except Unreadable as error:
        raise DataError(f"{name}: {error}; expected a whole JPEG, PNG, BMP, GIF or WEBP file") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{name}: cannot be read: {reason_of(error)}; expected a photograph") from None


def decode(file: BinaryIO, size: tuple[int, int], *, exact: bool = False) -> Photograph:
    """The photograph in an open file, as by ``read_photograph``. Safe in threads, inside ``quiet_pillow``.

    Raises:
        Unreadable: the file holds no whole photograph.
    """
    try:
        fault = too_large(file.seek(0, os.SEEK_END))
        if fault:
            raise Unreadable(fault)
        try:
            return _decoded(file, size, exact)
        except ValueError:  # Pillow's, where a profile or a text is longer than it inflates
            bare = _without_texts(file)
            if bare is None:
                raise
            return _decoded(bare, size, exact)
    except UnidentifiedImageError:
        raise Unreadable("not an image") from None
    except Image.DecompressionBombError:
        raise Unreadable(f"too many pixels: over {MAX_PIXELS:,}") from None
    except Unreadable:
        raise
    except Exception as error:  # decoders given damaged bytes raise nearly anything
        reason = reason_of(error)
        if isinstance(error, MemoryError) or getattr(error, "errno", None):  # the machine's fault, not the file's
            raise Unreadable(f"cannot be read: {reason}") from None
        raise Unreadable(f"{'not supported' if 'unsupported' in reason.lower() else 'damaged'}: {reason}") from None


def too_large(size: int) -> str | None:
    """Why a file of so many bytes is refused; None where it is not."""
    return f"too large: {size:,} bytes, over {MAX_BYTES:,}" if size > MAX_BYTES else None


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """No warnings from Pillow; entered once, outside of any threads, because warning filters are the process's."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def _decoded(file: BinaryIO, size: tuple[int, int], exact: bool) -> Photograph:
    height, width = size
    file.seek(0)
    with Image.open(file, formats=FORMATS) as image:
        if image.width * image.height > MAX_PIXELS:
            raise Unreadable(f"too many pixels: {image.width} x {image.height}, over {MAX_PIXELS:,}")
        if image.format == "PNG" and image.tile and "transparency" in image.info:
            as_its_pixels = _AS_ITS_PIXELS.get(image.tile[0][3], lambda colour: colour)
            image.info["transparency"] = as_its_pixels(image.info["transparency"])
        whole, least = image.size, math.ceil(SPARE * max(size))
        if not exact:
            image.draft(image.mode, (least, least))
        image.load()
        turn = _turn(image)
        upright = _rgb(image if turn is None else image.transpose(turn))
        whole_way = exact or upright.width * upright.height > MOST_AVERAGED * width * height
        pixels = upright.resize((width, height), RESAMPLING, reducing_gap=None if whole_way else SPARE)
        return Photograph(np.asarray(pixels), *(whole[::-1] if turn in _SIDEWAYS else whole))


def _without_texts(file: BinaryIO) -> BinaryIO | None:
    """A PNG without its colour profile and its texts, but for those that tell the orientation and are not too long.

    None where there is nothing to leave out. Of each kind the first is looked at, so that few are inflated.
    """
    file.seek(0)
    whole, at, left_out = file.read(), 8, False
    if not whole.startswith(b"\x89PNG"):
        return None
    kept, wanted = [whole[:at]], _TELL_ORIENTATION
    while at + 8 <= len(whole):
        length, kind = struct.unpack_from(">I4s", whole, at)
        chunk = whole[at : at + 12 + length]
        at += len(chunk)
        if kind in _TEXTS:
            name = chunk[8:88].split(b"\0")[0]
            known, wanted = name in wanted, wanted - {name}
            if not (known and _taken(kind, chunk[8:-4])):
                left_out = True
                continue
        kept.append(chunk)
    return io.BytesIO(b"".join(kept)) if left_out else None


def _taken(kind: bytes, content: bytes) -> bool:
    try:
        PngStream(io.BytesIO(content)).call(kind, 0, len(content))
    except ValueError:
        return False
    return True


def _turn(image: Image.Image) -> Image.Transpose | None:
    """What makes it upright; None where it is."""
    try:
        return _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged EXIF says nothing against the pixels
        return None


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        grey = (values + 128) // 257
        grey[values == image.info.get("transparency")] = 255
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(rgba, mask=rgba)
        return white
    return image if image.mode == "RGB" else image.convert("RGB")
