"""The values at the places of a reference's picture, kept on the host and in a file."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from harness.errors import RunError
from harness.host import available_memory_bytes
from harness.records.investigation import TracedPlace, Value
from harness.run.worker.places import Seen, Spot, spot_of
from harness.run.worker.values import named_tensors, tensors
from harness.trace_files import metadata, require_whole, write_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from harness.records.investigation import Forced, Trace

Kept = dict[Spot, list[Any]]
"""Tensors on the host by place."""
_RESULT = "result."
"""Begins the names of the arrays of the result in a trace file."""


def is_coarse(path: str) -> bool:
    """Whether a module or function is no part of a numbered block: a whole block itself, or what stands between.

    >>> is_coarse("transformer.blocks.2"), is_coarse("transformer.norm_out"), is_coarse("transformer.blocks.2.attn")
    (True, True, False)
    """
    *ancestors, _ = path.split(".")
    return not any(part.isdigit() for part in ancestors)


class Counting:
    """A visitor that counts the bytes that a trace of these steps will have, before any are kept."""

    def __init__(self, denoiser: str, steps: Collection[int], wanted: Callable[[str], bool] | None = None) -> None:
        self.bytes = 0
        """Size with all modules."""
        self.block_bytes = 0
        """Size with whole blocks alone."""
        self._inside = f"{denoiser}."
        self._denoiser = denoiser
        self._steps = steps
        self._wanted = wanted

    def __call__(self, seen: Seen) -> None:
        """Count the tensors of a place."""
        if self._denoiser and seen.spot.path.startswith(self._inside) and seen.spot.step not in self._steps:
            return
        if self._wanted is not None and not self._wanted(seen.spot.path):
            return
        size = sum(value.numel() * value.element_size() for value in tensors(seen.tree))
        self.bytes += size
        self.block_bytes += size if is_coarse(seen.spot.path) else 0


def require_place_for(size: int, most_bytes: int, folder: Path) -> None:
    """Refuse a trace for which there is not enough memory or disk, before anything is kept.

    Raises:
        RunError: says how much it takes, and what to do.
    """
    allowed = {
        "--max-gib": most_bytes,
        "half of the free memory": available_memory_bytes() // 2,  # the file is put together in memory
        "the free disk": shutil.disk_usage(folder).free,
    }
    for name, most in allowed.items():
        if size > most:
            raise RunError(
                f"the trace would have {size / 2**30:.3g} GiB; allowed are {most / 2**30:.3g} GiB, {name}. Keep fewer "
                "steps with --trace-steps first, or make room (--max-gib allows more)."
            )


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


def save_values(kept: Kept, path: Path) -> None:
    """Write the tensors as one file, under a hidden name first."""
    from safetensors.torch import save_file

    begun = path.with_name(f".{path.name}.part")
    save_file(dict(_numbered(kept)), begun)
    begun.replace(path)


def read_values(path: Path, counts: Mapping[Spot, int]) -> Kept:
    """The tensors of a file, by the places in the order in which they were written."""
    from safetensors.torch import load_file

    return _by_place(load_file(path), counts)


def save_trace(trace: Trace, kept: Kept, result: Mapping[str, NDArray[Any]], path: Path) -> Trace:
    """Write a trace with its values and the arrays of its result as one file; gives the record as it was written."""
    import torch

    size = sum(value.numel() * value.element_size() for values in kept.values() for value in values)
    trace = trace.model_copy(update={"tensors_bytes": size})
    arrays = {f"{_RESULT}{name}": torch.from_numpy(array) for name, array in result.items()}
    _write(dict(_numbered(kept)) | arrays, metadata(trace), path)
    return trace


def save_forced(trace: Trace, forced: Forced, kept: Kept, path: Path) -> None:
    """Write what forcing a candidate measured, with its wrong values, as one file."""
    _write(dict(_numbered(kept)), metadata(trace, forced), path)


def _write(tensors: dict[str, Any], header: dict[str, str], path: Path) -> None:
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    begun = path.with_name(f".{path.name}.part")
    save_file(tensors, begun, metadata=header)
    write_digest(begun)
    begun.replace(path)


def read_trace(path: Path) -> tuple[Trace, Kept]:
    """A stored trace with its values.

    Raises:
        RecordError: there is none, it was interrupted, or its values are not those that it was written with.
    """
    trace = require_whole(path)
    return trace, read_values(path, {spot_of(traced.place): len(traced.values) for traced in trace.places})


def read_result(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of the result that a trace file holds, by name."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as stored:
        names = [name for name in stored.keys() if name.startswith(_RESULT)]  # noqa: SIM118 - no mapping
        return {name.removeprefix(_RESULT): stored.get_tensor(name).numpy() for name in names}


def _numbered(kept: Kept) -> Iterator[tuple[str, Any]]:
    for number, values in enumerate(kept.values()):
        yield from ((f"{number}.{k}", value) for k, value in enumerate(values))


def _by_place(stored: Mapping[str, Any], counts: Mapping[Spot, int]) -> Kept:
    return {spot: [stored[f"{n}.{k}"] for k in range(count)] for n, (spot, count) in enumerate(counts.items())}
