"""Every process but the one that begins first has one bit turned over, as where a cache is warm for who comes later."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .toy import Toy, check
from .wrapped import flipped

if TYPE_CHECKING:
    from harness.contracts import Picture, Request, Watch

__all__ = ["check", "load"]


class Fault(Toy):
    def __init__(self, *words: Any) -> None:
        super().__init__(*words)
        self.is_late = not begins_first()

    def generate(self, request: Request, watch: Watch) -> Picture:
        picture = super().generate(request, watch)
        return flipped(picture) if self.is_late else picture


def begins_first() -> bool:
    """Whether no other process of this arm has asked before."""
    try:
        Path(sys.argv[-1]).with_name("begun").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


load = Fault
