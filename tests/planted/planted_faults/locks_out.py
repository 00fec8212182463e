"""Puts a file where the job's report folder belongs, so that the system refuses to write the report."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .toy import Toy, check

if TYPE_CHECKING:
    from harness.contracts import Picture, Request, Watch

__all__ = ["check", "load"]


class Fault(Toy):
    def generate(self, request: Request, watch: Watch) -> Picture:
        job = Path(sys.argv[-1]).parents[2]
        (job / "report").write_text("planted", encoding="utf-8")
        return super().generate(request, watch)


load = Fault
