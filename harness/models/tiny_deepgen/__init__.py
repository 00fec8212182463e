"""A DeepGen-1.0 of two million parameters, trained to draw coloured shapes and signs: ``builtin:tiny-deepgen``.

Its model card is ``checkpoint/README.md``; the folder ``training`` of the repository made the weights.
"""

from __future__ import annotations

from pathlib import Path

from harness.models._deepgen import FILES as SHARED
from harness.models._deepgen import checkpoint_digest, copy_files

__all__ = ["DIGEST", "SUMMARY", "build", "checkpoint_digest"]

SUMMARY = "A tiny trained DeepGen-1.0 (text to picture, editing): coloured shapes, signs, and edits of them."

DIGEST = "2f8d5cc55344c23493f43626323037cfdc3cb4c364937b385f71de814b842ab2"


def build(destination: Path) -> None:
    """Copy the checkpoint into the empty folder ``destination``."""
    copy_files(SHARED, destination)
    copy_files(Path(__file__).parent / "checkpoint", destination)
