"""One photograph in, its pixels out."""

import io
import os
import struct
import time
import tracemalloc
import warnings
import zlib
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from handgrad.data import photograph, read_photograph
from handgrad.errors import DataError, UsageError

RESAMPLING = photograph.RESAMPLING
RED, WHITE = (255, 0, 0), (255, 255, 255)


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def noise(width=40, height=30):
    values = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def png(width, height, bit_depth, colour_type, data, *extra):
    """A PNG written by hand, for what Pillow does not write."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bit_depth, colour_type, 0, 0, 0))
    others = b"".join(chunk(name, content) for name, content in extra)
    return b"\x89PNG\r\n\x1a\n" + header + others + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "JPEG", "WEBP"])
def test_every_format_is_read_whatever_its_suffix_says(kind, tmp_path):
    path = tmp_path / "red.jpg"
    path.write_bytes(encoded(Image.new("RGB", (9, 7), RED), kind))
    pixels = read_photograph(path, 4)
    assert pixels.shape == (4, 4, 3)
    assert pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - RED).max() <= 3  # JPEG and WEBP are lossy


def test_a_path_a_file_and_bytes_give_the_same_pixels(tmp_path):
    path = tmp_path / "noise.png"
    path.write_bytes(encoded(noise()))
    from_path = read_photograph(path, 8)
    with path.open("rb") as file:
        from_file = read_photograph(file, 8)
    np.testing.assert_array_equal(from_path, from_file)
    np.testing.assert_array_equal(from_path, read_photograph(path.read_bytes(), 8))
    np.testing.assert_array_equal(from_path, read_photograph(str(path), (8, 8)))


def test_a_size_is_height_then_width():
    assert read_photograph(encoded(noise()), (5, 11)).shape == (5, 11, 3)


def test_resizing_is_bicubic_and_of_the_whole_photograph():
    image = noise()
    expected = np.asarray(image.resize((8, 6), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(read_photograph(encoded(image), (6, 8), exact=True), expected)
    of_averages = np.asarray(image.reduce(3).resize((8, 6), Image.Resampling.BICUBIC, (0, 0, 40 / 3, 10)))
    np.testing.assert_array_equal(read_photograph(encoded(image), (6, 8)), of_averages)


def test_a_photograph_that_has_not_many_more_pixels_is_interpolated_as_it_is():
    content = encoded(noise(23, 17))  # of 8 x 6 less than three times as many along each side
    np.testing.assert_array_equal(read_photograph(content, (6, 8)), read_photograph(content, (6, 8), exact=True))


@pytest.mark.parametrize("side", [255, 256, 257, 4100])
def test_one_colour_stays_that_colour_however_many_pixels_are_averaged(side):
    for colour in (255, 254, 61, 1) if side < 4100 else (255,):
        content = encoded(Image.new("RGB", (side, side), (colour, 0, 255 - colour)))
        assert read_photograph(content, 1).tolist() == [[[colour, 0, 255 - colour]]]


def of_low_frequencies(width, height):
    """A photograph, as far as sizes matter: smooth shapes and a fine grain."""
    rng = np.random.default_rng(1)
    shapes = Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8)).resize((width, height), RESAMPLING)
    return Image.fromarray(np.clip(np.asarray(shapes) + rng.normal(0, 6, (height, width, 3)), 0, 255).astype(np.uint8))


def in_float64(content, height, width):
    """The whole photograph, resized with nothing rounded to bytes on the way."""
    channels = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), np.float32)
    resized = [Image.fromarray(channels[:, :, c]).resize((width, height), RESAMPLING) for c in range(3)]
    return np.stack([np.asarray(channel, np.float64) for channel in resized], axis=-1)


def bilinear(content, height, width):
    """As torchvision's Resize makes it by default."""
    torch = pytest.importorskip("torch")
    whole = torch.tensor(np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))).permute(2, 0, 1)[None].double()
    resized = torch.nn.functional.interpolate(whole, (height, width), mode="bilinear", antialias=True)
    return resized[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("side", [500, 375, 200, 97])
def test_a_jpeg_is_decoded_at_a_part_of_its_size_where_enough_is_left(side):
    content = encoded(of_low_frequencies(side * 4 // 3, side), "JPEG", quality=90)
    reference = in_float64(content, 64, 64)
    exact, scaled = (read_photograph(content, 64, exact=exact) for exact in (True, False))
    assert abs(exact - reference).mean() < 0.5  # rounding to bytes
    assert abs(scaled - reference).mean() < 1.5
    assert (scaled != exact).any() == (side >= 2 * photograph.SPARE * 64)  # half of it is enough


def test_a_part_of_their_size_is_nearer_to_the_whole_than_two_libraries_are_to_each_other(photographs):
    files = sorted(photographs.glob("**/*.jpg"))[::40]
    off = {"exact": [], "scaled": [], "bilinear": []}
    for file in files:
        content = file.read_bytes()
        reference = in_float64(content, 64, 64)
        off["exact"].append(abs(read_photograph(content, 64, exact=True) - reference).mean())
        off["scaled"].append(abs(read_photograph(content, 64) - reference).mean())
        off["bilinear"].append(abs(bilinear(content, 64, 64) - reference).mean())
    exact, scaled, other = (np.mean(values) for values in off.values())
    assert exact < 0.5 < scaled < 1.5 < other < 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_decoded_at_a_part_of_its_size_is_turned_and_keeps_its_size(orientation):
    image = of_low_frequencies(400, 300)
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = io.BytesIO(encoded(image, "JPEG", quality=95, exif=exif))
    scaled, exact = (photograph.decode(content, (40, 50), exact=exact) for exact in (False, True))
    assert (
        (scaled.width, scaled.height) == (exact.width, exact.height) == ((400, 300) if orientation < 5 else (300, 400))
    )
    assert 0 < abs(scaled.pixels.astype(int) - exact.pixels).mean() < 3


def test_at_its_own_size_a_photograph_is_unchanged():
    image = noise()
    np.testing.assert_array_equal(read_photograph(encoded(image), (30, 40)), np.asarray(image))


def test_transparency_is_laid_on_white():
    clear, half = Image.new("RGBA", (4, 4), (*RED, 0)), Image.new("RGBA", (4, 4), (*RED, 128))
    assert read_photograph(encoded(clear), 1).tolist() == [[list(WHITE)]]
    assert read_photograph(encoded(half), 1).tolist() == [[[255, 127, 127]]]
    assert read_photograph(encoded(Image.new("LA", (4, 4), (0, 0))), 1).tolist() == [[list(WHITE)]]


def test_a_palette_gives_its_colours_and_a_transparent_entry_gives_white():
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, 0, 0, 255])
    image.putpixel((1, 0), 1)
    assert read_photograph(encoded(image), (1, 2)).tolist() == [[[255, 0, 0], [0, 0, 255]]]
    assert read_photograph(encoded(image, transparency=0), (1, 2)).tolist() == [[[255, 255, 255], [0, 0, 255]]]
    some_alpha = encoded(image, transparency=b"\x00\xff")
    assert read_photograph(some_alpha, (1, 2)).tolist() == [[[255, 255, 255], [0, 0, 255]]]
    assert read_photograph(encoded(image, "GIF", transparency=0), (1, 2)).tolist() == [[[255] * 3, [0, 0, 255]]]


def test_a_transparent_colour_gives_white():
    image = Image.new("RGB", (2, 1), RED)
    image.putpixel((1, 0), (0, 0, 9))
    assert read_photograph(encoded(image, transparency=RED), (1, 2)).tolist() == [[list(WHITE), [0, 0, 9]]]


def test_grey_and_bilevel_are_repeated_in_three_channels():
    assert read_photograph(encoded(Image.new("L", (3, 3), 77)), 1).tolist() == [[[77, 77, 77]]]
    assert read_photograph(encoded(Image.new("1", (3, 3), 1)), 1).tolist() == [[list(WHITE)]]


@pytest.mark.parametrize(("value", "byte"), [(0, 0), (128, 0), (129, 1), (257, 1), (32896, 128), (65535, 255)])
def test_sixteen_bit_grey_is_divided_by_257_and_rounded(value, byte):
    image = png(1, 1, 16, 0, b"\x00" + struct.pack(">H", value))
    assert read_photograph(image, 1).tolist() == [[[byte] * 3]]


def test_sixteen_bit_grey_keeps_its_transparent_value_white():
    values = b"\x00" + struct.pack(">HH", 300, 0)
    image = png(2, 1, 16, 0, values, (b"tRNS", struct.pack(">H", 300)))
    assert read_photograph(image, (1, 2)).tolist() == [[list(WHITE), [0, 0, 0]]]


def test_sixteen_bit_colour_and_alpha_are_read():
    assert read_photograph(png(1, 1, 16, 2, b"\x00" + struct.pack(">HHH", 65535, 0, 32896)), 1).tolist() == [
        [[255, 0, 128]]
    ]
    assert read_photograph(png(1, 1, 16, 4, b"\x00" + struct.pack(">HH", 0, 0)), 1).tolist() == [[list(WHITE)]]


def test_cmyk_is_converted():
    magenta = encoded(Image.new("CMYK", (16, 16), (0, 255, 0, 0)), "JPEG", quality=100)
    red, green, blue = read_photograph(magenta, 1)[0, 0]
    assert red > 250
    assert green < 5
    assert blue > 250


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_an_animation_gives_its_first_frame(kind):
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, (0, 0, 255))]
    options = {"lossless": True} if kind == "WEBP" else {}
    animation = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert Image.open(io.BytesIO(animation)).n_frames == 2
    assert read_photograph(animation, 1).tolist() == [[list(RED)]]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_every_exif_orientation_is_turned_upright(orientation, kind):
    # Where the stored first row and first column lie in the upright photograph, from the EXIF standard (4.6.4 A).
    stored_from_upright = {
        1: lambda upright: upright,
        2: lambda upright: upright[:, ::-1],
        3: lambda upright: upright[::-1, ::-1],
        4: lambda upright: upright[::-1],
        5: lambda upright: upright.swapaxes(0, 1),
        6: lambda upright: upright[:, ::-1].swapaxes(0, 1),
        7: lambda upright: upright[::-1, ::-1].swapaxes(0, 1),
        8: lambda upright: upright[::-1].swapaxes(0, 1),
    }
    upright = np.asarray(noise(6, 4))
    stored = Image.fromarray(np.ascontiguousarray(stored_from_upright[orientation](upright)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    np.testing.assert_array_equal(read_photograph(encoded(stored, kind, exif=exif, **options), (4, 6)), upright)


def test_the_size_reported_is_that_of_the_upright_photograph():
    exif = Image.Exif()
    exif[0x0112] = 6
    found = photograph.decode(io.BytesIO(encoded(noise(6, 4), exif=exif)), (2, 2))
    assert (found.width, found.height) == (4, 6)


@pytest.mark.parametrize("exif", [b"garbage!", b"II*\x00", b"II*\x00\xff\xff\xff\x7f"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_damaged_exif_does_not_cost_the_photograph(exif, kind):
    header = b"Exif\x00\x00" if kind == "JPEG" else b""
    broken = encoded(Image.new("RGB", (8, 8), (7, 7, 7)), kind, exif=header + exif)
    assert np.abs(read_photograph(broken, 1).astype(int) - 7).max() <= 3


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_exif_does_not_define_is_upright(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = noise(6, 4)
    np.testing.assert_array_equal(read_photograph(encoded(image, exif=exif), (4, 6)), np.asarray(image))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "GIF", "WEBP"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_a_photograph_cut_short_is_an_error(kind, kept):
    whole = encoded(noise(60, 50), kind)
    with pytest.raises(DataError, match=r"^half\.jpg: .*expected a whole JPEG, PNG, BMP, GIF or WEBP file$"):
        read_photograph(whole[: int(len(whole) * kept)], 8, name="half.jpg")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"this is no photograph",
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"BM" + b"\x00" * 60,
        b"RIFF\x00\x00\x00\x00WEBPVP8 ",
    ],
)
def test_what_is_no_photograph_is_an_error_of_one_line(content, tmp_path):
    path = tmp_path / "text.jpg"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_photograph(path, 8)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


LONG = zlib.compress(bytes(1_100_000))
TEXTS = {
    "a colour profile": (b"iCCP", b"p\0\0" + LONG),
    "a compressed text": (b"zTXt", b"t\0\0" + LONG),
    "an international text": (b"iTXt", b"t\0\1\0\0\0" + LONG),
    "an orientation": (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + LONG),
    "a text of 65 MiB": (b"tEXt", b"t\0" + b"." * (65 << 20)),
}
UPSIDE_DOWN = (b"iTXt", b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="3"/>')


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("after", [False, True], ids=["before the pixels", "after them"])
def test_a_long_profile_or_text_does_not_cost_a_png_its_pixels_or_its_orientation(text, after):
    image, long = (png(2, 1, 8, 0, b"\0\7\x99", UPSIDE_DOWN, *texts) for texts in ((), (text,)))
    if after:
        at = image.index(b"IDAT") - 4
        long = image[:-12] + long[at : long.index(b"IDAT") - 4] + image[-12:]
    for each in image, long:
        assert read_photograph(each, (1, 2)).tolist() == [[[0x99] * 3, [7] * 3]]


def test_texts_that_swell_are_not_inflated_and_a_damaged_png_that_has_them_is_still_damaged():
    bomb = (b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(bytes(1 << 26)))
    tracemalloc.start()
    try:
        start = time.thread_time()
        assert read_photograph(png(1, 1, 8, 0, b"\0\7", *[bomb] * 200), 1).tolist() == [[[7] * 3]]
        assert time.thread_time() - start < 1
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
    with pytest.raises(DataError, match="damaged"):
        read_photograph(png(50, 50, 8, 0, b"\0", bomb), 1)


def test_what_is_whole_but_cannot_be_decoded_or_read_is_not_called_damaged(monkeypatch):
    bmp = bytearray(encoded(noise(), "BMP"))
    bmp[30] = 6  # a compression that Pillow does not know
    with pytest.raises(DataError, match="not supported: Unsupported BMP compression"):
        read_photograph(bytes(bmp), 8)
    for fault in MemoryError(), OSError(5, "Input/output error"):
        monkeypatch.setattr("PIL.ImageFile.ImageFile.load", Mock(side_effect=fault))
        with pytest.raises(DataError, match=r"cannot be read: (MemoryError|Input/output error)"):
            read_photograph(encoded(noise()), 8)


@pytest.mark.parametrize(("bits", "row", "grey"), [(1, 0x40, 255), (2, 0x10, 85), (4, 0x01, 17), (8, 0x0001, 1)])
def test_a_transparent_grey_of_any_number_of_bits_is_white(bits, row, grey):
    """The row is 0, 1; and of the transparent value 257 the lowest bits count, which are 1."""
    row = b"\0" + row.to_bytes(2 if bits == 8 else 1, "big")
    for transparent, expected in ((0, [255, grey]), (1, [0, 255]), (257, [0, 255])):
        image = png(2, 1, bits, 0, row, (b"tRNS", struct.pack(">H", transparent)))
        assert read_photograph(image, (1, 2))[0, :, 0].tolist() == expected


def test_a_transparent_colour_of_sixteen_bits_is_white():
    row = b"\0" + struct.pack(">6H", 0x1234, 0x2222, 0x3333, 0x0100, 0x0200, 0x0300)
    for transparent, expected in (
        ((0x1234, 0x2222, 0x3333), [list(WHITE), [1, 2, 3]]),
        ((1, 2, 3), [[0x12, 0x22, 0x33], [1, 2, 3]]),
    ):
        image = png(2, 1, 16, 2, row, (b"tRNS", struct.pack(">HHH", *transparent)))
        assert read_photograph(image, (1, 2)).tolist() == [expected]


@pytest.mark.parametrize("kind", ["TIFF", "PPM", "TGA"])
def test_other_formats_are_refused(kind):
    with pytest.raises(DataError, match="not an image"):
        read_photograph(encoded(noise(), kind), 8)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "GIF", "WEBP"])
def test_damaged_bytes_give_pixels_or_a_data_error_and_nothing_else(kind):
    generator = np.random.default_rng(0)
    whole = encoded(noise(60, 50), kind)
    outcomes = set()
    for _ in range(150):
        damaged = bytearray(whole)
        for place in generator.integers(0, len(damaged), 4):
            damaged[place] = generator.integers(0, 256)
        try:
            outcomes.add(read_photograph(bytes(damaged), 8).shape)
        except DataError as error:
            outcomes.add(len(str(error).splitlines()))
    assert outcomes <= {(8, 8, 3), 1}


@pytest.mark.parametrize("side", [9_500, 11_000, 20_000, 100_000])
def test_a_decompression_bomb_is_refused_by_its_header(side):
    bomb = png(side, side, 8, 0, b"")
    reason = "damaged" if side**2 <= photograph.MAX_PIXELS else "too many pixels"
    with pytest.raises(DataError, match=reason):
        read_photograph(bomb, 8)


def test_pillows_warnings_do_not_leak():
    large = encoded(Image.new("1", (9_500, 9_500)))
    with pytest.warns(Image.DecompressionBombWarning):
        Image.open(io.BytesIO(large))
    assert read_photograph(large, 1).tolist() == [[[0, 0, 0]]]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.jpg: cannot be read: No such file or directory"):
        read_photograph(tmp_path / "nowhere.jpg", 8)
    with pytest.raises(DataError, match="not a file"):
        read_photograph(tmp_path, 8)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(DataError, match="not a file"):
        read_photograph(tmp_path / "pipe.jpg", 8)


@pytest.mark.parametrize("size", [0, -1, (0, 4), (4, 0)])
def test_a_size_without_pixels_is_a_usage_error(size):
    with pytest.raises(UsageError, match="size: found"):
        read_photograph(encoded(noise()), size)


def test_reading_leaves_the_warning_filters_as_they_were(tmp_path):
    before = list(warnings.filters)
    read_photograph(encoded(noise()), 4)
    assert list(warnings.filters) == before


def test_a_file_that_is_read_stays_open_for_its_owner(tmp_path):
    path = Path(tmp_path / "a.png")
    path.write_bytes(encoded(noise()))
    with path.open("rb") as file:
        read_photograph(file, 4)
        assert not file.closed
