"""A score that knows degrees: the mean level of a picture over the largest."""

from __future__ import annotations

from typing import Any

from harness.contracts import Scored

SPEC = "planted-degrees:1"


def score(image: Any, *, prompt: str, input_image: Any) -> Scored:
    return Scored(value=float(image.mean()) / 255)
