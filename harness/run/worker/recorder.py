"""What happens inside one call of a pipeline: stages with their times, and the latents after each step."""

from __future__ import annotations

import hashlib
import time
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.records import MemoryUse, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from harness.contracts import Device

PROJECTIONS = 16


class Recorder:
    """Listens to an adapter while it makes one picture; the heavy part of its work is done after the call."""

    def __init__(self, device: Device, on_step: Callable[[int], None]) -> None:
        self.seconds: dict[str, float] = {}
        self.memory: dict[str, MemoryUse] = {}
        self._device = device
        self._on_step = on_step
        self._latents: list[Any] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of the block to a stage, queued device work included, and read the memory at its end."""
        self._device.synchronize()
        begin = time.perf_counter()
        try:
            yield
        finally:
            self._device.synchronize()
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begin
            if (whole := self._device.memory({}).get("device")) is not None:
                self.memory[name] = whole

    def step(self, latents: Any) -> None:
        """Keep the latents of a step on the device; they are read after the call so as not to hold it up."""
        self._latents.append(latents.detach().clone())
        self._on_step(len(self._latents))

    def per_step(self) -> list[Step]:
        """Digest and sketch of the latents after every step."""
        return [Step(digest=_digest(latents), sketch=_sketch(_as_float32(latents))) for latents in self._latents]

    def last_latents(self) -> tuple[NDArray[np.float32], str] | None:
        """Latents after the last step as float32, exact for types of up to 32 bits, and the type of the computation."""
        if not self._latents:
            return None
        return _as_float32(self._latents[-1]), str(self._latents[-1].dtype).removeprefix("torch.")


def _as_float32(tensor: Any) -> NDArray[np.float32]:
    import torch

    array: NDArray[np.float32] = tensor.to(device="cpu", dtype=torch.float32).contiguous().numpy()
    return array


def _digest(latents: Any) -> str:
    """SHA-256 of the latents as they are, so that wider types than float32 are told apart to the last bit as well."""
    import torch

    data = latents.to(device="cpu").contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    return hashlib.sha256(f"{latents.dtype} {list(latents.shape)}\n".encode() + data).hexdigest()


def _sketch(latents: NDArray[np.float32]) -> list[float]:
    flat = latents.reshape(-1)
    with np.errstate(all="ignore"):  # latents that are not finite are the finding, not a reason to warn
        projections = _signs(flat.size) @ flat / np.float32(np.sqrt(flat.size))
        summary = [np.linalg.norm(flat), flat.mean(), flat.min(), flat.max(), *projections]
    return [float(value) for value in summary]


@lru_cache(maxsize=2)
def _signs(size: int) -> NDArray[np.float32]:
    bits = np.random.Philox(key=np.array([0, 0], dtype=np.uint64)).random_raw(PROJECTIONS * size)
    return np.where(bits >> np.uint64(63), np.float32(1), np.float32(-1)).reshape(PROJECTIONS, size)
