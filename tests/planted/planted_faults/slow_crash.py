"""As slow as its sibling, and the first picture of the first process crashes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .slow import Fault as Slow
from .slow import first_process
from .toy import check

if TYPE_CHECKING:
    from harness.contracts import Picture, Request, Watch

__all__ = ["check", "load"]


class Fault(Slow):
    def generate(self, request: Request, watch: Watch) -> Picture:
        if not self.count and first_process():
            self.count += 1
            raise RuntimeError("planted: crashed once")
        return super().generate(request, watch)


load = Fault
