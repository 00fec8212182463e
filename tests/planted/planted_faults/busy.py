"""A CPU backend whose device cannot be opened by the first process of a run."""

from harness.backends import cpu
from harness.errors import DeviceUnavailable
from harness.records import SwitchMode

from .slow import first_process

AUTO_RANK = 99
probe = cpu.probe
start_environment = cpu.start_environment


def open(index: int, switches: SwitchMode) -> cpu.CpuDevice:  # noqa: A001 - the contract's word for it
    if first_process():
        raise DeviceUnavailable("planted: the device is in use by another process")
    return cpu.open(index, switches)
