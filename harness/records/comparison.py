"""What a comparison writes: measurements, verdicts and hints of each pair, and what repeats say about determinism."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from harness.records.base import Day, Digest, Id, Number, Record, Text, Version, without_defaults
from harness.records.baseline import Acceptance
from harness.records.enums import NoiseMode, NpuOps, Scope, Status, SwitchMode
from harness.records.run import CaseKey, Failure, TraceName
from harness.records.scenario import Limit, OnPurpose, Unfitness, Waiver
from harness.records.scores import Parity

if TYPE_CHECKING:
    from collections.abc import Iterable


class RunRef(Record):
    """Which run a side of a comparison is."""

    id: str
    """Folder of the job and of the arm."""
    path: str
    """Run folder, relative to the comparison file."""
    arm: Id
    """Name of the arm."""
    device: str
    """Device as torch calls it."""
    device_name: str
    """Product name."""
    simulated: bool
    """Whether a stand-in library plays the device."""
    dtype: str
    """Type of weights and activations."""
    noise: NoiseMode
    """Where random draws came from."""
    switches: SwitchMode
    """Which determinism switches were set."""
    npu_ops: NpuOps | None = None
    """How calls to fused operators of torch_npu were answered."""
    backend: str = ""
    """Name of the backend; empty where it is the first word of ``device``."""
    baseline: Digest | None = None
    """Digest of the manifest, where the run is an accepted baseline."""
    acceptance: Acceptance | None = None
    """Who accepted it and why, where the run is an accepted baseline."""


class Measurement(Record):
    """One metric of one pair."""

    metric: str
    """Name of the metric."""
    subject: Literal["image", "float_image", "latents", "conversion"]
    """What it was measured on."""
    value: Number | None
    """The number; None when the metric has none for this pair."""
    unit: str
    """Unit of the value."""
    better: Literal["higher", "lower"]
    """Direction in which the pictures are more alike."""
    spec: str
    """Identifier of the exact definition."""
    parts: dict[str, Number] = Field(default_factory=dict)
    """Named numbers behind the value, such as one per channel."""
    where: Text = ""
    """Place in the picture the value comes from."""
    problem: Text = ""
    """Why there is no value."""

    @property
    def badness(self) -> float:
        """Grows as the pictures are less alike; no value at all is worst."""
        if self.value is None or math.isnan(self.value):
            return math.inf
        # What is better lower is a distance, and a signed one is as bad as it is far from zero.
        return -self.value if self.better == "higher" else abs(self.value)


class PairRatio(Record):
    """One case and seed of a dual benchmark."""

    key: CaseKey
    """Case and seed."""
    error: Number
    """Value of the metric for the actual side."""
    other: Number
    """Value of the metric for the other arm."""
    ratio: Number
    """``error / max(other, floor)``."""


class DualRatio(Record):
    """How far the actual side is from a reference, measured by how far another arm is from the same reference."""

    error: Number
    """Root mean square over the pairs of the metric's value for the actual side."""
    other: Number
    """Root mean square over the same pairs of the metric's value for the other arm."""
    floor: Number
    """Least that is divided by: the metric's value for the rounding errors of the type alone."""
    ratio: Number
    """``error / max(other, floor)``, which the limit judges."""
    pairs: list[PairRatio]
    """The same for each pair, the worst ratio first; shown, not judged."""


class Verdict(Record):
    """One limit compared with one measurement, or against the ratio of many."""

    limit: Limit
    """The limit."""
    measured: Number | None
    """What was measured."""
    status: Status
    """The word."""
    message: Text
    """Observed, allowed, where."""
    dual: DualRatio | None = None
    """Numerator and denominator, for a limit with ``ratio_to``."""
    waiver: Waiver | None = None
    """What excuses the broken limit, where the status is ``waived``."""


class TraceDifference(Record):
    """One kind of intermediate tensor of a pair."""

    name: TraceName
    """What was traced, such as ``text_encoding/padded_rows``."""
    identical: bool
    """Whether all calls gave the same bytes on both sides."""
    relative_difference: Number | None
    """Norm of the difference over the norm of the expected side, estimated from the sketches; None where shapes or
    the number of calls differ."""


class Hint(Record):
    """What kind of difference two pictures seem to have; a hint for a reader, never judged."""

    name: str
    """Kind, such as ``shift`` or ``channels``."""
    message: Text
    """What it looks like, actual relative to expected, with the figures that say so."""
    where: Text = ""
    """Place in the picture; empty where it is the whole picture."""


