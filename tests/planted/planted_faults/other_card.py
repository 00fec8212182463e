"""Asks for a card that is not there, in the middle of its work."""

from __future__ import annotations

from .toy import Toy, check

__all__ = ["check", "load"]


class Fault(Toy):
    """Puts a tensor on the eighth card before every picture."""

    def before(self) -> None:
        import torch

        torch.ones(3, device="npu:7")


load = Fault
