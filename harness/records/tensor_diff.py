"""What diff says about two files of tensors that nobody recorded the making of."""

from __future__ import annotations

from pydantic import Field

from harness.records.base import Number, Record, Text, Version
from harness.records.comparison import Verdict
from harness.records.enums import Status
from harness.records.scenario import Limit


class TensorMeasurement(Record):
    """One metric of two tensors, or of all tensors taken as one row of numbers."""

    metric: str
    """Name of the metric."""
    value: Number | None
    """The number; None where there is none."""
    spec: str
    """Identifier of the exact definition."""
    problem: Text = ""
    """Why there is no value."""


class TensorSide(Record):
    """A tensor as one of the two files holds it."""

    type: str
    """Type of its values, such as ``bfloat16``."""
    shape: list[int]
    """Sizes."""
    nan: int = 0
    """Values that are NaN."""
    infinite: int = 0
    """Values that are infinite."""
    constant: bool = False
    """Whether it has several values and all are the same number."""


class TensorPair(Record):
    """The tensors of one name in two files."""

    name: str
    """Name in both files."""
    actual: TensorSide | None
    """In the actual file; None where it is missing there."""
    expected: TensorSide | None
    """In the expected file; None where it is missing there."""
    identical: bool = False
    """Whether type, shape and bytes are equal."""
    differing: int | None = None
    """Values that differ as numbers; None where nothing was measured."""
    measurements: list[TensorMeasurement] = Field(default_factory=list)
    """All metrics; empty where nothing was measured."""
    verdicts: list[Verdict] = Field(default_factory=list)
    """All limits that were given."""
    blank: list[Text] = Field(default_factory=list)
    """Why a side shows nothing, in words."""
    problem: Text = ""
    """Why nothing was measured."""
    outcome: Status
    """The word: skipped where no limit judges a difference, and where equal tensors show nothing."""


class TensorDiff(Record):
    """Two files of tensors, compared name by name."""

    schema_version: Version = 2
    """Version of this format."""
    actual: str
    """File that is looked at, as it was given."""
    expected: str
    """File it is compared with, as it was given."""
    limits: list[Limit]
    """Limits that were given; each judges every tensor."""
    pairs: list[TensorPair]
    """Every name of either file."""
    whole: list[TensorMeasurement]
    """All metrics of all measured tensors taken as one row of numbers; empty where none was measured."""
    outcome: Status
    """The word for the whole: a missing, unexpected or unmeasured tensor is an error."""
    message: Text
    """The outcome in one sentence."""
