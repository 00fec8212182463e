"""What every backend does the same way, whatever the device."""

from __future__ import annotations

import hashlib
import os
import random
from typing import TYPE_CHECKING, Any, Literal

from harness.records import MemoryUse, Switch

if TYPE_CHECKING:
    from collections.abc import Mapping


def seed_host(seed: int) -> None:
    """Seed Python's, NumPy's and torch's CPU generators, and with torch's those of all its devices.

    NumPy's legacy generator takes 32 bits, so it gets the lower half of the seed.
    """
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed & 0xFFFF_FFFF)  # noqa: NPY002 - pipelines that draw from NumPy's global generator draw from this one
    torch.manual_seed(seed)


def host_rng_state() -> str:
    """Digest of the global generators of torch's CPU, NumPy and Python."""
    import numpy as np
    import torch

    state = hashlib.sha256(torch.get_rng_state().numpy().tobytes())
    legacy: Any = np.random.get_state()  # noqa: NPY002 - the generator that pipelines share is the legacy one
    state.update(legacy[1].tobytes() + str(legacy[2:]).encode())
    version, numbers, held_back = random.getstate()
    state.update(np.array(numbers, dtype=np.uint32).tobytes() + f"{version} {held_back}".encode())
    return state.hexdigest()


def module_memory(modules: Mapping[str, Any]) -> dict[str, MemoryUse]:
    """Bytes of the parameters and buffers of each torch module, and the device they are on."""
    return {
        name: MemoryUse(
            allocated_bytes=sum(tensor.numel() * tensor.element_size() for tensor in _tensors(module)),
            device=", ".join(sorted({str(tensor.device) for tensor in _tensors(module)})) or None,
        )
        for name, module in modules.items()
    }


def _tensors(module: Any) -> list[Any]:
    return [*module.parameters(), *module.buffers()]


_NEEDED = {"TORCH_DEVICE_BACKEND_AUTOLOAD", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"}
"""Variables that a backend sets whatever the scenario says."""


def variable(name: str, requested: Mapping[str, str]) -> Switch:
    """An environment variable as a switch: what was asked for before the start, and what is set now."""
    effective = os.environ.get(name)
    if name in requested:
        source: Literal["backend", "scenario"] = "backend" if name in _NEEDED else "scenario"
        return Switch(name=name, requested=requested[name], effective=effective, source=source)
    return Switch(
        name=name, requested=None, effective=effective, source="default" if effective is None else "environment"
    )


def setting(name: str, requested: object | None, effective: object) -> Switch:
    """A setting inside the process as a switch; ``requested`` is None where nothing was asked for."""
    return Switch(
        name=name,
        requested=None if requested is None else str(requested),
        effective=str(effective),
        source="default" if requested is None else "scenario",
    )
