"""Raises while the model is loaded."""

from .wrapped import check

__all__ = ["check", "load"]


def load(*words: object) -> None:
    raise MemoryError("planted: no memory left while loading")
