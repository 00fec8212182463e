"""What happens inside one call of a pipeline: stages with their times and memory, and tensors on the way."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from harness.language import recorded
from harness.records import PADDED_ROWS, REAL_ROWS, MemoryUse, Schedule, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from harness.contracts import Device

PROJECTIONS = 16


class NotFinite(NamedTuple):
    """Values that are NaN or infinite, where they were first seen."""

    place: str
    """Denoising step or module, in words."""
    broken: int
    """Number of such values."""
    total: int
    """Number of all values there."""


class Recorder:
    """Listens to an adapter while it makes one picture; the heavy part of its work is done after the call."""

    def __init__(self, device: Device, on_step: Callable[[int], None]) -> None:
        self.seconds: dict[str, float] = {}
        self.memory: dict[str, MemoryUse] = {}
        self.table: Schedule | None = None
        self.ignored: list[str] = []
        self.given: Callable[[Any], None] = lambda _: None
        """Who wants to know which generator the pipeline is given: the log of draws."""
        self._device = device
        self._on_step = on_step
        self._latents: list[Any] = []
        self._rows: list[tuple[str, Any, Any]] = []
        self._decoded: list[tuple[str, Any, int]] = []
        self._open_peaks: list[int] = []

    def generator(self, generator: Any) -> None:
        """Tell the log of draws which generator the pipeline is given."""
        self.given(generator)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of the block to a stage, queued device work included, and read the memory at its end.

        A device keeps one peak. It is read and reset wherever a stage begins or ends, so that each stage has a peak of
        its own, and one that encloses others has the largest of theirs.
        """
        self._device.synchronize()
        self._take_peak()
        self._open_peaks.append(0)
        begin = time.perf_counter()
        try:
            yield
        finally:
            self._device.synchronize()
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begin
            whole = self._take_peak()
            peak = self._open_peaks.pop()
            if whole is not None:
                known = self.memory.get(name)
                peaks = [peak, known.peak_bytes or 0] if known else [peak]
                self.memory[name] = whole.model_copy(update={"peak_bytes": max(peaks) or None})

    def _take_peak(self) -> MemoryUse | None:
        """Read the device's memory, let every open stage know the peak, and begin a new one."""
        whole = self._device.memory({}).get("device")
        if whole is not None:
            self._open_peaks = [max(peak, whole.peak_bytes or 0) for peak in self._open_peaks]
            self._device.reset_peak_memory()
        return whole

    def rows(self, name: str, values: Any, real: Any) -> None:
        """Keep a tensor [batch, rows, width] and which of its rows are real; they are told apart after the call."""
        self._rows.append((name, values.detach().clone(), real.detach().clone()))

    def traces(self) -> dict[str, list[Step]]:
        """Digest and sketch of the real rows and of the padded rows of every kept tensor, call by call."""
        traced: dict[str, list[Step]] = {}
        for name, values, real in self._rows:
            values, real = values.to("cpu"), real.to("cpu").bool()  # noqa: PLW2901 - the same, on the host
            for rows, chosen in ((REAL_ROWS, real), (PADDED_ROWS, ~real)):
                if chosen.any():
                    traced.setdefault(f"{name}{rows}", []).append(_step(values[chosen]))
        return traced

    def without_effect(self, words: str) -> None:
        """Keep what was said of a setting that changed nothing, once."""
        if words not in self.ignored:
            self.ignored.append(words)

    def schedule(self, timesteps: Any, sigmas: Any) -> None:
        """Keep the scheduler's table; the last one that is told counts."""
        levels = [] if sigmas is None else sigmas.tolist()
        self.table = Schedule(timesteps=timesteps.tolist(), sigmas=levels)

    def step(self, latents: Any) -> None:
        """Keep the latents of a step on the device; they are read after the call so as not to hold it up."""
        self._latents.append(latents.detach().clone())
        self._on_step(len(self._latents))

    def decoded(self, module: str, output: Any) -> None:
        """Count on the device what is not finite in a decoder's output; the count is read after the call."""
        self._decoded += [(module, _not_finite(tensor), tensor.numel()) for tensor in _tensors(output)]

    def not_finite(self) -> NotFinite | None:
        """Where values that are no numbers were first seen: in the latents of a step, else in a decoder's output."""
        for number, latents in enumerate(self._latents, 1):
            if count := int(_not_finite(latents)):
                place = recorded("the latents after step {step:d}", step=number)
                return NotFinite(place, count, latents.numel())
        for module, count, total in self._decoded:
            if int(count):
                return NotFinite(recorded("the output of {module:s}", module=module), int(count), total)
        return None

    def per_step(self, image: int = 0, images: int = 1) -> list[Step]:
        """Digest and sketch of the latents after every step, of one image of a call that makes several."""
        return [_step(_part(latents, image, images)) for latents in self._latents]

    def last_latents(self, image: int = 0, images: int = 1) -> tuple[NDArray[np.float32], str] | None:
        """Latents after the last step as float32, exact for types of up to 32 bits, and the type of the computation."""
        if not self._latents:
            return None
        last = self._latents[-1]
        return _as_float32(_part(last, image, images)), str(last.dtype).removeprefix("torch.")


