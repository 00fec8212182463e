"""Pictures and arrays on disk: read with suspicion, written whole, named by what they hold.

A picture is compared by its own numbers, so nothing is converted on the way: what is not 8-bit RGB, or becomes it
without loss, is refused, and an embedded colour profile is not applied.
"""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import safetensors
import safetensors.numpy
from PIL import Image, ImageFile, ImageOps, TiffImagePlugin, UnidentifiedImageError, features
from PIL import __version__ as pillow_version
from safetensors import SafetensorError, safe_open

from harness.errors import ImageError, RecordError
from harness.file_kinds import AVIF, TIFF, kind_of, start_of
from harness.files import is_safe_path, write_atomically
from harness.records import ReadAs
from harness.text import one_line
from harness.yaml_tree import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from harness.records import ArrayRef

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "PPM", "WEBP", "TIFF", "AVIF", "JPEG2000", "QOI")
"""Picture formats that are read, by Pillow's names; TGA as well where the ending says so, for its bytes do not."""

Alpha = Literal["drop", "white", "black"]
ALPHA: tuple[Alpha, ...] = get_args(Alpha)
"""What can be done with real transparency: leave it out, or put the picture onto white or black."""

LARGEST_PICTURE = 2**26
"""Most pixels a picture may have, 8192 by 8192; a header that promises more is refused before decoding."""

_DIGESTED = frozenset(
    {"bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32", "float64"}
)
_READ = frozenset({"BOOL", "U8", "U16", "U32", "U64", "I8", "I16", "I32", "I64", "F16", "F32", "F64"})
"""The same in the words of safetensors."""
_BFLOAT16 = "BF16"
_SHOWN = 10
_KNOWN = "PNG, JPEG, WebP, AVIF, GIF, BMP, TIFF, JPEG 2000, PPM, QOI or TGA"
_READ_AS = {
    "RGB": ReadAs.RGB,
    "L": ReadAs.GREY,
    "1": ReadAs.BILEVEL,
    "P": ReadAs.PALETTE,
    **dict.fromkeys(["RGBA", "LA", "PA"], ReadAs.OPAQUE),
}
"""How the pixels of a mode of Pillow become RGB, where nothing is transparent."""
_WITH_ALPHA = {"drop": ReadAs.DROPPED, "white": ReadAs.ON_WHITE, "black": ReadAs.ON_BLACK}
_OPAQUE = 255
_END = {"GIF": b";", "JPEG2000": b"\xff\xd9", "QOI": bytes(7) + b"\1"}
"""Last bytes of a whole file, for formats whose decoders do not miss them."""
_ROOM_TO_DECODE_BYTES = 16 * 2**20
"""Far more than decoders need beside the picture itself."""

_PNG_DEPTH_OFFSET = 24
_TIFF_BITS_PER_SAMPLE = 258
_TIFF_COLOUR_MAP = 320
_TIFF_SAMPLE_FORMAT = 339
_TIFF_FLOAT = 3
_JPEG_2000_SIZE = b"\xff\x4f\xff\x51"
_JPEG_2000_CHANNELS_OFFSET = 40
_ORIENTATION = 0x0112
_TURNED = range(2, 9)
_ALLOWED = "8-bit RGB, or greyscale, a palette or opaque alpha that become it without loss"
_TO_8_BITS = "Convert it to 8 bits first; how it is rounded is your choice"
_TRANSPARENT = (
    "Save it without transparency, or let `harness diff` take it by --alpha white or black (put onto that) or drop"
)


# --- digests ---------------------------------------------------------------------------------------------------------


def array_digest(array: NDArray[Any]) -> str:
    """SHA-256 in hexadecimal of an array's type, shape and values; its layout in memory plays no part.

    Digested are the ASCII line ``array-1 DTYPE SIZE,SIZE,...`` with a newline, then the values in C order as
    little-endian bytes. The line ends before the values begin, so no two arrays of another type or shape share it.

    >>> array_digest(np.zeros((2, 3), np.uint8)) == array_digest(np.zeros((3, 2), np.uint8))
    False

    Raises:
        TypeError: the type is neither bool nor an integer or float of 8 to 64 bits.
    """
    plain = _plain(array)
    header = f"array-1 {plain.dtype.name} {','.join(map(str, plain.shape))}\n"
    digest = hashlib.sha256(header.encode("ascii"))
    digest.update(plain.data)
    return digest.hexdigest()


