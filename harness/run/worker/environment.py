"""What a worker runs on: the host, the opened device and the settings in force."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING

from harness import variables
from harness.host import THREAD_VARIABLES, commit, describe_host
from harness.records import Environment, Switch
from harness.text import one_line, redact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.contracts import Device
    from harness.records import Arm, NpuOps


def describe(backend: str, device: Device, npu_ops: NpuOps | None, arm: Arm) -> Environment:
    """Everything about machine, packages, device and settings that bears on a number.

    The arm's threads and variables were set by the supervisor before the start, and are read back here.
    """
    return Environment(
        backend=backend,
        device=device.torch_device,
        device_name=device.name,
        simulated=device.simulated,
        npu_ops=npu_ops,
        facts=dict(device.facts()),
        switches=with_variables([*with_threads(device.switches(), arm.threads), *_own_variables(arm)]),
        commit=commit(),
        **asdict(describe_host()),
    )


def _own_variables(arm: Arm) -> list[Switch]:
    """Variables that the scenario sets for an arm."""
    return [
        Switch(name=name, requested=value, effective=os.environ.get(name), source="scenario")
        for name, value in arm.environment.items()
    ]


def with_threads(switches: Sequence[Switch], threads: int | None) -> list[Switch]:
    """The switches, with the number of CPU threads among them as the scenario asked for it."""
    if threads is None:
        return list(switches)
    asked = {"requested": str(threads), "source": "scenario"}
    known = {switch.name: switch for switch in switches}
    for name in THREAD_VARIABLES:
        known.setdefault(name, Switch(name=name, requested=None, effective=os.environ.get(name), source="scenario"))
    numbers = {*THREAD_VARIABLES, "torch.get_num_threads"}
    return [switch.model_copy(update=asked) if name in numbers else switch for name, switch in known.items()]


def with_variables(switches: Sequence[Switch]) -> list[Switch]:
    """The switches, and every other variable that is set and is known to change numbers."""
    listed = {switch.name for switch in switches}
    others = {name: value for name, value in variables.set_in(os.environ).items() if name not in listed}
    return [
        *switches,
        *(
            Switch(name=name, requested=None, effective=one_line(redact(value, os.environ)), source="environment")
            for name, value in others.items()
        ),
    ]
