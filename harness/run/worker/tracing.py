"""The values at the places of a reference's picture, kept on the host and in a file."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from harness.errors import RecordError, RunError
from harness.records import read_record
from harness.records.investigation import TENSORS_FILE, TRACE_FILE, Trace, TracedPlace, Value
from harness.run.worker.places import Seen, Spot, spot_of
from harness.run.worker.values import named_tensors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

Kept = dict[Spot, list[Any]]
"""Tensors on the host by place."""


class Keeping:
    """A visitor that keeps what passes, up to a size."""

    def __init__(self, most_bytes: int, wanted: Callable[[Spot], bool] = lambda _: True) -> None:
        self.kept: Kept = {}
        self.places: list[TracedPlace] = []
        self._most_bytes = most_bytes
        self._bytes = 0
        self._wanted = wanted

    def __call__(self, seen: Seen) -> None:
        """Keep the tensors of a place.

        Raises:
            RunError: there is more than was allowed.
        """
        if not self._wanted(seen.spot):
            return
        named = named_tensors(seen.tree, seen.names)
        self.kept[seen.spot] = [value.to("cpu", copy=True).contiguous() for _, value in named]
        self._bytes += sum(value.numel() * value.element_size() for _, value in named)
        if self._bytes > self._most_bytes:
            raise RunError(
                f"the trace is larger than {self._most_bytes / 2**30:.1f} GiB at {seen.spot.path}, step "
                f"{seen.spot.step}. Keep fewer steps with --trace-steps first, or allow more with --max-gib."
            )
        values = [_described(name, value) for name, value in named]
        self.places.append(TracedPlace(place=seen.spot.place, caller=seen.caller, values=values))


def _described(name: str, value: Any) -> Value:
    return Value(name=name, dtype=str(value.dtype).removeprefix("torch."), shape=list(value.shape))


def save_values(kept: Kept, path: Path) -> tuple[str, int]:
    """Write the tensors as one file, under a hidden name first; gives its SHA-256 and size."""
    from safetensors.torch import save_file

    begun = path.with_name(f".{path.name}.part")
    save_file({f"{n}.{k}": v for n, values in enumerate(kept.values()) for k, v in enumerate(values)}, begun)
    begun.replace(path)
    return sha256_of_file(path), path.stat().st_size


def sha256_of_file(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_trace(folder: Path) -> tuple[Trace, Kept]:
    """A stored trace with its values.

    Raises:
        RecordError: there is none, it was interrupted, or its values are not those that it was written with.
    """
    trace = read_record(Trace, folder / TRACE_FILE)
    path = folder / TENSORS_FILE
    if not path.is_file() or sha256_of_file(path) != trace.tensors_sha256:
        raise RecordError(
            f"{path} does not hold the values that {TRACE_FILE} was written with: the file is missing, cut or changed. "
            "Trace the reference again."
        )
    return trace, read_values(path, {spot_of(traced.place): len(traced.values) for traced in trace.places})


def read_values(path: Path, counts: Mapping[Spot, int]) -> Kept:
    """The tensors of a file, by the places in the order in which they were written."""
    from safetensors.torch import load_file

    stored = load_file(path)
    return {spot: [stored[f"{n}.{k}"] for k in range(count)] for n, (spot, count) in enumerate(counts.items())}