def _plain(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.name not in _DIGESTED:
        raise TypeError(f"an array of {array.dtype} has no portable bytes; allowed are {', '.join(sorted(_DIGESTED))}.")
    return np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")


# --- pictures --------------------------------------------------------------------------------------------------------


def read_picture(path: Path, alpha: Alpha | None = None) -> NDArray[np.uint8]:
    """Decode a picture file as ``uint8[H, W, 3]``, RGB, where that loses nothing.

    8-bit RGB is taken as it is; alpha that is 255 everywhere is left out; palettes and greyscale become the colours
    that they stand for. Real transparency is taken only where ``alpha`` says how. The array cannot
    be written to.

    Raises:
        ImageError: there is no such file, it is no picture, damaged, larger than ``LARGEST_PICTURE``, animated, turned
            by EXIF, or its pixels do not become 8-bit RGB without loss.
    """
    return read_picture_as(path, alpha)[0]


def read_picture_as(path: Path, alpha: Alpha | None = None) -> tuple[NDArray[np.uint8], ReadAs]:
    """The same, and how its pixels became 8-bit RGB.

    Put onto a background, a value is ``value * a + background * (255 - a)``, divided by 255 and rounded to nearest.

    Raises:
        ImageError: as for ``read_picture``.
    """
    return _as_rgb(path, _decode(path, turn=False), alpha, _TRANSPARENT)


def picture_of(image: Image.Image, name: str, alpha: Alpha | None = None) -> tuple[NDArray[np.uint8], ReadAs]:
    """As ``read_picture_as``, of a picture that a program holds as an image of Pillow; ``name`` is its name in errors.

    What a decoder dropped before, such as the lower half of 16 bits, cannot be noticed here; a path can be read better.

    Raises:
        ImageError: as for ``read_picture``.
    """
    try:
        with _strict_decoder():
            _refuse_nothing(name, image)
            _refuse_size(name, image.size)
            _refuse_frames(name, image)
            _refuse_pixels(name, image, bits=_bits_of_mode(image.mode))
            _refuse_turned(name, image)
            return _as_rgb(name, image, alpha, "Remove the transparency, or say alpha='white', 'black' or 'drop'")
    except ImageError:
        raise
    except Exception as error:  # a file that Pillow has not read yet may be damaged or closed
        observed = f"its pixels cannot be read ({type(error).__name__}: {error})"
        raise _refusal(
            name, observed, "a complete picture", "Load it before its file is closed, or give the path"
        ) from error


def read_input_picture(path: Path) -> Image.Image:
    """Decode a picture that is to be edited as an upright RGB picture without metadata.

    EXIF rotation is applied; all else is as for ``read_picture``. Real transparency is refused, because what would
    show through it is not known.

    Raises:
        ImageError: as for ``read_picture``, except for what is turned.
    """
    return Image.fromarray(_as_rgb(path, _decode(path, turn=True), None, "Save it without transparency")[0])


def write_picture(path: Path, picture: NDArray[np.uint8]) -> None:
    """Store ``uint8[H, W, 3]`` as a PNG, atomically and without loss; fast rather than small.

    Raises:
        ImageError: the array is not such a picture, or has more pixels than ``LARGEST_PICTURE``.
        OSError: the file cannot be written.
    """
    if picture.dtype != np.uint8 or picture.shape[2:] != (3,) or not picture.size:
        observed = f"the array is {picture.dtype}{list(picture.shape)}"
        raise _refusal(path, observed, "uint8[H, W, 3] with at least one pixel", "Hand over the 8-bit RGB picture")
    _refuse_size(path, (picture.shape[1], picture.shape[0]))
    encoded = io.BytesIO()
    Image.fromarray(picture).save(encoded, format="PNG", compress_level=1)
    write_atomically(path, encoded.getvalue())


def _as_rgb(
    path: Path | str, image: Image.Image, alpha: Alpha | None, next_step: str
) -> tuple[NDArray[np.uint8], ReadAs]:
    """The pixels of a decoded picture as RGB, and how that came about; ``next_step`` where transparency is refused."""
    read_as = _READ_AS[image.mode]
    if not image.has_transparency_data:
        return _values(image.convert("RGB")), read_as
    values = _values(image.convert("RGBA"))
    colours, opacity = values[..., :3], values[..., 3:]
    if int(opacity.min()) < _OPAQUE:
        if alpha is None:
            share = np.count_nonzero(opacity < _OPAQUE) / opacity.size
            observed = f"it is transparent in {share * 100:.3g} % of its pixels (mode {image.mode})"
            raise _refusal(path, observed, _ALLOWED, next_step)
        read_as = _WITH_ALPHA[alpha]
        if alpha != "drop":
            weight = opacity.astype(np.uint32)
            background = _OPAQUE if alpha == "white" else 0
            colours = (colours * weight + background * (_OPAQUE - weight) + _OPAQUE // 2) // _OPAQUE
    elif image.mode == "RGB":
        read_as = ReadAs.OPAQUE  # a colour was named as transparent, and no pixel has it
    plain = np.ascontiguousarray(colours, dtype=np.uint8)
    plain.flags.writeable = False
    return plain, read_as


def _values(image: Image.Image) -> NDArray[np.uint8]:
    return np.ndarray((image.height, image.width, len(image.getbands())), np.uint8, image.tobytes())


def _decode(path: Path, *, turn: bool) -> Image.Image:
    """Decode one picture of 8 bits per channel; what a decoder raises becomes an ``ImageError``, save for memory."""
    try:
        _refuse_no_file(path)
        with path.open("rb") as stream, _strict_decoder():
            formats = _formats(path)
            _refuse_avif(path)
            with Image.open(stream, formats=formats) as header:
                _refuse_size(path, header.size)
                _refuse_frames(path, header)
                _refuse_pixels(path, header, bits=_bits(stream, header))
                # Decoding a PNG stops at its last pixel; verify reads all checksums, and it uses the open picture up.
                header.verify()
            stream.seek(0)
            with Image.open(stream, formats=formats) as image:
                if not turn:
                    _refuse_turned(path, image)
                decoded = ImageOps.exif_transpose(image)
                _refuse_no_end(path, image.format)
                return decoded
    except (ImageError, MemoryError):  # too little memory says nothing about the file
        raise
    except PermissionError as error:
        raise _refusal(path, "it may not be read", "a readable file", "Check its permissions") from error
    except UnidentifiedImageError as error:
        _refuse_little_memory()
        raise _unidentified(path) from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise _too_large(path, str(error).rstrip(".")) from error
    # On a damaged file decoders raise nearly anything: SyntaxError, struct.error, KeyError, a warning.
    except Exception as error:
        _refuse_little_memory()
        observed = f"it cannot be decoded ({type(error).__name__}: {error}) and is probably damaged or cut off"
        raise _refusal(path, observed, "a complete picture", "Copy or make it again") from error


def _refuse_little_memory() -> None:
    """Raise ``MemoryError`` where a decoder's own error, of whatever words, may come from too little memory."""
    bytearray(_ROOM_TO_DECODE_BYTES)


def _formats(path: Path) -> list[str]:
    """What Pillow may try; an older one, or one built without it, does not know every format."""
    Image.init()
    by_ending = ["TGA"] if path.suffix.lower() == ".tga" else []
    return [name for name in (*FORMATS, *by_ending) if name in Image.OPEN]


def _unidentified(path: Path) -> ImageError:
    """What a file is that Pillow does not take for a picture."""
    start = start_of(path)
    kind = kind_of(start)
    if kind == TIFF:
        return _unknown_tiff(path)
    if kind is not None and (kind.next_step or not kind.is_picture):
        return _refusal(path, f"it is {kind.name}", _KNOWN, kind.next_step or "Name the picture itself")
    if kind is None and any(start):
        observed = "it is not a picture of a known format"
        return _refusal(path, observed, _KNOWN, "Save it in one of these formats, PNG at best")
    if kind is not None:
        observed = f"it begins like {kind.name} and cannot be decoded; it is probably damaged or cut off"
    elif start:
        observed = f"its first {len(start)} bytes are zero, so it was never written whole"
    else:
        observed = "it is an empty file"
    return _refusal(path, observed, "a complete picture", "Copy or make it again")


def _unknown_tiff(path: Path) -> ImageError:
    """What is known of a TIFF whose kind of pixels Pillow does not know."""
    try:
        with path.open("rb") as stream, _strict_decoder():
            tags = TiffImagePlugin.ImageFileDirectory_v2(stream.read(8))
            stream.seek(tags.next)
            tags.load(stream)
            bits = max(map(int, tags.get(_TIFF_BITS_PER_SAMPLE, (1,))))
            floats = _TIFF_FLOAT in tags.get(_TIFF_SAMPLE_FORMAT, ())
    except Exception:  # noqa: BLE001 - on a damaged file the parser raises nearly anything
        observed = "it begins like a TIFF file and cannot be decoded; it is probably damaged or cut off"
        return _refusal(path, observed, "a complete picture", "Copy or make it again")
    if floats:
        observed = f"it is a TIFF file of floating-point values ({bits} bits per channel)"
    else:
        observed = f"it is a TIFF file of a kind that is not read ({bits} bits per channel)"
    return _refusal(path, observed, _ALLOWED, _TO_8_BITS)


def _refuse_avif(path: Path) -> None:
    """Refuse an AVIF file where Pillow cannot read it; what Pillow says of it then differs by version."""
    if not ("AVIF" in Image.OPEN and features.check_module("avif")) and kind_of(start_of(path)) == AVIF:
        observed = f"it is an AVIF file, and Pillow {pillow_version} on this machine was built without AVIF"
        raise _refusal(path, observed, "what Pillow reads", "Update Pillow to 11.3 or newer, or save it as PNG")


def _refuse_no_end(path: Path, kind: str | None) -> None:
    if kind in _END and not path.read_bytes().endswith(_END[kind]):
        observed = "its end is missing: it is damaged or cut off"
        raise _refusal(path, observed, "a complete picture", "Copy or make it again")


@contextmanager
def _strict_decoder() -> Iterator[None]:
    """Make Pillow raise where it would warn, and where another library told it to fill missing rows with grey."""
    lenient = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            warnings.simplefilter("error", RuntimeWarning)
            yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = lenient


def _refuse_no_file(path: Path) -> None:
    if not path.exists():
        raise _refusal(path, "there is no such file", "an existing picture", "Check the path")
    if not path.is_file():
        raise _refusal(path, "it is not a file", "a picture file", "Name the file itself")


def _refuse_size(path: Path | str, size: tuple[int, int]) -> None:
    width, height = size
    if width * height > LARGEST_PICTURE:
        raise _too_large(path, f"it has {width} x {height} pixels")


def _refuse_nothing(path: Path | str, image: Image.Image) -> None:
    if not image.width * image.height:
        observed = f"it has {image.width} x {image.height} pixels"
        raise _refusal(path, observed, "at least one pixel", "Look at what made it")


def _refuse_frames(path: Path | str, image: Image.Image) -> None:
    frames = getattr(image, "n_frames", 1)
    if frames != 1:
        observed = f"it is animated or has several pages ({frames} pictures)"
        raise _refusal(path, observed, "a single picture", "Save the one that is meant")


def _refuse_pixels(path: Path | str, image: Image.Image, *, bits: int) -> None:
    if image.mode == "F":
        observed = f"its values are floating-point numbers ({bits} bits per channel)"
        raise _refusal(path, observed, _ALLOWED, _TO_8_BITS)
    if bits > np.iinfo(np.uint8).bits:
        raise _refusal(path, f"it has {bits} bits per channel (mode {image.mode})", _ALLOWED, _TO_8_BITS)
    if image.mode == "CMYK":
        observed = "its colours are for printing (mode CMYK)"
        raise _refusal(path, observed, _ALLOWED, "Convert it to RGB by the colour profile that it was made for")
    if image.mode not in _READ_AS:
        raise _refusal(path, f"its pixels are of another kind (mode {image.mode})", _ALLOWED, "Convert it to RGB first")


def _refuse_turned(path: Path | str, image: Image.Image) -> None:
    # Asked before decoding: a TIFF turns itself while it is decoded and then no longer says so.
    orientation = image.getexif().get(_ORIENTATION)
    if orientation in _TURNED:
        observed = f"its EXIF data turns or mirrors it (orientation {orientation})"
        raise _refusal(path, observed, "an upright picture", "Turn the pixels and remove the EXIF data")


def _bits(stream: IO[bytes], image: Image.Image) -> int:
    """Bits per channel as the file stores them; Pillow gives more than 8 as mode RGB and drops the rest."""
    position = stream.tell()
    try:
        match image.format:
            case "PNG":
                stream.seek(_PNG_DEPTH_OFFSET)
                return stream.read(1)[0]
            case "AVIF":
                stream.seek(0)
                return _avif_bits(stream.read())
            case "JPEG2000":
                stream.seek(0)
                return _jpeg_2000_bits(stream.read())
            case "PPM" if isinstance(image, ImageFile.ImageFile):
                args = image.tile[0].args
                largest = args[1] if isinstance(args, tuple) and image.mode != "F" else 0
                return 16 if args == "I;16B" else max(int(largest).bit_length(), 32 if image.mode == "F" else 1)
    finally:
        stream.seek(position)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return _tiff_bits(image)
    return _bits_of_mode(image.mode)


def _bits_of_mode(mode: str) -> int:
    return {"F": 32, "I": 32}.get(mode, 16 if mode.startswith("I;16") else 8)


def _tiff_bits(image: TiffImagePlugin.TiffImageFile) -> int:
    # A palette has 16 bits; those of 8 were shifted or doubled, and Pillow takes the upper half.
    colours = image.tag_v2.get(_TIFF_COLOUR_MAP, ()) if image.mode == "P" else ()
    if any(colour & 0xFF and colour % 0x101 for colour in colours):
        return 16
    return max(map(int, image.tag_v2.get(_TIFF_BITS_PER_SAMPLE, (1,))))


def _avif_bits(content: bytes) -> int:
    """8, 10 or 12, by the AV1 configuration boxes of ISO/IEC 23000-22; the most where there are several."""
    # Version 1 with the marker bit set, profile and level, then the bits tier, high_bitdepth and twelve_bit.
    flags = [match[1][0] for match in re.finditer(rb"av1C\x81.(.)", content, re.DOTALL)]
    return max((12 if flag & 0x20 else 10 if flag & 0x40 else 8 for flag in flags), default=8)


def _jpeg_2000_bits(content: bytes) -> int:
    """The most bits of a component, by the SIZ segment of ISO/IEC 15444-1."""
    start = content.index(_JPEG_2000_SIZE) + _JPEG_2000_CHANNELS_OFFSET
    channels = int.from_bytes(content[start : start + 2], "big")
    depths = content[start + 2 : start + 2 + 3 * channels : 3]
    return max((depth & 0x7F) + 1 for depth in depths)


def _too_large(path: Path | str, observed: str) -> ImageError:
    allowed = f"at most {LARGEST_PICTURE} pixels"
    return _refusal(path, observed, allowed, "Make it smaller; it was refused before decoding")


def _refusal(path: Path | str, observed: str, allowed: str, next_step: str) -> ImageError:
    return ImageError(f"picture {path}: {observed}; allowed: {allowed}. {next_step}.")


# --- arrays ----------------------------------------------------------------------------------------------------------


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> None:
    """Store named arrays and a few words about them as one safetensors file, atomically and bit for bit.

    Raises:
        TypeError: as for ``array_digest``.
        OSError: the file cannot be written.
    """
    plain = {name: _plain(array) for name, array in arrays.items()}
    write_atomically(path, safetensors.numpy.save(plain, dict(metadata)))


def read_array(path: Path, name: str) -> NDArray[Any]:
    """Read one array of a safetensors file, bit for bit as it was written; bfloat16 comes as float32, which is exact.

    A flipped bit among the values goes unnoticed here; compare ``array_digest`` with the recorded digest.

    Raises:
        RecordError: there is no such file, it is damaged or cut off, it has no array of that name, or one of a type
            that numbers are not compared in, such as float8 or complex64.
    """
    try:
        _refuse_no_arrays(path)
        with safe_open(path, framework="np") as file:
            names = sorted(file.keys())
            if name in names:
                kind = file.get_slice(name).get_dtype()
                if kind == _BFLOAT16:
                    return _widened(path, name)
                if kind not in _READ:
                    allowed = ", ".join(sorted([*_READ, _BFLOAT16]))
                    raise RecordError(
                        f"{path}: the array {quoted(name)} holds values of type {kind}; allowed are {allowed}. Save it "
                        "as F32."
                    )
                return np.asarray(file.get_tensor(name))
    except FileNotFoundError as error:
        raise RecordError(f"{path}: there is no such file; make the run again or copy it as a whole.") from error
    # ValueError: a name that no system allows; the others come of headers that promise what is not there.
    except (SafetensorError, OSError, ValueError, TypeError, OverflowError, MemoryError) as error:
        raise RecordError(
            f"{path} is not a complete safetensors file ({error}). It is damaged or cut off; copy or make it again."
        ) from error
    there = ", ".join(map(one_line, names[:_SHOWN])) + (f" and {len(names) - _SHOWN} more" if names[_SHOWN:] else "")
    raise RecordError(
        f"{path} has no array {quoted(name)}; it has {there or 'none'}. Run and record are not of the same run."
    )


def _refuse_no_arrays(path: Path) -> None:
    """A pipe or a device would keep the reader waiting for ever."""
    if path.exists() and not path.is_file():
        raise RecordError(
            f"{path} is not a complete safetensors file: it is a folder, a pipe or a device; allowed is a file. Name "
            "the file itself."
        )


def _widened(path: Path, name: str) -> NDArray[np.float32]:
    """An array of bfloat16, which is the upper half of a float32, as float32."""
    deserialize: Callable[[bytes], list[tuple[str, dict[str, Any]]]] = safetensors.deserialize
    tensor = next(stored for known, stored in deserialize(path.read_bytes()) if known == name)
    upper = np.frombuffer(tensor["data"], "<u2").astype(np.uint32) << 16
    return upper.view(np.float32).reshape(tensor["shape"])


def read_kept(folder: Path, ref: ArrayRef) -> NDArray[Any]:
    """Read an array that a run kept and compare it with the digest it was kept under.

    Raises:
        ImageError: the picture cannot be read.
        RecordError: the array cannot be read, or is not the one that was kept.
    """
    if not is_safe_path(ref.path):
        raise RecordError(
            f"{folder}: its record names {quoted(ref.path)}, which leads out of its folder; allowed are files in it. "
            "It was not made here; run again."
        )
    array = read_picture(folder / ref.path) if ref.name is None else read_array(folder / ref.path, ref.name)
    if (array.dtype.name, list(array.shape)) != (ref.dtype, ref.shape):
        raise RecordError(
            f"{folder / ref.path} holds {array.dtype.name}{list(array.shape)}, and its record says "
            f"{one_line(ref.dtype)}{ref.shape}. One of the two was changed after the run; run again."
        )
    if (digest := array_digest(array)) != ref.digest:
        raise RecordError(
            f"{folder / ref.path} does not hold what its record says: digest {digest[:16]}…, recorded "
            f"{ref.digest[:16]}…. The file was changed after the run; run again."
        )
    return array