def _part(latents: Any, image: int, images: int) -> Any:
    """The latents of one image, counted from 0; all of them where their first axis does not count the images.

    Then a difference in any image is one in each of them: more is called different than is, never less.
    """
    return latents[image : image + 1] if images > 1 and latents.shape[0] == images else latents


def _not_finite(tensor: Any) -> Any:
    """Number of values that are NaN or infinite, as a tensor on its device."""
    import torch

    return tensor.numel() - torch.isfinite(tensor).sum()


def _tensors(output: Any) -> Iterator[Any]:
    """All tensors with a floating type in an output, which may be a tensor, a sequence, a mapping or an object."""
    import torch

    if isinstance(output, torch.Tensor):
        if output.is_floating_point():
            yield output.detach()
    elif isinstance(output, Mapping):
        for value in output.values():
            yield from _tensors(value)
    elif isinstance(output, list | tuple):
        for value in output:
            yield from _tensors(value)
    elif hasattr(output, "__dict__"):
        for value in vars(output).values():
            if isinstance(value, torch.Tensor | list | tuple | Mapping):
                yield from _tensors(value)


def _step(tensor: Any) -> Step:
    return Step(digest=_digest(tensor), sketch=_sketch(_as_float32(tensor)), shape=list(tensor.shape))


def _as_float32(tensor: Any) -> NDArray[np.float32]:
    import torch

    array: NDArray[np.float32] = tensor.to(device="cpu", dtype=torch.float32).contiguous().numpy()
    return array


def _digest(tensor: Any) -> str:
    """SHA-256 of a tensor as it is, so that wider types than float32 are told apart to the last bit as well."""
    import torch

    data = tensor.to(device="cpu").contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    return hashlib.sha256(f"{tensor.dtype} {list(tensor.shape)}\n".encode() + data).hexdigest()


def _sketch(latents: NDArray[np.float32]) -> list[float]:
    flat = latents.reshape(-1)
    with np.errstate(all="ignore"):  # latents that are not finite are the finding, not a reason to warn
        projections = _signs(flat.size) @ flat / np.float32(np.sqrt(flat.size))
        summary = [np.linalg.norm(flat), flat.mean(), flat.min(), flat.max(), *projections]
    return [float(value) for value in summary]


@lru_cache(maxsize=4)
def _signs(size: int) -> NDArray[np.float32]:
    bits = np.random.Philox(key=np.array([0, 0], dtype=np.uint64)).random_raw(PROJECTIONS * size)
    return np.where(bits >> np.uint64(63), np.float32(1), np.float32(-1)).reshape(PROJECTIONS, size)
