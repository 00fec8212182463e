"""What generators of torch on the CPU would have drawn in the place of those of another device."""

from __future__ import annotations

from typing import Any

from harness.language import recorded
from harness.records import NoiseMode


class CpuStreams:
    """One stream of ``torch.Generator("cpu")`` for each generator of a device, as far as that was drawn from.

    A generator is known by the name of its state, so one that is seeded again, put back or copied gives again what it
    gave, as on the CPU. A state that no draw ended in is that of a generator that was just seeded.
    """

    def __init__(self) -> None:
        self._reached: dict[str, Any] = {}

    def draw(self, like: Any, normal_: Any, generator: Any, before: str) -> tuple[Any, Any]:
        """Numbers as ``like`` has them, drawn on the CPU, and the state that the CPU's generator is in afterwards.

        Args:
            like: tensor that the device drew; size, strides and type count, because torch's stream depends on them.
            normal_: called with a tensor and a generator, fills it as the device's tensor was filled.
            generator: the device's generator, by whose seed a new stream begins.
            before: name of the state that it had before it drew.
        """
        import torch

        stream = torch.Generator("cpu")
        if before in self._reached:
            stream.set_state(self._reached[before])
        else:
            stream.manual_seed(generator.initial_seed())
        return normal_(torch.empty_like(like, device="cpu"), stream), stream.get_state()

    def reach(self, after: str, state: Any) -> None:
        """Note to which state of the CPU's generator the device's state of this name belongs."""
        self._reached[after] = state


def noise_notes(noise: NoiseMode) -> list[str]:
    """What a record says of noise that depends on the build of torch: its version and instruction set here."""
    if noise is not NoiseMode.TORCH_CPU:
        return []
    import torch

    return [
        recorded(
            "noise: torch_cpu, the stream of torch.Generator('cpu') of torch {version} with the instruction set "
            "{capability}; it depends on both, so the digest of the noise decides what can be compared",
            version=str(torch.__version__),
            capability=torch.backends.cpu.get_cpu_capability(),
        )
    ]
