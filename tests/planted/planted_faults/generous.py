"""A score that gives more than there is."""

from __future__ import annotations

from typing import Any

from harness.contracts import Scored

SPEC = "planted-generous:1"


def score(image: Any, *, prompt: str, input_image: Any) -> Scored:
    return Scored(value=1.5)
