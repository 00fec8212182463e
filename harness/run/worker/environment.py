"""What a worker runs on: the host, the opened device and the settings in force."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from harness.host import commit, describe_host
from harness.records import Environment

if TYPE_CHECKING:
    from harness.contracts import Device
    from harness.records import NpuOps


def describe(backend: str, device: Device, npu_ops: NpuOps | None) -> Environment:
    """Everything about machine, packages, device and settings that bears on a number."""
    return Environment(
        backend=backend,
        device=device.torch_device,
        device_name=device.name,
        simulated=device.simulated,
        npu_ops=npu_ops,
        facts=dict(device.facts()),
        switches=list(device.switches()),
        commit=commit(),
        **asdict(describe_host()),
    )
