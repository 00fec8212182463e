"""What accepting writes: the manifest of a baseline, and the image that a test is compared with."""

from __future__ import annotations

import hashlib
from typing import Literal

from pydantic import Field

from harness.records.base import Digest, Id, Reason, Record, to_json
from harness.records.environment import Environment
from harness.records.run import CaseKey

MANIFEST_FILE = "manifest.json"
"""Name of a baseline's manifest in its folder."""


class StoredFile(Record):
    """One file of a baseline."""

    path: str
    """Path below the baseline's folder, with ``/``."""
    sha256: Digest
    """SHA-256 of the file's bytes."""
    bytes: int
    """Size of the file."""


class AcceptedCase(Record):
    """What was accepted for one case and seed."""

    key: CaseKey
    """Case and seed."""
    noise_digest: Digest | None
    """SHA-256 over the digests of all draws, in their order; None where the noise is unverified."""
    modes: int
    """Number of distinct outcomes that were accepted."""
    runs: int
    """Number of samples they were seen in."""
    processes: int
    """Number of processes these were made in."""


class Manifest(Record):
    """Where a baseline comes from, who accepted it and why, and what each of its files holds."""

    schema_version: Literal[1] = 1
    """Version of this format."""
    scenario: Id
    """Name of the scenario."""
    scenario_digest: Digest
    """Digest of the scenario as it was written when the run was made."""
    arm: Id
    """Name of the arm."""
    model_digest: Digest
    """SHA-256 over the sorted names and digests of all files of the model."""
    code_digest: Digest
    """SHA-256 over the harness's code and the adapter's that made the run."""
    environment: Environment
    """What the run was made on."""
    run: str
    """Folder of the job and of the arm that was accepted."""
    accepted: list[AcceptedCase] = Field(min_length=1)
    """What was accepted, by case and seed."""
    who: str
    """Who accepted it."""
    why: str = Field(min_length=10)
    """Why it is right, or why it replaces the one before."""
    accepted_utc: str
    """When it was accepted, ISO 8601."""
    commit: str | None
    """Git commit of the folder in which it was accepted, with ``-dirty`` when it had changes."""
    files: list[StoredFile]
    """Every other file of the baseline, sorted by path."""

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest's file; people compare it by another channel."""
        return hashlib.sha256(to_json(self).encode()).hexdigest()

    @property
    def name(self) -> str:
        """Scenario and arm, as on the command line."""
        return f"{self.scenario}/{self.arm}"


class Acceptance(Record):
    """Who accepted a baseline, when and why, as its manifest says."""

    who: str
    """Who accepted it."""
    why: str
    """Why it is right, or why it replaces the one before."""
    accepted_utc: str
    """When it was accepted, ISO 8601."""


# --- pictures of tests -----------------------------------------------------------------------------------------------


class AcceptedImage(Record):
    """The image that a test is compared with; its pixels lie beside this record as a PNG."""

    schema_version: Literal[1] = 1
    """Version of this format."""
    test: str
    """Node id of the test, as pytest writes it."""
    label: str
    """Which of the test's pictures it is: its number, or the name that the test gives it."""
    digest: Digest
    """Digest of the pixels."""
    made: int
    """How often the picture was made, with equal bytes, when it was accepted: once is no evidence that it repeats."""
    who: str
    """Who accepted it."""
    why: Reason
    """Why the picture is right."""
    accepted_utc: str
    """When it was accepted."""
