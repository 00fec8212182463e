"""What a report and the report of a release are made from."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from harness.records.base import Digest, Id, Number, Record, Text, Version, without_defaults
from harness.records.baseline import StoredFile
from harness.records.calibration import Calibration
from harness.records.comparison import Comparison
from harness.records.enums import Status, Task
from harness.records.explanation import Explanation
from harness.records.run import CaseKey, Run
from harness.records.scenario import Scenario
from harness.records.scores import ArmScores


class Report(Record):
    """What a report is made from; renderers turn it into text and look up nothing else."""

    schema_version: Version = 2
    """Version of this format."""
    title: Text
    """Heading."""
    scenario: Scenario
    """The question, as it was written."""
    command: list[str]
    """How to do it again, as words of a command line."""
    runs: list[Run]
    """All arms, in the scenario's order."""
    comparisons: list[Comparison]
    """All comparisons, repeats first."""
    outcome: Status
    """The worst word of all comparisons."""
    scores: list[ArmScores] = Field(default_factory=list)
    """Scores of the arms, where the scenario asks for any."""
    calibrations: list[Calibration] = Field(default_factory=list)
    """What was measured of the noise floors of reference arms, in the conditions of this report."""
    uncalibrated: dict[Id, Text] = Field(default_factory=dict)
    """Why the noise floor of a reference arm is not known, by arm."""
    explanation: Explanation | None = None
    """Where and why the case that broke a limit most is wrong; its page lies in the job's folder ``explanation``. None
    where nobody asked."""

    @model_serializer(mode="wrap")
    def _unexplained(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A report without an explanation is written as before there were any."""
        return without_defaults(self, dump(self), {"explanation"})


# --- what a release writes -------------------------------------------------------------------------------------------


class MissingCell(Record):
    """Something that was asked for a release and is not there, or not whole."""

    scenario: Id
    """Name of the scenario."""
    arm: Id | None
    """Name of the arm; None for a whole scenario that cannot be used here."""
    job: str = ""
    """Name of the job folder that has it, but not whole; empty where no job has it."""
    status: Status
    """Error, which a report without it would hide, or ``missing_baseline``."""
    reason: Text
    """Why it is missing, in one sentence."""


class ReleasedJob(Record):
    """One job that a release rests on."""

    job: str
    """Name of the job folder."""
    report: Report
    """Its question, runs and comparisons, judged as they were stored."""

    @property
    def name(self) -> str:
        """Scenario and job."""
        return f"{self.report.scenario.name} ({self.job})"


class Aggregate(Record):
    """One metric over all cases and seeds of one capability, for one arm compared with one other."""

    task: Task
    """Which capability is exercised."""
    arm: Id
    """Arm that is judged."""
    against: Id
    """Arm it is compared with."""
    device: str
    """Product name of the arm's device."""
    against_device: str
    """Product name of the other arm's device."""
    dtype: str
    """Type of the arm's weights and activations."""
    against_dtype: str
    """Type of the other arm's weights and activations."""
    simulated: bool
    """Whether a stand-in library plays the device of either arm."""
    comparisons: list[str]
    """Comparisons the numbers are from, each by the ids of its two runs."""
    metric: str
    """Name of the metric."""
    subject: Literal["image", "float_image", "latents", "conversion"]
    """What it was measured on."""
    unit: str
    """Unit of the values."""
    better: Literal["higher", "lower"]
    """Direction in which the pictures are more alike."""
    pairs: int
    """Number of pairs of pictures that were measured."""
    keys: int
    """Number of cases and seeds with a finite value; each counts once, by the mean of its pairs."""
    left_out: int
    """Number of cases and seeds without a finite value, such as the PSNR of equal pictures."""
    mean: Number | None
    """Mean over the cases and seeds; None where none has a finite value."""
    reach: Number | None
    """Half the width of the 95 % interval of Student around the mean; None with fewer than two cases and seeds."""
    worst: Number | None
    """Worst value of any pair; None where a pair has no value at all, which is worse than any."""
    worst_scenario: Id
    """Scenario of the worst pair."""
    worst_key: CaseKey
    """Case and seed of the worst pair."""


class Release(Record):
    """What the accuracy report of a release is made from, and all that it is made from."""

    schema_version: Version = 2
    """Version of this format."""
    name: Id
    """Name of the release; it becomes a folder."""
    languages: list[str] = Field(min_length=1)
    """Languages of the report, the first one that of the plain file names."""
    command: list[str]
    """How to make the report again, as words of a command line."""
    scenarios: list[Scenario]
    """Every scenario that was asked for and can be used here, as its file is written now."""
    jobs: list[ReleasedJob]
    """Jobs that answer them, in the scenarios' order."""
    missing: list[MissingCell]
    """What was asked for and is not there."""
    aggregates: list[Aggregate]
    """Every metric over cases and seeds, the worst arms of each capability first."""
    outcome: Status
    """The worst word of all reports and of everything that is missing."""

    def file_name(self, plain: str, language: str) -> str:
        """Name of a file in a language, such as ``index.zh.html`` for ``index.html``; plain for the first language."""
        if language == self.languages[0]:
            return plain
        stem, _, ending = plain.rpartition(".")
        return f"{stem}.{language}.{ending}"


class ReleasedRun(Record):
    """A run that the numbers of a release are from."""

    id: str
    """Folder of the job and of the arm."""
    sha256: Digest
    """SHA-256 of the run's record as the harness writes it."""


class ReleaseManifest(Record):
    """What a folder of a release holds, and the runs behind it."""

    schema_version: Literal[1] = 1
    """Version of this format."""
    name: Id
    """Name of the release."""
    runs: list[ReleasedRun]
    """Every run, sorted by id."""
    files: list[StoredFile]
    """Every other file of the folder, sorted by path."""
