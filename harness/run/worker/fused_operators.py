"""Who answers when a library calls a fused operator of torch_npu: the card, the reference kernels, or nobody."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from harness.errors import DeviceUnavailable
from harness.records import NpuOps
from harness.run.worker.npu_operators import answer_by_reference, hide_torch_npu

if TYPE_CHECKING:
    from harness.run.worker.npu_operators import Calls


class FusedOperators:
    """The way fused operators are answered in this process.

    Libraries such as diffusers choose them because torch_npu is installed, wherever a tensor is; without an
    arrangement a CPU run on an NPU host ends in NotImplementedError.
    """

    def __init__(self, backend: str, wanted: NpuOps | None) -> None:
        self._wanted = wanted
        self._calls: Calls | None = None
        if backend == "npu":
            self.answered = NpuOps.NATIVE
        elif not _installed():
            self.answered = NpuOps.ABSENT
        else:
            self.answered = wanted or NpuOps.HIDDEN

    def arrange(self) -> None:
        """Bring the arrangement into force; to be called before anything imports torch.

        Raises:
            DeviceUnavailable: reference kernels were asked for, and there is no torch_npu whose operators they could
                answer.
        """
        if self._wanted is NpuOps.REFERENCE and self.answered is NpuOps.ABSENT:
            raise DeviceUnavailable(
                "npu_ops: reference was asked for, but torch_npu is not installed here, so libraries take their plain "
                "branches and no fused operator is ever called. Use npu_ops: hidden, or run this arm on the NPU host."
            )
        if self.answered is NpuOps.REFERENCE:
            self._calls = answer_by_reference()
        elif self.answered is NpuOps.HIDDEN:
            hide_torch_npu()

    def take_calls(self) -> dict[str, int]:
        """How often a reference kernel answered since this was last asked, by operator."""
        return self._calls.take() if self._calls else {}


def _installed() -> bool:
    try:
        version("torch_npu")
    except PackageNotFoundError:
        return False
    return True
