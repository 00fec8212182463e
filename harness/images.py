"""Pictures and arrays on disk: read with suspicion, written whole, named by what they hold.

A picture is compared by its own numbers, so nothing is converted on the way: what is not 8-bit RGB is refused, and an
embedded colour profile is not applied.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import safetensors
import safetensors.numpy
from PIL import Image, ImageFile, ImageOps, TiffImagePlugin, UnidentifiedImageError
from safetensors import SafetensorError, safe_open

from harness.errors import ImageError, RecordError
from harness.files import is_safe_path, write_atomically
from harness.text import one_line
from harness.yaml_tree import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from harness.records import ArrayRef

FORMATS = ("PNG", "WEBP", "JPEG", "BMP", "TIFF")
"""Picture formats that are read."""

LARGEST_PICTURE = 2**26
"""Most pixels a picture may have, 8192 by 8192; a header that promises more is refused before decoding."""

_DIGESTED = frozenset(
    {"bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32", "float64"}
)
_READ = frozenset({"BOOL", "U8", "U16", "U32", "U64", "I8", "I16", "I32", "I64", "F16", "F32", "F64"})
"""The same in the words of safetensors."""
_BFLOAT16 = "BF16"
_SHOWN = 10
_GREYSCALE_OR_PALETTE = {"L": "greyscale", "1": "black and white", "P": "a palette picture"}
_PNG_DEPTH_OFFSET = 24
_TIFF_BITS_PER_SAMPLE = 258
_ORIENTATION = 0x0112
_TURNED = range(2, 9)


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


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Decode a PNG, WebP, JPEG, BMP or TIFF file as ``uint8[H, W, 3]``, RGB, without converting anything.

    The array cannot be written to.

    Raises:
        ImageError: there is no such file, it is no picture, damaged, larger than ``LARGEST_PICTURE``, animated, turned
            by EXIF, or not 8-bit RGB without alpha.
    """
    image = _decode(path, modes={"RGB"}, allowed="8-bit RGB without alpha", turn=False)
    return np.ndarray((image.height, image.width, 3), np.uint8, image.tobytes())


def read_input_picture(path: Path) -> Image.Image:
    """Decode a picture that is to be edited as an upright RGB picture without metadata.

    Greyscale and palette pictures become RGB and EXIF rotation is applied. Transparency is refused, because what would
    show through it is not known.

    Raises:
        ImageError: as for ``read_picture``, except for what is converted.
    """
    modes = {"RGB", *_GREYSCALE_OR_PALETTE}
    image = _decode(path, modes=modes, allowed="8-bit RGB, greyscale or palette without alpha", turn=True)
    return Image.fromarray(np.array(image.convert("RGB")))


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


def _decode(path: Path, *, modes: Collection[str], allowed: str, turn: bool) -> Image.Image:
    """Decode one opaque 8-bit picture of one of these modes; whatever a decoder raises becomes an ``ImageError``."""
    try:
        _refuse_no_file(path)
        with path.open("rb") as stream, _strict_decoder():
            with Image.open(stream, formats=FORMATS) as header:
                _refuse_size(path, header.size)
                _refuse_frames(path, header)
                _refuse_pixels(path, header, bits=_bits(stream, header), modes=modes, allowed=allowed)
                # Decoding a PNG stops at its last pixel; verify reads all checksums, and it uses the open picture up.
                header.verify()
            stream.seek(0)
            with Image.open(stream, formats=FORMATS) as image:
                if not turn:
                    _refuse_turned(path, image)
                return ImageOps.exif_transpose(image)
    except ImageError:
        raise
    except PermissionError as error:
        raise _refusal(path, "it may not be read", "a readable file", "Check its permissions") from error
    except UnidentifiedImageError as error:
        observed = "it is not a picture of a known format"
        raise _refusal(path, observed, "PNG, WebP, JPEG, BMP or TIFF", "Save it in one of these formats") from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise _too_large(path, str(error).rstrip(".")) from error
    # On a damaged file decoders raise nearly anything: SyntaxError, struct.error, KeyError, a warning.
    except Exception as error:
        observed = f"it cannot be decoded ({type(error).__name__}: {error}) and is probably damaged or cut off"
        raise _refusal(path, observed, "a complete picture", "Copy or make it again") from error


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


def _refuse_size(path: Path, size: tuple[int, int]) -> None:
    width, height = size
    if width * height > LARGEST_PICTURE:
        raise _too_large(path, f"it has {width} x {height} pixels")


def _refuse_frames(path: Path, image: Image.Image) -> None:
    frames = getattr(image, "n_frames", 1)
    if frames != 1:
        observed = f"it is animated or has several pages ({frames} pictures)"
        raise _refusal(path, observed, "a single picture", "Save the one that is meant")


def _refuse_pixels(path: Path, image: Image.Image, *, bits: int, modes: Collection[str], allowed: str) -> None:
    if bits > np.iinfo(np.uint8).bits:
        observed = f"it has {bits} bits per channel (mode {image.mode})"
        raise _refusal(path, observed, allowed, "Convert it to 8 bits first; how it is rounded is your choice")
    if image.has_transparency_data:
        raise _refusal(path, f"it has an alpha channel (mode {image.mode})", allowed, "Save it without transparency")
    if image.mode not in modes:
        observed = f"it is {_GREYSCALE_OR_PALETTE.get(image.mode, 'of another kind')} (mode {image.mode})"
        raise _refusal(path, observed, allowed, "Convert it to RGB first")


def _refuse_turned(path: Path, image: Image.Image) -> None:
    # Asked before decoding: a TIFF turns itself while it is decoded and then no longer says so.
    orientation = image.getexif().get(_ORIENTATION)
    if orientation in _TURNED:
        observed = f"its EXIF data turns or mirrors it (orientation {orientation})"
        raise _refusal(path, observed, "an upright picture", "Turn the pixels and remove the EXIF data")


def _bits(stream: IO[bytes], image: Image.Image) -> int:
    """Bits per channel as the file stores them; Pillow gives 16-bit RGB as mode RGB and drops the lower half."""
    if image.format == "PNG":
        position = stream.tell()
        stream.seek(_PNG_DEPTH_OFFSET)
        depth = stream.read(1)[0]
        stream.seek(position)
        return depth
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return max(map(int, image.tag_v2.get(_TIFF_BITS_PER_SAMPLE, (1,))))
    return {"F": 32, "I": 32}.get(image.mode, 16 if image.mode.startswith("I;16") else 8)


def _too_large(path: Path, observed: str) -> ImageError:
    allowed = f"at most {LARGEST_PICTURE} pixels"
    return _refusal(path, observed, allowed, "Make it smaller; it was refused before decoding")


def _refusal(path: Path, observed: str, allowed: str, next_step: str) -> ImageError:
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

    A flipped bit among the values goes unnoticed here; hold ``array_digest`` against the recorded digest.

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
    found = next(stored for known, stored in deserialize(path.read_bytes()) if known == name)
    upper = np.frombuffer(found["data"], "<u2").astype(np.uint32) << 16
    return upper.view(np.float32).reshape(found["shape"])


def read_kept(folder: Path, ref: ArrayRef) -> NDArray[Any]:
    """Read an array that a run kept and hold it against the digest it was kept under.

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
    if (found := array_digest(array)) != ref.digest:
        raise RecordError(
            f"{folder / ref.path} does not hold what its record says: digest {found[:16]}…, recorded "
            f"{ref.digest[:16]}…. The file was changed after the run; run again."
        )
    return array
