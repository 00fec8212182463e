"""Pictures and arrays survive the disk bit for bit, and every file that would be misread is refused with words."""

from __future__ import annotations

import hashlib
import struct
import subprocess
import sys
import warnings
import zlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image, ImageFile, features

from harness.errors import ImageError, RecordError
from harness.images import (
    ALPHA,
    LARGEST_PICTURE,
    array_digest,
    read_array,
    read_input_picture,
    read_picture,
    read_picture_as,
    write_arrays,
    write_picture,
)
from harness.records import ReadAs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

READERS: list[Callable[[Path], object]] = [read_picture, read_input_picture]
DTYPES = [
    "bool",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "int8",
    "int16",
    "int32",
    "int64",
    "float16",
    "float32",
    "float64",
]


def _noise(height: int = 21, width: int = 13) -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)


def _png(width: int, height: int, *, depth: int = 8, colour: int = 2, rows: bytes = b"") -> bytes:
    """A PNG from its parts, because no library writes a wrong one."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def _message(reader: Callable[[Path], object], path: Path) -> str:
    """The refusal's text; every one names the file, what is allowed, and ends in a next step."""
    with pytest.raises(ImageError) as caught:
        reader(path)
    text = str(caught.value)
    assert text.startswith(f"picture {path}: ")
    assert "; allowed: " in text
    assert text.endswith(".")
    return text


# --- digests ---------------------------------------------------------------------------------------------------------


def test_the_digest_is_the_documented_one() -> None:
    array = np.array([[1, -2, 3], [4, 5, 6]], np.int16)
    document = b"array-1 int16 2,3\n" + struct.pack("<6h", 1, -2, 3, 4, 5, 6)
    assert array_digest(array) == hashlib.sha256(document).hexdigest()


def test_a_single_number_has_a_digest() -> None:
    assert array_digest(np.array(2.0)) == hashlib.sha256(b"array-1 float64 \n" + struct.pack("<d", 2.0)).hexdigest()


def test_shape_type_and_values_each_change_the_digest() -> None:
    zeros = np.zeros(12, np.uint8)
    others = [
        zeros.reshape(3, 4),
        zeros.reshape(4, 3),
        zeros.reshape(12, 1),
        zeros.view(np.int8),
        zeros.view(np.float32),
        zeros.view(np.uint32),
        np.zeros(13, np.uint8),
        np.zeros(0, np.uint8),
        np.zeros((0, 3), np.uint8),
        np.eye(1, 12, dtype=np.uint8)[0],
    ]
    assert len({array_digest(array) for array in [zeros, *others]}) == len(others) + 1


@given(arrays(st.sampled_from(DTYPES), array_shapes(max_dims=4, max_side=4)))
@settings(max_examples=60, derandomize=True)
def test_layout_in_memory_plays_no_part(array: NDArray[Any]) -> None:
    digest = array_digest(array)
    assert array_digest(np.asfortranarray(array)) == digest
    assert array_digest(array.astype(array.dtype.newbyteorder(">"))) == digest
    assert array_digest(np.repeat(array, 2, axis=0)[::2]) == digest


def test_not_a_number_is_digested_by_its_bits() -> None:
    quiet = np.array([0x7FC00000, 0x7FC00001], np.uint32).view(np.float32)
    assert array_digest(quiet[:1]) != array_digest(quiet[1:])
    assert array_digest(quiet) == array_digest(quiet.copy())
    assert array_digest(np.array([0.0])) != array_digest(np.array([-0.0]))


@pytest.mark.parametrize("array", [np.array(["a"]), np.array([None]), np.zeros(2, "U1,i4"), np.zeros(2, np.longdouble)])
def test_an_array_without_portable_bytes_is_refused(array: NDArray[Any]) -> None:
    with pytest.raises(TypeError, match="no portable bytes"):
        array_digest(array)


# --- pictures that are fine ------------------------------------------------------------------------------------------


