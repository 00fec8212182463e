"""Raises in the middle of the second picture, with things in the message that must not be published."""

from pathlib import Path

from .wrapped import Wrapped, check

__all__ = ["check", "load"]


class Fault(Wrapped):
    def before(self) -> None:
        if self.count == 2:
            raise RuntimeError(f"planted crash in {Path.home()}/model with hf_abcdefghijklmnopqrstuvwxyz \x1b[31mred")


load = Fault
