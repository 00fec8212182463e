"""A CPU backend that asks for a switch and does not get it."""

from harness.backends import cpu
from harness.records import Switch, SwitchMode

AUTO_RANK = 99
probe = cpu.probe
start_environment = cpu.start_environment


class _Device(cpu.CpuDevice):
    def switches(self) -> list[Switch]:
        lost = Switch(name="PLANTED_SWITCH", requested="on", effective="off", source="scenario")
        return [*super().switches(), lost]


def open(index: int, switches: SwitchMode) -> _Device:  # noqa: A001 - the contract's word for it
    del index
    return _Device(switches)
