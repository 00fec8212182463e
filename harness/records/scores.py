"""What scoring writes: the scores of single pictures and of arms, and whether two sides are equivalent by them."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from harness.records.base import Digest, Id, Number, Record, Text, Version
from harness.records.baseline import StoredFile
from harness.records.enums import Task
from harness.records.run import CaseKey


class Score(Record):
    """One score of one picture."""

    score: str
    """Name of the score."""
    key: CaseKey
    """Case and seed."""
    image_digest: Digest
    """SHA-256 of the picture's array."""
    samples: list[str]
    """Samples that gave this picture, such as ``p0r0``, in order."""
    value: Number | None
    """From 0 (wrong) to 1 (right); None when the score has no value for this picture."""
    parts: dict[str, Number] = Field(default_factory=dict)
    """Numbers from 0 to 1 behind the value, such as one per rule."""
    words: str = ""
    """Why the value is not 1."""
    problem: Text = ""
    """Why there is no value."""


class ScoreTotal(Record):
    """One score over the pictures of one arm, of which each case and seed counts once: repeats are no new pictures."""

    score: str
    """Name of the score."""
    pictures: int
    """Number of pictures with a value."""
    mean: Number | None
    """Mean of their values; None where no picture has one."""
    low: Number | None
    """Lower end of the 95 % interval of Wilson; None where a value lies between 0 and 1."""
    high: Number | None
    """Upper end."""
    parts: dict[str, Number]
    """Mean of each part over the pictures that have it."""
    without_value: int
    """Number of pictures without a value."""

    @property
    def words(self) -> str:
        """The total in words, such as ``87.5 % (95 % interval 73.9 to 94.5, 40 pictures)``."""
        left_out = f", {self.without_value} without a value" if self.without_value else ""
        if self.mean is None:
            return f"no picture has a value{left_out}"
        ends = "" if self.low is None or self.high is None else f"{100 * self.low:.1f} to {100 * self.high:.1f}, "
        interval = f"95 % interval {ends}" if ends else ""
        return f"{100 * self.mean:.1f} % ({interval}{self.pictures} picture{'s' * (self.pictures != 1)}{left_out})"


class ImportedScores(Record):
    """Where scores come from that another program made."""

    benchmark: str | None
    """Name of the benchmark whose results were read; None for a table of values."""
    judge: str
    """Which model or program judged, as whoever imported it says; empty where nobody said."""
    files: list[StoredFile]
    """The files that were read, by their names alone."""


class ArmScores(Record):
    """All scores of one arm."""

    schema_version: Version = 2
    """Version of this format."""
    scenario: Id
    """Name of the scenario."""
    arm: Id
    """Name of the arm."""
    run: str
    """Run that made the pictures: folder of the job and of the arm."""
    task: Task
    """Which capability is exercised."""
    parity_margin: float
    """Largest difference to another arm that the scenario counts as equivalent."""
    specs: dict[str, str]
    """Identifier of the exact definition, by score."""
    totals: list[ScoreTotal]
    """Each score over all cases and seeds."""
    scores: list[Score]
    """Every distinct picture of every case and seed by every score."""
    imported: dict[str, ImportedScores] = Field(default_factory=dict)
    """Where scores come from that the harness did not make, by score."""


class EquivalenceVerdict(StrEnum):
    """What the interval of a difference says about equivalence."""

    EQUIVALENT = "equivalent"
    """The whole interval lies within the margin."""
    NOT_SHOWN = "not_shown"
    """A part of the interval lies beyond the margin, so the two may be equivalent or not."""
    BEYOND = "beyond"
    """The whole interval lies beyond the margin."""


class Parity(Record):
    """One score of two sides over the cases and seeds that both have: are they equivalent?"""

    score: str
    """Name of the score."""
    task: Task
    """Which capability is exercised."""
    margin: float
    """Largest difference that counts as equivalent."""
    pairs: int
    """Number of cases and seeds with a value on both sides; they are taken as independent of each other."""
    actual: ScoreTotal
    """The actual side over these pairs."""
    expected: ScoreTotal
    """The expected side over these pairs."""
    only_actual: int
    """Pairs in which the actual side alone is right; of values between 0 and 1, those in which it is higher."""
    only_expected: int
    """The same for the expected side."""
    difference: Number | None
    """Mean of the actual side less that of the expected side; None without pairs."""
    low: Number | None
    """Lower end of the 90 % interval of the difference: Tango's where all values are 0 and 1, else Student's with one
    pair added at either end of the scale; None without pairs."""
    high: Number | None
    """Upper end."""
    mean_square: Number | None = None
    """Mean square of the differences; None without pairs, and in records from before it was kept."""
    standing: EquivalenceVerdict
    """What the interval says: two one-sided tests at 5 % each."""
    pairs_needed: int | None
    """About how many pairs would show equivalence if the sides are alike; None where that is not known."""
    without_value: list[CaseKey] = Field(default_factory=list)
    """Cases and seeds that were left out because neither side has a value."""
    one_sided: list[CaseKey] = Field(default_factory=list)
    """Cases and seeds that were left out because only one side has a value."""
    message: Text
    """All this in one sentence."""
