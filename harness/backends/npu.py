"""Huawei Ascend NPUs through torch_npu."""

from __future__ import annotations

import hashlib
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from harness.backends._torch import host_rng_state, module_memory, seed_host, setting, variable
from harness.contracts import Availability
from harness.errors import DeviceUnavailable
from harness.records import MemoryUse, Switch, SwitchMode

if TYPE_CHECKING:
    from collections.abc import Mapping

AUTO_RANK = 1

_VARIABLES = ("HCCL_DETERMINISTIC", "ASCEND_LAUNCH_BLOCKING", "ASCEND_RT_VISIBLE_DEVICES", "PYTHONHASHSEED")


def probe() -> Availability:
    """Say whether torch_npu sees a card, and why not."""
    try:
        installed = version("torch_npu")
    except PackageNotFoundError:
        return Availability(available=False, reason="torch_npu is not installed")
    try:
        return _found(installed)
    except Exception as error:  # noqa: BLE001 - a broken installation or driver raises whatever it likes
        reason = f"torch_npu {installed} cannot be used ({type(error).__name__}: {error})"
        return Availability(available=False, reason=f"{reason}; source the CANN set_env.sh and try again")


def _found(installed: str) -> Availability:
    import torch
    import torch_npu  # noqa: F401 - importing it registers torch.npu

    npu: Any = torch.npu  # type: ignore[attr-defined]
    if not npu.is_available():
        return Availability(available=False, reason=f"torch_npu {installed} finds no card; check with npu-smi info")
    return Availability(available=True, reason=str(npu.get_device_name(0)), device_count=int(npu.device_count()))


def start_environment(switches: SwitchMode) -> dict[str, str]:
    """Deterministic collectives for ``deterministic``; they are read when the driver starts."""
    if switches is SwitchMode.DETERMINISTIC:
        return {"HCCL_DETERMINISTIC": "true", "PYTHONHASHSEED": "0"}
    return {}


def open(index: int, switches: SwitchMode) -> NpuDevice:  # noqa: A001 - the contract's word for it
    """Open one card.

    Raises:
        DeviceUnavailable: there is no card of that index.
    """
    found = probe()
    if not found.available or not 0 <= index < found.device_count:
        raise DeviceUnavailable(f"npu:{index} is not there: {found.reason} ({found.device_count} devices).")
    return NpuDevice(index, switches)


class NpuDevice:
    """One card, opened."""

    simulated = False

    def __init__(self, index: int, switches: SwitchMode) -> None:
        import torch

        self.torch_device = f"npu:{index}"
        self._npu: Any = torch.npu  # type: ignore[attr-defined]
        self._npu.set_device(index)
        self.name = str(self._npu.get_device_name(index))
        self._deterministic = switches is SwitchMode.DETERMINISTIC
        self._requested = start_environment(switches)
        if self._deterministic:
            torch.use_deterministic_algorithms(True)  # noqa: FBT003 - torch's own signature
            self._npu.conv.allow_hf32 = False
            self._npu.matmul.allow_hf32 = False

    def seed(self, seed: int) -> None:
        """Seed every generator of the process and of all cards."""
        seed_host(seed)
        self._npu.manual_seed_all(seed)

    def rng_state(self) -> str:
        """Digest of the global generators of host and card."""
        state = self._npu.get_rng_state(self.torch_device).cpu().numpy().tobytes()
        return hashlib.sha256(state + host_rng_state().encode()).hexdigest()

    def synchronize(self) -> None:
        """Wait until the card has done all queued work."""
        self._npu.synchronize()

    def switches(self) -> list[Switch]:
        """Environment variables and torch settings, asked for and in force."""
        import torch

        on, off = (True, False) if self._deterministic else (None, None)
        return [
            *(variable(name, self._requested) for name in _VARIABLES),
            setting("torch.are_deterministic_algorithms_enabled", on, torch.are_deterministic_algorithms_enabled()),
            setting("torch_npu.npu.conv.allow_hf32", off, self._npu.conv.allow_hf32),
            setting("torch_npu.npu.matmul.allow_hf32", off, self._npu.matmul.allow_hf32),
        ]

    def memory(self, modules: Mapping[str, Any]) -> dict[str, MemoryUse]:
        """Bytes of each component, and the card's allocated memory with its peak as ``device``."""
        whole = MemoryUse(
            allocated_bytes=int(self._npu.memory_allocated()), peak_bytes=int(self._npu.max_memory_allocated())
        )
        return {**module_memory(modules), "device": whole}

    def reset_peak_memory(self) -> None:
        """Start a new peak."""
        self._npu.reset_peak_memory_stats()

    def facts(self) -> dict[str, str]:
        """CANN as torch_npu reports it."""
        import torch

        return {"cann": str(getattr(torch.version, "cann", None) or "not reported")}
