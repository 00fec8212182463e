"""A trace as one file that travels: safetensors with its records in the header, read here without torch.

The header has the SHA-256 of all bytes behind it, so a file that was cut or changed is not believed.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.errors import RecordError, UsageError
from harness.records.base import from_json, to_json
from harness.records.investigation import Forced, Trace

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

ENDING = ".trace"
"""How the name of a trace file ends."""
_TRACE, _FORCED, _DIGEST = "trace", "forced", "sha256"
_UNKNOWN = "0" * 64
"""Stands for the digest until the bytes are written."""
_LENGTH_BYTES = 8
_LARGEST_HEADER = 1 << 28
_PIECE = 1 << 20


class Stored(NamedTuple):
    """The records of a trace file."""

    trace: Trace
    """The reference's trace."""
    forced: Forced | None
    """What forcing a candidate with it measured; None in a reference's own file."""


def metadata(trace: Trace, forced: Forced | None = None) -> dict[str, str]:
    """What the header of a new file says, before ``write_digest`` makes it whole."""
    named = {_TRACE: to_json(trace), _DIGEST: _UNKNOWN}
    return named if forced is None else named | {_FORCED: to_json(forced)}


def read_trace_record(path: Path) -> Trace:
    """The record of a reference's trace file; its values are not looked at.

    Raises:
        RecordError: it is no trace file.
        UsageError: it is a candidate's.
    """
    return _of_reference(path, read_records(path))


def read_records(path: Path) -> Stored:
    """The records of a trace file; its values are not looked at.

    Raises:
        RecordError: it is no trace file.
    """
    with _opened(path) as stream:
        return _records(path, _metadata(path, _header(path, stream)))


def require_whole(path: Path) -> Trace:
    """The record of a reference's trace file whose values are those that it was written with.

    Raises:
        RecordError: it is no trace file, or it was cut or changed.
        UsageError: it is a candidate's.
    """
    with _opened(path) as stream:
        said = _metadata(path, _header(path, stream))
        if (actual := _digest(stream)) != (expected := said.get(_DIGEST)):
            raise RecordError(
                f"{path}: the SHA-256 of its values is {actual[:12]}, its header says {str(expected)[:12]}; the file "
                "was cut or changed. Copy it again, or trace the reference again."
            )
    return _of_reference(path, _records(path, said))


def write_digest(path: Path) -> None:
    """Put the digest of the values into a new file."""
    with path.open("r+b") as stream:
        place = _header(path, stream).index(_UNKNOWN.encode())
        digest = _digest(stream)
        stream.seek(_LENGTH_BYTES + place)
        stream.write(digest.encode())


def _of_reference(path: Path, stored: Stored) -> Trace:
    if stored.forced is not None:
        raise UsageError(
            f"{path} is what harness.trace wrote of a candidate, which cannot be a reference. harness explain {path} "
            "says what is in it."
        )
    return stored.trace


def _opened(path: Path) -> BinaryIO:
    if not path.is_file():
        raise RecordError(
            f"{path}: there is no such trace file. Write one with harness run SCENARIO --arm REFERENCE --trace, or in "
            "your own script with harness.trace(pipe, to=...)."
        )
    return path.open("rb")


def _records(path: Path, said: dict[str, Any]) -> Stored:
    if not isinstance(said.get(_TRACE), str):
        raise _no_trace(path)
    forced = from_json(Forced, str(said[_FORCED]), place=path) if _FORCED in said else None
    return Stored(from_json(Trace, said[_TRACE], place=path), forced)


def _metadata(path: Path, header: bytes) -> dict[str, Any]:
    try:
        said = json.loads(header)["__metadata__"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _no_trace(path) from error
    if not isinstance(said, dict):
        raise _no_trace(path)
    return said


def _header(path: Path, stream: BinaryIO) -> bytes:
    """The header; the stream stands where the values begin."""
    length = int.from_bytes(stream.read(_LENGTH_BYTES), "little")
    if not 0 < length <= _LARGEST_HEADER or len(header := stream.read(length)) != length:
        raise _no_trace(path)
    return header


def _digest(stream: BinaryIO) -> str:
    """SHA-256 of what is left of a stream."""
    state: Any = hashlib.sha256()
    while piece := stream.read(_PIECE):
        state.update(piece)
    return str(state.hexdigest())


def _no_trace(path: Path) -> RecordError:
    return RecordError(
        f"{path} is no trace file; expected one that harness run SCENARIO --arm REFERENCE --trace or harness.trace "
        "wrote. An interrupted one has a name that begins with a dot; trace again."
    )
