"""What laying pictures out for a benchmark writes, so that its results find their way back."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from harness.records.base import Digest, Id, Record
from harness.records.run import CaseKey


class ExportedPicture(Record):
    """One picture that a benchmark is given."""

    place: str
    """What the benchmark's results call it."""
    key: CaseKey
    """Case and seed."""
    sample: str
    """Sample that it is of, such as ``p0r0``: the first one that was made."""
    image_digest: Digest
    """SHA-256 of the picture's array."""


class Export(Record):
    """Pictures of one run as a benchmark wants them."""

    schema_version: Literal[1] = 1
    """Version of this format."""
    benchmark: str
    """Name of the benchmark."""
    scenario: Id
    """Name of the scenario."""
    arm: Id
    """Name of the arm."""
    run: str
    """Run that made the pictures: folder of the job and of the arm."""
    items: int
    """Number of items in the benchmark's list."""
    pictures: list[ExportedPicture]
    """Every picture, in the order of cases and seeds."""
    left_out: list[CaseKey] = Field(default_factory=list)
    """Cases and seeds of the run without a picture."""