class Appearance(StrEnum):
    """How alike two 8-bit pictures look, from the most alike; never judged."""

    IDENTICAL = "identical"
    """Equal byte for byte."""
    CODE_NOISE = "code_noise"
    """A few values are off by a level or two."""
    LOSSLESS = "lossless_to_the_eye"
    """The difference cannot be seen."""
    SAME_PICTURE = "same_picture"
    """Flicking between the two may show a difference."""
    SAME_COMPOSITION = "same_composition"
    """Details differ visibly."""
    DRIFTED = "drifted"
    """More than details differ: objects, or strong noise over the whole picture."""
    DIFFERENT = "different"
    """Another picture, or a broken one."""

    @property
    def words(self) -> str:
        """The band in plain words."""
        return self.value.replace("_", " ")


class Flicker(Record):
    """How much the way from one stored frame to the next differs between the sides."""

    frame: int
    """Number of the second of the two frames."""
    rms: Number
    """Root mean square, over pixels and channels, of the difference between the sides' changes, in levels of 255."""


class VideoDifference(Record):
    """Where two videos differ."""

    frames: int
    """Number of frames."""
    kept: list[int]
    """Numbers of the frames that are stored whole; metrics are measured on these alone."""
    differing: list[int]
    """Numbers of all frames whose digests differ, stored or not."""
    flicker: list[Flicker]
    """For each two neighbouring frames that are both stored; empty where there are none."""
    spec: str
    """Identifier of the exact definition of flicker."""


