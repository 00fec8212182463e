"""What a backend does in an interpreter of its own: run with its name, a mode and an index, it writes JSON.

python backend_witness.py probe NAME...
python backend_witness.py open NAME MODE INDEX
"""

from __future__ import annotations

import json
import random
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from harness import plugins
from harness.errors import DeviceUnavailable
from harness.records import SwitchMode

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.contracts import Device


def probed(names: list[str]) -> dict[str, Any]:
    return {name: asdict(plugins.load("backends", name).probe()) for name in names}


def opened(name: str, mode: str, index: str) -> dict[str, Any]:
    try:
        device = plugins.load("backends", name).open(int(index), SwitchMode(mode))
    except DeviceUnavailable as error:
        return {"unavailable": str(error)}
    return {
        "torch_device": device.torch_device,
        "name": device.name,
        "simulated": device.simulated,
        "switches": [switch.model_dump(mode="json") for switch in device.switches()],
        "facts": dict(device.facts()),
        "generators": {name: behaviour(draw, device) for name, draw in draws(device).items()},
        "memory": memory(device),
        "peaks": peaks(device),
    }


def draws(device: Device) -> dict[str, Callable[[], list[float]]]:
    """One draw from each global generator that a pipeline could use."""
    import numpy as np
    import torch

    return {
        "torch": lambda: torch.rand(4).tolist(),
        "torch on the device": lambda: torch.rand(4, device=device.torch_device).tolist(),
        "numpy": lambda: np.random.rand(4).tolist(),  # noqa: NPY002 - the generator that pipelines share
        "python": lambda: [random.random() for _ in range(4)],  # noqa: S311 - no secret
    }


def behaviour(draw: Callable[[], list[float]], device: Device) -> dict[str, Any]:
    """What a generator gives, and how the digest of all states goes along."""
    device.seed(5)
    seeded, first, drawn = device.rng_state(), draw(), device.rng_state()
    device.seed(5)
    seeded_again, again = device.rng_state(), draw()
    device.seed(2**63 - 1)
    return {
        "values": first,
        "values again": again,
        "values of another seed": draw(),
        "states": {"seeded": seeded, "drawn": drawn, "seeded again": seeded_again},
    }


def memory(device: Device) -> dict[str, Any]:
    import torch

    shared = torch.nn.Linear(3, 5)  # 20 values of 4 bytes
    modules = {
        "shared": torch.nn.ModuleList([shared, shared]).to(device.torch_device),
        "half": torch.nn.Linear(5, 7, dtype=torch.bfloat16).to(device.torch_device),  # 42 values of 2 bytes
        "buffers": torch.nn.BatchNorm1d(7).to(device.torch_device),  # 28 values of 4 bytes, and a counter of 8
        "empty": torch.nn.Identity(),
    }
    return {name: use.model_dump(mode="json") for name, use in device.memory(modules).items()}


def peaks(device: Device) -> dict[str, int | None]:
    """Peak of the device with a large tensor gone, and with the peak reset after that."""
    import torch

    torch.ones(64 * 2**20, device=device.torch_device).sum()  # 256 MiB
    device.synchronize()
    before = device.memory({})["device"].peak_bytes
    device.reset_peak_memory()
    return {"before": before, "after": device.memory({})["device"].peak_bytes}


if __name__ == "__main__":
    what, *words = sys.argv[1:]
    sys.stdout.write(json.dumps(probed(words) if what == "probe" else opened(*words)))
