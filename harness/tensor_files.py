"""Files of tensors: ``.npy``, ``.npz`` and ``.safetensors``, read a block at a time and without torch.

Types that NumPy lacks are kept as the whole numbers that hold their bits, and widened exactly: bfloat16 is the upper
half of a float32, float8_e5m2 the upper half of a float16, and float8_e4m3fn has 256 values.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import TensorError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

BLOCK = 2**20
"""Numbers that are looked at together, in the order of rows."""
ENDINGS = (".npy", ".npz", ".safetensors")
"""Files that are read here."""
TORCH_ENDINGS = (".pt", ".pth")
"""Files that only torch reads."""

_OF_SAFETENSORS = {
    "F64": ("float64", "<f8"),
    "F32": ("float32", "<f4"),
    "F16": ("float16", "<f2"),
    "BF16": ("bfloat16", "<u2"),
    "F8_E4M3": ("float8_e4m3fn", "u1"),
    "F8_E5M2": ("float8_e5m2", "u1"),
    "I64": ("int64", "<i8"),
    "I32": ("int32", "<i4"),
    "I16": ("int16", "<i2"),
    "I8": ("int8", "i1"),
    "U64": ("uint64", "<u8"),
    "U32": ("uint32", "<u4"),
    "U16": ("uint16", "<u2"),
    "U8": ("uint8", "u1"),
    "BOOL": ("bool", "?"),
}
_PLAIN = frozenset(name for name, _ in _OF_SAFETENSORS.values()) - {"bfloat16", "float8_e4m3fn", "float8_e5m2"}


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """One tensor of a file; its values are read when they are asked for."""

    type: str
    """Such as ``float32`` or ``bfloat16``; a type that has no metric keeps the name that its file gives it."""
    shape: tuple[int, ...]
    """Sizes; empty for a single number."""
    read: Callable[[], NDArray[Any]]
    """All values as a row, in a type of NumPy with the same bits."""
    has_numbers: bool = True
    """Whether ``numbers`` can widen its values."""

    def blocks(self) -> Iterator[NDArray[Any]]:
        """Its values, ``BLOCK`` at a time."""
        row = self.read()
        for start in range(0, row.size, BLOCK):
            yield row[start : start + BLOCK]


def is_tensor_file(path: Path) -> bool:
    """Whether a file is one of tensors, by its ending."""
    return path.suffix.lower() in {*ENDINGS, *TORCH_ENDINGS}


def tensors_of(path: Path) -> Mapping[str, Tensor]:
    """Every tensor of a file by its name; the array of an ``.npy`` file is called ``array``.

    Raises:
        TensorError: it cannot be read, or holds Python objects.
    """
    try:
        if path.suffix.lower() == ".safetensors":
            return _of_safetensors(path)
        if path.suffix.lower() == ".npz":
            return _of_npz(path)
        return {"array": of_array(lambda: np.load(path, mmap_mode="r", allow_pickle=False))}
    except (OSError, ValueError, KeyError) as error:
        raise TensorError(f"{path}: it cannot be read as {path.suffix}: {error}. Save it again.") from error


def numbers(block: NDArray[Any], type_name: str) -> NDArray[np.float64]:
    """Values of a type as float64, exact but for whole numbers beyond 2^53.

    >>> numbers(np.array([0x3F80, 0xC000], np.uint16), "bfloat16").tolist()
    [1.0, -2.0]
    >>> numbers(np.array([0x38, 0xFE], np.uint8), "float8_e4m3fn").tolist()
    [1.0, -448.0]
    """
    if type_name == "bfloat16":
        return _widened((block.astype(np.uint32) << np.uint32(16)).view(np.float32))
    if type_name == "float8_e5m2":
        return _widened((block.astype(np.uint16) << np.uint16(8)).view(np.float16))
    if type_name == "float8_e4m3fn":
        values: NDArray[np.float64] = _e4m3fn()[block]
        return values
    return _widened(block)


def _widened(block: NDArray[Any]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):  # a NaN that signals
        return block.astype(np.float64)


@cache
def _e4m3fn() -> NDArray[np.float64]:
    """Values of float8_e4m3fn: sign, four bits of exponent with bias 7, three of mantissa, no infinity, two NaN."""
    bits = np.arange(256)
    exponent, mantissa = bits >> 3 & 15, bits & 7
    size = np.where(exponent == 0, mantissa * 2.0**-9, (8 + mantissa) * 2.0 ** (exponent - 10.0))
    size[(bits & 127) == 127] = np.nan  # noqa: PLR2004 - all bits but the sign
    return np.where(bits < 128, size, -size)  # noqa: PLR2004 - the sign


def _of_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np"):
            pass  # the library checks header, offsets and sizes
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(length))
    header.pop("__metadata__", None)
    return {name: _stored(path, 8 + length, entry) for name, entry in sorted(header.items())}


def _stored(path: Path, start: int, entry: dict[str, Any]) -> Tensor:
    first, last = entry["data_offsets"]
    type_name, stored_as = _OF_SAFETENSORS.get(entry["dtype"], (entry["dtype"], "u1"))

    def read() -> NDArray[Any]:
        if first == last:
            return np.empty(0, stored_as)
        data = np.memmap(path, np.uint8, "r", offset=start + first, shape=(last - first,))
        return data.view(stored_as)

    known = entry["dtype"] in _OF_SAFETENSORS
    return Tensor(type=type_name, shape=tuple(entry["shape"]), read=read, has_numbers=known)


def _of_npz(path: Path) -> dict[str, Tensor]:
    def member(name: str) -> NDArray[Any]:
        with np.load(path, allow_pickle=False) as archive:
            array: NDArray[Any] = archive[name]
            return array

    with np.load(path, allow_pickle=False) as archive:
        names = sorted(archive.files)
    return {name: of_array(partial(member, name)) for name in names}


def of_array(load: Callable[[], NDArray[Any]]) -> Tensor:
    """The tensor of an array that a function gives.

    Raises:
        ValueError: it holds Python objects.
    """
    array = load()
    kind, shape = array.dtype, array.shape
    if kind.hasobject:
        raise ValueError("it holds Python objects, which are never loaded")
    del array

    def read() -> NDArray[Any]:
        return load().reshape(-1).astype(kind.newbyteorder("<"), copy=False)

    return Tensor(type=kind.name, shape=shape, read=read, has_numbers=kind.name in _PLAIN)