class Pair(Record):
    """Two samples of one case and seed; with ``video`` two whole videos."""

    key: CaseKey
    """Case and seed."""
    actual: str
    """Sample on the actual side, such as ``p0r2``."""
    expected: str
    """Sample on the expected side."""
    accepted: str = ""
    """Which of the accepted outcomes it is compared with, such as ``2 of 3``; empty where there is only one."""
    accepted_outcome: int | None = None
    """The same as a number from 1; None where there is only one, and in records from before this was kept."""
    accepted_outcomes: int | None = None
    """Number of accepted outcomes; None as above."""
    identical: bool
    """Whether picture, float output and latents are equal byte for byte."""
    first_differing_step: int | None
    """First denoising step, counted from 1, whose latents differ; None when none does or none was kept."""
    traces: list[TraceDifference] = Field(default_factory=list)
    """Other tensors on the way that both sides traced."""
    hints: list[Hint] = Field(default_factory=list)
    """What the difference between the 8-bit pictures looks like."""
    appearance: Appearance | None = None
    """How alike the 8-bit pictures look; None where a metric that decides it has no value."""
    measurements: list[Measurement]
    """All metrics of the pair."""
    verdicts: list[Verdict] = Field(default_factory=list)
    """All limits of the pair."""
    video: VideoDifference | None = None
    """Where the videos differ; None in a pair of pictures."""

    @model_serializer(mode="wrap")
    def _without_a_video(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A pair of pictures is written as before there were videos."""
        return without_defaults(self, dump(self), {"video"})

    def measurement(self, metric: str, subject: str) -> Measurement | None:
        """What a metric gave on a subject; None where it was not measured."""
        return next((item for item in self.measurements if (item.metric, item.subject) == (metric, subject)), None)


class OtherNoise(Record):
    """What two seeds of one case on the expected side differ by: what a comparison must not take for a port's error."""

    key: CaseKey
    """Case, and the seed whose image stands for the actual side."""
    other_seed: int
    """The seed whose image stands for the expected side."""
    measurements: list[Measurement]
    """The metrics that readings of "within 1 %" are made of."""

    def measurement(self, metric: str, subject: str) -> Measurement | None:
        """What a metric gave on a subject; None where it was not measured."""
        return next((item for item in self.measurements if (item.metric, item.subject) == (metric, subject)), None)


class Outcome(Record):
    """One distinct result among the samples that ought to be the same."""

    digest: Digest
    """Digest over picture, float output and latents."""
    image_digest: Digest
    """Digest of the picture alone."""
    samples: list[str]
    """Who made it, such as ``p0r0``, in order."""


class Repetition(Record):
    """What the samples of one case and seed say about determinism."""

    key: CaseKey
    """Case and seed."""
    runs: int
    """Number of samples."""
    processes: int
    """Number of processes they were made in."""
    outcomes: list[Outcome]
    """Distinct results, the first sample's first."""
    bound_95: float
    """Largest rate of differing runs that so many identical ones do not exclude at 95 %: ``1 - 0.05 ** (1 / runs)``."""
    status: Status
    """Identical, unstable, or skipped when there was nothing to repeat."""
    pattern: Text
    """In words: how the differing samples lie among the processes and repeats."""


class Unfit(Record):
    """An image that is not fit to be compared."""

    key: CaseKey
    """Its case and seed."""
    arm: Id
    """The arm that made it."""
    sample: str
    """Process and repeat of the first sample with it."""
    kind: Unfitness
    """What is wrong with it."""
    message: Text
    """The same in a sentence."""


class FileDifference(Record):
    """One file in which two models differ."""

    name: str
    """Path below both folders, with ``/``."""
    missing: Literal["actual", "expected"] | None = None
    """The side that does not have it; None where both have it, with other bytes."""
    keys: list[str] = Field(default_factory=list)
    """Of a JSON file the keys whose values differ, inner keys behind a slash; empty where they are not known."""


class ModelDifference(Record):
    """In what the models of two runs differ."""

    actual: Digest
    """Digest of the actual side's model: over what is loaded where both records know it, else over all files."""
    expected: Digest
    """Digest of the expected side's."""
    files: list[FileDifference]
    """The files, sorted by name; empty where a record is from before single files were kept."""


class Comparison(Record):
    """Two runs, or one run against itself, measured and judged."""

    schema_version: Version = 2
    """Version of this format."""
    scope: Scope
    """Repeats of one arm, or a candidate against a reference."""
    scenario: Id
    """Name of the scenario."""
    actual: RunRef
    """What is judged."""
    expected: RunRef
    """What it is compared with; the same run for repeats."""
    limits: list[Limit]
    """Limits of this scope; once judged, those that judge these arms and this device."""
    repetitions: list[Repetition] = Field(default_factory=list)
    """Determinism by case and seed; for repeats only."""
    pairs: list[Pair]
    """Everything that was measured."""
    other_noise: list[OtherNoise] = Field(default_factory=list)
    """The expected side against itself with other seeds, case by case; empty where every case has one seed."""
    missing: list[CaseKey] = Field(default_factory=list)
    """Expected cases and seeds that the actual side does not have."""
    unexpected: list[CaseKey] = Field(default_factory=list)
    """Cases and seeds that the expected side does not have."""
    missing_baseline: Text = ""
    """Why there is no baseline to compare with, and what makes it; empty where there is one or none is asked for."""
    differences: list[Text] = Field(default_factory=list)
    """Why the two sides cannot be compared, such as another noise; empty when they can."""
    model: ModelDifference | None = None
    """In what the two sides' models differ; None where they are the same, or not known."""
    other_arguments: bool | None = None
    """Whether the arguments of the call differ, in records from before ``differing`` was kept; None in newer ones."""
    differing: list[OnPurpose] | None = None
    """In what the two sides differ, of all that a scenario may declare; None in records from before this was kept."""
    differs_in: dict[OnPurpose, str] = Field(default_factory=dict)
    """In what the actual side's scenario says that they differ on purpose, each with its reason."""
    notes: list[Text] = Field(default_factory=list)
    """What a reader must know beside every number, such as a noise that is unverified; part of the message."""
    failures: list[Failure] = Field(default_factory=list)
    """Failures of either side."""
    unfit: list[Unfit] = Field(default_factory=list)
    """Images of either side that are not fit to be compared, and were not expected to be so."""
    yardsticks: list[Comparison] = Field(default_factory=list)
    """Other arms against the same expected side, measured and not judged: what limits with ``ratio_to`` divide by."""
    verdicts: list[Verdict] = Field(default_factory=list)
    """Limits that judge all pairs together: those with ``ratio_to``, and those on a score."""
    parities: list[Parity] = Field(default_factory=list)
    """How the scores of the two sides compare, one for each score that the scenario asks for."""
    waivers: list[Waiver] = Field(default_factory=list)
    """Waivers for these arms and cases, expired ones too."""
    judged_on: Day | None = None
    """Day that decided which waivers hold; None where there are none."""
    notices: list[Text] = Field(default_factory=list)
    """What the judgement noticed and did not judge, such as values far better than their limit."""
    outcome: Status = Status.SKIPPED
    """The word for the whole comparison."""
    message: Text = ""
    """The outcome in one sentence."""


def unused_waivers(comparisons: Iterable[Comparison]) -> list[Waiver]:
    """Waivers that still hold and excused nothing in any of the comparisons they are for."""
    excused: list[Waiver] = []
    idle: list[Waiver] = []
    for comparison in comparisons:
        verdicts = [*comparison.verdicts, *(verdict for pair in comparison.pairs for verdict in pair.verdicts)]
        excused += [verdict.waiver for verdict in verdicts if verdict.waiver]
        idle += [
            waiver for waiver in comparison.waivers if comparison.judged_on and comparison.judged_on <= waiver.expires
        ]
    return [waiver for index, waiver in enumerate(idle) if waiver not in excused and waiver not in idle[:index]]
