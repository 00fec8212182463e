"""Writes the tensors of a file of torch as safetensors, in a process of its own; no object of the file is run.

``python -m harness.run.worker.torch_file SOURCE DESTINATION`` ends in 0, or in 2 with a reason on standard error.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_TYPES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint64": "U64",
    "uint32": "U32",
    "uint16": "U16",
    "uint8": "U8",
    "bool": "BOOL",
}


def main(words: list[str]) -> int:
    """Do it."""
    import torch

    source, destination = words
    try:
        held = torch.load(source, map_location="cpu", weights_only=True, mmap=_is_zip(Path(source)))
        write(dict(tensors(held)), Path(destination))
    except Exception as error:  # noqa: BLE001 - whatever torch says of the file is the reason
        sys.stderr.write(f"{type(error).__name__}: {error}".splitlines()[0] + "\n")
        return 2
    return 0


def tensors(held: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every tensor in dictionaries and lists, with its keys and places joined by dots; one alone is ``tensor``.

    Raises:
        ValueError: something else is in it.
    """
    import torch

    if isinstance(held, torch.Tensor):
        yield name or "tensor", held
        return
    if not isinstance(held, dict | list | tuple):
        if isinstance(held, str | int | float | bool | None):
            return
        raise ValueError(f"{name or 'the file'} holds {type(held).__name__}, which is no tensor")
    for key, value in held.items() if isinstance(held, dict) else enumerate(held):
        yield from tensors(value, f"{name}.{key}" if name else str(key))


def write(named: dict[str, Any], path: Path) -> None:
    """Write tensors as safetensors, one after the other, so that one at a time is in memory.

    Raises:
        ValueError: one has a type or a layout that such a file cannot hold.
    """
    import torch

    header, place = {}, 0
    for name, tensor in named.items():
        kind = str(tensor.dtype).removeprefix("torch.")
        if kind not in _TYPES or tensor.layout is not torch.strided:
            raise ValueError(
                f"{name} has type {kind} and layout {tensor.layout}; allowed are dense {', '.join(_TYPES)}"
            )
        size = tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": _TYPES[kind],
            "shape": list(tensor.shape),
            "data_offsets": [place, place + size],
        }
        place += size
    start = json.dumps(header).encode()
    with path.open("wb") as stream:
        stream.write(len(start).to_bytes(8, "little") + start)
        for tensor in named.values():
            row = tensor.detach().contiguous().reshape(-1)
            stream.write(row.view(torch.uint8).numpy().data if row.numel() else b"")


def _is_zip(path: Path) -> bool:
    """Whether torch can map the file into memory: files of its first format it cannot."""
    with path.open("rb") as stream:
        return stream.read(4) == b"PK\x03\x04"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
