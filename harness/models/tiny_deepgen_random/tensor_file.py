"""Writing of safetensors files without a library, so that their bytes depend on nothing but the tensors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from harness.models.tiny_deepgen_random.draws import Doubles

_ALIGNMENT = 8


def bfloat16_bytes(values: Doubles) -> bytes:
    """Little-endian bfloat16 of the values, rounded to nearest even by way of float32, as torch does it."""
    bits = values.astype("<f4").view("<u4")
    half = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    data: bytes = ((bits + half) >> np.uint32(16)).astype("<u2").tobytes()
    return data


def float32_bytes(values: Doubles) -> bytes:
    """Little-endian float32 of the values, rounded to nearest even."""
    return values.astype("<f4").tobytes()


_ENCODERS = {"BF16": bfloat16_bytes, "F32": float32_bytes}


def write_tensors(path: Path, tensors: Mapping[str, Doubles], dtype: str) -> int:
    """Write the tensors, sorted by name, as one safetensors file of ``dtype`` "BF16" or "F32"; return the data size.

    Raises:
        KeyError: ``dtype`` is neither of the two.
    """
    encode = _ENCODERS[dtype]
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    chunks: list[bytes] = []
    end = 0
    for name in sorted(tensors):
        chunk = encode(tensors[name])
        header[name] = {"dtype": dtype, "shape": list(tensors[name].shape), "data_offsets": [end, end + len(chunk)]}
        chunks.append(chunk)
        end += len(chunk)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(chunks))
    return end
