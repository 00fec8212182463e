"""What a job says while it works."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from harness.records import (
        Plan,
        Run,
    )
    from harness.run.events import Event
    from harness.run.supervisor import (
        ChosenDevice,
    )


class Teller:
    """What a job says while it works; the door overrides what it wants to show."""

    def planned(self, plan: Plan, device: ChosenDevice) -> None:
        """An arm is about to run."""

    def noticed(self, words: str) -> None:
        """Something ought to be known before the work begins."""

    def resumed(self, folder: Path) -> None:
        """An interrupted job is resumed."""

    def heard(self, event: Event) -> None:
        """A worker said something."""

    def concluded(self, words: str) -> None:
        """One of several scenarios has ended."""

    def ran(self, run: Run) -> None:
        """An arm has run."""
