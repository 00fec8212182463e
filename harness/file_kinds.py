"""What a file is, by its ending and by its first bytes; nothing is decoded.

Which files of a folder are pictures must not hang on which of them can be read: a picture of a format that is not read
would be left out of a comparison without a word.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

START_BYTES = 512
"""How much of a file says what it is."""

_ENDINGS_READ = (
    "png apng jpg jpeg jpe jfif webp bmp dib tif tiff avif avifs gif jp2 j2k j2c jpc jpf jpx ppm pgm pbm pnm qoi tga"
)
_ENDINGS_OF_OTHERS = (
    "heic heif hif jxl jxr wdp svg svgz psd psb xcf kra exr pfm pam ico icns cur dds ktx ktx2 pcx sgi xbm xpm dcm dng "
    "cr2 cr3 nef arw orf rw2 raf emf wmf mng flif bpg"
)
IMAGE_ENDINGS = frozenset(f".{word}" for word in (*_ENDINGS_READ.split(), *_ENDINGS_OF_OTHERS.split()))
"""Endings of picture files, in lower case, whether such files are read or not."""

_PUT_ASIDE = frozenset({".bak", ".old", ".orig", ".tmp", ".temp", ".part", ".partial", ".crdownload", ".swp"})


class Kind(NamedTuple):
    """A kind of file that is known by its first bytes."""

    name: str
    """As in "it is ...": with its article."""
    is_picture: bool
    """Whether such a file is a picture; a text that stands in its place is not."""
    next_step: str = ""
    """What to do where a picture is wanted; empty where nothing is special about it."""


TIFF = Kind("a TIFF file", is_picture=True)
AVIF = Kind("an AVIF file", is_picture=True)

_FETCH = "Fetch the pictures: run {command} in their repository"
_SAVE = "Save it as PNG"
_KINDS: tuple[tuple[bytes, Kind], ...] = (
    (
        rb"version https://(git-lfs\.github|hawser\.github|hawser)\.com/spec/",
        Kind(
            "a Git LFS pointer, a text that stands in the place of the picture",
            is_picture=False,
            next_step=_FETCH.format(command="`git lfs pull`"),
        ),
    ),
    (
        rb"(\.\./)*(\.git)?/annex/objects/",
        Kind(
            "a git-annex pointer, a text that stands in the place of the picture",
            is_picture=False,
            next_step=_FETCH.format(command="`git annex get`"),
        ),
    ),
    (
        rb"(\xef\xbb\xbf)?\s*(?i:<!doctype html|<html)",
        Kind(
            "a web page, as a failed download leaves it",
            is_picture=False,
            next_step="Open it to see what it says, and fetch the picture again",
        ),
    ),
    (rb"\x89PNG\r\n\x1a\n", Kind("a PNG file", is_picture=True)),
    (rb"\xff\xd8\xff", Kind("a JPEG file", is_picture=True)),
    (rb"GIF8[79]a", Kind("a GIF file", is_picture=True)),
    (rb"RIFF....WEBP", Kind("a WebP file", is_picture=True)),
    (rb"BM....\0\0\0\0....[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", Kind("a BMP file", is_picture=True)),
    (rb"II\*\0|MM\0\*|II\+\0|MM\0\+", TIFF),
    (rb"....ftypavi[fs]", AVIF),
    (rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51\0", Kind("a JPEG 2000 file", is_picture=True)),
    (rb"qoif", Kind("a QOI file", is_picture=True)),
    (rb"....ftyp(hei[cfmsx]|hev[cmsx]|mif1|msf1)", Kind("an HEIF (HEIC) file", is_picture=True, next_step=_SAVE)),
    (rb"\0\0\0\x0cJXL \r\n\x87\n", Kind("a JPEG XL file", is_picture=True, next_step=_SAVE)),
    # Two bytes, and four that other files have as well, say too little where the ending is of no picture.
    (rb"\xff\x0a", Kind("a JPEG XL file", is_picture=False, next_step=_SAVE)),
    (rb"v/1\x01", Kind("an OpenEXR file", is_picture=True, next_step="Convert it to 8 bits and save it as PNG")),
    (rb"#\?(RADIANCE|RGBE)", Kind("a Radiance HDR file", is_picture=True, next_step="Convert it to 8 bits, as PNG")),
    (rb"8BPS", Kind("a Photoshop file", is_picture=True, next_step=_SAVE)),
    (rb"DDS |\xabKTX ", Kind("a texture file (DDS or KTX)", is_picture=True, next_step=_SAVE)),
    (rb"\0\0[\1\2]\0[^\0]\0", Kind("an icon file", is_picture=False, next_step="Save the one that is meant as PNG")),
    (
        rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*|<!DOCTYPE svg[^>]*>\s*)*<svg\b",
        Kind("an SVG drawing, which has no pixels", is_picture=False, next_step="Render it to PNG"),
    ),
    (rb"....ftyp|\x1a\x45\xdf\xa3", Kind("a video", is_picture=False, next_step="Save the frame that is meant as PNG")),
    (rb"%PDF-", Kind("a PDF document", is_picture=False, next_step="Render it to PNG")),
    (rb"\x93NUMPY", Kind("an array of NumPy", is_picture=False)),
    (rb"PK\x03\x04|\x1f\x8b", Kind("an archive (zip or gzip)", is_picture=False, next_step="Unpack it")),
)


def start_of(path: Path) -> bytes:
    """The first ``START_BYTES`` bytes of a file.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        return stream.read(START_BYTES)


def kind_of(start: bytes) -> Kind | None:
    r"""The kind of a file by its first bytes; None where they are of no known kind.

    >>> kind_of(b"\x89PNG\r\n\x1a\n").name
    'a PNG file'
    >>> kind_of(b"version https://git-lfs.github.com/spec/v1\n").is_picture
    False
    """
    return next((kind for pattern, kind in _KINDS if re.match(pattern, start, re.DOTALL)), None)


def is_picture(path: Path) -> bool:
    """Whether a file is meant as a picture: by its ending, or by its first bytes where the ending is of no picture.

    Hidden files and copies that somebody put aside (``.bak``, ``.orig``, ``a.png~``) are not meant.
    """
    ending = path.suffix.lower()
    if path.name.startswith(".") or path.name.endswith("~") or ending in _PUT_ASIDE:
        return False
    if ending in IMAGE_ENDINGS:
        return True
    try:
        kind = kind_of(start_of(path)) if path.is_file() else None
    except OSError:
        return False
    return kind is not None and kind.is_picture
