"""One scenario over several jobs: what was measured in each, against which bound, and what changed between them."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from harness.records.base import Id, Number, Record, Text, Version
from harness.records.enums import Scope, Status
from harness.records.run import CaseKey


class ChangeKind(StrEnum):
    """What changed between two jobs."""

    PACKAGE = "package"
    """The version of a Python package."""
    DEVICE = "device"
    """The device, its driver or its toolkit."""
    SWITCH = "switch"
    """A setting that bears on determinism or accuracy."""
    HOST = "host"
    """The machine, its system or its Python."""
    SETTING = "setting"
    """How an arm loads the model or makes its pictures."""
    SCENARIO = "scenario"
    """What the scenario asks."""
    CODE = "code"
    """The harness's or the adapter's code, or the commit of the working folder."""


class TrendChange(Record):
    """One thing that is not as in the job before."""

    kind: ChangeKind
    """What it is."""
    name: str
    """What it is called, such as ``torch``."""
    arms: list[Id]
    """Arms that it concerns; empty for all."""
    before: str
    """What it was; empty where it was not there."""
    after: str
    """What it is; empty where it is not there."""


class TrendValue(Record):
    """One metric of one comparison of a job."""

    arm: Id
    """Arm that is judged."""
    against: Id
    """Arm that it is compared with; the same for repeats."""
    scope: Scope
    """Repeats of one arm, or a candidate against a reference."""
    kind: Literal["worst", "ratio", "score"]
    """The worst value of all pairs, a ratio over all pairs, or the end of a score's interval that is farther from 0."""
    metric: str
    """Name of the metric, or of the score."""
    subject: Literal["image", "float_image", "latents", "conversion"]
    """What it was measured on."""
    ratio_to: str = ""
    """Arm whose error a ratio divides by."""
    value: Number | None
    """The number; None where there is none."""
    mean: Number | None
    """Mean over all pairs; None where a pair has no finite value, and for what is no worst value."""
    unit: str
    """Unit of the value."""
    better: Literal["higher", "lower"]
    """Direction in which the pictures are more alike."""
    pairs: int
    """Number of pairs behind it."""
    key: CaseKey | None
    """Case and seed of the worst pair; None where the number is over all."""
    at_least: Number | None = None
    """Smallest value allowed; None where no limit says so."""
    at_most: Number | None = None
    """Largest value allowed."""
    equals: Number | None = None
    """Only value allowed."""
    status: Status | None = None
    """The worst word of the limits on it; None where none judges it."""

    @property
    def bound(self) -> float | None:
        """The number that the limit names; None without a limit."""
        return next((bound for bound in (self.at_least, self.at_most, self.equals) if bound is not None), None)

    @property
    def series(self) -> tuple[str, str, Scope, str, str, str, str]:
        """What makes it the same line from job to job."""
        return self.arm, self.against, self.scope, self.kind, self.metric, self.subject, self.ratio_to


class TrendRepeats(Record):
    """What the repeats of one arm say about determinism."""

    arm: Id
    """Name of the arm."""
    cases: int
    """Number of cases and seeds."""
    fewest_runs: int
    """Fewest samples of one case and seed."""
    most_outcomes: int
    """Most distinct outcomes of one case and seed; 1 means that all are equal byte for byte."""
    bound_95: float | None
    """Largest failure rate that the runs leave possible with 95 % confidence; None where runs differ."""
    status: Status
    """The word for the arm's repeats."""


class TrendPoint(Record):
    """One job."""

    job: str
    """Name of the job folder."""
    started_utc: str
    """When its first run began."""
    outcome: Status
    """The worst word of its comparisons, as they were judged."""
    releases: list[str]
    """Releases whose report rests on it."""
    devices: list[str]
    """Product names of the devices of its candidates."""
    simulated_arms: list[Id]
    """Arms whose device a stand-in library plays."""
    cpu_candidates: list[Id]
    """Candidates that ran on a CPU in the place of an accelerator."""
    values: list[TrendValue]
    """Every metric of every comparison."""
    repeats: list[TrendRepeats]
    """Determinism by arm."""
    changes: list[TrendChange] = Field(default_factory=list)
    """What is not as in the job before; empty for the first."""


class LeftOut(Record):
    """A job or a release that is not part of a trend."""

    name: str
    """Name of the job folder, or of the release."""
    reason: Text
    """Why."""


class Trend(Record):
    """One scenario over several jobs, oldest first."""

    schema_version: Version = 2
    """Version of this format."""
    scenario: Id
    """Name of the scenario."""
    points: list[TrendPoint]
    """Every job that is part of it."""
    left_out: list[LeftOut]
    """What is not part of it, and why."""