@given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
@settings(max_examples=30, derandomize=True)
def test_a_written_picture_comes_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, picture: NDArray[np.uint8]
) -> None:
    path = tmp_path_factory.mktemp("pictures") / "picture.png"
    write_picture(path, picture)
    read = read_picture(path)
    assert read.dtype == np.uint8
    assert np.array_equal(read, picture)
    assert not read.flags.writeable


def test_a_picture_that_is_a_view_is_written_as_it_looks(tmp_path: Path) -> None:
    picture = _noise()[::-2, ::3, ::-1]
    write_picture(tmp_path / "view.png", picture)
    assert np.array_equal(read_picture(tmp_path / "view.png"), picture)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.png", {}),
        ("a.webp", {"lossless": True}),
        ("a.bmp", {}),
        ("a.tif", {}),
        ("b.tif", {"compression": "tiff_lzw"}),
        ("a.ppm", {}),
        ("a.qoi", {}),
        ("a.tga", {}),
        ("b.tga", {"compression": "tga_rle"}),
        ("a.jp2", {}),
    ],
)
def test_lossless_formats_are_read_exactly(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    Image.fromarray(_noise()).save(tmp_path / name, **options)
    assert np.array_equal(read_picture(tmp_path / name), _noise())
    assert np.array_equal(np.array(read_input_picture(tmp_path / name)), _noise())


def test_a_jpeg_is_read_as_it_decodes(tmp_path: Path) -> None:
    Image.fromarray(np.full((16, 24, 3), 77, np.uint8)).save(tmp_path / "flat.jpg", quality=95)
    assert np.array_equal(read_picture(tmp_path / "flat.jpg"), np.full((16, 24, 3), 77, np.uint8))


@pytest.mark.parametrize(
    ("mode", "name", "read_as"),
    [
        ("L", "a.png", ReadAs.GREY),
        ("1", "a.png", ReadAs.BILEVEL),
        ("P", "a.png", ReadAs.PALETTE),
        ("P", "a.gif", ReadAs.PALETTE),
        ("L", "a.tif", ReadAs.GREY),
        ("L", "a.pgm", ReadAs.GREY),
        ("1", "a.pbm", ReadAs.BILEVEL),
        ("RGBA", "a.png", ReadAs.OPAQUE),
        ("LA", "a.png", ReadAs.OPAQUE),
        ("RGBA", "a.tif", ReadAs.OPAQUE),
        ("RGB", "a.png", ReadAs.RGB),
    ],
)
def test_what_becomes_rgb_without_loss_is_read(tmp_path: Path, mode: str, name: str, read_as: ReadAs) -> None:
    image = Image.fromarray(_noise()).convert(mode)
    image.save(tmp_path / name)
    wanted = np.array(image.convert("RGB"))
    pixels, how = read_picture_as(tmp_path / name)
    assert how is read_as
    assert np.array_equal(pixels, wanted)
    assert not pixels.flags.writeable
    read = read_input_picture(tmp_path / name)
    assert read.mode == "RGB"
    assert np.array_equal(np.array(read), wanted)


def test_small_depths_and_an_unused_transparent_colour_are_read(tmp_path: Path) -> None:
    (tmp_path / "two-bits.png").write_bytes(_png(4, 1, depth=2, colour=0, rows=bytes([0, 0b00011011])))
    assert read_picture(tmp_path / "two-bits.png")[0, :, 0].tolist() == [0, 85, 170, 255]
    (tmp_path / "fifteen.ppm").write_bytes(b"P3 1 1 15\n0 1 15\n")
    assert read_picture(tmp_path / "fifteen.ppm").tolist() == [[[0, 17, 255]]]
    picture = np.maximum(_noise(), 1)
    Image.fromarray(picture).save(tmp_path / "key.png", transparency=(0, 0, 0))
    pixels, how = read_picture_as(tmp_path / "key.png")
    assert how is ReadAs.OPAQUE
    assert np.array_equal(pixels, picture)


def test_avif_is_read_as_it_decodes(tmp_path: Path) -> None:
    Image.fromarray(np.full((16, 24, 3), 77, np.uint8)).save(tmp_path / "flat.avif", quality=100)
    assert np.array_equal(read_picture(tmp_path / "flat.avif"), np.full((16, 24, 3), 77, np.uint8))


@pytest.mark.parametrize("name", ["hole.png", "hole.webp", "hole.tif"])
def test_transparency_is_taken_as_asked(tmp_path: Path, name: str) -> None:
    """Compared with exact fractions; one half falls nowhere, because 255 is odd."""
    colours, opacity = _noise(), np.random.default_rng(4).integers(0, 256, (21, 13, 1), dtype=np.uint8)
    Image.fromarray(np.dstack([colours, opacity])).save(tmp_path / name, lossless=True, exact=True)
    read = {alpha: read_picture_as(tmp_path / name, alpha) for alpha in ALPHA}
    assert [how for _, how in read.values()] == [ReadAs.DROPPED, ReadAs.ON_WHITE, ReadAs.ON_BLACK]
    assert np.array_equal(read["drop"][0], colours)
    share = opacity / 255
    assert np.array_equal(read["white"][0], np.rint(colours * share + 255 * (1 - share)).astype(np.uint8))
    assert np.array_equal(read["black"][0], np.rint(colours * share).astype(np.uint8))


def test_an_opaque_picture_is_the_same_whatever_was_asked_for_transparency(tmp_path: Path) -> None:
    Image.fromarray(_noise()).convert("RGBA").save(tmp_path / "opaque.png")
    for alpha in ALPHA:
        pixels, how = read_picture_as(tmp_path / "opaque.png", alpha)
        assert how is ReadAs.OPAQUE
        assert np.array_equal(pixels, _noise())


@pytest.mark.parametrize("extension", ["png", "jpg", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_input_picture_is_turned_upright_once(tmp_path: Path, extension: str, orientation: int) -> None:
    # Quadrants of one colour, so that even a lossy format keeps them apart.
    stored = np.zeros((32, 64, 3), np.uint8)
    stored[:16, :32, 0] = stored[:16, 32:, 1] = stored[16:, :32, 2] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned.{extension}"
    Image.fromarray(stored).save(path, exif=exif)
    turns: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: np.rot90(a, 1),
    }
    upright = turns[orientation](stored)
    read = read_input_picture(path)
    assert np.array(read).shape == upright.shape
    (height, width) = upright.shape[:2]
    middles = (slice(height // 4, None, height // 2), slice(width // 4, None, width // 2))
    assert np.abs(np.array(read)[middles].astype(int) - upright[middles]).max() < 20
    assert not read.getexif()
    assert not read.info


def test_a_picture_of_the_largest_size_is_not_called_too_large(tmp_path: Path) -> None:
    (tmp_path / "edge.png").write_bytes(_png(8192, LARGEST_PICTURE // 8192))
    assert "damaged" in _message(read_picture, tmp_path / "edge.png")


# --- pictures that are refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("reader", READERS)
def test_a_missing_file_is_refused(tmp_path: Path, reader: Callable[[Path], object]) -> None:
    assert "there is no such file" in _message(reader, tmp_path / "none.png")


@pytest.mark.parametrize("reader", READERS)
def test_a_folder_is_refused(tmp_path: Path, reader: Callable[[Path], object]) -> None:
    assert "it is not a file" in _message(reader, tmp_path)


@pytest.mark.parametrize("reader", READERS)
def test_a_name_that_no_system_takes_is_refused(tmp_path: Path, reader: Callable[[Path], object]) -> None:
    assert "name too long" in _message(reader, tmp_path / ("n" * 300))


@pytest.mark.parametrize("place", ["pathlib.Path.open", "pathlib.Path.exists"])
@pytest.mark.parametrize("reader", READERS)
def test_a_file_that_may_not_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: Callable[[Path], object], place: str
) -> None:
    path = tmp_path / "locked.png"
    write_picture(path, _noise())

    def locked(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(place, locked)
    assert "permissions" in _message(reader, path)


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", ["it is an empty file", "Copy or make it again"]),
        (bytes(1000), ["its first 512 bytes are zero"]),
        (b"hello", ["not a picture of a known format", "PNG, JPEG, WebP"]),
        (POINTER, ["a Git LFS pointer", "`git lfs pull`"]),
        (b"../.git/annex/objects/aa/bb/SHA256E-s1--0.png", ["a git-annex pointer", "`git annex get`"]),
        (b"<!DOCTYPE html>\n<html>", ["a web page, as a failed download"]),
        (b"\0\0\0\x18ftypheic\0\0\0\0", ["an HEIF (HEIC) file", "Save it as PNG"]),
        (b"\xff\x0a\x12", ["a JPEG XL file"]),
        (b"v/1\x01\x02\0\0\0", ["an OpenEXR file"]),
        (b"<?xml version='1.0'?>\n<svg xmlns='x'/>", ["an SVG drawing", "Render it to PNG"]),
        (b"\0\0\0\x18ftypisom", ["a video"]),
        (b"\x93NUMPY\x01\0", ["an array of NumPy"]),
        (b"II*\0", ["begins like a TIFF file", "damaged or cut off"]),
        (b"\x89PNG\r\n\x1a\n", ["begins like a PNG file", "damaged or cut off"]),
        (b"GIF89a" + bytes(40), ["begins like a GIF file"]),
        (_png(0, 5), ["begins like a PNG file"]),
    ],
)
def test_what_is_no_picture_is_named_as_what_it_is(
    tmp_path: Path, reader: Callable[[Path], object], content: bytes, says: list[str]
) -> None:
    (tmp_path / "words.png").write_bytes(content)
    text = _message(reader, tmp_path / "words.png")
    for words in says:
        assert words in text


@pytest.mark.parametrize(
    "name", ["a.png", "a.webp", "a.jpg", "a.bmp", "a.tif", "a.gif", "a.jp2", "a.ppm", "a.qoi", "a.tga"]
)
@pytest.mark.parametrize("part", [0.5, 0.9])
def test_a_picture_that_was_cut_off_is_refused(tmp_path: Path, name: str, part: float) -> None:
    path = tmp_path / name
    Image.fromarray(_noise()).save(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    assert "damaged or cut off" in _message(read_picture, path)


def test_a_cut_picture_is_refused_although_another_library_allowed_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "half.jpg"
    Image.fromarray(_noise(64, 64)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with Image.open(path) as image:
        assert image.convert("RGB").size == (64, 64)  # what everyone else then gets: grey rows and no word
    assert "damaged or cut off" in _message(read_picture, path)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


@pytest.mark.parametrize("length", [-16, -12, -9, -5])
def test_a_png_with_whole_pixels_and_no_end_is_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / "end.png"
    write_picture(path, _noise())
    path.write_bytes(path.read_bytes()[:length])
    with Image.open(path) as image:
        assert image.tobytes() == _noise().tobytes()
    assert "damaged or cut off" in _message(read_picture, path)


@pytest.mark.parametrize("position", [-16, -13])
def test_a_png_with_whole_pixels_and_a_damaged_checksum_is_refused(tmp_path: Path, position: int) -> None:
    path = tmp_path / "end.png"
    write_picture(path, _noise())
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[position] ^= 1
    path.write_bytes(flipped)
    with Image.open(path) as image:
        assert image.tobytes() == _noise().tobytes()
    assert "damaged or cut off" in _message(read_picture, path)


@given(st.data())
@settings(max_examples=150, derandomize=True)
def test_any_flipped_bit_of_a_png_is_noticed(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.getbasetemp() / "flipped.png"
    write_picture(path, _noise())
    content = bytearray(path.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    # The last twelve bytes are the empty end mark; no pixel can hide there.
    if position < len(content) - 12:
        _message(read_picture, path)


@pytest.mark.parametrize("name", ["a.gif", "a.jp2", "a.qoi"])
def test_a_picture_whose_end_is_missing_is_refused(tmp_path: Path, name: str) -> None:
    """The decoders give all pixels, or grey ones, and no word."""
    path = tmp_path / name
    Image.fromarray(_noise()).save(path)
    content = path.read_bytes()
    cut = content.index(b"\xff\x90") + 2 if name == "a.jp2" else len(content) - 1
    path.write_bytes(content[:cut])
    with Image.open(path) as image:
        assert image.convert("RGB").size == (13, 21)
    assert "damaged or cut off" in _message(read_picture, path)


@pytest.mark.parametrize("reader", READERS)
def test_one_pixel_that_is_not_quite_opaque_is_refused(tmp_path: Path, reader: Callable[[Path], object]) -> None:
    picture = np.dstack([_noise(10, 10), np.full((10, 10), 255, np.uint8)])
    picture[3, 4, 3] = 254
    Image.fromarray(picture).save(tmp_path / "alpha.png")
    text = _message(reader, tmp_path / "alpha.png")
    assert "transparent in 1 % of its pixels (mode RGBA)" in text
    assert "Save it without transparency" in text
    assert ("--alpha white" in text) == (reader is read_picture)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("mode", ["RGB", "L", "P"])
def test_transparency_without_an_alpha_channel_is_refused(
    tmp_path: Path, reader: Callable[[Path], object], mode: str
) -> None:
    image = Image.fromarray(_noise()).convert(mode)
    image.save(tmp_path / "key.png", transparency=image.getpixel((2, 3)))
    assert "it is transparent in" in _message(reader, tmp_path / "key.png")


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("ending", ["png", "tif", "jp2", "pnm"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_are_refused(tmp_path: Path, reader: Callable[[Path], object], ending: str, channels: int) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (64, 48, channels), dtype=np.uint16)
    path = tmp_path / f"deep.{ending.replace('pnm', 'pgm' if channels == 1 else 'ppm')}"
    assert cv2.imwrite(str(path), deep)
    assert "16 bits per channel" in _message(reader, path)


@pytest.mark.parametrize("colour", [0x1200, 0x1212, 0x1234])
def test_a_palette_of_sixteen_bits_is_refused(tmp_path: Path, colour: int) -> None:
    image = Image.fromarray(np.zeros((4, 4), np.uint8), "P")
    image.putpalette([0x12] * 768)
    image.save(tmp_path / "a.tif")
    stored = b"\0\x12" * 768
    content = (tmp_path / "a.tif").read_bytes()
    assert stored in content
    (tmp_path / "a.tif").write_bytes(content.replace(stored, colour.to_bytes(2, "little") * 768))
    if colour == 0x1234:
        assert "16 bits per channel" in _message(read_picture, tmp_path / "a.tif")
    else:
        assert (read_picture(tmp_path / "a.tif") == 0x12).all()


@pytest.mark.parametrize("depth", [10, 12])
def test_a_deep_avif_is_refused_although_pillow_gives_eight_bits(tmp_path: Path, depth: int) -> None:
    deep = np.random.default_rng(0).integers(0, 2**depth, (64, 48, 3), dtype=np.uint16)
    assert cv2.imwrite(str(tmp_path / "deep.avif"), deep, [cv2.IMWRITE_AVIF_DEPTH, depth])
    with Image.open(tmp_path / "deep.avif") as image:
        assert image.mode == "RGB"
    assert f"it has {depth} bits per channel" in _message(read_picture, tmp_path / "deep.avif")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("reader", READERS)
def test_floats_are_refused(tmp_path: Path, reader: Callable[[Path], object], channels: int) -> None:
    cv2.imwrite(str(tmp_path / "float.tif"), np.ones((4, 4, channels), np.float32))
    text = _message(reader, tmp_path / "float.tif")
    assert "floating-point" in text
    assert "32 bits per channel" in text


def test_a_pixel_map_of_floats_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.pfm").write_bytes(b"Pf\n2 2\n-1.0\n" + bytes(16))
    assert "floating-point numbers (32 bits per channel)" in _message(read_picture, tmp_path / "a.pfm")


def test_avif_is_named_where_pillow_cannot_read_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.avif", "a.png"):
        Image.fromarray(_noise()).save(tmp_path / name)
    monkeypatch.setattr(features, "check_module", lambda _: False)
    assert "was built without AVIF" in _message(read_picture, tmp_path / "a.avif")
    assert np.array_equal(read_picture(tmp_path / "a.png"), _noise())


@pytest.mark.parametrize("reader", READERS)
def test_printing_colours_are_refused(tmp_path: Path, reader: Callable[[Path], object]) -> None:
    Image.fromarray(_noise()).convert("CMYK").save(tmp_path / "print.jpg")
    assert "CMYK" in _message(reader, tmp_path / "print.jpg")


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", ["moving.png", "moving.webp", "moving.gif", "moving.avif", "pages.tif"])
def test_more_than_one_picture_is_refused(tmp_path: Path, reader: Callable[[Path], object], name: str) -> None:
    other = Image.fromarray(255 - _noise())
    Image.fromarray(_noise()).save(tmp_path / name, save_all=True, append_images=[other])
    assert "animated or has several pages (2 pictures)" in _message(reader, tmp_path / name)


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.jpg", "a.tif", "a.avif"])
@pytest.mark.parametrize("orientation", [2, 6])
def test_a_turned_picture_is_refused_where_it_is_compared(tmp_path: Path, name: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(_noise()).save(tmp_path / name, exif=exif)
    text = _message(read_picture, tmp_path / name)
    assert f"EXIF data turns or mirrors it (orientation {orientation})" in text


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("width", "height"),
    [(8193, 8192), (12_000, 12_000), (60_000, 60_000)],
    ids=["above our limit", "where Pillow warns", "where Pillow raises"],
)
def test_a_decompression_bomb_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: Callable[[Path], object], width: int, height: int
) -> None:
    def decoded(*_: object) -> None:
        raise AssertionError("the bomb went off")

    (tmp_path / "bomb.png").write_bytes(_png(width, height, rows=bytes(1000)))
    monkeypatch.setattr(ImageFile.ImageFile, "load", decoded)
    text = _message(reader, tmp_path / "bomb.png")
    assert f"at most {LARGEST_PICTURE} pixels" in text
    assert "pixels" in text.partition("; allowed: ")[0]


def test_a_decompression_bomb_is_refused_although_pillow_was_told_not_to_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bomb.png").write_bytes(_png(60_000, 60_000))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert "60000 x 60000 pixels" in _message(read_picture, tmp_path / "bomb.png")


def test_a_size_that_pillow_only_warns_of_is_a_refusal_even_where_warnings_are_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_picture(tmp_path / "small.png", _noise())
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert "exceeds limit of 200 pixels" in _message(read_picture, tmp_path / "small.png")


def test_a_warning_of_the_decoder_is_a_refusal_even_where_warnings_are_off(tmp_path: Path) -> None:
    path = tmp_path / "strip.tif"
    Image.fromarray(_noise(64, 64)).save(path, compression="tiff_lzw")
    path.write_bytes(path.read_bytes()[:-7])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert "UserWarning" in _message(read_picture, path)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 1), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 3), np.int8),
        np.zeros((4, 4, 3), np.bool_),
    ],
)
def test_what_is_not_an_8_bit_rgb_picture_is_not_written(tmp_path: Path, array: NDArray[Any]) -> None:
    with pytest.raises(ImageError, match=r"uint8\[H, W, 3\]"):
        write_picture(tmp_path / "wrong.png", array)
    assert not list(tmp_path.iterdir())


def test_a_picture_too_large_to_be_read_is_not_written(tmp_path: Path) -> None:
    huge = np.broadcast_to(np.zeros(3, np.uint8), (8193, 8192, 3))
    with pytest.raises(ImageError, match="8192 x 8193 pixels"):
        write_picture(tmp_path / "huge.png", huge)


# --- arrays ----------------------------------------------------------------------------------------------------------


@given(arrays(st.sampled_from(DTYPES), array_shapes(min_dims=1, max_dims=4, max_side=4)))
@settings(max_examples=40, derandomize=True)
def test_a_written_array_comes_back_bit_for_bit(tmp_path_factory: pytest.TempPathFactory, array: NDArray[Any]) -> None:
    path = tmp_path_factory.getbasetemp() / "arrays.safetensors"
    write_arrays(
        path, {"one": array, "turned": array.T, "big": array.astype(array.dtype.newbyteorder(">"))}, {"a": "b"}
    )
    for name, wanted in {"one": array, "turned": array.T, "big": array}.items():
        read = read_array(path, name)
        assert read.dtype == array.dtype
        assert read.shape == wanted.shape
        assert read.tobytes() == wanted.tobytes()
        assert array_digest(read) == array_digest(wanted)


def test_odd_floats_come_back_bit_for_bit(tmp_path: Path) -> None:
    odd = np.array([0x7FC00001, 0xFF800000, 0x80000000, 0x00000001], np.uint32).view(np.float32)
    write_arrays(tmp_path / "odd.safetensors", {"latents": odd}, {})
    assert read_array(tmp_path / "odd.safetensors", "latents").tobytes() == odd.tobytes()


def test_the_words_beside_the_arrays_are_stored(tmp_path: Path) -> None:
    write_arrays(tmp_path / "a.safetensors", {"x": np.zeros(1, np.float32)}, {"computed_in": "bfloat16"})
    assert b'"computed_in":"bfloat16"' in (tmp_path / "a.safetensors").read_bytes()


def test_an_array_without_portable_bytes_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="no portable bytes"):
        write_arrays(tmp_path / "a.safetensors", {"x": np.array(["a"])}, {})
    assert not list(tmp_path.iterdir())


def test_a_missing_array_file_is_a_record_error(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"none\.safetensors: there is no such file; make the run again"):
        read_array(tmp_path / "none.safetensors", "latents")


def test_a_missing_array_is_a_record_error_that_lists_the_others(tmp_path: Path) -> None:
    one = np.zeros(1, np.float32)
    write_arrays(tmp_path / "a.safetensors", {"latents": one, "float_image": one}, {})
    with pytest.raises(RecordError, match="no array 'noise'; it has float_image, latents"):
        read_array(tmp_path / "a.safetensors", "noise")


def test_an_array_file_cut_anywhere_is_a_record_error(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_arrays(path, {"latents": np.arange(50, dtype=np.float32)}, {"a": "b"})
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(RecordError, match="damaged or cut off"):
            read_array(path, "latents")


@pytest.mark.parametrize("content", [b"no safetensors file at all", bytes(64), b"\xff" * 64])
def test_a_foreign_array_file_is_a_record_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(RecordError, match="not a complete safetensors file"):
        read_array(tmp_path / "a.safetensors", "latents")


def test_a_folder_in_place_of_an_array_file_is_a_record_error(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="not a complete safetensors file"):
        read_array(tmp_path, "latents")


_WITHOUT_ROOM = """
import resource, sys
from pathlib import Path
from harness.images import read_picture

path, blocks = Path(sys.argv[1]), int(sys.argv[2])
read_picture(path)
in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (in_use + 200 * 1024,) * 2)
filled = []
try:
    while True:
        filled.append(bytearray(2048))
except MemoryError:
    del filled[len(filled) - blocks :]
try:
    read_picture(path)
except Exception as error:
    print(type(error).__name__)
else:
    print("decoded")
"""


def test_too_little_memory_is_not_told_as_a_damaged_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_picture(tmp_path / "whole.png", np.zeros((8, 8, 3), np.uint8))

    def no_room(*_: Any) -> None:
        raise MemoryError

    for fault, error in ((no_room, MemoryError), (lambda *_: 1 / 0, ImageError)):
        monkeypatch.setattr(Image.Image, "tobytes", fault)
        monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", fault)
        with pytest.raises(error):
            read_picture(tmp_path / "whole.png")


@pytest.mark.parametrize("name", ["a.png", "a.webp"])
def test_a_decoder_that_finds_no_room_is_not_told_as_a_damaged_picture(name: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / name)
    told = Counter(
        subprocess.run(
            [sys.executable, "-c", _WITHOUT_ROOM, str(tmp_path / name), str(blocks)],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout.strip()
        for blocks in range(0, 48, 12)
    )
    assert told.keys() <= {"decoded", "MemoryError"}, told
    assert told["MemoryError"] >= 2
