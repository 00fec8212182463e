"""What a calibration writes: noise floors, and the limits that follow from them."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from harness.records.base import Day, Digest, Id, Number, Record, Version
from harness.records.run import CaseKey
from harness.records.scenario import Limit


class FloorSource(StrEnum):
    """What made correct results differ."""

    REPEAT = "repeat"
    """Nothing: the same work again."""
    LATENT_ULP = "latent_ulp"
    """The last bit of every value of the noise."""
    MODULE_ULP = "module_ulp"
    """The last bit of every value that leaves a module of the component that denoises."""
    PRECISION = "precision"
    """The candidate's type, less precise than the reference's, with the last bit of every value of the noise."""


class Floor(Record):
    """How far correct results were apart by one metric."""

    source: FloorSource
    """What made them differ."""
    metric: str
    """Name of the metric."""
    subject: Literal["image", "float_image", "latents", "conversion"]
    """What it was measured on."""
    unit: str
    """Unit of the values."""
    better: Literal["higher", "lower"]
    """Direction in which pictures are more alike."""
    values: int
    """Number of pairs that were measured."""
    rms: Number
    """Root mean square of the error over the pairs of a case and seed, where it is largest, in the metric's unit."""
    worst: Number
    """The worst value."""
    least: Number
    """The smallest value."""
    most: Number
    """The largest value."""
    key: CaseKey
    """Case and seed of the worst value."""


class StepFloor(Record):
    """How far correct results were apart after each denoising step."""

    source: FloorSource
    """What made them differ."""
    relative_l2: list[Number]
    """Largest relative difference of the latents after each step, estimated from sketches, within about 20 %."""


class Detection(Record):
    """A planted fault, and what the proposed limits say about it."""

    fault: str
    """Name of the fault."""
    about: str
    """What was planted."""
    planted: int
    """Number of pictures that were spoilt."""
    caught_by: list[str]
    """Limits that broke on at least one of them."""
    missed: list[str]
    """Pictures on which no limit broke; a proposal with any is refused."""


class Calibration(Record):
    """What a reference's own noise floor is, and the limits that follow from it."""

    schema_version: Version = 2
    """Version of this format."""
    scenario: Id
    """Name of the scenario."""
    scenario_digest: Digest
    """Digest of the scenario as it was calibrated."""
    arm: Id
    """Reference arm."""
    device: str
    """Backend and product of its device."""
    simulated: bool
    """Whether a stand-in library plays the device."""
    reference_dtype: str
    """Type of the reference."""
    candidate_dtype: str
    """Least precise type of the candidates."""
    date: Day
    """Day of the measurement."""
    seeds: list[int]
    """Seeds it was measured with."""
    cases: list[Id]
    """Cases it was measured on."""
    floors: list[Floor]
    """How far correct results were apart."""
    steps: list[StepFloor]
    """The same after each denoising step."""
    limits: list[Limit]
    """Proposed limits."""
    detections: list[Detection]
    """What they say about planted faults."""

    @property
    def missed(self) -> list[str]:
        """Names of planted faults that would pass under the proposed limits; with any the proposal is refused."""
        return [detection.fault for detection in self.detections if detection.missed]
