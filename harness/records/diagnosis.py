"""What doctor says about a machine."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from harness.records.base import Record


class Severity(StrEnum):
    """How much a finding about the machine matters, worst first."""

    BLOCKED = "blocked"
    """The wanted device cannot be used before this is dealt with."""
    WARNING = "warning"
    """Work goes on, but something is not as it should be."""
    HARMLESS = "harmless"
    """Looks like a fault and is none, or is only worth knowing."""
    OK = "ok"
    """As it should be."""


class Finding(Record):
    """One thing that was looked at."""

    name: str
    """What it is about."""
    severity: Severity
    """How much it matters."""
    changes_numbers: bool = False
    """Whether results may differ because of it."""
    observed: str
    """What was found, and where."""
    expected: str = ""
    """What is allowed; empty where there is nothing to compare it with."""
    next_step: str = ""
    """What to do; empty where nothing is to be done."""


class Diagnosis(Record):
    """What doctor says about a machine."""

    schema_version: Literal[1] = 1
    """Version of this format."""
    wanted: str
    """Device that was asked for."""
    summary: str
    """The whole in one sentence."""
    findings: list[Finding]
    """All findings, worst first."""

    def exit_code(self, *, strict: bool) -> int:
        """3 where something is blocked; with ``strict``, 1 for a warning that changes numbers; else 0."""
        if any(finding.severity is Severity.BLOCKED for finding in self.findings):
            return 3
        changed = any(finding.severity is Severity.WARNING and finding.changes_numbers for finding in self.findings)
        return 1 if strict and changed else 0
