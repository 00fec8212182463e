"""The second picture of the first process differs by one bit, then it is killed; the next process makes no fault."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from .slow import first_process
from .toy import Toy, check
from .wrapped import flipped

if TYPE_CHECKING:
    from harness.contracts import Picture, Request, Watch

__all__ = ["check", "load"]


class Fault(Toy):
    def generate(self, request: Request, watch: Watch) -> Picture:
        picture = super().generate(request, watch)
        return flipped(picture) if first_process() and self.count == 2 else picture

    def before(self) -> None:
        if first_process() and self.count == 3:
            os.kill(os.getpid(), signal.SIGKILL)


load = Fault
