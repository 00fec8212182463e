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


class ProgressReporter:
    """What a job says while it works; the command line overrides what it wants to show."""

    def on_run_start(self, plan: Plan, device: ChosenDevice) -> None:
        """An arm is about to run."""

    def on_note(self, message: str) -> None:
        """Something ought to be known before the work begins."""

    def on_resume(self, folder: Path) -> None:
        """An interrupted job is resumed."""

    def on_event(self, event: Event) -> None:
        """A worker said something."""

    def on_scenario_end(self, message: str) -> None:
        """One of several scenarios has ended."""

    def on_run_end(self, run: Run) -> None:
        """An arm has run."""
