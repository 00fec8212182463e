"""What a worker ran on: machine, packages, device and the settings in force."""

from __future__ import annotations

from typing import Any, Literal

from harness.records.base import Record, json_digest
from harness.records.enums import NpuOps


class Switch(Record):
    """One setting that bears on determinism or accuracy."""

    name: str
    """Environment variable or API."""
    requested: str | None
    """Value that was asked for; None when nothing was."""
    effective: str | None
    """Value read back in the worker after start; None when it is unset."""
    source: Literal["default", "scenario", "environment", "backend"]
    """Where the value comes from."""


class Environment(Record):
    """What the worker ran on; allow-listed names only, no serial numbers, tokens or home folders."""

    backend: str
    """Name of the backend."""
    device: str
    """Device as torch calls it."""
    device_name: str
    """Product name."""
    simulated: bool
    """Whether a stand-in library plays the device."""
    npu_ops: NpuOps | None = None
    """How calls to fused operators of torch_npu are answered; None in records from before this was asked."""
    facts: dict[str, str]
    """Versions and properties of driver, toolkit and chip."""
    packages: dict[str, str]
    """Versions of the packages that matter."""
    switches: list[Switch]
    """Settings that were in force."""
    python: str
    """Python version."""
    os: str
    """Operating system, kernel and architecture."""
    cpu: str
    """Processor name."""
    cpu_count: int
    """Processors this process may use."""
    memory_bytes: int
    """Main memory."""
    commit: str | None
    """Git commit of the working folder, with ``-dirty`` when it has changes."""

    @property
    def comparable(self) -> dict[str, Any]:
        """All that can move a number: not the commit, and not what a backend sets in either switch mode."""
        fields = self.model_dump(mode="json", exclude={"commit"})
        return fields | {"switches": [switch for switch in fields["switches"] if switch["source"] != "backend"]}

    @property
    def digest(self) -> str:
        """SHA-256 of all that can move a number."""
        return json_digest(self.comparable)
