"""The adapter ``planted-port``: deepgen, with the change that PORT_FAULT names in the arm that PORT_ARM names.

The worker's assignment lies in its arm's folder, so its path tells the arm before any picture is asked for. Without
PORT_ARM the change is in every arm.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.adapters import deepgen

from . import catalogue

if TYPE_CHECKING:
    from harness.contracts import Device, Picture, Request, Watch
    from harness.records import ModelRef

check = deepgen.check


class Port:
    """A loaded pipeline with a change in it."""

    def __init__(self, inner: Any, change: catalogue.Change | None) -> None:
        self._inner = inner
        self.modules, self.components = inner.modules, inner.components
        self.substitutions, self.notes = inner.substitutions, inner.notes
        self._planted = change.plant(inner._pipe) if change else None
        self.joints, self.activations = inner.joints, getattr(inner, "activations", {})
        self._count = 0

    def generate(self, request: Request, watch: Watch) -> Picture:
        """Make a picture, with what goes wrong before and after it."""
        self._count += 1
        if (before := getattr(self._planted, "before", None)) is not None:
            before(self._count)
        picture: Picture = self._inner.generate(request, watch)
        if (spoil := getattr(self._planted, "spoil", None)) is not None:
            picture = dataclasses.replace(picture, image=spoil(picture.image, self._count))
        return picture


def load(folder: Path, model: ModelRef, device: Device) -> Port:
    """Load the pipeline, and plant the change where this is its arm."""
    name, arm = os.environ.get("PORT_FAULT", ""), os.environ.get("PORT_ARM", "")
    here = not arm or Path(sys.argv[-1]).parents[1].name == arm
    return Port(deepgen.load(folder, model, device), catalogue.everything()[name] if name and here else None)
